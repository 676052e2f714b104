"""Scorers of numbers, options and labels, their parsers and their metrics: case files, values calculated by hand, scikit-learn."""

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
from evals.scorers.upstream.lamalab import SignedTolerance, number_lamalab, options_lamalab
from evals.scorers.upstream.matbench import FirstNumber, first_number
from evals.types import Point, Prompt, Reply, Sample, Score
from tests.support.error_messages import raises
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = [json.loads(line) for line in (TESTS / "cases" / "materials_rules.jsonl").read_text().splitlines()]
OPTIONS = ("C1", "Cs", "C2v", "D3d")


def parsed_answer(case: dict[str, Any]) -> Any:
    text, unit = case["text"], case.get("unit", "")
    match case["rule"]:
        case "options_lamalab":
            letters = options_lamalab(text, OPTIONS)
            return list(letters) if letters else None
        case "options_stated":
            stated_options = options_stated(text, OPTIONS)
            return list(stated_options.value) if stated_options else None
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
def test_every_rule_reads_the_expected_answer(case: dict[str, Any]) -> None:
    expected = case["expected"]
    assert parsed_answer(case) == (pytest.approx(expected) if isinstance(expected, float) else expected)


def test_every_case_has_a_source_and_a_reason() -> None:
    assert all(case["source"] and case["why"] for case in CASES)


# --- scores -------------------------------------------------------------------------------------------------

STEEL = Sample(
    id="s", target=2000.0, unit="MPa", meta={"train_mean": 1500.0, "train_low": 1000.0, "train_high": 2600.0}
)


def score_of(scorer: Any, sample: Sample, text: str, **reply: Any) -> Score:
    score = scorer(sample, Prompt(), Reply(text=text, **reply))
    assert isinstance(score, Score)
    return score


def test_the_error_is_measured_in_the_unit_of_the_target() -> None:
    pytest.importorskip("pint")
    score = score_of(AbsoluteError(), STEEL, "Answer: 1.9 GPa")
    assert (score.value, score.verdict) == (pytest.approx(100.0), "graded")
    assert score.parts["error"] == pytest.approx(-100.0)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ({"text": "I cannot say."}, "unanswered"),
        ({"text": "Let me think", "stop": "length"}, "truncated"),
        ({"text": "Answer: 5", "stop": "filter"}, "refused"),
    ],
)
def test_a_reply_without_a_number_has_no_error_instead_of_an_error_of_zero(
    reply: dict[str, Any], verdict: str
) -> None:
    score = score_of(AbsoluteError(), STEEL, **reply)
    assert (score.value, score.verdict, score.answer) == (None, verdict, None)
    assert score.parts == {"error_imputed": 500.0, "error_worst": 1000.0}


def test_a_number_with_a_unit_of_another_dimension_is_wrong() -> None:
    pytest.importorskip("pint")
    score = score_of(AbsoluteError(), STEEL, "Answer: 300 K")
    assert (score.value, score.verdict) == (None, "wrong")
    assert "kelvin" in score.why or "K" in score.why


def test_a_reply_truncated_after_its_answer_is_scored() -> None:
    assert score_of(AbsoluteError(), STEEL, "Answer: 2000\nbecause", stop="length").value == 0.0


@pytest.mark.parametrize(
    ("target", "text", "official", "corrected"),
    [
        (42.0, "[ANSWER]42.2[/ANSWER]", 1.0, 1.0),
        (42.0, "[ANSWER]43[/ANSWER]", 0.0, 0.0),
        (-285.8, "[ANSWER]-285.8[/ANSWER]", 0.0, 1.0),  # upstream: |0| < -2.858 is false
        (0.0, "[ANSWER]0[/ANSWER]", 0.0, 1.0),  # upstream: 0 < 0 is false
        (100.0, "[ANSWER]101[/ANSWER]", 0.0, 1.0),  # upstream: strictly below
        (-3.0, "[ANSWER]3[/ANSWER]", 0.0, 0.0),
    ],
)
def test_the_official_rule_keeps_upstreams_signed_tolerance_and_the_strict_rule_corrects_it(
    target: float, text: str, official: float, corrected: float
) -> None:
    sample = Sample(id="s", target=target)
    assert score_of(SignedTolerance(), sample, text).value == official
    assert score_of(Within(relative=0.01), sample, text).value == corrected


def test_the_tolerance_of_a_sample_replaces_the_default() -> None:
    sample = Sample(id="s", target=100.0, meta={"relative_tolerance": 0.1})
    assert score_of(Within(), sample, "Answer: 108").value == 1.0
    assert score_of(SignedTolerance(), sample, "[ANSWER]100.05[/ANSWER]").value == 1.0
    assert score_of(SignedTolerance(), sample, "[ANSWER]100.5[/ANSWER]").value == 0.0


def test_the_intern_s1_rule_counts_a_reply_without_a_number_as_zero() -> None:
    score = score_of(FirstNumber(), STEEL, "no idea")
    assert (score.value, score.verdict, score.suspect) == (2000.0, "graded", True)


MULTI = Sample(id="m", target=("A", "C"), choices=OPTIONS)


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
def test_a_set_of_options_must_match_exactly(text: str, verdict: str, answer: str | None, why: str) -> None:
    score = score_of(OptionSet(options_lamalab), MULTI, text)
    assert (score.value, score.verdict, score.answer, score.why) == (
        float(verdict == "right"),
        verdict,
        answer,
        why,
    )


def test_letters_are_mapped_back_from_the_shown_order() -> None:
    score = OptionSet(options_lamalab)(MULTI, Prompt(order=(2, 0, 1, 3)), Reply(text="[ANSWER]A, B[/ANSWER]"))
    assert (score.value, score.answer) == (1.0, "A,C")


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
def test_the_last_stated_probability_is_read(text: str, expected: float | None) -> None:
    assert probability(text) == expected


def yes_or_no(text: str) -> str | None:
    return {"y": "yes", "n": "no"}.get(text[:1])


def test_a_reply_without_a_label_is_unanswered_and_scores_zero() -> None:
    score = score_of(Label(yes_or_no), Sample(id="x", target="yes"), "hm")
    assert (score.value, score.verdict, score.answer) == (0.0, "unanswered", None)


# --- metrics ------------------------------------------------------------------------------------------------


def point(
    value: float | None, target: float | str, *, group: str = "", answer: str | None = "", **parts: float
) -> Point:
    stated_answer = answer if value is not None or answer else None
    return Point("x", 0, group, "x", "graded", value, stated_answer, target, 0, parts)


def test_error_metrics_match_values_calculated_by_hand() -> None:
    points = [point(1.0, 10.0), point(3.0, -10.0), point(None, 5.0, error_imputed=8.0, error_worst=20.0)]
    assert number.mae_answered(points) == 2.0
    assert number.mae_imputed(points) == 4.0
    assert number.mae_worst(points) == 8.0
    assert number.rmse(points) == pytest.approx(sqrt(5.0))
    assert number.max_error(points) == 3.0
    assert number.mape(points) == pytest.approx(0.2)
    assert number.answered(points) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("value", "expected"), [(0.0, 1 / 3), (1.0, 2 / 3)])
def test_a_missing_outcome_counts_as_answered_only_in_the_upper_bound(value: float, expected: float) -> None:
    missing = Point("m", 0, "", "m", "missing", value, None, 1.0, 0, {})
    assert number.answered([point(1.0, 10.0), point(None, 5.0), missing]) == pytest.approx(expected)


@table(
    "metric",
    [number.mae_answered, number.mae_imputed, number.mae_worst, number.rmse, number.max_error, number.mape, number.answered,
     labels.accuracy, labels.balanced_accuracy, labels.f1, labels.mcc, labels.roc_auc, ByGroup(number.mae_answered_of)],
)  # fmt: skip
def test_a_metric_of_no_points_is_an_error(metric: Any) -> None:
    with raises(ValueError):
        metric([])


@pytest.mark.parametrize(
    "metric",
    [number.mae_answered, number.rmse, number.max_error, number.mae_imputed],
    ids=["mean absolute", "root mean square", "largest", "imputed"],
)
def test_error_metrics_without_any_answer_are_an_error_instead_of_a_perfect_score(metric: Any) -> None:
    with raises(ValueError):
        metric([point(None, 1.0), point(None, 2.0)])


def test_folds_have_equal_weight_in_the_mean_over_folds() -> None:
    points = [point(1.0, 0.0, group="a"), point(2.0, 0.0, group="b"), point(4.0, 0.0, group="b")]
    assert ByGroup(number.mae_answered_of)(points) == 2.0
    assert number.mae_answered(points) == pytest.approx(7 / 3)


def test_resampling_by_indices_equals_resampling_the_points() -> None:
    np = pytest.importorskip("numpy")
    random = np.random.default_rng(0)
    points = [point(float(abs(x)), float(x), group="ab"[i % 2]) for i, x in enumerate(random.normal(size=40))]
    for metric in (number.mae_answered_of, number.rmse_of, number.max_error_of, number.mape_of):
        by_indices = ByGroup(metric).over([[point_] for point_ in points])
        indices = random.integers(0, 40, 40)
        assert by_indices(indices) == pytest.approx(ByGroup(metric)([points[i] for i in indices]))


def random_classifications(seed: int) -> tuple[list[Point], list[bool], list[bool], list[float]]:
    np = pytest.importorskip("numpy")
    random = np.random.default_rng(seed)
    truth = (random.random(60) < 0.6).tolist()
    scores = [round(float(0.6 * t + 0.7 * random.random()) / 1.3, 1) for t in truth]
    predictions = [score >= 0.5 for score in scores]
    points = [
        point(float(t == s), "yes" if t else "no", answer="yes" if s else "no", score=p)
        for t, s, p in zip(truth, predictions, scores, strict=True)
    ]
    return points, truth, predictions, scores


@pytest.mark.parametrize("seed", range(5))
def test_classification_metrics_agree_with_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    points, truth, predictions, scores = random_classifications(seed)
    assert labels.accuracy(points) == pytest.approx(metrics.accuracy_score(truth, predictions))
    assert labels.balanced_accuracy(points) == pytest.approx(
        metrics.balanced_accuracy_score(truth, predictions)
    )
    assert labels.f1(points) == pytest.approx(metrics.f1_score(truth, predictions))
    assert labels.mcc(points) == pytest.approx(metrics.matthews_corrcoef(truth, predictions))
    assert labels.roc_auc(points) == pytest.approx(metrics.roc_auc_score(truth, scores))


def test_the_balanced_accuracy_is_the_roc_auc_of_hard_labels() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    points, truth, predictions, _ = random_classifications(7)
    assert labels.balanced_accuracy(points) == pytest.approx(metrics.roc_auc_score(truth, predictions))


def test_the_roc_auc_of_labels_without_scores_is_an_error() -> None:
    with raises(ValueError):
        labels.roc_auc([point(1.0, "yes", answer="yes"), point(1.0, "no", answer="no")])


def test_unanswered_replies_lower_the_roc_auc() -> None:
    answers = [point(1.0, "yes", answer="yes", score=0.9), point(1.0, "no", answer="no", score=0.1)]
    unanswered = [Point("x", 0, "", "x", "unanswered", 0.0, None, target, 0, {}) for target in ("yes", "no")]
    assert labels.roc_auc(answers) == 1.0
    assert labels.roc_auc([*answers, *unanswered]) == 0.25


def test_the_balanced_accuracy_of_a_single_class_is_an_error() -> None:
    with raises(ValueError):
        labels.balanced_accuracy([point(1.0, "yes"), point(0.0, "yes")])


def test_regression_metrics_have_one_headline_and_errors_have_no_bounds() -> None:
    metrics = number.regression("eV")
    assert [m.name for m in metrics if m.headline] == ["mae"]
    assert all(m.bounds is None for m in metrics if m.better == "lower")
    with raises(ValueError):
        labels.classification(headline=str(nan))
