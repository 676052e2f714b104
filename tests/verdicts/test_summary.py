"""What a comparison says in a sentence."""

from __future__ import annotations

from msgspec import structs

from evals.verdicts.compare import compare
from evals.verdicts.comparison_text import changed_prediction_lines, discordant_samples, sentences
from evals.verdicts.formatting import format_rule
from tests.support.synthetic_runs import binary, side_of, suite_run


def one(suite: str, right: int, n: int = 200):
    return suite_run("a", binary(right, n), suite=suite)


def said(*pairs: tuple[str, int, int]) -> str:
    a = [one(suite, before) for suite, before, _ in pairs]
    b = [suite_run("b", binary(after, 200), suite=suite) for suite, _, after in pairs]
    (line,) = sentences(compare([a, b]))
    return line


def test_a_difference_is_said_with_its_interval() -> None:
    assert said(("gpqa:diamond", 100, 130)).startswith(
        "B (model-b) is 15.0 points better on gpqa:diamond (95 % interval 1"
    )
    assert "is 15.0 points worse on gpqa:diamond (95 % interval 1" in said(("gpqa:diamond", 130, 100))


def test_no_difference_is_said_with_what_the_data_leave_open() -> None:
    line = said(("aime", 100, 101))
    assert line.startswith("No significant difference on aime (95 % interval -")
    assert line.endswith("points).")


def test_of_several_suites_the_largest_difference_comes_first() -> None:
    line = said(("aime", 100, 101), ("gpqa", 100, 130), ("mmlu", 100, 150))
    assert line.index("mmlu") < line.index("gpqa") < line.index("no significant difference on aime")
    assert (
        line.count("adjusted for 3 suites") == line.count("95 % interval") - 1 == 1
    )  # the other: what is left open


def test_a_suite_under_several_protocols_is_named_with_them() -> None:
    a, b = (suite_run(name, binary(right, 200), suite="gpqa") for name, right in (("a", 100), ("b", 101)))
    comparison = compare([[a], [b]])
    rows = [
        structs.replace(row, protocol=name) for name in ("strict", "official") for row in comparison.pairs
    ]
    (line,) = sentences(structs.replace(comparison, pairs=tuple(rows)))
    assert "gpqa (strict)" in line
    assert "gpqa (official)" in line


def test_where_less_is_better_less_is_called_better() -> None:
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
        side_of([0.1 + i % 3 / 100 for i in range(60)]),
        side_of([0.5 + i % 5 / 100 for i in range(60)]),
    )
    a, b = (suite_run(name, some, metrics=(metric,)) for name, some in (("a", high), ("b", low)))
    (line,) = sentences(compare([[a], [b]]))
    assert "B (model-b) is 0.4" in line
    assert "eV better on toy" in line


def test_many_runs_are_ranked_in_words() -> None:
    runs = [[suite_run(name, binary(right, 200))] for name, right in (("a", 100), ("b", 160), ("c", 158))]
    (line,) = sentences(compare(runs))
    assert line.startswith(
        "toy: model-b has the best score (80.00 %); not significantly different from it: model-c"
    )
    assert "significantly worse: model-a" in line


def test_changed_predictions_are_counted_apart_from_other_verdicts() -> None:
    from tests.support.synthetic_runs import point, side

    a, b = side({f"s{i}": 0.0 for i in range(12)}), side({f"s{i}": 0.0 for i in range(12)})
    b.points[3] = point("s3", 0.0, verdict="unanswered")
    a.points[10] = point("s10", 1.0)
    a.points[9] = point("s9", 1.0)
    found = compare([[suite_run("a", a)], [suite_run("b", b)]])
    assert [flip.id for flip in discordant_samples(found.flips)] == ["s9", "s10"]  # as a person counts
    (line,) = changed_prediction_lines(found.flips)
    assert line == (
        "toy: lower score in B: 2 (2 right -> wrong); higher score: 0; same score, other verdict: 1 "
        "(1 wrong -> unanswered)"
    )


def test_a_rule_is_written_in_words() -> None:
    assert format_rule("Choice(5)@2") == "choice (5), version 2"
    assert (
        format_rule("Molecule(rung='canonical', several=False)@1") == "molecule (rung canonical), version 1"
    )
    assert format_rule("exact") == "exact"
    assert format_rule("Odd(((@1") == "Odd    @1" or "(" not in format_rule("Odd(((@1")
    named = "Judged(Choice(opencompass_letter), cascade, opencompass==0.5.4 a/b_gen.py, audit=0.1)@1"
    assert format_rule(named) == (
        "choice (opencompass letter), then a judge (cascade, opencompass==0.5.4 a/b_gen.py, audit 0.1), version 1"
    )
