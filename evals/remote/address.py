"""Addresses of remote results: `s3://bucket/path`. Credentials come from the environment, never from an address."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from evals.errors import StoreError

PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "sftp": "sshfs",
    "hf": "huggingface_hub",
    "file": "",
    "memory": "",
}
"""Scheme -> the package that fsspec needs for it. Other schemes (http, zip, reference, ...) are refused."""
DISPLAYED_SCHEMES = ("s3", "gs", "az", "sftp", "hf", "file")
"""The schemes that error messages list."""
SCHEMES_WITH_USER = ("sftp", "abfs", "abfss")
"""Schemes whose addresses may contain a user (or container) before the host."""
_SCHEME = re.compile(r"((?:[A-Za-z0-9+.-]+::)*[A-Za-z][A-Za-z0-9+.-]+):/+")
"""`Path` collapses `//` into `/`, hence `/+`. A one-letter scheme would be a Windows drive. fsspec's chains
(`simplecache::s3://`) are matched, so that they are refused as addresses instead of being taken for local folders."""


class Address(NamedTuple):
    """An address without credentials."""

    scheme: str
    location: str
    """The part after `://`, without trailing slashes; for `file://`, with its leading slash."""
    run: str = ""
    """Name of a run at the address, given after `#`."""

    def __str__(self) -> str:
        """Return the address without the run's name, for display and storage."""
        return f"{self.scheme}://{self.location}"


def is_address(text: object) -> bool:
    """Return whether a string is an address, i.e. begins with a scheme, rather than a local path.

    >>> [is_address(text) for text in ("s3://bucket/team", "s3:/bucket/team", "results", "gpqa:diamond", "a:/b")]
    [True, True, False, False, False]
    """
    return _SCHEME.match(str(text)) is not None


def parse(text: object) -> Address:
    """Parse an address; raises StoreError if it is invalid, with a message that does not repeat possible credentials.

    >>> str(parse("s3:/bucket/team/")), parse("s3://bucket/team#week1").run
    ('s3://bucket/team', 'week1')
    """
    match = _SCHEME.match(str(text))
    scheme = match[1].lower() if match else ""
    if match is None or scheme not in PACKAGES:
        raise StoreError(
            f"expected an address that begins with {', '.join(f'{name}://' for name in DISPLAYED_SCHEMES)}"
        )
    location, _, run = str(text)[match.end() :].partition("#")
    location = location.rstrip("/")
    if fault := _fault(scheme, location, run):
        raise StoreError(f"{scheme}://...: {fault}")
    return Address(scheme, f"/{location}" if scheme == "file" else location, run)


def _fault(scheme: str, location: str, run: str) -> str:
    """Return why an address is refused; empty if it is valid."""
    try:
        parts = urlsplit(f"{scheme}://{location}")
        user, password = parts.username, parts.password
    except ValueError:
        return "it is not a valid address"
    if password is not None or (user is not None and scheme not in SCHEMES_WITH_USER):
        return "an address must not contain credentials; they are read from the environment or your configuration files"
    if parts.query or "?" in location:
        return "an address must not contain a ?query, which may hold credentials; they are read from the environment"
    if not location or "::" in location or not (location + run).isprintable():
        return "expected a bucket or host, and a path in it"
    if any(part in ("", ".", "..") for part in location.split("/")) or set("*[]") & set(location):
        return "its path has an empty part, `.`, `..`, or one of * [ ]"
    return ""
