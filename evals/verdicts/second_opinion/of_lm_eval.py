"""Apply the filters and `process_results` of an lm-evaluation-harness task to a recorded reply, for `worker.py`.

A rule names the task's YAML file below lm_eval's `tasks` (`path`), the `filter` and the `metric`. Instead of its data set,
the task gets one document, made from a sample, with the columns that it reads; nothing is downloaded.
Sources: `lm_eval/api/task.py`, `lm_eval/evaluator.py` at v0.4.13.
"""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

INVALID = "[invalid]"
"""What lm_eval's filters return if they find no answer."""


class Docs(list[Any]):
    """A split of a data set on which mapping, filtering and shuffling have no effect."""

    @property
    def features(self) -> dict[str, None]:
        """Return the columns."""
        return dict.fromkeys(self[0])

    def _unchanged(self, *_: Any, **__: Any) -> Docs:
        return self

    map = filter = shuffle = select = _unchanged


class Splits(dict[str, Docs]):
    """A data set in which every split contains the same document."""

    def __init__(self, doc: dict[str, Any]) -> None:
        super().__init__()
        self._docs = Docs([doc])

    def __missing__(self, name: str) -> Docs:
        return self._docs


class LmEvalRule:
    """One filter and metric of a task."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        from importlib.metadata import version

        import lm_eval  # raises ImportError before the first reply if it is not installed

        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        self._root = Path(lm_eval.__file__).parent / "tasks"
        self._task = self._load(spec["doc"])
        self._filter = next(f for f in self._task._filters if f.name == spec["filter"])
        self.version = f"lm_eval {version('lm_eval')}, task version {self._task.VERSION}"

    def _load(self, doc: dict[str, Any]) -> Any:
        from lm_eval.api.task import ConfigurableTask
        from lm_eval.tasks import TaskManager

        ConfigurableTask.download = lambda task, *_, **__: setattr(task, "dataset", Splits(doc))
        tasks = TaskManager(include_defaults=False).load(str(self._root / self._spec["path"]))["tasks"]
        (task,) = tasks.values()
        return task

    def score(self, item: dict[str, Any]) -> dict[str, Any]:
        """Score one reply; the random seed is fixed, because some tasks make random choices."""
        from lm_eval.api.instance import Instance

        random.seed(0)
        doc, reply = item["doc"], item["reply"]
        instance = Instance(request_type=self._task.OUTPUT_TYPE, doc=doc, arguments=(), idx=0, resps=[reply])
        self._filter.apply([instance])
        filtered = instance.filtered_resps[self._filter.name]
        scores = self._task.process_results(doc, [filtered])
        answer = filtered if isinstance(filtered, str) and filtered not in (reply, INVALID) else ""
        return {
            "score": float(scores[self._spec["metric"]]),
            "answer": answer,
            "why": "nothing found" if filtered == INVALID else "",
        }


open_rule = LmEvalRule
