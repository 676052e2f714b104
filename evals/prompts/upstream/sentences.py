"""VLMEvalKit's own prompts, which are string constants within its functions: read from its wheel, never executed.

VLMEvalKit's prompts consist of question and options in a fixed layout, and one or two sentences of instructions. The suite
builds this layout with our own sentences; a protocol with upstream's prompts replaces some of these with VLMEvalKit's. The
prompts of judges that select the closest option or award points are read in the same way.
"""

from __future__ import annotations

import ast
from functools import cache
from typing import Literal, NamedTuple

from msgspec import Struct, structs

from evals.errors import DataError
from evals.prompts import SELECT_INSTRUCTION, plain_text
from evals.prompts.upstream import UpstreamPrompts, sha256_of, wheel
from evals.prompts.upstream.wheel import VLMEVALKIT
from evals.types import Message, Part, Prompt, Prompter, Sample, Text


class TextLocation(NamedTuple):
    """The location of a string constant in the wheel."""

    file: str
    """Path below `vlmeval/`."""
    scope: str
    """Qualified name of a function, or name of a variable."""
    number: int = 0
    """Position among the string constants of the scope, from 0; docstrings are not counted."""

    def text(self) -> str:
        """Return the text; raises DataError."""
        return _string_constant(f"{VLMEVALKIT.folder}{self.file}", self.scope, self.number)

    def __str__(self) -> str:
        return f"{self.scope}, text {self.number}"


class Replacement(Struct, frozen=True, kw_only=True):
    """A sentence of our own prompts, and the upstream texts that replace it."""

    own_text: str
    upstream_texts: tuple[TextLocation, ...]
    group_placeholder: str = ""
    """Placeholder for the sample's group in both texts, with braces."""
    strip: bool = False
    """Whether upstream strips the joined text."""

    def apply(self, text: str, sample: Sample) -> str:
        """Replace the last occurrence of our sentence in `text`."""
        own, upstream = self.own_text, joined_text(self.upstream_texts)
        upstream = upstream.strip() if self.strip else upstream
        if self.group_placeholder:
            own, upstream = (s.replace(self.group_placeholder, sample.group) for s in (own, upstream))
        before, match, after = text.rpartition(own)
        return f"{before}{upstream}{after}" if match else text


def joined_text(locations: tuple[TextLocation, ...]) -> str:
    """Return the texts of several locations, joined; raises DataError."""
    return "".join(location.text() for location in locations)


class SentencePrompts(UpstreamPrompts, frozen=True, kw_only=True):
    """A suite's own prompts with some sentences replaced by upstream's."""

    replacements: tuple[Replacement, ...]
    judge: tuple[TextLocation, ...] = ()
    """Location of the judge prompt; if the judge selects an option, also of the line above the options."""

    @property
    def source(self) -> str:
        """Return the package and the file of the judge prompt, or of the prompts if there is no judge prompt."""
        return f"{self.wheel.package} {self.judge[0].file if self.judge else self.file}"

    def card(self) -> dict[str, str]:
        """Return the origin of the prompts for a run's card."""
        prompts = tuple(
            location for replacement in self.replacements for location in replacement.upstream_texts
        )
        facts = {"package": VLMEVALKIT.package, "wheel_sha256": VLMEVALKIT.sha256}
        for name, file_key, locations in (("asks", "file", prompts), ("judges", "judges_file", self.judge)):
            if locations:
                file = f"{VLMEVALKIT.folder}{locations[0].file}"
                facts |= {file_key: file, name: "; ".join(map(str, locations))}
                facts[f"{name}_sha256"] = sha256_of(joined_text(locations).encode())
                facts[f"{file_key}_sha256"] = sha256_of(wheel.read(VLMEVALKIT, file))
        return facts

    def sha256(self, path: str) -> str:
        """Return the hash of the judge prompt; `path` is not used."""
        return sha256_of(joined_text(self.judge).encode())

    def prompter(self, own_prompter: Prompter) -> Prompter:
        """Return a prompter with these prompts; raises DataError."""
        if why := self.fault():
            raise DataError(why)
        for replacement in self.replacements:
            joined_text(replacement.upstream_texts)  # raises now instead of at the first sample

        def ask(sample: Sample, repeat: int) -> Prompt:
            prompt = own_prompter(sample, repeat)
            messages = tuple(
                Message(message.role, tuple(self._replace(part, sample) for part in message.parts))
                for message in prompt.messages
            )
            return structs.replace(prompt, messages=messages)

        return ask

    def _replace(self, part: Part, sample: Sample) -> Part:
        if not isinstance(part, Text):
            return part
        text = part.text
        for replacement in self.replacements:
            text = replacement.apply(text, sample)
        return Text(text)

    def judge_prompt(
        self, sample: Sample, prompt: Prompt, fallback_question: str, candidate: str, option_lines: str = ""
    ) -> str:
        """Return the prompt for the judge; `option_lines`: the options, one per line, if the judge selects one."""
        template = self.judge[0].text()
        question = self._recorded_question(prompt) or fallback_question
        if self.judge_reply == "option":
            return template.format(question, f"{self.judge[1].text()}{option_lines}\n", candidate)
        return template.format(question=question, answer=str(sample.target), prediction=candidate)

    def _recorded_question(self, prompt: Prompt) -> str:
        """Return the question within a recorded prompt; empty if the prompt was built from another template."""
        text = "\n".join(plain_text(message.parts) for message in prompt.messages)
        if self.judge_reply != "option":
            return text
        _, marker, rest = text.partition("Question: ")
        return rest.partition("\nOptions:\n")[0].strip() if marker else ""


@cache
def _string_constant(file: str, scope: str, index: int) -> str:
    node: ast.AST = ast.parse(wheel.read(VLMEVALKIT, file))
    for name in scope.split("."):
        *_, node = (child for child in ast.iter_child_nodes(node) if _defined_name(child) == name)
    return _string_constants(node)[index]


def _defined_name(node: ast.AST) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return ""


def _string_constants(node: ast.AST) -> list[str]:
    """Return the string constants below a node, without docstrings and other bare expressions."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.Expr(value=ast.Constant()):
            return []
    return [text for child in ast.iter_child_nodes(node) for text in _string_constants(child)]


OPTION_JUDGE = (
    TextLocation("dataset/utils/multiple_choice.py", "build_prompt"),
    TextLocation("smp/vlm.py", "build_option_str"),
)
"""The judge prompt that asks for the closest option."""
SELECT_OPTION = Replacement(
    own_text=SELECT_INSTRUCTION,
    upstream_texts=(TextLocation("dataset/image_mcq.py", "ImageMCQDataset.build_prompt", 13),),
)
"""The instruction of the general multiple-choice prompt."""


def sentence_prompts(
    *replacements: Replacement,
    judge: tuple[TextLocation, ...] = (),
    judge_reply: Literal["option", "points"] = "option",
) -> SentencePrompts:
    """Return a suite's own prompts with these replacements; without `judge`, our own judge prompt is used."""
    return SentencePrompts(
        wheel=VLMEVALKIT,
        file=replacements[0].upstream_texts[0].file,
        replacements=replacements,
        judge=judge,
        judge_path="; ".join(map(str, judge)),
        judge_reply=judge_reply,
    )
