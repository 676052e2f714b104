"""Samples of a run, one by one: the list to walk through, and all there is of one. Plain functions.

Of a gated suite only ids and verdicts leave this module. Texts are read for one sample at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct, structs

from evals.dashboard.tables.frames import Entry, query
from evals.errors import StoreError
from evals.extract.smiles import looks_like_smiles
from evals.extract.units import convert, read
from evals.prompts import plain_text
from evals.records.files import SAMPLE
from evals.terminal import sample as sample_text
from evals.types import Failure, Prompt, Reply, Sample, Score

if TYPE_CHECKING:
    import pandas as pd

NOT_RIGHT = "not right"
"""Every outcome but `right`, what is missing included."""
ABSENT = "absent"


# --- the list -----------------------------------------------------------------------------------------------


def listing(entries: Sequence[Entry]) -> pd.DataFrame:
    """List what the first run expects, in the order of the data set.

    Columns: `sample`, `repeat`, `group`, `value` in the first run, and the verdict in each run as `verdict0`,
    `verdict1`, ...; `absent` where there is no record.
    """
    first, *others = entries
    repeats = max(1, first.card.config.repeats)
    joins = "".join(
        f" LEFT JOIN (SELECT sample, repeat, verdict FROM records WHERE path = ?) AS r{i + 1} "
        f"ON r{i + 1}.sample = s.id AND r{i + 1}.repeat = t.k"
        for i in range(len(others))
    )
    more = "".join(f", coalesce(r{i + 1}.verdict, 'absent') AS verdict{i + 1}" for i in range(len(others)))
    sql = f"""
        SELECT s.id AS sample, t.k::INT AS repeat, s."group" AS "group", r0.value AS value,
            coalesce(r0.verdict, 'absent') AS verdict0{more}
        FROM (SELECT id, "group", row_number() OVER () AS place FROM samples WHERE path = ?) AS s
        CROSS JOIN (SELECT unnest(range(?)) AS k) AS t
        LEFT JOIN (SELECT sample, repeat, verdict, value FROM records WHERE path = ?) AS r0
            ON r0.sample = s.id AND r0.repeat = t.k{joins}
        ORDER BY s.place, t.k"""
    paths = [str(entry.path) for entry in entries]
    return query([entry.path for entry in entries], sql, (paths[0], repeats, *paths))


def verdicts(frame: pd.DataFrame, run: int = 0) -> list[str]:
    """Return the outcomes that occur in a run of a listing, to filter by."""
    counts: Counter[str] = Counter()
    for verdict, count in frame[f"verdict{run}"].value_counts().items():
        counts[str(verdict).partition(":")[0]] += int(count)
    kinds = [kind for kind, _ in counts.most_common()]
    return [*kinds, NOT_RIGHT] if "right" in kinds and len(kinds) > 1 else kinds


def chosen(
    frame: pd.DataFrame, *, outcomes: Mapping[int, str] = {}, group: str = "", text: str = ""
) -> pd.DataFrame:
    """Keep the rows of a listing with these outcomes (by run), of a group, with a text in their id."""
    kept = frame
    for run, outcome in outcomes.items():
        if outcome and f"verdict{run}" in frame:
            kinds = kept[f"verdict{run}"].str.partition(":")[0]
            kept = kept[kinds != "right" if outcome == NOT_RIGHT else kinds == outcome]
    if group:
        kept = kept[kept["group"] == group]
    if text:
        kept = kept[kept["sample"].str.contains(text, case=False, regex=False)]
    return kept.reset_index(drop=True)


class Walk(NamedTuple):
    """Where a sample stands in a filtered list."""

    place: int | None
    """From 0; None: the sample is not in it."""
    before: tuple[str, int] | None
    """Sample and repeat."""
    after: tuple[str, int] | None


def walk(frame: pd.DataFrame, sample: str, repeat: int) -> Walk:
    """Find the neighbours of a sample and repeat; of one that the filter leaves out, the first of the list."""
    found = frame.index[(frame["sample"] == sample) & (frame["repeat"] == repeat)]
    keys = list(zip(frame["sample"], frame["repeat"].astype(int), strict=True))
    if not len(found):
        return Walk(None, None, keys[0] if keys else None)
    place = int(found[0])
    return Walk(place, keys[place - 1] if place else None, keys[place + 1] if place + 1 < len(keys) else None)


# --- one of them --------------------------------------------------------------------------------------------


class Item(Struct, frozen=True, kw_only=True):
    """One sample and repeat in one run."""

    entry: Entry
    id: str
    repeat: int
    verdict: str
    group: str = ""
    sample: Sample | None = None
    """The gold side; None in a gated suite."""
    prompt: Prompt | None = None
    """None in a gated suite, and where there is no record."""
    outcome: Reply | Failure | None = None
    scores: dict[str, Score | Failure] = {}

    @property
    def score(self) -> Score | None:
        """Return the suite's first score; None where there is none."""
        first = next(iter(self.scores.values()), None)
        return first if isinstance(first, Score) else None

    @property
    def reply(self) -> Reply | None:
        """Return the reply; None where asking failed."""
        return self.outcome if isinstance(self.outcome, Reply) else None

    @property
    def asked(self) -> str:
        """Return all words of the prompt; if it is not known, those of the data set's question."""
        if self.prompt and self.prompt.messages:
            return "\n".join(plain_text(message.parts) for message in self.prompt.messages)
        return plain_text(self.sample.question) if self.sample else ""


_PROMPT = msgspec.json.Decoder(Prompt)
_OUTCOME = msgspec.json.Decoder(Reply | Failure)
_SCORES = msgspec.json.Decoder(dict[str, Score | Failure])


def item(entry: Entry, sample: str, repeat: int = 0) -> Item | None:
    """Read one sample of a run; None where the run does not expect it. Raises StoreError where it is broken."""
    texts = not entry.card.gated
    gold = query(
        entry.path, f'SELECT "group"{", json" if texts else ""} FROM samples WHERE id = ?', (sample,)
    )
    if gold.empty:
        return None
    found = query(
        entry.path,
        f"SELECT verdict{', prompt, outcome, scores' if texts else ''} FROM records WHERE sample = ? AND repeat = ?",
        (sample, repeat),
    )
    verdict = ABSENT if found.empty else str(found["verdict"][0])
    bare = Item(entry=entry, id=sample, repeat=repeat, group=str(gold["group"][0]), verdict=verdict)
    if not texts:
        return bare
    try:
        bare = structs.replace(bare, sample=SAMPLE.decode(gold["json"][0]))
        if found.empty:
            return bare
        return structs.replace(
            bare,
            prompt=_PROMPT.decode(found["prompt"][0]),
            outcome=_OUTCOME.decode(found["outcome"][0]),
            scores=_SCORES.decode(found["scores"][0]),
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise StoreError(f"{entry.path}: sample {sample!r} is broken ({error})") from error


def where_read(item: Item) -> tuple[int, int] | None:
    """Return the characters of the reply that were read as the answer; None if there are none."""
    if item.reply is None or item.score is None or item.prompt is None:
        return None
    span = sample_text.where_read(item.score, item.prompt, item.reply)
    return (span.start, span.end) if span else None


class Option(NamedTuple):
    """An option of a choice question, as it was shown."""

    shown: str
    """Letter that the model saw."""
    letter: str
    """Letter in the data set's order."""
    text: str
    gold: bool
    answered: bool


def options(item: Item) -> list[Option]:
    """Return the options in the order shown, with the gold ones and the answered ones marked."""
    if item.sample is None or not item.sample.choices:
        return []
    sample, count = item.sample, len(item.sample.choices)
    order = item.prompt.order if item.prompt and item.prompt.order is not None else range(count)
    golds = set(sample.target) if isinstance(sample.target, tuple) else {str(sample.target)}
    stated = item.score.answer if item.score else None
    answered = set(re.findall(r"\b[A-Z]\b", stated)) if stated else set()
    return [
        Option(chr(ord("A") + place), letter, sample.choices[index], letter in golds, letter in answered)
        for place, index in enumerate(order)
        if 0 <= index < count
        for letter in [chr(ord("A") + index)]
    ]


class Figures(NamedTuple):
    """A number that was stated, beside the target."""

    value: float
    target: float
    unit: str
    error: float
    """Value minus target."""
    relative: float | None
    """Error over target; None at a target of 0."""


def figures(item: Item) -> Figures | None:
    """Compare the stated number with the target in the target's unit; None where either is no number."""
    if item.sample is None or item.sample.choices or item.score is None or item.score.answer is None:
        return None
    unit = item.sample.unit or _unit(item.entry)
    found, target = read(item.score.answer, item.sample.unit), _number(item.sample.target)
    if found is None or target is None:
        return None
    value = convert(found.value, found.unit, item.sample.unit) if item.sample.unit else found.value
    if value is None or not isfinite(value):
        return None
    return Figures(value, target, unit, value - target, (value - target) / abs(target) if target else None)


def _unit(entry: Entry) -> str:
    head = entry.headline
    return head.unit if head and head.unit != "fraction" else ""


def _number(target: object) -> float | None:
    try:
        value = float(target)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if isfinite(value) else None


SCORERS_OF_MOLECULES = frozenset({"molecule", "molecules"})
_TAGGED = re.compile(
    r"(?:<SMILES>|\[START_SMILES\])\s*([^\s<\[][^\s<]{0,2000}?)\s*(?:</SMILES>|\[END_SMILES\])"
)
REACTIONS = {"smolinstruct:FS": "forward", "smolinstruct:RS": "backward"}
"""Suites whose question is one side of a reaction and whose answer is the other."""


class Molecules(NamedTuple):
    """SMILES of an item that can be drawn."""

    answer: str
    """Empty: none was stated."""
    gold: str
    """Empty: the gold answer is no molecule."""
    given: tuple[str, ...]
    """In the question."""
    reaction: str
    """`forward`: the question gives the reactants; `backward`: the product; empty: no reaction."""


def molecules(item: Item) -> Molecules | None:
    """Return the molecules of an item; None where there are none."""
    if item.sample is None:
        return None
    tagged = dict.fromkeys(_TAGGED.findall(item.asked))
    given = tuple(smiles for smiles in tagged if looks_like_smiles(smiles))[:4]
    answer = gold = ""
    if SCORERS_OF_MOLECULES & item.scores.keys():
        gold = str(item.sample.target).replace(";", ".")
        answer = (item.score.answer or "").replace(";", ".") if item.score else ""
    elif isinstance(item.sample.meta.get("smiles"), str):
        given = given or (item.sample.meta["smiles"],)
    if not (answer or gold or given):
        return None
    return Molecules(answer, gold, given, REACTIONS.get(item.entry.card.config.suite, "") if gold else "")
