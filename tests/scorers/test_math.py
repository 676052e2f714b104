"""Mathematical equivalence: lighteval's test cases, hostile input, and use outside the main thread."""

from __future__ import annotations

import builtins
import json
import threading
from functools import partial

import pytest

from evals.errors import UsageError
from evals.extract import letter
from evals.scorers.math import equivalent, is_hostile, with_lowercase_symbols
from evals.scorers.upstream.mathvision import Strict
from evals.types import Prompt, Reply, Sample
from tests.support.cpu_time import assert_cpu_time
from tests.support.error_messages import raises
from tests.support.needs import needs

needs("math_verify", reason="the extra `math` is not installed")

DIFFERENCES = {
    7: "gold 'C Cecile' is the text of an option, not a reply; ours reads replies only",
    10: "gold 'A Peter ...': the same, and 'A' before a word is an article",
    26: "'220 $ ... 12 mois': the sign follows its number, so math-verify reads the last number, 12",
    68: "a line break inside $ $ changes no value; lighteval's pattern does not cross it",
    69: r"a line break inside \( \): the same",
    221: "a gold of pairs written as chained equations: this version of math-verify reads only the last pair",
    230: "several boxes joined by 'and and and or thus but': this version of math-verify joins all three",
    231: "the same",
}
"""Line of the file, from 0 -> why our verdict differs from lighteval's expectation."""


@pytest.mark.slow
def test_verdicts_differ_from_lightevals_only_in_the_listed_cases(shared):
    path = shared / "data" / "extraction_cases" / "lighteval_extractive_match_cases.jsonl"
    different_lines = set()
    for number, case in enumerate(map(json.loads, path.read_text(encoding="utf-8").splitlines())):
        if "abc" in case["test"]:
            gold = letter(case["gold"], 10)
            same = gold is not None and gold == letter(case["pred"], 10)
        else:
            same = equivalent(case["gold"], case["pred"], precision=case.get("precision") or 6) is True
        if same != bool(case["expected"]):
            different_lines.add(number)
    assert different_lines == set(DIFFERENCES)


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
def test_answers_are_compared_by_mathematical_value(gold, reply, expected):
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
    assert assert_cpu_time(2, lambda: is_hostile(text))
    assert assert_cpu_time(5, lambda: equivalent("1", text)) is None


@pytest.mark.parametrize("text", ["2^{3^{2}}", "x^{2^{10}}", "2^{10} + 3^{9}", "(2^{3})^{2}", "2^{2^{4}}"])
def test_powers_of_moderate_size_are_not_hostile(text):
    assert not is_hostile(text)


def test_hostile_text_is_detected_in_linear_time():
    for piece in ("(", "{}", "9^", "!", "^ ", "1 ", "^{1}"):
        assert_cpu_time(3, partial(is_hostile, piece * (1_000_000 // len(piece))), piece)


def test_equivalence_can_be_checked_outside_the_main_thread():
    results: list[bool | None] = []
    thread = threading.Thread(target=lambda: results.append(equivalent("2", r"\boxed{2}")))
    thread.start()
    thread.join()
    assert results == [True]


def test_without_math_verify_the_error_names_the_extra(monkeypatch):
    real_import = builtins.__import__

    def import_without_math_verify(name, *args, **kwargs):
        if name == "math_verify":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_without_math_verify)
    with raises(UsageError):
        equivalent("1", "1")


def test_verdicts_of_right_wrong_missing_truncated_and_filtered_answers():
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


@pytest.mark.parametrize(
    ("reply", "replaced"),
    [
        (r"\Rightarrow \Re(z) = \Omega_M", r"\Rightarrow \Re(z) = a _b"),
        (r"\Longrightarrow\left\Vert A\right\Vert", r"\Longrightarrow\left\Vert c\right\Vert"),
        (r"\Pr(X)", r"\Pr(c)"),
    ],
)
def test_commands_that_begin_with_a_capital_are_no_symbols(reply: str, replaced: str) -> None:
    assert with_lowercase_symbols(r"\Omega_M", reply) == ("a _b", replaced)
