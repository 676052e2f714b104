"""`evals board challenge` on runs and bundles of a small model that can read: verdicts, exit status, outcomes, refusals."""

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
    with bigram.installed(folder):
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
    assert "consistent: no difference" in done.out
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
    complaint = command.evals("board", "challenge", packed, "-m", "bigram:1").complaint
    assert "the archive's checksum does not match" in complaint


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        ({"sampling": {"max_tokens": 60}}, "the temperature is the server's default"),
        ({"sampling": {"temperature": 1.0, "extra": {"repetition_penalty": 1.1}}}, "repetition_penalty"),
        (
            {"sampling": {"temperature": 1.0, "extra": {"chat_template_kwargs": {"chat_template": "x"}}}},
            "chat_template_kwargs.chat_template is not supported",
        ),
        ({"sampling": {"temperature": 1.0, "top_p": 7.0}}, "out of range"),
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
    first = choose(records, 20, 1).written
    assert choose(reversed(records), 20, 1).written == first
    assert choose(records, 20, 2).written != first
    assert len(choose(records, 1000, 1).written) == len(records)


def test_replies_that_cannot_be_read_are_counted(runs: dict[str, Run]) -> None:
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
    assert not choice.written
    assert len(choice.left_out) == 5
