"""Scorers of numbers and labels, their readers and their reductions, against tables, by hand and by scikit-learn."""

from __future__ import annotations

import json
from math import nan, sqrt
from typing import Any

import pytest

from evals.extract.quantity import stated
from evals.extract.units import convert
from evals.scorers import labels, number
from evals.scorers.folds import ByGroup
from evals.scorers.labels import Label, probability
from evals.scorers.number import AbsoluteError, Within
from evals.scorers.options import OptionSet, options_stated
from evals.scorers.upstream.first_number import FirstNumber, first_number
from evals.scorers.upstream.lamalab import SignedTolerance, number_lamalab, options_lamalab
from evals.types import Point, Prompt, Reply, Sample, Score
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = [json.loads(line) for line in (TESTS / "cases" / "materials_rules.jsonl").read_text().splitlines()]
SHOWN = ("C1", "Cs", "C2v", "D3d")


def read(case: dict[str, Any]) -> Any:
    text, unit = case["text"], case.get("unit", "")
    match case["rule"]:
        case "options_lamalab":
            found = options_lamalab(text, SHOWN)
            return list(found) if found else None
        case "options_stated":
            found = options_stated(text, SHOWN)
            return list(found.value) if found else None
        case "number_lamalab":
            quantity = number_lamalab(text)
            return quantity and quantity.value
        case "first_number":
            return first_number(text)
        case "stated":
            pytest.importorskip("pint")
            if (reading := stated(text, unit)) is None:
                return None
            quantity = reading.value
            value = convert(quantity.value, quantity.unit, unit)
            return "dimension" if value is None else value
    raise ValueError(case["rule"])


@table("case", CASES, ids=lambda case: f"{case['rule']}|{case['why']}")
def test_case(case: dict[str, Any]) -> None:
    found = read(case)
    assert found == (
        pytest.approx(case["expected"]) if isinstance(case["expected"], float) else case["expected"]
    )


def test_every_case_says_where_its_rule_comes_from() -> None:
    assert all(case["source"] and case["why"] for case in CASES)


# --- scores -------------------------------------------------------------------------------------------------

STEEL = Sample(
    id="s", target=2000.0, unit="MPa", meta={"train_mean": 1500.0, "train_low": 1000.0, "train_high": 2600.0}
)


def judge(scorer: Any, sample: Sample, text: str, **reply: Any) -> Score:
    found = scorer(sample, Prompt(), Reply(text=text, **reply))
    assert isinstance(found, Score)
    return found


def test_an_error_is_graded_in_the_targets_unit() -> None:
    pytest.importorskip("pint")
    found = judge(AbsoluteError(), STEEL, "Answer: 1.9 GPa")
    assert (found.value, found.verdict) == (pytest.approx(100.0), "graded")
    assert found.parts["error"] == pytest.approx(-100.0)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ({"text": "I cannot say."}, "unanswered"),
        ({"text": "Let me think", "stop": "length"}, "truncated"),
        ({"text": "Answer: 5", "stop": "filter"}, "refused"),
    ],
)
def test_no_number_is_no_error_of_nought(reply: dict[str, Any], verdict: str) -> None:
    found = judge(AbsoluteError(), STEEL, **reply)
    assert (found.value, found.verdict, found.answer) == (None, verdict, None)
    assert found.parts == {"error_imputed": 500.0, "error_worst": 1000.0}


def test_another_dimension_is_wrong_and_not_converted() -> None:
    pytest.importorskip("pint")
    found = judge(AbsoluteError(), STEEL, "Answer: 300 K")
    assert (found.value, found.verdict) == (None, "wrong")
    assert "kelvin" in found.why or "K" in found.why


def test_a_reply_cut_after_its_answer_is_scored() -> None:
    assert judge(AbsoluteError(), STEEL, "Answer: 2000\nbecause", stop="length").value == 0.0


@pytest.mark.parametrize(
    ("target", "text", "signed", "ours"),
    [
        (42.0, "[ANSWER]42.2[/ANSWER]", 1.0, 1.0),
        (42.0, "[ANSWER]43[/ANSWER]", 0.0, 0.0),
        (-285.8, "[ANSWER]-285.8[/ANSWER]", 0.0, 1.0),  # upstream: |0| < -2.858 is false
        (0.0, "[ANSWER]0[/ANSWER]", 0.0, 1.0),  # upstream: 0 < 0 is false
        (100.0, "[ANSWER]101[/ANSWER]", 0.0, 1.0),  # upstream: strictly below
        (-3.0, "[ANSWER]3[/ANSWER]", 0.0, 0.0),
    ],
)
def test_the_signed_tolerance_is_kept_in_official_and_mended_in_strict(
    target: float, text: str, signed: float, ours: float
) -> None:
    sample = Sample(id="s", target=target)
    assert judge(SignedTolerance(), sample, text).value == signed
    assert judge(Within(relative=0.01), sample, text).value == ours


def test_a_tasks_own_tolerance_counts() -> None:
    sample = Sample(id="s", target=100.0, meta={"relative_tolerance": 0.1})
    assert judge(Within(), sample, "Answer: 108").value == 1.0
    assert judge(SignedTolerance(), sample, "[ANSWER]100.05[/ANSWER]").value == 1.0
    assert judge(SignedTolerance(), sample, "[ANSWER]100.5[/ANSWER]").value == 0.0


def test_intern_s1_counts_silence_as_the_number_nought() -> None:
    found = judge(FirstNumber(), STEEL, "no idea")
    assert (found.value, found.verdict, found.suspect) == (2000.0, "graded", True)


MULTI = Sample(id="m", target=("A", "C"), choices=SHOWN)


@pytest.mark.parametrize(
    ("text", "verdict", "answer", "why"),
    [
        ("[ANSWER]A, C[/ANSWER]", "right", "A,C", ""),
        ("[ANSWER]C,A[/ANSWER]", "right", "A,C", ""),
        ("[ANSWER]A[/ANSWER]", "wrong", "A", "misses C"),
        ("[ANSWER]A, B, C[/ANSWER]", "wrong", "A,B,C", "adds B"),
        ("[ANSWER]X[/ANSWER]", "invalid", "X", "no stated letter is an option"),
        ("nothing", "unanswered", None, "no option stated"),
    ],
)
def test_a_set_of_options_is_all_or_nothing(text: str, verdict: str, answer: str | None, why: str) -> None:
    found = judge(OptionSet(options_lamalab), MULTI, text)
    assert (found.value, found.verdict, found.answer, found.why) == (
        float(verdict == "right"),
        verdict,
        answer,
        why,
    )


def test_letters_are_translated_by_the_prompts_own_key() -> None:
    found = OptionSet(options_lamalab)(MULTI, Prompt(order=(2, 0, 1, 3)), Reply(text="[ANSWER]A, B[/ANSWER]"))
    assert (found.value, found.answer) == (1.0, "A,C")


# --- labels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Probability: 0.83\nAnswer: yes", 0.83),
        ("**Probability:** 12 %", 0.12),
        ("probability of yes is .5", 0.5),
        ("Probability: 1", 1.0),
        ("Probability: 1.7", None),
        ("no word of it", None),
        ("first Probability: 0.1, then Probability: 0.2", 0.2),
    ],
)
def test_a_stated_probability(text: str, expected: float | None) -> None:
    assert probability(text) == expected


def yes_or_no(text: str) -> str | None:
    return {"y": "yes", "n": "no"}.get(text[:1])


def test_silence_is_the_wrong_label() -> None:
    found = judge(Label(yes_or_no), Sample(id="x", target="yes"), "hm")
    assert (found.value, found.verdict, found.answer) == (0.0, "unanswered", None)


# --- reductions ---------------------------------------------------------------------------------------------


def point(
    value: float | None, target: float | str, *, group: str = "", answer: str | None = "", **parts: float
) -> Point:
    said = answer if value is not None or answer else None
    return Point("x", 0, group, "x", "graded", value, said, target, 0, parts)


def test_errors_by_hand() -> None:
    some = [point(1.0, 10.0), point(3.0, -10.0), point(None, 5.0, error_imputed=8.0, error_worst=20.0)]
    assert number.mae(some) == 2.0
    assert number.mae_imputed(some) == 4.0
    assert number.mae_worst(some) == 8.0
    assert number.rmse(some) == pytest.approx(sqrt(5.0))
    assert number.max_error(some) == 3.0
    assert number.mape(some) == pytest.approx(0.2)
    assert number.answered(some) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("at", "want"), [(0.0, 1 / 3), (1.0, 2 / 3)])
def test_a_missing_outcome_is_answered_at_its_best_alone(at: float, want: float) -> None:
    missing = Point("m", 0, "", "m", "missing", at, None, 1.0, 0, {})
    assert number.answered([point(1.0, 10.0), point(None, 5.0), missing]) == pytest.approx(want)


@table(
    "reduction",
    [number.mae, number.mae_imputed, number.mae_worst, number.rmse, number.max_error, number.mape, number.answered,
     labels.accuracy, labels.balanced_accuracy, labels.f1, labels.mcc, labels.roc_auc, ByGroup(number.mae_of)],
)  # fmt: skip
def test_a_mean_of_nothing_is_an_error(reduction: Any) -> None:
    with pytest.raises(ValueError, match=r"nothing|no |at least one"):
        reduction([])


@pytest.mark.parametrize("reduction", [number.mae, number.rmse, number.max_error, number.mae_imputed])
def test_a_perfect_score_of_silence_is_an_error(reduction: Any) -> None:
    with pytest.raises(ValueError, match=r"no comparable answer|not known"):
        reduction([point(None, 1.0), point(None, 2.0)])


def test_a_mean_over_folds_is_unweighted() -> None:
    some = [point(1.0, 0.0, group="a"), point(2.0, 0.0, group="b"), point(4.0, 0.0, group="b")]
    assert ByGroup(number.mae_of)(some) == 2.0
    assert number.mae(some) == pytest.approx(7 / 3)


def test_a_resample_by_indices_is_the_resample_by_points() -> None:
    np = pytest.importorskip("numpy")
    random = np.random.default_rng(0)
    some = [point(float(abs(x)), float(x), group="ab"[i % 2]) for i, x in enumerate(random.normal(size=40))]
    for of in (number.mae_of, number.rmse_of, number.max_error_of, number.mape_of):
        fast = ByGroup(of).over([[one] for one in some])
        indices = random.integers(0, 40, 40)
        assert fast(indices) == pytest.approx(ByGroup(of)([some[i] for i in indices]))


def classified(seed: int) -> tuple[list[Point], list[bool], list[bool], list[float]]:
    np = pytest.importorskip("numpy")
    random = np.random.default_rng(seed)
    truth = (random.random(60) < 0.6).tolist()
    scores = [round(float(0.6 * t + 0.7 * random.random()) / 1.3, 1) for t in truth]
    said = [score >= 0.5 for score in scores]
    points = [
        point(float(t == s), "yes" if t else "no", answer="yes" if s else "no", score=p)
        for t, s, p in zip(truth, said, scores, strict=True)
    ]
    return points, truth, said, scores


@pytest.mark.parametrize("seed", range(5))
def test_classification_agrees_with_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    points, truth, said, scores = classified(seed)
    assert labels.accuracy(points) == pytest.approx(metrics.accuracy_score(truth, said))
    assert labels.balanced_accuracy(points) == pytest.approx(metrics.balanced_accuracy_score(truth, said))
    assert labels.f1(points) == pytest.approx(metrics.f1_score(truth, said))
    assert labels.mcc(points) == pytest.approx(metrics.matthews_corrcoef(truth, said))
    assert labels.roc_auc(points) == pytest.approx(metrics.roc_auc_score(truth, scores))


def test_the_area_under_hard_labels_is_the_balanced_accuracy() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    points, truth, said, _ = classified(7)
    assert labels.balanced_accuracy(points) == pytest.approx(metrics.roc_auc_score(truth, said))


def test_the_area_needs_a_score_and_says_so() -> None:
    with pytest.raises(ValueError, match="needs a score for each reply; some replies have only a label"):
        labels.roc_auc([point(1.0, "yes", answer="yes"), point(1.0, "no", answer="no")])


def test_silence_counts_against_the_area() -> None:
    answers = [point(1.0, "yes", answer="yes", score=0.9), point(1.0, "no", answer="no", score=0.1)]
    silent = [Point("x", 0, "", "x", "unanswered", 0.0, None, target, 0, {}) for target in ("yes", "no")]
    assert labels.roc_auc(answers) == 1.0
    assert labels.roc_auc([*answers, *silent]) == 0.25


def test_one_class_alone_has_no_balance() -> None:
    with pytest.raises(ValueError, match="only one class"):
        labels.balanced_accuracy([point(1.0, "yes"), point(0.0, "yes")])


def test_exactly_one_headline_and_no_bounds_on_errors() -> None:
    found = number.regression("eV")
    assert [m.name for m in found if m.headline] == ["mae"]
    assert all(m.bounds is None for m in found if m.better == "lower")
    with pytest.raises(ValueError, match="headline='nan'"):
        labels.classification(headline=str(nan))
