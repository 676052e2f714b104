"""Sentences that summarise a comparison, counts of changed predictions, and scorers in words."""

from __future__ import annotations

from msgspec import structs

from evals.verdicts.compare import compare
from evals.verdicts.comparison_text import changed_prediction_lines, discordant_samples, sentences
from evals.verdicts.formatting import format_rule
from tests.support.synthetic_runs import binary, outcomes_of, suite_run


def summary(*pairs: tuple[str, int, int]) -> str:
    """Return the sentence on two runs, from each suite's number of right answers of 200 in A and in B."""
    a = [suite_run("a", binary(right, 200), suite=suite) for suite, right, _ in pairs]
    b = [suite_run("b", binary(right, 200), suite=suite) for suite, _, right in pairs]
    (line,) = sentences(compare([a, b]))
    return line


def test_a_significant_difference_is_stated_with_its_interval() -> None:
    assert summary(("gpqa:diamond", 100, 130)).startswith(
        "B (model-b) is 15.0 points better on gpqa:diamond (95 % interval 1"
    )
    assert "is 15.0 points worse on gpqa:diamond (95 % interval 1" in summary(("gpqa:diamond", 130, 100))


def test_runs_without_any_score_are_not_ranked() -> None:
    assert sentences(compare([[suite_run(name, outcomes_of([None, None]))] for name in "abc"])) == [
        "toy: nothing to compare."
    ]


def test_no_significant_difference_is_stated_with_its_interval() -> None:
    line = summary(("aime", 100, 101))
    assert line.startswith("No significant difference on aime (95 % interval -")
    assert line.endswith("points).")


def test_suites_are_listed_with_the_largest_difference_first() -> None:
    line = summary(("aime", 100, 101), ("gpqa", 100, 130), ("mmlu", 100, 150))
    assert line.index("mmlu") < line.index("gpqa") < line.index("no significant difference on aime")
    # one interval for the significant differences, and one for aime
    assert line.count("adjusted for 3 suites") == line.count("95 % interval") - 1 == 1


def test_a_suite_under_several_protocols_is_named_with_each_protocol() -> None:
    a, b = (suite_run(name, binary(right, 200), suite="gpqa") for name, right in (("a", 100), ("b", 101)))
    comparison = compare([[a], [b]])
    rows = [
        structs.replace(row, protocol=name) for name in ("strict", "official") for row in comparison.pairs
    ]
    (line,) = sentences(structs.replace(comparison, pairs=tuple(rows)))
    assert "gpqa (strict)" in line
    assert "gpqa (official)" in line


def test_if_lower_is_better_a_lower_value_is_called_better() -> None:
    from evals.types import Metric

    metric = Metric(
        name="mae",
        of=lambda points: points[0].value or 0.0,
        unit="eV",
        better="lower",
        bounds=None,
        headline=True,
    )
    low, high = (
        outcomes_of([0.1 + i % 3 / 100 for i in range(60)]),
        outcomes_of([0.5 + i % 5 / 100 for i in range(60)]),
    )
    a, b = (
        suite_run(name, run_outcomes, metrics=(metric,)) for name, run_outcomes in (("a", high), ("b", low))
    )
    (line,) = sentences(compare([[a], [b]]))
    assert "B (model-b) is 0.4" in line
    assert "eV better on toy" in line


def test_three_runs_are_summarised_by_the_best_and_those_that_differ_from_it() -> None:
    runs = [[suite_run(name, binary(right, 200))] for name, right in (("a", 100), ("b", 160), ("c", 158))]
    (line,) = sentences(compare(runs))
    assert line.startswith(
        "toy: model-b has the best score (80.00 %); not significantly different from it: model-c"
    )
    assert "significantly worse: model-a" in line


def test_changes_of_the_score_are_counted_separately_from_other_changes_of_the_verdict() -> None:
    from tests.support.synthetic_runs import outcomes, point

    a, b = outcomes({f"s{i}": 0.0 for i in range(12)}), outcomes({f"s{i}": 0.0 for i in range(12)})
    b.points[3] = point("s3", 0.0, verdict="unanswered")
    a.points[10] = point("s10", 1.0)
    a.points[9] = point("s9", 1.0)
    comparison = compare([[suite_run("a", a)], [suite_run("b", b)]])
    assert [flip.id for flip in discordant_samples(comparison.flips)] == ["s9", "s10"]  # in numerical order
    (line,) = changed_prediction_lines(comparison.flips)
    assert line == (
        "toy: lower score in B: 2 (2 right -> wrong); higher score: 0; same score, different verdict: 1 "
        "(1 wrong -> unanswered)"
    )


def test_a_scorer_is_described_in_words() -> None:
    assert format_rule("Choice(5)@2") == "choice (5), version 2"
    assert (
        format_rule("Molecule(rung='canonical', several=False)@1") == "molecule (rung canonical), version 1"
    )
    assert format_rule("exact") == "exact"
    assert format_rule("Odd(((@1") == "Odd    @1" or "(" not in format_rule("Odd(((@1")
    judged = "Judged(Choice(opencompass_letter), cascade, opencompass==0.5.4 a/b_gen.py, audit=0.1)@1"
    assert format_rule(judged) == (
        "choice (opencompass letter), then a judge (cascade, opencompass==0.5.4 a/b_gen.py, audit 0.1), version 1"
    )
