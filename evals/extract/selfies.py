r"""Rewrite SELFIES in replies as SMILES, so that the readers of SMILES apply to them.

>>> rewrite_selfies("The product is <SELFIES>[C][C][=O]</SELFIES>.").text
'The product is <SMILES>CC=O</SMILES>.'

A run of symbols such as `[C][=Branch1]` is SELFIES if the package `selfies` (extra `chemistry`) decodes all of it. Runs
like `[C][O]` are also valid SMILES; they count as SELFIES unless a tag or label calls them SMILES.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from evals.errors import UsageError, install_command
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.reading import Reading

MAX_RUN_CHARS = 5_000
"""Maximum length of a run that is decoded."""
MAX_RUNS = 200
"""Maximum number of runs that are decoded, from the end of a reply."""
_SYMBOL_RUN = lazy_pattern(
    r"(?:\[(?!/?SELFIES\])[^\[\]\s]{1,24}\])++(?:\.(?:\[(?!/?SELFIES\])[^\[\]\s]{1,24}\])++)*+", re.IGNORECASE
)
_ONLY_SELFIES = re.compile(r"\[[=#/\\]*(?:Branch|Ring)\d\]|\[[=#/\\]")
_NOTATION_NAME = lazy_pattern(r"\[(?P<closing>/?)SELFIES\]|SELFIES", re.IGNORECASE)
_TAGGED_SELFIES = lazy_pattern(r"<SELFIES>([^<>]{1,5000})</SELFIES>", re.IGNORECASE)
_SMILES_LINE = lazy_pattern(
    r"^[^\w\n\[]{0,12}(?:(?:canonical|isomeric|equivalent|corresponding)\s)?SMILES\b[^\n]*", re.IGNORECASE | re.MULTILINE
)  # fmt: skip
_CALLED_SMILES = re.compile(r"SMILES[^\n\[\]A-Za-z]{0,12}$", re.IGNORECASE)


class _Change(NamedTuple):
    """The new and the original extent of a replaced piece."""

    begin: int
    end: int
    original_begin: int
    original_end: int


class RewrittenReply(NamedTuple):
    """A reply with its SELFIES replaced by SMILES."""

    text: str
    changes: tuple[_Change, ...] = ()

    def with_original_position(self, reading: Reading) -> Reading:
        """Return a reading with its position in the original reply."""
        return reading._replace(
            begin=self._original_position(reading.begin),
            end=self._original_position(reading.end, is_end=True),
        )

    def _original_position(self, position: int, *, is_end: bool = False) -> int:
        shift = 0
        for change in self.changes:
            if position < change.begin or (is_end and position == change.begin):
                break
            if position < change.end or (is_end and position == change.end):
                return change.original_end if is_end else change.original_begin
            shift = change.original_end - change.end
        return position + shift


@lru_cache(1)
def _import_selfies() -> Any:
    """Import selfies; raises UsageError, naming the extra, if it is not installed."""
    try:
        import selfies
    except ImportError:
        raise UsageError(
            f"reading SELFIES needs the package selfies: {install_command('chemistry')}"
        ) from None
    return selfies


@lru_cache(maxsize=4096)
def decode_selfies(selfies: str) -> str | None:
    """Return the SMILES of a SELFIES string as the package decodes it; None if it is not SELFIES.

    The decoder ignores symbols that exceed an atom's valence, so nearly every string of known symbols decodes.
    """
    package = _import_selfies()
    try:
        return str(package.decoder(selfies))
    except (package.DecoderError, RecursionError, ValueError, IndexError, KeyError):
        return None


def rewrite_selfies(text: str) -> RewrittenReply:
    """Replace SELFIES, and tags and labels of that name, by SMILES; lines that repeat the molecule in SMILES are deleted."""
    if "[" not in text:
        return _replace_pieces(text, _notation_names(text))
    pieces = {**_notation_names(text), **_selfies_runs(text)}
    if any("[" in text[begin:end] for begin, end in pieces):
        pieces |= {match.span(): "" for match in _SMILES_LINE.finditer(text) if "[" not in match[0]}
    return _replace_pieces(text, pieces)


def _notation_names(text: str) -> dict[tuple[int, int], str]:
    """Return the replacement of each tag or word "SELFIES", by its extent."""
    return {
        match.span(): "SMILES" if match["closing"] is None else f"<{match['closing']}SMILES>"
        for match in _NOTATION_NAME.finditer(text)
    }


def _selfies_runs(text: str) -> dict[tuple[int, int], str]:
    """Return the SMILES of each SELFIES string in the text, by its extent."""
    smiles_by_span: dict[tuple[int, int], str] = {}
    for tag in list(_TAGGED_SELFIES.finditer(text))[-MAX_RUNS:]:
        smiles = _decode_run("".join(tag[1].strip(" `\n\t*$").split()))
        if smiles:
            smiles_by_span[tag.span(1)] = smiles
    tagged_spans = sorted(smiles_by_span)
    for run in list(_SYMBOL_RUN.finditer(text))[-MAX_RUNS:]:
        begin, end = run.span()
        if any(
            tag_begin <= begin and end <= tag_end for tag_begin, tag_end in tagged_spans
        ) or not _is_selfies(text, begin, run[0]):
            continue
        if smiles := _decode_run(run[0]):
            smiles_by_span[begin, end] = smiles
    return smiles_by_span


def _decode_run(run: str) -> str | None:
    if not run.startswith("[") or len(run) > MAX_RUN_CHARS:
        return None
    return decode_selfies(run) or (decode_selfies(run.replace("\\\\", "\\")) if "\\\\" in run else None)


def _is_selfies(text: str, begin: int, run: str) -> bool:
    """Return whether a run of bracketed symbols is meant as SELFIES rather than SMILES."""
    return bool(_ONLY_SELFIES.search(run)) or not _CALLED_SMILES.search(text[max(0, begin - 24) : begin])


def _replace_pieces(text: str, pieces: dict[tuple[int, int], str]) -> RewrittenReply:
    parts: list[str] = []
    changes: list[_Change] = []
    read_position = written_position = 0
    for (begin, end), replacement in sorted(pieces.items()):
        if begin < read_position:
            continue
        parts += [text[read_position:begin], replacement]
        written_position += begin - read_position
        changes.append(_Change(written_position, written_position + len(replacement), begin, end))
        read_position, written_position = end, written_position + len(replacement)
    return RewrittenReply("".join((*parts, text[read_position:])), tuple(changes))
