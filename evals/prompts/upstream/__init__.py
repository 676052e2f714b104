"""Verbatim prompts of other harnesses, read from their wheels and never copied into this project.

A suite names the file in the wheel, the variables that hold the templates, and the columns that fill them. If the wheel
is missing, or its prompts cannot be read, the suite's own prompts replace them under the protocol's name with `~`
appended, which is a separate protocol.

Templates are filled as by OpenCompass 0.5.4 (opencompass/openicl/icl_prompt_template.py, utils/prompt.py,
models/base_api.py): column after column, so that a `{A}` in a question becomes option A; a system turn that may fall back to the
user's, since the published models' templates have no place for it, stands before it in one turn; one that may not is sent as
such; an open last turn is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from msgspec import Struct, structs

from evals.errors import DataError
from evals.prompts.layout import LETTERS
from evals.prompts.upstream import wheel
from evals.prompts.upstream.wheel import OPENCOMPASS, VLMEVALKIT, Wheel
from evals.types import Message, Prompt, Prompter, Sample, Text

Row: TypeAlias = dict[str, str]


class UpstreamPrompts(Struct, frozen=True, kw_only=True):
    """The location of upstream's prompts for a suite."""

    wheel: Wheel = OPENCOMPASS
    lacks: str = ""
    """Why no model can be asked with them, in one line; empty: one can."""
    file: str = ""
    """Path in the wheel, below its folder."""
    asks: str = ""
    """Variable and keys of the prompt template."""
    judges: str = ""
    """Of the judge's template; empty: ours is used."""
    given: tuple[tuple[str, str], ...] = ()
    """Loop variables of the file, with the value of the wanted iteration."""
    row: Callable[[Sample, Prompt, str], Row] | None = None
    """(sample, prompt, question) -> the columns of upstream's loader, in its order."""
    gold: str = ""
    """The column with the gold answer; left empty in prompts for the model."""
    kind: Literal["verdict", "number", "option", "points"] = "verdict"
    """What the judge replies: A or B, a number, an option's letter or Z, or 0 to 9."""

    @property
    def name(self) -> str:
        """Return package and file."""
        return f"{self.wheel.package} {self.file}"

    def absent(self) -> str:
        """Return why the file cannot be read, and a remedy; empty if it can, or no file is needed."""
        return wheel.fault(self.wheel) if self.file else ""

    def fault(self) -> str:
        """Return why these prompts cannot be used; empty if they can."""
        return self.lacks or self.absent()

    def card(self) -> dict[str, str]:
        """Return the entry on the prompts' origin for a run's card."""
        file = f"{self.wheel.folder}{self.file}"
        facts = {"package": self.wheel.package, "wheel_sha256": self.wheel.sha256, "file": file}
        facts["file_sha256"] = sha256_of(wheel.read(self.wheel, file))
        for name, path in (("asks", self.asks), ("judges", self.judges)):
            if path:
                facts |= {name: path, f"{name}_sha256": self.sha256(path)}
        return facts | dict(self.given)

    def sha256(self, path: str) -> str:
        """Return the hash of a template's turns."""
        return sha256_of(repr(self.turns(path)).encode())

    def turns(self, path: str) -> tuple[tuple[str, str], ...]:
        """Return (role, text) of every turn of a template; raises DataError."""
        return _turns(self.wheel, f"{self.wheel.folder}{self.file}", path, self.given)

    def asker(self, ours: Prompter) -> Prompter:
        """Return the prompter with these prompts, and options in the order of `ours`; raises DataError."""
        if why := self.fault():
            raise DataError(why)
        turns = self.turns(self.asks)

        def ask(sample: Sample, repeat: int) -> Prompt:
            prompt = ours(sample, repeat)
            question = "".join(part.text for part in sample.question if isinstance(part, Text))
            row = self._columns(sample, prompt, question) | ({self.gold: ""} if self.gold else {})
            return structs.replace(prompt, messages=fill_template(turns, row))

        return ask

    def judging(self, sample: Sample, prompt: Prompt, asked: str, candidate: str, shown: str = "") -> str:
        """Return the prompt for a judge; `asked`: what replaces a question that cannot be recovered.

        `shown`: the options, one per line, if the judge names one.
        """
        row = self._columns(sample, prompt, self._question(sample, prompt) or asked)
        messages = fill_template(self.turns(self.judges), row | {"prediction": candidate})
        return "\n".join(
            part.text for message in messages for part in message.parts if isinstance(part, Text)
        )

    def _columns(self, sample: Sample, prompt: Prompt, question: str) -> Row:
        return self.row(sample, prompt, question) if self.row else {}

    def _question(self, sample: Sample, prompt: Prompt) -> str:
        """Return the question within a prompt, since records hold no questions; empty if another template made it."""
        mark = "\0"
        row = self._columns(sample, prompt, mark) | ({self.gold: ""} if self.gold else {})
        here, there = (_text(m) for m in (fill_template(self.turns(self.asks), row), prompt.messages))
        before, _, after = here.partition(mark)
        fits = len(there) > len(before) + len(after) and there.startswith(before) and there.endswith(after)
        return there[len(before) : len(there) - len(after)] if fits else ""


NO_FALLBACK = "SYSTEM alone"
"""Role of a system turn that has no fallback."""


def opencompass_prompts(
    file: str,
    asks: str,
    judges: str = "",
    *,
    question: str = "question",
    gold: str = "answer",
    row: Callable[[Sample, Prompt, str], Row] | None = None,
    **others: Any,
) -> UpstreamPrompts:
    """Return the prompts in a config of OpenCompass; `asks`, `judges`: its parts that hold the templates.

    `row`: by default the columns `question`, a letter per option as shown, and `gold`.
    """

    def columns(sample: Sample, prompt: Prompt, text: str) -> Row:
        order = prompt.order or range(len(sample.choices))
        shown = {letter: sample.choices[i] for letter, i in zip(LETTERS, order, strict=False)}
        return {question: text, **shown, gold: prompt.shown_letter(str(sample.target))}

    asks, judges = (part and f"{part}.prompt_template.template" for part in (asks, judges))
    return UpstreamPrompts(file=file, asks=asks, judges=judges, gold=gold, row=row or columns, **others)


UNAVAILABLE = UpstreamPrompts(
    wheel=VLMEVALKIT, lacks="VLMEvalKit's words for it are in no package that is read here"
)
"""For numbers made with VLMEvalKit whose prompts or judge's task are in no package."""


def unavailable_prompts(whose: str) -> UpstreamPrompts:
    """Return the prompts of an evaluator that is no package, so that they can only be reworded."""
    return UpstreamPrompts(
        wheel=VLMEVALKIT, lacks=f"the prompt of {whose} is in no package that is read here"
    )


def sha256_of(raw: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return sha256(raw).hexdigest()


ROLES: dict[str, Literal["system", "user", "assistant"]] = {"BOT": "assistant", NO_FALLBACK: "system"}
"""Role of a turn -> role of its message; all others are the user's."""


def _text(messages: tuple[Message, ...]) -> str:
    return "\n".join(part.text for message in messages for part in message.parts if isinstance(part, Text))


def fill_template(turns: tuple[tuple[str, str], ...], row: Mapping[str, str]) -> tuple[Message, ...]:
    """Fill a template; adjacent turns of one role are merged, and a last turn of the model is left out."""
    messages: list[tuple[Literal["system", "user", "assistant"], str]] = []
    for role, text in turns:
        for column, content in row.items():
            text = text.replace(f"{{{column}}}", content)
        who = ROLES.get(role, "user")
        if messages and messages[-1][0] == who:
            messages[-1] = (who, f"{messages[-1][1]}\n{text}")
        else:
            messages.append((who, text))
    if messages and messages[-1][0] == "assistant":
        messages.pop()
    return tuple(Message(who, (Text(text),)) for who, text in messages)


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
    return _checked_turns(configs.value(source, path, file=name, given=dict(given)), f"{name}: {path}")


def _checked_turns(template: Any, name: str) -> tuple[tuple[str, str], ...]:
    """Return a template's turns; raises DataError for an unknown structure."""
    known_keys = {"begin", "round"}
    if not isinstance(template, dict) or not {"round"} <= set(template) <= known_keys:
        raise DataError(f"{name} is no template of the form {{begin, round}}")
    turns = (
        [*(template.get("begin") or []), *template["round"]] if isinstance(template["round"], list) else []
    )
    if not turns or not all(_is_turn(turn) for turn in turns):
        raise DataError(f"{name}: its turns are not of the form {{role, prompt}} with HUMAN, BOT and SYSTEM")
    return tuple((_role(turn), turn["prompt"]) for turn in turns)


def _role(turn: Mapping[str, str]) -> str:
    return NO_FALLBACK if turn["role"] == "SYSTEM" and "fallback_role" not in turn else turn["role"]


def _is_turn(turn: Any) -> bool:
    if not isinstance(turn, dict) or not isinstance(turn.get("prompt"), str):
        return False
    if turn.get("role") == "SYSTEM":
        return bool(turn.get("fallback_role", "HUMAN") == "HUMAN")
    return turn.get("role") in ("HUMAN", "BOT")
