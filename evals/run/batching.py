"""What `--batch` does before the runner works off what came back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evals.run.batch import Gathered
    from evals.run.job import Job


def gathered_from(
    model: Any, jobs: Sequence[Job], *, say: Callable[[str], None], warn: Callable[[str], None]
) -> Gathered:
    """Hand in what is open and wait for it; Ctrl-C stops the waiting and loses nothing.

    `say` is told how far it is, `warn` what went wrong or is left.
    """
    from evals.run.batch import gather
    from evals.run.runner import on_interrupt

    async def main() -> Gathered:
        stop, task = asyncio.Event(), asyncio.current_task()

        def interrupt() -> None:
            if stop.is_set() and task is not None:
                task.cancel()  # the second time: leave now
            stop.set()

        on_interrupt(interrupt)
        try:
            return await gather(model, model.batches, jobs, say=say, stop=stop)
        finally:
            await model.close()

    try:
        found = asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    for fault in found.faults:
        warn(f"evals: {fault}")
    if found.waiting:
        many = f"{found.waiting} batch" + ("es" if found.waiting > 1 else "")
        warn(f"{many} not done yet: the same command collects what is there, today or tomorrow")
    return found
