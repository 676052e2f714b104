"""Import Every Eval Ever's corpus as reported results: write the scores in its records as claims (published numbers).

A record is a JSON document in its schema (0.2.x and 0.3.0; evaleval/every_eval_ever at 9bce4136, `eval.schema.json`): who
evaluated which model, and a score for each benchmark or part of one. Only scores of whole benchmarks that we have as
suites become claims; all other scores are only counted. Claims are shown as reported results and never ranked.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct, field

from evals import disk
from evals.errors import DataError, UsageError
from evals.plain import plain
from evals.validation import cause

SUITES = {
    "aime-2024": "aime:2024", "aime24": "aime:2024", "aime-2025": "aime:2025", "aime25": "aime:2025",
    "chartqa": "chartqa", "chembench": "chembench", "docvqa": "docvqa", "gpqa-diamond": "gpqa:diamond",
    "gpqa-extended": "gpqa:extended", "gpqa-main": "gpqa:main", "hmmt-2025": "hmmt:2025", "hmmt-feb-2025": "hmmt:2025",
    "hmmt-feb-2026": "hmmt:2026", "ifeval": "ifeval", "infovqa": "infovqa", "mathvision": "mathvision",
    "mathvista": "mathvista", "mmlu-pro": "mmlu-pro", "mmmu": "mmmu", "mmmu-val": "mmmu", "mmstar": "mmstar",
    "supergpqa": "supergpqa", "textvqa": "textvqa",
}  # fmt: skip
"""Name of a whole benchmark, in lower case with hyphens -> suite. A plain `gpqa` is ambiguous and left out."""
HEADER = "# Reported numbers imported from Every Eval Ever; `evals claims import` overwrites this file.\n"
LIBRARY = "science-evals"
"""The source's name in our own exports, whose `note` says why a score does not cover the whole benchmark."""
MAX_TEXT_LENGTH = 300
"""Maximum length of a text taken from a record."""
_SCORE_SUFFIX = re.compile(r"[-.:]*(overall|accuracy|average|all)$")


class Source(Struct, frozen=True):
    """`source_metadata`; here and below, fields that are not declared are ignored."""

    source_organization_name: str
    source_name: str = ""
    source_organization_url: str = ""
    evaluator_relationship: str = "other"


class ModelInfo(Struct, frozen=True):
    """`model_info`."""

    name: str
    id: str = ""


class Metric(Struct, frozen=True):
    """`metric_config`."""

    lower_is_better: bool
    metric_id: str = ""
    metric_name: str = ""
    metric_unit: str = ""
    max_score: float | str | None = None


class Details(Struct, frozen=True):
    """`score_details`."""

    score: float
    details: Any = None
    """Further details; usually a mapping of strings to strings."""


class Result(Struct, frozen=True):
    """An element of `evaluation_results`."""

    evaluation_name: str
    metric_config: Metric
    score_details: Details
    evaluation_result_id: str = ""
    evaluation_timestamp: str = ""
    source_data: dict[str, Any] = field(default_factory=dict)
    generation_config: dict[str, Any] = field(default_factory=dict)


class Aggregate(Struct, frozen=True):
    """An aggregate record."""

    schema_version: str
    source_metadata: Source
    model_info: ModelInfo
    evaluation_results: list[Result]
    evaluation_timestamp: str = ""
    retrieved_timestamp: str = ""


Tables: TypeAlias = defaultdict[tuple[str, ...], dict[str, Decimal]]
"""(suite, benchmark, metric, source, day, note, conditions) of a `[[claim]]` table -> model -> score in percent."""


class ImportedClaims(NamedTuple):
    """Result of an import."""

    path: Path
    """The file that was written."""
    claims: int
    """Number of published scores in it."""
    skipped: dict[str, int]
    """Reason -> number of scores or files."""


def import_claims(folder: Path, results: Path) -> ImportedClaims:
    """Write the scores in a folder of records to `claims/every-eval-ever.toml` in a results folder.

    Raises UsageError if no score can be used, or if that file exists and was not written by this function.
    """
    path = results / "claims" / "every-eval-ever.toml"
    if path.exists() and not disk.read_small(path).startswith(HEADER.encode()):
        raise UsageError(f"{path} was not written by this command; rename it, so that it is not overwritten")
    skipped: Counter[str] = Counter()
    tables: Tables = defaultdict(dict)
    for record in _records(folder, skipped):
        for result in record.evaluation_results:
            _add_score(record, result, tables, skipped)
    if not tables:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in skipped.most_common(3))
        raise UsageError(f"{folder} contains no score that belongs to a suite ({reasons or 'no JSON file'})")
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.replace(
        path,
        (HEADER + "".join(_claim_table(key, percents) for key, percents in sorted(tables.items()))).encode(),
    )
    return ImportedClaims(path, sum(map(len, tables.values())), dict(skipped))


def _records(folder: Path, skipped: Counter[str]) -> Iterator[Aggregate]:
    """Yield every aggregate record below a folder; other JSON files are counted."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder")
    decode = msgspec.json.Decoder(Aggregate).decode
    for path in sorted(folder.rglob("*.json")):
        if path.is_symlink():
            skipped["links"] += 1
            continue
        try:
            yield decode(disk.read_small(path))
        except msgspec.ValidationError:
            skipped["other JSON files"] += 1
        except (msgspec.MsgspecError, ValueError, RecursionError, OSError) as error:
            raise DataError(f"{path}: {cause(error)}") from None


def suite_of(result: Result) -> str | None:
    """Return the suite that a score belongs to; None if there is none, or if it covers only a part of a benchmark."""
    for name in (result.evaluation_result_id, result.evaluation_name, result.metric_config.metric_id):
        hyphenated = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        if suite := SUITES.get(hyphenated) or SUITES.get(_SCORE_SUFFIX.sub("", hyphenated)):
            return suite
    return None


def _add_score(record: Aggregate, result: Result, tables: Tables, skipped: Counter[str]) -> None:
    suite = suite_of(result)
    if suite is None:
        skipped["scores of other benchmarks or parts"] += 1
        return
    details = result.score_details.details
    if record.source_metadata.source_name == LIBRARY and isinstance(details, dict) and details.get("note"):
        skipped["scores on sample items or subsets"] += 1
        return
    if result.metric_config.lower_is_better:
        skipped["errors, for which lower is better"] += 1
        return
    percent = _percent(result)
    if percent is None or not 0 <= percent <= 100:
        skipped["scores without a known scale"] += 1
        return
    model = _clean_line(record.model_info.id or record.model_info.name)
    source = record.source_metadata
    evaluator = f"{source.source_name or source.source_organization_name}, {source.evaluator_relationship}"
    key = (
        suite,
        _clean_line(result.evaluation_name),
        _clean_line(result.metric_config.metric_name or result.metric_config.metric_id),
        _source_text(record, result),
        _iso_day(record, result),
        f"Every Eval Ever {_clean_line(record.schema_version)}: {_clean_line(evaluator)}",
        _conditions_toml(result),
    )
    if tables[key].setdefault(model, percent) != percent:
        skipped["further scores of a model from one source"] += 1


def _percent(result: Result) -> Decimal | None:
    """Return a score in percent with as many digits as in the record; None if its scale is unknown."""
    metric, score = result.metric_config, Decimal(repr(result.score_details.score))
    unit = metric.metric_unit.lower()
    if unit in ("proportion", "fraction") or (not unit and metric.max_score in (1, 1.0)):
        return score.scaleb(2)
    if unit in ("percent", "percentage", "%") or (not unit and metric.max_score in (100, 100.0)):
        return score
    return None


def _source_text(record: Aggregate, result: Result) -> str:
    """Return the URL of a score's source, else the name of the organisation that stated it."""
    stated = result.source_data.get("url")
    candidates = [
        *(stated if isinstance(stated, list) else [stated]),
        record.source_metadata.source_organization_url,
    ]
    if (repository := result.source_data.get("hf_repo")) and isinstance(repository, str):
        candidates.insert(0, f"https://huggingface.co/datasets/{repository}")
    urls = (c for c in candidates if isinstance(c, str) and re.fullmatch(r"https?://[^\s<>\"']+", c))
    return _clean_line(next(urls, record.source_metadata.source_organization_name))


def _iso_day(record: Aggregate, result: Result) -> str:
    """Return the day of a score as an ISO date; empty if it is unknown."""
    for timestamp in (result.evaluation_timestamp, record.evaluation_timestamp, record.retrieved_timestamp):
        try:
            return date.fromisoformat(timestamp[:10]).isoformat()
        except ValueError:
            pass
        try:
            return datetime.fromtimestamp(float(timestamp), tz=UTC).date().isoformat()
        except (ValueError, OverflowError, OSError):
            continue
    return ""


def _conditions_toml(result: Result) -> str:
    """Return the stated sampling settings as the entries of a TOML inline table; empty if none are stated."""
    stated = result.generation_config.get("generation_args")
    arguments = stated if isinstance(stated, dict) else {}
    settings = {
        "thinking" if name == "reasoning" else name: arguments[name]
        for name in ("temperature", "top_p", "top_k", "max_tokens", "reasoning")
        if isinstance(arguments.get(name), bool | int | float) and -1 <= arguments[name] <= 1 << 31
    }
    return ", ".join(
        f"{name} = {msgspec.json.encode(value).decode()}" for name, value in sorted(settings.items())
    )


def _clean_line(text: str) -> str:
    """Return a text of the record as one line of limited length, without control characters."""
    return plain(" ".join(text.split()))[:MAX_TEXT_LENGTH]


def _claim_table(key: tuple[str, ...], percents: dict[str, Decimal]) -> str:
    """Return one `[[claim]]` table; `key` and `percents` are an entry of `Tables`."""
    suite, benchmark, metric, source, day, note, conditions = key
    listed = ", ".join(f"{_toml_string(model)} = {value:f}" for model, value in sorted(percents.items()))
    lines = [
        "", "[[claim]]", f"suite = {_toml_string(suite)}", f"benchmark = {_toml_string(benchmark)}", f"source = {_toml_string(source)}",
        *([f"metric = {_toml_string(metric)}"] if metric else []), *([f"date = {day}"] if day else []),
        f"percent = {{ {listed} }}",
        *([f"knobs = {{ {conditions} }}", 'told = "generation_config of the record"'] if conditions else []),
        f"note = {_toml_string(note)}", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _toml_string(text: str) -> str:
    return msgspec.json.encode(text).decode()
