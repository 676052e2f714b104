"""`evals run`: the whole way from names on the command line to a table of scores."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evals.commands.common import (
    data_options,
    json_option,
    note,
    price_of,
    results_option,
    trust_option,
)
from evals.commands.order import Order, options_of, read_order, validate, without_secrets
from evals.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evals.commands.until import Until
    from evals.run.plan import Job
    from evals.run.progress import Progress
    from evals.run.runner import Budget, Runner
    from evals.suite import Suite
    from evals.types import Model, Sampling
    from evals.verdicts.sequential import Race


@click.command()
@click.argument("suites", nargs=-1, required=True, metavar="SUITE... | FILE.toml")
@click.option("-m", "--model", "models", multiple=True, help="ADAPTER:NAME; repeat for several models.")
@click.option("--protocol", help="Way of asking and scoring; default: the suite's first.")
@data_options
@click.option("--limit", type=int, help="A seeded random subset of this many items, stratified by group.")
@click.option("--repeats", type=int, help="Ask every item this many times.")
@click.option("--concurrency", type=int, help="Calls at once: start there and never exceed it.")
@click.option("--seed", type=int, default=0, show_default=True, help="For the subset and for sampling.")
@click.option("--temperature", type=float)
@click.option("--top-p", type=float)
@click.option("--max-tokens", type=int, help="Of one reply, reasoning included.")
@click.option("--thinking/--no-thinking", default=None, help="Switch reasoning, on servers that can.")
@click.option(
    "--recommended",
    is_flag=True,
    help="Use the sampling of the model's makers even where the protocol fixes another.",
)
@click.option("--max-cost", type=float, metavar="USD", help="Stop once this much is spent.")
@click.option(
    "--price",
    metavar="IN,OUT[,CACHED]",
    help="USD per million tokens; default: what the model's profile says.",
)
@click.option("--max-total-tokens", type=int, help="Stop once this many tokens are used.")
@click.option("--timeout", type=float, metavar="S", help="Deadline of one call.")
@trust_option
@results_option
@click.option("--run", metavar="ID", help="Name the run, to make or to resume.")
@click.option("--max-pixels", type=int, metavar="N", help="Shrink images that have more pixels.")
@click.option("--trust-remote-code", is_flag=True, help="Run code that comes with a model's weights.")
@click.option("--cluster", metavar="ADDRESS", help="Run replicas of the model: `ray`, or ray://HOST:PORT.")
@click.option("--replicas", type=int, metavar="N", help="How many on a cluster; default: as many as fit.")
@click.option("--gpus", type=int, metavar="N", help="Per replica; default: what the profile says.")
@click.option("--judge", metavar="ADAPTER:NAME", help="Model that grades, for protocols with a judge.")
@click.option("--judge-price", metavar="IN,OUT[,CACHED]", help="USD per million of the judge's tokens.")
@click.option("--data-hash", metavar="HEX", help="Accept rows with this hash in place of the pinned ones.")
@click.option("--against", metavar="RUN|FILE", help="Baseline of --until-decided.")
@click.option(
    "--policy", type=click.Path(path_type=Path), help="Policy of --until-decided; see `evals gate`."
)
@click.option("--until-decided", is_flag=True, help="Ask at random and stop when the gate's verdict is sure.")
@click.option("--batch", is_flag=True, help="Half the price, within a day: openai: and anthropic:.")
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def run(suites: tuple[str, ...], models: tuple[str, ...], quiet: bool, as_json: bool, **options: Any) -> int:
    """Ask models the items of benchmarks, score the replies and keep everything.

    The same command again resumes what was interrupted. Exit status: 0 all scored, 1 finished with
    failures left, 2 nothing could be started, 130 interrupted.
    """
    order = read_order(suites, models, options)
    validate(order)
    until = _until(order)
    runners = _runners(order, until=until, quiet=quiet)
    cards = [job.writer.card for runner in runners for job in runner.jobs]
    if until is not None and not any(runner.interrupted or runner.hopeless for runner in runners):
        from evals.commands.until import say

        return say(until.report(), as_json=as_json)
    _print(cards, as_json=as_json, results=order.results)
    if any(runner.interrupted for runner in runners):
        return 130
    if any(runner.hopeless for runner in runners):
        return 2
    return 0 if all(card.coverage == 1.0 for card in cards) else 1


def measure(order: Order) -> bool:
    """Run an order on behalf of another command; gives whether it broke off."""
    validate(order)
    runners = _runners(order, until=None, quiet=False)
    return any(runner.interrupted or bool(runner.hopeless) for runner in runners)


def _runners(order: Order, *, until: Until | None, quiet: bool) -> list[Runner]:
    """Run one model after the other; what a later one lacks is said before the first is asked.

    Replicas on a cluster are placed as their turn comes, since all together may not fit.
    """
    found = _suites(order)
    models = [None if order.cluster else _model(order, spec) for spec in order.models]
    runners = []
    for spec, model in zip(order.models, models, strict=True):
        model = model or _model(order, spec)
        runners.append(_run_model(order, found, spec, model, until=until, quiet=quiet))
        if runners[-1].interrupted:
            break
    return runners


def _until(order: Order) -> Until | None:
    if not (order.against or order.policy or order.until_decided):
        return None
    from evals.commands.until import wanted

    return wanted(
        order.against,
        order.policy,
        until_decided=order.until_decided,
        models=order.models,
        results=order.results,
    )


def _suites(order: Order) -> list[Suite]:
    from evals import load

    found = [suite for spec in order.suites for suite in load.suite(spec, order.protocol)]
    unique = {(suite.id, suite.protocol): suite for suite in found}
    return _askable(list(unique.values()))


def _askable(suites: Sequence[Suite]) -> list[Suite]:
    """Put our wording, under its own protocol, in the place of words that cannot be read here, and say so."""
    from evals import load

    found = [load.askable(suite) for suite in suites]
    why: dict[str, list[str]] = {}
    for suite, asked in zip(suites, found, strict=True):
        if suite.words is not None and asked is not suite:
            said = f"{suite.words.fault()}; asked in ours, as {asked.protocol}, never ranked with {suite.protocol}"
            why.setdefault(said, []).append(suite.id)
    for line, names in why.items():
        note(f"{', '.join(names)}: {line}")
    return found


def _run_model(
    order: Order, found: Sequence[Suite], spec: str, model: Model, *, until: Until | None, quiet: bool
) -> Runner:
    suites = _judged(order, found)
    budget = _budget(order, spec)
    jobs = _prepare(order, suites, model, spec)
    try:
        return _work(order, model, jobs, budget, until=until, quiet=quiet)
    finally:
        for job in jobs:
            job.spool.close()
            job.writer.close()


def _model(order: Order, spec: str) -> Model:
    """Make the model here, or its replicas on a cluster."""
    from evals import load

    options = {"data": order.data, "sample": order.sample, "trust_remote_code": order.trust_remote_code}
    if not order.cluster:
        return load.model(spec, results=order.results, **options)
    from evals.run.cluster.ray_replicas import connect

    return connect(spec, order.cluster, replicas=order.replicas, gpus=order.gpus, options=options)


def _judged(order: Order, suites: Sequence[Suite]) -> Sequence[Suite]:
    """Refuse what cannot be run, and give the suites that want a judge theirs."""
    refusing = next((suite.refuses for suite in suites if suite.refuses), "")
    if refusing:
        raise UsageError(refusing)
    if not order.judge and not any(suite.judged for suite in suites):
        return suites
    from evals.commands.judging import seated

    return seated(
        suites,
        order.judge,
        name=without_secrets(order.judge or ""),
        price=price_of(order.judge_price),
        wait=False,
    )


def _budget(order: Order, spec: str) -> Budget:
    from evals import profiles
    from evals.run.runner import Budget

    price = price_of(order.price) or profiles.price(spec)
    if order.max_cost is not None and price is None:
        raise UsageError(
            f"--max-cost: the price of {spec} is not known; add --price IN,OUT (USD per million tokens)"
        )
    share = profiles.BATCH if order.batch else 1.0
    return Budget(cost_usd=order.max_cost, tokens=order.max_total_tokens, price=price, share=share)


def _prepare(order: Order, suites: Sequence[Suite], model: Model, spec: str) -> list[Job]:
    """Get every suite ready; a model that cannot take what a suite needs is refused, never scored 0."""
    from msgspec import structs

    from evals import profiles
    from evals.data.series import AS_TEXT
    from evals.run.plan import drawn, prepare

    if order.data is not None and order.data.is_file() and len(suites) > 1:
        raise UsageError(
            f"--data {order.data} is one file, and there are {len(suites)} suites; give a folder"
        )
    if order.batch and not hasattr(model, "batches"):
        raise UsageError(f"--batch: {spec} has no batch endpoint; openai: and anthropic: have one")
    profile = profiles.find(spec)
    options = structs.replace(options_of(order, profile), engine=getattr(model, "options", ""))
    remarks = [_remarks(model, drawn(suite, options)[0]) for suite in suites]
    jobs: list[Job] = []
    try:
        for suite, said in zip(suites, remarks, strict=True):
            if lacking := suite.needs - model.accepts - AS_TEXT - {"judge"}:
                raise UsageError(
                    f"{suite.id} needs a model that takes {', '.join(sorted(lacking))}; {spec} does not"
                )
            shown = without_secrets(spec)
            jobs.append(prepare(suite, options, model=model.name, spec=shown, takes=model.accepts))
            jobs[-1].notes += said
            _no_batch_waits(order, jobs[-1])
    except BaseException:
        for job in jobs:
            job.writer.close()
        raise
    for job in jobs:
        for line in (*job.notes, *job.writer.warnings, *_warnings(job)):
            note(f"{job.suite.id}: {line}")
    return jobs


def _remarks(model: Model, sampling: Sampling) -> list[str]:
    """Ask a hosted model what a card must say of it; it may refuse a wish of the user that it cannot meet."""
    remarks = getattr(model, "remarks", None)
    return list(remarks(sampling)) if remarks else []


def _no_batch_waits(order: Order, job: Job) -> None:
    """Refuse to ask one by one what a batch is answering already."""
    from evals.records.store import BATCHES
    from evals.run.batch import waiting

    if not order.batch and (found := waiting(job.writer.path)):
        job.writer.card.status = "interrupted"
        job.writer.write_card()
        raise UsageError(
            f"{job.writer.card.run} waits for batch {found[0].id or found[0].label}: add --batch to collect it, or "
            f"give it up by deleting {job.writer.path / BATCHES}"
        )


def _warnings(job: Job) -> list[str]:
    found = []
    if job.repeats > 1 and job.sampling.temperature == 0.0:
        found.append(f"warning: {job.repeats} repeats at temperature 0 will be alike; set --temperature")
    if job.done:
        found.append(
            f"resuming {job.writer.card.run}: {len(job.done)} of {len(job.spool) * job.repeats} are done"
        )
    return found


def _work(
    order: Order, model: Model, jobs: list[Job], budget: Budget, *, until: Until | None, quiet: bool
) -> Runner:
    from evals.run.progress import Progress
    from evals.run.runner import execute

    def spent() -> str:
        return f"{budget.spent_usd:.4f} USD" if budget.price else ""

    if beside := getattr(model, "beside", None):
        beside(jobs[0].writer.path)
    race = until.begin(jobs, seed=order.seed) if until else None
    progress = Progress(jobs, spent=spent, quiet=quiet, more=race.facts if race else None)

    def make() -> Runner:
        queue = gathered.queue(jobs) if gathered else race.queue() if race else None
        return _runner(order, model, jobs, budget=budget, progress=progress, race=race, queue=queue)

    gathered = None
    if order.batch:
        from evals.commands.batching import gathered_from

        gathered = gathered_from(model, jobs, quiet=quiet)
        model = gathered
    with progress:
        runner = execute(make)
    if gathered is not None:
        if not runner.interrupted:
            for job in jobs:
                job.writer.sync()
            gathered.settle()
        runner.interrupted = runner.interrupted or gathered.waiting > 0
    for job in jobs:
        job.notes += [*(race.notes if race else []), *getattr(model, "notes", ())]
        _close(job, runner, budget)
    _say_what_failed(runner, progress)
    return runner


def _say_what_failed(runner: Runner, progress: Progress) -> None:
    if runner.hopeless and not runner.interrupted:
        note(f"evals: every call fails: {runner.hopeless}")
        return
    for tally in progress.tallies:
        for line in tally.causes():
            note(line)
    if runner.ended and not runner.interrupted:
        note(f"ended early: {runner.ended}")


def _runner(
    order: Order,
    model: Model,
    jobs: list[Job],
    *,
    budget: Budget,
    progress: Progress,
    race: Race | None,
    queue: Sequence[tuple[int, int, int]] | None,
) -> Runner:
    from evals.run.runner import Runner

    if race is not None:
        from evals.commands.until import Both, start

    runner = Runner(
        model,
        jobs,
        concurrency=order.concurrency,
        budget=budget,
        watcher=Both(progress, race) if race else progress,
        timeout_s=order.timeout,
        queue=queue,
        skips=race.skips if race else None,
    )
    return start(race, runner) if race else runner


def _close(job: Job, runner: Runner, budget: Budget) -> None:
    """Seal the run, reduce it, and write its card."""
    from evals.run import batch
    from evals.run.rescore import finish

    card = job.writer.card
    job.writer.seal()
    card.notes = tuple(job.notes)
    finish(job.writer, job.suite)
    card.status = "interrupted" if runner.interrupted else "finished" if card.coverage == 1.0 else "partial"
    card.finished = time.time()
    card.batch_tokens = batch.tokens(job.writer.path)
    if budget.price:
        card.price, card.price_date = budget.price.figures, str(budget.price.date)
        card.cost_usd = budget.price.cost(card.tokens, card.batch_tokens)
    job.writer.write_card()


def _print(cards: Sequence[Any], *, as_json: bool, results: Path) -> None:
    from evals.commands.show import print_overview
    from evals.run.overview import Overview, aggregates

    found = Overview(cards=list(cards), broken=[], aggregates=aggregates(cards))
    print_overview(found, by_group=False, as_json=as_json)
    if not as_json and cards:
        where = "" if results == Path("results") else f" --results {results}"
        click.echo(
            f"Look further:  evals show {cards[0].run} --samples{where}    all runs:  evals show{where}"
        )
        sys.stdout.flush()
