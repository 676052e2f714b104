"""What is decided before the first call: the samples, the run on disk, which of its samples are done, and the order of calls."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec import structs

from evals.data.sample_store import SampleStore
from evals.errors import DataError, StoreError, UsageError
from evals.records import store
from evals.run import plan
from evals.run.job import Job, Options
from evals.run.order import calling_order
from evals.run.rescore import rescore, rescore_records
from evals.run.sampling import override
from evals.run.selection import subset
from evals.types import Failure, Record, Reply, Sample, Sampling, Score, Usage
from tests.support import toy
from tests.support.command import evals
from tests.support.error_messages import raises


@pytest.fixture
def samples() -> Iterator[SampleStore]:
    """Sixty samples: 30 of group x, 20 of group y and 10 of group z."""
    samples = fill_store(toy.samples(60, groups=("x", "x", "x", "y", "y", "z")))
    yield samples
    samples.close()


def fill_store(items: Sequence[Sample]) -> SampleStore:
    samples = SampleStore()
    for item in items:
        samples.add(item)
    samples.freeze()
    return samples


def ids(samples: SampleStore, positions: Sequence[int]) -> set[str]:
    return {samples.ids[position] for position in positions}


# --- samples ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, 60, 61, 10_000])
def test_without_a_limit_below_the_number_of_samples_all_are_selected(
    samples: SampleStore, limit: int | None
) -> None:
    assert subset(samples, limit, seed=0, suite="toy") == list(range(60))


@pytest.mark.parametrize(
    ("limit", "shares"),
    [(6, {"x": 3, "y": 2, "z": 1}), (12, {"x": 6, "y": 4, "z": 2}), (1, None), (59, None)],
)
def test_a_subset_keeps_the_shares_of_the_groups(
    samples: SampleStore, limit: int, shares: dict[str, int] | None
) -> None:
    positions = subset(samples, limit, seed=0, suite="toy")
    assert len(set(positions)) == limit
    assert positions == sorted(positions)
    if shares is not None:
        assert Counter(samples.groups[p] for p in positions) == shares


def test_every_item_is_equally_likely_even_in_a_small_group(samples: SampleStore) -> None:
    selections = Counter(
        samples.groups[position]
        for seed in range(600)
        for position in subset(samples, 2, seed=seed, suite="toy")
    )
    sizes = Counter(samples.groups)
    # a fixed allocation would always give the smallest group none of the two items
    for group, size in sizes.items():
        assert selections[group] / 1200 == pytest.approx(size / 60, abs=0.05)


def test_a_subset_is_random_and_not_the_first_samples(samples: SampleStore) -> None:
    assert subset(samples, 12, seed=0, suite="toy") != list(range(12))


def test_the_subset_depends_on_the_seed_and_the_suite(samples: SampleStore) -> None:
    def subset_ids(seed: int, suite: str) -> set[str]:
        return ids(samples, subset(samples, 12, seed=seed, suite=suite))

    assert subset_ids(0, "toy") == subset_ids(0, "toy")
    assert len({frozenset(subset_ids(seed, "toy")) for seed in range(5)}) == 5
    assert subset_ids(0, "toy") != subset_ids(0, "other")


def test_the_subset_does_not_depend_on_the_order_of_rows(samples: SampleStore) -> None:
    items = list(samples)
    Random(3).shuffle(items)
    shuffled = fill_store(items)
    try:
        for limit in (1, 7, 30, 59):
            subset_of_original, subset_of_shuffled = (
                subset(samples, limit, seed=1, suite="toy"),
                subset(shuffled, limit, seed=1, suite="toy"),
            )
            assert ids(samples, subset_of_original) == ids(shuffled, subset_of_shuffled)
    finally:
        shuffled.close()


def test_a_larger_subset_contains_the_smaller_one() -> None:
    samples = fill_store(toy.samples(40))
    try:
        small, large = (set(subset(samples, n, seed=0, suite="toy")) for n in (5, 20))
        assert small < large  # so that the replies of a trial run can be reused
    finally:
        samples.close()


# --- sampling -----------------------------------------------------------------------------------------------


def test_sampling_set_by_the_user_replaces_that_of_the_suite() -> None:
    suite_sampling = Sampling(temperature=0.0, max_tokens=100, top_p=0.9)
    assert override(suite_sampling, Sampling(max_tokens=7), seed=5) == Sampling(
        temperature=0.0, max_tokens=7, top_p=0.9
    )


def test_sampled_replies_get_the_seed_of_the_run_and_greedy_ones_none() -> None:
    assert override(Sampling(temperature=0.5), Sampling(), seed=5).seed == 5
    assert override(Sampling(), Sampling(), seed=5).seed == 5  # the server's default may be to sample
    assert override(Sampling(temperature=0.5), Sampling(temperature=0.0), seed=5).seed is None
    assert override(Sampling(temperature=0.5, seed=1), Sampling(), seed=5).seed == 1


@pytest.mark.parametrize("thinking", [True, False])
def test_thinking_can_be_switched_on_and_off(thinking: bool) -> None:
    assert override(Sampling(thinking=True), Sampling(thinking=thinking), seed=0).thinking is thinking


def test_a_temperature_of_zero_is_a_setting() -> None:
    assert override(Sampling(temperature=1.0), Sampling(temperature=0.0), seed=0).temperature == 0.0


# --- runs ---------------------------------------------------------------------------------------------------


def close_and_return_name(job: Job) -> str:
    toy.close_job(job)
    return job.writer.path.name


def write_run(results: Path, *records: Record, finalize: bool = False, **options: object) -> str:
    """Write a run of the toy suite with these records and return its name."""
    job = toy.job(results, **options)
    for record in records:
        job.writer.append(record)
    if finalize:
        job.writer.finalize()
    return close_and_return_name(job)


@pytest.mark.parametrize("finalize", [True, False])
def test_the_same_command_resumes_the_run(tmp_path: Path, finalize: bool) -> None:
    name = write_run(
        tmp_path, toy.record("q000"), toy.record("q001"), toy.failed_record("q002"), finalize=finalize
    )
    job = toy.job(tmp_path)
    assert job.done == {("q000", 0), ("q001", 0)}  # the failed and the absent sample still need a call
    assert [job.samples.ids[p] for _, p, _ in calling_order([job])] == ["q002", "q003"]
    assert (close_and_return_name(job), job.notes) == (name, [])


def test_a_reply_to_an_unknown_sample_does_not_count_as_one_of_the_run(tmp_path: Path) -> None:
    write_run(tmp_path, *(toy.record(name) for name in ("q000", "q001", "q002", "q999")))
    job = toy.job(tmp_path)
    assert job.done == {(name, 0) for name in ("q000", "q001", "q002")}
    assert not job.reuse_message
    toy.close_job(job)


CHANGES = {
    "seed": {"seed": 1},
    "repeats": {"repeats": 2},
    "--limit": {"limit": 3},
    "max tokens": {"sampling": Sampling(max_tokens=5)},
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_changed_configuration_starts_a_new_run_and_names_the_change(tmp_path: Path, changed: str) -> None:
    first = write_run(tmp_path, toy.record("q000"))
    job = toy.job(tmp_path, **CHANGES[changed])
    assert job.done == set()
    assert close_and_return_name(job) != first
    (note,) = job.notes
    assert note.startswith("a new run, since")
    assert f"since {changed} is " in note
    assert note.endswith(f" in {first}")


def test_the_order_in_which_samples_are_named_does_not_matter(tmp_path: Path) -> None:
    first = write_run(tmp_path, toy.record("q001"), sample_ids=("q002", "q001"))
    job = toy.job(tmp_path, sample_ids=("q001", "q002", "q002"))
    assert job.done == {("q001", 0)}
    assert close_and_return_name(job) == first


def test_changed_data_start_a_new_run(tmp_path: Path) -> None:
    first = write_run(tmp_path, toy.record("q000"))
    job = toy.job(tmp_path, toy.suite([*toy.samples(3), toy.sample("q003", target="B")]))
    assert close_and_return_name(job) != first
    assert "the data's SHA-256 is " in job.notes[0]


def test_a_run_of_another_model_starts_without_a_note(tmp_path: Path) -> None:
    write_run(tmp_path, toy.record("q000"))
    job = toy.job(tmp_path, model="other")
    assert (job.notes, job.done) == ([], set())
    toy.close_job(job)


def test_a_named_run_is_created_resumed_and_numbered_if_the_configuration_differs(tmp_path: Path) -> None:
    assert write_run(tmp_path, toy.record("q000"), run="mine") == "mine"
    resumed = toy.job(tmp_path, run="mine")
    assert resumed.done == {("q000", 0)}
    assert close_and_return_name(resumed) == "mine"
    changed = toy.job(tmp_path, run="mine", seed=1)
    changed.writer.append(toy.record("q000"))
    assert close_and_return_name(changed) == "mine-2"
    assert "run mine exists, so this is mine-2: seed is 1 and was 0" in changed.notes[0]
    resumed_changed = toy.job(tmp_path, run="mine", seed=1)
    assert close_and_return_name(resumed_changed) == "mine-2"


@pytest.mark.parametrize("name", ["", "a/b", "../up", "a b", "toy@1", ".hidden"])
def test_a_name_that_cannot_be_a_folder_is_rejected(tmp_path: Path, name: str) -> None:
    with raises(UsageError):
        toy.job(tmp_path, run=name)
    assert list(tmp_path.iterdir()) == []


def test_an_imported_run_is_not_resumed(tmp_path: Path) -> None:
    first = write_run(tmp_path, toy.record("q000"))
    path = next(tmp_path.glob("*/*/*/card.json")).parent
    card = store.read_card(path)
    card.origin = "import replies"
    store.write_card(path, card)
    assert close_and_return_name(toy.job(tmp_path)) != first
    named = toy.job(tmp_path, run=first)
    assert (named.done, named.writer.path.name) == (set(), f"{first}-2")
    assert named.notes == [
        f"run {first} exists, so this is {first}-2: the origin is 'import replies' in {first}"
    ]
    toy.close_job(named)


def test_a_corrupt_run_in_the_same_folder_does_not_prevent_a_new_run(tmp_path: Path) -> None:
    write_run(tmp_path, toy.record("q000"), finalize=True)
    path = next(tmp_path.glob("*/*/*/card.json"))
    path.write_bytes(b'{"format": 99}')
    path.with_name("records.parquet").write_bytes(b"PAR1 rotten")
    toy.close_job(toy.job(tmp_path))
    with raises(StoreError):
        toy.job(tmp_path, run=path.parent.name)  # the corrupt run itself is not overwritten


def test_a_second_process_cannot_write_the_same_run(tmp_path: Path) -> None:
    first = toy.job(tmp_path, run="mine")
    first.writer.append(toy.record("q000"))
    with raises(StoreError):
        toy.job(tmp_path, run="mine")
    toy.close_job(first)


def test_a_reply_whose_scorer_crashed_is_scored_again_without_a_call(tmp_path: Path) -> None:
    unscored = structs.replace(
        toy.record("q000"), scores={"exact": Failure(stage="scorer", kind="crash", message="KeyError")}
    )
    write_run(tmp_path, unscored)
    job = toy.job(tmp_path)
    assert job.done == {("q000", 0)}
    assert job.is_stale  # the reply is scored by the run, not during planning
    rescore(job.writer, job.suite)
    (record,) = store.Run(job.writer.path).records()
    assert record.scores["exact"] == toy.Exact()(toy.sample("q000"), record.prompt, record.outcome)
    toy.close_job(job)


class InterruptedScoring:
    """Scorers that are interrupted on the last sample, after the scores of the others have arrived."""

    all_light = False

    async def score_all(self, sample: Sample, *_: object) -> dict[str, Score | Failure]:
        if sample.id == "q003":
            await asyncio.sleep(0.05)
            raise KeyboardInterrupt
        return {"exact": Score(value=0.5, verdict="graded")}

    async def close(self) -> None:
        pass


def test_an_interrupt_while_rescoring_keeps_the_scores_that_have_arrived() -> None:
    samples = {sample.id: sample for sample in toy.samples(4)}
    records = map(toy.record, samples)
    scoring: Any = InterruptedScoring()
    pairs = rescore_records(scoring, samples, records)
    rescored = [after for _, after in islice(pairs, 3)]
    assert [record.sample for record in rescored] == ["q000", "q001", "q002"]
    assert {record.scores["exact"].value for record in rescored} == {0.5}
    with pytest.raises(KeyboardInterrupt):
        next(pairs)


def test_stored_replies_are_scored_again_when_a_scorer_changes(tmp_path: Path) -> None:
    write_run(tmp_path, toy.record("q000", text="B", value=1.0))  # an older rule graded B as right
    job = toy.job(tmp_path, toy.suite(scorers={"exact": toy.Exact(2)}))
    assert job.is_stale
    # the card keeps the old scorer until the replies are scored again
    assert job.writer.card.scorers == {"exact": "Exact(1)@1"}
    rescore(job.writer, job.suite)
    (record,) = store.Run(job.writer.path).records()
    assert record.scores["exact"].value == 0.0
    assert job.writer.card.scorers == {"exact": "Exact(2)@1"}
    toy.close_job(job)


# --- errors -------------------------------------------------------------------------------------------------


def test_a_protocol_that_cannot_run_gives_its_reason(tmp_path: Path) -> None:
    with raises(UsageError):
        toy.job(tmp_path, toy.suite(refuses="there is no judge yet"))


def test_samples_without_questions_are_rejected(tmp_path: Path) -> None:
    suite = toy.suite([toy.sample("1"), toy.sample("2", question="")])
    with raises(DataError):
        toy.job(tmp_path, suite)
    assert list(tmp_path.iterdir()) == []


def test_rows_other_than_the_pinned_ones_need_their_hash_as_an_option(tmp_path: Path) -> None:
    suite = toy.suite(2)
    data = plan.data_for(suite, Options(sample=True))
    samples, digest = plan.read_samples(suite, data)
    samples.close()
    with raises(DataError):
        plan.read_samples(structs.replace(suite, sha256="0" * 64), plan.data_for(suite, Options()))
    with raises(DataError):
        plan.read_samples(suite, data, accepted_hash="beef")
    samples, accepted_digest = plan.read_samples(
        structs.replace(suite, sha256="0" * 64), data, accepted_hash=digest[:16]
    )
    samples.close()
    assert accepted_digest == digest


# --- order of calls -----------------------------------------------------------------------------------------


def write_history(
    results: Path, tokens: dict[str, int], *, model: str = "toy-model", seconds: float = 1.0
) -> Path:
    """Write a finished run with these numbers of output tokens and return its records file."""
    job = toy.job(results, model=model, seed=99)
    for name, count in tokens.items():
        outcome = Reply(text="A", usage=Usage(output=count), seconds=seconds)
        job.writer.append(structs.replace(toy.record(name), outcome=outcome))
    job.writer.finalize()
    toy.close_job(job)
    return job.writer.path / "records.parquet"


def called_ids(*jobs: Job) -> list[str]:
    """Return the ids of the samples in calling order, and close the jobs."""
    names = [
        f"{jobs[n].samples.ids[p]}.{r}" if jobs[n].repeats > 1 else jobs[n].samples.ids[p]
        for n, p, r in calling_order(jobs)
    ]
    for job in jobs:
        toy.close_job(job)
    return names


def test_without_an_earlier_run_samples_are_called_in_data_order(tmp_path: Path) -> None:
    assert called_ids(toy.job(tmp_path)) == ["q000", "q001", "q002", "q003"]


def test_the_sample_with_the_longest_earlier_reply_is_called_first(tmp_path: Path) -> None:
    write_history(tmp_path, {"q000": 5, "q001": 500, "q002": 50, "q003": 5000})
    assert called_ids(toy.job(tmp_path)) == ["q003", "q001", "q002", "q000"]


def test_a_sample_without_an_earlier_reply_is_assumed_to_have_the_mean_length(tmp_path: Path) -> None:
    write_history(tmp_path, {"q000": 10, "q001": 1000, "q002": 100})
    # q003 is assumed to take 370 tokens
    assert called_ids(toy.job(tmp_path)) == ["q001", "q003", "q002", "q000"]


def test_an_earlier_run_of_the_same_model_takes_precedence_over_a_newer_one_of_another(
    tmp_path: Path,
) -> None:
    own_records = write_history(tmp_path, {"q000": 1, "q001": 2, "q002": 3, "q003": 4})
    write_history(tmp_path, {"q000": 4, "q001": 3, "q002": 2, "q003": 1}, model="other")
    os.utime(own_records, (1, 1))
    assert called_ids(toy.job(tmp_path)) == ["q003", "q002", "q001", "q000"]
    assert called_ids(toy.job(tmp_path, model="third")) == ["q000", "q001", "q002", "q003"]


def test_an_earlier_run_with_only_a_few_of_the_samples_is_ignored(tmp_path: Path) -> None:
    write_history(tmp_path, {"q003": 5000})
    assert called_ids(toy.job(tmp_path)) == ["q000", "q001", "q002", "q003"]


def test_without_token_counts_the_order_follows_the_seconds(tmp_path: Path) -> None:
    job = toy.job(tmp_path, seed=99)
    for i, seconds in enumerate((1.0, 9.0, 5.0, 7.0)):
        job.writer.append(structs.replace(toy.record(f"q{i:03}"), outcome=Reply(text="A", seconds=seconds)))
    job.writer.finalize()
    toy.close_job(job)
    assert called_ids(toy.job(tmp_path)) == ["q001", "q003", "q002", "q000"]


def test_two_suites_share_one_queue(tmp_path: Path) -> None:
    write_history(tmp_path, {"q000": 5, "q001": 500, "q002": 50, "q003": 5000})
    tiny_suite = toy.suite([toy.sample("long"), toy.sample("short")], name="tiny")
    job = toy.job(tmp_path, tiny_suite, seed=99)
    for name, count in (("long", 600), ("short", 1)):
        job.writer.append(
            structs.replace(toy.record(name), outcome=Reply(text="A", usage=Usage(output=count)))
        )
    job.writer.finalize()
    toy.close_job(job)
    assert called_ids(toy.job(tmp_path), toy.job(tmp_path, tiny_suite)) == [
        "q003",
        "long",
        "q001",
        "q002",
        "q000",
        "short",
    ]


def test_all_samples_are_called_once_before_any_is_repeated(tmp_path: Path) -> None:
    suite = toy.suite(2, repeats=2)
    assert called_ids(toy.job(tmp_path, suite)) == ["q000.0", "q001.0", "q000.1", "q001.1"]


def test_a_new_run_reports_that_an_earlier_one_has_a_damaged_card(here: Path) -> None:
    command = ("run", "mmlu-pro", "--sample", "-m", "demo:careful")
    assert evals(*command).status == 0
    (card,) = Path("results").rglob("card.json")
    card.write_text(card.read_text()[:300])
    outcome = evals(*command)
    assert outcome.status == 0
    assert f"mmlu-pro: not resumed: {card}: Input data was truncated" in outcome.err
    assert "not resumed" not in evals(*command).err  # the second run is complete, and reused
