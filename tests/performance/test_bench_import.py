"""Import and audit of 12,032 replies, guarded by their CPU over a bare script's: the box of a check is shared and slow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.performance import bench_import

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_import_and_audit_of_a_whole_run(shared: Path, tmp_path: Path) -> None:
    found = bench_import.measure(tmp_path, runs=1)
    assert not [str(one) for one in found if one.unit == "times" and one.value > one.bar]
