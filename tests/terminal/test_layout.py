"""Tables that fit: columns go, cells wrap, rows become blocks; no word is broken and no line is too long."""

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


def bare(lines: list[str]) -> list[str]:
    return [re.sub("\x1b\\[[0-9]*m", "", line) for line in lines]


def test_without_a_width_a_row_is_one_line() -> None:
    lines = bare(table(COLUMNS, [("", ROWS)], None))
    assert len(lines) == 2 + len(ROWS)
    assert lines[3] == "Qwen3-235B-A22B-Thinking   3.5 %     2.1 to 4.2                               week1"


@pytest.mark.parametrize(("room", "gone"), [(84, ""), (50, "note"), (40, "95 %")])
def test_columns_go_in_the_order_given(room: int, gone: str) -> None:
    head = bare(table(COLUMNS, [("", ROWS)], room))[0]
    assert gone not in head or not gone
    assert "model" in head
    assert "run" in head


def test_a_long_name_stands_above_its_row() -> None:
    lines = bare(table(COLUMNS, [("", ROWS)], 32))
    assert lines[-2:] == ["Qwen3-235B-A22B-Thinking", "                   3.5 %  week1"]


def test_where_no_table_fits_a_row_is_a_block() -> None:
    lines = bare(table(COLUMNS, [("mmlu-pro", ROWS[:1])], 20))
    assert lines[:3] == ["mmlu-pro", "intern-s1", "  score: 83.5 %"]


WORDS = st.text(st.sampled_from("abc漢-_/%"), min_size=1, max_size=9)
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS), min_size=1, max_size=5), st.integers(20, 120))
def test_no_word_is_broken_and_no_line_is_too_long(rows: list[tuple[str, ...]], room: int) -> None:
    lines = bare(table(COLUMNS, [("a title of some words", [list(row) for row in rows])], room))
    known = {word for row in rows for cell in row for word in cell.split()}
    known |= {word for column in COLUMNS for word in column.heading.split()} | {
        "a",
        "title",
        "of",
        "some",
        "words",
    }
    known |= {f"{column.heading.split()[-1]}:" for column in COLUMNS}
    for line in lines:
        if not set(line) <= {"─"}:
            assert set(line.split()) <= known
        assert text_width(line) <= room or len(line.split()) == 1


@given(TEXTS, st.integers(1, 60))
def test_wrapped_lines_hold_the_same_words(text: str, room: int) -> None:
    lines = wrap(text, room, indent="  ")
    assert " ".join(lines).split() == text.split()
    assert all(text_width(line) <= room or len(line.split()) <= 1 for line in lines)


def test_a_models_escapes_do_not_reach_the_terminal() -> None:
    (line,) = table([Column("x")], [("", [["\x1b]0;owned\x07a\x1b[2J\tb"]])], 40)[2:]
    assert line == "a b"
