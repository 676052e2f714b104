"""What outside code may rely on, and that looking at it costs nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import evals
from tests.support.tables import table

NAMES = [
    "Data", "Estimate", "EvalsError", "Failure", "Media", "Message", "Metric", "Model", "Point", "Prompt", "Record",
    "Reply", "Run", "Runs", "Sample", "Sampling", "Score", "Scorer", "Split", "Suite", "Text", "Usage", "aevaluate",
    "check", "compare", "evaluate", "gate", "import_replies", "runs",
]  # fmt: skip


def imported_by(statement: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys; {statement}; import json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_public_names_are_these() -> None:
    assert evals.__all__ == NAMES  # a name that goes or comes is a decision, not an accident
    assert dir(evals) == NAMES


@table("name", NAMES)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(evals, name).__module__.startswith("evals.")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Evaluator'"):
        _ = evals.Evaluator


def test_importing_evals_imports_nothing_else() -> None:
    loaded = imported_by("import evals")
    assert {m for m in loaded if m.partition(".")[0] in ("evals", "suites", "model_adapters")} == {"evals"}
    assert not loaded & {"msgspec", "click", "numpy"}


def test_importing_types_imports_only_types() -> None:
    assert {m for m in imported_by("import evals.types") if m.startswith("evals")} == {"evals", "evals.types"}


def test_importing_the_command_stays_light() -> None:
    heavy = {"aiohttp", "numpy", "scipy", "pyarrow", "tqdm", "datasets", "uvloop", "asyncio", "msgspec"}
    loaded = {module.partition(".")[0] for module in imported_by("import evals.cli")}
    assert not loaded & (heavy | {"suites", "model_adapters"})


def test_scoring_and_reporting_need_neither_numpy_nor_pyarrow() -> None:
    # `evals show` of a Wilson interval must not pay half a second for scipy
    loaded = imported_by(
        "import evals.report.estimates, evals.records.store, evals.suite, suites.mmlu_pro; from evals.report.statistics import wilson; wilson(8, 10)"
    )
    assert not {module.partition(".")[0] for module in loaded} & {"numpy", "scipy", "pyarrow", "aiohttp"}


def test_listing_suites_imports_no_suite_and_no_reader() -> None:
    # a shell's completion waits for it: 0.10 s of CPU, of which Python and click take half
    loaded = imported_by(
        "import io; from evals.cli import cli; out, sys.stdout = sys.stdout, io.StringIO(); "
        "cli.main(['list', 'suites'], standalone_mode=False); sys.stdout = out"
    )
    heavy = ("evals.extract", "evals.prompts", "evals.suite", "evals.suites.", "hashlib", "numpy")
    assert not {module for module in loaded if module.startswith(heavy) and module != "evals.suites"}
