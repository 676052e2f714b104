"""Texts out of a Python file that is read and never run: literals, names assigned in the same file, loops at one turn.

What can be read is what configurations are written in: literals, `dict(...)`, names, subscripts, `+`, `.strip()` and
f-strings of names. Anything else on the way to the wanted value is one DataError that names file and line; beside the
way it may stand, and a name that it may have changed is then not known.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from evals.errors import DataError


class Later(NamedTuple):
    """An expression with the names as they stood where it was written."""

    node: ast.expr
    names: Mapping[str, Later]


def value(source: str, path: str, *, file: str, given: Mapping[str, str]) -> Any:
    """Give the value at `path`, a variable and keys in it with points between, as it stands at the file's end.

    `given`: for each loop variable that matters, the turn that is wanted. Raises DataError.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{file} is no Python that can be read: {type(error).__name__}") from None
    reader = _Reader(file, given)
    names: dict[str, Later] = {}
    reader.walk(tree.body, names)
    variable, *keys = path.split(".")
    found = names.get(variable)
    for key in keys:
        found = found and reader.inside(found, key)
    if found is None:
        raise DataError(f"{file}: there is no {path} that can be read")
    return reader.value(found)


class _Reader:
    def __init__(self, file: str, given: Mapping[str, str]) -> None:
        self.file, self.given = file, given

    def walk(self, body: Sequence[ast.stmt], names: dict[str, Later]) -> None:
        """Take in statements one after the other."""
        for statement in body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=node):
                    names[name] = Later(node, dict(names))
                case ast.For(target=ast.Name(id=name), orelse=[]):
                    names.pop(name, None)
                    if name in self.given:
                        names[name] = self._turn(statement, name, names)
                    self.walk(statement.body, names)
                case ast.If(test=test) if (taken := self._holds(Later(test, names))) is not None:
                    self.walk(statement.body if taken else statement.orelse, names)
                case _:
                    for name in _touched(statement):
                        names.pop(name, None)

    def _turn(self, loop: ast.For, name: str, names: dict[str, Later]) -> Later:
        wanted = self.given[name]
        if wanted not in self.value(Later(loop.iter, dict(names))):
            raise self._fault(loop, f"{name} is never {wanted!r}")
        return Later(ast.copy_location(ast.Constant(wanted), loop), {})

    def _holds(self, test: Later) -> bool | None:
        """Say which branch is taken; None: that cannot be read."""
        try:
            return bool(self.value(test))
        except DataError:
            return None

    def inside(self, found: Later, key: str) -> Later | None:
        """Give what lies under a key, whatever stands beside it."""
        match found.node:
            case ast.Name(id=name) if name in found.names:
                return self.inside(found.names[name], key)
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
                pairs: list[tuple[Any, ast.expr]] = [(k.arg, k.value) for k in keywords]
            case ast.Dict(keys=keys, values=values):
                pairs = [
                    (k.value if isinstance(k, ast.Constant) else None, v)
                    for k, v in zip(keys, values, strict=True)
                ]
            case _:
                raise self._fault(found.node, f"is no dictionary that could hold {key}")
        node = next((node for name, node in reversed(pairs) if name == key), None)
        return None if node is None else Later(node, found.names)

    def value(self, found: Later) -> Any:
        """Evaluate an expression."""
        node, names = found
        match node:
            case ast.Constant(value=constant):
                return constant
            case ast.Name(id=name) if name in names:
                return self.value(names[name])
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return [self.value(Later(element, names)) for element in elements]
            case ast.Dict(keys=keys, values=values) if None not in keys:
                return {
                    self.value(Later(k, names)): self.value(Later(v, names))  # type: ignore[arg-type]
                    for k, v in zip(keys, values, strict=True)
                }
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(
                k.arg for k in keywords
            ):
                return {k.arg: self.value(Later(k.value, names)) for k in keywords}
            case ast.JoinedStr(values=parts):
                return "".join(map(str, (self._part(Later(part, names)) for part in parts)))
            case _:
                return self._made(found)

    def _made(self, found: Later) -> Any:
        """Evaluate what is made of other values; raises DataError for what is not read."""
        node, names = found
        try:
            match node:
                case ast.Call(func=ast.Attribute(value=inner, attr="strip"), args=[], keywords=[]):
                    return str.strip(self.value(Later(inner, names)))
                case ast.BinOp(left=left, op=ast.Add(), right=right):
                    return self.value(Later(left, names)) + self.value(Later(right, names))
                case ast.Subscript(value=inner, slice=key):
                    return self.value(Later(inner, names))[self.value(Later(key, names))]
                case ast.Compare(left=left, ops=[ast.In()], comparators=[right]):
                    return self.value(Later(left, names)) in self.value(Later(right, names))
        except (TypeError, LookupError) as error:
            raise self._fault(node, f"{type(error).__name__}: {error}") from None
        raise self._fault(
            node, f"{ast.unparse(node)[:60]!r} is no literal, nor made of literals of this file"
        )

    def _part(self, part: Later) -> Any:
        """Give one piece of an f-string; a format or a conversion is not read."""
        match part.node:
            case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                return self.value(Later(inner, part.names))
            case ast.Constant(value=text):
                return text
        raise self._fault(part.node, "an f-string with a format is not read")

    def _fault(self, node: ast.expr | ast.stmt, what: str) -> DataError:
        return DataError(f"{self.file}, line {node.lineno}: {what}")


def _touched(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement may have bound, deleted or changed."""
    for node in ast.walk(statement):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name.partition(".")[0]
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Attribute() | ast.Subscript():
                if isinstance(node.ctx, ast.Store | ast.Del):
                    yield from _root(node)
            case ast.Call(func=ast.Attribute() as called):
                yield from _root(called)


def _root(node: ast.expr) -> Iterator[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id
