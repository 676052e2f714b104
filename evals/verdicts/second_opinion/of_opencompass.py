"""Apply OpenCompass's `eval_cfg` of a data set (postprocessor and evaluator) to recorded replies, for `worker.py`.

A rule names a module below `opencompass.configs.datasets` (`config`), the list in it (`list`), and the data set by its
`abbr`. A cascade is run without its judge model. Source: `tasks/openicl_eval.py` at 0.5.4.
"""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from typing import Any

SCORE_FIELDS = ("correct", "score", "error")
"""Fields of an evaluator's details that may contain the score of a reply."""


class OpenCompassRule:
    """One data set's evaluator."""

    def __init__(self, spec: dict[str, Any]) -> None:
        from importlib.metadata import version

        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        module = import_module(f"opencompass.configs.datasets.{spec['config']}")
        datasets = getattr(module, spec["list"])
        config = dict(next(entry["eval_cfg"] for entry in datasets if entry["abbr"] == spec["abbr"]))
        config["evaluator"] = config["evaluator"].get("rule_evaluator", config["evaluator"])
        evaluator = dict(config["evaluator"])
        postprocessor = dict(
            evaluator.pop("pred_postprocessor", None) or config.get("pred_postprocessor") or {}
        )
        self._postprocess = postprocessor.pop("type", None)
        self._options = postprocessor
        self._evaluator = evaluator.pop("type")(**evaluator)
        self.version = f"opencompass {version('opencompass')}"

    def score_batch(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Score many replies; raises ValueError if the evaluator does not return details for each of them."""
        answers = [self._extract_answer(item["reply"]) for item in items]
        golds = [item["doc"]["gold"] for item in items]
        if getattr(self._evaluator, "metric", "") == "accuracy":  # `score` returns only the share of matches
            pairs = self._evaluator._preprocess(answers, golds)
            matches = [a == b for a, b in zip(pairs["predictions"], pairs["references"], strict=True)]
            return [_verdict(value, answer) for value, answer in zip(matches, answers, strict=True)]
        details = self._evaluator.score(answers, golds)["details"]
        if isinstance(details, dict):
            details = list(details.values())
        if len(details) != len(items):
            raise ValueError(f"{len(details)} details for {len(items)} replies")
        return [_verdict_from_details(detail) for detail in details]

    def score(self, item: dict[str, Any]) -> dict[str, Any]:
        """Score one reply."""
        return self.score_batch([item])[0]

    def _extract_answer(self, reply: str) -> str:
        answer: str = self._postprocess(reply, **self._options) if self._postprocess else reply
        return answer


def _verdict_from_details(detail: dict[str, Any]) -> dict[str, Any]:
    value = next(detail[name] for name in SCORE_FIELDS if name in detail)
    if isinstance(value, str):  # an evaluator's own error message
        return {"score": None, "answer": detail.get("pred"), "why": value}
    return _verdict(value, detail.get("pred"))


def _verdict(value: Any, answer: Any) -> dict[str, Any]:
    return {"score": float(value), "answer": answer, "why": "nothing found" if answer in ("", None) else ""}


open_rule = OpenCompassRule
