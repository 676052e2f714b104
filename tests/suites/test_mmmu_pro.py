"""MMMU-Pro: recorded verdicts are reproduced except for upstream's random choices; images are sent where questions refer to them."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from evals.data import Data
from evals.scorers.upstream.inferred import Inferred
from evals.scorers.upstream.mmmu import Official, read_option_pro
from evals.suites import mmmu
from evals.types import Prompt, Reply, Sample
from evals.verdicts.reported import claims_by_id
from evals.verdicts.reproduction import check_claims, measured_scores
from tests.support.command import evals
from tests.support.recording_server import content, serve
from tools.mirror import lines

RECORDED = {
    "pro-standard": ("gpt-4o_standard_10_options__direct", 7, 0),
    "pro-vision": ("gpt-4o_vision_direct", 48, 9),
}
"""Variant -> file, number of replies for which upstream chose an option at random, and how many of these choices were right."""


def recorded_rows(shared: Path, variant: str) -> list[dict[str, Any]]:
    return list(lines(shared / "data" / "mmmu_pro" / f"{RECORDED[variant][0]}.jsonl.gz"))


@pytest.mark.parametrize("variant", RECORDED)
def test_recorded_verdicts_are_reproduced_except_for_random_choices(
    shared: Path, mirror: Path, variant: str
) -> None:
    samples = {s.id: s for s in mmmu._samples(Data(suite="mmmu", local=mirror), variant)}
    rule, random_choices, lucky_choices, right = Official(pro=True), 0, 0, 0
    for row in recorded_rows(shared, variant):
        score = rule(samples[row["id"]], Prompt(), Reply(text=row["response"]))
        if score.verdict == "unanswered":
            random_choices += 1
            lucky_choices += row["if_right"]
            continue
        assert (score.answer, score.value == 1.0) == (row["pred_indexs"], row["if_right"]), row["id"]
        right += row["if_right"]
    assert (random_choices, lucky_choices) == RECORDED[variant][1:]
    assert right + lucky_choices == sum(row["if_right"] for row in recorded_rows(shared, variant))


def test_recordings_of_both_settings_are_imported_and_combined(
    shared: Path, mirror: Path, tmp_path: Path
) -> None:
    values = {}
    for variant in RECORDED:
        replies = tmp_path / f"{variant}.jsonl"
        rows = recorded_rows(shared, variant)
        replies.write_text("\n".join(json.dumps({"id": r["id"], "text": r["response"]}) for r in rows))
        outcome = evals("import", "replies", replies, "--suite", f"mmmu:{variant}", "--model", "gpt-4o", "--protocol", "official",
                        "--data", mirror, "--results", tmp_path / "results", "--json")  # fmt: skip
        assert outcome.status == 0, outcome.err
        (run,) = outcome.json["runs"]
        values[variant] = {e["metric"]: e["value"] for e in run["estimates"] if not e["group"]}
    assert values["pro-standard"]["accuracy"] == pytest.approx(694 / 1730)
    assert values["pro-vision"]["accuracy"] == pytest.approx(725 / 1730)
    assert values["pro-standard"]["accuracy_guess"] - 694 / 1730 == pytest.approx(0.00055, abs=2e-4)
    (mean,) = evals("show", "--results", tmp_path / "results", "--json").json["aggregates"]
    assert mean["value"] == pytest.approx((694 + 725) / 3460)
    assert mean["low"] < mean["value"] < mean["high"]
    assert "mmmu:pro (official) gpt-4o: 41.0" in evals("show", "--results", tmp_path / "results").out
    (score,) = measured_scores([], [mean])
    findings = check_claims(score, claims_by_id(), "Intern-S1-Pro")
    assert [(finding.claimed, finding.measured) for finding in findings] == [
        (0.728, mean["value"]), (0.7277, mean["value"]),
    ]  # fmt: skip


def test_an_import_must_name_one_of_the_two_settings(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}")
    outcome = evals(
        "import", "replies", tmp_path / "x", "--suite", "mmmu:pro", "--model", "m", "--data", tmp_path
    )
    outcome.assert_usage_error()


@pytest.mark.parametrize(
    ("text", "letter"),
    [("Answer: B", "B"), ("Answer: A\n\nNo. Answer: (C)", "C"), ("Answer: Because", "B"), ("Answer: A or B", "B"),
     ("I say (C), not (A)", "A"), ("NASA launched it", "A"), ("It is C.", "C"), ("red", None), ("", None),
     ("well, the one that i like best is blue", "C"), ("D", None)],
)  # fmt: skip
def test_options_are_read_as_upstream_reads_them(text: str, letter: str | None) -> None:
    assert read_option_pro(text, ("red", "green", "blue")) == letter


def test_a_nested_list_of_options_is_one_option_under_official_and_three_under_strict(mirror: Path) -> None:
    (nested,) = [
        sample for sample in mmmu._samples(Data(suite="mmmu", local=mirror), "pro-vision") if sample.meta
    ]
    assert (nested.id, len(nested.choices)) == ("validation_Accounting_29", 3)
    score = Official(pro=True)(nested, Prompt(), Reply(text=f"Answer: {nested.target}"))
    assert (score.verdict, score.parts) == ("unanswered", {"draw": 0.0})
    strict = mmmu.BENCHMARK.suite("pro-vision", "strict").scorers["answer"]
    assert strict(nested, Prompt(), Reply(text=f"Answer: {nested.target}")).value == 1.0


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("A or B?\nAnswer: C", "C"),
        ("Answer: (B)", "B"),
        ("Answer: A\nNo.\nAnswer: B", "B"),
        ("Answer: ab", None),
    ],
)
def test_vlmevalkit_reads_the_last_answer_line(text: str, answer: str | None) -> None:
    sample = Sample(id="x", target="C", choices=("red", "green", "blue"))
    assert Inferred(line=True)(sample, Prompt(), Reply(text=text)).answer == answer


PLACEHOLDER = re.compile(r"<image (\d)>$")


def test_real_items_are_sent_with_their_images_in_place(mirror: Path, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    items = mirror / "mmmu" / "pro" / "examples.jsonl"
    rows = {row["id"]: row for row in lines(items)}
    with serve(lambda body: "Answer: A") as server:
        outcome = evals("run", "mmmu:pro-standard", "--data", items, "-m", server.model, "--protocol", "official",
                        "--results", tmp_path, "--run", "r", "--json")  # fmt: skip
    assert outcome.status == 0, outcome.err
    (run,) = outcome.json["runs"]
    assert (run["coverage"], len(server.bodies)) == (1.0, 21)
    right = sum(row["answer"] == "A" for row in rows.values())
    assert next(e for e in run["estimates"] if e["headline"])["value"] == pytest.approx(right / 21)
    sent_count = 0
    for body in server.bodies:
        parts = content(body)
        text = "".join(part.get("text", "") for part in parts)
        (row,) = [
            row for row in rows.values() if re.sub(r"\s+", "", row["question"]) in re.sub(r"\s+", "", text)
        ]
        for before, part in pairwise(parts):
            if part["type"] == "image_url":
                placeholder = PLACEHOLDER.search(before["text"])
                assert placeholder, before["text"]
                original = (items.parent / row[f"image_{placeholder[1]}"]).read_bytes()
                sent = b64decode(part["image_url"]["url"].partition(",")[2])
                # unchanged, or encoded again if servers may not accept the original format
                assert sent == original or sent.startswith(b"\x89PNG")
                sent_count += 1
    assert sent_count == sum(
        1 for row in rows.values() for name in row if name.startswith("image_") and row[name]
    )


@pytest.mark.slow
def test_intern_s1_exact_sends_images_first_and_enlarges_the_first_one(mirror: Path, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    items = mirror / "mmmu" / "pro" / "examples.jsonl"
    with serve(lambda body: "Answer: A") as server:
        outcome = evals("run", "mmmu:pro-standard", "--data", items, "-m", server.model, "--protocol", "intern-s1-exact",
                        "--results", tmp_path, "--run", "r", "--json")  # fmt: skip
    from evals.records.store import find_one

    assert outcome.status == 0, [
        record.outcome
        for record in find_one(tmp_path, "r").records()
        if record.outcome.__class__.__name__ == "Failure"
    ]
    from evals.types import Media, Text

    prompts_with_several_images = 0
    for record in find_one(tmp_path, "r").records():
        parts = record.prompt.messages[0].parts
        images = [part for part in parts if isinstance(part, Media)]
        first = images[0]
        assert first.sent == f"png {2 * first.width}x{2 * first.height}"
        if len(images) == 1:
            assert parts[0] is first
            continue
        prompts_with_several_images += 1
        labels = [part.text for part in parts[:-1] if isinstance(part, Text)]
        assert labels == [text for n in range(1, len(images) + 1) for text in (f"Image-{n}: ", "\n")]
        assert "<image" not in parts[-1].text
        assert f"<Image-{len(images)}>" in parts[-1].text
    assert prompts_with_several_images
