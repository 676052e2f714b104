"""Before the first call: which samples, which run on disk, what of it is done, and in which order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from msgspec import structs

from evals.data.sample_store import SampleStore
from evals.errors import DataError, StoreError, UsageError
from evals.records import store
from evals.run import plan
from evals.run.job import Job, Options
from evals.run.order import calling_order
from evals.run.plan import subset
from evals.run.rescore import rescore
from evals.run.sampling import override
from evals.types import Failure, Record, Reply, Sample, Sampling, Usage
from tests.support import toy


@pytest.fixture
def spooled() -> Iterator[SampleStore]:
    samples = filled(toy.samples(60, groups=("x", "x", "x", "y", "y", "z")))  # 30 x, 20 y, 10 z
    yield samples
    samples.close()


def filled(items: Sequence[Sample]) -> SampleStore:
    samples = SampleStore()
    for item in items:
        samples.add(item)
    samples.freeze()
    return samples


def ids(samples: SampleStore, chosen: Sequence[int]) -> set[str]:
    return {samples.ids[position] for position in chosen}


# --- which samples ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, 60, 61, 10_000])
def test_without_a_limit_below_its_size_all_are_asked(spooled: SampleStore, limit: int | None) -> None:
    assert subset(spooled, limit, seed=0, suite="toy") == list(range(60))


@pytest.mark.parametrize(
    ("limit", "shares"),
    [(6, {"x": 3, "y": 2, "z": 1}), (12, {"x": 6, "y": 4, "z": 2}), (1, None), (59, None)],
)
def test_a_subset_keeps_the_shares_of_the_groups(
    spooled: SampleStore, limit: int, shares: dict[str, int] | None
) -> None:
    chosen = subset(spooled, limit, seed=0, suite="toy")
    assert len(set(chosen)) == limit
    assert chosen == sorted(chosen)
    if shares is not None:
        assert Counter(spooled.groups[p] for p in chosen) == shares


def test_every_item_has_the_same_chance_even_in_a_small_group(spooled: SampleStore) -> None:
    drawn = Counter(
        spooled.groups[position]
        for seed in range(600)
        for position in subset(spooled, 2, seed=seed, suite="toy")
    )
    sizes = Counter(spooled.groups)
    for group, size in sizes.items():  # the smallest one got none of two items, whatever the seed
        assert drawn[group] / 1200 == pytest.approx(size / 60, abs=0.05)


def test_a_subset_is_drawn_and_not_the_first_ones(spooled: SampleStore) -> None:
    assert subset(spooled, 12, seed=0, suite="toy") != list(range(12))


def test_the_seed_and_the_suite_decide_the_subset(spooled: SampleStore) -> None:
    def draw(seed: int, suite: str) -> set[str]:
        return ids(spooled, subset(spooled, 12, seed=seed, suite=suite))

    assert draw(0, "toy") == draw(0, "toy")
    assert len({frozenset(draw(seed, "toy")) for seed in range(5)}) == 5
    assert draw(0, "toy") != draw(0, "other")


def test_the_subset_does_not_depend_on_the_order_of_rows(spooled: SampleStore) -> None:
    items = list(spooled)
    Random(3).shuffle(items)
    other = filled(items)
    try:
        for limit in (1, 7, 30, 59):
            here, there = (
                subset(spooled, limit, seed=1, suite="toy"),
                subset(other, limit, seed=1, suite="toy"),
            )
            assert ids(spooled, here) == ids(other, there)
    finally:
        other.close()


def test_a_larger_subset_holds_the_smaller_one_of_a_group() -> None:
    samples = filled(toy.samples(40))
    try:
        small, large = (set(subset(samples, n, seed=0, suite="toy")) for n in (5, 20))
        assert small < large  # what was asked for a trial is not asked in vain
    finally:
        samples.close()


# --- how they are asked -------------------------------------------------------------------------------------


def test_what_the_user_sets_replaces_the_suites_own() -> None:
    own = Sampling(temperature=0.0, max_tokens=100, top_p=0.9)
    assert override(own, Sampling(max_tokens=7), seed=5) == Sampling(temperature=0.0, max_tokens=7, top_p=0.9)


def test_a_drawn_reply_gets_the_runs_seed_and_a_greedy_one_none() -> None:
    assert override(Sampling(temperature=0.5), Sampling(), seed=5).seed == 5
    assert override(Sampling(), Sampling(), seed=5).seed == 5  # the server's default may well draw
    assert override(Sampling(temperature=0.5), Sampling(temperature=0.0), seed=5).seed is None
    assert override(Sampling(temperature=0.5, seed=1), Sampling(), seed=5).seed == 1


@pytest.mark.parametrize("thinking", [True, False])
def test_a_switch_that_is_off_is_set_too(thinking: bool) -> None:
    assert override(Sampling(thinking=True), Sampling(thinking=thinking), seed=0).thinking is thinking


def test_nought_is_a_temperature() -> None:
    assert override(Sampling(temperature=1.0), Sampling(temperature=0.0), seed=0).temperature == 0.0


# --- which run ----------------------------------------------------------------------------------------------


def name_of(job: Job) -> str:
    toy.close_job(job)
    return job.writer.path.name


def written(results: Path, *records: Record, seal: bool = False, **options: object) -> str:
    """A run of the toy suite with some records; gives its name."""
    job = toy.job(results, **options)
    for record in records:
        job.writer.append(record)
    if seal:
        job.writer.finalize()
    return name_of(job)


@pytest.mark.parametrize("seal", [True, False])
def test_the_same_command_goes_on_where_it_was(tmp_path: Path, seal: bool) -> None:
    first = written(tmp_path, toy.record("q000"), toy.record("q001"), toy.failed_record("q002"), seal=seal)
    job = toy.job(tmp_path)
    assert job.done == {("q000", 0), ("q001", 0)}  # what failed is asked again, what is absent too
    assert [job.samples.ids[p] for _, p, _ in calling_order([job])] == ["q002", "q003"]
    assert (name_of(job), job.notes) == (first, [])


CHANGES = {
    "seed": {"seed": 1},
    "repeats": {"repeats": 2},
    "--limit": {"limit": 3},
    "max tokens": {"sampling": Sampling(max_tokens=5)},
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_changed_configuration_makes_a_new_run_and_says_what_changed(tmp_path: Path, changed: str) -> None:
    first = written(tmp_path, toy.record("q000"))
    job = toy.job(tmp_path, **CHANGES[changed])
    assert job.done == set()
    assert name_of(job) != first
    (note,) = job.notes
    assert note.startswith("a new run, since")
    assert f"since {changed} is " in note
    assert note.endswith(f" in {first}")


def test_changed_data_make_a_new_run(tmp_path: Path) -> None:
    first = written(tmp_path, toy.record("q000"))
    job = toy.job(tmp_path, toy.suite([*toy.samples(3), toy.sample("q003", target="B")]))
    assert name_of(job) != first
    assert "the data's SHA-256 is " in job.notes[0]


def test_another_model_starts_without_a_word(tmp_path: Path) -> None:
    written(tmp_path, toy.record("q000"))
    job = toy.job(tmp_path, model="other")
    assert (job.notes, job.done) == ([], set())
    toy.close_job(job)


def test_a_named_run_is_made_resumed_and_given_a_number_when_it_differs(tmp_path: Path) -> None:
    assert written(tmp_path, toy.record("q000"), run="mine") == "mine"
    again = toy.job(tmp_path, run="mine")
    assert again.done == {("q000", 0)}
    assert name_of(again) == "mine"
    other = toy.job(tmp_path, run="mine", seed=1)
    other.writer.append(toy.record("q000"))
    assert name_of(other) == "mine-2"
    assert "run mine exists, so this is mine-2: seed is 1 and was 0" in other.notes[0]
    third = toy.job(tmp_path, run="mine", seed=1)
    assert name_of(third) == "mine-2"


@pytest.mark.parametrize("name", ["", "a/b", "../up", "a b", "toy@1", ".hidden"])
def test_a_name_that_is_no_folders_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="use letters, digits, dots, hyphens and underscores"):
        toy.job(tmp_path, run=name)
    assert list(tmp_path.iterdir()) == []


def test_an_imported_run_is_not_resumed(tmp_path: Path) -> None:
    first = written(tmp_path, toy.record("q000"))
    path = next(tmp_path.glob("*/*/*/card.json")).parent
    card = store.read_card(path)
    card.origin = "import replies"
    store.write_card(path, card)
    assert name_of(toy.job(tmp_path)) != first


def test_a_broken_neighbour_does_not_keep_a_run_from_starting(tmp_path: Path) -> None:
    written(tmp_path, toy.record("q000"), seal=True)
    path = next(tmp_path.glob("*/*/*/card.json"))
    path.write_bytes(b'{"format": 99}')
    path.with_name("records.parquet").write_bytes(b"PAR1 rotten")
    toy.close_job(toy.job(tmp_path))
    with pytest.raises(StoreError, match="format 99"):
        toy.job(tmp_path, run=path.parent.name)  # but it is not overwritten


def test_a_second_process_on_the_same_run_is_refused(tmp_path: Path) -> None:
    first = toy.job(tmp_path, run="mine")
    first.writer.append(toy.record("q000"))
    with pytest.raises(StoreError, match="run mine is being written by another process"):
        toy.job(tmp_path, run="mine")
    toy.close_job(first)


def test_a_reply_whose_scorer_broke_is_scored_again_and_not_asked_again(tmp_path: Path) -> None:
    broken = structs.replace(
        toy.record("q000"), scores={"exact": Failure(stage="scorer", kind="crash", message="KeyError")}
    )
    written(tmp_path, broken)
    job = toy.job(tmp_path)
    assert job.done == {("q000", 0)}
    assert job.is_stale  # the run scores it, not the plan
    rescore(job.writer, job.suite)
    (record,) = store.Run(job.writer.path).records()
    assert record.scores["exact"] == toy.Exact()(toy.sample("q000"), record.prompt, record.outcome)
    toy.close_job(job)


def test_a_changed_rule_scores_stored_replies_again(tmp_path: Path) -> None:
    written(tmp_path, toy.record("q000", text="B", value=1.0))  # by an older rule B was right
    job = toy.job(tmp_path, toy.suite(scorers={"exact": toy.Exact(2)}))
    assert job.is_stale
    assert job.writer.card.scorers == {"exact": "Exact(1)@1"}  # until it is so
    rescore(job.writer, job.suite)
    (record,) = store.Run(job.writer.path).records()
    assert record.scores["exact"].value == 0.0
    assert job.writer.card.scorers == {"exact": "Exact(2)@1"}
    toy.close_job(job)


# --- refusals -----------------------------------------------------------------------------------------------


def test_a_protocol_that_refuses_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no judge yet"):
        toy.job(tmp_path, toy.suite(refuses="there is no judge yet"))


def test_samples_without_questions_cannot_be_asked(tmp_path: Path) -> None:
    suite = toy.suite([toy.sample("1"), toy.sample("2", question="")])
    with pytest.raises(DataError, match="toy: sample '2' has no question, so no model can be called"):
        toy.job(tmp_path, suite)
    assert list(tmp_path.iterdir()) == []


def test_other_rows_than_the_pinned_ones_are_accepted_only_knowingly(tmp_path: Path) -> None:
    suite = toy.suite(2)
    data = plan.data_for(suite, Options(sample=True))
    samples, digest = plan.read_samples(suite, data)
    samples.close()
    with pytest.raises(DataError, match=f"the rows hash to {digest[:16]}.* add --data-hash {digest[:16]}"):
        plan.read_samples(structs.replace(suite, sha256="0" * 64), plan.data_for(suite, Options()))
    with pytest.raises(DataError, match="not the data behind"):
        plan.read_samples(suite, data, accepted_hash="beef")
    samples, again = plan.read_samples(
        structs.replace(suite, sha256="0" * 64), data, accepted_hash=digest[:16]
    )
    samples.close()
    assert again == digest


# --- in which order -----------------------------------------------------------------------------------------


def history(results: Path, tokens: dict[str, int], *, model: str = "toy-model", seconds: float = 1.0) -> Path:
    """A sealed run in which each sample took so many output tokens."""
    job = toy.job(results, model=model, seed=99)
    for name, count in tokens.items():
        outcome = Reply(text="A", usage=Usage(output=count), seconds=seconds)
        job.writer.append(structs.replace(toy.record(name), outcome=outcome))
    job.writer.finalize()
    toy.close_job(job)
    return job.writer.path / "records.parquet"


def asked(*jobs: Job) -> list[str]:
    found = [
        f"{jobs[n].samples.ids[p]}.{r}" if jobs[n].repeats > 1 else jobs[n].samples.ids[p]
        for n, p, r in calling_order(jobs)
    ]
    for job in jobs:
        toy.close_job(job)
    return found


def test_without_any_history_the_order_is_the_datas(tmp_path: Path) -> None:
    assert asked(toy.job(tmp_path)) == ["q000", "q001", "q002", "q003"]


def test_the_longest_of_an_earlier_run_is_asked_first(tmp_path: Path) -> None:
    history(tmp_path, {"q000": 5, "q001": 500, "q002": 50, "q003": 5000})
    assert asked(toy.job(tmp_path)) == ["q003", "q001", "q002", "q000"]


def test_a_sample_that_was_never_asked_takes_the_mean(tmp_path: Path) -> None:
    history(tmp_path, {"q000": 10, "q001": 1000, "q002": 100})
    assert asked(toy.job(tmp_path)) == ["q001", "q003", "q002", "q000"]  # q003 is taken for 370


def test_the_models_own_history_counts_before_a_newer_one_of_another(tmp_path: Path) -> None:
    own = history(tmp_path, {"q000": 1, "q001": 2, "q002": 3, "q003": 4})
    history(tmp_path, {"q000": 4, "q001": 3, "q002": 2, "q003": 1}, model="other")
    os.utime(own, (1, 1))
    assert asked(toy.job(tmp_path)) == ["q003", "q002", "q001", "q000"]
    assert asked(toy.job(tmp_path, model="third")) == ["q000", "q001", "q002", "q003"]


def test_an_earlier_run_of_few_of_the_samples_says_too_little(tmp_path: Path) -> None:
    history(tmp_path, {"q003": 5000})
    assert asked(toy.job(tmp_path)) == ["q000", "q001", "q002", "q003"]


def test_where_tokens_are_not_counted_seconds_decide(tmp_path: Path) -> None:
    job = toy.job(tmp_path, seed=99)
    for i, seconds in enumerate((1.0, 9.0, 5.0, 7.0)):
        job.writer.append(structs.replace(toy.record(f"q{i:03}"), outcome=Reply(text="A", seconds=seconds)))
    job.writer.finalize()
    toy.close_job(job)
    assert asked(toy.job(tmp_path)) == ["q001", "q003", "q002", "q000"]


def test_two_suites_share_one_queue(tmp_path: Path) -> None:
    history(tmp_path, {"q000": 5, "q001": 500, "q002": 50, "q003": 5000})
    other = toy.suite([toy.sample("long"), toy.sample("short")], name="tiny")
    job = toy.job(tmp_path, other, seed=99)
    for name, count in (("long", 600), ("short", 1)):
        job.writer.append(
            structs.replace(toy.record(name), outcome=Reply(text="A", usage=Usage(output=count)))
        )
    job.writer.finalize()
    toy.close_job(job)
    assert asked(toy.job(tmp_path), toy.job(tmp_path, other)) == [
        "q003",
        "long",
        "q001",
        "q002",
        "q000",
        "short",
    ]


def test_the_repeats_of_all_samples_come_round_by_round(tmp_path: Path) -> None:
    suite = toy.suite(2, repeats=2)
    assert asked(toy.job(tmp_path, suite)) == ["q000.0", "q001.0", "q000.1", "q001.1"]
