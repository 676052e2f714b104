"""One sample of a run in full: prompt, reply with the extracted answer marked, gold answer, verdict and reason.

Of a gated suite, only ids, letters and verdicts are shown.
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
    from evals.terminal.molecules import Molecule

Describe: TypeAlias = "Callable[[str], Molecule]"
"""SMILES -> formula and canonical SMILES; both empty if it is not a molecule."""
NOT_RIGHT = "not-right"
"""Every outcome but `right`, including failures and absent samples."""
MARKED = ("»", "«")
"""Marks around the extracted answer, shown in reverse video on a terminal."""
REVERSE = "\x1b[7m"
MOLECULES = 4
"""Maximum number of prompt molecules shown with a formula."""
LADDER = (
    (5.0, "the same SMILES, letter by letter"),
    (4.0, "the same molecule (canonical SMILES)"),
    (3.5, "the same compound, drawn differently"),
    (3.0, "the same but for stereo"),
    (2.0, "the same parent: neutral, largest fragment, without isotopes"),
    (1.0, "a tautomer of it"),
)
"""Descriptions of the rungs of `scorers/molecule_match.py`, by their value in `Score.parts`."""


class Shown(Struct, frozen=True, kw_only=True):
    """One sample and repeat of a run."""

    card: Card
    sample: Sample
    repeat: int
    record: Record | None
    """None if the run has no record of the sample."""

    @property
    def score(self) -> Score | None:
        """Return the score of the suite's first scorer; None if there is none."""
        first = next(iter(self.record.scores.values()), None) if self.record else None
        return first if isinstance(first, Score) else None

    @property
    def failure(self) -> Failure | None:
        """Return why there is no score; None if nothing failed."""
        if self.record is None:
            return None
        first = next(iter(self.record.scores.values()), None)
        return (
            self.record.outcome
            if isinstance(self.record.outcome, Failure)
            else first
            if isinstance(first, Failure)
            else None
        )

    @property
    def verdict(self) -> str:
        """Return the verdict, `failed:KIND`, `unscored` or `absent`."""
        if self.failure is not None:
            return str(Failed(self.failure.kind))
        return self.score.verdict if self.score else "unscored" if self.record else "absent"


# --- selection -----------------------------------------------------------------------------------------------


def find(run: Run, sample: str | None, *, repeat: int = 0, then: str | None = None) -> Shown:
    """Return a sample of a run; with `then`, the next one with this verdict (without `sample`, the first of the run).

    Raises StoreError if the run does not expect the sample, or if no further one has the verdict.
    """
    card = run.card
    samples = list(run.samples())
    if sample is not None and not any(candidate.id == sample for candidate in samples):
        raise StoreError(_no_sample(run, sample, [candidate.id for candidate in samples]))
    if sample is not None and not 0 <= repeat < card.config.repeats:
        raise StoreError(f"{card.run} has repeats 0 to {card.config.repeats - 1}, not {repeat}")
    if sample is not None and then is None:
        chosen = next(candidate for candidate in samples if candidate.id == sample)
        return Shown(card=card, sample=chosen, repeat=repeat, record=_record(run, (sample, repeat)))
    place, then = (sample, repeat) if sample is not None else None, then or NOT_RIGHT
    if (following := _next(run, card, samples, place, then)) is None:
        behind = f" after {sample}" if sample is not None else ""
        counts = counts_line(card.counts) or "nothing recorded yet"
        raise StoreError(f"{card.run} has no sample that is {then}{behind}; it has {counts}")
    return following


def _no_sample(run: Run, sample: str, ids: Sequence[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(sample, ids, n=3) or list(ids[:3])
    return f"{run.path.name} has no sample {sample!r}; it has {len(ids)}, for example {', '.join(near)}"


def _record(run: Run, key: tuple[str, int]) -> Record | None:
    return next((record for record in run.records() if (record.sample, record.repeat) == key), None)


def _next(
    run: Run, card: Card, samples: Sequence[Sample], place: tuple[str, int] | None, verdict: str
) -> Shown | None:
    """Return the next sample with a verdict, in data order; texts are read only for the match."""
    briefs = {(brief.sample, brief.repeat): brief for brief in run.briefs()}
    begun = place is None
    for sample in samples:
        for repeat in range(card.config.repeats):
            if begun and _fits(briefs.get((sample.id, repeat)), verdict):
                record = _record(run, (sample.id, repeat))
                return Shown(card=card, sample=sample, repeat=repeat, record=record)
            begun = begun or (sample.id, repeat) == place
    return None


def _fits(brief: object, verdict: str) -> bool:
    from evals.records.files import Brief

    if not isinstance(brief, Brief):
        return verdict in ("absent", NOT_RIGHT)
    first = next(iter(brief.scores.values()), None)
    outcome = (
        str(Failed(brief.failure))
        if brief.failure
        else first.verdict
        if isinstance(first, Score)
        else "unscored"
        if first is None
        else str(Failed(first.kind))
    )
    return outcome != "right" if verdict == NOT_RIGHT else verdict in (outcome, outcome.partition(":")[0])


# --- answer span ---------------------------------------------------------------------------------------------


class Span(NamedTuple):
    """Characters of a reply."""

    start: int
    end: int


def where_read(score: Score, prompt: Prompt, reply: Reply) -> Span | None:
    """Return the span of a reply from which the answer was extracted; None if unknown.

    Scores of older runs and of other harnesses' rules do not store the span; the last occurrence of the answer is used instead.
    """
    if score.span is not None:
        start, end = score.span
        return Span(start, end) if 0 <= start < end <= len(reply.text) else None
    if not (answer := score.answer):
        return None
    shown = answer
    if len(answer) == 1 and answer.isascii() and answer.isupper() and prompt.order is not None:
        if ord(answer) - ord("A") not in prompt.order:
            return None
        shown = prompt.shown_letter(answer)
    whole = rf"(?<![A-Za-z0-9]){re.escape(shown)}(?![A-Za-z0-9])"
    matches = list(re.finditer(whole, reply.text))
    if matches:
        return Span(*matches[-1].span())
    start = reply.text.rfind(shown)
    return Span(start, start + len(shown)) if start >= 0 else None


# --- layout --------------------------------------------------------------------------------------------------


def layout(
    shown: Shown,
    max_width: int | None,
    *,
    reasoning: bool = False,
    describe: Describe | None = None,
) -> list[str]:
    """Lay out a sample; `describe` gives a molecule's formula and canonical SMILES (it may need a worker process)."""
    card, sample = shown.card, shown.sample
    group = f" ({sample.group})" if sample.group and not card.gated else ""
    repeat = f", repeat {shown.repeat}" if card.config.repeats > 1 else ""
    head = f"{card.config.suite} · {card.config.protocol} · {card.model} · run {card.run}"
    lines = _styled(BOLD, wrap(plain(head), max_width, indent="  "))
    lines += wrap(plain(f"sample {sample.id}{group}{repeat}: {shown.verdict}"), max_width, indent="  ")
    if card.gated:
        return [*lines, *_gated(shown, max_width)]
    lines += _block("Prompt", _prompt(shown), max_width)
    lines += _replied(shown, max_width, reasoning=reasoning)
    lines += _block("Molecules", _molecules(shown, describe), max_width)
    lines += _block("Read", _answer(shown, describe), max_width)
    lines += _block("Gold", _gold(shown, describe), max_width)
    lines += _block("Why", _why(shown), max_width)
    lines += _block("Ladder", _ladder(shown), max_width)
    return lines


def _styled(style: str, lines: Sequence[str]) -> list[str]:
    return [f"{style}{line}{END}" for line in lines]


def _block(title: str, text: str, max_width: int | None, *, first: str = "  ") -> list[str]:
    if not text:
        return []
    inner = None if max_width is None else max(20, max_width - len(first))
    body = [
        f"{first}{row}".rstrip()
        for line in plain(text).expandtabs(4).split("\n")
        for row in wrap(line, inner)
    ]
    return ["", f"{BOLD}{title}{END}", *body]


def _gated(shown: Shown, max_width: int | None) -> list[str]:
    """Return letters and verdict of a gated sample, without texts."""
    target = shown.sample.target
    letters = [target] if isinstance(target, str) else list(target) if isinstance(target, tuple) else []
    answer = shown.score.answer if shown.score else None
    facts = []
    if letters and all(re.fullmatch("[A-Z]", letter) for letter in letters):
        facts.append(f"gold {', '.join(letters)}")
        facts.append(f"read {answer if answer and re.fullmatch('[A-Z]', answer) else '-'}")
    facts.append("the suite is gated: its texts stay in the results folder")
    return wrap("; ".join(facts), max_width, indent="  ")


def _prompt(shown: Shown) -> str:
    if shown.record is None or not shown.record.prompt.messages:
        if shown.sample.question:
            return f"(question of the data set; the prompt as sent is not known)\n{plain_text(shown.sample.question)}"
        return "not stored: the replies were imported" if shown.record else "never sent"
    messages = shown.record.prompt.messages
    if len(messages) == 1:
        return plain_text(messages[0].parts)
    return "\n\n".join(f"[{message.role}]\n{plain_text(message.parts)}" for message in messages)


def _replied(shown: Shown, max_width: int | None, *, reasoning: bool) -> list[str]:
    outcome = shown.record.outcome if shown.record else None
    if outcome is None:
        return []
    if isinstance(outcome, Failure):
        return _block("Failed", f"{outcome.stage}, {outcome.kind}: {outcome.message}", max_width)
    lines: list[str] = []
    if outcome.reasoning and reasoning:
        lines += _block("Reasoning", outcome.reasoning, max_width)
    elif outcome.reasoning:
        words = len(outcome.reasoning.split())
        lines += ["", *_styled(DIM, wrap(f"Reasoning: {words} words; --reasoning shows them", max_width))]
    ends = {"length": " (truncated at max tokens)", "filter": " (stopped by the server's filter)"}
    return lines + _reply(shown, outcome, max_width, title=f"Reply{ends.get(outcome.stop, '')}")


def _reply(shown: Shown, reply: Reply, max_width: int | None, *, title: str) -> list[str]:
    """Lay out a reply with the extracted answer between marks."""
    text = reply.text
    span = where_read(shown.score, shown.record.prompt, reply) if shown.score and shown.record else None
    if span is not None:
        text = f"{text[: span.start]}{MARKED[0]}{text[span.start : span.end]}{MARKED[1]}{text[span.end :]}"
    lines = _block(title, text or "(empty)", max_width)
    if span is None:
        return lines
    return [
        re.sub("(»[^»«]*«)", lambda match: f"{REVERSE}{match[1]}{END}", line) if MARKED[1] in line else line
        for line in lines
    ]


def _option(shown: Shown, letter: str) -> str:
    index = ord(letter) - ord("A") if re.fullmatch("[A-Z]", letter) else -1
    choices = shown.sample.choices
    if not 0 <= index < len(choices):
        return letter
    order = shown.record.prompt.order if shown.record else None
    shown_as = ""
    if (
        order is not None
        and index in order
        and (shown_letter := chr(ord("A") + order.index(index))) != letter
    ):
        shown_as = f" (shown as {shown_letter})"
    return f"{letter}{shown_as}  {choices[index]}"


def _answer(shown: Shown, describe: Describe | None) -> str:
    if shown.score is None:
        return ""
    if not (answer := shown.score.answer):
        return "no answer"
    if shown.sample.choices:
        letters = answer.split(", ")
        if all(re.fullmatch("[A-Z]", letter) for letter in letters):
            return "\n".join(_option(shown, letter) for letter in letters)
    return _with_facts(shown, answer, describe)


def _gold(shown: Shown, describe: Describe | None) -> str:
    target, unit = shown.sample.target, shown.sample.unit
    if isinstance(target, float):
        return f"{target:g} {unit}".rstrip()
    targets = (target,) if isinstance(target, str) else target
    if shown.sample.choices:
        return "\n".join(_option(shown, letter) for letter in targets)
    text = ", ".join(targets)
    return _with_facts(shown, text, describe) if not unit else f"{text} {unit}"


_TAGGED = re.compile(r"<(SMILES|IUPAC)>\s{0,9}([^<>\n]{1,1000}?)\s{0,9}</\1>")


def _tagged(shown: Shown, kind: str) -> list[str]:
    """Return the molecules in these tags in the question; `between <SMILES> and </SMILES>` has none."""
    tags = (tag for tag in _TAGGED.finditer(_question(shown)) if tag[1] == kind and tag[2] != "and")
    return list(dict.fromkeys(tag[2] for tag in tags))


def _question(shown: Shown) -> str:
    """Return the last message of the prompt, which has no examples; empty if it is not stored."""
    messages = shown.record.prompt.messages if shown.record else ()
    return plain_text(messages[-1].parts) if messages else ""


def _molecules(shown: Shown, describe: Describe | None) -> str:
    """Return the molecules of the prompt with what is known of them."""
    if describe is None:
        return ""
    molecules = [each for each in _tagged(shown, "SMILES")[-MOLECULES:] if describe(each).formula]
    return "\n".join(_facts(shown, each, describe) for each in molecules)


def _with_facts(shown: Shown, text: str, describe: Describe | None) -> str:
    """Return an answer or gold answer, with the facts of the molecule if it was scored as one."""
    if describe is None or shown.score is None or "rung" not in shown.score.parts:
        return text
    return _facts(shown, text, describe)


def _facts(shown: Shown, smiles: str, describe: Describe) -> str:
    """Return a SMILES with its formula and its name; without a name, with the canonical SMILES if it is another one."""
    formula, canonical = describe(smiles)
    if not formula:
        return smiles
    known, name = _name(shown)
    if name and describe(known).canonical == canonical:
        return f"{smiles}  ({formula})\n{name}"
    other = f"; canonical {canonical}" if canonical != smiles else ""
    return f"{smiles}  ({formula}{other})"


def _name(shown: Shown) -> tuple[str, str]:
    """Return the molecule whose IUPAC name the sample states, and the name: one is in the prompt, the other the gold answer."""
    target, names, smiles = shown.sample.target, _tagged(shown, "IUPAC"), _tagged(shown, "SMILES")
    if isinstance(target, str) and len(names) == 1 and not smiles:
        return target, names[0]
    if isinstance(target, str) and len(smiles) == 1 and not names and "<IUPAC>" in _question(shown):
        return smiles[0], target  # the question asks for the name
    return "", ""


def _why(shown: Shown) -> str:
    score = shown.score
    if score is None:
        failed = shown.failure
        return (
            "" if failed is None or shown.record is None or failed is shown.record.outcome else failed.message
        )
    lines = [score.why] if score.why else []
    lines += [f"judge {judgement.judge}: {judgement.text}" for judgement in score.judged]
    lines += ["suspect: a person should review it"] if score.suspect else []
    if score.verdict == "graded" and score.value is not None:
        lines.append(f"value {score.value:g}")
    return "\n".join(lines)


def _ladder(shown: Shown) -> str:
    """Return the rungs of the ladder with a tick at those that the molecule reaches."""
    score = shown.score
    if score is None or "rung" not in score.parts:
        return ""
    rung = score.parts["rung"]
    return "\n".join(f"{'✓' if rung >= number else '✗'} {words}" for number, words in LADDER)
