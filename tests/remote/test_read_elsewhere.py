"""Runs in an object store are read as from a folder: every command that reads, nothing that writes, real S3."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import evals as library
from evals.errors import StoreError
from evals.records import mirror, store
from evals.remote import cache
from tests.remote.conftest import SECRET, forget
from tests.support.command import Outcome, evals

pytestmark = pytest.mark.slow  # a real server

POLICY = '[[suite]]\nname = "aime:2025"\nprotocol = "strict"\nmargin = 0.5\n'
READING = {
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
    """Where the runs were copied to; the folder is gone."""
    (results.parent / "policy.toml").write_text(POLICY)
    assert evals("sync", results, s3, "--gated").status == 0
    return s3


def shown(done: Outcome, *names: str) -> tuple[int, str]:
    text = re.sub(r"[\d.]+ (?:s|MB|bytes)\b|\d{2}:\d{2}:\d{2}", "", done.out)
    for name in names:
        text = text.replace(name, "RESULTS")
    return done.status, " ".join(text.split())


@pytest.mark.parametrize("name", READING)
def test_reading_commands_take_an_address(name: str, address: str, results: Path) -> None:
    sample = next(store.find_one(results, "two").samples()).id
    (local, far) = (
        evals(*READING[name].format(out=out, sample=sample).split(), "--results", place)
        for out, place in (("out-local", results), ("out-far", address))
    )
    assert local.status in (0, 1, 3), local.err
    folder = str(cache.view_folder(address))
    assert shown(far, address, folder, "out-far") == shown(local, str(results), "out-local")


def test_a_run_is_named_by_an_address(address: str, here: Path) -> None:
    shutil.rmtree("results")
    for name in (
        f"{address}#two",
        f"{address}/aime-2025@2/scripted/two",
        f"{address}/runs/aime-2025@2/scripted/two",
    ):
        forget()
        assert [run["run"] for run in evals("show", name, "--json").json["runs"]] == ["two"]
    assert len(evals("show", f"{address}/aime-2025@2", "--json").json["runs"]) == 2
    assert len(evals("show", address, "--json").json["runs"]) == 3
    assert evals("compare", f"{address}#two", f"{address}#two").status == 0
    assert "no run 'three'" in evals("show", f"{address}#three").error_line
    assert (
        "no run aime-2025@2/scripted/three"
        in evals("show", f"{address}/aime-2025@2/scripted/three").error_line
    )


def test_the_library_takes_an_address(address: str) -> None:
    runs = library.runs(address)
    assert len(runs) == 3
    assert runs["two"].to_arrow("samples").num_rows == 12
    assert library.compare("one", "two", results=address, suites=["aime:2025"]).comparable
    with pytest.raises(StoreError, match="read-only"):
        library.evaluate("aime:2025", lambda prompt: "1", sample=True, results=address, quiet=True)


@pytest.mark.parametrize(
    "line",
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
def test_writing_commands_refuse_an_address(line: str, address: str, here: Path) -> None:
    (here / "replies.jsonl").write_text('{"id": "2025-I-1", "text": "ANSWER: 1"}\n')
    (here / "series.toml").write_text(f'{POLICY}[series]\nname = "nightly"\ngates = 5\n')
    before = sorted(cache.root().rglob("*"))
    assert "is read-only; write to a local folder" in evals(*line.format(address=address).split()).error_line
    left = {path for path in sorted(cache.root().rglob("*")) if path not in before}
    assert {path.parent.name for path in left} <= {
        "objects",
        "remote",
        "runs",
        "views",
        *(p.name for p in left),
    }
    assert not [path for path in left if path.name in ("lock", "records.jsonl", "series")]


def test_only_what_is_read_is_fetched(address: str) -> None:
    assert evals("show", "--results", address).status == 0
    assert not (cache.root() / "objects").exists()
    assert evals("show", "two", "--samples", "--results", address).status == 0
    fetched = {path.name for path in (cache.root() / "objects").iterdir()}
    card = store.find_one(cache.view_folder(address), "two").card
    assert fetched == {facts.sha256 for facts in card.files.values()}


def test_the_cache_may_be_deleted(address: str) -> None:
    for _ in range(2):
        forget()
        assert evals("show", "two", "--samples", "--results", address).status == 0
        shutil.rmtree(cache.root() / "objects")
        assert evals("show", "two", "--samples", "--results", address).status == 0
        shutil.rmtree(cache.root())


def test_a_new_run_appears_and_a_deleted_one_goes(address: str, results: Path) -> None:
    view = mirror.readable_folder(address)
    assert len(store.runs(view)) == 3
    words = ("--sample", "-m", "scripted:ANSWER: 3", "--run", "three", "--results", results)
    assert evals("run", "aime:2025", *words).status == 0
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
    done = evals("dashboard", "--results", address, "--export", "board")
    assert done.status == 0, done.err
    assert "scripted" in Path("board/index.html").read_text()


def test_no_secret_is_shown_or_kept(address: str, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [evals("show", "two", "--json", "--results", address), evals("sync", results, address)]
    forget()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:1/{SECRET}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    outputs.append(evals("show", "--results", address))
    assert outputs[-1].status == 2
    assert all(word not in done.out + done.err for done in outputs for word in (SECRET, "AKIAEXAMPLE"))
    kept = [path for folder in (cache.root(), results) for path in folder.rglob("*") if path.is_file()]
    assert len(kept) > 8
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "place", ["s3://key:{}@team/x", "sftp://me:{}@host/x", "s3://team/x?X-Amz-Signature={}"]
)
def test_an_address_holds_no_credentials(place: str, results: Path) -> None:
    for words in (("show", "--results"), ("sync", results), ("compare", "one")):
        done = evals(*words, place.format(SECRET))
        assert "credentials" in done.error_line
        assert SECRET not in done.out + done.err


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s3://no-such-bucket/x", "there is no such bucket or folder"),
        ("s3://team/nothing-here", "no runs in s3://team/nothing-here"),
        ("http://host/x", "expected an address that begins with s3://"),
        ("simplecache::s3://team/x", None),
        ("s3://team/../x", "its path has an empty part"),
        ("s3://", "expected a bucket or host"),
        ("s3://team/x::zip://y", "expected a bucket or host"),
        ("gs://team/x", "gs:// needs the package gcsfs: `pip install gcsfs`"),
        ("az://team/x", "az:// needs the package adlfs: `pip install adlfs`"),
    ],
)
def test_addresses_that_cannot_be_read(place: str, message: str | None, s3: str) -> None:
    complaint = evals("show", "--results", place).error_line
    assert message is None or message in complaint


def test_without_credentials(s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert "no credentials were found" in evals("show", "--results", s3).error_line


def test_without_the_extra(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert "s3:// needs `pip install" in evals("show", "--results", s3).error_line
