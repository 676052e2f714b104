"""OpenCompass, for `worker.py`: a data set's own `eval_cfg` (postprocessor and evaluator) on recorded replies.

A rule names a module below `opencompass.configs.datasets` (`config`), the list in it (`list`), and the data set by its
`abbr`. Of a cascade the rule is run, and not the judge model behind it. Read at 0.5.4: `tasks/openicl_eval.py`.
"""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from typing import Any

SCORES = ("correct", "score", "error")
"""Fields of an evaluator's details that hold the value of one reply."""


class Rule:
    """One data set's evaluator."""

    def __init__(self, spec: dict[str, Any]) -> None:
        from importlib.metadata import version

        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        module = import_module(f"opencompass.configs.datasets.{spec['config']}")
        listed = getattr(module, spec["list"])
        config = dict(next(one["eval_cfg"] for one in listed if one["abbr"] == spec["abbr"]))
        config["evaluator"] = config["evaluator"].get("rule_evaluator", config["evaluator"])
        made = dict(config["evaluator"])
        read = dict(made.pop("pred_postprocessor", None) or config.get("pred_postprocessor") or {})
        self._read = read.pop("type", None)
        self._options = read
        self._evaluator = made.pop("type")(**made)
        self.version = f"opencompass {version('opencompass')}"

    def all(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Judge many replies as OpenCompass does; raises if its details do not distinguish them."""
        said = [self._said(item["reply"]) for item in items]
        golds = [item["doc"]["gold"] for item in items]
        if (
            getattr(self._evaluator, "metric", "") == "accuracy"
        ):  # it tells the mean alone, of pairs that are equal
            pairs = self._evaluator._preprocess(said, golds)
            equal = [a == b for a, b in zip(pairs["predictions"], pairs["references"], strict=True)]
            return [_verdict(value, read) for value, read in zip(equal, said, strict=True)]
        details = self._evaluator.score(said, golds)["details"]
        if isinstance(details, dict):
            details = list(details.values())
        return [_detailed(detail) for detail in _as_many(details, items)]

    def one(self, item: dict[str, Any]) -> dict[str, Any]:
        """Judge one reply."""
        return self.all([item])[0]

    def _said(self, reply: str) -> str:
        answer: str = self._read(reply, **self._options) if self._read else reply
        return answer


def _as_many(details: list[Any], items: list[Any]) -> list[Any]:
    if len(details) != len(items):
        raise ValueError(f"{len(details)} details for {len(items)} replies")
    return details


def _detailed(detail: dict[str, Any]) -> dict[str, Any]:
    value = next(detail[name] for name in SCORES if name in detail)
    if isinstance(value, str):  # an evaluator's own error message
        return {"score": None, "answer": detail.get("pred"), "why": value}
    return _verdict(value, detail.get("pred"))


def _verdict(value: Any, read: Any) -> dict[str, Any]:
    return {"score": float(value), "answer": read, "why": "nothing found" if read in ("", None) else ""}


open_rule = Rule
