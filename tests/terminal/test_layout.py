"""Tables within a width: columns are dropped, cells wrap, rows become blocks; no word is split, no line is too long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.terminal.layout import Column, table, text_width, wrap

COLUMNS = [
    Column("model", spill=12),
    Column("score", right=True),
    Column("95 % interval", right=True, drop=2),
    Column("note", drop=3),
    Column("run", no_wrap=True),
]
ROWS = [
    ["intern-s1", "83.5 %", "82.1 to 84.2", "stopped early, sample items", "ab12cd"],
    ["Qwen3-235B-A22B-Thinking", "3.5 %", "2.1 to 4.2", "", "week1"],
]


def without_colours(lines: list[str]) -> list[str]:
    return [re.sub("\x1b\\[[0-9]*m", "", line) for line in lines]


def test_without_a_maximum_width_each_row_is_one_line() -> None:
    lines = without_colours(table(COLUMNS, [("", ROWS)], None))
    assert len(lines) == 2 + len(ROWS)
    assert lines[3] == "Qwen3-235B-A22B-Thinking   3.5 %     2.1 to 4.2                               week1"


@pytest.mark.parametrize(("width", "dropped"), [(84, ""), (50, "note"), (40, "95 %")])
def test_columns_are_dropped_in_the_given_order(width: int, dropped: str) -> None:
    header = without_colours(table(COLUMNS, [("", ROWS)], width))[0]
    assert dropped not in header or not dropped
    assert "model" in header
    assert "run" in header


def test_a_long_name_is_printed_above_its_row() -> None:
    lines = without_colours(table(COLUMNS, [("", ROWS)], 32))
    assert lines[-2:] == ["Qwen3-235B-A22B-Thinking", "                   3.5 %  week1"]


def test_rows_become_blocks_if_no_table_fits() -> None:
    lines = without_colours(table(COLUMNS, [("mmlu-pro", ROWS[:1])], 20))
    assert lines[:3] == ["mmlu-pro", "intern-s1", "  score: 83.5 %"]


WORDS = st.text(st.sampled_from("abc漢-_/%"), min_size=1, max_size=9)
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS), min_size=1, max_size=5), st.integers(20, 120))
def test_no_word_is_split_and_no_line_is_too_long(rows: list[tuple[str, ...]], width: int) -> None:
    lines = without_colours(table(COLUMNS, [("a title of some words", [list(row) for row in rows])], width))
    words = {word for row in rows for cell in row for word in cell.split()}
    words |= {word for column in COLUMNS for word in column.heading.split()} | {
        "a",
        "title",
        "of",
        "some",
        "words",
    }
    words |= {f"{column.heading.split()[-1]}:" for column in COLUMNS}
    for line in lines:
        if not set(line) <= {"─"}:
            assert set(line.split()) <= words
        assert text_width(line) <= width or len(line.split()) == 1


@given(TEXTS, st.integers(1, 60))
def test_wrapped_lines_contain_the_same_words(text: str, width: int) -> None:
    lines = wrap(text, width, indent="  ")
    assert " ".join(lines).split() == text.split()
    assert all(text_width(line) <= width or len(line.split()) <= 1 for line in lines)


def test_escape_sequences_are_removed_from_cells() -> None:
    (line,) = table([Column("x")], [("", [["\x1b]0;owned\x07a\x1b[2J\tb"]])], 40)[2:]
    assert line == "a b"
