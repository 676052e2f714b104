"""Score a full SMolInstruct test split, 33,061 replies, in worker processes, beside a running event loop.

    EVALS_SHARED=../shared python -m tests.performance.bench_smolinstruct [--workers 2] [--protocol strict]

Replies are the recorded ones of MolT5 (ChEBI-20: 3,300 molecules, 3,300 captions) and what follows from them, at
the sizes of the 14 tasks. Prints seconds, replies/s, molecules/s, CPU, and the longest pause between two turns of
the event loop. The aim is 60 s on 2 cores and 50 ms.
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


def recorded(name):
    with gzip.open(SHARED / "data" / "molt5_chebi20" / f"molt5-small-{name}.txt.gz", "rt") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["ground truth"], row["output"].removeprefix("[CLS] ")) for row in rows]


def pairs(task, molecules, captions):
    """Give gold answers and replies of one task."""
    if task.kind == "caption":
        return captions
    if task.kind == "formula":
        forms = [CalcMolFormula(Chem.MolFromSmiles(gold)) for gold, _ in molecules[:500]]
        return [
            (form, f"<MOLFORMULA> {other} </MOLFORMULA>")
            for form, other in zip(forms, [*forms[1:], "C"], strict=True)
        ]
    if task.kind == "name":
        return [(gold, f"<IUPAC> {out} </IUPAC>") for gold, out in captions]
    if task.kind == "number":
        return [(-1.41, f"\\boxed{{-{i / 100}}}") for i in range(100)]
    if task.kind == "boolean":
        return [("yes", "<BOOLEAN> No </BOOLEAN>"), ("no", "<BOOLEAN> No </BOOLEAN>")]
    return [(gold, f"It is <SMILES> {out} </SMILES> .") for gold, out in molecules]


async def score(protocol, workers):
    molecules, captions = recorded("caption2smiles"), recorded("smiles2caption")
    work = []
    with Pool(workers) as pool:
        for name, task in TASKS.items():
            scoring = Scoring(BENCHMARK.suite(name, protocol).scorers, pool)
            for i, (gold, text) in enumerate(islice(cycle(pairs(task, molecules, captions)), task.rows)):
                work.append((scoring, Sample(id=f"{name}-{i}", target=gold), Reply(text=text), task.kind))
        counts = {}
        longest, busiest, slowest = 0.0, 0.0, (0.0, "")

        async def watch():
            nonlocal longest, busiest
            last, used = time.perf_counter(), time.thread_time()
            while True:
                await asyncio.sleep(0.001)
                now, cpu = time.perf_counter(), time.thread_time()
                longest, busiest = max(longest, now - last), max(busiest, cpu - used)
                last, used = now, cpu

        def count(found, kind):
            key = f"{kind} {'failure' if isinstance(found, Failure) else found.verdict}"
            counts[key] = counts.get(key, 0) + 1

        async def light():
            nonlocal slowest
            for scoring, sample, reply, kind in work:
                if scoring.all_light:
                    start = time.thread_time()
                    (found,) = scoring.score_light(sample, Prompt(), reply).values()
                    slowest = max(slowest, (time.thread_time() - start, sample.id))
                    count(found, kind)
                    await asyncio.sleep(0)

        async def heavy(queue):
            for scoring, sample, reply, kind in queue:
                (found,) = (await scoring.score_all(sample, Prompt(), reply)).values()
                count(found, kind)

        gc.collect()
        gc.freeze()  # what the bench holds is not the harness's to walk
        watcher = asyncio.create_task(watch())
        began, queue = time.perf_counter(), (one for one in work if not one[0].all_light)
        await asyncio.gather(light(), *(heavy(queue) for _ in range(256)))
        wall = time.perf_counter() - began
        watcher.cancel()
    own, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    molecular = sum(task.rows for task in TASKS.values() if task.kind in ("molecule", "molecules"))
    print(
        f"{protocol}: {len(work)} replies in {wall:.1f} s with {workers} workers: {len(work) / wall:.0f} replies/s"
    )
    print(
        f"  molecules: {molecular}, {molecular / wall:.0f}/s; CPU {own.ru_utime + own.ru_stime:.1f} s here, {theirs.ru_utime + theirs.ru_stime:.1f} s in workers"
    )
    print(
        f"  longest turn of the event loop: {longest * 1000:.1f} ms, {busiest * 1000:.1f} ms of it CPU; largest worker {theirs.ru_maxrss / 1024:.0f} MiB"
    )
    print(f"  slowest scorer on the loop itself: {slowest[0] * 1000:.1f} ms ({slowest[1]})")
    print(f"  {dict(sorted(counts.items()))}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--protocol", default="strict")
    given = options.parse_args()
    uvloop.run(score(given.protocol, given.workers))


if __name__ == "__main__":
    main()
