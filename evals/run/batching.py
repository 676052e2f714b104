"""`--batch`: submit, wait and collect, before the runner processes the results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evals.run.batch import CollectedBatches
    from evals.run.job import Job


def collect_batches(
    model: Any, jobs: Sequence[Job], *, say: Callable[[str], None], warn: Callable[[str], None]
) -> CollectedBatches:
    """Submit open samples and wait for their results; Ctrl-C ends the wait without losing anything.

    `say` receives progress, `warn` errors and what is still pending.
    """
    from evals.run.batch import gather
    from evals.run.event_loop import on_interrupt

    async def main() -> CollectedBatches:
        stop, task = asyncio.Event(), asyncio.current_task()

        def interrupt() -> None:
            if stop.is_set() and task is not None:
                task.cancel()  # second Ctrl-C: leave at once
            stop.set()

        try:
            with on_interrupt(interrupt):
                return await gather(model, model.batches, jobs, say=say, stop=stop)
        finally:
            await model.close()

    try:
        gathered = asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    for fault in gathered.faults:
        warn(f"evals: {fault}")
    if gathered.waiting:
        batches = f"{gathered.waiting} batch" + ("es" if gathered.waiting > 1 else "")
        warn(f"{batches} not done yet: repeat the command later to collect the results")
    return gathered
