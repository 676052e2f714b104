"""`evals sync` to a folder, memory, S3 and SFTP: interrupted and concurrent uploads leave complete runs, and hostile stores are rejected."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evals.records import manifest, store
from evals.remote import cache
from evals.remote.address import parse
from evals.remote.stores import RemoteStore
from tests.remote.conftest import clear_caches
from tests.support.command import evals
from tests.support.paths import ROOT

COMMAND = [sys.executable, "-c", "from evals.cli import main; main()"]


@pytest.fixture
def folder(results: Path, tmp_path: Path) -> Path:
    """A folder that is used as a store, with the two ungated runs."""
    assert evals("sync", results, f"file://{tmp_path / 'store'}").status == 0
    return tmp_path / "store"


def listed_runs(address: object) -> list[str]:
    clear_caches()
    return [run["run"] for run in evals("show", "--results", address, "--json").json["runs"]]


def count_verified_runs(remote: RemoteStore) -> int:
    """Check that the objects of every manifest exist and match their hashes, and return the number of manifests."""
    manifests = manifest.entries(remote.sizes("runs"))
    for folder, (entry, *_) in manifests.items():
        ((_, content),) = remote.read_many({entry.name: entry.size})
        decoded, _ = manifest.decode(content or b"", entry, folder)
        for file in decoded.files.values():
            chunks = remote.chunks(cache.object_name(file.sha256), file.size)
            assert sha256(b"".join(chunks)).hexdigest() == file.sha256
    return len(manifests)


@pytest.mark.parametrize("kind", ["file", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def test_runs_in_the_store_are_not_sent_again(kind: str, results: Path, tmp_path: Path, request: Any) -> None:
    address = {"file": f"file://{tmp_path / 'store'}", "memory": f"memory://{tmp_path.name}"}.get(kind)
    address = address or request.getfixturevalue("s3")
    first = evals("sync", results, address, "--json").json
    assert [(upload["run"], upload["version"]) for upload in first["sent"]] == [("one", 1), ("two", 1)]
    remote = RemoteStore(parse(address))
    before = remote.sizes("")
    second = evals("sync", results, address, "--json").json
    assert (second["sent"], second["present"]) == ([], 2)
    assert remote.sizes("") == before
    assert count_verified_runs(remote) == 2
    assert listed_runs(address) == ["one", "two"]


def test_gated_runs_are_sent_only_on_request(results: Path, tmp_path: Path) -> None:
    address = f"file://{tmp_path / 'store'}"
    outcome = evals("sync", results, address)
    assert "gpqa:diamond is gated, and the records contain its texts" in outcome.err
    assert count_verified_runs(RemoteStore(parse(address))) == 2
    assert evals("sync", results, address, "--gated").status == 0
    assert count_verified_runs(RemoteStore(parse(address))) == 3


def test_unfinished_runs_are_skipped(results: Path, tmp_path: Path) -> None:
    path = store.find_one(results, "two").path
    card = store.read_card(path)
    card.status = "interrupted"
    store.write_card(path, card)
    report = evals("sync", results, f"file://{tmp_path / 'store'}", "--json").json
    assert [upload["run"] for upload in report["sent"]] == ["one"]
    assert "it is interrupted" in report["skipped"][str(path)]


def test_a_damaged_run_is_named_and_the_others_are_sent(results: Path, tmp_path: Path) -> None:
    path = store.find_one(results, "two").path / "records.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    outcome = evals("sync", results, f"file://{tmp_path / 'store'}")
    outcome.assert_usage_error()
    assert listed_runs(f"file://{tmp_path / 'store'}") == ["one"]


def test_a_rescored_run_is_sent_as_a_new_version(results: Path, folder: Path) -> None:
    stale = results.parent / "stale"
    shutil.copytree(results, stale)
    path = store.find_one(results, "two").path
    card = store.read_card(path)
    card.notes = (*card.notes, "scored again")
    store.write_card(path, card)
    address = f"file://{folder}"
    (upload,) = evals("sync", results, address, "--json").json["sent"]
    assert (upload["run"], upload["version"], upload["bytes"]) == ("two", 2, 0)
    clear_caches()
    assert store.find(Path(), f"{address}#two")[0].card.notes == card.notes
    report = evals("sync", stale, address, "--json").json  # as from a machine with the earlier version
    assert (report["sent"], report["present"]) == ([], 2)
    assert "the store has a newer version" in " ".join(report["skipped"].values())
    clear_caches()
    assert store.find(Path(), f"{address}#two")[0].card.notes == card.notes


def test_a_different_run_of_the_same_name_is_rejected(results: Path, folder: Path) -> None:
    arguments = ("--sample", "-m", "scripted:ANSWER: 5", "--run", "two", "--results", "other")
    assert evals("run", "aime:2025", *arguments).status == 0
    evals("sync", "other", f"file://{folder}").assert_usage_error()
    clear_caches()
    assert store.find(Path(), f"file://{folder}#two")[0].card == store.find_one(results, "two").card


@pytest.mark.slow
def test_two_concurrent_processes_send_every_run(many_runs: Path, s3: str) -> None:
    processes = [
        subprocess.Popen([*COMMAND, "sync", "many", s3], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    ended = [(process.communicate(timeout=120), process.returncode) for process in processes]
    assert [status for _, status in ended] == [0, 0], ended
    assert count_verified_runs(RemoteStore(parse(s3))) == 12
    assert len(listed_runs(s3)) == 12


@pytest.fixture
def many_runs(results: Path, here: Path) -> Path:
    """A results folder of twelve runs."""
    for number in range(12):
        path = here / "many/aime-2025@3/scripted" / f"r{number:02}"
        shutil.copytree(store.find_one(results, "two").path, path)
        card = store.read_card(path)
        card.run = path.name
        store.write_card(path, card)
    return here / "many"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "s3"])
def test_every_listed_run_is_complete_after_kill_9(
    kind: str, many_runs: Path, tmp_path: Path, request: Any
) -> None:
    address = f"file://{tmp_path / 'store'}" if kind == "file" else request.getfixturevalue("s3")
    rng, counts = random.Random(7), [0]
    for _ in range(40):
        process = subprocess.Popen([*COMMAND, "sync", "many", address], stdout=subprocess.DEVNULL)
        time.sleep(0.3)
        began = time.monotonic()
        while process.poll() is None and time.monotonic() - began < 20:
            finished = len(manifest.entries(RemoteStore(parse(address)).sizes("runs")))
            if finished > counts[-1] and rng.random() < 0.5:
                break
            time.sleep(0.01)
        process.kill()
        process.wait()
        counts.append(count_verified_runs(RemoteStore(parse(address))))
        if counts[-1] == 12:
            break
    assert counts == sorted(counts)
    assert evals("sync", many_runs, address).status == 0
    assert count_verified_runs(RemoteStore(parse(address))) == 12
    assert len(listed_runs(address)) == 12


def test_truncated_manifests_and_objects_are_sent_again(results: Path, folder: Path) -> None:
    (path,) = folder.glob("runs/*/*/two/*.json")
    content = path.read_bytes()
    path.write_bytes(content[:100])
    assert listed_runs(f"file://{folder}") == ["one"]
    (upload,) = evals("sync", results, f"file://{folder}", "--json").json["sent"]
    assert (upload["run"], upload["version"]) == ("two", 1)
    assert path.read_bytes() == content
    stored_object = next(folder.glob("objects/*/*"))
    # a truncated object without a manifest
    stored_object.write_bytes(stored_object.read_bytes()[:50])
    for manifest_path in folder.glob("runs/*/*/*/*.json"):
        manifest_path.unlink()
    assert evals("sync", results, f"file://{folder}").status == 0
    assert count_verified_runs(RemoteStore(parse(f"file://{folder}"))) == 2


# --- hostile stores ---------------------------------------------------------------------------------------------


def change_file(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Return an edit of a manifest that changes its entry for the records."""
    return lambda m: m["files"]["records.parquet"].update(changes)


HOSTILE_EDITS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a file in a parent folder": (lambda m: m["files"].update({"../../x": {"sha256": "0" * 64, "size": 1}}), "'../../x' is not a file of a run"),
    "an absolute file": (lambda m: m["files"].update({"/etc/passwd": {"sha256": "0" * 64, "size": 1}}), "is not a file of a run"),
    "a card as a file": (lambda m: m["files"].update({"card.json": {"sha256": "0" * 64, "size": 1}}), "is not a file of a run"),
    "a hash with a path": (change_file(sha256="../../../../../../etc/passwd"), "is invalid"),
    "a huge size": (change_file(size=1 << 62), "is invalid"),
    "a size beyond 64 bits": (change_file(size=1 << 70), "is invalid"),
    "a negative size": (change_file(size=-1), "is invalid"),
    "a wrong hash": (change_file(sha256="0" * 64), "is not the file described on its card"),
    "a wrong size": (change_file(size=5), "is not the file described on its card"),
    "a card of another run": (lambda m: m["card"].update(run="one"), "its card belongs to run 'one'"),
    "the folder of another run": (lambda m: m.update(folder="aime-2025@3/scripted/one"), "manifest of another run's folder"),
    "an unfinished run": (lambda m: m["card"].update(status="running"), "its run is running, not finished"),
    "no records": (lambda m: m["files"].pop("records.parquet"), "it lists no records.parquet"),
    "a newer format": (lambda m: m.update(manifest=2), "a manifest of format 2"),
    "an unknown field": (lambda m: m.update(command="rm"), "unknown field `command`"),
    "an impossible card": (lambda m: m["card"].update(started=1e300), "not a plausible time"),
    "a card that is text": (lambda m: m.update(card="x"), "Expected `object`"),
    "escape codes": (lambda m: m["card"].update(run="\x1b[2Jtwo"), "its card belongs to run"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_EDITS)
def test_hostile_manifests_are_skipped_with_a_message(name: str, folder: Path) -> None:
    change, message = HOSTILE_EDITS[name]
    (path,) = folder.glob("runs/*/*/two/*.json")
    edited = msgspec.json.decode(path.read_bytes())
    change(edited)
    content = msgspec.json.encode(edited)
    path.unlink()
    (path.parent / f"0001-{sha256(content).hexdigest()}.json").write_bytes(content)
    outcome = evals("show", "--results", f"file://{folder}")
    assert outcome.status == 0
    (line,) = outcome.err.splitlines()
    assert line.startswith("left out: runs/aime-2025@3/scripted/two/")
    assert message in line
    assert "\x1b" not in line
    assert listed_runs(f"file://{folder}") == ["one"]


def test_a_hostile_newer_version_does_not_hide_the_older(folder: Path) -> None:
    (path,) = folder.glob("runs/*/*/two/*.json")
    (path.parent / f"0009-{'0' * 64}.json").write_bytes(b"{}")
    (path.parent / f"0010-{'1' * 64}.json").touch()
    assert listed_runs(f"file://{folder}") == ["one", "two"]


def test_names_that_leave_the_folder_are_ignored(folder: Path) -> None:
    (path,) = folder.glob("runs/*/*/two/*.json")
    sizes = {str(path.relative_to(folder)): 1}
    for hostile_folder in (
        "runs/aime@2/../x",
        "runs/../../x",
        "runs/a/b/c",
        "runs/.a@1/b/c",
        "runs/a@1/b\n/c",
        "runs//b@/c",
    ):
        sizes[f"{hostile_folder}/{path.name}"] = 1
    assert list(manifest.entries(sizes)) == ["aime-2025@3/scripted/two"]


def test_a_huge_manifest_is_not_read(folder: Path) -> None:
    (path,) = folder.glob("runs/*/*/two/*.json")
    with (path.parent / f"0002-{'0' * 64}.json").open("wb") as stream:
        stream.truncate(1 << 40)
    outcome = evals("show", "--results", f"file://{folder}")
    assert "a manifest of 1099511627776 bytes" in outcome.err
    assert listed_runs(f"file://{folder}") == ["one", "two"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"x" * path.stat().st_size),
        lambda path: path.write_bytes(b"x"),
        lambda path: path.unlink(),
    ],
    ids=["other bytes", "truncated", "missing"],
)
def test_damaged_objects_are_rejected(damage: Callable[[Path], Any], folder: Path) -> None:
    card = store.find(Path(), f"file://{folder}#two")[0].card
    digest = card.files["records.parquet"].sha256
    damage(folder / cache.object_name(digest))
    for arguments in (
        ("show", "two", "--samples"),
        ("bundle", "two", "b.zip"),
        ("export", "csv", "two", "--out", "csv"),
    ):
        clear_caches()
        evals(*arguments, "--results", f"file://{folder}").assert_usage_error()
    assert not (cache.root() / "objects" / digest).exists()
    assert not Path("b.zip").exists()


def test_a_foreign_origin_file_causes_no_download(results: Path, folder: Path) -> None:
    path = store.find_one(results, "two").path
    digest = sha256((path / "records.parquet").read_bytes()).hexdigest()
    size = (path / "records.parquet").stat().st_size
    (path / "records.parquet").unlink()
    (path / "records.parquet").symlink_to("../nowhere")
    origin = cache.Origin(f"file://{folder}", {"records.parquet": cache.StoredFile(digest, size)})
    (path / cache.ORIGIN_FILE).write_bytes(msgspec.json.encode(origin))
    evals("show", path, "--samples").assert_usage_error()
    assert not cache.root().exists()


# --- SFTP -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sftp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """Run asyncssh's SFTP server on a folder; yields its address and the path of the `known_hosts` file."""
    import asyncssh

    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    (home / ".ssh").mkdir(parents=True)
    (tmp_path / "served").mkdir()
    host_key, user_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host_key.write_private_key(str(tmp_path / "host"))
    user_key.write_private_key(str(home / ".ssh/id_ed25519"))
    (tmp_path / "authorized").write_bytes(user_key.export_public_key())
    paths = [str(tmp_path / name) for name in ("served", "host", "authorized")]
    command = [sys.executable, "-m", "tests.support.sftp_server", *paths]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        known_hosts = home / ".ssh/known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{port} {host_key.export_public_key().decode()}")
        yield f"sftp://me@127.0.0.1:{port}/team/evals", known_hosts
        process.kill()


@pytest.mark.slow
def test_sync_and_show_over_sftp(results: Path, sftp: tuple[str, Path], tmp_path: Path) -> None:
    address, known_hosts = sftp

    def run_command(*arguments: str) -> tuple[int, str, str]:
        completed = subprocess.run(
            [*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        return completed.returncode, completed.stdout, completed.stderr

    assert run_command("sync", "results", address)[0] == 0
    assert not list((tmp_path / "served").rglob("*.part"))
    assert [
        run["run"]
        for run in msgspec.json.decode(run_command("show", "--results", address, "--json")[1])["runs"]
    ] == ["one", "two"]
    assert run_command("show", "two", "--samples", "--results", address)[0] == 0
    assert msgspec.json.decode(run_command("sync", "results", address, "--json")[1])["present"] == 2
    known_hosts.write_text("")
    status, _, stderr = run_command("show", "--results", address)  # the host is now unknown
    assert status == 2
    assert "Host key is not trusted" in stderr
