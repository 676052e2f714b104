"""VLMEvalKit's own prompts, which are string constants within its functions: read from its wheel, never run.

Its prompts are question and options in a fixed layout, with a sentence or two of instruction. The suite makes the layout
with sentences of ours; a protocol with upstream's prompts replaces each by the one in the wheel. The same is done with the
task of the judge that names the closest option or awards points.
"""

from __future__ import annotations

import ast
from functools import cache
from typing import Literal, NamedTuple

from msgspec import Struct, structs

from evals.errors import DataError
from evals.prompts import SELECTING, plain_text
from evals.prompts.upstream import UpstreamPrompts, sha256_of, wheel
from evals.prompts.upstream.wheel import VLMEVALKIT
from evals.types import Message, Part, Prompt, Prompter, Sample, Text


class Place(NamedTuple):
    """A string constant in the wheel."""

    file: str
    """Below `vlmeval/`."""
    within: str
    """A function, with its class, or a variable of the file."""
    number: int = 0
    """Its index among the constants there, in source order, docstrings not counted."""

    def text(self) -> str:
        """Return the text; raises DataError."""
        return _text(f"{VLMEVALKIT.folder}{self.file}", self.within, self.number)

    def __str__(self) -> str:
        return f"{self.within}, text {self.number}"


class Swap(Struct, frozen=True, kw_only=True):
    """A text of ours, and those of upstream that replace it."""

    ours: str
    theirs: tuple[Place, ...]
    group: str = ""
    """Placeholder of the sample's group in both, with braces."""
    bare: bool = False
    """Whether upstream strips the joined text."""

    def made(self, text: str, sample: Sample) -> str:
        """Replace the last occurrence of ours in a text."""
        ours, theirs = self.ours, "".join(place.text() for place in self.theirs)
        theirs = theirs.strip() if self.bare else theirs
        if self.group:
            ours, theirs = (one.replace(self.group, sample.group) for one in (ours, theirs))
        before, match, after = text.rpartition(ours)
        return f"{before}{theirs}{after}" if match else text


class Sentences(UpstreamPrompts, frozen=True, kw_only=True):
    """The replacements in a suite's prompts."""

    swaps: tuple[Swap, ...]
    judge: tuple[Place, ...] = ()
    """The judge's task, followed by the line above its options."""

    @property
    def name(self) -> str:
        """Return package and file of the judge's task, else of the prompt."""
        return f"{self.wheel.package} {self.judge[0].file if self.judge else self.file}"

    def card(self) -> dict[str, str]:
        """Return what a run's card says of the prompts' origin."""
        places = [place for swap in self.swaps for place in swap.theirs]
        facts = {"package": VLMEVALKIT.package, "wheel_sha256": VLMEVALKIT.sha256}
        for name, some in (("asks", places), ("judges", list(self.judge))):
            if some:
                file = f"{VLMEVALKIT.folder}{some[0].file}"
                facts |= {"file" if name == "asks" else "judges_file": file, name: "; ".join(map(str, some))}
                facts[f"{name}_sha256"] = sha256_of("".join(place.text() for place in some).encode())
                facts["file_sha256" if name == "asks" else "judges_file_sha256"] = sha256_of(
                    wheel.read(VLMEVALKIT, file)
                )
        return facts

    def sha256(self, path: str) -> str:
        """Return the hash of the judge's task."""
        return sha256_of("".join(place.text() for place in self.judge).encode())

    def asker(self, ours: Prompter) -> Prompter:
        """Return the prompter with these prompts; raises DataError."""
        if why := self.fault():
            raise DataError(why)
        for swap in self.swaps:
            for place in swap.theirs:
                place.text()

        def ask(sample: Sample, repeat: int) -> Prompt:
            prompt = ours(sample, repeat)
            messages = tuple(
                Message(said.role, tuple(self._part(part, sample) for part in said.parts))
                for said in prompt.messages
            )
            return structs.replace(prompt, messages=messages)

        return ask

    def _part(self, part: Part, sample: Sample) -> Part:
        if not isinstance(part, Text):
            return part
        text = part.text
        for swap in self.swaps:
            text = swap.made(text, sample)
        return Text(text)

    def judging(self, sample: Sample, prompt: Prompt, asked: str, candidate: str, shown: str = "") -> str:
        """Return the prompt for a judge; `shown`: the options, one per line, if it names one."""
        task = self.judge[0].text()
        question = self._asked(prompt) or asked
        if self.kind == "option":
            shown = f"{self.judge[1].text()}{shown}\n"
            return task.format(question, shown, candidate)
        return task.format(question=question, answer=str(sample.target), prediction=candidate)

    def _asked(self, prompt: Prompt) -> str:
        """Return the question within a prompt, since records hold no questions; empty if another template made it."""
        text = "\n".join(plain_text(message.parts) for message in prompt.messages)
        if self.kind != "option":
            return text
        _, framed, rest = text.partition("Question: ")
        return rest.partition("\nOptions:\n")[0].strip() if framed else ""


@cache
def _text(file: str, within: str, number: int) -> str:
    name = f"{VLMEVALKIT.package}: {file}"
    try:
        tree = ast.parse(wheel.read(VLMEVALKIT, file))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{name} is no Python that can be read: {type(error).__name__}") from None
    parent: ast.AST = tree
    for part in within.split("."):
        inside = [node for node in ast.iter_child_nodes(parent) if _called(node) == part]
        if not inside:
            raise DataError(f"{name}: there is no {within}")
        parent = inside[-1]
    texts = _texts(parent)
    if number >= len(texts):
        raise DataError(f"{name}: {within} has {len(texts)} texts, not {number + 1}")
    return texts[number]


def _called(node: ast.AST) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return ""


def _texts(node: ast.AST) -> list[str]:
    """Return the string constants below a node, without docstrings and other bare expressions."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.Expr(value=ast.Constant()):
            return []
    return [text for child in ast.iter_child_nodes(node) for text in _texts(child)]


NAMES_ONE = (
    Place("dataset/utils/multiple_choice.py", "build_prompt"),
    Place("smp/vlm.py", "build_option_str"),
)
"""The judge that names the closest option."""
SELECT = Swap(ours=SELECTING, theirs=(Place("dataset/image_mcq.py", "ImageMCQDataset.build_prompt", 13),))
"""The general multiple choice."""


def sentences(
    *swaps: Swap,
    judge: tuple[Place, ...] = (),
    kind: Literal["option", "points"] = "option",
) -> Sentences:
    """Return the replacements of a suite, and its judge's task; without `judge`, ours is used or none."""
    judges = "; ".join(map(str, judge))
    return Sentences(
        wheel=VLMEVALKIT, file=swaps[0].theirs[0].file, swaps=swaps, judge=judge, judges=judges, kind=kind
    )
