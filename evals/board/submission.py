"""Entries of a board: for each model version a zip file, `entries/MODEL@REVISION.zip`.

submission.toml                   the submitter's description of the model, and the list of runs
gpqa-diamond@strict.zip           a bundle (`evals bundle`) for each run, stored without further compression
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, structs

from evals import disk
from evals.board.policy import BoardPolicy, Limits, parse_toml
from evals.bundles import bundle
from evals.data.archive import ARCHIVE_ERRORS
from evals.errors import DataError, UsageError
from evals.records.store import Run, slug
from evals.validation import cause, read_struct

FORMAT = 1
TOML_NAME = "submission.toml"
SUFFIX = ".zip"
MAX_TOML_BYTES = 64 << 10
MAX_TEXT_CHARACTERS = 2000
"""Maximum length of a free-text field."""
MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")
BUNDLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}@[A-Za-z0-9][A-Za-z0-9._+-]{0,59}\.zip")
_MARKUP = re.compile(r"<[A-Za-z/!?]|&#|javascript:", re.IGNORECASE)
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""Modification time of the files in an entry, fixed so that the bytes of an entry depend only on their content."""


class ModelCard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a submitter states about a model: the content of a `--model-card` file."""

    model: str
    """Model id: `organisation/name`, or a plain name."""
    revision: str
    """Commit, date or version that identifies the weights."""
    weights: Literal["open", "closed"]
    licence: str
    training_data: str
    """Statement on the training data, and on whether they may contain items of the board's suites."""
    contact: str
    """E-mail address or web page of the submitter."""
    conflicts: str = "none"
    """The submitter's interests in the result."""
    parameters_b: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    """Number of parameters in billions."""
    active_b: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    """Number of active parameters per token in billions, if fewer than all."""
    url: str = ""


class SubmittedRun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run of a submission."""

    file: str
    suite: str
    protocol: str
    run: str
    cost_usd: float | None = None
    """Cost of its calls according to the run's card; unset if the price is unknown."""


class Submission(ModelCard, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `submission.toml`."""

    format: int = FORMAT
    board: str
    """Id of the board it was made for."""
    runs: tuple[SubmittedRun, ...]


def entry_name(card: ModelCard) -> str:
    """Return the name of the entry of a model version: `MODEL@REVISION`."""
    return f"{slug(card.model)}@{slug(card.revision)}"


def unsuitable_text(text: str) -> str:
    """Return why untrusted text must not be displayed; empty if it may."""
    if len(text) > MAX_TEXT_CHARACTERS:
        return f"has more than {MAX_TEXT_CHARACTERS} characters"
    if not text.isprintable() and any(not c.isprintable() and c not in "\n\t" for c in text):
        return "contains control characters"
    return "contains markup" if _MARKUP.search(text) else ""


def check_model_card(card: ModelCard, source: str) -> None:
    """Raise UsageError if a model card is incomplete, invalid or unsuitable for display."""
    if not MODEL_ID.fullmatch(card.model):
        raise UsageError(f"{source}: model must be NAME or ORGANISATION/NAME of letters, digits and . _ -")
    if not REVISION.fullmatch(card.revision):
        raise UsageError(f"{source}: revision must be up to 80 letters, digits and . _ + -")
    for name in ("licence", "training_data", "contact", "conflicts", "url"):
        text = getattr(card, name)
        if why := unsuitable_text(text):
            raise UsageError(f"{source}: {name} {why}")
        if not text.strip() and name != "url":
            raise UsageError(f"{source}: {name} is empty")
    if card.url and not card.url.startswith("https://"):
        raise UsageError(f"{source}: url must begin with https://")
    if card.active_b is not None and (card.parameters_b is None or card.active_b > card.parameters_b):
        raise UsageError(f"{source}: active_b requires parameters_b, and must not be larger")


def read_model_card(path: Path) -> ModelCard:
    """Read and check a `--model-card` file; raises UsageError."""
    card: ModelCard = read_struct(path, ModelCard, max_bytes=MAX_TOML_BYTES)
    check_model_card(card, str(path))
    return card


def pack(runs: Sequence[Run], card: ModelCard, policy: BoardPolicy, folder: Path) -> Path:
    """Write a model version's entry into a folder and return its path; raises UsageError.

    An existing entry is not overwritten.
    """
    out = folder / f"{entry_name(card)}{SUFFIX}"
    if out.exists():
        raise UsageError(f"{out} exists: a new result of this model needs another revision in its model card")
    names = [bundle_name(run) for run in runs]
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise UsageError(f"{count} of the runs are of {name.removesuffix(SUFFIX)}: submit only one of them")
    submitted_runs = tuple(
        SubmittedRun(
            file=name,
            suite=run.card.config.suite,
            protocol=run.card.config.protocol,
            run=run.card.run,
            cost_usd=run.card.cost_usd,
        )
        for run, name in zip(runs, names, strict=True)
    )
    submission = Submission(**structs.asdict(card), board=policy.id, runs=submitted_runs)
    partial_path = out.with_name(f".{out.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".submit-") as temporary:
            partial_path.unlink(missing_ok=True)
            with zipfile.ZipFile(partial_path, "x", zipfile.ZIP_STORED) as archive:
                archive.writestr(zipfile.ZipInfo(TOML_NAME, _ZIP_TIME), _toml(submission))
                for run, name in zip(runs, names, strict=True):
                    bundle_path = Path(temporary) / name
                    bundle.pack(run, bundle_path)
                    _store(archive, name, bundle_path)
            partial_path.replace(out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        partial_path.unlink(missing_ok=True)
    return out


def _toml(submission: Submission) -> bytes:
    """Return a submission as TOML without unset fields. Values are written as JSON, which is valid TOML for them."""
    fields = structs.asdict(submission)
    runs = [structs.asdict(run) for run in fields.pop("runs")]
    lines = [*_assignments(fields), *(line for run in runs for line in ("", "[[runs]]", *_assignments(run)))]
    return "\n".join([*lines, ""]).encode()


def _assignments(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if value is not None:
            yield f"{name} = {msgspec.json.encode(value).decode()}"


def _store(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    with (
        path.open("rb") as source,
        archive.open(zipfile.ZipInfo(name, _ZIP_TIME), "w", force_zip64=True) as target,
    ):
        copyfileobj(source, target)


def bundle_name(run: Run) -> str:
    """Return the name of a run's bundle in an entry."""
    config = run.card.config
    return f"{slug(config.suite.replace(':', '-'))}@{slug(config.protocol)}{SUFFIX}"


@contextmanager
def unpacked(path: Path, policy: BoardPolicy) -> Iterator[tuple[Submission, dict[str, Path]]]:
    """Yield an entry's submission, and the paths of its bundles by file name, which are unpacked in a temporary folder.

    Only files with the expected names are unpacked, and the policy limits their size. Raises DataError or UsageError.
    """
    with TemporaryDirectory(prefix="evals-board-") as temporary:
        try:
            submission = _unpack(path, Path(temporary), policy.limits)
        except ARCHIVE_ERRORS as error:
            raise DataError(f"not a readable zip file: {cause(error)}") from None
        yield submission, {run.file: Path(temporary) / run.file for run in submission.runs}


def _unpack(path: Path, folder: Path, limits: Limits) -> Submission:
    """Write an entry's bundles into a folder and return its submission."""
    with disk.open_regular(path) as stream:
        if stream.seek(0, 2) > limits.entry_mb << 20:
            raise DataError(f"larger than {limits.entry_mb} MB")
        with zipfile.ZipFile(stream) as archive:
            submission = _read_submission(archive)
            for name in (run.file for run in submission.runs):
                info = archive.getinfo(name)
                if info.compress_type != zipfile.ZIP_STORED or info.file_size > limits.entry_mb << 20:
                    raise DataError(
                        f"{name} is compressed or too large: create entries with `evals board submit`"
                    )
                with archive.open(info) as source, (folder / name).open("xb") as target:
                    copyfileobj(source, target)
                with zipfile.ZipFile(folder / name) as bundle_archive:
                    size_mb = sum(info.file_size for info in bundle_archive.infolist()) / (1 << 20)
                if size_mb > limits.unpacked_mb:
                    raise DataError(
                        f"{name} unpacks to {size_mb:.0f} MB; the limit is {limits.unpacked_mb} MB"
                    )
    return submission


def _read_submission(archive: zipfile.ZipFile) -> Submission:
    try:
        info = archive.getinfo(TOML_NAME)
    except KeyError:
        raise DataError(f"it contains no {TOML_NAME}: create entries with `evals board submit`") from None
    if info.file_size > MAX_TOML_BYTES:
        raise DataError(f"{TOML_NAME} is larger than {MAX_TOML_BYTES >> 10} KB")
    with archive.open(info) as stream:
        submission: Submission = parse_toml(stream.read(MAX_TOML_BYTES), Submission, TOML_NAME)
    if submission.format != FORMAT:
        raise DataError(f"{TOML_NAME}: format {submission.format}; this version reads {FORMAT}")
    check_model_card(submission, TOML_NAME)
    if not submission.runs:
        raise DataError(f"{TOML_NAME} lists no runs")
    listed_files = [run.file for run in submission.runs]
    if any(not BUNDLE_NAME.fullmatch(name) for name in listed_files):
        raise DataError(f"{TOML_NAME} lists a file whose name is not SUITE@PROTOCOL.zip")
    if sorted(archive.namelist()) != sorted([TOML_NAME, *listed_files]):
        raise DataError(f"its files are not those listed in {TOML_NAME}")
    return submission
