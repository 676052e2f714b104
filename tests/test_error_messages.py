"""The record of error messages: what it accepts, and that each of its blocks belongs to a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import error_messages
from tests.support.error_messages import assert_recorded, matches, normalize, raises, read_messages
from tests.support.paths import ROOT


def test_each_recorded_message_belongs_to_an_existing_test() -> None:
    stale = []
    for test in read_messages():
        path, function = re.match(r"([^:]+)::(\w+)", test).groups()  # type: ignore[union-attr]
        if not (ROOT / path).is_file() or f"def {function}(" not in (ROOT / path).read_text(encoding="utf-8"):
            stale.append(test)
    assert stale == [], "remove these blocks"


def test_folders_ports_runs_and_times_are_replaced_by_names(tmp_path: Path) -> None:
    message = (
        f"{tmp_path}/x.zip of {ROOT}\non 127.0.0.1:4711: run 20261130T092815-2472e1, 2026-11-30T09-28-57"
    )
    assert normalize(message) == "TMP/x.zip of CHECKOUT\\non 127.0.0.1:PORT: run RUN, TIME"


def test_a_placeholder_stands_for_any_text() -> None:
    assert matches("cannot read a: Error -3 (b)", "cannot read a: [...] (b)")
    assert not matches("cannot read a: Error -3 (c)", "cannot read a: [...] (b)")


def test_another_message_or_type_or_number_of_messages_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = {"t": ["ValueError: one", "two"]}
    monkeypatch.setattr(error_messages, "_recorded", lambda: recorded)
    monkeypatch.setattr(error_messages, "WRITE", False)
    monkeypatch.setattr(error_messages._Recording, "test", "")
    monkeypatch.setattr(error_messages._Recording, "compared", 0)

    def compare(error: Exception, *messages: str) -> None:
        with error_messages.recording("t"):
            with raises(ValueError):
                raise error
            for message in messages:
                assert_recorded(message)

    compare(ValueError("one"), "two")
    for error, messages in (
        (ValueError("other"), ["two"]),
        (UnicodeError("one"), ["two"]),
        (ValueError("one"), []),
        (ValueError("one"), ["two", "three"]),
    ):
        with pytest.raises(pytest.fail.Exception):
            compare(error, *messages)
