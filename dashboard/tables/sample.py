"""Samples of a run: the list that a reader walks through, and everything about a single one.

Of a gated suite only ids and verdicts leave this module. Texts are read for one sample at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import Struct, structs

from evals.dashboard.tables.frames import Entry, query
from evals.errors import StoreError, UsageError
from evals.extract.selfies import rewrite_selfies
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


# --- list -----------------------------------------------------------------------------------------------


def listing(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return the samples that the first run expects, in the order of the data set.

    Columns: `sample`, `repeat`, `group`, `value` in the first run, and the verdict in each run as `verdict0`,
    `verdict1`, ...; `absent` without a record.
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
    """Return the outcomes that occur in a run of a listing, the most frequent first."""
    counts: Counter[str] = Counter()
    for verdict, count in frame[f"verdict{run}"].value_counts().items():
        counts[str(verdict).partition(":")[0]] += int(count)
    kinds = [kind for kind, _ in counts.most_common()]
    return [*kinds, NOT_RIGHT] if "right" in kinds and len(kinds) > 1 else kinds


def chosen(
    frame: pd.DataFrame, *, outcomes: Mapping[int, str] = {}, group: str = "", text: str = ""
) -> pd.DataFrame:
    """Return the rows of a listing with these outcomes (by run), of a group, with a text in their id."""
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


class Neighbours(NamedTuple):
    """The position of a sample in a filtered list."""

    place: int | None
    """From 0; None: the sample is not in the list."""
    before: tuple[str, int] | None
    """Sample and repeat."""
    after: tuple[str, int] | None


def neighbours(frame: pd.DataFrame, sample: str, repeat: int) -> Neighbours:
    """Return the neighbours of a sample and repeat; if the filter leaves it out, the first of the list."""
    places = frame.index[(frame["sample"] == sample) & (frame["repeat"] == repeat)]
    keys = list(zip(frame["sample"], frame["repeat"].astype(int), strict=True))
    if not len(places):
        return Neighbours(None, None, keys[0] if keys else None)
    place = int(places[0])
    return Neighbours(
        place, keys[place - 1] if place else None, keys[place + 1] if place + 1 < len(keys) else None
    )


# --- single sample --------------------------------------------------------------------------------------------


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
    """None in a gated suite, and without a record."""
    outcome: Reply | Failure | None = None
    scores: dict[str, Score | Failure] = {}

    @property
    def score(self) -> Score | None:
        """Return the score of the suite's first scorer; None if there is none."""
        first = next(iter(self.scores.values()), None)
        return first if isinstance(first, Score) else None

    @property
    def reply(self) -> Reply | None:
        """Return the reply; None if the call failed."""
        return self.outcome if isinstance(self.outcome, Reply) else None

    @property
    def asked(self) -> str:
        """Return the text of the prompt; if it is not known, that of the data set's question."""
        if self.prompt and self.prompt.messages:
            return "\n".join(plain_text(message.parts) for message in self.prompt.messages)
        return plain_text(self.sample.question) if self.sample else ""


_PROMPT = msgspec.json.Decoder(Prompt)
_OUTCOME = msgspec.json.Decoder(Reply | Failure)
_SCORES = msgspec.json.Decoder(dict[str, Score | Failure])


def item(entry: Entry, sample: str, repeat: int = 0) -> Item | None:
    """Read one sample of a run; None if the run does not expect it. Raises StoreError if it is broken."""
    return next(iter(_read(entry, [sample], repeat)), None)


def items(entry: Entry, *, most: int) -> list[Item]:
    """Read the first repeat of up to `most` samples, those that are not right first; raises StoreError."""
    frame = listing([entry])
    first = frame[frame["repeat"] == 0]
    order = (first["verdict0"] == "right").sort_values(kind="stable").index[:most]
    return _read(entry, first.loc[order, "sample"].tolist(), 0)


def _read(entry: Entry, names: Sequence[str], repeat: int) -> list[Item]:
    """Read samples with their records of one repeat, in the order of their names; of a gated suite without texts."""
    listed = ", ".join("?" * len(names)) or "NULL"
    json, texts = ("", "") if entry.card.gated else (", json", ", prompt, outcome, scores")
    golds = query(entry.path, f'SELECT id, "group"{json} FROM samples WHERE id IN ({listed})', names)
    records = query(
        entry.path,
        f"SELECT sample, verdict{texts} FROM records WHERE repeat = ? AND sample IN ({listed})",
        (repeat, *names),
    )
    known = {row["sample"]: row for row in records.to_dict("records")}
    by_id = {row["id"]: row for row in golds.to_dict("records")}
    return [
        _item(entry, repeat, by_id[name], known.get(name, {"verdict": ABSENT}))
        for name in names
        if name in by_id
    ]


def _item(entry: Entry, repeat: int, gold: Mapping[Hashable, Any], record: Mapping[Hashable, Any]) -> Item:
    bare = Item(entry=entry, id=gold["id"], repeat=repeat, group=gold["group"], verdict=record["verdict"])
    if entry.card.gated:
        return bare
    try:
        bare = structs.replace(bare, sample=SAMPLE.decode(gold["json"]))
        if "outcome" not in record:
            return bare
        return structs.replace(
            bare,
            prompt=_PROMPT.decode(record["prompt"]),
            outcome=_OUTCOME.decode(record["outcome"]),
            scores=_SCORES.decode(record["scores"]),
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise StoreError(f"{entry.path}: sample {bare.id!r} is broken ({error})") from error


def where_read(item: Item) -> tuple[int, int] | None:
    """Return the characters of the reply that were read as the answer; None if there are none."""
    if item.reply is None or item.score is None or item.prompt is None:
        return None
    span = sample_text.answer_span(item.score, item.prompt, item.reply)
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
    """Compare the stated number with the target in the target's unit; None if either is not a number."""
    if item.sample is None or item.sample.choices or item.score is None or item.score.answer is None:
        return None
    unit = item.sample.unit or _unit(item.entry)
    answered, target = read(item.score.answer, item.sample.unit), _number(item.sample.target)
    if answered is None or target is None:
        return None
    value = convert(answered.value, answered.unit, item.sample.unit) if item.sample.unit else answered.value
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


MOLECULE_SCORERS = frozenset({"molecule", "molecules", "selfies"})
DRAWN = 4
"""Molecules of a question that are drawn: the last ones, since examples come first."""
_TAGGED = re.compile(
    r"(?:<SMILES>|\[START_SMILES\])\s*([^\s<\[][^\s<]{0,2000}?)\s*(?:</SMILES>|\[END_SMILES\])"
)
_NAME = re.compile(r"<IUPAC>\s{0,9}([^<>\n]{1,1000}?)\s{0,9}</IUPAC>")
REACTIONS = {
    "smolinstruct:FS": "forward",
    "smolinstruct:RS": "backward",
    "mol-instructions:FS": "forward",
    "mol-instructions:RS": "backward",
}
"""Suites whose question is one side of a reaction and whose answer is the other."""


class Molecules(NamedTuple):
    """SMILES of an item that can be drawn."""

    answer: str
    """Empty: none was extracted."""
    gold: str
    """Empty: the gold answer is not a molecule."""
    given: dict[str, str]
    """SMILES in the question -> the letter of its option; empty: it is not an option."""
    reaction: str
    """`forward`: the question gives the reactants; `backward`: the product; empty: no reaction."""
    name: str
    """Of the gold molecule, if the question asks for the structure of a name; else empty."""


def molecules(item: Item) -> Molecules | None:
    """Return the molecules of an item; None if there are none."""
    if item.sample is None:
        return None
    given, answer, gold = _given(item), "", ""
    if MOLECULE_SCORERS & item.scores.keys():
        gold = _in_smiles(item, str(item.sample.target)).replace(";", ".")
        answer = (item.score.answer or "").replace(";", ".") if item.score else ""
    elif not given and isinstance(item.sample.meta.get("smiles"), str):
        given = {item.sample.meta["smiles"]: ""}
    if not (answer or gold or given):
        return None
    names = set(_NAME.findall(item.asked)) if gold else set()
    reaction = REACTIONS.get(item.entry.card.config.suite, "") if gold else ""
    return Molecules(answer, gold, given, reaction, names.pop() if len(names) == 1 else "")


def _given(item: Item) -> dict[str, str]:
    """Return the molecules of a question: those in tags, else options that all are SMILES, else words that must be SMILES."""
    asked = _in_smiles(item, item.asked)
    tagged = [smiles for smiles in dict.fromkeys(_TAGGED.findall(asked)) if looks_like_smiles(smiles)]
    if tagged:
        return dict.fromkeys(tagged[-DRAWN:], "")
    choices = options(item)
    if choices and all(_surely_smiles(choice.text.strip()) for choice in choices):
        return {choice.text.strip(): choice.shown for choice in choices[:DRAWN]}
    words = (word.strip("`'\".,;:?!") for word in asked.split())
    return dict.fromkeys(list(dict.fromkeys(filter(_surely_smiles, words)))[-DRAWN:], "")


def _in_smiles(item: Item, text: str) -> str:
    """Return a text of a suite that is written in SELFIES with SMILES in their place, if the package for it is installed."""
    if "selfies" not in item.scores:
        return text
    try:
        return rewrite_selfies(text).text
    except UsageError:
        return text


def _surely_smiles(word: str) -> bool:
    """Return whether a word is SMILES and can be neither English nor a formula: it has carbon, and a branch, ring or double bond."""
    return (
        8 <= len(word) <= 2_000
        and looks_like_smiles(word)
        and re.search("[cC]", word) is not None
        and (re.search(r"[=#]|\w\(", word) is not None or len(re.findall(r"[cnosCNOS]\d", word)) > 1)
    )
