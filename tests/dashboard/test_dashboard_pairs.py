"""Models side by side: what may be compared, quadrants, flips by how much they matter, the error ladder."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from tests.support.command import evals
from tests.support.dashboard_runs import entry, run
from tests.support.synthetic_runs import side_of, suite_run

pytest.importorskip("duckdb", reason="the extra `dashboard` is not installed")

from evals.dashboard.tables import compare as pairs
from evals.dashboard.tables import frames, outcomes
from evals.records import store
from evals.types import Metric
from evals.verdicts.pairs import Side

pytestmark = pytest.mark.slow  # a page takes a second


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "results"
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


def of(results: Path, name: str) -> tuple[frames.Entry, ...]:
    return pairs.candidates(frames.index(results))[name]


def test_models_and_runs_can_be_compared_and_runs_without_numbers_cannot(
    results: Path, tmp_path: Path
) -> None:
    found = pairs.candidates(frames.index(results))
    assert next(iter(found)) == "scripted"
    assert {one.card.config.suite for one in found["some"]} == {"mmlu-pro", "aime:2025"}
    bare = frames.index(results)
    unscored = structs.replace(
        bare.entries[0], card=structs.replace(bare.entries[0].card, run="new", estimates=())
    )
    assert "new" not in pairs.candidates(bare._replace(entries=(*bare.entries, unscored)))


def test_runs_meet_in_the_suites_that_both_were_asked(results: Path) -> None:
    found = pairs.matches([of(results, "as"), of(results, "some")])
    assert [match.label for match in found] == [
        "aime:2025 · strict · sample items",
        "mmlu-pro · strict · sample items",
    ]
    assert all(not match.why_not for match in found)
    assert pairs.matches([of(results, "chem"), of(results, "low")]) == []


def test_another_protocol_is_not_compared_and_says_why(results: Path) -> None:
    (match,) = pairs.matches([(entry(results, "as", "mmlu-pro"),), of(results, "official")])
    assert "protocol differs: strict (A) and official (B)" in match.why_not[0]
    assert pairs.compare_headlines([match]) == []


def test_the_numbers_are_those_of_evals_compare(results: Path) -> None:
    found = evals("compare", "as", "some", "--results", results, "--json").json
    ours = pairs.compare_headlines(pairs.matches([of(results, "as"), of(results, "some")]))
    theirs = {row["suite"]: row for row in found["pairs"] if row["headline"]}
    assert len(ours) == len(theirs) == 2
    for row in ours:
        for name in ("difference", "low", "high", "p", "p_adjusted", "low_adjusted", "n", "wins", "losses"):
            assert getattr(row, name) == theirs[row.suite][name]


def test_three_runs_are_compared_pair_by_pair_under_one_holm(results: Path) -> None:
    several = pairs.matches([of(results, name) for name in ("as", "some", "all")])
    rows = pairs.compare_headlines(several)
    assert len(rows) == 3
    assert all(row.p_adjusted >= row.p for row in rows)
    assert pairs.better_side(rows[1]) == "B better"


def test_quadrants_count_every_sample_once_and_agree_with_the_test(results: Path) -> None:
    a, b = entry(results, "as", "mmlu-pro"), entry(results, "all")
    found = pairs.pair_samples(a, b)
    counts = pairs.quadrants(found)
    (row,) = pairs.compare_headlines(pairs.matches([(a,), (b,)]))
    assert found.is_binary
    assert list(counts) == ["both right", "only A", "only B", "neither"]
    assert sum(counts.values()) == a.card.expected
    assert (counts["only B"], counts["only A"]) == (row.wins, row.losses)
    assert found.frame["contribution"].sum() == pytest.approx(row.difference)


def test_errors_have_no_quadrants_but_better_and_worse(results: Path) -> None:
    found = pairs.pair_samples(entry(results, "low"), entry(results, "high"))
    counts = pairs.quadrants(found)
    assert not found.is_binary
    assert list(counts) == ["A better", "B better", "equal"]
    golds = {sample.id: float(sample.target) for sample in store.Run(entry(results, "low").path).samples()}
    assert counts["B better"] == sum(abs(1900 - gold) < abs(1500 - gold) for gold in golds.values())
    flips = pairs.discordant(found)
    assert flips["contribution"].abs().is_monotonic_decreasing


def test_several_repeats_count_as_right_where_most_are(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0], None]
    others = [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    found = made(monkeypatch, side_of(values, repeats=3), side_of(others, repeats=3))
    assert found.frame["quadrant"].tolist() == ["only A", "only B", "both right", "not in both"]
    assert found.frame["a"].tolist() == ["2 right, 1 wrong", "2 wrong, 1 right", "right", "missing"]
    assert pairs.quadrants(found)["not in both"] == 1


def made(monkeypatch: pytest.MonkeyPatch, a: Side, b: Side, **changes) -> pairs.PairedSamples:
    """Pair two runs that exist in memory alone."""
    runs = {"a": suite_run("a", a, **changes), "b": suite_run("b", b, **changes)}
    monkeypatch.setattr(pairs, "_suite_run", lambda key: runs[key[0]])
    return pairs._pair_samples.__wrapped__(("a", ()), ("b", ()), ())


def test_in_a_macro_mean_a_sample_of_a_small_group_matters_more(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = ["big", "big", "big", "small"]
    macro = (Metric(name="macro", of=mean, pool="macro", headline=True),)
    before, after = (side_of(v, groups=groups) for v in ([1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0]))
    found = made(monkeypatch, before, after, metrics=macro)
    assert found.frame["contribution"].tolist() == pytest.approx([-1 / 6, 0, 0, 1 / 2])
    assert pairs.discordant(found)["sample"].tolist() == ["s00003", "s00000"]


def mean(points):
    return sum(p.value for p in points) / len(points)


def test_of_losses_those_come_first_that_no_other_run_makes(results: Path) -> None:
    a, b = entry(results, "all"), entry(results, "some", "mmlu-pro")
    found = pairs.discordant(pairs.pair_samples(a, b, [a, b, entry(results, "as", "mmlu-pro")]))
    lost = found[found["quadrant"] == "only A"]
    assert len(lost) > 1
    assert set(found["other_runs"]) == {1}
    assert lost["others"].is_monotonic_decreasing


def test_no_answers_of_a_gated_suite_are_read(results: Path) -> None:
    found = pairs.pair_samples(entry(results, "gated"), entry(results, "gated-right")).frame
    assert found["answer_a"].isna().all()
    assert found["answer_b"].isna().all()
    assert set(found["a"]) <= {"right", "wrong", "unanswered"}


def test_the_ladder_counts_every_expected_sample(results: Path) -> None:
    chem = outcomes.count_outcomes(entry(results, "chem"))
    assert set(chem) <= {"right", "wrong: another molecule", "wrong: stereo", "invalid", "unanswered"}
    assert sum(chem.values()) == entry(results, "chem").card.expected
    assert outcomes.count_outcomes(entry(results, "as", "mmlu-pro")) == dict(
        entry(results, "as", "mmlu-pro").card.counts
    )


@pytest.mark.parametrize(
    ("answer", "target", "why", "step"),
    [
        ("-2.0", "2.0", "", "wrong: sign"), ("2000", "2.0", "", "wrong: power of ten"), ("0.02", "2", "", "wrong: power of ten"),
        ("3", "2", "", "wrong"), ("3", "2", "stated in kg, the target is in eV", "wrong: unit"), ("0", "2", "", "wrong"),
        ("B", '"A"', "", "wrong"), ("43", '"42"', "", "wrong"), ("2", "0", "", "wrong"),
    ],
)  # fmt: skip
def test_a_wrong_number_is_told_by_its_fault(
    results: Path, tmp_path: Path, answer: str, target: str, why: str, step: str
) -> None:
    (tmp_path / "samples.jsonl").write_text(f'{{"id": "x", "target": {target}}}\n')
    score = (
        f'{{"n": {{"type": "score", "value": 0, "verdict": "wrong", "answer": "{answer}", "why": "{why}"}}}}'
    )
    outcome = '{"type": "reply", "text": "", "stop": "stop"}'
    (tmp_path / "records.jsonl").write_text(
        f'{{"sample": "x", "repeat": 0, "prompt": {{}}, "outcome": {outcome}, "scores": {score}}}\n'
    )
    card = structs.replace(entry(results, "low").card, expected=2, files={})
    store.write_card(tmp_path, card)
    assert outcomes.count_outcomes(frames.Entry(path=tmp_path, card=card)) == {step: 1, "absent": 1}


def test_it_begins_with_two_models_that_share_most(results: Path) -> None:
    index = frames.index(results)
    assert pairs.default_pair(pairs.candidates(index))[:1] == ["scripted"]
    assert pairs.default_pair({}) == []
    assert pairs.default_pair({"one": index.entries[:1]}) == ["one"]
