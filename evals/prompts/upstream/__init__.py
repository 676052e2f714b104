"""Verbatim prompts of other harnesses, read from their wheels and never copied into this project.

A suite names the file in the wheel, the variables that hold the templates, and the columns that fill them. If the wheel
is missing, or the prompts in it cannot be read, the suite's own prompts can be sent instead under a separate protocol, whose
name ends with `~`.

Templates are filled as OpenCompass 0.5.4 does (opencompass/openicl/icl_prompt_template.py, utils/prompt.py,
models/base_api.py): column by column, so a literal `{A}` in a question is replaced by option A. A system turn with a
fallback role is merged into the user turn that follows it; one without a fallback role is sent as a system message. A
final assistant turn is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from msgspec import Struct, structs

from evals.errors import DataError
from evals.prompts.layout import LETTERS
from evals.prompts.upstream import configs, wheel
from evals.prompts.upstream.wheel import OPENCOMPASS, VLMEVALKIT, Wheel
from evals.types import Message, Prompt, Prompter, Sample, Text

Row: TypeAlias = dict[str, str]


class UpstreamPrompts(Struct, frozen=True, kw_only=True):
    """The location of the prompts that another harness ("upstream") uses for a suite."""

    wheel: Wheel = OPENCOMPASS
    unavailable: str = ""
    """Why these prompts cannot be sent to a model, in one line; empty if they can."""
    file: str = ""
    """Path in the wheel, relative to `Wheel.folder`."""
    prompt_path: str = ""
    """Variable and keys of the prompt template, joined by dots."""
    judge_path: str = ""
    """Variable and keys of the judge's template; if empty, our own judge template is used."""
    loop_values: tuple[tuple[str, str], ...] = ()
    """Loop variables of the file, with the value of the selected iteration."""
    columns: Callable[[Sample, Prompt, str], Row] | None = None
    """(sample, prompt, question) -> the columns that upstream's loader returns, in upstream's order."""
    gold_column: str = ""
    """The column with the gold answer; left empty in prompts for the model."""
    judge_reply: Literal["verdict", "number", "option", "points"] = "verdict"
    """Form of the judge's reply: `verdict`: A or B; `number`: any number; `option`: a letter, Z for none; `points`: 0 to 9."""

    @property
    def source(self) -> str:
        """Return the package and the file."""
        return f"{self.wheel.package} {self.file}"

    def missing_file_reason(self) -> str:
        """Return why the file cannot be read, and a remedy; empty if it can be read or no file is needed."""
        return wheel.fault(self.wheel) if self.file else ""

    def fault(self) -> str:
        """Return why these prompts cannot be used; empty if they can."""
        return self.unavailable or self.missing_file_reason()

    def card(self) -> dict[str, str]:
        """Return the origin of the prompts for a run's card; `asks`: path of the model's template, `judges`: of the judge's."""
        file = f"{self.wheel.folder}{self.file}"
        facts = {"package": self.wheel.package, "wheel_sha256": self.wheel.sha256, "file": file}
        facts["file_sha256"] = sha256_of(wheel.read(self.wheel, file))
        for key, path in (("asks", self.prompt_path), ("judges", self.judge_path)):
            if path:
                facts |= {key: path, f"{key}_sha256": self.sha256(path)}
        return facts | dict(self.loop_values)

    def sha256(self, path: str) -> str:
        """Return the hash of a template's turns."""
        return sha256_of(repr(self.turns(path)).encode())

    def turns(self, path: str) -> tuple[tuple[str, str], ...]:
        """Return the role and the text of each turn of a template; raises DataError."""
        return _turns(self.wheel, f"{self.wheel.folder}{self.file}", path, self.loop_values)

    def prompter(self, own_prompter: Prompter) -> Prompter:
        """Return a prompter with these prompts and the option order of `own_prompter`; raises DataError."""
        if why := self.fault():
            raise DataError(why)
        turns = self.turns(self.prompt_path)

        def ask(sample: Sample, repeat: int) -> Prompt:
            prompt = own_prompter(sample, repeat)
            question = "".join(part.text for part in sample.question if isinstance(part, Text))
            values = self._values(sample, prompt, question, with_gold=False)
            return structs.replace(prompt, messages=fill_template(turns, values))

        return ask

    def judge_prompt(
        self, sample: Sample, prompt: Prompt, fallback_question: str, candidate: str, option_lines: str = ""
    ) -> str:
        """Return the prompt for the judge.

        `fallback_question` is used if the question cannot be recovered from `prompt`; `option_lines` (one option per line)
        is used only by `SentencePrompts`, a subclass.
        """
        values = self._values(sample, prompt, self._question(sample, prompt) or fallback_question)
        return _message_text(fill_template(self.turns(self.judge_path), values | {"prediction": candidate}))

    def _values(self, sample: Sample, prompt: Prompt, question: str, *, with_gold: bool = True) -> Row:
        values = self.columns(sample, prompt, question) if self.columns else {}
        return values if with_gold or not self.gold_column else values | {self.gold_column: ""}

    def _question(self, sample: Sample, prompt: Prompt) -> str:
        """Return the question within a recorded prompt; empty if the prompt was built from another template."""
        placeholder = "\0"
        values = self._values(sample, prompt, placeholder, with_gold=False)
        template_text, prompt_text = (
            _message_text(m) for m in (fill_template(self.turns(self.prompt_path), values), prompt.messages)
        )
        before, _, after = template_text.partition(placeholder)
        is_match = (
            len(prompt_text) > len(before) + len(after)
            and prompt_text.startswith(before)
            and prompt_text.endswith(after)
        )
        return prompt_text[len(before) : len(prompt_text) - len(after)] if is_match else ""


NO_FALLBACK = "SYSTEM alone"
"""Role of a system turn that has no fallback role."""


def opencompass_prompts(
    file: str,
    prompt_path: str,
    judge_path: str = "",
    *,
    question_column: str = "question",
    gold_column: str = "answer",
    columns: Callable[[Sample, Prompt, str], Row] | None = None,
    **options: Any,
) -> UpstreamPrompts:
    """Return the prompts of an OpenCompass config; `prompt_path` and `judge_path` lead to its `prompt_template` entries.

    The default `columns` are `question_column`, a letter for each option as shown, and `gold_column`.
    """

    def default_columns(sample: Sample, prompt: Prompt, question: str) -> Row:
        order = prompt.order or range(len(sample.choices))
        shown = {letter: sample.choices[i] for letter, i in zip(LETTERS, order, strict=False)}
        return {question_column: question, **shown, gold_column: prompt.shown_letter(str(sample.target))}

    prompt_path, judge_path = (
        path and f"{path}.prompt_template.template" for path in (prompt_path, judge_path)
    )
    return UpstreamPrompts(
        file=file,
        prompt_path=prompt_path,
        judge_path=judge_path,
        gold_column=gold_column,
        columns=columns or default_columns,
        **options,
    )


def unavailable_prompts(description: str) -> UpstreamPrompts:
    """Return a placeholder for prompts that no supported package contains; only the reworded protocol can be run."""
    return UpstreamPrompts(
        wheel=VLMEVALKIT, unavailable=f"{description} is not in any package from which evals reads prompts"
    )


UNAVAILABLE = unavailable_prompts("VLMEvalKit's prompt")
"""For suites whose published numbers were computed with a prompt of VLMEvalKit that no supported package contains."""


def sha256_of(raw: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return sha256(raw).hexdigest()


ROLES: dict[str, Literal["system", "user", "assistant"]] = {"BOT": "assistant", NO_FALLBACK: "system"}
"""Role of a template turn -> role of its message; any other role becomes `user`."""


def _message_text(messages: tuple[Message, ...]) -> str:
    return "\n".join(part.text for message in messages for part in message.parts if isinstance(part, Text))


def fill_template(turns: tuple[tuple[str, str], ...], row: Mapping[str, str]) -> tuple[Message, ...]:
    """Fill a template; adjacent turns of the same role are merged, and a final assistant turn is dropped."""
    messages: list[tuple[Literal["system", "user", "assistant"], str]] = []
    for role, text in turns:
        for column, content in row.items():
            text = text.replace(f"{{{column}}}", content)
        message_role = ROLES.get(role, "user")
        if messages and messages[-1][0] == message_role:
            messages[-1] = (message_role, f"{messages[-1][1]}\n{text}")
        else:
            messages.append((message_role, text))
    if messages and messages[-1][0] == "assistant":
        messages.pop()
    return tuple(Message(message_role, (Text(text),)) for message_role, text in messages)


@cache
def _turns(
    source_wheel: Wheel, file: str, path: str, loop_values: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """Return the role and the text of each turn of a template, whose form is known by the wheel's SHA-256."""
    code, name = wheel.read(source_wheel, file).decode("utf-8"), f"{source_wheel.package}: {file}"
    template = configs.evaluate(code, path, file=name, loop_values=dict(loop_values))
    turns = [*(template.get("begin") or []), *template["round"]]
    return tuple(
        (NO_FALLBACK if t["role"] == "SYSTEM" and "fallback_role" not in t else t["role"], t["prompt"])
        for t in turns
    )
