"""MMMU-Pro: recorded verdicts come out item by item, draws apart; real pictures go where the questions name them."""

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
from tests.support.command import evals
from tests.support.recording_server import content, serve
from tools.mirror import lines

RECORDED = {
    "pro-standard": ("gpt-4o_standard_10_options__direct", 7, 0),
    "pro-vision": ("gpt-4o_vision_direct", 48, 9),
}
"""Setting -> file, replies that upstream drew an option for, and its lucky draws."""


def recorded(shared: Path, variant: str) -> list[dict[str, Any]]:
    return list(lines(shared / "data" / "mmmu_pro" / f"{RECORDED[variant][0]}.jsonl.gz"))


@pytest.mark.parametrize("variant", RECORDED)
def test_every_recorded_verdict_that_upstream_did_not_draw_is_the_same(
    shared: Path, mirror: Path, variant: str
) -> None:
    samples = {s.id: s for s in mmmu._samples(Data(suite="mmmu", local=mirror), variant)}
    judge, drawn, lucky, right = Official(pro=True), 0, 0, 0
    for row in recorded(shared, variant):
        score = judge(samples[row["id"]], Prompt(), Reply(text=row["response"]))
        if score.verdict == "unanswered":
            drawn, lucky = drawn + 1, lucky + row["if_right"]
            continue
        assert (score.answer, score.value == 1.0) == (row["pred_indexs"], row["if_right"]), row["id"]
        right += row["if_right"]
    assert (drawn, lucky) == RECORDED[variant][1:]
    assert right + lucky == sum(row["if_right"] for row in recorded(shared, variant))


def test_recordings_of_both_settings_are_imported_and_combined(
    shared: Path, mirror: Path, tmp_path: Path
) -> None:
    found = {}
    for variant in RECORDED:
        replies = tmp_path / f"{variant}.jsonl"
        rows = recorded(shared, variant)
        replies.write_text("\n".join(json.dumps({"id": r["id"], "text": r["response"]}) for r in rows))
        made = evals("import", "replies", replies, "--suite", f"mmmu:{variant}", "--model", "gpt-4o", "--protocol", "official",
                     "--data", mirror, "--results", tmp_path / "results", "--json")  # fmt: skip
        assert made.status == 0, made.err
        (run,) = made.json["runs"]
        found[variant] = {e["metric"]: e["value"] for e in run["estimates"] if not e["group"]}
    assert found["pro-standard"]["accuracy"] == pytest.approx(694 / 1730)
    assert found["pro-vision"]["accuracy"] == pytest.approx(725 / 1730)
    assert found["pro-standard"]["accuracy_guess"] - 694 / 1730 == pytest.approx(0.00055, abs=2e-4)
    (both,) = evals("show", "--results", tmp_path / "results", "--json").json["aggregates"]
    assert both["value"] == pytest.approx((694 + 725) / 3460)
    assert both["low"] < both["value"] < both["high"]
    assert "mmmu:pro (official) gpt-4o: 41.0" in evals("show", "--results", tmp_path / "results").out


def test_the_two_settings_have_one_name_to_be_run_by(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}")
    made = evals(
        "import", "replies", tmp_path / "x", "--suite", "mmmu:pro", "--model", "m", "--data", tmp_path
    )
    assert "mmmu:pro-standard, mmmu:pro-vision; name one" in made.error_line


@pytest.mark.parametrize(
    ("text", "found"),
    [("Answer: B", "B"), ("Answer: A\n\nNo. Answer: (C)", "C"), ("Answer: Because", "B"), ("Answer: A or B", "B"),
     ("I say (C), not (A)", "A"), ("NASA launched it", "A"), ("It is C.", "C"), ("red", None), ("", None),
     ("well, the one that i like best is blue", "C"), ("D", None)],
)  # fmt: skip
def test_options_are_read_as_upstream_does(text: str, found: str | None) -> None:
    assert read_option_pro(text, ("red", "green", "blue")) == found


def test_a_list_within_a_list_is_one_option_to_upstream_and_three_to_us(mirror: Path) -> None:
    (odd,) = [s for s in mmmu._samples(Data(suite="mmmu", local=mirror), "pro-vision") if s.meta]
    assert (odd.id, len(odd.choices)) == ("validation_Accounting_29", 3)
    score = Official(pro=True)(odd, Prompt(), Reply(text=f"Answer: {odd.target}"))
    assert (score.verdict, score.parts) == ("unanswered", {"draw": 0.0})
    strict = mmmu.BENCHMARK.suite("pro-vision", "strict").scorers["answer"]
    assert strict(odd, Prompt(), Reply(text=f"Answer: {odd.target}")).value == 1.0


@pytest.mark.parametrize(
    ("text", "answer"),
    [("A or B?\nAnswer: C", "C"), ("Answer: (B)", "B"), ("Answer: A\nAnswer: B", None), ("Answer: ab", None)],
)
def test_vlmevalkit_reads_the_only_line_that_begins_with_answer(text: str, answer: str | None) -> None:
    sample = Sample(id="x", target="C", choices=("red", "green", "blue"))
    assert Inferred(line=True)(sample, Prompt(), Reply(text=text)).answer == answer


MARK = re.compile(r"<image (\d)>$")


def test_real_items_with_their_pictures_go_the_whole_way(mirror: Path, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    items = mirror / "mmmu" / "pro" / "examples.jsonl"
    rows = {row["id"]: row for row in lines(items)}
    with serve(lambda body: "Answer: A") as server:
        found = evals("run", "mmmu:pro-standard", "--data", items, "-m", server.model, "--protocol", "official",
                      "--results", tmp_path, "--run", "r", "--json")  # fmt: skip
    assert found.status == 0, found.err
    (run,) = found.json["runs"]
    assert (run["coverage"], len(server.bodies)) == (1.0, len(rows) == 21 and 21)
    right = sum(row["answer"] == "A" for row in rows.values())
    assert next(e for e in run["estimates"] if e["headline"])["value"] == pytest.approx(right / 21)
    sent = 0
    for body in server.bodies:
        parts = content(body)
        words = "".join(part.get("text", "") for part in parts)
        (row,) = [r for r in rows.values() if re.sub(r"\s+", "", r["question"]) in re.sub(r"\s+", "", words)]
        for before, part in pairwise(parts):
            if part["type"] == "image_url":
                mark = MARK.search(before["text"])
                assert mark, before["text"]
                kept = (items.parent / row[f"image_{mark[1]}"]).read_bytes()
                raw = b64decode(part["image_url"]["url"].partition(",")[2])
                assert raw == kept or raw.startswith(
                    b"\x89PNG"
                )  # as it is, or drawn anew where servers differ
                sent += 1
    assert sent == sum(1 for row in rows.values() for name in row if name.startswith("image_") and row[name])


@pytest.mark.slow
def test_vlmevalkit_s_way_shows_pictures_first_and_the_first_one_larger(mirror: Path, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    items = mirror / "mmmu" / "pro" / "examples.jsonl"
    with serve(lambda body: "Answer: A") as server:
        found = evals("run", "mmmu:pro-standard", "--data", items, "-m", server.model, "--protocol", "intern-s1-exact",
                      "--results", tmp_path, "--run", "r", "--json")  # fmt: skip
    from evals.records.store import find_one

    assert found.status == 0, [
        r.outcome for r in find_one(tmp_path, "r").records() if r.outcome.__class__.__name__ == "Failure"
    ]
    from evals.types import Media, Text

    several = 0
    for record in find_one(tmp_path, "r").records():
        parts = record.prompt.messages[0].parts
        pictures = [part for part in parts if isinstance(part, Media)]
        first = pictures[0]
        assert first.sent == f"png {2 * first.width}x{2 * first.height}"
        if len(pictures) == 1:
            assert parts[0] is first
            continue
        several += 1
        heads = [part.text for part in parts[:-1] if isinstance(part, Text)]
        assert heads == [x for n in range(1, len(pictures) + 1) for x in (f"Image-{n}: ", "\n")]
        assert "<image" not in parts[-1].text
        assert f"<Image-{len(pictures)}>" in parts[-1].text
    assert several
