"""The subset of GitHub's expressions that our action uses: `${{ a.b == 'x' && !c || 'y' }}`.

https://docs.github.com/actions/reference/evaluate-expressions-in-workflows-and-actions: `&&` and `||` return one of their
operands; false, 0, the empty string and null are falsy; strings are compared case-insensitively; a missing context
is null.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(r"\s*(&&|\|\||==|!=|[!()]|'(?:[^']|'')*'|[A-Za-z_][\w.-]*(?:\(\))?|\d+)")
_PART = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


def evaluate(text: str, contexts: Mapping[str, Any]) -> Any:
    """Return the value of a text that is a single expression, else the text with its expressions replaced."""
    whole = _PART.fullmatch(text.strip())
    if whole and "}}" not in whole[1]:
        return _Expression(whole[1], contexts).value()
    return _PART.sub(lambda match: _text(_Expression(match[1], contexts).value()), text)


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


class _Expression:
    def __init__(self, text: str, contexts: Mapping[str, Any]) -> None:
        self.tokens = _TOKEN.findall(text)
        assert "".join(self.tokens) == re.sub(r"\s+(?=(?:[^']*'[^']*')*[^']*$)", "", text), text
        self.at = 0
        self.contexts = contexts

    def value(self) -> Any:
        value = self._or()
        assert self.at == len(self.tokens), self.tokens[self.at :]
        return value

    def _take(self, *wanted: str) -> str:
        if self.at < len(self.tokens) and self.tokens[self.at] in wanted:
            self.at += 1
            return str(self.tokens[self.at - 1])
        return ""

    def _or(self) -> Any:
        value = self._and()
        while self._take("||"):
            other = self._and()
            value = value or other
        return value

    def _and(self) -> Any:
        value = self._equal()
        while self._take("&&"):
            other = self._equal()
            value = value and other
        return value

    def _equal(self) -> Any:
        value = self._not()
        while sign := self._take("==", "!="):
            same = _text(value).lower() == _text(self._not()).lower()
            value = same if sign == "==" else not same
        return value

    def _not(self) -> Any:
        if self._take("!"):
            return not self._not()
        if self._take("("):
            value = self._or()
            assert self._take(")")
            return value
        token = self.tokens[self.at]
        self.at += 1
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if token.isdecimal():
            return int(token)
        if token in ("true", "always()"):
            return True
        return False if token == "false" else self._context(token)

    def _context(self, name: str) -> Any:
        value: Any = self.contexts
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value
