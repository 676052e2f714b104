r"""Which of our samples a foreign record is about: by the data set's own id, or by the question's words.

Words are compared after Unicode normalisation (NFKC), without case and with every run of white space as one blank. If a
question stands several times the options decide; what is equal even then is handed out in the order of the file.

>>> words("  What\u00a0IS\n2 + 2 ? ")
'what is 2 + 2 ?'
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from hashlib import sha256

from evals.prompts import plain_text
from evals.types import Sample, Text

ANCHOR = 40
"""Characters of a question that find it within a prompt."""
LONGEST = 200_000
"""Characters of a prompt that are searched, from its end: what is asked stands last."""
_OPTION = re.compile(r"^\s*\(?([A-Z])[).:]\s*(.*\S)\s*$", re.MULTILINE)


def words(text: str) -> str:
    """Normalise a text."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


_MARKUP = re.compile(r"\[(?:START|END)_(?:RXN)?SMILES\]|\\(?:ce|pu|text|mathrm|rm)|\\|[\s${}^_]")


@lru_cache(maxsize=1 << 14)
def bare(option: str) -> str:
    """Take markup off an option: harnesses render it before they show it; powers of ten are written the short way."""
    return _MARKUP.sub("", words(re.sub(r"\\cdot\s*10\^", "e", option)))


def _uncited(option: str) -> str:
    """Take out what stands in brackets, as harnesses do that ask GPQA."""
    return bare(re.sub(r"\[.*?\]", "", option.replace(" [title]", ". ")))


def question_hash(text: str) -> str:
    """Hash a normalised question."""
    return sha256(words(text).encode()).hexdigest()


class _Questions:
    """Samples by the words that they ask; made when a record comes without an id that the suite has."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.words = {name: asked for name, text in texts.items() if (asked := words(text))}
        self.by_hash: dict[str, list[str]] = defaultdict(list)
        self.by_start: dict[str, list[str]] = defaultdict(list)
        for name, asked in self.words.items():
            self.by_hash[question_hash(asked)].append(name)
            self.by_start[asked[:ANCHOR]].append(name)
        self._short = sorted({len(start) for start in self.by_start if len(start) < ANCHOR}, reverse=True)

    def begun(self, lines: str, start: int) -> Iterator[str]:
        """Yield those that may begin at a place."""
        yield from self.by_start.get(lines[start : start + ANCHOR], ())
        for length in self._short:
            yield from (
                self.by_start.get(lines[start : start + length], ()) if start + length <= len(lines) else ()
            )


class Finder:
    """Samples by their ids and questions; each is given out once per repeat."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._ids: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._choices: dict[str, tuple[str, ...]] = {}
        self._golds: dict[str, str] = {}
        for sample in samples:
            self._add(sample)

    def _add(self, sample: Sample) -> None:
        self._ids[sample.id] = sample.id
        if isinstance(other := sample.meta.get("name"), str):  # what recordings call it
            self._ids.setdefault(other, sample.id)
        self._choices[sample.id] = sample.choices
        if sample.choices and isinstance(sample.target, str):
            self._golds[sample.id] = sample.target
        self._texts[sample.id] = plain_text([part for part in sample.question if isinstance(part, Text)])

    @cached_property
    def _questions(self) -> _Questions:
        return _Questions(self._texts)

    def _bare(self, name: str) -> list[str]:
        return list(map(bare, self._choices[name]))

    def by_id(self, name: str) -> str | None:
        """Return the id if the suite has it."""
        return self._ids.get(name)

    def count(self, name: str) -> int:
        """Return how many options a sample has."""
        return len(self._choices[name])

    def asks(self, name: str, text: str) -> bool:
        """Return whether a sample's question is this one, letter by letter: then nothing needs to be normalised."""
        return self._texts[name] == text

    def by_question(self, text: str, options: Sequence[str] = ()) -> list[str]:
        """Return the samples with this question; with options, those that have the same ones, where some do."""
        samples = self._questions.by_hash.get(question_hash(text), [])
        if len(samples) < 2:
            return samples
        shown = sorted(map(bare, options))
        same = [name for name in samples if shown and sorted(self._bare(name)) == shown]
        return same or samples

    def by_prompt(self, prompt: str) -> list[str]:
        """Return the samples whose question stands last in a prompt."""
        lines, starts = _joined(prompt[-LONGEST:])
        asked = self._questions
        best: list[str] = []
        for start in reversed(starts):
            here = [name for name in asked.begun(lines, start) if lines.startswith(asked.words[name], start)]
            if here:
                longest = max(len(asked.words[name]) for name in here)
                best = [name for name in here if len(asked.words[name]) == longest]
                break
        if len(best) < 2:
            return best
        shown = {bare(text) for _, text in _OPTION.findall(prompt)}
        same = [name for name in best if shown and shown.issuperset(self._bare(name))]
        return same or best

    def another_gold(self, name: str, letter: str, order: tuple[int, ...] | None) -> bool:
        """Return whether a letter among the options shown, in their order, is not the one that our data have."""
        ours, place = self._golds.get(name, ""), ord(letter) - ord("A") if len(letter) == 1 else -1
        if len(ours) != 1 or not 0 <= place < len(self._choices[name]):
            return False
        return ord(ours) - ord("A") != (place if order is None else order[place])

    def order(self, name: str, options: Sequence[str]) -> tuple[int, ...] | None:
        """Return for each option shown its place in the data's order; None if they are not the same options."""
        if self._choices[name] == tuple(options):
            return tuple(range(len(options)))
        choices = self._choices[name]
        places: dict[int, int] = {}
        """Option as shown -> option in the data."""
        for plain in (bare, _uncited):
            for shown, text in enumerate(map(plain, options)):
                same = (n for n, ours in enumerate(map(plain, choices)) if ours == text)
                place = next((n for n in same if n not in places.values()), None)
                if shown not in places and place is not None:
                    places[shown] = place
        if (
            1 < len(places) == len(options) - 1 == len(choices) - 1
        ):  # the one worded otherwise is the one left
            every = set(range(len(options)))
            (shown,), (place,) = every - places.keys(), every - {*places.values()}
            places[shown] = place
        known = tuple(places[shown] for shown in sorted(places))
        return known if len(known) == len(options) == len(choices) else None


def _joined(prompt: str) -> tuple[str, list[int]]:
    """Normalise a prompt, and give the places where its lines and what follows a colon begin."""
    pieces = [words(piece) for piece in re.split(r"\n|(?<=:)\s", prompt)]
    starts, length = [], 0
    for piece in pieces:
        if piece:
            starts.append(length)
            length += len(piece) + 1
    return " ".join(filter(None, pieces)), starts


def shown_options(prompt: str) -> list[str]:
    """Read the last list of lettered options in a prompt, from A on."""
    options: list[str] = []
    for letter, text in _OPTION.findall(prompt):
        if letter == "A":
            options = []
        if letter == chr(ord("A") + len(options)):
            options.append(text)
    return options
