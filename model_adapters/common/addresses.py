"""The addresses of several servers for one model: a list, or a file that is read again when it changes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from evals import disk
from evals.errors import UsageError
from evals.model_adapters.common.http import without_secrets
from evals.plain import notice

CHECK_INTERVAL_S = 1.0
"""Minimum interval between checks of the file of addresses."""


class Addresses:
    """Base URLs, either given directly or in a file with one per line, which is read again when it changes."""

    def __init__(self, spec: str, check: Callable[[str], None]) -> None:
        """`spec`: `URL1,URL2` or `@FILE`; `check`: raises UsageError for an invalid URL."""
        self._check = check
        self._path = Path(spec[1:]) if spec.startswith("@") else None
        self._checked_at = 0.0
        self._version: tuple[int, int] | None = None
        self.urls: Sequence[str] = split_urls(spec) if self._path is None else self._read_file(self._path)
        self._check_all(self.urls)
        self._changed_urls: Sequence[str] | None = self.urls

    def __call__(self) -> Sequence[str] | None:
        """Return the URLs if they have changed since the last call, else None; warn the user if the file cannot be used."""
        if self._path is not None and time.monotonic() - self._checked_at > CHECK_INTERVAL_S:
            try:
                self._reread_if_changed(self._path)
            except UsageError as error:
                notice(f"endpoints: {error}; continuing with the previous addresses")
        changed_urls, self._changed_urls = self._changed_urls, None
        return changed_urls

    def _reread_if_changed(self, path: Path) -> None:
        self._checked_at = time.monotonic()
        if self._version == _file_version(path):
            return
        urls = self._read_file(path)
        self._check_all(urls)
        self.urls = self._changed_urls = urls

    def _check_all(self, urls: Sequence[str]) -> None:
        for url in urls:
            if "," in url.partition("?")[0]:
                raise UsageError(
                    f"{without_secrets(url)}: write a full URL after each comma, e.g. http://HOST:PORT/v1"
                )
            self._check(url)

    def _read_file(self, path: Path) -> Sequence[str]:
        self._checked_at = time.monotonic()
        self._version = _file_version(path)
        try:
            text = disk.read_small(path).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise UsageError(f"cannot read the addresses in {path}: {reason}") from None
        if urls := list(filter(None, (line.partition("#")[0].strip() for line in text.splitlines()))):
            return urls
        raise UsageError(f"{path} lists no address; write one base URL per line")


def _file_version(path: Path) -> tuple[int, int] | None:
    """Return modification time and size of a file, which change with its content; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def split_urls(urls: str) -> list[str]:
    """Split a comma-separated list of URLs, which may themselves contain commas.

    >>> split_urls("http://a:1/v1,http://b:1/v1?x=1,2")
    ['http://a:1/v1', 'http://b:1/v1?x=1,2']
    """
    return [url.strip() for url in re.split(r",(?=\s*[A-Za-z][A-Za-z0-9+.-]*://)", urls)]
