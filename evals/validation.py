"""What a file's fault is, in words that help: msgspec says where a value does not fit, and not which values would."""

from __future__ import annotations

import difflib
import re
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

_FAULT = re.compile(
    r"(?:Invalid enum value (?P<value>.*?)|Object contains unknown field `(?P<field>.*?)`)(?: - at `\$(?P<place>.*)`)?"
)
_STEP = re.compile(r"\.(\w+)|\[[^\]]*\]")


def explained(error: msgspec.ValidationError, kind: Any) -> str:
    """Return a validation error with the values or fields that are known there; `kind`: what was decoded.

    >>> class Entry(msgspec.Struct, forbid_unknown_fields=True):
    ...     better: Literal["higher", "lower"] = "higher"
    >>> try:
    ...     msgspec.convert([{"better": "up"}], list[Entry])
    ... except msgspec.ValidationError as error:
    ...     explained(error, list[Entry])
    "Invalid enum value 'up' - at `$[0].better`; known: higher, lower"
    """
    text = str(error)
    found = _FAULT.fullmatch(text)
    if found is None:
        return text
    place = _at(kind, found["place"] or "")
    if found["field"] is not None:
        known = list(place.__struct_fields__) if _is_struct(place) else []
        near = difflib.get_close_matches(found["field"], known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
    else:
        known = [str(value) for one in _choices(place) for value in get_args(one)]
        hint = f"known: {', '.join(known)}"
    return f"{text}; {hint}" if known else text


def _at(kind: Any, place: str) -> Any:
    """Return the type that stands at a place like `.suite[0].better`."""
    for step in _STEP.finditer(place):
        kind = _plain(kind)
        if step[1] is None or not _is_struct(kind):
            inner = get_args(kind)
            kind = inner[-1] if len(inner) == 2 and inner[-1] is not Ellipsis else inner[0] if inner else Any
        else:
            kind = get_type_hints(kind).get(step[1], Any)
    return _plain(kind)


def _plain(kind: Any) -> Any:
    """Return a type without what may stand in its place: None, and what is said of it."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        own = [one for one in get_args(kind) if one is not type(None)]
        return _plain(own[0]) if len(own) == 1 else kind
    return kind


def _choices(kind: Any) -> list[Any]:
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else [kind]
    return [one for one in kinds if get_origin(one) is Literal]


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
