"""Ingest entries into a board: examine the new ones, compare them with the others, and write results and index.

Ingesting is deterministic and idempotent: an entry whose file and policy have not changed keeps its result, and results
contain no timestamp of their computation. With `write=False`, nothing is written, as when a pull request is checked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import structs

from evals import disk
from evals.board import checks, decisions, items, levels, policy, results
from evals.board.decisions import Decision
from evals.board.examine import NEEDS_DATA, Examination, examine, within_limits
from evals.board.policy import BoardPolicy
from evals.board.results import EntryResult, Index, Status
from evals.board.submission import SUFFIX, ModelCard
from evals.errors import UsageError
from evals.plain import one_line
from evals.records.card import packages

ENTRIES = "entries"


def ingest(
    folder: Path, names: Sequence[str] = (), *, gold: Path | None = None, write: bool = True
) -> Iterator[EntryResult]:
    """Yield the result of each examined entry; `names`: entries to examine, by default those without a current result.

    `gold`: folder with the board's own data. Raises UsageError if the board itself is faulty: an invalid policy, an edited
    result, a removed decision, an entry deleted or changed without a decision, or too many new entries.
    """
    board_policy = policy.read(folder)
    index = results.read_index(folder, board_policy.id)
    all_decisions = decisions.read(folder)
    decisions.check_only_added(all_decisions, index.decisions, index.decisions_sha256 or decisions.digest(()))
    results_by_entry = results.read_all(folder)
    files = _entry_files(folder)
    _check_none_missing(index, files, all_decisions)
    stale = {
        name
        for name, result in results_by_entry.items()
        if result.status == "held" and _may_be_published(result, all_decisions, gold)
    }
    pending = list(_pending(board_policy, files, results_by_entry, stale, names))
    new_count = sum(path.stem not in results_by_entry for path in pending)
    if new_count > (maximum := board_policy.limits.new_entries):
        raise UsageError(f"{new_count} new entries; one ingest accepts at most {maximum}")
    for path in pending:
        examination = _examine(path, board_policy, results_by_entry, gold)
        result = _result_of(path, board_policy, results_by_entry, all_decisions, examination)
        results_by_entry[result.entry] = result
        if write:
            results.write(folder, f"{result.entry}.json", result)
            items.write(folder, result.entry, examination.items if result.suites else {})
        yield result
    if write:
        levels.update(folder, board_policy, results_by_entry, gold)
        new_index = Index(
            board=board_policy.id, decisions=len(all_decisions), decisions_sha256=decisions.digest(all_decisions),
            entries={name: results_by_entry[name].content_sha256 for name in sorted(results_by_entry)},
        )  # fmt: skip
        results.write(folder, results.INDEX, new_index)


def _entry_files(folder: Path) -> dict[str, Path]:
    """Return the files in `entries/` by entry; raises UsageError if another file is there."""
    files = {}
    for path in sorted((folder / ENTRIES).iterdir()) if (folder / ENTRIES).is_dir() else ():
        if path.name.startswith("."):
            continue
        if path.is_symlink() or not path.is_file() or path.suffix != SUFFIX or path.name.count("@") != 1:
            raise UsageError(f"{ENTRIES}/{one_line(path.name)} is not a file named MODEL@REVISION{SUFFIX}")
        files[path.stem] = path
    return files


def _check_none_missing(index: Index, files: Mapping[str, Path], all_decisions: Sequence[Decision]) -> None:
    for entry in index.entries:
        decision = decisions.latest(all_decisions, entry)
        if entry not in files and (decision is None or decision.kind not in ("withdrawn", "superseded")):
            raise UsageError(f"{ENTRIES}/{entry}{SUFFIX} is missing, but no decision withdraws it")


def _pending(
    board_policy: BoardPolicy,
    files: Mapping[str, Path],
    results_by_entry: Mapping[str, EntryResult],
    stale: Collection[str],
    names: Sequence[str],
) -> Iterator[Path]:
    """Yield the files to examine: first known entries in order of arrival, then new ones by name.

    `stale`: entries to examine again; `names`: those that the user requests instead of all new, changed and stale ones.
    """

    def is_current(name: str) -> bool:
        if (result := results_by_entry.get(name)) is None:
            return False
        computed_from = (result.file_sha256, result.policy_sha256, result.evals)
        return computed_from == (disk.sha256(files[name]), board_policy.sha256, packages()["science-evals"])

    requested = [Path(name).name.removesuffix(SUFFIX) for name in names]
    if missing := [name for name in requested if name not in files]:
        raise UsageError(f"no entry {one_line(missing[0])!r} in {ENTRIES}/")
    new_sequence = len(results_by_entry) + 1
    sequences = {name: result.sequence for name, result in results_by_entry.items()}
    for name in sorted(files, key=lambda name: (sequences.get(name, new_sequence), name)):
        if name in requested or (not requested and (name in stale or not is_current(name))):
            yield files[name]


def _may_be_published(result: EntryResult, all_decisions: Sequence[Decision], gold: Path | None) -> bool:
    """Return whether a held entry now has what it lacked: a decision that accepts it, or the board's data."""
    needs_data = any(reason.endswith(NEEDS_DATA) for reason in result.reasons)
    return gold is not None if needs_data else decisions.accepts(all_decisions, result.entry)


def _examine(
    path: Path, board_policy: BoardPolicy, results_by_entry: Mapping[str, EntryResult], gold: Path | None
) -> Examination:
    previous = results_by_entry.get(path.stem)
    if previous is not None and previous.status == "accepted" and previous.file_sha256 != disk.sha256(path):
        raise UsageError(
            f"{ENTRIES}/{path.name}: the file of a published entry was changed; add a new revision instead"
        )
    return within_limits(examine, path, board_policy, gold, seconds=board_policy.limits.seconds)


def _result_of(
    path: Path,
    board_policy: BoardPolicy,
    results_by_entry: Mapping[str, EntryResult],
    all_decisions: Sequence[Decision],
    examination: Examination,
) -> EntryResult:
    """Return the result of an examined entry, which is also compared with the earlier entries."""
    previous = results_by_entry.get(path.stem)
    sequence = (
        previous.sequence if previous else max((r.sequence for r in results_by_entry.values()), default=0) + 1
    )
    earlier_entries = [
        r for r in results_by_entry.values() if r.sequence < sequence and r.status != "refused"
    ]
    refusals = examination.refusals or list(_comparison_refusals(examination, earlier_entries))
    doubts = [] if refusals else list(_doubts(examination, board_policy, earlier_entries))
    is_held = examination.unverified or (doubts and not decisions.accepts(all_decisions, path.stem))
    status: Status = "held" if is_held else "accepted"
    if refusals:
        status = "refused"
    base = EntryResult(
        board=board_policy.id,
        entry=path.stem,
        sequence=sequence,
        file_sha256=disk.sha256(path),
        policy_sha256=board_policy.sha256,
        evals=packages()["science-evals"],
        status=status,
        reasons=tuple(refusals or [*examination.unverified, *doubts]),
    )
    if refusals or examination.submission is None:
        return base.with_content_hash()
    model = ModelCard(**{name: getattr(examination.submission, name) for name in ModelCard.__struct_fields__})
    return structs.replace(base, model=model, suites=tuple(examination.suites)).with_content_hash()


def _entries_of_other_models(examination: Examination, others: Iterable[EntryResult]) -> list[EntryResult]:
    assert examination.submission is not None  # noqa: S101 - an entry without a readable submission is refused earlier
    model = examination.submission.model.casefold()
    return [other for other in others if other.model is not None and other.model.model.casefold() != model]


def _comparison_refusals(examination: Examination, others: Sequence[EntryResult]) -> Iterator[str]:
    entries_of_other_models = _entries_of_other_models(examination, others)
    for result in examination.suites:
        for line in checks.comparison_refusals(result, others, entries_of_other_models):
            yield f"{result.label}: {line}"


def _doubts(
    examination: Examination, board_policy: BoardPolicy, others: Sequence[EntryResult]
) -> Iterator[str]:
    published = [
        other for other in _entries_of_other_models(examination, others) if other.status == "accepted"
    ]
    for result in examination.suites:
        rule = board_policy.rule_of(result.suite, result.protocol)
        assert rule is not None  # noqa: S101 - `examine` refuses suites without a rule
        for line in checks.plausibility_doubts(result, rule, published):
            yield f"{result.label}: {line}"
