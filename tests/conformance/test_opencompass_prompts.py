"""The prompts of protocol `intern-s1` are identical to those that OpenCompass' own code builds.

The wheel is downloaded by `evals data opencompass`. OpenCompass' code runs in an environment of its own;
`evals.harness_environments.install_commands("opencompass")` returns the commands that create it. Without that environment,
its configurations are executed with stand-ins for everything they import, so that our parser of literals is still compared
with Python itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from evals import harness_environments as environments
from evals import load
from evals.data import Data
from evals.prompts import plain_text, upstream
from evals.prompts.upstream import UpstreamPrompts, wheel
from evals.prompts.upstream.wheel import OPENCOMPASS
from evals.types import Message, Prompt, Sample, Text
from tests.support import wheels
from tests.support.command import evals

pytestmark = pytest.mark.slow
REPLY = "I think {answer}, {obj_gold} and {question}: \\boxed{7}."
HOSTILE = "  What is x_{A} of {B} and {options_str}? {input} \\frac{1}{2} \n"
"""A question with text that looks like template placeholders, and with surrounding white space."""
GOLD_ID = "gold"
"""Id of a sample whose question contains the placeholder of the gold answer. OpenCompass fills that placeholder with an
empty text, so that judge prompts cannot be compared for it."""


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Download OpenCompass' wheel with this machine's pip and yield its path; skip the tests if that fails."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("cache") / OPENCOMPASS.file
        patch.setattr(wheel, "wheel_path", lambda pinned_wheel: path)
        outcome = evals("data", "opencompass")
        if outcome.status == 2 and "cannot fetch" in outcome.err:
            pytest.skip(f"NOT TESTED ON OPENCOMPASS' WHEEL: {outcome.err}")
        assert (outcome.status, outcome.out) == (0, f"opencompass: {path}, SHA-256 verified\n"), outcome.err
        upstream._turns.cache_clear()
        yield path
        upstream._turns.cache_clear()


def samples(name: str) -> list[Sample]:
    """Return the bundled items of a suite and two with placeholders in the question; the last one has the gold answer's."""
    (suite,) = load.suite(name, "intern-s1~")
    items = list(suite.samples(Data(suite=suite.name, sample=True)))
    for text in (HOSTILE, f"{HOSTILE} {{answer}} {{target}} {{output}}"):
        hostile = structs.replace(
            items[0], id=GOLD_ID if "{answer}" in text else "hostile", question=(Text(text),)
        )
        if hostile.choices:
            hostile = structs.replace(hostile, choices=(" {C} ", *hostile.choices[1:]))
        if "row" in hostile.meta:
            hostile = structs.replace(hostile, meta={"row": len(items)})
        items.append(hostile)
    return items


def upstream_row(name: str, sample: Sample) -> dict[str, Any]:
    """Return a sample in the published format of upstream's data set, with a reply."""
    question = plain_text(sample.question)
    match name.partition(":")[0]:
        case "mmlu-pro":
            row = {"question": question, "options": [*sample.choices, "N/A"], "answer": sample.target, "answer_index": 0,
                   "cot_content": "", "category": sample.group}  # fmt: skip
        case "gpqa":
            row = {"cells": [question, *sample.choices]}
        case "chembench":
            row = {
                "question": question,
                **dict(zip("ABCD", sample.choices, strict=True)),
                "answer": sample.target,
            }
        case "smolinstruct":
            row = {"input": question, "output": "the gold output"}
        case _:
            row = {"question": question, "answer": str(sample.target)}
    return {**row, "prediction": REPLY}


CASES = [
    name
    for name, prompts in wheels.upstream_prompts_by_suite()
    if not prompts.unavailable and name != "smolinstruct:MC"
]


def job(name: str, prompts: UpstreamPrompts) -> dict[str, Any]:
    loop_value = dict(prompts.loop_values).get("_name")
    abbr = f"{name.partition(':')[2]}-0shot-instruct" if loop_value else ""
    abbr = abbr if not loop_value or f"NC-{loop_value}" not in abbr else f"NC-{loop_value}-0shot-instruct"
    return {"file": prompts.file, "abbr": abbr, "loader": name.partition(":")[0].replace("-", "_"),
            "rows": [upstream_row(name, sample) for sample in samples(name)]}  # fmt: skip


def test_every_template_contains_a_placeholder_of_a_known_column(wheel_file: Path) -> None:
    for name, prompts in wheels.upstream_prompts_by_suite():
        for path in filter(None, (prompts.prompt_path, prompts.judge_path)):
            turns = prompts.turns(path)
            columns = [
                *wheels.columns(prompts),
                *([prompts.gold_column, "prediction"] if path == prompts.judge_path else []),
            ]
            text = "".join(text for _, text in turns)
            assert any(f"{{{column}}}" in text for column in columns), (name, path)


def test_prompts_are_identical_to_those_that_opencompass_builds(wheel_file: Path, tmp_path: Path) -> None:
    python = environments.interpreter("opencompass")
    if python is None:
        pytest.skip(f"NOT TESTED AGAINST OPENCOMPASS: {environments.install_commands('opencompass')}")
    prompts_by_suite = dict(wheels.upstream_prompts_by_suite())
    jobs = [job(name, prompts_by_suite[name]) for name in CASES]
    script = Path(__file__).with_name("opencompass_prompts.py")
    process = subprocess.run(
        [python, script, tmp_path], input=json.dumps(jobs), capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr[-3000:]
    results = json.loads(process.stdout.splitlines()[-1])
    for name, expected in zip(CASES, results, strict=True):
        upstream_prompts = prompts_by_suite[name]
        (suite,) = load.suite(name, "intern-s1")
        build_prompt = suite.prompter(Data(suite=suite.name, sample=True))
        for number, sample in enumerate(samples(name)):
            prompt = build_prompt(sample, 0)
            assert turns_of(prompt.messages) == expected["asks"][number], (name, sample.id)
            if upstream_prompts.judge_path and sample.id != GOLD_ID:
                ours = upstream_prompts.judge_prompt(structs.replace(sample, question=()), prompt, "", REPLY)
                # upstream also replaces {obj_gold} and {reference} in the candidate's reply by the gold answer; ours does not
                assert [["HUMAN", _with_gold(ours, sample, prompt)]] == expected["judges"][number], (
                    name,
                    sample.id,
                )
        assert len(expected["asks"]) == len(samples(name)) > 3


def turns_of(messages: tuple[Message, ...]) -> list[list[str]]:
    return [["HUMAN" if m.role == "user" else "BOT", plain_text(m.parts)] for m in messages]


def _with_gold(text: str, sample: Sample, prompt: Prompt) -> str:
    gold = prompt.shown_letter(str(sample.target)) if sample.choices else str(sample.target)
    return text.replace("{obj_gold}", gold)


RUN_CONFIGURATIONS = """
import json, sys
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock

class StandInImporter:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in ("opencompass", "mmengine", "own") else None
    def create_module(self, spec):
        module = MagicMock()
        module.__path__, module.__spec__ = [], spec
        module.categories = ["any"]
        return module
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, StandInImporter())
templates = []
for source, variable, keys, loop_values in json.load(sys.stdin):
    for name, turn in loop_values:
        source = source.replace(f"for {name} in ", f"for {name} in [{turn!r}] or ")
    namespace = {"__name__": "own.config", "__package__": "own"}
    exec(source, namespace)
    value = namespace[variable]
    for key in keys:
        value = value[key]
    templates.append([[turn["role"], turn["prompt"]] for turn in [*value.get("begin", []), *value["round"]]])
print(json.dumps(templates))
"""


def test_templates_are_parsed_as_python_evaluates_them(wheel_file: Path) -> None:
    templates = [
        (prompts, path)
        for _, prompts in wheels.upstream_prompts_by_suite()
        for path in (prompts.prompt_path, prompts.judge_path)
        if path
    ]
    jobs = []
    with zipfile.ZipFile(wheel_file) as archive:
        for prompts, path in templates:
            variable, *keys = path.split(".")
            jobs.append(
                (
                    archive.read(f"{OPENCOMPASS.folder}{prompts.file}").decode(),
                    variable,
                    keys,
                    prompts.loop_values,
                )
            )
    process = subprocess.run(
        [sys.executable, "-c", RUN_CONFIGURATIONS],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=True,
    )
    for (prompts, path), expected in zip(templates, json.loads(process.stdout), strict=True):
        ours = [[role.removesuffix(" alone"), text] for role, text in prompts.turns(path)]
        assert ours == expected, (prompts.file, path)
