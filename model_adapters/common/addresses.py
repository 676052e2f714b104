"""The addresses of several servers of one model: listed, or in a file that is read again when it changes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from evals import disk
from evals.errors import UsageError
from evals.model_adapters.common.http import without_secrets
from evals.plain import notice

REREAD_S = 1.0
"""Seconds between checks of the file of addresses."""


class Addresses:
    """The base URLs of a command line, or of a file, one a line, which is read again when it changes."""

    def __init__(self, listed: str, check: Callable[[str], None]) -> None:
        """`listed`: `URL1,URL2` or `@FILE`. `check`: raises UsageError for an invalid URL. Raises UsageError."""
        self._check = check
        self._path = Path(listed[1:]) if listed.startswith("@") else None
        self._read_at = 0.0
        self._stamp: tuple[int, int] | None = None
        self.urls: Sequence[str] = split(listed) if self._path is None else self._read(self._path)
        self._check_all(self.urls)
        self._news: Sequence[str] | None = self.urls

    def __call__(self) -> Sequence[str] | None:
        """Return the URLs if they have changed since the last call; an unreadable file is named and changes nothing."""
        if self._path is not None and time.monotonic() - self._read_at > REREAD_S:
            try:
                self._reread(self._path)
            except UsageError as error:
                notice(f"endpoints: {error}; going on with the addresses as they were")
        news, self._news = self._news, None
        return news

    def _reread(self, path: Path) -> None:
        self._read_at = time.monotonic()
        if self._stamp == _stamp(path):
            return
        urls = self._read(path)
        self._check_all(urls)
        self.urls = self._news = urls

    def _check_all(self, urls: Sequence[str]) -> None:
        for url in urls:
            if "," in url.partition("?")[0]:
                raise UsageError(
                    f"{without_secrets(url)}: after each comma goes a whole URL, http://HOST:PORT/v1"
                )
            self._check(url)

    def _read(self, path: Path) -> Sequence[str]:
        self._read_at = time.monotonic()
        self._stamp = _stamp(path)
        try:
            text = disk.read_small(path).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise UsageError(f"cannot read the addresses in {path}: {why}") from None
        if urls := list(filter(None, (line.partition("#")[0].strip() for line in text.splitlines()))):
            return urls
        raise UsageError(f"{path} lists no address; write base URLs, one a line")


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes with a file's content; None if there is no file."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


def split(listed: str) -> list[str]:
    """Split a list of URLs, which may contain commas themselves.

    >>> split("http://a:1/v1,http://b:1/v1?x=1,2")
    ['http://a:1/v1', 'http://b:1/v1?x=1,2']
    """
    return [url.strip() for url in re.split(r",(?=\s*[A-Za-z][A-Za-z0-9+.-]*://)", listed)]
