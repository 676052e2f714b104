"""Runs in an object store: commands that only read accept an address in place of a folder, and commands that write reject it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import evals as library
from evals.errors import StoreError
from evals.records import mirror, store
from evals.remote import cache
from tests.remote.conftest import SECRET, clear_caches
from tests.support.command import Outcome, evals
from tests.support.error_messages import raises

pytestmark = pytest.mark.slow  # needs a real S3 server

POLICY = '[[suite]]\nname = "aime:2025"\nprotocol = "strict"\nmargin = 0.5\n'
READING_COMMANDS = {
    "show": "show",
    "show RUN": "show two",
    "show --pivot": "show --pivot",
    "show --samples": "show two --samples",
    "show --sample": "show two --sample {sample}",
    "show --json": "show --json",
    "list": "list runs",
    "compare": "compare one two --suite aime:2025",
    "gate": "gate two --baseline one --policy policy.toml",
    "gate plan": "gate plan policy.toml --baseline two --simulations 100",
    "gate baseline": "gate baseline two {out}.jsonl",
    "bundle": "bundle two {out}.zip",
    "export csv": "export csv two --out {out}",
    "export lm-eval": "export lm-eval two --out {out}",
    "claims list": "claims list --suite aime:2025",
    "claims check": "claims check two --model Intern-S1",
    "audit": "audit two --with lm-eval",
}


@pytest.fixture
def address(results: Path, s3: str) -> str:
    """The address in S3 to which all runs were copied."""
    (results.parent / "policy.toml").write_text(POLICY)
    assert evals("sync", results, s3, "--gated").status == 0
    return s3


def normalised_output(outcome: Outcome, *names: str) -> tuple[int, str]:
    """Return status and output, without durations and sizes and with these names replaced."""
    text = re.sub(r"[\d.]+ (?:s|MB|bytes)\b|\d{2}:\d{2}:\d{2}", "", outcome.out)
    for name in names:
        text = text.replace(name, "RESULTS")
    return outcome.status, " ".join(text.split())


@pytest.mark.parametrize("name", READING_COMMANDS)
def test_reading_commands_accept_an_address(name: str, address: str, results: Path) -> None:
    sample = next(store.find_one(results, "two").samples()).id
    (local, remote) = (
        evals(*READING_COMMANDS[name].format(out=out, sample=sample).split(), "--results", source)
        for out, source in (("out-local", results), ("out-remote", address))
    )
    assert local.status in (0, 1, 3), local.err
    folder = str(cache.view_folder(address))
    assert normalised_output(remote, address, folder, "out-remote") == normalised_output(
        local, str(results), "out-local"
    )


def test_an_address_can_name_a_single_run(address: str, here: Path) -> None:
    shutil.rmtree("results")
    for name in (
        f"{address}#two",
        f"{address}/aime-2025@3/scripted/two",
        f"{address}/runs/aime-2025@3/scripted/two",
    ):
        clear_caches()
        assert [run["run"] for run in evals("show", name, "--json").json["runs"]] == ["two"]
    assert len(evals("show", f"{address}/aime-2025@3", "--json").json["runs"]) == 2
    assert len(evals("show", address, "--json").json["runs"]) == 3
    assert evals("compare", f"{address}#two", f"{address}#two").status == 0
    evals("show", f"{address}#three").assert_usage_error()
    evals("show", f"{address}/aime-2025@3/scripted/three").assert_usage_error()


def test_the_library_accepts_an_address(address: str) -> None:
    runs = library.runs(address)
    assert len(runs) == 3
    assert runs["two"].to_arrow("samples").num_rows == 12
    assert library.compare("one", "two", results=address, suites=["aime:2025"]).comparable
    with raises(StoreError):
        library.evaluate("aime:2025", lambda prompt: "1", sample=True, results=address, quiet=True)


@pytest.mark.parametrize(
    "command",
    [
        "run aime:2025 --sample -m scripted:A --results {address}",
        "score two --results {address}",
        "score {address}#two",
        "score {address}#two --protocol official",
        "import replies replies.jsonl --suite aime:2025 --model m --sample --results {address}",
        "gate noise --from one --from two --results {address}",
        "gate two --baseline one --policy series.toml --results {address}",
    ],
)
def test_writing_commands_reject_an_address(command: str, address: str, here: Path) -> None:
    (here / "replies.jsonl").write_text('{"id": "2025-I-1", "text": "ANSWER: 1"}\n')
    (here / "series.toml").write_text(f'{POLICY}[series]\nname = "nightly"\ngates = 5\n')
    before = sorted(cache.root().rglob("*"))
    evals(*command.format(address=address).split()).assert_usage_error()
    created = {path for path in sorted(cache.root().rglob("*")) if path not in before}
    # only the cache of remote files has grown
    assert {path.parent.name for path in created} <= {
        "objects",
        "remote",
        "runs",
        "views",
        *(p.name for p in created),
    }
    assert not [path for path in created if path.name in ("lock", "records.jsonl", "series")]


def test_only_files_that_are_read_are_downloaded(address: str) -> None:
    assert evals("show", "--results", address).status == 0
    assert not (cache.root() / "objects").exists()
    assert evals("show", "two", "--samples", "--results", address).status == 0
    fetched = {path.name for path in (cache.root() / "objects").iterdir()}
    card = store.find_one(cache.view_folder(address), "two").card
    assert fetched == {facts.sha256 for facts in card.files.values()}


def test_the_cache_can_be_deleted_at_any_time(address: str) -> None:
    for _ in range(2):
        clear_caches()
        assert evals("show", "two", "--samples", "--results", address).status == 0
        shutil.rmtree(cache.root() / "objects")
        assert evals("show", "two", "--samples", "--results", address).status == 0
        shutil.rmtree(cache.root())


def test_a_refresh_shows_new_runs_and_drops_deleted_ones(address: str, results: Path) -> None:
    view = mirror.readable_folder(address)
    assert len(store.runs(view)) == 3
    arguments = ("--sample", "-m", "scripted:ANSWER: 3", "--run", "three", "--results", results)
    assert evals("run", "aime:2025", *arguments).status == 0
    assert evals("sync", results, address).status == 0
    mirror.refresh(view)
    assert len(store.runs(view)) == 4
    import boto3

    bucket = boto3.resource("s3").Bucket("team")
    bucket.objects.filter(Prefix=f"{address.removeprefix('s3://team/')}/runs/gpqa").delete()
    mirror.refresh(view)
    assert {run.card.config.suite for run in store.runs(view)} == {"aime:2025"}


def test_the_dashboard_reads_an_address(address: str) -> None:
    from evals.dashboard.tables.frames import index, query

    view = mirror.readable_folder(address)
    entries = index(view).entries
    assert (len(entries), index(view).broken) == (3, ())
    assert not (cache.root() / "objects").exists()
    frame = query(entries[0].path, "SELECT count(*) AS n FROM records")
    assert frame["n"][0] == 12
    outcome = evals("dashboard", "--results", address, "--export", "board")
    assert outcome.status == 0, outcome.err
    assert "scripted" in Path("board/index.html").read_text()


def test_no_secret_is_printed_or_stored(address: str, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [evals("show", "two", "--json", "--results", address), evals("sync", results, address)]
    clear_caches()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:1/{SECRET}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    outputs.append(evals("show", "--results", address))
    outputs[-1].assert_usage_error()
    assert all(word not in output.out + output.err for output in outputs for word in (SECRET, "AKIAEXAMPLE"))
    files = [path for folder in (cache.root(), results) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "location", ["s3://key:{}@team/x", "sftp://me:{}@host/x", "s3://team/x?X-Amz-Signature={}"]
)
def test_an_address_with_credentials_is_rejected(location: str, results: Path) -> None:
    for arguments in (("show", "--results"), ("sync", results), ("compare", "one")):
        outcome = evals(*arguments, location.format(SECRET))
        outcome.assert_usage_error()
        assert SECRET not in outcome.out + outcome.err


@pytest.mark.parametrize(
    "location",
    [
        "s3://no-such-bucket/x",
        "s3://team/nothing-here",
        "http://host/x",
        "simplecache::s3://team/x",
        "s3://team/../x",
        "s3://",
        "s3://team/x::zip://y",
        "gs://team/x",
        "az://team/x",
    ],
)
def test_an_address_that_cannot_be_read_is_reported_with_the_reason(location: str, s3: str) -> None:
    evals("show", "--results", location).assert_usage_error()


def test_missing_credentials_are_reported(s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    evals("show", "--results", s3).assert_usage_error()


def test_a_missing_package_is_reported(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fsspec", None)
    evals("show", "--results", s3).assert_usage_error()
