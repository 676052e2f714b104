"""Scores a full SMolInstruct test split, 33,061 replies, in worker processes next to a running event loop.

    EVALS_SHARED=../shared python -m tests.performance.bench_smolinstruct [--workers 2] [--protocol strict]

The replies are recorded ones of MolT5 (ChEBI-20: 3,300 molecules, 3,300 captions) and others made from them, repeated
until each of the 14 tasks has its number of items. Prints seconds, replies/s, molecules/s, CPU time, and the longest time
between two iterations of the event loop. The aim is 60 s for all replies on 2 cores, and at most 50 ms between iterations.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gc
import gzip
import os
import resource
import time
from itertools import cycle, islice
from pathlib import Path

import uvloop
from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

from evals.data.smolinstruct import TASKS
from evals.sandbox import Pool
from evals.scorers.scoring import Scoring
from evals.suites.smolinstruct import BENCHMARK
from evals.types import Failure, Prompt, Reply, Sample

SHARED = Path(os.environ.get("EVALS_SHARED", Path(__file__).parents[3] / "shared"))


def recorded_pairs(name):
    """Return the gold answers and recorded replies of a file of MolT5."""
    with gzip.open(SHARED / "data" / "molt5_chebi20" / f"molt5-small-{name}.txt.gz", "rt") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["ground truth"], row["output"].removeprefix("[CLS] ")) for row in rows]


def pairs_of_task(task, molecules, captions):
    """Return pairs of gold answer and reply for a task, fewer than it has items."""
    if task.kind == "caption":
        return captions
    if task.kind == "formula":
        formulas = [CalcMolFormula(Chem.MolFromSmiles(gold)) for gold, _ in molecules[:500]]
        return [
            (gold, f"<MOLFORMULA> {next_formula} </MOLFORMULA>")
            for gold, next_formula in zip(formulas, [*formulas[1:], "C"], strict=True)
        ]
    if task.kind == "name":
        return [(gold, f"<IUPAC> {out} </IUPAC>") for gold, out in captions]
    if task.kind == "number":
        return [(-1.41, f"\\boxed{{-{i / 100}}}") for i in range(100)]
    if task.kind == "boolean":
        return [("yes", "<BOOLEAN> No </BOOLEAN>"), ("no", "<BOOLEAN> No </BOOLEAN>")]
    return [(gold, f"It is <SMILES> {out} </SMILES> .") for gold, out in molecules]


async def score_all_tasks(protocol, workers):
    """Score all replies, on the event loop or in worker processes, and print the figures."""
    molecules, captions = recorded_pairs("caption2smiles"), recorded_pairs("smiles2caption")
    work = []
    with Pool(workers) as pool:
        for name, task in TASKS.items():
            scoring = Scoring(BENCHMARK.suite(name, protocol).scorers, pool)
            for i, (gold, text) in enumerate(
                islice(cycle(pairs_of_task(task, molecules, captions)), task.rows)
            ):
                work.append((scoring, Sample(id=f"{name}-{i}", target=gold), Reply(text=text), task.kind))
        counts = {}
        longest_s, longest_cpu_s, slowest = 0.0, 0.0, (0.0, "")

        async def watch_loop():
            """Measure the time between iterations of the event loop."""
            nonlocal longest_s, longest_cpu_s
            last, last_cpu = time.perf_counter(), time.thread_time()
            while True:
                await asyncio.sleep(0.001)
                now, cpu = time.perf_counter(), time.thread_time()
                longest_s, longest_cpu_s = max(longest_s, now - last), max(longest_cpu_s, cpu - last_cpu)
                last, last_cpu = now, cpu

        def count(score, kind):
            key = f"{kind} {'failure' if isinstance(score, Failure) else score.verdict}"
            counts[key] = counts.get(key, 0) + 1

        async def score_on_loop():
            """Score the replies that take little time, on the event loop."""
            nonlocal slowest
            for scoring, sample, reply, kind in work:
                if scoring.all_light:
                    start = time.thread_time()
                    (score,) = scoring.score_light(sample, Prompt(), reply).values()
                    slowest = max(slowest, (time.thread_time() - start, sample.id))
                    count(score, kind)
                    await asyncio.sleep(0)

        async def score_in_workers(queue):
            """Score replies from the queue in worker processes."""
            for scoring, sample, reply, kind in queue:
                (score,) = (await scoring.score_all(sample, Prompt(), reply)).values()
                count(score, kind)

        gc.collect()
        gc.freeze()  # excludes the objects of this benchmark from garbage collection
        watcher = asyncio.create_task(watch_loop())
        started, queue = time.perf_counter(), (entry for entry in work if not entry[0].all_light)
        await asyncio.gather(score_on_loop(), *(score_in_workers(queue) for _ in range(256)))
        wall = time.perf_counter() - started
        watcher.cancel()
    of_this_process, of_workers = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    molecule_count = sum(task.rows for task in TASKS.values() if task.kind in ("molecule", "molecules"))
    print(
        f"{protocol}: {len(work)} replies in {wall:.1f} s with {workers} workers: {len(work) / wall:.0f} replies/s"
    )
    print(
        f"  molecules: {molecule_count}, {molecule_count / wall:.0f}/s; CPU {of_this_process.ru_utime + of_this_process.ru_stime:.1f} s here, {of_workers.ru_utime + of_workers.ru_stime:.1f} s in workers"
    )
    print(
        f"  longest iteration of the event loop: {longest_s * 1000:.1f} ms; largest CPU time of one: {longest_cpu_s * 1000:.1f} ms; largest worker {of_workers.ru_maxrss / 1024:.0f} MiB"
    )
    print(f"  slowest scorer on the loop itself: {slowest[0] * 1000:.1f} ms ({slowest[1]})")
    print(f"  {dict(sorted(counts.items()))}")


def main():
    """Parse the options and run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--protocol", default="strict")
    arguments = parser.parse_args()
    uvloop.run(score_all_tasks(arguments.protocol, arguments.workers))


if __name__ == "__main__":
    main()
