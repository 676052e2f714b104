"""Export to Every Eval Ever 0.3.0: an aggregate file and a file of instances for each run.

    data/<suite>/<developer>/<model>/<uuid>.json, ..._samples.jsonl

Facts without a field in the schema (protocol, coverage, clusters, verdicts) are in `additional_details` and `metadata`.
Failed calls cannot be instances, since `is_correct` must be a boolean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from evals.errors import UsageError
from evals.interop import outgoing
from evals.interop.outgoing import ExportedFiles, Row, caveat, require_ended, rows
from evals.records.card import Card, JudgeCard
from evals.records.store import Run, slug
from evals.types import Estimate, Reply, Score

SCHEMA_VERSION = "0.3.0"
UNKNOWN = "unknown"
encode = msgspec.json.Encoder().encode


def write(runs: Sequence[Run], out: Path, *, model_id: str | None = None) -> ExportedFiles:
    """Write both files of every run; `model_id` (ORG/NAME) names the model's developer. Raises UsageError."""
    files: list[Path] = []
    lost = ["failed and unscored samples are not among the instances, only counted in the details"]
    pairs = require_ended(runs)
    if model_id and len(models := sorted({card.model for _, card in pairs})) > 1:
        raise UsageError(f"--model-id {model_id} names one model, but the runs are of {', '.join(models)}")
    for run, card in pairs:
        if model_id:
            card.served = model_id
        developer, _, name = _model_id(card).partition("/")
        if developer == UNKNOWN:
            lost.append(
                f"the developer of {card.model}: pass --model-id ORG/NAME, or the datastore will refuse the files"
            )
        key = _uuid(card)
        folder = Path("data") / slug(card.config.suite.replace(":", "-")) / slug(developer) / slug(name)
        aggregate, samples = folder / f"{key}.json", folder / f"{key}_samples.jsonl"
        digest, count = _write_instances(run, card, out / samples)
        document = _aggregate(card) | {
            "detailed_evaluation_results": {
                "format": "jsonl",
                "file_path": samples.as_posix(),
                "hash_algorithm": "sha256",
                "checksum": digest,
                "total_rows": count,
            }
        }
        outgoing.write(out / aggregate, [msgspec.json.format(encode(document), indent=2)])
        files += [out / aggregate, out / samples]
        if card.gated:
            lost.append(
                f"{card.config.suite} is gated: instances contain ids, hashes, answer letters and scores"
            )
        if any(e.value is None for e in card.estimates):
            lost.append(f"{card.config.suite}: estimates without a value")
    return ExportedFiles(files=files, lost=lost)


def _uuid(card: Card) -> str:
    """Return a run's UUID in the datastore: version 4 in form, but derived from suite, protocol, run id and model."""
    name = f"{card.config.suite}\x1f{card.config.protocol}\x1f{card.run}\x1f{card.model}"
    return str(UUID(bytes=sha256(name.encode()).digest()[:16], version=4))


def _model_id(card: Card) -> str:
    name = card.served or card.model
    return (
        name if name.count("/") == 1 and not name.startswith("/") else f"{UNKNOWN}/{name.replace('/', '-')}"
    )


def _evaluation_id(card: Card) -> str:
    name = f"{card.config.suite}-{card.config.protocol}"
    return f"{name}/{_model_id(card).replace('/', '_')}/{card.started:.0f}"


def _timestamp_field(card: Card) -> dict[str, str]:
    """Return the field with the time of the evaluation; empty for an imported run, whose time is unknown."""
    return {} if card.origin != "run" else {"evaluation_timestamp": f"{card.started:.0f}"}


def _aggregate(card: Card) -> dict[str, Any]:
    developer = _model_id(card).partition("/")[0]
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": _evaluation_id(card),
        **_timestamp_field(card),
        "retrieved_timestamp": f"{card.finished or card.started:.0f}",
        "source_metadata": {
            "source_name": "science-evals",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "science-evals", "version": version("science-evals")}
        | {"additional_details": {"commit": card.commit or "unknown"} | card.packages},
        "model_info": {
            "name": card.model,
            "id": _model_id(card),
            "developer": developer,
            "additional_details": {"deployment_type": "unknown", "model_availability": "unknown"},
        },
        "evaluation_results": [_result(card, e) for e in card.estimates if e.value is not None],
    }


def _result(card: Card, e: Estimate) -> dict[str, Any]:
    low, high = _bounds(e)
    metric: dict[str, Any] = {
        "metric_id": e.metric,
        "metric_name": e.metric,
        "metric_unit": "proportion" if e.unit == "fraction" else e.unit or "none",
        "lower_is_better": e.better == "lower",
        "score_type": "continuous",
        "min_score": low,
        "max_score": high,
    }
    sampling = card.config.sampling
    settings = {name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
    settings = {k: v for k, v in (settings | {"reasoning": sampling.thinking}).items() if v is not None}
    if card.judge is not None and card.judge.model:
        metric["llm_scoring"] = _llm_scoring(card.judge)
    return {
        "evaluation_result_id": f"{e.metric}|{e.group}" if e.group else e.metric,
        "evaluation_name": f"{card.config.suite}/{e.group}" if e.group else card.config.suite,
        **_timestamp_field(card),
        "source_data": {
            "dataset_name": card.config.suite,
            "source_type": "other",
            "additional_details": {
                "data_sha256": card.config.data_sha256,
                "source": card.source or card.data,
            },
        },
        "metric_config": metric,
        "score_details": {"score": e.value, "details": _details(card, e), "uncertainty": _uncertainty(e)},
        "generation_config": {"generation_args": settings},
    }


def _bounds(e: Estimate) -> tuple[float | str, float | str]:
    """Return the smallest and the largest possible score; fractions such as R² or a relative error have no bounds."""
    if e.unit == "correlation":
        return -1.0, 1.0
    if e.unit == "fraction" and e.worst is not None and min(e.worst, e.value or 0.0) >= 0:
        return 0.0, 1.0
    return "-Infinity", "Infinity"


def _details(card: Card, e: Estimate) -> dict[str, str]:
    facts = {
        "protocol": card.config.protocol,
        "suite_version": card.config.version,
        "coverage": "" if e.group else repr(card.coverage),
        "group": e.group,
        "headline": str(e.headline).lower(),
        "worst": "" if e.worst is None else repr(e.worst),
        "best": "" if e.best is None else repr(e.best),
        "clusters": str(e.clusters),
        "note": caveat(card),
        "errata": card.errata,
        "origin": "" if card.origin == "run" else card.origin,
    }
    counts = {} if e.group else {f"count:{name}": str(count) for name, count in card.counts.items()}
    return {name: value for name, value in (facts | counts).items() if value}


def _uncertainty(e: Estimate) -> dict[str, Any]:
    if e.low is None or e.high is None:
        return {"num_samples": e.n}
    interval = {"lower": e.low, "upper": e.high, "confidence_level": 0.95, "method": e.method}
    return {"num_samples": e.n, "confidence_interval": interval}


def _llm_scoring(judge: JudgeCard) -> dict[str, Any]:
    details = {"deployment_type": "unknown", "model_availability": "unknown"}
    templates = ", ".join(f"{form} (SHA-256 {digest})" for form, digest in judge.templates.items())
    model = {"name": judge.model, "id": judge.served or judge.model, "additional_details": details}
    return {
        "judges": [{"model_info": model}],
        "input_prompt": f"templates of science-evals: {templates or 'unknown'}",
    }


def _write_instances(run: Run, card: Card, path: Path) -> tuple[str, int]:
    """Write the instances; return the file's SHA-256 and the number of rows."""
    digest, count = sha256(), 0
    metric = card.headline.metric if card.headline else ""

    def lines() -> Iterator[bytes]:
        nonlocal count
        for row in rows(run, gated=card.gated):
            if row.scored is not None:
                line = encode(_instance(row, *row.scored, card, metric)) + b"\n"
                digest.update(line)
                count += 1
                yield line

    outgoing.write(path, lines())
    return digest.hexdigest(), count


def _sample_hash(row: Row, reference: list[str]) -> str | None:
    """Hash the prompt and the gold answer as the converters of every-eval-ever do; None if the prompt is not known."""
    if not row.prompt:
        return None
    content = {"raw": row.prompt, "reference": reference}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _instance(row: Row, reply: Reply, score: Score, value: float, card: Card, metric: str) -> dict[str, Any]:
    gold = row.sample.target
    reference = list(gold) if isinstance(gold, tuple) else [str(gold)]
    instance: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": _evaluation_id(card),
        "model_id": _model_id(card),
        "evaluation_name": card.config.suite,
        "evaluation_result_id": metric,
        "sample_id": row.sample.id,
        "sample_hash": _sample_hash(row, reference),
        "interaction_type": "single_turn",
        "input": {"raw": row.prompt, "reference": reference, "choices": list(row.sample.choices) or None},
        "output": {"raw": [reply.text], "reasoning_trace": [reply.reasoning] if reply.reasoning else None},
        "messages": None,
        "answer_attribution": [{
            "turn_idx": 0, "source": "output.raw", "extracted_value": score.answer or "", "extraction_method": "custom",
            "is_terminal": True,
        }],
        "evaluation": {"score": value, "is_correct": value == 1.0},
        "performance": {"latency_ms": 1000 * reply.seconds} if reply.seconds else None,
        "metadata": {
            "repeat": str(row.repeat), "group": row.sample.group, "cluster": row.sample.cluster or row.sample.id,
            "verdict": score.verdict, "stop": reply.stop, "protocol": card.config.protocol,
            "option_order": "" if row.order is None else " ".join(map(str, row.order)),
            "prompt_sha256": row.prompt_sha256 if card.gated else "",
        },
    }  # fmt: skip
    usage = reply.usage
    if usage.input is not None and usage.output is not None:
        instance["token_usage"] = {
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "input_tokens_cache_read": usage.cached,
            "reasoning_tokens": usage.reasoning,
        }
    return instance
