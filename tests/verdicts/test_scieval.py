"""SciEvalKit's rules and ours on 200 fixed replies: the file of cases lists every disagreement with its reason.

SciEvalKit is taken from its environment in the user's cache (`evals audit --with scieval` prints how to install it) or
from the checkout at EVALS_SCIEVALKIT; without it, only our scores are tested. `python -m tests.verdicts.test_scieval
PYTHON` prints the current disagreements, with the Python that has SciEvalKit.
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
from tests.test_suite import load_one

CASES = TESTS / "cases" / "scieval.jsonl"
SUITES = (("trqa", "strict"), ("trqa", "official"), ("proteinlmbench", "official"), ("mmstar", "strict"))
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
"""50 replies; `g` is the right answer (letters, or a number), `w` a wrong one, and `t` and `v` are the texts of the two options."""


class Case(NamedTuple):
    suite: str
    protocol: str
    form: str
    reply: str
    sample: Sample

    @property
    def name(self) -> str:
        return f"{self.suite} ({self.protocol}): {self.form!r}"


def all_cases() -> Iterator[Case]:
    """Yield the 200 cases: replies to items with several right options, or with one that is not the first."""
    for suite, protocol in SUITES:
        samples = list(load_one(suite, protocol).samples(Data(suite=suite, sample=True)))
        sample = next(
            s for s in samples if (isinstance(s.target, tuple) if suite == "trqa" else s.target != "A")
        )
        right = sample.targets
        wrong = next(chr(65 + n) for n in range(len(sample.choices)) if chr(65 + n) not in right)
        right_form, wrong_form = ", ".join(right), wrong
        if suite == "proteinlmbench":
            right_form, wrong_form = (str(ord(letter) - 64) for letter in (right[0], wrong))
        right_text, wrong_text = (sample.choices[ord(letter) - 65] for letter in (right[0], wrong))
        for form in FORMS:
            yield Case(
                suite,
                protocol,
                form,
                form.format(g=right_form, w=wrong_form, t=right_text, v=wrong_text),
                sample,
            )


def our_scores() -> dict[str, float]:
    """Return our scores by case."""
    scores = {}
    for case in all_cases():
        (scorer,) = load_one(case.suite, case.protocol).scorers.values()
        value = scorer(case.sample, Prompt(), Reply(text=case.reply)).value
        scores[case.name] = 0.0 if value is None else value
    return scores


def their_scores(python: Path) -> dict[str, float | None]:
    """Return SciEvalKit's scores by case."""
    scores: dict[str, float | None] = {}
    cases = list(all_cases())
    for suite in dict.fromkeys(case.suite for case in cases):
        rule = rules.find_rule("scieval", suite, None)
        suite_cases = [case for case in cases if case.suite == suite]
        recorded_replies = [
            RecordedReply(case.reply, rule.build_doc(case.sample, Prompt())) for case in suite_cases
        ]
        opinion = score_replies(rule, recorded_replies, python)
        scores |= {
            case.name: verdict.score for case, verdict in zip(suite_cases, opinion.verdicts, strict=True)
        }
    return scores


def interpreter(folder: Path) -> Path | None:
    """Return a Python with SciEvalKit: its environment, or a bare one that sees the checkout of EVALS_SCIEVALKIT."""
    if not (checkout := os.environ.get("EVALS_SCIEVALKIT")):
        return environments.interpreter("scieval")
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "scievalkit.pth").write_text(f"{Path(checkout).resolve()}\n")
    return folder / "bin" / "python"


def disagreements() -> dict[str, dict[str, object]]:
    """Return the listed disagreements by case."""
    lines = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
    return {line["case"]: line for line in lines}


def test_our_scores_are_as_listed_and_every_disagreement_has_a_reason() -> None:
    scores, listed = our_scores(), disagreements()
    assert len(scores) == 200
    assert {name: line["ours"] for name, line in listed.items()} == {name: scores[name] for name in listed}
    assert all(line["why"] for line in listed.values())


def test_the_listed_disagreements_are_all_disagreements_with_scievalkit(tmp_path: Path) -> None:
    python = interpreter(tmp_path / "env")
    if python is None:
        pytest.skip(f"NOT AUDITED BY SciEvalKit: {environments.install_commands('scieval')}")
    ours, theirs = our_scores(), their_scores(python)
    assert {name: theirs[name] for name in ours if ours[name] != theirs[name]} == {
        name: line["theirs"] for name, line in disagreements().items()
    }


def test_without_scievalkit_the_command_prints_how_to_install_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "empty"))
    assert evals("run", "trqa", "--sample", "-m", "scripted:A", "--run", "t", "--quiet").status == 0
    evals("audit", "t", "--with", "scieval").assert_usage_error()
    evals("audit", "t", "--with", "scieval", "--python", sys.executable).assert_usage_error()


if __name__ == "__main__":
    known = disagreements() if CASES.exists() else {}
    ours, theirs = our_scores(), their_scores(Path(sys.argv[1]))
    for name, score in ours.items():
        if score != theirs[name]:
            why = known.get(name, {}).get("why", "")
            line = {"case": name, "ours": score, "theirs": theirs[name], "why": why}
            print(json.dumps(line, ensure_ascii=False))
