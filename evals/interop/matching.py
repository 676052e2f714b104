r"""Match foreign records to our samples: by the data set's own id, or by the question's text.

Texts are compared after Unicode normalisation (NFKC), ignoring case and the amount of white space. If several samples
have the same question, the options decide; equal samples are assigned in file order.

>>> normalise("  What\u00a0IS\n2 + 2 ? ")
'what is 2 + 2 ?'
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache

from evals.prompts import plain_text
from evals.types import Sample, Text

ANCHOR_LENGTH = 40
"""Number of leading characters by which a question is looked up in a prompt."""
MAX_PROMPT_LENGTH = 200_000
"""Number of characters searched at the end of a prompt, where the question is."""
_LETTERED_OPTION = re.compile(r"^[^\S\n]*\(?([A-Z])[).:]\s*(.*\S)\s*$", re.MULTILINE)
_BRACKETED_TEXT = re.compile(r"\[[^\]\n]*(?P<end>\]?)")


def normalise(text: str) -> str:
    """Normalise a text for comparison."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


_MARKUP = re.compile(
    r"\[(?:START|END)_(?:RXN)?SMILES\]|\\(?:ce|pu|text|mathrm|rm)|\\|[\s${}^_]", re.IGNORECASE
)


@lru_cache(maxsize=1 << 14)
def without_markup(option: str) -> str:
    """Remove markup from an option, since harnesses render it before they show it; `\\cdot 10^3` becomes `e3`."""
    return _MARKUP.sub("", normalise(re.sub(r"\\cdot\s*10\^", "e", option)))


def _without_brackets(option: str) -> str:
    """Remove bracketed text from an option, as harnesses do for GPQA."""
    text = option.replace(" [title]", ". ")
    return without_markup(_BRACKETED_TEXT.sub(lambda match: "" if match["end"] else match[0], text))


class _Questions:
    """Samples by question text; built only when a record is first looked up by its text."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.normalised = {
            sample_id: question for sample_id, text in texts.items() if (question := normalise(text))
        }
        self.by_text: dict[str, list[str]] = defaultdict(list)
        self.by_start: dict[str, list[str]] = defaultdict(list)
        for sample_id, question in self.normalised.items():
            self.by_text[question].append(sample_id)
            self.by_start[question[:ANCHOR_LENGTH]].append(sample_id)
        self._short_lengths = sorted(
            {len(start) for start in self.by_start if len(start) < ANCHOR_LENGTH}, reverse=True
        )
        """Lengths of the questions that are shorter than `ANCHOR_LENGTH`."""

    def candidates_at(self, prompt: str, start: int) -> Iterator[str]:
        """Yield the samples whose question may start at an offset of a normalised prompt."""
        yield from self.by_start.get(prompt[start : start + ANCHOR_LENGTH], ())
        for length in self._short_lengths:
            if start + length <= len(prompt):
                yield from self.by_start.get(prompt[start : start + length], ())


class Finder:
    """Looks up samples by id, question or prompt."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._ids: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._choices: dict[str, tuple[str, ...]] = {}
        self._golds: dict[str, str] = {}
        for sample in samples:
            self._add(sample)

    def _add(self, sample: Sample) -> None:
        self._ids[sample.id] = sample.id
        if isinstance(name := sample.meta.get("name"), str):  # recordings may use it as the id
            self._ids.setdefault(name, sample.id)
        self._choices[sample.id] = sample.choices
        if sample.choices and isinstance(sample.target, str):
            self._golds[sample.id] = sample.target
        self._texts[sample.id] = plain_text([part for part in sample.question if isinstance(part, Text)])

    @cached_property
    def _questions(self) -> _Questions:
        return _Questions(self._texts)

    def _plain_choices(self, sample_id: str) -> list[str]:
        return list(map(without_markup, self._choices[sample_id]))

    def by_id(self, id_or_name: str) -> str | None:
        """Return the id of the sample with this id or name; None if the suite has none."""
        return self._ids.get(id_or_name)

    def option_count(self, sample_id: str) -> int:
        """Return the number of options of a sample."""
        return len(self._choices[sample_id])

    def has_question(self, sample_id: str, text: str) -> bool:
        """Return whether a sample's question equals a text exactly; this avoids the cost of normalisation."""
        return self._texts[sample_id] == text

    def by_question(self, text: str, options: Sequence[str] = ()) -> list[str]:
        """Return the samples with this question; of several, only those with the same options, if there are any."""
        samples = self._questions.by_text.get(normalise(text), [])
        if len(samples) < 2:
            return samples
        shown = sorted(map(without_markup, options))
        same = [sample for sample in samples if shown and sorted(self._plain_choices(sample)) == shown]
        return same or samples

    def by_prompt(self, prompt: str) -> list[str]:
        """Return the samples whose question is the last one in a prompt."""
        normalised, starts = _normalise_prompt(prompt[-MAX_PROMPT_LENGTH:])
        questions = self._questions
        longest: list[str] = []
        for start in reversed(starts):
            lengths = {
                sample_id: len(questions.normalised[sample_id])
                for sample_id in questions.candidates_at(normalised, start)
                if normalised.startswith(questions.normalised[sample_id], start)
            }
            if lengths:
                longest = [sample for sample, length in lengths.items() if length == max(lengths.values())]
                break
        if len(longest) < 2:
            return longest
        shown = {without_markup(text) for _, text in _LETTERED_OPTION.findall(prompt)}
        same = [sample for sample in longest if shown and shown.issuperset(self._plain_choices(sample))]
        return same or longest

    def gold_differs(self, sample_id: str, letter: str, order: tuple[int, ...] | None) -> bool:
        """Return whether a gold letter among the options shown denotes a different option from our gold answer."""
        ours, index = self._golds.get(sample_id, ""), ord(letter) - ord("A") if len(letter) == 1 else -1
        if len(ours) != 1 or not 0 <= index < len(self._choices[sample_id]):
            return False
        return ord(ours) - ord("A") != (index if order is None else order[index])

    def option_order(self, sample_id: str, options: Sequence[str]) -> tuple[int, ...] | None:
        """Return the index in the data set of each option shown; None if the options differ from the sample's."""
        choices = self._choices[sample_id]
        if choices == tuple(options):
            return tuple(range(len(options)))
        index_of: dict[int, int] = {}
        """Index among the options shown -> index in the data set."""
        for simplify in (without_markup, _without_brackets):
            for shown, text in enumerate(map(simplify, options)):
                same = (n for n, choice in enumerate(map(simplify, choices)) if choice == text)
                index = next((n for n in same if n not in index_of.values()), None)
                if shown not in index_of and index is not None:
                    index_of[shown] = index
        if 1 < len(index_of) == len(options) - 1 == len(choices) - 1:  # only one option is left over
            indices = set(range(len(options)))
            (shown,), (index,) = indices - index_of.keys(), indices - {*index_of.values()}
            index_of[shown] = index
        order = tuple(index_of[shown] for shown in sorted(index_of))
        return order if len(order) == len(options) == len(choices) else None


def _normalise_prompt(prompt: str) -> tuple[str, list[int]]:
    """Return a normalised prompt and the offsets in it at which a line, or the text after a colon, starts."""
    segments = [segment for part in re.split(r"\n|(?<=:)\s", prompt) if (segment := normalise(part))]
    starts, length = [], 0
    for segment in segments:
        starts.append(length)
        length += len(segment) + 1
    return " ".join(segments), starts


def shown_options(prompt: str) -> list[str]:
    """Return the options of the last list in a prompt that is lettered from A on."""
    options: list[str] = []
    for letter, text in _LETTERED_OPTION.findall(prompt):
        if letter == "A":
            options = []
        if letter == chr(ord("A") + len(options)):
            options.append(text)
    return options
