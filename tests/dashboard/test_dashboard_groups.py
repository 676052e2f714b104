"""One run in depth: flagged groups, lengths, what is missing, items that nobody gets right."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from msgspec import structs

from tests.support.dashboard_runs import entry, run

pytest.importorskip("duckdb", reason="the extra `dashboard` is not installed")

from evals.dashboard import downloads as files
from evals.dashboard.tables import frames
from evals.dashboard.tables import suite as groups
from evals.records.store import Run
from evals.report.estimates import summarize
from evals.suite import Suite

pytestmark = pytest.mark.slow  # a page takes a second


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "results"
    run(folder, "mmlu-pro", "ANSWER: A", "as")
    run(folder, "mmlu-pro", "sometimes", "some")
    run(folder, "gpqa:diamond", "ANSWER: A", "gated")
    run(folder, "matbench:steels", "It is \\boxed{1500} MPa", "low")
    run(folder, "matbench:steels", "It is \\boxed{1900} MPa", "high")
    return folder


def made(folder: Path, like: frames.Entry, rows: list[dict], *, model: str = "made") -> frames.Entry:
    """A run of yes and no: rows of id, group, verdict, and perhaps answer, words, gold."""
    from evals.run.overview import suite_of

    folder.mkdir(parents=True)
    samples = [
        {"id": r["id"], "target": r.get("gold", "A"), "choices": ["x"] * 4, "group": r["group"]} for r in rows
    ]
    records = [
        {
            "sample": r["id"], "repeat": 0, "prompt": {}, "started": 0.0,
            "outcome": {"type": "reply", "text": "word " * r.get("words", 1), "stop": "stop"},
            "scores": {"choice": {"type": "score", "value": float(r["verdict"] == "right"), "verdict": r["verdict"],
                                  "answer": r.get("answer", "B")}},
        }
        for r in rows if r["verdict"] != "absent"
    ]  # fmt: skip
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in samples))
    (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in records))
    suite: Suite = suite_of(like.card)
    one = Run(folder)
    found = summarize(one.briefs(), one.gold(), suite.metrics, scorers=("choice",), repeats=1)
    card = structs.replace(like.card, model=model, run=model, estimates=found.estimates, expected=len(rows))
    (folder / "card.json").write_bytes(json.dumps({}).encode())
    from evals.records.store import write_card

    write_card(folder, card)
    return frames.Entry(path=folder, card=card)


def test_a_group_that_stands_apart_is_flagged_and_chance_is_not(results: Path, tmp_path: Path) -> None:
    random = Random(1)
    rates = {"easy": 0.9, "usual": 0.5, "other": 0.5, "third": 0.5}
    rows = [
        {"id": f"{name}{i}", "group": name, "verdict": "right" if random.random() < rate else "wrong"}
        for name, rate in rates.items()
        for i in range(120)
    ]
    frame = groups.breakdown(made(tmp_path / "run", entry(results, "as"), rows)).set_index("group")
    assert frame.loc["easy", "flagged"]
    assert frame.loc["easy", "difference"] > 0.25
    assert frame["n"].tolist() == [120] * 4
    assert (frame["low"] < frame["value"]).all()
    quiet = [row | {"verdict": "right" if random.random() < 0.5 else "wrong"} for row in rows]
    assert not groups.breakdown(made(tmp_path / "quiet", entry(results, "as"), quiet))["flagged"].any()


def test_false_discoveries_are_as_rare_as_promised(results: Path) -> None:
    import pandas as pd

    random = Random(2)
    hits = 0
    for _ in range(100):
        values = [float(random.random() < 0.5) for _ in range(80)]
        frame = pd.DataFrame({"value": values, "cluster": [str(i) for i in range(80)]})
        ps = []
        for g in range(4):
            inside = frame.index % 4 == g
            ps.append(groups._fisher_p(frame[inside], frame[~inside]))
        hits += min(groups.difference.benjamini_hochberg(ps)) <= 0.05
    assert hits <= 11  # 5 % of 100, and three standard errors


def test_clustered_values_are_tested_by_welch(results: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"value": [0.9, 0.8, 0.95, 0.85, 0.1, 0.2, 0.15, 0.05], "cluster": list("aabbccdd")})
    assert groups._welch_p(0.75, frame[:4], frame[4:]) < 0.05
    assert groups._welch_p(0.5, frame[:1], frame[1:]) == 1.0


def test_a_headline_that_is_no_mean_is_not_tested(results: Path) -> None:
    frame = groups.breakdown(entry(results, "low"))
    assert len(frame) > 1
    assert frame["p"].isna().all()
    assert not frame["flagged"].any()


def test_coverage_is_per_group(results: Path, tmp_path: Path) -> None:
    rows = [{"id": f"a{i}", "group": "a", "verdict": "right"} for i in range(4)]
    rows += [{"id": f"b{i}", "group": "b", "verdict": "absent" if i < 3 else "wrong"} for i in range(4)]
    frame = groups.breakdown(made(tmp_path / "run", entry(results, "as"), rows)).set_index("group")
    assert frame["coverage"].to_dict() == {"a": 1.0, "b": 0.25}


def test_lengths_are_in_tokens_or_where_these_are_unknown_in_characters(
    results: Path, tmp_path: Path
) -> None:
    found = groups.lengths(entry(results, "some"), [entry(results, "as")])
    assert found is not None
    assert found.unit == "tokens"
    assert found.frame["n"].sum() == entry(results, "some").card.expected
    assert found.frame["low"].is_monotonic_increasing
    assert found.frame["others"].notna().all()
    rows = [
        {"id": str(i), "group": "g", "verdict": "wrong" if i >= 50 else "right", "words": i + 1}
        for i in range(100)
    ]
    found = groups.lengths(made(tmp_path / "run", entry(results, "as"), rows))
    assert found is not None
    assert found.unit == "characters"
    assert found.frame["n"].tolist() == [10] * 10
    assert found.frame["value"].tolist() == [1.0] * 5 + [0.0] * 5
    assert (found.frame["value_low"] <= found.frame["value"]).all()


def test_replies_of_one_length_are_one_bin(results: Path) -> None:
    found = groups.lengths(entry(results, "as"))
    assert found is not None
    assert len(found.frame) == 1


def test_what_is_missing_is_judged_by_the_other_runs(results: Path, tmp_path: Path) -> None:
    like = entry(results, "as")
    rows = [{"id": str(i), "group": "g", "verdict": "absent" if i < 10 else "right"} for i in range(40)]
    rows[39]["verdict"] = "unanswered"
    one = made(tmp_path / "one", like, rows)
    other = made(
        tmp_path / "other",
        like,
        [r | {"verdict": "wrong" if i < 10 else "right"} for i, r in enumerate(rows)],
        model="o",
    )
    frame = groups.missing(one, [other]).set_index("outcome")
    assert frame["n"].to_dict() == {"answered": 29, "unanswered": 1, "absent": 10}
    assert frame.loc["absent", "others"] == 0.0
    assert frame.loc["answered", "others"] == 1.0
    assert frame.loc["absent", "high"] > 0
    assert frame["share"].sum() == pytest.approx(1)


def test_items_that_all_get_wrong_are_listed_by_agreement(results: Path, tmp_path: Path) -> None:
    like = entry(results, "as")
    said = {"m1": "BBA", "m2": "BCA", "m3": "BDA"}
    several = [
        made(
            tmp_path / name, like,
            [{"id": f"s{i}", "group": "g", "verdict": "right" if answer == "A" else "wrong", "answer": answer}
             for i, answer in enumerate(answers)],
            model=name,
        )
        for name, answers in said.items()
    ]  # fmt: skip
    frame = groups.unsolved(several)
    assert frame["sample"].tolist() == ["s0", "s1"]
    assert frame["answer"].tolist()[0] == "B"
    assert frame["agree"].tolist() == pytest.approx([1.0, 1 / 3])
    assert frame["gold"].tolist() == ["A", "A"]
    assert groups.unsolved(several[:1]).empty
    listed = groups.with_provenance(frame, several[0])
    assert listed["suite"].unique().tolist() == ["mmlu-pro"]
    assert b"data_sha256" in files.csv(listed)


def test_of_a_gated_suite_only_letters_are_listed(results: Path, tmp_path: Path) -> None:
    like = entry(results, "gated")
    rows = [
        {"id": "s", "group": "g", "verdict": "wrong", "answer": "a whole sentence", "gold": "another one"}
    ]
    several = [made(tmp_path / name, like, rows, model=name) for name in ("m1", "m2")]
    frame = groups.unsolved(several)
    assert (frame["gold"][0], frame["answer"][0]) == ("", "")
    rows = [{"id": "s", "group": "g", "verdict": "wrong", "answer": "B"}]
    several = [made(tmp_path / f"{name}b", like, rows, model=name) for name in ("m1", "m2")]
    assert groups.unsolved(several)["answer"][0] == "B"


def test_of_errors_those_come_first_that_everybody_makes(results: Path) -> None:
    one, other = entry(results, "low"), entry(results, "high")
    frame = groups.largest_errors([one, other])
    golds = {sample.id: float(sample.target) for sample in Run(one.path).samples()}
    least = {name: min(abs(1500 - gold), abs(1900 - gold)) for name, gold in golds.items()}
    assert frame["error"].tolist() == pytest.approx(sorted(least.values(), reverse=True))
    assert groups.unsolved([one, other]).empty


def test_alike_are_other_models_asked_the_same_and_no_baselines(results: Path) -> None:
    index = frames.index(results)
    one = entry(results, "as")
    other = structs.replace(one, path=one.path / "x", card=structs.replace(one.card, model="other"))
    base = structs.replace(one, path=one.path / "y", card=structs.replace(one.card, model="baseline:mean"))
    assert groups.comparable_runs(one, [*index.entries, other, base]) == [other]
