"""SciEvalKit's own rules on 200 fixed replies: where they differ from ours is listed, case by case, with its reason.

They run where the user's cache has an environment with it (`evals audit --with scieval` says how to make one), or on a
checkout named by EVALS_SCIEVALKIT; our side is held without them. `python -m tests.verdicts.test_scieval` lists what differs now.
"""

from __future__ import annotations

import json
import os
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from evals import harness_environments as environments
from evals.data import Data
from evals.types import Prompt, Reply, Sample
from evals.verdicts.second_opinion import rules
from evals.verdicts.second_opinion.opinion import RecordedReply, score_replies
from tests.support.command import evals
from tests.support.paths import TESTS
from tests.test_suite import one

CASES = TESTS / "cases" / "scieval.jsonl"
AUDITED = (("trqa", "strict"), ("trqa", "official"), ("proteinlmbench", "official"), ("mmstar", "strict"))
FORMS = (
    "{g}", "{w}", "({g})", "{g}.", "**{g}**", "Answer: {g}", "ANSWER: {g}", "Answer: {w}", "answer is {g}", "The answer is {g}.",
    "The answer is ({g}).", "The correct option is {g}.", "The correct option is Option {g}.", "Option {g}", "option {g}: {t}", "{t}",
    "{v}", "The answer is {t}.", "\\boxed{{{g}}}", "\\boxed{{\\text{{{g}}}}}", "$\\boxed{{{g}}}$", "<choice>{g}</choice>",
    "<choice>{w}</choice>", "<choice>{g}</choice> is what I choose.", "<choice>none</choice>", "<choice></choice>\nAnswer: {g}",
    "<answer>{g}</answer>", "I think it is {g}", "It must be {g}, since the others are ruled out.", "Not {w}. The answer is {g}.",
    "{w} is wrong, so {g}.", "Answer: {w}\n\nWait, that is wrong. Answer: {g}", "Answer: {g}\nConfidence: 90 %", "Step 1: read.\nStep 2: choose.\nAnswer: {g}",
    "In 2 of 6 cases it is {g}.", "Either {g} or {w}", "{g} and {w}", "Answer: {g}, {w}", "I cannot answer this.", "I do not know", "",
    "Cannot determine the answer", "A good question. The answer is {g}.", "None of the options is right.", "答案是{g}", "答案：{g}",
    "<think>It could be {w}.</think>{g}", "The answer is {g} because of the {t} that is shown, as was said before.",
    "Final answer: {g}", "CAB",
)  # fmt: skip
"""50 replies; `g` states what is right (letters, or a number), `w` something wrong, `t` and `v` their texts."""


class Case(NamedTuple):
    suite: str
    protocol: str
    form: str
    reply: str
    sample: Sample

    @property
    def name(self) -> str:
        return f"{self.suite} ({self.protocol}): {self.form!r}"


def replies() -> Iterator[Case]:
    """Yield the 200 replies, each to an item whose right options are not the first alone."""
    for suite, protocol in AUDITED:
        samples = list(one(suite, protocol).samples(Data(suite=suite, sample=True)))
        sample = next(
            s for s in samples if (isinstance(s.target, tuple) if suite == "trqa" else s.target != "A")
        )
        right = sample.target if isinstance(sample.target, tuple) else (str(sample.target),)
        wrong = next(chr(65 + n) for n in range(len(sample.choices)) if chr(65 + n) not in right)
        g, w = ", ".join(right), wrong
        if suite == "proteinlmbench":
            g, w = (str(ord(letter) - 64) for letter in (right[0], wrong))
        text, other = (sample.choices[ord(letter) - 65] for letter in (right[0], wrong))
        for form in FORMS:
            yield Case(suite, protocol, form, form.format(g=g, w=w, t=text, v=other), sample)


def ours() -> dict[str, float]:
    """Return our scores by case."""
    scores = {}
    for case in replies():
        (scorer,) = one(case.suite, case.protocol).scorers.values()
        value = scorer(case.sample, Prompt(), Reply(text=case.reply)).value
        scores[case.name] = 0.0 if value is None else value
    return scores


def theirs(python: Path) -> dict[str, float | None]:
    """Return SciEvalKit's scores by case."""
    scores: dict[str, float | None] = {}
    cases = list(replies())
    for suite in dict.fromkeys(case.suite for case in cases):
        rule = rules.find_rule("scieval", suite, None)
        of_suite = [case for case in cases if case.suite == suite]
        questions = [RecordedReply(case.reply, rule.build_doc(case.sample, Prompt())) for case in of_suite]
        opinion = score_replies(rule, questions, python)
        scores |= {case.name: verdict.score for case, verdict in zip(of_suite, opinion.verdicts, strict=True)}
    return scores


def interpreter(folder: Path) -> Path | None:
    """Return a Python with SciEvalKit: its environment, or a bare one that sees the checkout of EVALS_SCIEVALKIT."""
    if not (checkout := os.environ.get("EVALS_SCIEVALKIT")):
        return environments.interpreter("scieval")
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "scievalkit.pth").write_text(f"{Path(checkout).resolve()}\n")
    return folder / "bin" / "python"


def cases() -> dict[str, dict[str, object]]:
    lines = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
    return {line["case"]: line for line in lines}


def test_there_are_200_replies_and_our_side_of_each_listed_one_holds() -> None:
    scores = ours()
    assert len(scores) == 200
    assert {name: line["ours"] for name, line in cases().items()} == {name: scores[name] for name in cases()}
    assert all(line["why"] for line in cases().values())


def test_every_disagreement_with_scievalkit_is_a_named_case(tmp_path: Path) -> None:
    python = interpreter(tmp_path / "env")
    if python is None:
        pytest.skip(f"NOT AUDITED BY SciEvalKit: {environments.install_commands('scieval')}")
    mine, other = ours(), theirs(python)
    assert {name: other[name] for name in mine if mine[name] != other[name]} == {
        name: line["theirs"] for name, line in cases().items()
    }


def test_without_it_the_command_says_how_to_have_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "empty"))
    assert evals("run", "trqa", "--sample", "-m", "scripted:A", "--run", "t", "--quiet").status == 0
    assert "pip install --no-deps git+https://github.com/InternScience/SciEvalKit@0817251a" in (
        evals("audit", "t", "--with", "scieval").error_line
    )
    fault = evals("audit", "t", "--with", "scieval", "--python", sys.executable).error_line
    assert "the package scieval is not installed" in fault


if __name__ == "__main__":
    known, mine, other = cases() if CASES.exists() else {}, ours(), theirs(Path(sys.argv[1]))
    for name, score in mine.items():
        if score != other[name]:
            print(
                json.dumps(
                    {
                        "case": name,
                        "ours": score,
                        "theirs": other[name],
                        "why": known.get(name, {}).get("why", ""),
                    },
                    ensure_ascii=False,
                )
            )
