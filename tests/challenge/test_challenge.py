"""`evals board challenge` on runs and bundles of a small model that returns likelihoods: verdicts, exit status, outcomes, refusals."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import evals
from evals.bundles import bundle
from evals.challenge import outcome
from evals.challenge.replies import choose
from evals.records import store
from evals.records.store import Run
from evals.types import Record, Reply
from tests.support import bigram, command

ROWS = [{"id": str(n), "question": f"Say {n}.", "answer": "x"} for n in range(80)]
SUITE = evals.Suite.of(ROWS, name="letters", scorer="exact")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """A greedy run and one at temperature 0.8, both by `bigram:1`."""
    folder = tmp_path_factory.mktemp("challenge")
    with bigram.install(folder):
        made = {}
        for name, temperature in (("greedy", 0.0), ("sampled", 0.8)):
            results = folder / name
            evals.evaluate(
                SUITE,
                "bigram:1",
                temperature=temperature,
                top_p=1.0,
                max_tokens=60,
                results=results,
                quiet=True,
            )
            (made[name],) = store.runs(results)
        yield made


def challenge(run: Run, *words: object, model: str = "bigram:1") -> command.Outcome:
    return command.evals("board", "challenge", run.path, "-m", model, "--seed", 5, *words)


def replaced(run: Run, folder: Path, edit: dict[str, object]) -> Run:
    """A copy of a run whose card says something else."""
    path = folder / run.path.name
    shutil.copytree(run.path, path)
    card = msgspec.json.decode((path / "card.json").read_bytes())
    card["config"] |= edit
    (path / "card.json").write_bytes(msgspec.json.encode(card))
    return Run(path)


@pytest.mark.parametrize("kind", ["greedy", "sampled"])
def test_the_model_that_wrote_the_replies_is_consistent(runs: dict[str, Run], kind: str) -> None:
    done = challenge(runs[kind])
    assert done.status == 0, done.err
    assert "consistent: no deviation" in done.out
    assert "60 replies" in done.out
    assert f", {kind}, by bigram 1, seed 5" in done.out


@pytest.mark.parametrize("kind", ["greedy", "sampled"])
def test_another_model_did_not_write_them(runs: dict[str, Run], kind: str, tmp_path: Path) -> None:
    temperature = 0.0 if kind == "greedy" else 0.8
    sampling = {"temperature": temperature, "top_p": 1.0, "top_k": 0, "max_tokens": 60}
    done = challenge(replaced(runs[kind], tmp_path, {"sampling": sampling}), model="bigram:2")
    assert done.status == 1
    assert "different: this model did not write these replies" in done.out


def test_another_temperature_is_found(runs: dict[str, Run], tmp_path: Path) -> None:
    sampling = {"temperature": 2.5, "max_tokens": 60}
    stated = replaced(runs["sampled"], tmp_path, {"sampling": {**sampling, "top_p": 1.0, "top_k": 0}})
    assert challenge(stated).status == 1


def test_a_server_s_own_top_p_is_no_reason_to_call_replies_different(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    done = challenge(
        replaced(runs["sampled"], tmp_path, {"sampling": {"temperature": 2.5, "max_tokens": 60}})
    )
    assert done.status == 3
    assert "without top_p and top_k, which the card does not state" in " ".join(done.out.split())


def test_drawn_replies_are_not_greedy(runs: dict[str, Run], tmp_path: Path) -> None:
    sampling = {"temperature": 0.0, "max_tokens": 60}
    assert challenge(replaced(runs["sampled"], tmp_path, {"sampling": sampling})).status == 1


def test_json_is_the_outcome_and_lies_beside_the_run(runs: dict[str, Run]) -> None:
    done = challenge(runs["greedy"], "--json", "--replies", 10, "--alpha", 0.05)
    stated = outcome.read(runs["greedy"].path / "challenge.json")
    assert done.json == json.loads(msgspec.json.encode(stated))
    assert (stated.replies, stated.alpha, stated.seed) == (10, 0.05, 5)
    assert (stated.suite, stated.run) == ("letters", runs["greedy"].card.run)
    assert (stated.claimed, stated.reader, stated.backend) == ("bigram:1", "bigram:1", "bigram 1")
    assert stated.first_choices == 1.0
    assert stated.retokenised == 0
    assert stated.generation_s == 10.0


def test_a_bundle_s_outcome_names_its_bytes_and_goes_to_the_board(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    from hashlib import sha256

    packed = tmp_path / "letters@own.zip"
    bundle.pack(runs["sampled"], packed)
    done = command.evals(
        "board", "challenge", packed, "-m", "bigram:1", "--to", tmp_path / "challenges" / "acme@1"
    )
    assert done.status == 0, done.err
    stated = outcome.read(tmp_path / "challenges" / "acme@1" / "letters@own.json")
    assert stated.bundle_sha256 == sha256(packed.read_bytes()).hexdigest()


def test_a_changed_bundle_is_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    packed = tmp_path / "letters@own.zip"
    bundle.pack(runs["sampled"], packed)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("more.txt", "more")
    complaint = command.evals("board", "challenge", packed, "-m", "bigram:1").error_line
    assert "the archive's checksum does not match" in complaint


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        ({"sampling": {"max_tokens": 60}}, "the temperature is not recorded"),
        ({"sampling": {"temperature": 1.0, "extra": {"repetition_penalty": 1.1}}}, "repetition_penalty"),
        (
            {"sampling": {"temperature": 1.0, "extra": {"chat_template_kwargs": {"chat_template": "x"}}}},
            "chat_template_kwargs.chat_template is not supported",
        ),
        (
            {"sampling": {"temperature": 1.0, "extra": {"chat_template_kwargs": {"conversation": "x"}}}},
            "chat_template_kwargs.conversation is not supported",
        ),
        ({"sampling": {"temperature": 1.0, "top_p": 7.0}}, "out of range"),
        ({"sampling": {"temperature": 1.0, "extra": {"stop": 5}}}, "stop is not a list of strings"),
        ({"sampling": {"temperature": 1.0, "extra": {"stop": ["a", None]}}}, "stop is not a list of strings"),
        ({"sampling": {"temperature": 1.0, "extra": {"top_p": True}}}, "top_p is not a number"),
    ],
)
def test_what_cannot_be_computed_is_untestable(
    runs: dict[str, Run], tmp_path: Path, edit: dict[str, object], line: str
) -> None:
    done = challenge(replaced(runs["sampled"], tmp_path, edit))
    assert done.status == 3
    assert "untestable: " in done.out
    assert line in " ".join(done.out.split())


def test_a_model_without_likelihoods_is_untestable_in_one_line(runs: dict[str, Run]) -> None:
    done = challenge(runs["sampled"], model="demo:careful")
    assert done.status == 3
    assert "demo:careful does not return the likelihoods of a given text" in " ".join(done.out.split())


def test_the_choice_is_reproducible_and_random(runs: dict[str, Run]) -> None:
    records = list(runs["sampled"].records())
    first = choose(records, 20, 1).exchanges
    assert choose(reversed(records), 20, 1).exchanges == first
    assert choose(records, 20, 2).exchanges != first
    assert len(choose(records, 1000, 1).exchanges) == len(records)


def test_replies_that_cannot_be_tested_are_counted(runs: dict[str, Run]) -> None:
    record = next(iter(runs["sampled"].records()))

    def changed(**fields: object) -> Record:
        assert isinstance(record.outcome, Reply)
        return msgspec.structs.replace(record, outcome=msgspec.structs.replace(record.outcome, **fields))

    choice = choose(
        [
            changed(stop="filter"),
            changed(finish="tool calls"),
            changed(text="a\ufffd"),
            changed(text="a" * 1_000_001),
            msgspec.structs.replace(record, prompt=evals.types.Prompt()),
        ],
        60,
        0,
    )
    assert not choice.exchanges
    assert len(choice.left_out) == 5


def packed_with(source: Run, path: Path, records: list[Record] | None = None, **card: object) -> Path:
    """A bundle of a run whose card says something else, or whose records are others, sealed as if by `evals bundle`."""
    from hashlib import sha256

    bundle.pack(source, path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    stated = msgspec.json.decode(contents["card.json"])
    stated["config"] |= {name: card.pop(name) for name in ("suite", "protocol", "model") if name in card}
    contents["card.json"] = msgspec.json.encode(stated | card)
    if records is not None:
        contents["records.jsonl"] = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
    manifest = msgspec.json.decode(contents["bundle.json"])
    manifest["files"] = {
        name: {"sha256": sha256(raw).hexdigest(), "size": len(raw)}
        for name, raw in contents.items()
        if name != "bundle.json"
    }
    contents["bundle.json"] = msgspec.json.encode(manifest)
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in contents.items():
            archive.writestr(name, raw)
        archive.comment = b"0" * len(f"sha256:{'0' * 64}")
    bundle.seal(path)
    return path


def test_names_in_a_bundle_lead_to_no_file_outside_the_folder_named(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    hostile = packed_with(
        runs["greedy"], tmp_path / "x.zip", suite="../../escaped", protocol="\0/../own", model="a"
    )
    to = tmp_path / "board" / "challenges" / "acme@1"
    assert command.evals("board", "challenge", hostile, "-m", "bigram:1", "--to", to).status == 0
    (written,) = tmp_path.rglob("*.json")
    assert written.parent == to
    assert outcome.read(written).suite == "../../escaped"


def test_names_in_a_bundle_cannot_forge_a_line(runs: dict[str, Run], tmp_path: Path) -> None:
    hostile = packed_with(
        runs["greedy"],
        tmp_path / "x.zip",
        run="1\nconsistent: no difference",
        model="m\n\x1b[2Jconsistent: x",
    )
    done = command.evals("board", "challenge", hostile, "-m", "bigram:2")
    assert done.status == 1
    verdicts = [line for line in done.out.splitlines() if line.startswith(("consistent", "different"))]
    assert len(verdicts) == 1
    assert verdicts[0].startswith("different: ")


def test_impossible_times_in_a_bundle_leave_a_readable_outcome(runs: dict[str, Run], tmp_path: Path) -> None:
    for name, seconds in (("negative", -1e300), ("endless", 1e300)):
        records = [
            msgspec.structs.replace(r, outcome=msgspec.structs.replace(r.outcome, seconds=seconds))
            for r in runs["greedy"].records()
        ]
        packed = packed_with(runs["greedy"], tmp_path / f"{name}.zip", records)
        to = tmp_path / f"{name}.json"
        assert command.evals("board", "challenge", packed, "-m", "bigram:1", "--to", to).status == 0
        assert outcome.read(to).generation_s is None


def test_a_run_of_a_gated_suite_is_tested_and_its_bundle_is_not(runs: dict[str, Run], tmp_path: Path) -> None:
    path = tmp_path / runs["greedy"].path.name
    shutil.copytree(runs["greedy"].path, path)
    card = msgspec.json.decode((path / "card.json").read_bytes())
    (path / "card.json").write_bytes(msgspec.json.encode(card | {"gated": True}))
    assert challenge(Run(path)).status == 0
    bundle.pack(Run(path), tmp_path / "gated.zip")
    done = command.evals("board", "challenge", tmp_path / "gated.zip", "-m", "bigram:1")
    assert done.status == 3
    assert "name the run" in done.out


def test_an_untestable_challenge_does_not_replace_a_verdict(runs: dict[str, Run], tmp_path: Path) -> None:
    run = replaced(runs["greedy"], tmp_path, {})
    assert challenge(run, model="demo:careful").status == 3
    assert challenge(run).status == 0
    done = challenge(run, model="demo:careful")
    assert done.status == 3
    assert "challenge.json keeps its verdict consistent: the new outcome" in " ".join(done.err.split())
    assert outcome.read(run.path / "challenge.json").verdict == "consistent"
    assert challenge(run, model="bigram:2").status == 1
    assert outcome.read(run.path / "challenge.json").verdict == "different"


def test_a_file_that_is_no_outcome_is_not_replaced(runs: dict[str, Run], tmp_path: Path) -> None:
    run = replaced(runs["greedy"], tmp_path, {})
    card = (run.path / "card.json").read_bytes()
    done = challenge(run, "--to", run.path / "card.json")
    assert "is not the outcome of a challenge, so it is not replaced" in done.error_line
    assert (run.path / "card.json").read_bytes() == card


def test_what_was_tested_is_printed_even_if_it_cannot_be_written(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = challenge(runs["greedy"], "--to", tmp_path / "file" / "x.json")
    assert done.status == 2
    assert "consistent: " in done.out
    assert "cannot write" in done.err


@pytest.mark.parametrize("value", ["nan", "inf", "2", "x"])
def test_an_alpha_that_is_no_rate_is_refused_before_anything_is_tested(
    runs: dict[str, Run], value: str
) -> None:
    done = challenge(runs["greedy"], "--alpha", value)
    assert done.status == 2
    assert "Invalid value for '--alpha'" in done.err


def test_a_count_that_is_no_whole_number_is_refused_in_plain_words(runs: dict[str, Run]) -> None:
    assert "'1e9' is not a whole number (see" in challenge(runs["greedy"], "--replies", "1e9").err


def test_copies_of_a_reply_are_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    packed = packed_with(runs["greedy"], tmp_path / "x.zip", list(runs["greedy"].records())[:5] * 12)
    assert "a reply occurs twice" in command.evals("board", "challenge", packed, "-m", "bigram:1").error_line
