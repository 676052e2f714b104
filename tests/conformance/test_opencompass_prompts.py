"""The words of protocol `intern-s1` are OpenCompass' own: fetched through pip, and worded as its own code words them.

The wheel is fetched anew, as `evals data opencompass` does it. OpenCompass' code runs in an environment of its own
(`evals.harness_environments.install_commands("opencompass")` says how it is made); where there is none, its configurations are run with stand-ins
for all that they import, so that at least the reader of literals is held against Python itself.
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
from evals.prompts import plain_text
from evals.prompts import upstream as wording
from evals.prompts.upstream import UpstreamPrompts, wheel
from evals.prompts.upstream.wheel import OPENCOMPASS
from evals.types import Message, Prompt, Sample, Text
from tests.support import wheels
from tests.support.command import evals

pytestmark = pytest.mark.slow
SAID = "I think {answer}, {obj_gold} and {question}: \\boxed{7}."
HOSTILE = "  What is x_{A} of {B} and {options_str}? {input} \\frac{1}{2} \n"
"""What templates could take for their own marks, and blanks around a question."""
GOLD = "gold"
"""A sample that names the gold answer's column: empty where it is asked, so that no judge here can be shown it again."""


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The real wheel, through pip as this machine has it."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("cache") / OPENCOMPASS.file
        patch.setattr(wheel, "wheel_path", lambda one: place)
        done = evals("data", "opencompass")
        if done.status == 2 and "cannot fetch" in done.err:
            pytest.skip(f"NOT TESTED ON OPENCOMPASS' WHEEL: {done.err}")
        assert (done.status, done.out) == (0, f"opencompass: {place}, SHA-256 verified\n"), done.err
        wording._turns.cache_clear()
        yield place
        wording._turns.cache_clear()


def samples(name: str) -> list[Sample]:
    """Bundled items of a suite, and two that are full of marks; the last one names the gold answer's column."""
    (suite,) = load.suite(name, "intern-s1~")
    found = list(suite.samples(Data(suite=suite.name, sample=True)))
    for text in (HOSTILE, f"{HOSTILE} {{answer}} {{target}} {{output}}"):
        hostile = structs.replace(
            found[0], id=GOLD if "{answer}" in text else "hostile", question=(Text(text),)
        )
        if hostile.choices:
            hostile = structs.replace(hostile, choices=(" {C} ", *hostile.choices[1:]))
        if "row" in hostile.meta:
            hostile = structs.replace(hostile, meta={"row": len(found)})
        found.append(hostile)
    return found


def raw(name: str, sample: Sample) -> dict[str, Any]:
    """Give a sample in the form in which upstream's data set is published."""
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
    return {**row, "prediction": SAID}


CASES = [
    name
    for name, words in wheels.upstream_prompts_by_suite()
    if not words.unavailable and name != "smolinstruct:MC"
]


def job(name: str, words: UpstreamPrompts) -> dict[str, Any]:
    given = dict(words.loop_values).get("_name")
    abbr = f"{name.partition(':')[2]}-0shot-instruct" if given else ""
    abbr = abbr if not given or f"NC-{given}" not in abbr else f"NC-{given}-0shot-instruct"
    return {"file": words.file, "abbr": abbr, "loader": name.partition(":")[0].replace("-", "_"),
            "rows": [raw(name, sample) for sample in samples(name)]}  # fmt: skip


def test_every_template_is_read(fetched: Path) -> None:
    for name, words in wheels.upstream_prompts_by_suite():
        for path in filter(None, (words.prompt_path, words.judge_path)):
            turns = words.turns(path)
            columns = [
                *wheels.columns(words),
                *([words.gold_column, "prediction"] if path == words.judge_path else []),
            ]
            text = "".join(text for _, text in turns)
            assert any(f"{{{column}}}" in text for column in columns), (name, path)


def test_prompts_are_worded_as_opencompass_words_them(fetched: Path, tmp_path: Path) -> None:
    python = environments.interpreter("opencompass")
    if python is None:
        pytest.skip(f"NOT TESTED AGAINST OPENCOMPASS: {environments.install_commands('opencompass')}")
    known = dict(wheels.upstream_prompts_by_suite())
    jobs = [job(name, known[name]) for name in CASES]
    script = Path(__file__).with_name("opencompass_prompts.py")
    done = subprocess.run([python, script, tmp_path], input=json.dumps(jobs), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    for name, theirs in zip(CASES, results, strict=True):
        words = known[name]
        (suite,) = load.suite(name, "intern-s1")
        ask = suite.prompter(Data(suite=suite.name, sample=True))
        for number, sample in enumerate(samples(name)):
            prompt = ask(sample, 0)
            assert said(prompt.messages) == theirs["asks"][number], (name, sample.id)
            if words.judge_path and sample.id != GOLD:
                ours = words.judge_prompt(structs.replace(sample, question=()), prompt, "", SAID)
                # behind the candidate's text upstream fills two more columns, with the gold answer: not here
                assert [["HUMAN", _unfilled(ours, sample, prompt)]] == theirs["judges"][number], (
                    name,
                    sample.id,
                )
        assert len(theirs["asks"]) == len(samples(name)) > 3


def said(messages: tuple[Message, ...]) -> list[list[str]]:
    return [["HUMAN" if m.role == "user" else "BOT", plain_text(m.parts)] for m in messages]


def _unfilled(text: str, sample: Sample, prompt: Prompt) -> str:
    gold = prompt.shown_letter(str(sample.target)) if sample.choices else str(sample.target)
    return text.replace("{obj_gold}", gold)


RUN = """
import json, sys
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock

class Anything:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in ("opencompass", "mmengine", "own") else None
    def create_module(self, spec):
        module = MagicMock()
        module.__path__, module.__spec__ = [], spec
        module.categories = ["any"]
        return module
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Anything())
found = []
for source, variable, keys, given in json.load(sys.stdin):
    for name, turn in given:
        source = source.replace(f"for {name} in ", f"for {name} in [{turn!r}] or ")
    space = {"__name__": "own.config", "__package__": "own"}
    exec(source, space)
    value = space[variable]
    for key in keys:
        value = value[key]
    found.append([[turn["role"], turn["prompt"]] for turn in [*value.get("begin", []), *value["round"]]])
print(json.dumps(found))
"""


def test_literals_are_read_as_python_reads_them(fetched: Path) -> None:
    asked = [
        (words, path)
        for _, words in wheels.upstream_prompts_by_suite()
        for path in (words.prompt_path, words.judge_path)
        if path
    ]
    jobs = []
    with zipfile.ZipFile(fetched) as archive:
        for words, path in asked:
            variable, *keys = path.split(".")
            jobs.append(
                (
                    archive.read(f"{OPENCOMPASS.folder}{words.file}").decode(),
                    variable,
                    keys,
                    words.loop_values,
                )
            )
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=json.dumps(jobs), capture_output=True, text=True, check=True
    )
    for (words, path), theirs in zip(asked, json.loads(done.stdout), strict=True):
        ours = [[role.removesuffix(" alone"), text] for role, text in words.turns(path)]
        assert ours == theirs, (words.file, path)
