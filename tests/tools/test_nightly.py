"""Repeating one part of the nightly run keeps the rows of the other parts in the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tools import nightly


def part(folder: Path, body: str) -> tuple[str, ...]:
    file = folder / "test_part.py"
    file.write_text(body)
    return ("-p", "no:cacheprovider", "-c", "/dev/null", str(file))


@pytest.mark.slow
def test_each_part_has_a_row_and_a_repeated_part_replaces_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightly, "PAGE", tmp_path / "nightly.md")
    for name, body in (
        ("good", "def test_a(): pass\ndef test_b(): pass\n"),
        ("bad", "def test_a(): assert 0\n"),
    ):
        (tmp_path / name).mkdir()
        monkeypatch.setitem(nightly.PARTS, name, part(tmp_path / name, body))
    assert nightly.main(["good", "bad"]) == 1
    good, bad = nightly.PAGE.read_text().splitlines()[-2:]
    assert good.startswith("| good | 2 | 0 | 0 |")
    assert bad.startswith("| bad | 0 | 1 | 0 |")

    (tmp_path / "bad" / "test_part.py").write_text("def test_a(): pass\n")
    assert nightly.main(["bad"]) == 0
    assert [line.split(" | ")[:2] for line in nightly.PAGE.read_text().splitlines()[-2:]] == [
        ["| good", "2"],
        ["| bad", "1"],
    ]


def test_every_nightly_test_belongs_to_a_part() -> None:
    folders = {
        word for arguments in nightly.PARTS.values() for word in arguments if word.startswith("tests/")
    }
    for file in (ROOT / "tests").rglob("test_*.py"):
        source = file.read_text(encoding="utf-8")
        if "mark.nightly" in source or "tiers(" in source:
            assert file.relative_to(ROOT).parent.as_posix() in folders, file


def test_the_error_for_an_unknown_part_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert nightly.main(["sometimes"]) == 2
    assert "sometimes" in capsys.readouterr().err
