"""A gate's report as JUnit XML for CI systems and as Markdown for a job summary or a pull-request comment."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as Xml

from evals.report.estimand_names import describe_estimand
from evals.verdicts import formatting
from evals.verdicts.comparison_text import discordant_samples
from evals.verdicts.gate import GateReport, SuiteVerdict, displayed_verdict

COMMENT_MARKER = "<!-- evals-gate -->"
"""First line of the Markdown, by which CI finds the comment to update."""
MAX_LINES = 60
"""Maximum number of lines of Markdown."""
MAX_TABLE_LINES, MAX_REMARKS, MAX_SAMPLES = 24, 16, 20
"""Maximum number of lines of the table, the remarks and the list of samples."""
VERDICT_SENTENCES = {
    "pass": "pass: every critical suite is non-inferior within its margin",
    "regression": "regression: a suite lost significantly more than its margin",
    "cannot tell": "inconclusive: a critical suite has not been shown to be non-inferior",
}
HEADINGS = ("", "suite", "tier", "baseline", "candidate", "difference", "interval", "margin", "n", "coverage")


def table_cells(suite_verdict: SuiteVerdict) -> tuple[str, ...]:
    """Return a suite's verdict as the cells of a table row."""
    return (
        f"{formatting.VERDICT_SYMBOLS[suite_verdict.verdict]} {displayed_verdict(suite_verdict.verdict)}",
        f"{suite_verdict.suite} {suite_verdict.metric}".strip(),
        suite_verdict.tier,
        formatting.format_amount(suite_verdict.value_baseline, suite_verdict.unit),
        formatting.format_amount(suite_verdict.value_candidate, suite_verdict.unit),
        formatting.format_amount(suite_verdict.difference, suite_verdict.unit, signed=True),
        formatting.format_interval(suite_verdict.low, suite_verdict.high, suite_verdict.unit),
        formatting.format_size(suite_verdict.margin, suite_verdict.unit),
        f"{suite_verdict.n:,}",
        f"{100 * suite_verdict.coverage:.2f} %",
    )


def remarks(report: GateReport) -> Iterator[str]:
    """Yield each suite's reasons and repeatability limit, then tests, alarms, the caveat of a sequential gate, and notes."""
    methods: dict[str, list[str]] = {}
    for suite_verdict in report.suites:
        yield f"{suite_verdict.suite}: {'; '.join(suite_verdict.reasons)}"
        if suite_verdict.method:
            description = f"{describe_estimand(suite_verdict.estimand)}, tested by {suite_verdict.method}"
            methods.setdefault(description, []).append(suite_verdict.suite)
        if suite_verdict.noise is not None:
            limit = formatting.format_size(suite_verdict.noise, suite_verdict.unit)
            yield f"{suite_verdict.suite}: 95 % of differences between two runs of one model are at most {limit}"
    yield from (f"{', '.join(suites)}: {description}" for description, suites in methods.items())
    for alarm in report.alarms:
        yield f"alarm: {alarm}"
    if report.sequential:
        yield "sequential: after an early stop the point estimates are biased and must not be quoted; the intervals remain valid"
    yield from report.notes


def markdown(report: GateReport) -> str:
    """Return Markdown of at most `MAX_LINES` lines: verdict, table, reasons, then the samples whose score changed."""
    heading_lines = [
        COMMENT_MARKER,
        f"### {formatting.VERDICT_SYMBOLS[report.verdict]} evals gate: {VERDICT_SENTENCES[report.verdict]}",
        "",
    ]
    level = f"{100 * report.level:g} %"
    table = [*formatting.markdown_table(HEADINGS, map(table_cells, report.suites)), ""]
    table = formatting.shorten_list(table, MAX_TABLE_LINES, "suites")
    remark_lines = [f"- {line}" for line in remarks(report)]
    remark_lines.append(
        f"- candidate `{report.candidate}`, baseline `{report.baseline}`; {level} intervals, missing outcomes included"
    )
    remark_lines = formatting.shorten_list(remark_lines, MAX_REMARKS, "remarks")
    lines = [*heading_lines, *table, *remark_lines]
    if flips := discordant_samples(report.flips):
        worse_count = sum(flip.worse for flip in flips)
        lines += ["", f"Samples with a different score: {len(flips)} ({worse_count} lower):", ""]
        flip_lines = [f"- {formatting.flip_line(flip, quote='`')}" for flip in flips]
        lines += formatting.shorten_list(flip_lines, min(MAX_SAMPLES, MAX_LINES - len(lines)), "samples")
    return "\n".join(lines) + "\n"


def junit(report: GateReport) -> bytes:
    """Return JUnit XML with a test per suite.

    An advisory suite that does not pass is skipped. Otherwise a regression is a failure, an undecided critical suite an error.
    """
    root = Xml.Element("testsuites", name="evals gate")
    testsuite = Xml.SubElement(root, "testsuite", name="evals gate")
    counts = {"failure": 0, "error": 0, "skipped": 0}
    for suite_verdict in report.suites:
        testcase = Xml.SubElement(
            testsuite,
            "testcase",
            classname="evals.verdicts.gate",
            name=f"{suite_verdict.suite} {suite_verdict.metric}".strip(),
        )
        reason = "; ".join(suite_verdict.reasons)
        if outcome := _junit_outcome(suite_verdict):
            counts[outcome] += 1
            Xml.SubElement(testcase, outcome, message=reason).text = _junit_text(suite_verdict)
        Xml.SubElement(testcase, "system-out").text = "\n".join(
            filter(None, (_junit_text(suite_verdict), reason, suite_verdict.alarm))
        )
    for element in (root, testsuite):
        element.set("tests", str(len(report.suites)))
        element.set("failures", str(counts["failure"]))
        element.set("errors", str(counts["error"]))
        element.set("skipped", str(counts["skipped"]))
    Xml.indent(root)
    document: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _junit_outcome(suite_verdict: SuiteVerdict) -> str:
    if suite_verdict.verdict == "pass":
        return ""
    if suite_verdict.tier == "advisory":
        return "skipped"
    if suite_verdict.verdict == "regression":
        return "failure"
    return "error" if suite_verdict.tier == "critical" else ""


def _junit_text(suite_verdict: SuiteVerdict) -> str:
    return ", ".join(
        f"{name} {cell}" for name, cell in zip(HEADINGS[3:], table_cells(suite_verdict)[3:], strict=True)
    )
