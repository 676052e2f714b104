"""lm-evaluation-harness, for `worker.py`: a task's YAML, its filters and its `process_results` on a recorded reply.

A rule names the task's file below lm_eval's own `tasks` (`path`), the `filter` and the `metric`. The task gets one
document, which the caller made of a sample in the columns that the task reads, in the place of its data set: nothing
is downloaded. Read at v0.4.13: `lm_eval/api/task.py`, `lm_eval/evaluator.py`.
"""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

NOTHING = "[invalid]"
"""What lm_eval's filters leave if they find no answer."""


class Docs(list[Any]):
    """What a task asks of a split; documents are as shown already, so that a task shuffles and filters nothing."""

    @property
    def features(self) -> dict[str, None]:
        """Name the columns."""
        return dict.fromkeys(self[0])

    def _same(self, *_: Any, **__: Any) -> Docs:
        return self

    map = filter = shuffle = select = _same


class Splits(dict[str, Docs]):
    """A data set that has every split, each with the same document."""

    def __init__(self, doc: dict[str, Any]) -> None:
        super().__init__()
        self._docs = Docs([doc])

    def __missing__(self, name: str) -> Docs:
        return self._docs


class Rule:
    """One filter and metric of a task."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        from importlib.metadata import version

        import lm_eval  # a Python without it is found out before the first reply

        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        self._root = Path(lm_eval.__file__).parent / "tasks"
        self._task = self._opened(spec["doc"])
        self._filter = next(one for one in self._task._filters if one.name == spec["filter"])
        self.version = f"lm_eval {version('lm_eval')}, task version {self._task.VERSION}"

    def _opened(self, doc: dict[str, Any]) -> Any:
        from lm_eval.api.task import ConfigurableTask
        from lm_eval.tasks import TaskManager

        ConfigurableTask.download = lambda task, *_, **__: setattr(task, "dataset", Splits(doc))
        tasks = TaskManager(include_defaults=False).load(str(self._root / self._spec["path"]))["tasks"]
        (task,) = tasks.values()
        return task

    def one(self, item: dict[str, Any]) -> dict[str, Any]:
        """Filter and judge one reply; some tasks draw at random, here always from the same seed."""
        from lm_eval.api.instance import Instance

        random.seed(0)
        doc, reply = item["doc"], item["reply"]
        asked = Instance(request_type=self._task.OUTPUT_TYPE, doc=doc, arguments=(), idx=0, resps=[reply])
        self._filter.apply([asked])
        filtered = asked.filtered_resps[self._filter.name]
        scores = self._task.process_results(doc, [filtered])
        answer = filtered if isinstance(filtered, str) and filtered not in (reply, NOTHING) else ""
        return {
            "score": float(scores[self._spec["metric"]]),
            "answer": answer,
            "why": "nothing found" if filtered == NOTHING else "",
        }


open_rule = Rule
