"""`evals board challenge` on runs and bundles of a small model that computes likelihoods: verdicts, exit codes, outcomes and refusals."""

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
from evals.challenge import outcome as challenge_outcome
from evals.challenge.replies import choose
from evals.records import store
from evals.records.store import Run
from evals.types import Record, Reply
from tests.support import bigram, command

ROWS = [{"id": str(n), "question": f"Say {n}.", "answer": "x"} for n in range(80)]
SUITE = evals.Suite.of(ROWS, name="letters", scorer="exact")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """Yield a greedy run and one at temperature 0.8, both of `bigram:1`."""
    folder = tmp_path_factory.mktemp("challenge")
    with bigram.install(folder):
        runs = {}
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
            (runs[name],) = store.runs(results)
        yield runs


def challenge(run: Run, *arguments: object, model: str = "bigram:1") -> command.Outcome:
    return command.evals("board", "challenge", run.path, "-m", model, "--seed", 5, *arguments)


def copy_with_config(run: Run, folder: Path, config: dict[str, object]) -> Run:
    """Copy a run into a folder, with these fields of the card's configuration replaced; return the copy."""
    path = folder / run.path.name
    shutil.copytree(run.path, path)
    card = msgspec.json.decode((path / "card.json").read_bytes())
    card["config"] |= config
    (path / "card.json").write_bytes(msgspec.json.encode(card))
    return Run(path)


@pytest.mark.parametrize("kind", ["greedy", "sampled"])
def test_the_verdict_on_the_model_that_generated_the_replies_is_consistent(
    runs: dict[str, Run], kind: str
) -> None:
    outcome = challenge(runs[kind])
    assert outcome.status == 0, outcome.err
    assert "consistent: the replies do not differ" in outcome.out
    assert "60 replies" in outcome.out
    assert f", {kind}, by bigram 1, seed 5" in outcome.out


@pytest.mark.parametrize("kind", ["greedy", "sampled"])
def test_the_verdict_on_another_model_is_different(runs: dict[str, Run], kind: str, tmp_path: Path) -> None:
    temperature = 0.0 if kind == "greedy" else 0.8
    sampling = {"temperature": temperature, "top_p": 1.0, "top_k": 0, "max_tokens": 60}
    outcome = challenge(copy_with_config(runs[kind], tmp_path, {"sampling": sampling}), model="bigram:2")
    assert outcome.status == 1
    assert "different: this model did not write these replies" in outcome.out


def test_a_wrong_temperature_on_the_card_gives_the_verdict_different(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    sampling = {"temperature": 2.5, "max_tokens": 60}
    changed = copy_with_config(
        runs["sampled"], tmp_path, {"sampling": {**sampling, "top_p": 1.0, "top_k": 0}}
    )
    assert challenge(changed).status == 1


def test_replies_are_untestable_if_the_card_does_not_state_top_p_and_top_k(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    outcome = challenge(
        copy_with_config(runs["sampled"], tmp_path, {"sampling": {"temperature": 2.5, "max_tokens": 60}})
    )
    assert outcome.status == 3
    assert "without top_p and top_k, which the card does not state" in " ".join(outcome.out.split())


def test_sampled_replies_that_are_recorded_as_greedy_are_different(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    sampling = {"temperature": 0.0, "max_tokens": 60}
    assert challenge(copy_with_config(runs["sampled"], tmp_path, {"sampling": sampling})).status == 1


def test_json_output_is_the_outcome_that_is_stored_in_the_run_s_folder(runs: dict[str, Run]) -> None:
    outcome = challenge(runs["greedy"], "--json", "--replies", 10, "--alpha", 0.05)
    stored = challenge_outcome.read(runs["greedy"].path / "challenge.json")
    assert outcome.json == json.loads(msgspec.json.encode(stored))
    assert (stored.replies, stored.alpha, stored.seed) == (10, 0.05, 5)
    assert (stored.suite, stored.run) == ("letters", runs["greedy"].card.run)
    assert (stored.claimed, stored.reader, stored.backend) == ("bigram:1", "bigram:1", "bigram 1")
    assert stored.first_choices == 1.0
    assert stored.retokenised == 0
    assert stored.generation_s == 10.0


def test_the_outcome_for_a_bundle_has_its_checksum_and_is_written_to_the_board(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    from hashlib import sha256

    archive = tmp_path / "letters@own.zip"
    bundle.pack(runs["sampled"], archive)
    outcome = command.evals(
        "board", "challenge", archive, "-m", "bigram:1", "--to", tmp_path / "challenges" / "acme@1"
    )
    assert outcome.status == 0, outcome.err
    stored = challenge_outcome.read(tmp_path / "challenges" / "acme@1" / "letters@own.json")
    assert stored.bundle_sha256 == sha256(archive.read_bytes()).hexdigest()


def test_a_changed_bundle_is_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    path = tmp_path / "letters@own.zip"
    bundle.pack(runs["sampled"], path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.txt", "more")
    command.evals("board", "challenge", path, "-m", "bigram:1").assert_usage_error()


@pytest.mark.parametrize(
    ("config", "reason"),
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
def test_runs_with_unsupported_or_invalid_sampling_are_untestable(
    runs: dict[str, Run], tmp_path: Path, config: dict[str, object], reason: str
) -> None:
    outcome = challenge(copy_with_config(runs["sampled"], tmp_path, config))
    assert outcome.status == 3
    assert "untestable: " in outcome.out
    assert reason in " ".join(outcome.out.split())


def test_without_likelihoods_from_the_model_the_verdict_is_untestable(runs: dict[str, Run]) -> None:
    outcome = challenge(runs["sampled"], model="demo:careful")
    assert outcome.status == 3
    assert "demo:careful does not return the likelihoods of a given text" in " ".join(outcome.out.split())


def test_the_choice_of_replies_depends_only_on_the_seed(runs: dict[str, Run]) -> None:
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


def pack_changed(source: Run, path: Path, records: list[Record] | None = None, **card: object) -> Path:
    """Write a valid bundle of a run with other fields on its card, or with other records; return its path."""
    from hashlib import sha256

    bundle.pack(source, path)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    stored_card = msgspec.json.decode(contents["card.json"])
    stored_card["config"] |= {name: card.pop(name) for name in ("suite", "protocol", "model") if name in card}
    contents["card.json"] = msgspec.json.encode(stored_card | card)
    if records is not None:
        contents["records.jsonl"] = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
    manifest = msgspec.json.decode(contents["bundle.json"])
    manifest["files"] = {
        name: {"sha256": sha256(content).hexdigest(), "size": len(content)}
        for name, content in contents.items()
        if name != "bundle.json"
    }
    contents["bundle.json"] = msgspec.json.encode(manifest)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
        archive.comment = b"0" * len(f"sha256:{'0' * 64}")
    bundle.seal(path)
    return path


def test_names_in_a_bundle_cannot_place_a_file_outside_the_given_folder(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    hostile = pack_changed(
        runs["greedy"], tmp_path / "x.zip", suite="../../escaped", protocol="\0/../own", model="a"
    )
    to = tmp_path / "board" / "challenges" / "acme@1"
    assert command.evals("board", "challenge", hostile, "-m", "bigram:1", "--to", to).status == 0
    (outcome_path,) = tmp_path.rglob("*.json")
    assert outcome_path.parent == to
    assert challenge_outcome.read(outcome_path).suite == "../../escaped"


def test_names_in_a_bundle_cannot_forge_a_verdict_in_the_output(runs: dict[str, Run], tmp_path: Path) -> None:
    hostile = pack_changed(
        runs["greedy"],
        tmp_path / "x.zip",
        run="1\nconsistent: no difference",
        model="m\n\x1b[2Jconsistent: x",
    )
    outcome = command.evals("board", "challenge", hostile, "-m", "bigram:2")
    assert outcome.status == 1
    verdicts = [line for line in outcome.out.splitlines() if line.startswith(("consistent", "different"))]
    assert len(verdicts) == 1
    assert verdicts[0].startswith("different: ")


def test_impossible_times_in_a_bundle_are_stored_as_unknown(runs: dict[str, Run], tmp_path: Path) -> None:
    for name, seconds in (("negative", -1e300), ("huge", 1e300)):
        records = [
            msgspec.structs.replace(record, outcome=msgspec.structs.replace(record.outcome, seconds=seconds))
            for record in runs["greedy"].records()
        ]
        archive = pack_changed(runs["greedy"], tmp_path / f"{name}.zip", records)
        to = tmp_path / f"{name}.json"
        assert command.evals("board", "challenge", archive, "-m", "bigram:1", "--to", to).status == 0
        assert challenge_outcome.read(to).generation_s is None


def test_a_run_of_a_gated_suite_can_be_tested_but_its_bundle_cannot(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    path = tmp_path / runs["greedy"].path.name
    shutil.copytree(runs["greedy"].path, path)
    card = msgspec.json.decode((path / "card.json").read_bytes())
    (path / "card.json").write_bytes(msgspec.json.encode(card | {"gated": True}))
    assert challenge(Run(path)).status == 0
    bundle.pack(Run(path), tmp_path / "gated.zip")
    outcome = command.evals("board", "challenge", tmp_path / "gated.zip", "-m", "bigram:1")
    assert outcome.status == 3
    assert "name the run" in outcome.out


def test_an_untestable_outcome_does_not_replace_a_verdict(runs: dict[str, Run], tmp_path: Path) -> None:
    run = copy_with_config(runs["greedy"], tmp_path, {})
    assert challenge(run, model="demo:careful").status == 3
    assert challenge(run).status == 0
    outcome = challenge(run, model="demo:careful")
    assert outcome.status == 3
    assert "challenge.json keeps its verdict consistent: the new outcome" in " ".join(outcome.err.split())
    assert challenge_outcome.read(run.path / "challenge.json").verdict == "consistent"
    assert challenge(run, model="bigram:2").status == 1
    assert challenge_outcome.read(run.path / "challenge.json").verdict == "different"


def test_a_file_that_is_not_an_outcome_is_not_replaced(runs: dict[str, Run], tmp_path: Path) -> None:
    run = copy_with_config(runs["greedy"], tmp_path, {})
    card = (run.path / "card.json").read_bytes()
    outcome = challenge(run, "--to", run.path / "card.json")
    outcome.assert_usage_error()
    assert (run.path / "card.json").read_bytes() == card


def test_the_outcome_is_printed_even_if_it_cannot_be_written(runs: dict[str, Run], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = challenge(runs["greedy"], "--to", tmp_path / "file" / "x.json")
    assert "consistent: " in outcome.out
    outcome.assert_usage_error()


@pytest.mark.parametrize("value", ["nan", "inf", "2", "x"])
def test_an_invalid_alpha_is_refused(runs: dict[str, Run], value: str) -> None:
    challenge(runs["greedy"], "--alpha", value).assert_usage_error()


def test_a_number_of_replies_that_is_not_an_integer_is_refused(runs: dict[str, Run]) -> None:
    challenge(runs["greedy"], "--replies", "1e9").assert_usage_error()


def test_a_bundle_with_duplicate_replies_is_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    archive = pack_changed(runs["greedy"], tmp_path / "x.zip", list(runs["greedy"].records())[:5] * 12)
    command.evals("board", "challenge", archive, "-m", "bigram:1").assert_usage_error()
