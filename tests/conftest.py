"""Fixtures of all tests, such as the shared real data and a local mirror of them, and hooks for the collection of tests."""

from __future__ import annotations

import gc
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from evals.prompts.upstream import wheel
from tests.support import error_messages
from tests.support.loopback import server
from tests.support.protocols import ADAPTERS
from tests.support.sizes import size
from tools import mirror as mirror_script

__all__ = ["server"]

os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and the output of commands would depend on it

# The machine may be busy, so there are no deadlines. CI tries the same examples each time; the nightly searches for new ones.
NO_DEADLINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", NO_DEADLINE, derandomize=True, max_examples=100)
settings.register_profile("nightly", NO_DEADLINE, max_examples=500)
settings.load_profile(size("ci", "nightly"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of shared real data; without it, tests that need it are skipped with a notice."""
    try:
        return mirror_script.shared_folder()
    except FileNotFoundError as error:
        pytest.skip(f"NOT TESTED ON REAL DATA: {error}")


@pytest.fixture(scope="session")
def mirror(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a local mirror for `--data`, which is built once; tests must not change it."""
    folder = tmp_path_factory.mktemp("mirror")
    mirror_script.build(folder, shared)
    return folder


@pytest.fixture(scope="session", autouse=True)
def no_wheel() -> Iterator[None]:
    """Hide an OpenCompass wheel that this machine may have; a test that needs a wheel provides one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wheel, "wheel_path", lambda described: Path("/nowhere") / described.file)
        yield


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to an empty working folder and remove the user's API keys from the environment; return the folder."""
    monkeypatch.chdir(tmp_path)
    variables = {name for row in ADAPTERS.values() for name in (row.key, row.base) if name}
    for name in (*variables, "HF_TOKEN", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


ALL_SLOW = re.compile(r"^pytestmark = (\[[^\]]*)?pytest\.mark\.(slow|nightly)\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip modules with only slow tests if slow tests are deselected; some import Ray, others a browser."""
    if "not slow" in config.option.markexpr and collection_path.suffix == ".py":
        return bool(ALL_SLOW.search(collection_path.read_text(encoding="utf-8"))) or None
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Compare the error messages of a test with those recorded under its id."""
    with error_messages.recording(item.nodeid):
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Use one worker more than there are cores; a third of a worker's time is spent waiting for other processes."""
    return (os.cpu_count() or 1) + 1


LONGEST_FILES = (
    "test_embedded", "test_dashboard_browser", "test_local_model", "test_dashboard_hostile", "test_hf_likelihoods", "test_lm_eval",
    "test_mlflow", "test_gate_simulations", "test_dashboard_pages", "test_launch", "test_merged_models", "test_hf", "test_wheel",
    "test_merge_memory", "test_simulations", "test_site_browser", "test_with_torch", "test_with_timm", "test_matrix",
    "test_secrets", "test_text", "test_cli_bad_input", "test_matbench", "test_baseline", "test_instructions", "test_suite",
    "test_dashboard_views", "test_dashboard_foreign_folders",
)  # fmt: skip
"""The test files that take longest, in decreasing order."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first, then those with most tests; a long file at the end would occupy a single worker."""
    rank = {name: number for number, name in enumerate(LONGEST_FILES)}
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (rank.get(item.path.stem, len(rank)), -tests[item.path], str(item.path)))


def pytest_collection_finish() -> None:
    """Exempt the ten thousand collected tests from garbage collection, which is also made rarer: a tenth of the CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(40_000, 50, 1_000)  # below the threshold that a run sets
