"""Error messages for invalid files and values; they suggest close matches or list the allowed values or keys."""

from __future__ import annotations

import re
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from evals import disk
from evals.errors import UsageError
from evals.plain import suggestion

ROUNDING = 1e-9
"""How far a valid value may exceed a bound because of rounding errors."""
_SHORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_UNKNOWN_NAME = re.compile(
    r"(?:Invalid enum value (?P<value>.*?)|Object contains unknown field `(?P<field>.*?)`)(?: - at `\$\.?(?P<path>.*)`)?"
)
_OTHER_TYPE = re.compile(
    r"' object (has no attribute|is not|does not support)|(indices|argument) must be|unhashable type|unsupported operand"
    r"|not supported between|expected string"
)
"""Python's messages about a value of another type, such as a number in the place of a JSON object."""
_MISSING_KEY = re.compile(r"Object missing required field `(.*?)`(?: - at `\$\.?(.*)`)?")
_PATH_STEP = re.compile(r"(\w+)|\[[^\]]*\]")


def explain(error: msgspec.ValidationError, expected_type: Any) -> str:
    """Return a validation error as text, with close matches or, if there are none, all allowed values or keys.

    >>> class Entry(msgspec.Struct, forbid_unknown_fields=True):
    ...     better: Literal["higher", "lower"] = "higher"
    >>> try:
    ...     msgspec.convert([{"better": "up"}], list[Entry])
    ... except msgspec.ValidationError as error:
    ...     explain(error, list[Entry])
    "unknown value 'up' at [0].better; known: higher, lower"
    """
    text = str(error)
    if match := _MISSING_KEY.fullmatch(text):
        return f"the key {match[1]!r} is missing{f' at {match[2]}' if match[2] else ''}"
    if (match := _UNKNOWN_NAME.fullmatch(text)) is None:
        return text
    path = match["path"] or ""
    allowed = _allowed_names(_type_at(expected_type, path))
    if match["field"] is not None:
        text, given_name = f"unknown key {match['field']!r}", match["field"]
    else:
        text, given_name = f"unknown value {match['value']}", match["value"].strip("'")
    text += f" at {path}" if path else ""
    return f"{text}; {suggestion(given_name, allowed)}" if allowed else text


def cause(error: Exception, expected_type: Any = None) -> str:
    """Return in one line, without Python terms, why a file could not be read.

    >>> cause(RecursionError("maximum recursion depth exceeded")), cause(OSError(21, "Is a directory", "x"))
    ('it is nested too deeply', 'Is a directory')
    >>> cause(AttributeError("'int' object has no attribute 'get'"))
    'a value has an unexpected type'
    """
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"the field {error} is missing"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start})"
    if expected_type is not None and isinstance(error, msgspec.ValidationError):
        return explain(error, expected_type)
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if match := _MISSING_KEY.fullmatch(text):
        return f"the key {match[1]!r} is missing"
    if isinstance(error, TypeError | AttributeError) and _OTHER_TYPE.search(text):
        return "a value has an unexpected type"
    if "codec can't decode" in text:  # a library wrapped the error
        return "it is not UTF-8"
    return "a number has more than 4,300 digits" if "integer string conversion" in text else text


def read_struct(path: Path, kind: Any, *, max_bytes: int = disk.MAX_SMALL_FILE) -> Any:
    """Read a JSON file (suffix .json) or a TOML file into a type; raises UsageError."""
    decode = msgspec.json.decode if path.suffix == ".json" else msgspec.toml.decode
    try:
        return decode(disk.read_small(path, max_bytes), type=kind)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {cause(error, kind)}") from None


def check_short_name(name: str, source: object) -> None:
    """Raise UsageError if a name from `source` cannot be the name of a folder."""
    if not _SHORT_NAME.fullmatch(name):
        raise UsageError(
            f"{source}: invalid name {name[:80]!r}: use up to 64 letters, digits, '.', '-' and '_', "
            "beginning with a letter or digit"
        )


def short_name_from(path: Path, default: str) -> str:
    """Return a short name made from a file's stem, with hyphens for all characters but ASCII letters and digits.

    >>> short_name_from(Path("my recipe (2).toml"), "merged"), short_name_from(Path("?.toml"), "merged")
    ('my-recipe--2', 'merged')
    """
    return re.sub(r"[^A-Za-z0-9]", "-", path.stem).strip("-")[:64] or default


def _allowed_names(kind: Any) -> list[str]:
    """Return the keys of a struct, or the values of a literal."""
    if _is_struct(kind):
        return list(kind.__struct_encode_fields__)
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else [kind]
    return [str(value) for member in members if get_origin(member) is Literal for value in get_args(member)]


def _type_at(kind: Any, path: str) -> Any:
    """Return the type at a path like `suite[0].better`."""
    for step in _PATH_STEP.finditer(path):
        kind = _unwrap(kind)
        if step[1] is None or not _is_struct(kind):
            inner = get_args(kind)
            kind = inner[-1] if len(inner) == 2 and inner[-1] is not Ellipsis else inner[0] if inner else Any
        else:
            fields = zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True)
            hints = get_type_hints(kind)
            kind = next((hints[field] for key, field in fields if key == step[1]), Any)
    return _unwrap(kind)


def _unwrap(kind: Any) -> Any:
    """Return a type without `Annotated`, and without None if one other type remains."""
    if get_origin(kind) is Annotated:
        return _unwrap(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        members = [member for member in get_args(kind) if member is not type(None)]
        return _unwrap(members[0]) if len(members) == 1 else kind
    return kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
