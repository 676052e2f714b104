"""Upstream's own words, for protocols that mean them: read from its wheel, never copied into this house.

A suite says which file of the wheel holds them, under which variables, and what its rows are to the templates there.
Where the wheel is not at hand, or nobody could read the words, the suite's own wording stands in, under the name
of the protocol with `~` behind it, which is a protocol of its own.

Templates are filled as OpenCompass 0.5.4 fills them (opencompass/openicl/icl_prompt_template.py, utils/prompt.py,
models/base_api.py): column after column, so that a `{A}` in a question becomes option A; a system turn, for which
the published models' templates have no place, stands before the user's in one turn; an open last turn is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from msgspec import Struct, structs

from evals.errors import DataError
from evals.prompts.upstream import wheel
from evals.prompts.upstream.wheel import OPENCOMPASS, VLMEVALKIT, Wheel
from evals.types import Message, Prompt, Prompter, Sample, Text

Row: TypeAlias = dict[str, str]


class Words(Struct, frozen=True, kw_only=True):
    """Where upstream's words for a suite stand."""

    wheel: Wheel = OPENCOMPASS
    lacks: str = ""
    """Why nobody can be asked in them, in one line; empty where one can."""
    file: str = ""
    """In the wheel, below its folder."""
    asks: str = ""
    """Variable and keys of the template that asks."""
    judges: str = ""
    """Of the template for a judge; empty: a judge is asked in ours."""
    given: tuple[tuple[str, str], ...] = ()
    """Turns of the file's loops: variable and value."""
    row: Callable[[Sample, Prompt, str], Row] | None = None
    """(sample, prompt, question) -> columns as upstream's loader makes them, in its order."""
    gold: str = ""
    """The column with the gold answer; empty while a model is asked."""
    kind: Literal["verdict", "number", "option", "points"] = "verdict"
    """What the judge replies with: A or B, a number, an option's letter or Z, or 0 to 9."""

    @property
    def name(self) -> str:
        """Name package and file."""
        return f"{self.wheel.package} {self.file}"

    def absent(self) -> str:
        """Say why the file cannot be read here, and what to do; empty: it can, or there is none."""
        return wheel.fault(self.wheel) if self.file else ""

    def fault(self) -> str:
        """Say why a model cannot be asked in these words here; empty: it can."""
        return self.lacks or self.absent()

    def card(self) -> dict[str, str]:
        """Say for a run's card whose words were used."""
        file = f"{self.wheel.folder}{self.file}"
        found = {"package": self.wheel.package, "wheel_sha256": self.wheel.sha256, "file": file}
        found["file_sha256"] = hashed(wheel.read(self.wheel, file))
        for name, said in (("asks", self.asks), ("judges", self.judges)):
            if said:
                found |= {name: said, f"{name}_sha256": self.sha256(said)}
        return found | dict(self.given)

    def sha256(self, path: str) -> str:
        """Hash a template's turns."""
        return hashed(repr(self.turns(path)).encode())

    def turns(self, path: str) -> tuple[tuple[str, str], ...]:
        """Read a template: (role, text) of every turn; raises DataError."""
        return _turns(self.wheel, f"{self.wheel.folder}{self.file}", path, self.given)

    def asker(self, ours: Prompter) -> Prompter:
        """Give the function that asks in these words, options in the order of ours; raises DataError."""
        if why := self.fault():
            raise DataError(why)
        turns = self.turns(self.asks)

        def ask(sample: Sample, repeat: int) -> Prompt:
            prompt = ours(sample, repeat)
            question = "".join(part.text for part in sample.question if isinstance(part, Text))
            row = self._columns(sample, prompt, question) | ({self.gold: ""} if self.gold else {})
            return structs.replace(prompt, messages=filled(turns, row))

        return ask

    def judging(self, sample: Sample, prompt: Prompt, asked: str, candidate: str, shown: str = "") -> str:
        """Word a judge's task; `asked`: the words that stand in for a question that cannot be told.

        `shown`: the options, one in a line, where the judge is to name one.
        """
        row = self._columns(sample, prompt, self._question(sample, prompt) or asked)
        messages = filled(self.turns(self.judges), row | {"prediction": candidate})
        return "\n".join(
            part.text for message in messages for part in message.parts if isinstance(part, Text)
        )

    def _columns(self, sample: Sample, prompt: Prompt, question: str) -> Row:
        return self.row(sample, prompt, question) if self.row else {}

    def _question(self, sample: Sample, prompt: Prompt) -> str:
        """Cut the question out of a prompt in these words; empty where it is in others. Records keep no questions."""
        mark = "\0"
        row = self._columns(sample, prompt, mark) | ({self.gold: ""} if self.gold else {})
        here, there = (_text(m) for m in (filled(self.turns(self.asks), row), prompt.messages))
        before, _, after = here.partition(mark)
        fits = len(there) > len(before) + len(after) and there.startswith(before) and there.endswith(after)
        return there[len(before) : len(there) - len(after)] if fits else ""


UNREAD = Words(wheel=VLMEVALKIT, lacks="VLMEvalKit's words for it are in no package that is read here")
"""Suites whose published numbers VLMEvalKit made, where a part of the question or the judge's task cannot be had."""


def hashed(raw: bytes) -> str:
    """Give the SHA-256 of words."""
    return sha256(raw).hexdigest()


def _text(messages: tuple[Message, ...]) -> str:
    return "\n".join(part.text for message in messages for part in message.parts if isinstance(part, Text))


def filled(turns: tuple[tuple[str, str], ...], row: Mapping[str, str]) -> tuple[Message, ...]:
    """Fill a template's turns: neighbours of one role become one turn, an open last turn of the model is left out."""
    said: list[tuple[Literal["user", "assistant"], str]] = []
    for role, text in turns:
        for column, content in row.items():
            text = text.replace(f"{{{column}}}", content)
        who: Literal["user", "assistant"] = "assistant" if role == "BOT" else "user"
        if said and said[-1][0] == who:
            said[-1] = (who, f"{said[-1][1]}\n{text}")
        else:
            said.append((who, text))
    if said and said[-1][0] == "assistant":
        said.pop()
    return tuple(Message(who, (Text(text),)) for who, text in said)


@cache
def _turns(
    one: Wheel, file: str, path: str, given: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    from evals.prompts.upstream import configs

    name = f"{one.package}: {file}"
    try:
        source = wheel.read(one, file).decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{name} is no text") from None
    return _checked(configs.value(source, path, file=name, given=dict(given)), f"{name}: {path}")


def _checked(template: Any, name: str) -> tuple[tuple[str, str], ...]:
    """Give the turns of a template; raises DataError where it has another shape."""
    known = {"begin", "round"}
    if not isinstance(template, dict) or not {"round"} <= set(template) <= known:
        raise DataError(f"{name} is no template of the form {{begin, round}}")
    turns = (
        [*(template.get("begin") or []), *template["round"]] if isinstance(template["round"], list) else []
    )
    if not turns or not all(_sound(turn) for turn in turns):
        raise DataError(f"{name}: its turns are not of the form {{role, prompt}} with HUMAN, BOT and SYSTEM")
    return tuple((turn["role"], turn["prompt"]) for turn in turns)


def _sound(turn: Any) -> bool:
    if not isinstance(turn, dict) or not isinstance(turn.get("prompt"), str):
        return False
    return turn.get("role") in ("HUMAN", "BOT") or (turn.get("role"), turn.get("fallback_role")) == (
        "SYSTEM",
        "HUMAN",
    )
