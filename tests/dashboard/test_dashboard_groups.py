"""The suite page's tables: groups that differ, lengths of replies, missing outcomes, and items that no model gets right."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from msgspec import structs

from tests.support.dashboard_runs import entry, run

pytest.importorskip("duckdb", reason="the extra `dashboard` is not installed")

from evals.dashboard import downloads
from evals.dashboard.tables import frames
from evals.dashboard.tables import suite as suite_tables
from evals.records.store import Run, write_card
from evals.report.estimates import summarize
from evals.run.overview import suite_of
from evals.suite import Suite

pytestmark = pytest.mark.slow  # writing the runs takes seconds


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "results"
    run(folder, "mmlu-pro", "ANSWER: A", "as")
    run(folder, "mmlu-pro", "sometimes", "some")
    run(folder, "gpqa:diamond", "ANSWER: A", "gated")
    run(folder, "matbench:steels", "It is \\boxed{1500} MPa", "low")
    run(folder, "matbench:steels", "It is \\boxed{1900} MPa", "high")
    return folder


def write_run(
    folder: Path, like: frames.Entry, rows: list[dict], *, model: str = "synthetic"
) -> frames.Entry:
    """Write a multiple-choice run with a row per sample: id, group and verdict; optionally repeat, answer, gold, words."""
    folder.mkdir(parents=True)
    samples = [
        {"id": row["id"], "target": row.get("gold", "A"), "choices": ["x"] * 4, "group": row["group"]}
        for row in rows if not row.get("repeat")
    ]  # fmt: skip
    records = [
        {
            "sample": row["id"], "repeat": row.get("repeat", 0), "prompt": {}, "started": 0.0,
            "outcome": {"type": "reply", "text": "word " * row.get("words", 1), "stop": "stop"},
            "scores": {"choice": {"type": "score", "value": float(row["verdict"] == "right"), "verdict": row["verdict"],
                                  "answer": row.get("answer", "B")}},
        }
        for row in rows if row["verdict"] != "absent"
    ]  # fmt: skip
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in samples))
    (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in records))
    suite: Suite = suite_of(like.card)
    written_run = Run(folder)
    summary = summarize(
        written_run.compact_records(), written_run.gold(), suite.metrics, scorers=("choice",), repeats=1
    )
    card = structs.replace(like.card, model=model, run=model, estimates=summary.estimates, expected=len(rows))
    (folder / "card.json").write_bytes(json.dumps({}).encode())
    write_card(folder, card)
    return frames.Entry(path=folder, card=card)


def test_a_group_that_differs_is_flagged_and_random_variation_is_not(results: Path, tmp_path: Path) -> None:
    random = Random(1)
    rates = {"easy": 0.9, "usual": 0.5, "other": 0.5, "third": 0.5}
    rows = [
        {"id": f"{name}{i}", "group": name, "verdict": "right" if random.random() < rate else "wrong"}
        for name, rate in rates.items()
        for i in range(120)
    ]
    frame = suite_tables.breakdown(write_run(tmp_path / "run", entry(results, "as"), rows)).set_index("group")
    assert frame.loc["easy", "flagged"]
    assert frame.loc["easy", "difference"] > 0.25
    assert frame["n"].tolist() == [120] * 4
    assert (frame["low"] < frame["value"]).all()
    rows_without_difference = [
        row | {"verdict": "right" if random.random() < 0.5 else "wrong"} for row in rows
    ]
    assert not suite_tables.breakdown(
        write_run(tmp_path / "quiet", entry(results, "as"), rows_without_difference)
    )["flagged"].any()


def test_the_false_discovery_rate_is_controlled(results: Path) -> None:
    import pandas as pd

    random = Random(2)
    false_discoveries = 0
    for _ in range(100):
        values = [float(random.random() < 0.5) for _ in range(80)]
        frame = pd.DataFrame({"value": values, "cluster": [str(i) for i in range(80)]})
        p_values = []
        for group in range(4):
            inside = frame.index % 4 == group
            p_values.append(suite_tables._fisher_p(frame[inside], frame[~inside]))
        false_discoveries += min(suite_tables.difference.benjamini_hochberg(p_values)) <= 0.05
    assert false_discoveries <= 11  # 5 % of 100, plus three standard errors


def test_clustered_values_are_compared_by_welchs_t_test(results: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"value": [0.9, 0.8, 0.95, 0.85, 0.1, 0.2, 0.15, 0.05], "cluster": list("aabbccdd")})
    assert suite_tables._welch_p(0.75, frame[:4], frame[4:]) < 0.05
    assert suite_tables._welch_p(0.5, frame[:1], frame[1:]) == 1.0
    constant = pd.DataFrame({"value": [0.5, 0.5], "cluster": ["a", "b"]})
    assert suite_tables._welch_p(0.5, constant, frame) == 1.0  # two equal values do not prove zero variance


def test_small_groups_with_repeats_are_rarely_flagged_by_chance() -> None:
    import pandas as pd

    random = Random(3)
    runs_with_false_discoveries = 0
    for _ in range(60):
        values = [
            sum(random.random() < rate for _ in range(4)) / 4
            for rate in random.choices((0.3, 0.8, 1.0), k=30)
        ]
        frame = pd.DataFrame({"value": values, "cluster": [str(i) for i in range(30)]})
        p_values = [
            suite_tables._bounded_p(
                frame[frame.index % 10 == group], frame[frame.index % 10 != group], (0.0, 1.0)
            )
            for group in range(10)
        ]
        runs_with_false_discoveries += min(suite_tables.difference.benjamini_hochberg(p_values)) <= 0.05
    assert runs_with_false_discoveries <= 8  # 5 % of 60, plus three standard errors
    easy, hard = ({"value": [value] * 40, "cluster": [str(i) for i in range(40)]} for value in (0.75, 0.25))
    assert suite_tables._bounded_p(pd.DataFrame(easy), pd.DataFrame(hard), (0.0, 1.0)) < 0.001


def test_equal_repeats_of_a_few_samples_have_an_interval_within_the_bounds() -> None:
    interval = suite_tables._mean_with_interval([1.0] * 20, [str(i // 4) for i in range(20)], (0.0, 1.0))
    assert interval.low < 0.8
    assert interval.high == 1.0


def test_groups_are_not_tested_if_the_headline_is_not_a_mean(results: Path) -> None:
    frame = suite_tables.breakdown(entry(results, "low"))
    assert len(frame) > 1
    assert frame["p"].isna().all()
    assert not frame["flagged"].any()


def test_coverage_is_computed_for_each_group(results: Path, tmp_path: Path) -> None:
    rows = [{"id": f"a{i}", "group": "a", "verdict": "right"} for i in range(4)]
    rows += [{"id": f"b{i}", "group": "b", "verdict": "absent" if i < 3 else "wrong"} for i in range(4)]
    frame = suite_tables.breakdown(write_run(tmp_path / "run", entry(results, "as"), rows)).set_index("group")
    assert frame["coverage"].to_dict() == {"a": 1.0, "b": 0.25}


def test_lengths_are_in_tokens_or_in_characters_if_tokens_are_unknown(results: Path, tmp_path: Path) -> None:
    bins = suite_tables.lengths(entry(results, "some"), [entry(results, "as")])
    assert bins is not None
    assert bins.unit == "tokens"
    assert bins.frame["n"].sum() == entry(results, "some").card.expected
    assert bins.frame["low"].is_monotonic_increasing
    assert bins.frame["others"].notna().all()
    rows = [
        {"id": str(i), "group": "g", "verdict": "wrong" if i >= 50 else "right", "words": i + 1}
        for i in range(100)
    ]
    bins = suite_tables.lengths(write_run(tmp_path / "run", entry(results, "as"), rows))
    assert bins is not None
    assert bins.unit == "characters"
    assert bins.frame["n"].tolist() == [10] * 10
    assert bins.frame["value"].tolist() == [1.0] * 5 + [0.0] * 5
    assert (bins.frame["value_low"] <= bins.frame["value"]).all()


def test_each_repeat_of_a_sample_has_its_own_length_in_characters(results: Path, tmp_path: Path) -> None:
    rows = [{"id": "a", "group": "g", "verdict": "right", "repeat": i, "words": 9 * i + 1} for i in range(2)]
    bins = suite_tables.lengths(write_run(tmp_path / "run", entry(results, "as"), rows))
    assert bins is not None
    assert bins.frame["low"].tolist() == [len("word "), 10 * len("word ")]


def test_replies_of_one_length_are_one_bin(results: Path) -> None:
    bins = suite_tables.lengths(entry(results, "as"))
    assert bins is not None
    assert len(bins.frame) == 1


def test_missing_outcomes_are_compared_with_the_scores_of_other_runs(results: Path, tmp_path: Path) -> None:
    template = entry(results, "as")
    rows = [{"id": str(i), "group": "g", "verdict": "absent" if i < 10 else "right"} for i in range(40)]
    rows[39]["verdict"] = "unanswered"
    incomplete_run = write_run(tmp_path / "one", template, rows)
    other_run = write_run(
        tmp_path / "other",
        template,
        [row | {"verdict": "wrong" if i < 10 else "right"} for i, row in enumerate(rows)],
        model="o",
    )
    frame = suite_tables.missing(incomplete_run, [other_run]).set_index("outcome")
    assert frame["n"].to_dict() == {"answered": 29, "unanswered": 1, "absent": 10}
    assert frame.loc["absent", "others"] == 0.0
    assert frame.loc["answered", "others"] == 1.0
    assert frame.loc["absent", "high"] > 0
    assert frame["share"].sum() == pytest.approx(1)


def test_repeats_without_a_record_are_absent(results: Path, tmp_path: Path) -> None:
    template = entry(results, "as")
    config = structs.replace(template.card.config, repeats=3)
    repeated = structs.replace(template, card=structs.replace(template.card, config=config))
    rows = [{"id": "a", "group": "g", "verdict": "right", "repeat": i} for i in range(2)]
    frame = suite_tables.missing(write_run(tmp_path / "run", repeated, rows), []).set_index("outcome")
    assert frame["n"].to_dict() == {"answered": 2, "absent": 1}


def test_intervals_of_errors_on_missing_samples_are_not_bounded_by_one(results: Path) -> None:
    low, high = entry(results, "low"), entry(results, "high")
    (errors,) = suite_tables.missing(low, [high]).to_dict("records")
    assert 1 < errors["low"] < errors["others"] < errors["high"]


def test_items_that_all_models_get_wrong_are_sorted_by_agreement(results: Path, tmp_path: Path) -> None:
    template = entry(results, "as")
    answers_by_model = {"m1": "BBA", "m2": "BCA", "m3": "BDA"}
    entries = [
        write_run(
            tmp_path / name, template,
            [{"id": f"s{i}", "group": "g", "verdict": "right" if answer == "A" else "wrong", "answer": answer}
             for i, answer in enumerate(answers)],
            model=name,
        )
        for name, answers in answers_by_model.items()
    ]  # fmt: skip
    frame = suite_tables.unsolved(entries)
    assert frame["sample"].tolist() == ["s0", "s1"]
    assert frame["answer"].tolist()[0] == "B"
    assert frame["agree"].tolist() == pytest.approx([1.0, 1 / 3])
    assert frame["gold"].tolist() == ["A", "A"]
    assert suite_tables.unsolved(entries[:1]).empty
    with_provenance = suite_tables.with_provenance(frame, entries[0])
    assert with_provenance["suite"].unique().tolist() == ["mmlu-pro"]
    assert b"data_sha256" in downloads.csv(with_provenance)


def test_only_letters_of_answers_to_a_gated_suite_are_listed(results: Path, tmp_path: Path) -> None:
    template = entry(results, "gated")
    rows = [
        {"id": "s", "group": "g", "verdict": "wrong", "answer": "a whole sentence", "gold": "another one"}
    ]
    entries = [write_run(tmp_path / name, template, rows, model=name) for name in ("m1", "m2")]
    frame = suite_tables.unsolved(entries)
    assert (frame["gold"][0], frame["answer"][0]) == ("", "")
    rows = [{"id": "s", "group": "g", "verdict": "wrong", "answer": "B"}]
    entries = [write_run(tmp_path / f"{name}b", template, rows, model=name) for name in ("m1", "m2")]
    assert suite_tables.unsolved(entries)["answer"][0] == "B"


def test_items_are_sorted_by_the_error_of_the_best_model(results: Path) -> None:
    low, high = entry(results, "low"), entry(results, "high")
    frame = suite_tables.largest_errors([low, high])
    golds = {sample.id: float(sample.target) for sample in Run(low.path).samples()}
    smallest_errors = {name: min(abs(1500 - gold), abs(1900 - gold)) for name, gold in golds.items()}
    assert frame["error"].tolist() == pytest.approx(sorted(smallest_errors.values(), reverse=True))
    assert suite_tables.unsolved([low, high]).empty


def test_comparable_runs_are_of_other_models_under_the_same_conditions_without_baselines(
    results: Path,
) -> None:
    index = frames.index(results)
    run = entry(results, "as")
    other_model = structs.replace(run, path=run.path / "x", card=structs.replace(run.card, model="other"))
    baseline = structs.replace(
        run, path=run.path / "y", card=structs.replace(run.card, model="baseline:mean")
    )
    assert suite_tables.comparable_runs(run, [*index.entries, other_model, baseline]) == [other_model]
