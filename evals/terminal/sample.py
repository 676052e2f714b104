"""One sample of a run in full: prompt, reply with the extracted answer marked, gold answer, verdict and reason.

Of gated suites, only ids, letters and verdicts are shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from msgspec import Struct

from evals.errors import StoreError
from evals.labels import Failed
from evals.plain import plain
from evals.prompts import plain_text
from evals.records.card import Card
from evals.records.store import Run
from evals.terminal.figures import counts_line
from evals.terminal.layout import BOLD, DIM, END, wrap
from evals.types import Failure, Prompt, Record, Reply, Sample, Score

if TYPE_CHECKING:
    from evals.records.files import CompactRecord
    from evals.terminal.molecules import Molecule

Describer: TypeAlias = "Callable[[str], Molecule]"
"""Function from a SMILES to its formula and canonical SMILES, both empty if it is invalid."""
NOT_RIGHT = "not-right"
"""Stands for every outcome except `right`, including failures and absent samples."""
ANSWER_MARKS = ("»", "«")
"""Signs before and after the extracted answer in a reply, which a terminal shows in reverse video."""
REVERSE_VIDEO = "\x1b[7m"
MAX_MOLECULES = 4
"""Maximum number of molecules in the prompt that are described, from the end."""
RUNGS = (
    (5.0, "identical SMILES string"),
    (4.0, "same molecule (canonical SMILES)"),
    (3.5, "same compound, drawn differently"),
    (3.0, "same up to stereochemistry"),
    (2.0, "same parent: neutral, largest fragment, without isotopes"),
    (1.0, "a tautomer"),
)
"""Degrees of agreement between molecules: (`rung` in `Score.parts`, see `scorers/molecule_match.py`; description)."""


class SampleView(Struct, frozen=True, kw_only=True):
    """One repeat of a sample in a run."""

    card: Card
    sample: Sample
    repeat: int
    record: Record | None
    """None if the run has no record of the sample."""

    @property
    def score(self) -> Score | None:
        """Return the score by the suite's first scorer; None if there is none."""
        first = next(iter(self.record.scores.values()), None) if self.record else None
        return first if isinstance(first, Score) else None

    @property
    def failure(self) -> Failure | None:
        """Return the failure of the call or of the first scorer; None if nothing failed."""
        if self.record is None:
            return None
        outcomes = (self.record.outcome, next(iter(self.record.scores.values()), None))
        return next((outcome for outcome in outcomes if isinstance(outcome, Failure)), None)

    @property
    def verdict(self) -> str:
        """Return the verdict, `failed:KIND`, `unscored` or `absent`."""
        if self.failure is not None:
            return str(Failed(self.failure.kind))
        return self.score.verdict if self.score else "unscored" if self.record else "absent"


def find_sample(run: Run, sample: str | None, *, repeat: int = 0, verdict: str | None = None) -> SampleView:
    """Return a sample of a run; with `verdict`, return the next sample after it that has this verdict.

    Without `sample`, return the first sample with the verdict, which is `not-right` by default. Raises StoreError if the
    run has no such sample.
    """
    card = run.card
    samples = list(run.samples())
    if sample is not None and not any(candidate.id == sample for candidate in samples):
        raise StoreError(_unknown_sample_message(run, sample, [candidate.id for candidate in samples]))
    if sample is not None and not 0 <= repeat < card.config.repeats:
        raise StoreError(f"{card.run} has repeats 0 to {card.config.repeats - 1}, not {repeat}")
    if sample is not None and verdict is None:
        chosen = next(candidate for candidate in samples if candidate.id == sample)
        return SampleView(card=card, sample=chosen, repeat=repeat, record=_find_record(run, (sample, repeat)))
    start, verdict = (sample, repeat) if sample is not None else None, verdict or NOT_RIGHT
    if (match := _next_match(run, card, samples, start, verdict)) is None:
        after = f" after {sample}" if sample is not None else ""
        counts = counts_line(card.counts) or "nothing recorded yet"
        raise StoreError(f"{card.run} has no sample with the verdict {verdict}{after}; it has {counts}")
    return match


def _unknown_sample_message(run: Run, sample: str, ids: Sequence[str]) -> str:
    from difflib import get_close_matches

    matches = get_close_matches(sample, ids, n=3) or list(ids[:3])
    return f"{run.path.name} has no sample {sample!r}; it has {len(ids)}, for example {', '.join(matches)}"


def _find_record(run: Run, key: tuple[str, int]) -> Record | None:
    return next((record for record in run.records() if (record.sample, record.repeat) == key), None)


def _next_match(
    run: Run, card: Card, samples: Sequence[Sample], start: tuple[str, int] | None, verdict: str
) -> SampleView | None:
    """Return the first sample with a verdict after `start`, in the order of the data set; no texts of other samples are read."""
    compact_records = {(record.sample, record.repeat): record for record in run.compact_records()}
    is_after_start = start is None
    for sample in samples:
        for repeat in range(card.config.repeats):
            if is_after_start and _has_verdict(compact_records.get((sample.id, repeat)), verdict):
                record = _find_record(run, (sample.id, repeat))
                return SampleView(card=card, sample=sample, repeat=repeat, record=record)
            is_after_start = is_after_start or (sample.id, repeat) == start
    return None


def _has_verdict(record: CompactRecord | None, verdict: str) -> bool:
    from evals.report.estimates import record_verdict

    if record is None:
        return verdict in ("absent", NOT_RIGHT)
    outcome = record_verdict(record, next(iter(record.scores), ""))
    return outcome != "right" if verdict == NOT_RIGHT else verdict in (outcome, outcome.partition(":")[0])


class Span(NamedTuple):
    """A range of characters in a reply."""

    start: int
    end: int


def answer_span(score: Score, prompt: Prompt, reply: Reply) -> Span | None:
    """Return the span of a reply from which the answer was extracted; None if it is unknown.

    If the score has no span (older runs, other harnesses' rules), return the last occurrence of the answer.
    """
    if score.span is not None:
        start, end = score.span
        return Span(start, end) if 0 <= start < end <= len(reply.text) else None
    if not (answer := score.answer):
        return None
    text = answer
    if len(answer) == 1 and answer.isascii() and answer.isupper() and prompt.order is not None:
        if ord(answer) - ord("A") not in prompt.order:
            return None
        text = prompt.shown_letter(answer)
    pattern = rf"(?<![A-Za-z0-9]){re.escape(text)}(?![A-Za-z0-9])"
    matches = list(re.finditer(pattern, reply.text))
    if matches:
        return Span(*matches[-1].span())
    start = reply.text.rfind(text)
    return Span(start, start + len(text)) if start >= 0 else None


def layout(
    view: SampleView,
    max_width: int | None,
    *,
    show_reasoning: bool = False,
    describe: Describer | None = None,
) -> list[str]:
    """Lay out a sample; `show_reasoning`: whether to show the reasoning; `describe`: used to show the formulas of molecules."""
    card, sample = view.card, view.sample
    group = f" ({sample.group})" if sample.group and not card.gated else ""
    repeat = f", repeat {view.repeat}" if card.config.repeats > 1 else ""
    heading = f"{card.config.suite} · {card.config.protocol} · {card.model} · run {card.run}"
    lines = _style_lines(BOLD, wrap(plain(heading), max_width, indent="  "))
    lines += wrap(plain(f"sample {sample.id}{group}{repeat}: {view.verdict}"), max_width, indent="  ")
    if card.gated:
        return [*lines, *_gated_lines(view, max_width)]
    lines += _block("Prompt", _prompt_text(view), max_width)
    lines += _outcome_lines(view, max_width, show_reasoning=show_reasoning)
    lines += _block("Molecules", _molecules_text(view, describe), max_width)
    lines += _block("Answer", _answer_text(view, describe), max_width)
    lines += _block("Gold", _gold_text(view, describe), max_width)
    lines += _block("Reason", _reason_text(view), max_width)
    lines += _block("Agreement", _agreement_text(view), max_width)
    return lines


def _style_lines(style: str, lines: Sequence[str]) -> list[str]:
    return [f"{style}{line}{END}" for line in lines]


def _block(title: str, text: str, max_width: int | None) -> list[str]:
    if not text:
        return []
    inner = None if max_width is None else max(20, max_width - 2)
    body = [
        f"  {row}".rstrip() for line in plain(text).expandtabs(4).split("\n") for row in wrap(line, inner)
    ]
    return ["", f"{BOLD}{title}{END}", *body]


def _gated_lines(view: SampleView, max_width: int | None) -> list[str]:
    """Return the gold letters and the answer letter of a gated sample, without texts."""
    target = view.sample.target
    letters = [target] if isinstance(target, str) else list(target) if isinstance(target, tuple) else []
    answer = view.score.answer if view.score else None
    facts = []
    if letters and all(re.fullmatch("[A-Z]", letter) for letter in letters):
        facts.append(f"gold {', '.join(letters)}")
        facts.append(f"answer {answer if answer and re.fullmatch('[A-Z]', answer) else '-'}")
    facts.append("the suite is gated: its texts are not shown")
    return wrap("; ".join(facts), max_width, indent="  ")


def _prompt_text(view: SampleView) -> str:
    if view.record is None or not view.record.prompt.messages:
        if view.sample.question:
            return f"(question from the data set; the prompt that was sent is unknown)\n{plain_text(view.sample.question)}"
        return "not stored: the replies were imported" if view.record else "never sent"
    messages = view.record.prompt.messages
    if len(messages) == 1:
        return plain_text(messages[0].parts)
    return "\n\n".join(f"[{message.role}]\n{plain_text(message.parts)}" for message in messages)


def _outcome_lines(view: SampleView, max_width: int | None, *, show_reasoning: bool) -> list[str]:
    outcome = view.record.outcome if view.record else None
    if outcome is None:
        return []
    if isinstance(outcome, Failure):
        return _block("Failed", f"{outcome.stage}, {outcome.kind}: {outcome.message}", max_width)
    lines: list[str] = []
    if outcome.reasoning and show_reasoning:
        lines += _block("Reasoning", outcome.reasoning, max_width)
    elif outcome.reasoning:
        hint = f"Reasoning: {len(outcome.reasoning.split())} words; --reasoning shows them"
        lines += ["", *_style_lines(DIM, wrap(hint, max_width))]
    endings = {"length": " (truncated at max tokens)", "filter": " (stopped by the server's filter)"}
    return lines + _reply_lines(view, outcome, max_width, title=f"Reply{endings.get(outcome.stop, '')}")


def _reply_lines(view: SampleView, reply: Reply, max_width: int | None, *, title: str) -> list[str]:
    text = reply.text
    span = answer_span(view.score, view.record.prompt, reply) if view.score and view.record else None
    if span is not None:
        text = f"{text[: span.start]}{ANSWER_MARKS[0]}{text[span.start : span.end]}{ANSWER_MARKS[1]}{text[span.end :]}"
    lines = _block(title, text or "(empty)", max_width)
    return lines if span is None else highlight(lines)


def highlight(lines: Sequence[str]) -> list[str]:
    """Show the marked answer, which may extend over several lines, in reverse video."""

    def reverse(match: re.Match[str]) -> str:
        return f"{REVERSE_VIDEO}{match[0]}{END}"

    marked = re.sub("»[^»«]*«", lambda match: re.sub(r"\S.*", reverse, match[0]), "\n".join(lines))
    return marked.split("\n")


def _option_text(view: SampleView, letter: str) -> str:
    index = ord(letter) - ord("A") if re.fullmatch("[A-Z]", letter) else -1
    choices = view.sample.choices
    if not 0 <= index < len(choices):
        return letter
    order = view.record.prompt.order if view.record else None
    prompt_letter = chr(ord("A") + order.index(index)) if order is not None and index in order else letter
    note = "" if prompt_letter == letter else f" (shown as {prompt_letter})"
    return f"{letter}{note}  {choices[index]}"


def _answer_text(view: SampleView, describe: Describer | None) -> str:
    if view.score is None:
        return ""
    if not (answer := view.score.answer):
        return "no answer"
    if view.sample.choices:
        letters = answer.split(", ")
        if all(re.fullmatch("[A-Z]", letter) for letter in letters):
            return "\n".join(_option_text(view, letter) for letter in letters)
    return _describe_if_scored_as_molecule(view, answer, describe)


def _gold_text(view: SampleView, describe: Describer | None) -> str:
    target, unit = view.sample.target, view.sample.unit
    if isinstance(target, float):
        return f"{target:g} {unit}".rstrip()
    targets = (target,) if isinstance(target, str) else target
    if view.sample.choices:
        return "\n".join(_option_text(view, letter) for letter in targets)
    text = ", ".join(targets)
    return _describe_if_scored_as_molecule(view, text, describe) if not unit else f"{text} {unit}"


_TAGGED_MOLECULE = re.compile(r"<(SMILES|IUPAC)>\s{0,9}([^<>\n]{1,1000}?)\s{0,9}</\1>")


def _tagged_molecules(view: SampleView, kind: str) -> list[str]:
    """Return the molecules tagged `<kind>` in the question, except in the phrase "between <SMILES> and </SMILES>"."""
    tags = (tag for tag in _TAGGED_MOLECULE.finditer(_question(view)) if tag[1] == kind and tag[2] != "and")
    return list(dict.fromkeys(tag[2] for tag in tags))


def _question(view: SampleView) -> str:
    """Return the last message of the prompt (examples are in earlier ones); empty if it is not stored."""
    messages = view.record.prompt.messages if view.record else ()
    return plain_text(messages[-1].parts) if messages else ""


def _molecules_text(view: SampleView, describe: Describer | None) -> str:
    if describe is None:
        return ""
    molecules = [
        smiles for smiles in _tagged_molecules(view, "SMILES")[-MAX_MOLECULES:] if describe(smiles).formula
    ]
    return "\n".join(_describe(view, smiles, describe) for smiles in molecules)


def _describe_if_scored_as_molecule(view: SampleView, text: str, describe: Describer | None) -> str:
    """Return an answer or gold answer, with a description if it was scored as a molecule."""
    if describe is None or view.score is None or "rung" not in view.score.parts:
        return text
    return _describe(view, text, describe)


def _describe(view: SampleView, smiles: str, describe: Describer) -> str:
    """Return a SMILES with its formula, and with its name if known, or else with its canonical form if that differs."""
    formula, canonical = describe(smiles)
    if not formula:
        return smiles
    named_smiles, name = _named_molecule(view)
    if name and describe(named_smiles).canonical == canonical:
        return f"{smiles}  ({formula})\n{name}"
    note = f"; canonical {canonical}" if canonical != smiles else ""
    return f"{smiles}  ({formula}{note})"


def _named_molecule(view: SampleView) -> tuple[str, str]:
    """Return a molecule's SMILES and IUPAC name if the prompt has one and the gold answer is the other; else empty strings."""
    target = view.sample.target
    names, smiles = _tagged_molecules(view, "IUPAC"), _tagged_molecules(view, "SMILES")
    if isinstance(target, str) and len(names) == 1 and not smiles:
        return target, names[0]
    if isinstance(target, str) and len(smiles) == 1 and not names and "<IUPAC>" in _question(view):
        return smiles[0], target  # the question asks for the name
    return "", ""


def _reason_text(view: SampleView) -> str:
    score = view.score
    if score is None:
        if (failure := view.failure) is None or view.record is None or failure is view.record.outcome:
            return ""
        return failure.message
    lines = [score.why] if score.why else []
    lines += [f"judge {judgement.judge}: {judgement.text}" for judgement in score.judged]
    lines += ["suspect: needs human review"] if score.suspect else []
    if score.verdict == "graded" and score.value is not None:
        lines.append(f"value {score.value:g}")
    return "\n".join(lines)


def _agreement_text(view: SampleView) -> str:
    """Return the degrees of agreement, with a tick before each that the answer reaches."""
    score = view.score
    if score is None or "rung" not in score.parts:
        return ""
    rung = score.parts["rung"]
    return "\n".join(f"{'✓' if rung >= number else '✗'} {description}" for number, description in RUNGS)
