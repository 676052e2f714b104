"""Error messages in tests: a test asserts the type of an error, and one file records the text of its message.

The file is `tests/cases/error_messages.txt`, so that a change of wording shows in its diff alone. A block is the id of a
test, then one line for each of its messages, in order. In a recorded message, `[...]` stands for any text, such as that of a
library. `WRITE_MESSAGES=1 make test` replaces recorded messages that differ; review the diff before you commit it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest

from tests.support.paths import CASES, ROOT

RECORDED = CASES / "error_messages.txt"
WRITE = bool(os.environ.get("WRITE_MESSAGES"))
ANY_TEXT = "[...]"
E = TypeVar("E", bound=BaseException)
_TMP_FOLDER = re.compile(
    rf"{re.escape(tempfile.gettempdir())}/pytest-of-[^/\s]+/pytest-\d+/(?:popen-gw\d+/)?[^/\s'\":;,)]+"
)
_VARYING = {
    re.compile(r"((?:127\.0\.0\.1|localhost):|--port )\d+"): r"\1PORT",
    re.compile(r"\b\d{8}T\d{6}-[0-9a-f]{6}\b"): "RUN",
    re.compile(r"(?<!\d)20\d\d-\d\d-\d\dT\d\d-\d\d-\d\d(?!\d)"): "TIME",
}


class _Recording:
    """The test that runs in this process, and how many messages it has compared."""

    test = ""
    compared = 0


def read_messages(path: Path = RECORDED) -> dict[str, list[str]]:
    """Return the recorded messages of each test id."""
    blocks = path.read_text(encoding="utf-8").split("\n\n") if path.exists() else []
    return {lines[0]: lines[1:] for block in blocks if (lines := block.strip("\n").split("\n"))[0]}


@cache
def _recorded() -> dict[str, list[str]]:
    return read_messages()


@contextlib.contextmanager
def recording(test: str) -> Iterator[None]:
    """Attribute the messages compared inside the block to a test; fail if more are recorded than were compared."""
    _Recording.test, _Recording.compared = test, 0
    yield
    compared, lines = _Recording.compared, _recorded().get(test, [])
    if compared < len(lines) and WRITE:
        _write(test, lines[:compared])
    elif compared < len(lines):
        pytest.fail(f"{RECORDED.name} records {len(lines)} messages of this test, which compared {compared}")


def assert_recorded(message: str) -> None:
    """Compare a message with the next recorded one of the running test."""
    text = normalize(message)
    number, lines = _Recording.compared, _recorded().setdefault(_Recording.test, [])
    _Recording.compared += 1
    if number < len(lines) and matches(text, lines[number]):
        return
    if not WRITE:
        expected = lines[number] if number < len(lines) else "no such message"
        pytest.fail(f"message {number + 1}: {text}\n{RECORDED.name} records: {expected}")
    lines[number : number + 1] = [text]
    _write(_Recording.test, lines)


@contextlib.contextmanager
def raises(error: type[E] | tuple[type[E], ...]) -> Iterator[pytest.ExceptionInfo[E]]:
    """Expect an error as `pytest.raises` does, and compare its type and message with the recorded ones."""
    with pytest.raises(error) as caught:
        yield caught
    assert_recorded(f"{caught.type.__name__}: {caught.value}")


def normalize(message: str) -> str:
    """Return a message as one line, with the folders, ports, run ids and times of this execution replaced by names."""
    message = _TMP_FOLDER.sub("TMP", message)
    message = message.replace(str(ROOT.parent / "shared"), "SHARED").replace(str(ROOT), "CHECKOUT")
    for pattern, name in _VARYING.items():
        message = pattern.sub(name, message)
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)


def matches(text: str, recorded: str) -> bool:
    """Return whether a message equals a recorded one, in which `[...]` stands for any text."""
    return bool(re.fullmatch(".*".join(map(re.escape, recorded.split(ANY_TEXT))), text))


def _write(test: str, lines: list[str]) -> None:
    """Set the recorded messages of a test; other processes may be writing those of other tests."""
    with (Path(tempfile.gettempdir()) / f"{RECORDED.stem}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        messages = {**read_messages(), test: lines}
        blocks = ("\n".join([name, *messages[name]]) for name in sorted(messages) if messages[name])
        RECORDED.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
