"""Verification of a bundle succeeds on the original and detects every change."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from evals.bundles.bundle import seal
from evals.records import store
from tests.support.command import evals
from tests.support.paths import ROOT

SAMPLES = ROOT / "suites" / "samples"
Edit = Callable[[dict[str, Any]], None]


def run(results: Path, suite: str, *arguments: object, text: str = "ANSWER: B") -> str:
    """Run a suite's sample items with a scripted model and return the name of the run."""
    outcome = evals("run", suite, "--sample", "-m", f"scripted:{text}", "--results", results, *arguments)
    assert outcome.status == 0, outcome.err
    return store.runs(results)[-1].path.name


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    name = run(folder / "results", "mmlu-pro", "--repeats", 2, "--price", "1,2")
    outcome = evals("bundle", name, folder / "one.zip", "--results", folder / "results")
    assert outcome.status == 0, outcome.err
    return folder / "one.zip"


@pytest.fixture(scope="module")
def gated_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gated")
    (folder / "replies.json").write_text('["I think it over ... ANSWER: C", "no letter at all"]')
    name = run(folder / "results", "gpqa", text=f"list={folder / 'replies.json'}")
    evals("bundle", name, folder / "gated.zip", "--results", folder / "results")
    return folder / "gated.zip"


def forge(source: Path, out: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """Write a copy of a bundle with one file changed and all hashes recomputed, and return its path."""
    with zipfile.ZipFile(source) as archive:
        contents = {entry: archive.read(entry) for entry in archive.namelist()}
    contents[name] = change(contents[name])
    manifest = json.loads(contents["bundle.json"])
    for entry in manifest["files"]:
        raw = contents[entry]
        manifest["files"][entry] = {"sha256": sha256(raw).hexdigest(), "size": len(raw)}
    if name != "bundle.json":
        contents["bundle.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, raw in contents.items():
            archive.writestr(entry, raw)
        archive.comment = b"0" * 71  # replaced by `seal` with the hash of the archive
    seal(out)
    return out


def edit_line(number: int, edit: Edit) -> Callable[[bytes], bytes]:
    """Return a change of a JSON Lines file that edits the object in one line."""

    def change(raw: bytes) -> bytes:
        lines = raw.splitlines(keepends=True)
        entry = json.loads(lines[number])
        edit(entry)
        lines[number] = json.dumps(entry).encode() + b"\n"
        return b"".join(lines)

    return change


def edit_card(edit: Edit) -> Callable[[bytes], bytes]:
    """Return a change of `card.json` that edits its fields."""

    def change(raw: bytes) -> bytes:
        fields = json.loads(raw)
        edit(fields)
        return json.dumps(fields).encode()

    return change


def test_an_unchanged_bundle_is_verified(bundle: Path) -> None:
    outcome = evals("bundle", "verify", bundle)
    assert outcome.status == 0
    assert "Everything agrees: 32 records rescored" in outcome.out


def test_gold_answers_are_verified_with_the_data(bundle: Path) -> None:
    assert evals("bundle", "verify", bundle, "--data", SAMPLES).status == 0


def test_a_change_of_any_byte_is_detected(bundle: Path, tmp_path: Path) -> None:
    content = bundle.read_bytes()
    for position in {*range(0, len(content), 101), *range(len(content) - 160, len(content))}:
        flipped = bytearray(content)
        flipped[position] ^= 0x10
        (tmp_path / "flipped.zip").write_bytes(flipped)
        outcome = evals("bundle", "verify", tmp_path / "flipped.zip")
        assert outcome.status == 1, f"byte {position} of {len(content)} changed undetected"
        assert "Traceback" not in outcome.err


def _mark_right(record: dict[str, Any]) -> None:
    record["scores"]["choice"] |= {"value": 1.0, "verdict": "right", "answer": "A"}


def _change_reply(record: dict[str, Any]) -> None:
    record["outcome"]["text"] = "ANSWER: A"


def _replace_reply_with_failure(record: dict[str, Any]) -> None:
    """Replace the reply and keep its score."""
    record["outcome"] = {"type": "failure", "stage": "model", "kind": "timeout", "message": ""}


def _raise_value(fields: dict[str, Any]) -> None:
    fields["estimates"][0]["value"] += 0.01


def _raise_lower_bound(fields: dict[str, Any]) -> None:
    fields["estimates"][0]["low"] += 1e-6


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("records.jsonl", edit_line(0, _mark_right), "rescored"),
        ("records.jsonl", edit_line(3, _change_reply), "rescored"),
        ("records.jsonl", edit_line(5, _replace_reply_with_failure), "stored"),
        ("records.jsonl", lambda raw: b"".join(raw.splitlines(keepends=True)[1:]), "coverage"),
        ("records.jsonl", lambda raw: raw + raw.splitlines(keepends=True)[0], "occurs twice"),
        ("records.jsonl", edit_line(0, lambda r: r.update(sample="stranger")), "not a sample of the bundle"),
        ("records.jsonl", lambda raw: raw + b"{", "records.jsonl, line 33"),
        ("records.jsonl", edit_line(0, lambda r: r.update(repeat=7)), "[7], but the run has 2 repeats"),
        ("card.json", edit_card(lambda c: c.update(chance=0.01)), "chance: 0.01 in the card"),
        ("samples.jsonl", edit_line(0, lambda s: s.update(target="B")), "is not the card"),
        ("card.json", edit_card(_raise_value), "recomputed"),
        ("card.json", edit_card(_raise_lower_bound), "recomputed"),
        ("card.json", edit_card(lambda c: c["counts"].update(right=30)), "counts: {"),
        ("card.json", edit_card(lambda c: c["tokens"].update(output=1)), "tokens: {"),
        ("card.json", edit_card(lambda c: c.update(cost_usd=1.0)), "cost_usd: 1.0 in the card, recomputed 0.0"),
        ("card.json", edit_card(lambda c: c["batch_tokens"].update(output=1)), "cost_usd: "),
        ("card.json", edit_card(lambda c: c["scorers"].update(choice="Kinder()@1")), "scorer choice"),
        ("card.json", edit_card(lambda c: c["config"].update(version="0")), "version 0"),
        ("card.json", edit_card(lambda c: c.update(run="another")), "name different runs"),
        ("card.json", edit_card(lambda c: c["config"].update(suite="no-such")), "name different runs"),
        ("card.json", lambda raw: raw[:100], "card.json"),
    ],
)  # fmt: skip
def test_a_forgery_with_recomputed_hashes_is_detected(
    bundle: Path, tmp_path: Path, name: str, change: Callable[[bytes], bytes], message: str
) -> None:
    outcome = evals("bundle", "verify", forge(bundle, tmp_path / "forged.zip", name, change))
    assert outcome.status == 1
    assert message in outcome.out + outcome.err
    assert "Traceback" not in outcome.err


def test_a_changed_gold_answer_is_detected_with_the_data(bundle: Path, tmp_path: Path) -> None:
    forged = forge(bundle, tmp_path / "f.zip", "samples.jsonl", edit_line(0, lambda s: s.update(target="B")))
    outcome = evals("bundle", "verify", forged, "--data", SAMPLES)
    assert outcome.status == 1
    assert "differs from the data" in outcome.out


@pytest.mark.parametrize(
    "names",
    [["../../etc/passwd", "bundle.json"], ["bundle.json"], ["card.json"], [], ["card.json", "card.json"]],
    ids=["traversal", "only a manifest", "no manifest", "empty", "twice"],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_foreign_zip_is_rejected_and_nothing_is_unpacked(tmp_path: Path, names: list[str]) -> None:
    manifest = {
        "run": "r",
        "suite": "mmlu-pro",
        "protocol": "strict",
        "packages": {},
        "packed": 0,
        "files": {},
    }
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in names:
            archive.writestr(name, json.dumps(manifest))
    outcome = evals("bundle", "verify", tmp_path / "x.zip")
    assert outcome.status == (1 if "bundle.json" in names else 2)
    assert "Traceback" not in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_a_name_in_a_foreign_zip_cannot_forge_a_line_of_the_report(bundle: Path, tmp_path: Path) -> None:
    claim = "Everything agrees: 16 records rescored, 9 figures recomputed."
    forged = tmp_path / "forged.zip"
    shutil.copy(bundle, forged)
    with zipfile.ZipFile(forged, "a") as archive:
        archive.writestr(f"x\n{claim}\n{'y' * 5000}", b"")
    outcome = evals("bundle", "verify", forged)
    lines = outcome.out.splitlines()
    assert outcome.status == 1
    assert claim not in lines
    assert max(map(len, lines)) < 1000


def test_a_model_name_cannot_forge_a_line_of_the_report(bundle: Path, tmp_path: Path) -> None:
    name = "m\nEverything agrees: 16 records rescored, 9 figures recomputed."
    forged = forge(
        bundle,
        tmp_path / "f.zip",
        "card.json",
        lambda raw: json.dumps(json.loads(raw) | {"model": name}).encode(),
    )
    outcome = evals("bundle", "verify", forged)
    assert sum(line.startswith("Everything agrees") for line in outcome.out.splitlines()) == (
        outcome.status == 0
    )
    assert name.replace("\n", " ") in outcome.out.splitlines()[0]


def test_a_zip_bomb_is_rejected(bundle: Path, tmp_path: Path) -> None:
    forged = forge(bundle, tmp_path / "bomb.zip", "records.jsonl", lambda raw: raw + b" " * (40 << 20))
    outcome = evals("bundle", "verify", forged)
    assert outcome.status == 1


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"no zip at all"], ids=["empty", "two bytes of a zip", "not a zip"]
)
def test_a_file_that_is_not_a_zip_gives_a_one_line_message(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    outcome = evals("bundle", "verify", tmp_path / "x.zip")
    outcome.assert_usage_error()


def test_a_changed_prompt_is_detected_with_the_data(bundle: Path, tmp_path: Path) -> None:
    def change_prompt(record: dict[str, Any]) -> None:
        record["prompt"]["messages"][0]["parts"][0]["text"] = "The answer is B. Say B."

    forged = forge(bundle, tmp_path / "forged.zip", "records.jsonl", edit_line(0, change_prompt))
    # without the data the prompt cannot be checked, and the reply has the stated score
    assert evals("bundle", "verify", forged).status == 0
    outcome = evals("bundle", "verify", forged, "--data", SAMPLES)
    assert outcome.status == 1
    assert "the prompt differs from the suite" in outcome.out


def test_the_agreement_of_a_judge_is_recomputed(tmp_path: Path) -> None:
    arguments = (
        "mmlu-pro",
        "--protocol",
        "intern-s1~",
        "--judge",
        "scripted:call=tests.support.judges:letter_b",
    )
    name = run(tmp_path / "results", *arguments)
    assert evals("bundle", name, tmp_path / "j.zip", "--results", tmp_path / "results").status == 0
    assert evals("bundle", "verify", tmp_path / "j.zip").status == 0

    def raise_kappa(fields: dict[str, Any]) -> None:
        fields["judge"]["agreement"]["kappa"] = [0.9, 0.8, 1.0]

    outcome = evals(
        "bundle",
        "verify",
        forge(tmp_path / "j.zip", tmp_path / "forged.zip", "card.json", edit_card(raise_kappa)),
    )
    assert outcome.status == 1
    assert "judge, agreement: " in outcome.out


def test_a_missing_bundle_is_a_usage_error(tmp_path: Path) -> None:
    evals("bundle", "verify", tmp_path / "none.zip").assert_usage_error()


def test_data_that_cannot_be_read_are_a_usage_error(bundle: Path, tmp_path: Path) -> None:
    evals("bundle", "verify", bundle, "--data", tmp_path / "none").assert_usage_error()
    (tmp_path / "empty" / "mmlu_pro").mkdir(parents=True)
    evals("bundle", "verify", bundle, "--data", tmp_path / "empty").assert_usage_error()


def test_a_bundle_is_never_overwritten(bundle: Path) -> None:
    name = store.runs(bundle.parent / "results")[-1].path.name
    outcome = evals("bundle", name, bundle, "--results", bundle.parent / "results")
    outcome.assert_usage_error()


def test_a_gated_bundle_contains_no_texts(gated_bundle: Path) -> None:
    with zipfile.ZipFile(gated_bundle) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    items = [json.loads(row) for row in (SAMPLES / "gpqa" / "diamond.jsonl").read_text().splitlines()]
    texts = [item[key] for item in items for key in item if "Question" in key or "Answer" in key]
    assert len(texts) >= 5 * len(items)
    assert not [text for text in texts if len(text) > 8 and text.encode() in content]
    # nor does it contain the replies
    assert b"think" not in content
    assert b"no letter" not in content


def test_a_gated_bundle_can_be_verified_only_with_the_data(gated_bundle: Path) -> None:
    evals("bundle", "verify", gated_bundle).assert_usage_error()
    assert evals("bundle", "verify", gated_bundle, "--data", SAMPLES).status == 0


@pytest.mark.parametrize(
    "edit",
    [
        lambda entry: entry["record"]["scores"]["choice"].update(value=1.0, verdict="right"),
        lambda entry: entry["record"]["prompt"].update(order=[3, 2, 1]),
        lambda entry: entry["record"]["scores"].clear(),
    ],
    ids=["verdict", "order", "no score"],
)
def test_a_forged_gated_record_is_detected(gated_bundle: Path, tmp_path: Path, edit: Edit) -> None:
    forged = forge(gated_bundle, tmp_path / "forged.zip", "withheld.jsonl", edit_line(0, edit))
    outcome = evals("bundle", "verify", forged, "--data", SAMPLES)
    assert outcome.status == 1
    assert "Traceback" not in outcome.err


def test_a_run_name_with_several_suites_creates_a_bundle_of_each(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for suite in ("mmlu-pro", "gpqa"):
        run(results, suite, "--run", "week1")
    outcome = evals("bundle", "week1", tmp_path / "week.zip", "--results", results)
    assert outcome.status == 0, outcome.err
    bundles = sorted(path.name for path in tmp_path.glob("*.zip"))
    assert bundles == ["week-gpqa-diamond.zip", "week-mmlu-pro.zip"]
    for name in bundles:
        assert evals("bundle", "verify", tmp_path / name, "--data", SAMPLES).status == 0


def test_a_link_at_the_path_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("not yours")
    (tmp_path / ".b.zip.part").symlink_to(target)
    run(tmp_path / "r", "mmlu-pro", "--run", "one")
    assert evals("bundle", "one", tmp_path / "b.zip", "--results", tmp_path / "r").status == 0
    assert target.read_text() == "not yours"
    assert evals("bundle", "verify", tmp_path / "b.zip").status == 0


def test_a_partly_downloaded_bundle_is_called_incomplete(bundle: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.zip"
    part.write_bytes(bundle.read_bytes()[:2000])
    outcome = evals("bundle", "verify", part)
    outcome.assert_usage_error()
    assert "incomplete" in outcome.error_line
