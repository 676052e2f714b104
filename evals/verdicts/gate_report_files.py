"""A gate's report as JUnit XML for CI systems and as Markdown for a summary or a pull request's comment."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as Xml

from evals.report.estimand_names import describe_estimand
from evals.verdicts import formatting
from evals.verdicts.comparison_text import discordant
from evals.verdicts.gate import GateReport, SuiteVerdict, displayed_verdict

COMMENT_MARKER = "<!-- evals-gate -->"
"""First line of the Markdown, by which CI identifies the comment to update."""
MAX_LINES = 60
"""Maximum number of lines of Markdown."""
SENTENCES = {
    "pass": "pass: no critical suite lost more than its margin",
    "regression": "regression: a suite is shown to have lost more than its margin",
    "cannot tell": "inconclusive: a critical suite is not shown to be good enough",
}
HEADINGS = ("", "suite", "tier", "baseline", "candidate", "difference", "interval", "margin", "n", "coverage")


def table_cells(verdict: SuiteVerdict) -> tuple[str, ...]:
    """Return a suite's verdict as the cells of a table row."""
    return (
        f"{formatting.VERDICT_SYMBOLS[verdict.verdict]} {displayed_verdict(verdict.verdict)}",
        f"{verdict.suite} {verdict.metric}".strip(),
        verdict.tier,
        formatting.format_amount(verdict.value_baseline, verdict.unit),
        formatting.format_amount(verdict.value_candidate, verdict.unit),
        formatting.format_amount(verdict.difference, verdict.unit, signed=True),
        formatting.format_interval(verdict.low, verdict.high, verdict.unit),
        formatting.format_size(verdict.margin, verdict.unit),
        f"{verdict.n:,}",
        f"{100 * verdict.coverage:.2f} %",
    )


def remarks(report: GateReport) -> Iterator[str]:
    """Yield the reasons suite by suite, alarms and notes."""
    methods: dict[str, list[str]] = {}
    for verdict in report.suites:
        yield f"{verdict.suite}: {'; '.join(verdict.reasons)}"
        if verdict.method:
            description = f"{describe_estimand(verdict.estimand)}, tested by {verdict.method}"
            methods.setdefault(description, []).append(verdict.suite)
        if verdict.noise is not None:
            limit = formatting.format_amount(verdict.noise, verdict.unit)
            yield f"{verdict.suite}: two runs of one model differ by up to {limit} (measured noise)"
    yield from (f"{', '.join(suites)}: {description}" for description, suites in methods.items())
    for alarm in report.alarms:
        yield f"alarm: {alarm}"
    if report.sequential:
        yield "sequential: after an early stop the point estimates are biased and not to be quoted, the intervals hold"
    yield from report.notes


def markdown(report: GateReport) -> str:
    """Return at most 60 lines: verdict, table, reasons, then the samples whose score changed."""
    head = [
        COMMENT_MARKER,
        f"### {formatting.VERDICT_SYMBOLS[report.verdict]} evals gate: {SENTENCES[report.verdict]}",
        "",
    ]
    level = f"{100 * report.level:g} %"
    table = [*formatting.markdown_table(HEADINGS, map(table_cells, report.suites)), ""]
    tail = [f"- {line}" for line in remarks(report)]
    tail.append(
        f"- candidate `{report.candidate}`, baseline `{report.baseline}`; {level} intervals, missing outcomes included"
    )
    table, tail = formatting.shorten_list(table, 24, "suites"), formatting.shorten_list(tail, 16, "remarks")
    remaining = MAX_LINES - len(head) - len(table) - len(tail) - 3
    changed = discordant(report.flips)
    worse = sum(flip.worse for flip in changed)
    flips = [f"- {formatting.flip_line(flip, quote='`')}" for flip in changed]
    heading = ["", f"{len(flips)} samples score otherwise, {worse} of them less:", ""] if flips else []
    flips = formatting.shorten_list(flips, min(20, remaining), "samples")
    return "\n".join([*head, *table, *tail, *heading, *flips]) + "\n"


def junit(report: GateReport) -> bytes:
    """Return JUnit XML with a test per suite; a regression is a failure, an undecided critical suite an error."""
    root = Xml.Element("testsuites", name="evals gate")
    suite = Xml.SubElement(root, "testsuite", name="evals gate")
    counts = {"failure": 0, "error": 0, "skipped": 0}
    for suite_verdict in report.suites:
        case = Xml.SubElement(
            suite,
            "testcase",
            classname="evals.verdicts.gate",
            name=f"{suite_verdict.suite} {suite_verdict.metric}".strip(),
        )
        reason = "; ".join(suite_verdict.reasons)
        kind = _junit_element(suite_verdict)
        if kind:
            counts[kind] += 1
            Xml.SubElement(case, kind, message=reason).text = _junit_text(suite_verdict)
        Xml.SubElement(case, "system-out").text = "\n".join(
            filter(None, (_junit_text(suite_verdict), reason, suite_verdict.alarm))
        )
    for element in (root, suite):
        element.set("tests", str(len(report.suites)))
        element.set("failures", str(counts["failure"]))
        element.set("errors", str(counts["error"]))
        element.set("skipped", str(counts["skipped"]))
    Xml.indent(root)
    content: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _junit_element(verdict: SuiteVerdict) -> str:
    if verdict.verdict == "pass":
        return ""
    if verdict.tier == "advisory":
        return "skipped"
    if verdict.verdict == "regression":
        return "failure"
    return "error" if verdict.tier == "critical" else ""


def _junit_text(verdict: SuiteVerdict) -> str:
    return ", ".join(
        f"{name} {cell}" for name, cell in zip(HEADINGS[3:], table_cells(verdict)[3:], strict=True)
    )
