"""Samples of a run: the list of all samples, and the details of single ones.

For gated suites, this module returns ids, groups, values and verdicts, but no texts.
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
from evals.extract.units import convert, read_quantity
from evals.prompts import plain_text
from evals.records.files import decode_sample
from evals.terminal import sample as sample_text
from evals.types import Failure, Prompt, Reply, Sample, Score

if TYPE_CHECKING:
    import pandas as pd

NOT_RIGHT = "not right"
"""Filter that selects all outcomes except `right`, including failures and absent samples."""
ABSENT = "absent"
"""Verdict on a sample without a record in the run."""


def listing(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return a table with a row per sample and repeat of the first run, in the order of the data set.

    Columns: `sample`, `repeat`, `group`, `value` in the first run, and the verdicts in each run, `verdict0`, `verdict1`, ...
    A verdict is `absent` if the run has no record.
    """
    repeats = max(1, entries[0].card.config.repeats)
    columns = "".join(f", coalesce(r{i}.verdict, 'absent') AS verdict{i}" for i in range(len(entries)))
    joins = " ".join(
        f"LEFT JOIN (SELECT sample, repeat, verdict, value FROM records WHERE path = ?) AS r{i} "
        f"ON r{i}.sample = s.id AND r{i}.repeat = t.k"
        for i in range(len(entries))
    )
    sql = f"""
        SELECT s.id AS sample, t.k::INT AS repeat, s."group" AS "group", r0.value AS value{columns}
        FROM (SELECT id, "group", row_number() OVER () AS position FROM samples WHERE path = ?) AS s
        CROSS JOIN (SELECT unnest(range(?)) AS k) AS t {joins} ORDER BY s.position, t.k"""
    paths = [str(entry.path) for entry in entries]
    return query([entry.path for entry in entries], sql, (paths[0], repeats, *paths))


def outcome_choices(frame: pd.DataFrame, run: int) -> list[str]:
    """Return the kinds of outcomes in one run of a listing, most frequent first, and `NOT_RIGHT` if some but not all are right."""
    counts: Counter[str] = Counter()
    for verdict, count in frame[f"verdict{run}"].value_counts().items():
        counts[str(verdict).partition(":")[0]] += int(count)
    kinds = [kind for kind, _ in counts.most_common()]
    return [*kinds, NOT_RIGHT] if "right" in kinds and len(kinds) > 1 else kinds


def filter_listing(
    frame: pd.DataFrame, *, outcomes: Mapping[int, str] = {}, group: str = "", text: str = ""
) -> pd.DataFrame:
    """Return the rows of a listing with these outcomes (by run), this group, and an id that contains `text`."""
    rows = frame
    for run, outcome in outcomes.items():
        if outcome and f"verdict{run}" in frame:
            kinds = rows[f"verdict{run}"].str.partition(":")[0]
            rows = rows[kinds != "right" if outcome == NOT_RIGHT else kinds == outcome]
    if group:
        rows = rows[rows["group"] == group]
    if text:
        rows = rows[rows["sample"].str.contains(text, case=False, regex=False)]
    return rows.reset_index(drop=True)


class Neighbours(NamedTuple):
    """The position of a sample in a filtered listing, and the rows before and after it."""

    position: int | None
    """From 0; None if the sample is not in the listing."""
    previous: tuple[str, int] | None
    """Sample and repeat."""
    next: tuple[str, int] | None


def neighbours(frame: pd.DataFrame, sample: str, repeat: int) -> Neighbours:
    """Return the neighbours of a sample's repeat; if it is not in the listing, `next` is the first row."""
    positions = frame.index[(frame["sample"] == sample) & (frame["repeat"] == repeat)]
    keys = list(zip(frame["sample"], frame["repeat"].astype(int), strict=True))
    if not len(positions):
        return Neighbours(None, None, keys[0] if keys else None)
    index = int(positions[0])
    return Neighbours(
        index, keys[index - 1] if index else None, keys[index + 1] if index + 1 < len(keys) else None
    )


class Item(Struct, frozen=True, kw_only=True):
    """One repeat of a sample in one run."""

    entry: Entry
    id: str
    repeat: int
    verdict: str
    group: str = ""
    sample: Sample | None = None
    """None if the suite is gated."""
    prompt: Prompt | None = None
    """None if the suite is gated, or if there is no record."""
    outcome: Reply | Failure | None = None
    """None in the same cases as `prompt`."""
    scores: dict[str, Score | Failure] = {}

    @property
    def score(self) -> Score | None:
        """Return the score by the suite's first scorer; None if it failed, or if there is no record."""
        first_score = next(iter(self.scores.values()), None)
        return first_score if isinstance(first_score, Score) else None

    @property
    def reply(self) -> Reply | None:
        """Return the reply; None if there is no record, or the call failed."""
        return self.outcome if isinstance(self.outcome, Reply) else None

    @property
    def gold(self) -> str:
        """Return the gold answer as text; empty if the suite is gated."""
        target = self.sample.target if self.sample else ""
        return ", ".join(target) if isinstance(target, tuple) else str(target)

    @property
    def prompt_text(self) -> str:
        """Return the text of the prompt, or of the data set's question if the prompt is unknown."""
        if self.prompt and self.prompt.messages:
            return "\n".join(plain_text(message.parts) for message in self.prompt.messages)
        return plain_text(self.sample.question) if self.sample else ""


_PROMPT_DECODER = msgspec.json.Decoder(Prompt)
_OUTCOME_DECODER = msgspec.json.Decoder(Reply | Failure)
_SCORES_DECODER = msgspec.json.Decoder(dict[str, Score | Failure])


def item(entry: Entry, sample: str, repeat: int = 0) -> Item | None:
    """Return a repeat of a sample in a run; None if the run does not have the sample. Raises StoreError."""
    return next(iter(_read_items(entry, [sample], repeat)), None)


def items(entry: Entry, *, limit: int) -> list[Item]:
    """Return the first repeat of up to `limit` samples, beginning with those that are not right; raises StoreError."""
    frame = listing([entry])
    first_repeat = frame[frame["repeat"] == 0]
    indices = (first_repeat["verdict0"] == "right").sort_values(kind="stable").index[:limit]
    return _read_items(entry, first_repeat.loc[indices, "sample"].tolist(), 0)


def _read_items(entry: Entry, ids: Sequence[str], repeat: int) -> list[Item]:
    """Return one repeat of each sample in `ids`, in their order; without texts if the suite is gated."""
    placeholders = ", ".join("?" * len(ids)) or "NULL"
    sample_columns, record_columns = 'id, "group"', "sample, verdict"
    if not entry.card.gated:
        sample_columns, record_columns = (
            f"{sample_columns}, json",
            f"{record_columns}, prompt, outcome, scores",
        )
    samples = query(entry.path, f"SELECT {sample_columns} FROM samples WHERE id IN ({placeholders})", ids)
    records = query(
        entry.path,
        f"SELECT {record_columns} FROM records WHERE repeat = ? AND sample IN ({placeholders})",
        (repeat, *ids),
    )
    records_by_id = {row["sample"]: row for row in records.to_dict("records")}
    samples_by_id = {row["id"]: row for row in samples.to_dict("records")}
    return [
        _decode_item(entry, repeat, samples_by_id[id_], records_by_id.get(id_, {"verdict": ABSENT}))
        for id_ in ids
        if id_ in samples_by_id
    ]


def _decode_item(
    entry: Entry, repeat: int, sample: Mapping[Hashable, Any], record: Mapping[Hashable, Any]
) -> Item:
    item = Item(entry=entry, id=sample["id"], repeat=repeat, group=sample["group"], verdict=record["verdict"])
    if entry.card.gated:
        return item
    try:
        item = structs.replace(item, sample=decode_sample(sample["json"]))
        if "outcome" not in record:
            return item
        return structs.replace(
            item,
            prompt=_PROMPT_DECODER.decode(record["prompt"]),
            outcome=_OUTCOME_DECODER.decode(record["outcome"]),
            scores=_SCORES_DECODER.decode(record["scores"]),
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise StoreError(f"{entry.path}: sample {item.id!r} is invalid ({error})") from error


def answer_span(item: Item) -> tuple[int, int] | None:
    """Return the start and end of the extracted answer in the reply; None if they are unknown."""
    if item.reply is None or item.score is None or item.prompt is None:
        return None
    span = sample_text.answer_span(item.score, item.prompt, item.reply)
    return (span.start, span.end) if span else None


class Option(NamedTuple):
    """An option of a choice question."""

    shown_letter: str
    """Letter in the prompt."""
    letter: str
    """Letter in the data set."""
    text: str
    is_gold: bool
    is_answer: bool


def options(item: Item) -> list[Option]:
    """Return the options in the order of the prompt."""
    if item.sample is None or not item.sample.choices:
        return []
    sample, count = item.sample, len(item.sample.choices)
    order = item.prompt.order if item.prompt and item.prompt.order is not None else range(count)
    golds = set(sample.target) if isinstance(sample.target, tuple) else {str(sample.target)}
    answer = item.score.answer if item.score else None
    chosen_letters = set(re.findall(r"\b[A-Z]\b", answer)) if answer else set()
    return [
        Option(
            chr(ord("A") + position), letter, sample.choices[index], letter in golds, letter in chosen_letters
        )
        for position, index in enumerate(order)
        if 0 <= index < count
        for letter in [chr(ord("A") + index)]
    ]


class NumberComparison(NamedTuple):
    """A numeric answer and its target."""

    value: float
    target: float
    unit: str
    error: float
    """Value minus target."""
    relative_error: float | None
    """Error divided by the target's magnitude; None if the target is 0."""


def compare_numbers(item: Item) -> NumberComparison | None:
    """Return the numeric answer and the target in the target's unit; None if either is not a number."""
    if item.sample is None or item.sample.choices or item.score is None or item.score.answer is None:
        return None
    headline = item.entry.headline
    unit = item.sample.unit or (headline.unit if headline and headline.unit != "fraction" else "")
    quantity, target = read_quantity(item.score.answer, item.sample.unit), _parse_number(item.sample.target)
    if quantity is None or target is None:
        return None
    value = convert(quantity.value, quantity.unit, item.sample.unit) if item.sample.unit else quantity.value
    if value is None or not isfinite(value):
        return None
    return NumberComparison(
        value, target, unit, value - target, (value - target) / abs(target) if target else None
    )


def _parse_number(target: object) -> float | None:
    try:
        value = float(target)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if isfinite(value) else None


MOLECULE_SCORERS = frozenset({"molecule", "molecules", "selfies"})
"""Names of the scorers that compare molecules."""
MAX_DRAWN = 4
"""Maximum number of molecules of a question that are drawn: the first options, or the last ones in the text, as examples come first."""
_TAGGED_SMILES = re.compile(
    r"(?:<SMILES>|\[START_SMILES\])\s*((?:[^\s<\[]|\[[^\s<\[\]_]*\]){1,2000}+)\s*(?:</SMILES>|\[END_SMILES\])"
)
"""A molecule within tags; `[Na+]` belongs to the molecule, but a tag does not, as it contains an underscore."""
_TAGGED_IUPAC_NAME = re.compile(r"<IUPAC>\s{0,9}([^<>\n]{1,1000}?)\s{0,9}</IUPAC>")
REACTIONS = {
    "smolinstruct:FS": "forward",
    "smolinstruct:RS": "backward",
    "mol-instructions:FS": "forward",
    "mol-instructions:RS": "backward",
}
"""Suite -> `forward` if it asks for the product of a reaction, `backward` if it asks for the reactants."""


class Molecules(NamedTuple):
    """The SMILES of an item."""

    answer: str
    """Empty if none was extracted."""
    gold: str
    """Empty if the gold answer is not a molecule."""
    question_molecules: dict[str, str]
    """SMILES in the question -> letter of its option, empty if it is not an option."""
    reaction: str
    """`forward` or `backward` as in `REACTIONS`; empty for other suites."""
    name: str
    """Name of the gold molecule if the question states it, else empty."""


def molecules(item: Item) -> Molecules | None:
    """Return the molecules of an item; None if there are none."""
    if item.sample is None:
        return None
    question_molecules, answer, gold = _molecules_in_question(item), "", ""
    if MOLECULE_SCORERS & item.scores.keys():
        gold = _selfies_to_smiles(item, str(item.sample.target)).replace(";", ".")
        answer = (item.score.answer or "").replace(";", ".") if item.score else ""
    elif not question_molecules and isinstance(item.sample.meta.get("smiles"), str):
        question_molecules = {item.sample.meta["smiles"]: ""}
    if not (answer or gold or question_molecules):
        return None
    names = set(_TAGGED_IUPAC_NAME.findall(item.prompt_text)) if gold else set()
    reaction = REACTIONS.get(item.entry.card.config.suite, "") if gold else ""
    return Molecules(answer, gold, question_molecules, reaction, names.pop() if len(names) == 1 else "")


def _molecules_in_question(item: Item) -> dict[str, str]:
    """Return the molecules in a question: tagged ones; else the options, if all are SMILES; else words that are SMILES."""
    prompt_text = _selfies_to_smiles(item, item.prompt_text)
    tagged = list(filter(looks_like_smiles, dict.fromkeys(_TAGGED_SMILES.findall(prompt_text))))
    if tagged:
        return dict.fromkeys(tagged[-MAX_DRAWN:], "")
    choices = options(item)
    if choices and all(_is_unambiguous_smiles(choice.text.strip()) for choice in choices):
        return {choice.text.strip(): choice.shown_letter for choice in choices[:MAX_DRAWN]}
    words = (word.strip("`'\".,;:?!") for word in prompt_text.split())
    return dict.fromkeys(list(dict.fromkeys(filter(_is_unambiguous_smiles, words)))[-MAX_DRAWN:], "")


def _selfies_to_smiles(item: Item, text: str) -> str:
    """Return text with SELFIES replaced by SMILES, if the suite uses them and the package is installed."""
    if "selfies" not in item.scores:
        return text
    try:
        return rewrite_selfies(text).text
    except UsageError:
        return text


def _is_unambiguous_smiles(word: str) -> bool:
    """Return whether a word is SMILES rather than English or a formula: it has carbon, and a branch, ring or multiple bond."""
    return (
        8 <= len(word) <= 2_000
        and looks_like_smiles(word)
        and re.search("[cC]", word) is not None
        and (re.search(r"[=#]|\w\(", word) is not None or len(re.findall(r"[cnosCNOS]\d", word)) > 1)
    )
