"""Evaluate variables of a Python file without running it.

Literals, `dict(...)`, names assigned in the file, subscripts, `+`, `in`, `.strip()`, `.format(name=...)`, f-strings of
these, and one iteration of a loop are supported. If the requested value depends on anything else, a DataError names the
file and the line. Other statements are skipped, and the names that they may have changed are unknown afterwards. Limits keep
a short file from taking much time or memory, e.g. by doubling a text again and again.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from string import Formatter
from typing import Any, NamedTuple

from evals.errors import DataError

MAX_ASSIGNMENTS = 1_000
"""Maximum number of assignments in a file, since each keeps a copy of the names defined before it."""
MAX_EVALUATIONS = 100_000
"""Maximum number of expressions that are evaluated for one value."""
MAX_TEXT_LENGTH = 1_000_000
"""Maximum length of a text that an operation returns, in characters."""


class Deferred(NamedTuple):
    """An unevaluated expression, with the names that were defined before it."""

    node: ast.expr
    names: Mapping[str, Deferred]


def evaluate(source: str, path: str, *, file: str, loop_values: Mapping[str, str]) -> Any:
    """Return the final value at `path`, a variable and its nested keys joined by dots; raises DataError.

    `loop_values`: loop variable -> its value in the selected iteration.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{file} cannot be parsed as Python: {type(error).__name__}") from None
    evaluator = _Evaluator(file, loop_values)
    names: dict[str, Deferred] = {}
    evaluator.walk(tree.body, names)
    variable, *keys = path.split(".")
    deferred = names.get(variable)
    for key in keys:
        deferred = deferred and evaluator.lookup(deferred, key)
    if deferred is None:
        raise DataError(f"{file}: cannot read {path}")
    return evaluator.evaluate(deferred)


class _Evaluator:
    def __init__(self, file: str, loop_values: Mapping[str, str]) -> None:
        self.file, self.loop_values = file, loop_values
        self._assignments = self._evaluations = 0

    def walk(self, body: Sequence[ast.stmt], names: dict[str, Deferred]) -> None:
        """Record in `names` what statements assign, in order."""
        for statement in body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=node):
                    self._assignments += 1
                    if self._assignments > MAX_ASSIGNMENTS:
                        raise self._error(statement, f"more than {MAX_ASSIGNMENTS:,} assignments")
                    names[name] = Deferred(node, dict(names))
                case ast.For(target=ast.Name(id=name), orelse=[]):
                    names.pop(name, None)
                    if name in self.loop_values:
                        names[name] = self._selected_value(statement, name, names)
                    self.walk(statement.body, names)
                case ast.For(target=ast.Tuple(), orelse=[]):
                    for name in _bound_names(statement.target):
                        names.pop(name, None)
                    self.walk(statement.body, names)
                case ast.If(test=test) if (condition := self._condition(Deferred(test, names))) is not None:
                    self.walk(statement.body if condition else statement.orelse, names)
                case _:
                    for name in _bound_names(statement):
                        names.pop(name, None)

    def _selected_value(self, loop: ast.For, name: str, names: dict[str, Deferred]) -> Deferred:
        """Return the value of a loop's variable in the selected iteration."""
        value = self.loop_values[name]
        if value not in self.evaluate(Deferred(loop.iter, dict(names))):
            raise self._error(loop, f"{name} is never {value!r}")
        return Deferred(ast.copy_location(ast.Constant(value), loop), {})

    def _condition(self, test: Deferred) -> bool | None:
        """Return whether a condition is true; None if it cannot be evaluated."""
        try:
            return bool(self.evaluate(test))
        except DataError:
            return None

    def lookup(self, deferred: Deferred, key: str) -> Deferred | None:
        """Return the value of a dictionary's key, without evaluating the other values; None if there is no such key."""
        match deferred.node:
            case ast.Name(id=name) if name in deferred.names:
                return self.lookup(deferred.names[name], key)
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
                pairs: list[tuple[Any, ast.expr]] = [(k.arg, k.value) for k in keywords]
            case ast.Dict(keys=keys, values=values):
                pairs = [
                    (k.value if isinstance(k, ast.Constant) else None, v)
                    for k, v in zip(keys, values, strict=True)
                ]
            case _:
                raise self._error(deferred.node, f"not a dictionary, so it cannot contain {key!r}")
        node = next((node for name, node in reversed(pairs) if name == key), None)
        return None if node is None else Deferred(node, deferred.names)

    def evaluate(self, deferred: Deferred) -> Any:
        """Return the value of an expression; raises DataError if it is not supported or exceeds a limit."""
        node, names = deferred
        self._evaluations += 1
        if self._evaluations > MAX_EVALUATIONS:
            raise self._error(node, f"more than {MAX_EVALUATIONS:,} expressions have to be evaluated")
        match node:
            case ast.Constant(value=constant):
                return constant
            case ast.Name(id=name) if name in names:
                return self.evaluate(names[name])
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return [self.evaluate(Deferred(element, names)) for element in elements]
            case ast.Dict(keys=keys, values=values) if None not in keys:
                return {
                    self.evaluate(Deferred(k, names)): self.evaluate(Deferred(v, names))
                    for k, v in zip(keys, values, strict=True)
                    if k is not None
                }
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(
                k.arg for k in keywords
            ):
                return {k.arg: self.evaluate(Deferred(k.value, names)) for k in keywords}
            case ast.JoinedStr(values=parts):
                value = "".join(map(str, (self._f_string_part(Deferred(part, names)) for part in parts)))
            case _:
                value = self._evaluate_operation(deferred)
        if isinstance(value, str) and len(value) > MAX_TEXT_LENGTH:
            raise self._error(node, f"a text of more than {MAX_TEXT_LENGTH:,} characters")
        return value

    def _evaluate_operation(self, deferred: Deferred) -> Any:
        """Evaluate an operation; raises DataError for an unsupported one."""
        node, names = deferred
        try:
            match node:
                case ast.Call(func=ast.Attribute(value=operand, attr="strip"), args=[], keywords=[]):
                    return str.strip(self.evaluate(Deferred(operand, names)))
                case ast.Call(func=ast.Attribute(value=operand, attr="format"), args=[], keywords=keywords):
                    return self._format(Deferred(operand, names), keywords)
                case ast.BinOp(left=left, op=ast.Add(), right=right):
                    return self.evaluate(Deferred(left, names)) + self.evaluate(Deferred(right, names))
                case ast.Subscript(value=operand, slice=key):
                    return self.evaluate(Deferred(operand, names))[self.evaluate(Deferred(key, names))]
                case ast.Compare(left=left, ops=[ast.In()], comparators=[right]):
                    return self.evaluate(Deferred(left, names)) in self.evaluate(Deferred(right, names))
        except (TypeError, LookupError, ValueError) as error:
            raise self._error(node, f"{type(error).__name__}: {error}") from None
        raise self._error(node, f"{ast.unparse(node)[:60]!r} is not built from literals of this file")

    def _format(self, template: Deferred, keywords: Sequence[ast.keyword]) -> str:
        """Return `template.format(name=value)`; fields other than plain names are not supported."""
        values = {k.arg: self.evaluate(Deferred(k.value, template.names)) for k in keywords}
        pieces = []
        for literal, field, format_spec, conversion in Formatter().parse(self.evaluate(template)):
            if field is not None and (field not in values or format_spec or conversion):
                whole = f"{{{field}{f'!{conversion}' if conversion else ''}{f':{format_spec}' if format_spec else ''}}}"
                raise self._error(template.node, f"the replacement field {whole!r:.40} is not supported")
            pieces.append(literal + ("" if field is None else str(values[field])))
        return "".join(pieces)

    def _f_string_part(self, part: Deferred) -> Any:
        """Return the value of one part of an f-string; format specifications and conversions are not supported."""
        match part.node:
            case ast.FormattedValue(value=operand, conversion=-1, format_spec=None):
                return self.evaluate(Deferred(operand, part.names))
            case ast.Constant(value=text):
                return text
        raise self._error(part.node, "format specifications and conversions in f-strings are not supported")

    def _error(self, node: ast.expr | ast.stmt, problem: str) -> DataError:
        return DataError(f"{self.file}, line {node.lineno}: {problem}")


def _bound_names(statement: ast.AST) -> Iterator[str]:
    """Yield the names that a statement may bind, delete or change."""
    for node in ast.walk(statement):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.alias(name=name, asname=alias):
                yield alias or name.partition(".")[0]
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Attribute() | ast.Subscript():
                if isinstance(node.ctx, ast.Store | ast.Del):
                    yield from _root_name(node)
            case ast.Call(func=ast.Attribute() as method):
                yield from _root_name(method)


def _root_name(node: ast.expr) -> Iterator[str]:
    """Yield `a` for `a.b[c].d`; nothing if the chain does not start at a name."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id
