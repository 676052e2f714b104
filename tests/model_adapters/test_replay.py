"""A recorded run answers again: the same table without a model, and a clear failure for what was never asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from evals import load
from evals.errors import Rejected, StoreError, UsageError
from evals.model_adapters.scripted import Scripted
from evals.prompts import ask
from evals.records.store import Run
from evals.run.job import Job
from evals.run.rescore import store_final_metrics
from evals.run.runner import Runner
from evals.suite import Suite
from evals.types import Model, Prompt, Reply, Sampling, Usage
from tests.support import toy


async def run_of(results: Path, model: Model, suite: Suite, *, run: str, seal: bool = True) -> Job:
    job = toy.job(results, suite, model=model.name, run=run)
    await Runner(model, [job]).run()
    if seal:
        job.writer.finalize()
    store_final_metrics(job.writer, suite)
    job.writer.write_card()
    toy.close_job(job)
    return job


def half(prompt: Prompt) -> Reply:
    """Right for even samples; with details that only a recording can know."""
    number = int(toy.sample_id_in(prompt)[1:])
    return Reply(
        text="BA"[number % 2 == 0], usage=Usage(input=3, output=number), seconds=1.5, model="real-7b"
    )


@pytest.mark.parametrize("seal", [True, False])
async def test_a_replay_gives_the_same_records(tmp_path: Path, seal: bool) -> None:
    first = await run_of(tmp_path, Scripted(half, name="m"), toy.suite(10), run="one", seal=seal)
    again = await run_of(tmp_path, load.model("replay:one", results=tmp_path), toy.suite(10), run="two")
    assert again.writer.card.model == "replay-m"

    def content(job: Job) -> dict[str, object]:
        return {r.sample: (r.prompt, r.outcome, r.scores) for r in Run(job.writer.path).records()}

    assert content(again) == content(first)
    assert again.writer.card.estimates == first.writer.card.estimates


async def test_repeats_of_one_prompt_come_in_their_order(tmp_path: Path) -> None:
    suite = toy.suite(1, repeats=3)
    await run_of(tmp_path, Scripted(["x", "y", "z"], name="m"), suite, run="one")
    model = load.model("replay:one", results=tmp_path)
    prompt = ask("Question q000")
    assert [(await model.reply(prompt, Sampling())).text for _ in range(3)] == ["x", "y", "z"]
    with pytest.raises(Rejected, match="the recording has no"):
        await model.reply(prompt, Sampling())


async def test_what_was_never_recorded_is_that_samples_failure(tmp_path: Path) -> None:
    await run_of(tmp_path, Scripted("A", name="m"), toy.suite(3), run="one")
    job = await run_of(tmp_path, load.model("replay:one", results=tmp_path), toy.suite(5), run="two")
    assert job.writer.card.counts == {"failed:rejected": 2, "right": 3}
    assert job.writer.card.coverage == 0.6


async def test_a_failure_is_not_replayed(tmp_path: Path) -> None:
    def says(prompt: Prompt) -> str:
        if toy.sample_id_in(prompt) == "q001":
            raise Rejected("HTTP 400")
        return "A"

    await run_of(tmp_path, Scripted(says, name="m"), toy.suite(3), run="one")
    with pytest.raises(Rejected, match="the recording has no"):
        await load.model("replay:one", results=tmp_path).reply(ask("Question q001"), Sampling())


async def test_the_order_of_options_is_no_part_of_the_hash_but_the_text_is(tmp_path: Path) -> None:
    await run_of(tmp_path, Scripted("A", name="m"), toy.suite(1), run="one")
    model = load.model("replay:one", results=tmp_path)
    with pytest.raises(Rejected):
        await model.reply(ask("question q000"), Sampling())
    assert (await model.reply(structs.replace(ask("Question q000"), order=(1, 0)), Sampling())).text == "A"


def test_an_import_has_no_prompts_to_recognise(tmp_path: Path) -> None:
    writer = toy.writer(tmp_path / "toy@1" / "m" / "imported")
    writer.append(structs.replace(toy.record("q000"), prompt=Prompt()))
    writer.close()
    with pytest.raises(UsageError, match="replay:imported: the run contains no prompts with replies"):
        load.model("replay:imported", results=tmp_path)


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "toy@1").mkdir()
    with pytest.raises(StoreError, match="no run 'nothing'"):
        load.model("replay:nothing", results=tmp_path)


async def test_several_runs_of_a_suite_are_no_recording(tmp_path: Path) -> None:
    for run in ("one", "two"):
        await run_of(tmp_path, Scripted(half, name="m"), toy.suite(4), run=run)
    with pytest.raises(StoreError, match=r"matches 2 runs of .*: one, two; name one"):
        load.model(f"replay:{tmp_path}", results=tmp_path)
