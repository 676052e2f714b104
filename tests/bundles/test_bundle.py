"""A bundle agrees with itself to the byte; whatever is changed in it is found."""

from __future__ import annotations

import json
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


def run(results: Path, suite: str, *words: object, text: str = "ANSWER: B") -> str:
    """Run a suite's sample items with a model that says one thing."""
    done = evals("run", suite, "--sample", "-m", f"scripted:{text}", "--results", results, *words)
    assert done.status == 0, done.err
    return store.runs(results)[-1].path.name


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    name = run(folder / "results", "mmlu-pro", "--repeats", 2, "--price", "1,2")
    done = evals("bundle", name, folder / "one.zip", "--results", folder / "results")
    assert done.status == 0, done.err
    return folder / "one.zip"


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gated")
    (folder / "replies.json").write_text('["I think it over ... ANSWER: C", "no letter at all"]')
    name = run(folder / "results", "gpqa", text=f"list={folder / 'replies.json'}")
    evals("bundle", name, folder / "gated.zip", "--results", folder / "results")
    return folder / "gated.zip"


def remade(source: Path, out: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """A forger's work: one file changed, and every hash made anew."""
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
        archive.comment = b"0" * 71
    seal(out)
    return out


def line(number: int, edit: Edit) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        lines = raw.splitlines(keepends=True)
        found = json.loads(lines[number])
        edit(found)
        lines[number] = json.dumps(found).encode() + b"\n"
        return b"".join(lines)

    return change


def card(edit: Edit) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        found = json.loads(raw)
        edit(found)
        return json.dumps(found).encode()

    return change


def test_a_bundle_agrees_with_itself(packed: Path) -> None:
    done = evals("bundle", "verify", packed)
    assert done.status == 0
    assert "Everything agrees: 32 records rescored" in done.out


def test_the_gold_side_is_held_against_the_data(packed: Path) -> None:
    assert evals("bundle", "verify", packed, "--data", SAMPLES).status == 0


def test_every_byte_counts(packed: Path, tmp_path: Path) -> None:
    whole = packed.read_bytes()
    for position in {*range(0, len(whole), 101), *range(len(whole) - 160, len(whole))}:
        flipped = bytearray(whole)
        flipped[position] ^= 0x10
        (tmp_path / "flipped.zip").write_bytes(flipped)
        done = evals("bundle", "verify", tmp_path / "flipped.zip")
        assert done.status == 1, f"byte {position} of {len(whole)} changed unseen"
        assert "Traceback" not in done.err


def _right(record: dict[str, Any]) -> None:
    record["scores"]["choice"] |= {"value": 1.0, "verdict": "right", "answer": "A"}


def _another_reply(record: dict[str, Any]) -> None:
    record["outcome"]["text"] = "ANSWER: A"


def _failed_and_right(record: dict[str, Any]) -> None:
    record["outcome"] = {"type": "failure", "stage": "model", "kind": "timeout", "message": ""}


def _better(found: dict[str, Any]) -> None:
    found["estimates"][0]["value"] += 0.01


def _narrower(found: dict[str, Any]) -> None:
    found["estimates"][0]["low"] += 1e-6


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("records.jsonl", line(0, _right), "rescored"),
        ("records.jsonl", line(3, _another_reply), "rescored"),
        ("records.jsonl", line(5, _failed_and_right), "stored"),
        ("records.jsonl", lambda raw: b"".join(raw.splitlines(keepends=True)[1:]), "coverage"),
        ("records.jsonl", lambda raw: raw + raw.splitlines(keepends=True)[0], "occurs twice"),
        ("records.jsonl", line(0, lambda r: r.update(sample="stranger")), "not a sample of the bundle"),
        ("records.jsonl", lambda raw: raw + b"{", "records.jsonl, line 33"),
        ("records.jsonl", line(0, lambda r: r.update(repeat=7)), "[7], but the run has 2 repeats"),
        ("card.json", card(lambda c: c.update(chance=0.01)), "chance: 0.01 in the card"),
        ("samples.jsonl", line(0, lambda s: s.update(target="B")), "is not the card"),
        ("card.json", card(_better), "recomputed"),
        ("card.json", card(_narrower), "recomputed"),
        ("card.json", card(lambda c: c["counts"].update(right=30)), "counts: {"),
        ("card.json", card(lambda c: c["tokens"].update(output=1)), "tokens: {"),
        ("card.json", card(lambda c: c.update(cost_usd=1.0)), "cost_usd: 1.0 in the card, recomputed 0.0"),
        ("card.json", card(lambda c: c["batch_tokens"].update(output=1)), "cost_usd: "),
        ("card.json", card(lambda c: c["scorers"].update(choice="Kinder()@1")), "scorer choice"),
        ("card.json", card(lambda c: c["config"].update(version="0")), "version 0"),
        ("card.json", card(lambda c: c.update(run="another")), "name different runs"),
        ("card.json", card(lambda c: c["config"].update(suite="no-such")), "name different runs"),
        ("card.json", lambda raw: raw[:100], "card.json"),
    ],
)  # fmt: skip
def test_a_forgery_with_fresh_hashes_is_found(
    packed: Path, tmp_path: Path, name: str, change: Callable[[bytes], bytes], said: str
) -> None:
    done = evals("bundle", "verify", remade(packed, tmp_path / "forged.zip", name, change))
    assert done.status == 1
    assert said in done.out + done.err
    assert "Traceback" not in done.err


def test_a_gold_answer_changed_with_its_hash_is_found_in_the_data(packed: Path, tmp_path: Path) -> None:
    forged = remade(packed, tmp_path / "f.zip", "samples.jsonl", line(0, lambda s: s.update(target="B")))
    done = evals("bundle", "verify", forged, "--data", SAMPLES)
    assert done.status == 1
    assert "differs from the data" in done.out


@pytest.mark.parametrize(
    "names",
    [["../../etc/passwd", "bundle.json"], ["bundle.json"], ["card.json"], [], ["card.json", "card.json"]],
    ids=["traversal", "only a manifest", "no manifest", "empty", "twice"],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_foreign_zip_is_one_line(tmp_path: Path, names: list[str]) -> None:
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
    done = evals("bundle", "verify", tmp_path / "x.zip")
    assert done.status == (1 if "bundle.json" in names else 2)
    assert "Traceback" not in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_a_bomb_is_refused_before_it_is_unpacked(packed: Path, tmp_path: Path) -> None:
    forged = remade(packed, tmp_path / "bomb.zip", "records.jsonl", lambda raw: raw + b" " * (40 << 20))
    done = evals("bundle", "verify", forged)
    assert done.status == 1


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all"])
def test_a_file_that_is_no_zip_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    done = evals("bundle", "verify", tmp_path / "x.zip")
    assert "x.zip is not a bundle: " in done.error_line


def test_another_prompt_with_fresh_hashes_is_found_in_the_data(packed: Path, tmp_path: Path) -> None:
    def other(record: dict[str, Any]) -> None:
        record["prompt"]["messages"][0]["parts"][0]["text"] = "The answer is B. Say B."

    forged = remade(packed, tmp_path / "forged.zip", "records.jsonl", line(0, other))
    assert (
        evals("bundle", "verify", forged).status == 0
    )  # the reply scores as stated; what was asked is in the data
    done = evals("bundle", "verify", forged, "--data", SAMPLES)
    assert done.status == 1
    assert "the prompt differs from the suite" in done.out


def test_a_judges_agreement_is_computed_again(tmp_path: Path) -> None:
    words = ("mmlu-pro", "--protocol", "intern-s1~", "--judge", "scripted:call=tests.support.judges:letter_b")
    name = run(tmp_path / "results", *words)
    assert evals("bundle", name, tmp_path / "j.zip", "--results", tmp_path / "results").status == 0
    assert evals("bundle", "verify", tmp_path / "j.zip").status == 0

    def kinder(found: dict[str, Any]) -> None:
        found["judge"]["agreement"]["kappa"] = [0.9, 0.8, 1.0]

    done = evals(
        "bundle", "verify", remade(tmp_path / "j.zip", tmp_path / "forged.zip", "card.json", card(kinder))
    )
    assert done.status == 1
    assert "judge, agreement: " in done.out


def test_a_missing_bundle_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    assert "does not exist" in evals("bundle", "verify", tmp_path / "none.zip").error_line


def test_data_that_cannot_be_read_are_no_fault_of_the_bundle(packed: Path, tmp_path: Path) -> None:
    assert "does not exist" in evals("bundle", "verify", packed, "--data", tmp_path / "none").error_line
    (tmp_path / "empty" / "mmlu_pro").mkdir(parents=True)
    assert "no file named test" in evals("bundle", "verify", packed, "--data", tmp_path / "empty").error_line


def test_a_bundle_is_never_overwritten(packed: Path) -> None:
    name = store.runs(packed.parent / "results")[-1].path.name
    done = evals("bundle", name, packed, "--results", packed.parent / "results")
    assert done.error_line == f"{packed} already exists"


def test_a_gated_bundle_holds_no_texts(gated: Path) -> None:
    with zipfile.ZipFile(gated) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    items = [json.loads(row) for row in (SAMPLES / "gpqa" / "diamond.jsonl").read_text().splitlines()]
    texts = [item[key] for item in items for key in item if "Question" in key or "Answer" in key]
    assert len(texts) >= 5 * len(items)
    assert not [text for text in texts if len(text) > 8 and text.encode() in content]
    assert b"think" not in content
    assert b"no letter" not in content


def test_a_gated_bundle_is_verified_by_its_letters_with_the_data(gated: Path) -> None:
    assert "is gated, so its data are required: add --data DIR" in evals("bundle", "verify", gated).error_line
    assert evals("bundle", "verify", gated, "--data", SAMPLES).status == 0


@pytest.mark.parametrize(
    "edit",
    [
        lambda found: found["record"]["scores"]["choice"].update(value=1.0, verdict="right"),
        lambda found: found["record"]["prompt"].update(order=[3, 2, 1]),
        lambda found: found["record"]["scores"].clear(),
    ],
    ids=["verdict", "order", "no score"],
)
def test_a_forged_gated_record_is_found(gated: Path, tmp_path: Path, edit: Edit) -> None:
    forged = remade(gated, tmp_path / "forged.zip", "withheld.jsonl", line(0, edit))
    done = evals("bundle", "verify", forged, "--data", SAMPLES)
    assert done.status == 1
    assert "Traceback" not in done.err


def test_a_name_of_several_suites_makes_a_bundle_of_each(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for suite in ("mmlu-pro", "gpqa"):
        run(results, suite, "--run", "week1")
    done = evals("bundle", "week1", tmp_path / "week.zip", "--results", results)
    assert done.status == 0, done.err
    made = sorted(path.name for path in tmp_path.glob("*.zip"))
    assert made == ["week-gpqa-diamond.zip", "week-mmlu-pro.zip"]
    for name in made:
        assert evals("bundle", "verify", tmp_path / name, "--data", SAMPLES).status == 0


def test_a_link_where_the_bundle_is_written_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("not yours")
    (tmp_path / ".b.zip.part").symlink_to(target)
    run(tmp_path / "r", "mmlu-pro", "--run", "one")
    assert evals("bundle", "one", tmp_path / "b.zip", "--results", tmp_path / "r").status == 0
    assert target.read_text() == "not yours"
    assert evals("bundle", "verify", tmp_path / "b.zip").status == 0
