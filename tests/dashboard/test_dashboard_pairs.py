"""The compare page's tables: comparable runs, differences, quadrants, discordant samples and kinds of wrong outcomes."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from tests.support.command import evals
from tests.support.dashboard_runs import entry, run
from tests.support.synthetic_runs import outcomes_of, suite_run

pytest.importorskip("duckdb", reason="the extra `dashboard` is not installed")

from evals.dashboard.tables import compare as pairs
from evals.dashboard.tables import frames, outcomes
from evals.records import store
from evals.types import Metric
from evals.verdicts.pairs import Outcomes

pytestmark = pytest.mark.slow  # writing the runs takes seconds


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "results"
    run(folder, "mmlu-pro", "ANSWER: A", "as")
    run(folder, "mmlu-pro", "sometimes", "some")
    run(folder, "mmlu-pro", "correct_answer", "all")
    run(folder, "mmlu-pro", "ANSWER: A", "official", "--protocol", "official")
    run(folder, "aime:2025", "sometimes", "some", "--repeats", "3")
    run(folder, "aime:2025", "ANSWER: A", "as")
    run(folder, "gpqa:diamond", "sometimes", "gated")
    run(folder, "gpqa:diamond", "correct_answer", "gated-right")
    run(folder, "smolinstruct:FS", "chemist", "chem")
    run(folder, "matbench:steels", "It is \\boxed{1500} MPa", "low")
    run(folder, "matbench:steels", "It is \\boxed{1900} MPa", "high")
    return folder


def runs_of(results: Path, name: str) -> tuple[frames.Entry, ...]:
    return pairs.candidates(frames.index(results))[name]


def test_models_and_single_runs_are_candidates_and_runs_without_scores_are_not(
    results: Path, tmp_path: Path
) -> None:
    candidates = pairs.candidates(frames.index(results))
    assert next(iter(candidates)) == "scripted"
    assert {run_entry.card.config.suite for run_entry in candidates["some"]} == {"mmlu-pro", "aime:2025"}
    index = frames.index(results)
    unscored = structs.replace(
        index.entries[0], card=structs.replace(index.entries[0].card, run="new", estimates=())
    )
    assert "new" not in pairs.candidates(index._replace(entries=(*index.entries, unscored)))


def test_a_model_named_like_its_run_is_a_candidate_with_a_single_run(results: Path) -> None:
    run_entry = entry(results, "as", "mmlu-pro")
    renamed = structs.replace(run_entry, card=structs.replace(run_entry.card, model=run_entry.card.run))
    assert pairs.candidates(frames.Index((renamed,), ())) == {run_entry.card.run: (renamed,)}


def test_runs_are_matched_on_the_suites_that_both_have(results: Path) -> None:
    matches = pairs.matches([runs_of(results, "as"), runs_of(results, "some")])
    assert [match.label for match in matches] == [
        "aime:2025 · strict · sample items",
        "mmlu-pro · strict · sample items",
    ]
    assert all(not match.why_not for match in matches)
    assert pairs.matches([runs_of(results, "chem"), runs_of(results, "low")]) == []


def test_matches_of_several_runs_on_a_suite_have_different_labels(results: Path) -> None:
    a, b = entry(results, "as", "mmlu-pro"), entry(results, "some", "mmlu-pro")
    config = structs.replace(a.card.config, data_sha256="0" * 64)
    sides = [
        (run, structs.replace(run, card=structs.replace(run.card, run=f"{run.card.run}-2", config=config)))
        for run in (a, b)
    ]
    matches = pairs.matches(sides)
    assert sorted(match.label for match in matches) == [
        f"mmlu-pro · strict · sample items · {run.card.run}" for run in sides[0]
    ]


def test_runs_under_different_protocols_are_not_compared(results: Path) -> None:
    (match,) = pairs.matches([(entry(results, "as", "mmlu-pro"),), runs_of(results, "official")])
    assert "protocol differs: strict (A) and official (B)" in match.why_not[0]
    assert pairs.compare_headlines([match]) == []


def test_runs_of_different_versions_are_not_compared_and_those_of_one_version_are_paired(
    results: Path,
) -> None:
    def at_version(run: frames.Entry, version: str) -> frames.Entry:
        config = structs.replace(run.card.config, version=version)
        return structs.replace(
            run, card=structs.replace(run.card, run=f"{run.card.run}-{version}", config=config)
        )

    a, b = entry(results, "as", "mmlu-pro"), entry(results, "some", "mmlu-pro")
    (match,) = pairs.matches([(a,), (at_version(b, "0"),)])
    assert "version of the suite differs" in match.why_not[0]
    (match,) = pairs.matches([(a,), (at_version(b, "0"), b)])
    assert (match.why_not, match.entries) == ((), (a, b))


def test_differences_equal_those_of_evals_compare(results: Path) -> None:
    report = evals("compare", "as", "some", "--results", results, "--json").json
    rows = pairs.compare_headlines(pairs.matches([runs_of(results, "as"), runs_of(results, "some")]))
    expected = {row["suite"]: row for row in report["pairs"] if row["headline"]}
    assert len(rows) == len(expected) == 2
    for row in rows:
        for name in ("difference", "low", "high", "p", "p_adjusted", "low_adjusted", "n", "wins", "losses"):
            assert getattr(row, name) == expected[row.suite][name]


def test_three_runs_are_compared_pair_by_pair_with_one_holm_adjustment(results: Path) -> None:
    matches = pairs.matches([runs_of(results, name) for name in ("as", "some", "all")])
    rows = pairs.compare_headlines(matches)
    assert len(rows) == 3
    assert all(row.p_adjusted >= row.p for row in rows)
    assert pairs.better_side(rows[1]) == "B better"


def test_quadrants_count_every_sample_once_and_agree_with_the_test(results: Path) -> None:
    a, b = entry(results, "as", "mmlu-pro"), entry(results, "all")
    paired = pairs.pair_samples(a, b)
    counts = pairs.count_quadrants(paired)
    (row,) = pairs.compare_headlines(pairs.matches([(a,), (b,)]))
    assert paired.is_binary
    assert list(counts) == ["both right", "only A", "only B", "neither"]
    assert sum(counts.values()) == a.card.expected
    assert (counts["only B"], counts["only A"]) == (row.wins, row.losses)
    assert paired.frame["contribution"].sum() == pytest.approx(row.difference)


def test_error_metrics_have_counts_of_better_equal_and_worse_instead_of_quadrants(results: Path) -> None:
    paired = pairs.pair_samples(entry(results, "low"), entry(results, "high"))
    counts = pairs.count_quadrants(paired)
    assert not paired.is_binary
    assert list(counts) == ["A better", "B better", "equal"]
    golds = {sample.id: float(sample.target) for sample in store.Run(entry(results, "low").path).samples()}
    assert counts["B better"] == sum(abs(1900 - gold) < abs(1500 - gold) for gold in golds.values())
    discordant = pairs.discordant(paired)
    assert discordant["contribution"].abs().is_monotonic_decreasing


def test_a_sample_counts_as_right_if_most_repeats_are(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0], None]
    other_values = [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    paired = pair_in_memory(monkeypatch, outcomes_of(values, repeats=3), outcomes_of(other_values, repeats=3))
    assert paired.frame["quadrant"].tolist() == ["only A", "only B", "both right", "not in both"]
    assert paired.frame["a"].tolist() == ["2 right, 1 wrong", "2 wrong, 1 right", "right", "missing"]
    assert pairs.count_quadrants(paired)["not in both"] == 1


def pair_in_memory(
    monkeypatch: pytest.MonkeyPatch, a: Outcomes, b: Outcomes, **changes
) -> pairs.PairedSamples:
    """Pair the samples of two runs in memory."""
    runs = {"a": suite_run("a", a, **changes), "b": suite_run("b", b, **changes)}
    monkeypatch.setattr(pairs, "_suite_run", lambda key: runs[key[0]])
    return pairs._pair_samples.__wrapped__(("a", ()), ("b", ()), ())


def test_samples_of_small_groups_have_larger_weights_in_a_macro_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = ["big", "big", "big", "small"]
    macro = (Metric(name="macro", of=mean, pool="macro", headline=True),)
    before, after = (outcomes_of(v, groups=groups) for v in ([1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0]))
    paired = pair_in_memory(monkeypatch, before, after, metrics=macro)
    assert paired.frame["contribution"].tolist() == pytest.approx([-1 / 6, 0, 0, 1 / 2])
    assert pairs.discordant(paired)["sample"].tolist() == ["s00003", "s00000"]


def mean(points):
    return sum(p.value for p in points) / len(points)


def test_losses_on_samples_that_other_runs_get_right_come_first(results: Path) -> None:
    a, b = entry(results, "all"), entry(results, "some", "mmlu-pro")
    discordant = pairs.discordant(pairs.pair_samples(a, b, [a, b, entry(results, "as", "mmlu-pro")]))
    losses = discordant[discordant["quadrant"] == "only A"]
    assert len(losses) > 1
    assert set(discordant["other_runs"]) == {1}
    assert losses["others"].is_monotonic_decreasing


def test_no_answers_of_a_gated_suite_are_read(results: Path) -> None:
    frame = pairs.pair_samples(entry(results, "gated"), entry(results, "gated-right")).frame
    assert frame["answer_a"].isna().all()
    assert frame["answer_b"].isna().all()
    assert set(frame["a"]) <= {"right", "wrong", "unanswered"}


def test_kinds_of_outcomes_add_up_to_the_expected_samples(results: Path) -> None:
    counts = outcomes.count_outcomes(entry(results, "chem"))
    assert set(counts) <= {
        "right",
        "wrong: another molecule",
        "wrong: stereochemistry",
        "invalid",
        "unanswered",
    }
    assert sum(counts.values()) == entry(results, "chem").card.expected
    assert outcomes.count_outcomes(entry(results, "as", "mmlu-pro")) == dict(
        entry(results, "as", "mmlu-pro").card.counts
    )


@pytest.mark.parametrize(
    ("answer", "target", "reason", "kind"),
    [
        ("-2.0", "2.0", "", "wrong: sign"), ("2000", "2.0", "", "wrong: power of ten"), ("0.02", "2", "", "wrong: power of ten"),
        ("3", "2", "", "wrong"), ("3", "2", "stated in kg, the target is in eV", "wrong: unit"), ("0", "2", "", "wrong"),
        ("B", '"A"', "", "wrong"), ("43", '"42"', "", "wrong"), ("2", "0", "", "wrong"),
    ],
)  # fmt: skip
def test_wrong_numbers_are_classified_by_their_error(
    results: Path, tmp_path: Path, answer: str, target: str, reason: str, kind: str
) -> None:
    (tmp_path / "samples.jsonl").write_text(f'{{"id": "x", "target": {target}}}\n')
    score = f'{{"n": {{"type": "score", "value": 0, "verdict": "wrong", "answer": "{answer}", "why": "{reason}"}}}}'
    outcome = '{"type": "reply", "text": "", "stop": "stop"}'
    (tmp_path / "records.jsonl").write_text(
        f'{{"sample": "x", "repeat": 0, "prompt": {{}}, "outcome": {outcome}, "scores": {score}}}\n'
    )
    card = structs.replace(entry(results, "low").card, expected=2, files={})
    store.write_card(tmp_path, card)
    assert outcomes.count_outcomes(frames.Entry(path=tmp_path, card=card)) == {kind: 1, "absent": 1}


def test_the_default_pair_has_the_most_suites_in_common(results: Path) -> None:
    index = frames.index(results)
    assert pairs.default_pair(pairs.candidates(index))[:1] == ["scripted"]
    assert pairs.default_pair({}) == []
    assert pairs.default_pair({"one": index.entries[:1]}) == ["one"]
