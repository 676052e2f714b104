"""Texts in data sets and foreign files are parsed in time that grows linearly, whatever they repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from evals import load
from evals.data import Data, mol_instructions
from evals.errors import DataError
from evals.interop import matching
from evals.model_adapters.baseline import CopyBaseline
from evals.suite import checked_samples
from evals.suites import mmstar, msearth, proteinlmbench, superchem, xlrs
from evals.types import Message, Prompt, Sample, Sampling
from tests.support.cpu_time import assert_cpu_time
from tests.support.error_messages import raises
from tests.support.tables import table

LENGTH = 65_536
LIMIT_S = 0.05


class Rows(Data, frozen=True):
    """A data set that consists of one given row."""

    row: dict[str, Any]

    def rows(self, *arguments: object, **options: object) -> Iterator[dict[str, Any]]:
        yield dict(self.row)


def read_row(
    samples: Callable[[Data, str], Iterator[Sample]], row: dict[str, Any], variant: str = ""
) -> None:
    """Read one row; it may be rejected."""
    with suppress(DataError):
        list(samples(Rows(suite="hostile", sample=True, row=row), variant))


def read_mmstar(text: str) -> None:
    read_row(mmstar._samples, {"index": 1, "answer": "A", "category": "c", "question": text})


def read_msearth(text: str) -> None:
    read_row(msearth._samples, {"query": text, "response": "A"})


def read_xlrs(text: str) -> None:
    read_row(
        xlrs._samples,
        {"index": 1, "question": "?", "multi-choice options": text, "answer": "A", "category": "c"},
    )


def read_superchem(text: str) -> None:
    row = {
        "uuid": "u",
        "question_type": "multiple_choice",
        "answer_en": "A",
        "options_en": {"A": "x", "B": "y"},
    }
    read_row(superchem._samples, row | {"question_en": f"<MultiModal>{text}</MultiModal>"}, "text")


def read_proteinlmbench(text: str) -> None:
    read_row(proteinlmbench._samples, {"question": "?", "options": ["option 1: x"], "answer": text})


def read_mol_instructions(text: str) -> None:
    row = {"instruction": "?", "input": "[C]", "output": text}
    mol_instructions._parse_row(row, mol_instructions.TASKS["MG"], 1)


def match_options(text: str) -> None:
    finder = matching.Finder([Sample(id="1", target="A", choices=("x", text))])
    finder.option_order("1", ("[y]", f"{text}z"))


def copy_question(text: str) -> None:
    prompt = Prompt(messages=(Message.user(text),))
    reply = CopyBaseline().reply(prompt, Sampling())
    with suppress(StopIteration):
        reply.send(None)


@table(
    ("read", "start", "piece", "end"),
    [
        (matching.shown_options, "", "\n", ""),
        (matching.shown_options, "A. ", " \n", ""),
        (match_options, "", "[", ""),
        (match_options, "", "[", "\n]"),
        (read_mmstar, "", "\n", ""),
        (read_mmstar, "Options: A: ", ", B: ", ""),
        (read_mmstar, "Options: A: ", ", B: , C: ", ""),
        (read_mmstar, "Options: A: x, B: x, C: x, D: x", " ", "y"),
        (read_msearth, "", "\n", ""),
        (read_msearth, "Options:", "\n", ""),
        (read_xlrs, "", "\n", ""),
        (read_xlrs, "A) x", " ", "y"),
        (read_superchem, "", "[a](", ""),
        (read_superchem, "[", "]   (", ""),
        (read_proteinlmbench, "", "1", "x"),
        (read_mol_instructions, "<SMILES>", " ", ""),
        (copy_question, "", "<A>", ""),
        (copy_question, "<A>", "<A></B>", ""),
    ],
)
def test_repetitive_texts_are_parsed_in_linear_time(
    read: Callable[[str], object], start: str, piece: str, end: str
) -> None:
    text = start + piece * ((LENGTH - len(start) - len(end)) // len(piece)) + end
    assert_cpu_time(LIMIT_S, lambda: read(text), read.__name__)


DEEP_JSON = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("chembench:lamalab", {"uuid": "u", "examples": [{"input": "?", "target_scores": DEEP_JSON}]}),
        (
            "superchem:text",
            {
                "uuid": "u",
                "question_type": "multiple_choice",
                "question_en": "?",
                "options_en": DEEP_JSON,
                "answer_en": "A",
            },
        ),
    ],
    ids=["chembench", "superchem"],
)
def test_json_that_is_nested_too_deeply_within_a_column_is_reported(name: str, row: dict[str, Any]) -> None:
    with raises(DataError):
        list(checked_samples(load.suite(name)[0], Rows(suite="hostile", sample=True, row=row)))
