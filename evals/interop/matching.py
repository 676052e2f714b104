r"""Match foreign records to our samples: by the data set's own id, or by the question's text.

Texts are compared after Unicode normalisation (NFKC), without case, each run of white space as one space. If several
samples have the same question, the options decide; equal samples are assigned in file order.

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
"""Number of leading characters by which a question is looked up within a prompt."""
LONGEST = 200_000
"""Number of characters that are searched, from the end of a prompt: the question comes last."""
_OPTION = re.compile(r"^\s*\(?([A-Z])[).:]\s*(.*\S)\s*$", re.MULTILINE)


def words(text: str) -> str:
    """Normalise a text."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


_MARKUP = re.compile(r"\[(?:START|END)_(?:RXN)?SMILES\]|\\(?:ce|pu|text|mathrm|rm)|\\|[\s${}^_]")


@lru_cache(maxsize=1 << 14)
def bare(option: str) -> str:
    """Remove markup from an option, which harnesses render before they show it; 10^3 becomes e3."""
    return _MARKUP.sub("", words(re.sub(r"\\cdot\s*10\^", "e", option)))


def _without_brackets(option: str) -> str:
    """Remove bracketed text, as harnesses do for GPQA."""
    return bare(re.sub(r"\[.*?\]", "", option.replace(" [title]", ". ")))


def question_hash(text: str) -> str:
    """Hash a normalised question."""
    return sha256(words(text).encode()).hexdigest()


class _Questions:
    """Samples by question text, built when the first record has no id that the suite knows."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.words = {name: question for name, text in texts.items() if (question := words(text))}
        self.by_hash: dict[str, list[str]] = defaultdict(list)
        self.by_start: dict[str, list[str]] = defaultdict(list)
        for name, question in self.words.items():
            self.by_hash[question_hash(question)].append(name)
            self.by_start[question[:ANCHOR]].append(name)
        self._short = sorted({len(start) for start in self.by_start if len(start) < ANCHOR}, reverse=True)

    def starting_at(self, lines: str, start: int) -> Iterator[str]:
        """Yield the samples whose question may start at an offset."""
        yield from self.by_start.get(lines[start : start + ANCHOR], ())
        for length in self._short:
            yield from (
                self.by_start.get(lines[start : start + length], ()) if start + length <= len(lines) else ()
            )


class Finder:
    """Look up samples by id, question or prompt."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._ids: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._choices: dict[str, tuple[str, ...]] = {}
        self._golds: dict[str, str] = {}
        for sample in samples:
            self._add(sample)

    def _add(self, sample: Sample) -> None:
        self._ids[sample.id] = sample.id
        if isinstance(alias := sample.meta.get("name"), str):  # recordings use this name
            self._ids.setdefault(alias, sample.id)
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
        """Return whether a sample's question equals a text exactly; this saves the normalisation."""
        return self._texts[name] == text

    def by_question(self, text: str, options: Sequence[str] = ()) -> list[str]:
        """Return the samples with this question, restricted to those with the same options if there are any."""
        samples = self._questions.by_hash.get(question_hash(text), [])
        if len(samples) < 2:
            return samples
        shown = sorted(map(bare, options))
        same = [name for name in samples if shown and sorted(self._bare(name)) == shown]
        return same or samples

    def by_prompt(self, prompt: str) -> list[str]:
        """Return the samples with the last question of a prompt."""
        lines, starts = _joined(prompt[-LONGEST:])
        questions = self._questions
        best: list[str] = []
        for start in reversed(starts):
            lengths = {
                name: len(questions.words[name])
                for name in questions.starting_at(lines, start)
                if lines.startswith(questions.words[name], start)
            }
            if lengths:
                best = [name for name, length in lengths.items() if length == max(lengths.values())]
                break
        if len(best) < 2:
            return best
        shown = {bare(text) for _, text in _OPTION.findall(prompt)}
        same = [name for name in best if shown and shown.issuperset(self._bare(name))]
        return same or best

    def gold_differs(self, name: str, letter: str, order: tuple[int, ...] | None) -> bool:
        """Return whether a gold letter among the options shown is another option than our data's."""
        ours, index = self._golds.get(name, ""), ord(letter) - ord("A") if len(letter) == 1 else -1
        if len(ours) != 1 or not 0 <= index < len(self._choices[name]):
            return False
        return ord(ours) - ord("A") != (index if order is None else order[index])

    def order(self, name: str, options: Sequence[str]) -> tuple[int, ...] | None:
        """Return for each option shown its index in the data set; None if they are not the same options."""
        choices = self._choices[name]
        if choices == tuple(options):
            return tuple(range(len(options)))
        index_of: dict[int, int] = {}
        """Index among the options shown -> index in the data set."""
        for normalise in (bare, _without_brackets):
            for shown, text in enumerate(map(normalise, options)):
                same = (n for n, choice in enumerate(map(normalise, choices)) if choice == text)
                index = next((n for n in same if n not in index_of.values()), None)
                if shown not in index_of and index is not None:
                    index_of[shown] = index
        if 1 < len(index_of) == len(options) - 1 == len(choices) - 1:  # only one option is left over
            every = set(range(len(options)))
            (shown,), (index,) = every - index_of.keys(), every - {*index_of.values()}
            index_of[shown] = index
        order = tuple(index_of[shown] for shown in sorted(index_of))
        return order if len(order) == len(options) == len(choices) else None


def _joined(prompt: str) -> tuple[str, list[int]]:
    """Normalise a prompt; returns it with the offsets at which a line, or the text after a colon, starts."""
    pieces = [words(piece) for piece in re.split(r"\n|(?<=:)\s", prompt)]
    starts, length = [], 0
    for piece in pieces:
        if piece:
            starts.append(length)
            length += len(piece) + 1
    return " ".join(filter(None, pieces)), starts


def shown_options(prompt: str) -> list[str]:
    """Return the last list of lettered options in a prompt, from A on."""
    options: list[str] = []
    for letter, text in _OPTION.findall(prompt):
        if letter == "A":
            options = []
        if letter == chr(ord("A") + len(options)):
            options.append(text)
    return options
