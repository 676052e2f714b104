"""Mathematical equality: lighteval's cases, hostile input, and a worker with a deadline."""

from __future__ import annotations

import builtins
import json
import threading
import time

import pytest

from evals.errors import UsageError
from evals.extract import letter
from evals.scorers.math import equivalent, is_hostile
from evals.scorers.upstream.mathvision import Strict
from evals.types import Prompt, Reply, Sample
from tests.support.needs import needs

needs("math_verify", reason="the extra `math` is not installed")

DISAGREE = {
    7: "gold 'C Cecile' is an option's text and no reply; ours reads replies only",
    10: "gold 'A Peter ...' likewise, and 'A' before a word is an article",
    26: "'220 $ ... 12 mois': the sign stands behind its number, so math-verify reads the last number, 12",
    68: "a line break inside $ $ changes no value; lighteval's pattern does not cross it",
    69: r"a line break inside \( \) likewise",
    221: "a gold of pairs written as chained equations: this version of math-verify reads only the last pair",
    230: "which boxes 'and and and or thus but' joins: this version of math-verify joins all three",
    231: "likewise",
}
"""Line of the file, from 0: why our verdict differs from lighteval's expectation."""


@pytest.mark.slow
def test_lighteval_cases(shared):
    path = shared / "data" / "extraction_cases" / "lighteval_extractive_match_cases.jsonl"
    differ = set()
    for number, case in enumerate(map(json.loads, path.read_text(encoding="utf-8").splitlines())):
        if "abc" in case["test"]:
            gold = letter(case["gold"], 10)
            same = gold is not None and gold == letter(case["pred"], 10)
        else:
            same = equivalent(case["gold"], case["pred"], precision=case.get("precision") or 6) is True
        if same != bool(case["expected"]):
            differ.add(number)
    assert differ == set(DISAGREE)


@pytest.mark.parametrize(
    ("gold", "reply", "expected"),
    [
        (r"\frac{1}{2}", r"so $\boxed{0.5}$", True),
        ("13/28", "计划的比例为13/28", True),
        ("7", r"\boxed{8}", False),
        ("7", "no idea", None),
        ("", r"\boxed{8}", None),
        (r"x^2+2x+1", r"\boxed{(x+1)^2}", True),
    ],
)
def test_equivalent(gold, reply, expected):
    assert equivalent(gold, reply) is expected


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{9^{9^{9^{9}}}}",
        r"\boxed{9^{9^{9}}}",
        "10**10**10",
        r"\boxed{" + "{" * 200 + "}" * 200 + "}",
        "(" * 10_000,
        r"\boxed{99999!}",
        "\0",
        "9" * 5000,
    ],
)
def test_hostile_text_is_not_parsed(text):
    began = time.process_time()
    assert is_hostile(text)
    assert equivalent("1", text) is None
    assert time.process_time() - began < 5


@pytest.mark.parametrize("text", ["2^{3^{2}}", "x^{2^{10}}", "2^{10} + 3^{9}", "(2^{3})^{2}", "2^{2^{4}}"])
def test_powers_that_can_be_computed_are_not_hostile(text):
    assert not is_hostile(text)


def test_hostility_is_told_in_linear_time():
    for piece in ("(", "{}", "9^", "!", "^ ", "1 ", "^{1}"):
        began = time.process_time()
        is_hostile(piece * (1_000_000 // len(piece)))
        assert time.process_time() - began < 3, piece


def test_works_off_the_main_thread():
    found: list[bool | None] = []
    thread = threading.Thread(target=lambda: found.append(equivalent("2", r"\boxed{2}")))
    thread.start()
    thread.join()
    assert found == [True]


def test_without_the_library_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "math_verify":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UsageError, match=r"\[math\]"):
        equivalent("1", "1")


def test_scores():
    scorer, sample = Strict(), Sample(id="1", target=r"\frac12")
    scorer.warm()
    verdicts = [
        scorer(sample, Prompt(), Reply(text=text, stop=stop)).verdict
        for text, stop in (
            (r"\boxed{0.5}", "stop"),
            (r"\boxed{1}", "stop"),
            ("hm", "stop"),
            ("hm", "length"),
            ("", "filter"),
        )
    ]
    assert verdicts == ["right", "wrong", "unanswered", "truncated", "refused"]
