"""Baseline files: the scores of a run in a small text file that can be reviewed and committed.

The first line is a `Head`. Each suite and scorer has a `Block` line, followed by a line per sample, sorted,
`["0f3a9c51d2e4b687", "2025-I", [["right", 1.0, "204"]], "", 0, "204"]`: hash of the id, group, outcome of each repeat
(verdict, value, answer, score parts if there are any; null: missing), cluster if it is shared, number of options,
target. Questions and replies are not stored; answers and targets that are longer than a label or belong to a gated suite
are hashed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct, structs

from evals import disk, load
from evals.data.errata import CorrectedMetric, corrected_metrics
from evals.errors import StoreError
from evals.records.files import MAX_LABEL_CHARS, Gold
from evals.report.metrics import at_repeats
from evals.suite import Suite
from evals.types import Metric, Point
from evals.validation import cause
from evals.verdicts.pairs import Outcomes
from evals.verdicts.suite_run import SuiteRun

FORMAT = 1
MAX_VALUE = 1e100
"""Largest absolute value in a baseline, so that sums of squares cannot overflow."""
_encode_json = msgspec.json.Encoder().encode

Target: TypeAlias = str | float | tuple[str, ...]


class Head(Struct, kw_only=True, forbid_unknown_fields=True):
    """The first line of a baseline file."""

    baseline: int
    """`FORMAT` of the file."""
    run: str
    model: str


class Block(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The line before a suite's samples, which are listed once for each scorer."""

    suite: str
    protocol: str
    scorer: str
    data_sha256: str
    scorers: dict[str, str]
    repeats: int
    samples: int
    scored: int
    """Number of sample-repeats with a score."""
    gated: bool = False
    version: str = ""
    """The suite's version; empty in older files."""
    judge: str | None = None
    """See `SuiteRun`; None in older files."""
    tokens: dict[str, int] = {}
    cost_usd: float | None = None
    seconds: float | None = None
    restrictions: tuple[str, ...] = ()
    """See `SuiteRun`; empty in older files, as are `absent_groups`."""
    absent_groups: tuple[str, ...] = ()


def id_hash(suite: str, sample_id: str) -> str:
    """Return the hash of a sample's id: 16 hex digits."""
    return sha256(f"{suite}\x1f{sample_id}".encode()).hexdigest()[:16]


def hash_ids(run: SuiteRun) -> SuiteRun:
    """Replace ids and clusters with their hashes, unless they are hashed already."""
    if run.original_ids is not None:
        return run
    hashes = {sample_id: id_hash(run.suite, sample_id) for sample_id in run.outcomes.golds}
    clusters = {gold.cluster for gold in run.outcomes.golds.values()}
    cluster_hashes = {cluster: hashes.get(cluster) or id_hash(run.suite, cluster) for cluster in clusters}
    outcomes_by_scorer = {
        scorer: outcomes._replace(
            points=[
                structs.replace(point, id=hashes[point.id], cluster=cluster_hashes[point.cluster])
                for point in outcomes.points
            ],
            golds={
                hashes[sample_id]: structs.replace(gold, cluster=cluster_hashes[gold.cluster])
                for sample_id, gold in outcomes.golds.items()
            },
        )
        for scorer, outcomes in run.outcomes_by_scorer.items()
    }
    metrics = tuple(
        structs.replace(metric, of=metric.of.renamed(hashes))
        if isinstance(metric.of, CorrectedMetric)
        else metric
        for metric in run.metrics
    )
    original_ids = {digest: sample_id for sample_id, digest in hashes.items()}
    return structs.replace(
        run, outcomes_by_scorer=outcomes_by_scorer, metrics=metrics, original_ids=original_ids
    )


def write(path: Path, suite_runs: list[SuiteRun]) -> None:
    """Write a run of several suites as a baseline file."""
    head = Head(baseline=FORMAT, run=suite_runs[0].run, model=suite_runs[0].model)
    lines = [_encode_json(head)]
    for run in sorted(suite_runs, key=lambda run: (run.suite, run.protocol)):
        hashed = hash_ids(run)
        for scorer in hashed.outcomes_by_scorer:
            lines += _block_lines(hashed, scorer)
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.replace(path, b"\n".join(lines) + b"\n")


def _block_lines(run: SuiteRun, scorer: str) -> list[bytes]:
    outcomes = run.outcomes_by_scorer[scorer]
    block = Block(
        suite=run.suite, protocol=run.protocol, scorer=scorer, data_sha256=run.data_sha256, scorers=dict(run.scorers),
        repeats=outcomes.repeats, samples=len(outcomes.golds), scored=len(outcomes.points), gated=run.gated, version=run.version,
        judge=run.judge, tokens=dict(run.tokens), cost_usd=run.cost_usd, seconds=run.seconds,
        restrictions=run.restrictions, absent_groups=outcomes.absent_groups,
    )  # fmt: skip
    by_sample: dict[str, dict[int, Point]] = defaultdict(dict)
    for point in outcomes.points:
        by_sample[point.id][point.repeat] = point
    rows = []
    for sample_id, gold in sorted(outcomes.golds.items()):
        by_repeat = [by_sample[sample_id].get(repeat) for repeat in range(outcomes.repeats)]
        rows.append(_sample_row(sample_id, gold, by_repeat, gated=run.gated))
    return [_encode_json(block), *map(_encode_json, rows)]


def _sample_row(sample_id: str, gold: Gold, points: list[Point | None], *, gated: bool) -> list[Any]:
    cluster = "" if gold.cluster == sample_id else gold.cluster
    outcomes = [_outcome_row(point, gated=gated) for point in points]
    target = _hash_unless_label(gold.target, gated=gated)
    return [sample_id, gold.group, outcomes, cluster, gold.options, target]


def _outcome_row(point: Point | None, *, gated: bool) -> Any:
    if point is None:
        return None
    answer = None if point.answer is None else _hash_unless_label(point.answer, gated=gated)
    return [point.verdict, point.value, answer, *([point.parts] if point.parts else [])]


def _hash_unless_label(answer: Target, *, gated: bool) -> Target:
    """Return a number or a label (a short text) as it is, unless the suite is gated; hash everything else."""
    if isinstance(answer, tuple):
        return tuple(str(_hash_unless_label(part, gated=gated)) for part in answer)
    if not gated and (isinstance(answer, float) or len(answer) <= MAX_LABEL_CHARS):
        return answer
    return f"#{sha256(str(answer).encode()).hexdigest()[:8]}"


def read(path: Path) -> list[SuiteRun]:
    """Read a baseline file.

    Raises StoreError if it is broken or has another format, and UnknownName or Untrusted if one of its suites is unknown or untrusted.
    """
    line_number = 0
    try:
        with disk.open_regular(path) as stream:
            lines = disk.lines(stream)
            head = _read_head(path, next(lines, b""))
            line_number, blocks = 1, dict[tuple[str, str], SuiteRun]()
            for line in lines:
                block = msgspec.json.decode(line, type=Block)
                rows = list(islice(lines, block.samples))
                if len(rows) < block.samples:
                    raise ValueError(f"only {len(rows)} of {block.samples} samples of {block.suite}")
                _add_block(blocks, head, block, rows)
                line_number += 1 + len(rows)
    except OSError as error:
        raise StoreError(f"cannot read the baseline {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise StoreError(
            f"{path}, after line {line_number}: not a baseline of this format ({cause(error)})"
        ) from error
    return list(blocks.values())


def _read_head(path: Path, line: bytes) -> Head:
    try:
        head = msgspec.json.decode(line, type=Head)
    except msgspec.MsgspecError:
        raise StoreError(f"{path} is not a baseline; `evals gate baseline RUN FILE` writes one") from None
    if head.baseline != FORMAT:
        raise StoreError(f"{path}: baseline of format {head.baseline}; this version reads format {FORMAT}")
    return head


_ROW_DECODER = msgspec.json.Decoder(list[Any])
"""[id hash, group, outcomes, cluster, options, target]; `_parse_samples` checks the outcomes; a typed decoder is no faster."""


def _add_block(blocks: dict[tuple[str, str], SuiteRun], head: Head, block: Block, rows: list[bytes]) -> None:
    outcomes = _parse_samples(block, rows)
    key = block.suite, block.protocol
    if key in blocks:
        outcomes_by_scorer = {**blocks[key].outcomes_by_scorer, block.scorer: outcomes}
        blocks[key] = structs.replace(blocks[key], outcomes_by_scorer=outcomes_by_scorer)
        return
    suite = load.recorded_suite(block.suite, block.protocol)[0]
    blocks[key] = SuiteRun(
        run=head.run, model=head.model, suite=block.suite, protocol=block.protocol,
        version=block.version, data_sha256=block.data_sha256, scorers=block.scorers,
        metrics=at_repeats(_metrics_for_hashed_ids(suite, outcomes.golds), block.repeats), outcomes_by_scorer={block.scorer: outcomes},
        judge=block.judge if suite.judged else "", tokens=block.tokens, cost_usd=block.cost_usd,
        seconds=block.seconds, gated=block.gated, original_ids={}, restrictions=block.restrictions,
    )  # fmt: skip


def _metrics_for_hashed_ids(suite: Suite, golds: Mapping[str, Gold]) -> tuple[Metric, ...]:
    """Return a suite's metrics and their `_corrected` versions, with errata looked up by hashed id."""
    errata = suite.errata
    items = {id_hash(suite.id, sample_id): erratum for sample_id, erratum in errata.items.items()}
    return corrected_metrics(suite.metrics, structs.replace(errata, items=items), golds)


def _parse_samples(block: Block, rows: list[bytes]) -> Outcomes:
    golds: dict[str, Gold] = {}
    points: list[Point] = []
    for line in rows:
        sample_id, group, by_repeat, cluster, options, target = _ROW_DECODER.decode(line)
        if not (
            all(isinstance(text, str) for text in (sample_id, group, cluster)) and isinstance(options, int)
        ):
            raise ValueError(f"sample {sample_id} of {block.suite}: malformed id, group, cluster or options")
        if len(by_repeat) != block.repeats or sample_id in golds:
            raise ValueError(
                f"sample {sample_id} of {block.suite} occurs twice or does not have {block.repeats} repeats"
            )
        gold_target: Target = tuple(target) if isinstance(target, list) else target
        golds[sample_id] = Gold(group, cluster or sample_id, gold_target, options)
        for repeat, outcome in enumerate(by_repeat):
            if outcome is None:
                continue
            verdict, value, answer, *parts = outcome
            is_answer = isinstance(answer, str | None)
            if not (isinstance(verdict, str) and is_answer and isinstance(value, int | float | None)):
                raise ValueError(f"sample {sample_id} of {block.suite}: malformed outcome {outcome}")
            if value is not None and not abs(value) <= MAX_VALUE:
                raise ValueError(
                    f"sample {sample_id} of {block.suite}: value {value:.3g} is implausibly large"
                )
            number = None if value is None else float(value)
            score_parts = msgspec.convert(parts[0], dict[str, float]) if parts else {}
            points.append(
                Point(
                    sample_id, repeat, group, cluster or sample_id, verdict, number, answer, gold_target, options, score_parts,
                )
            )  # fmt: skip
    return Outcomes(points, golds, block.repeats, absent_groups=block.absent_groups)
