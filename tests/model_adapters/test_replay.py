"""A recorded run as a model: the same results as the original run, and a clear failure for prompts that it does not contain."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from evals import load
from evals.errors import Rejected, StoreError, UsageError
from evals.model_adapters.scripted import Scripted
from evals.prompts import ask
from evals.records.store import Run, find_one
from evals.records.writer import Writer
from evals.run.job import Job
from evals.run.rescore import store_final_metrics
from evals.run.runner import Runner
from evals.suite import Suite
from evals.types import Model, Prompt, Record, Reply, Sampling, Usage
from tests.support import toy
from tests.support.error_messages import raises


async def run_suite(results: Path, model: Model, suite: Suite, *, run: str, finalize: bool = True) -> Job:
    job = toy.job(results, suite, model=model.name, run=run)
    await Runner(model, [job]).run()
    if finalize:
        job.writer.finalize()
    store_final_metrics(job.writer, suite)
    job.writer.write_card()
    toy.close_job(job)
    return job


def reply_to(prompt: Prompt) -> Reply:
    """Return the right answer for samples with an even number; usage, time and model show whether the recording is used."""
    number = int(toy.sample_id_in(prompt)[1:])
    return Reply(
        text="BA"[number % 2 == 0], usage=Usage(input=3, output=number), seconds=1.5, model="real-7b"
    )


@pytest.mark.parametrize("finalize", [True, False])
async def test_a_replay_has_the_same_records_and_estimates(tmp_path: Path, finalize: bool) -> None:
    original = await run_suite(
        tmp_path, Scripted(reply_to, name="m"), toy.suite(10), run="one", finalize=finalize
    )
    replay = await run_suite(tmp_path, load.model("replay:one", results=tmp_path), toy.suite(10), run="two")
    assert replay.writer.card.model == "replay-m"

    def content(job: Job) -> dict[str, object]:
        return {
            record.sample: (record.prompt, record.outcome, record.scores)
            for record in Run(job.writer.path).records()
        }

    assert content(replay) == content(original)
    assert replay.writer.card.estimates == original.writer.card.estimates


async def test_repeats_of_a_prompt_are_replayed_in_order(tmp_path: Path) -> None:
    suite = toy.suite(1, repeats=3)
    await run_suite(tmp_path, Scripted(["x", "y", "z"], name="m"), suite, run="one")
    model = load.model("replay:one", results=tmp_path)
    prompt = ask("Question q000")
    assert [(await model.reply(prompt, Sampling())).text for _ in range(3)] == ["x", "y", "z"]
    with raises(Rejected):
        await model.reply(prompt, Sampling())


async def test_a_resumed_run_continues_with_the_replies_that_it_lacks(tmp_path: Path) -> None:
    suite = toy.suite(2, repeats=3)
    await run_suite(tmp_path, Scripted(list("abcdef"), name="m"), suite, run="one")
    original = {(r.sample, r.repeat): r.outcome for r in find_one(tmp_path, "one").records()}
    replay = await run_suite(tmp_path, load.model("replay:one", results=tmp_path), suite, run="two")
    path = replay.writer.path
    kept = [record for record in Run(path).records() if (record.sample, record.repeat) != ("q001", 1)]
    store_records(path, kept)
    await run_suite(tmp_path, load.model("replay:one", results=tmp_path), suite, run="two")
    assert {(r.sample, r.repeat): r.outcome for r in Run(path).records()} == original


def store_records(path: Path, records: list[Record]) -> None:
    """Replace the records of a run, as if it had been interrupted after them."""
    writer = Writer(path, structs.replace(Run(path).card, status="partial", files={}))
    writer.replace(records)
    writer.write_card()
    writer.close()


async def test_a_sample_that_was_not_recorded_fails_and_the_others_do_not(tmp_path: Path) -> None:
    await run_suite(tmp_path, Scripted("A", name="m"), toy.suite(3), run="one")
    job = await run_suite(tmp_path, load.model("replay:one", results=tmp_path), toy.suite(5), run="two")
    assert job.writer.card.counts == {"failed:rejected": 2, "right": 3}
    assert job.writer.card.coverage == 0.6


async def test_failures_are_not_replayed(tmp_path: Path) -> None:
    def fail_on_one_sample(prompt: Prompt) -> str:
        if toy.sample_id_in(prompt) == "q001":
            raise Rejected("HTTP 400")
        return "A"

    await run_suite(tmp_path, Scripted(fail_on_one_sample, name="m"), toy.suite(3), run="one")
    with raises(Rejected):
        await load.model("replay:one", results=tmp_path).reply(ask("Question q001"), Sampling())


async def test_prompts_are_recognised_by_their_text_and_not_by_the_order_of_options(tmp_path: Path) -> None:
    await run_suite(tmp_path, Scripted("A", name="m"), toy.suite(1), run="one")
    model = load.model("replay:one", results=tmp_path)
    with raises(Rejected):
        await model.reply(ask("question q000"), Sampling())
    assert (await model.reply(structs.replace(ask("Question q000"), order=(1, 0)), Sampling())).text == "A"


def test_an_imported_run_without_prompts_cannot_be_replayed(tmp_path: Path) -> None:
    writer = toy.writer(tmp_path / "toy@1" / "m" / "imported")
    writer.append(structs.replace(toy.record("q000"), prompt=Prompt()))
    writer.close()
    with raises(UsageError):
        load.model("replay:imported", results=tmp_path)


def test_a_run_that_does_not_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "toy@1").mkdir()
    with raises(StoreError):
        load.model("replay:nothing", results=tmp_path)


async def test_a_folder_of_several_runs_of_a_suite_cannot_be_replayed(tmp_path: Path) -> None:
    for run in ("one", "two"):
        await run_suite(tmp_path, Scripted(reply_to, name="m"), toy.suite(4), run=run)
    with raises(StoreError):
        load.model(f"replay:{tmp_path}", results=tmp_path)
