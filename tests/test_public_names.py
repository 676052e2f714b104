"""The public names of the package, and what importing the package and its modules loads."""

from __future__ import annotations

import json
import subprocess
import sys

import evals
from tests.support.error_messages import raises
from tests.support.tables import table

NAMES = [
    "Data", "Estimate", "EvalsError", "Failure", "Media", "Message", "Metric", "Model", "Point", "Prompt", "Record",
    "Reply", "Run", "Runs", "Sample", "Sampling", "Score", "Scorer", "Split", "Suite", "Text", "Usage", "aevaluate",
    "check", "compare", "evaluate", "gate", "import_replies", "runs",
]  # fmt: skip


def modules_after(statement: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after a statement."""
    code = f"import sys; {statement}; import json; print(json.dumps(sorted(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(process.stdout))


def test_the_list_of_public_names_is_unchanged() -> None:
    assert evals.__all__ == NAMES  # names are added or removed only on purpose
    assert dir(evals) == NAMES


@table("name", NAMES)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(evals, name).__module__.startswith("evals.")


def test_an_unknown_name_raises_an_attribute_error() -> None:
    with raises(AttributeError):
        _ = evals.Evaluator


def test_importing_evals_imports_nothing_else() -> None:
    loaded = modules_after("import evals")
    assert {m for m in loaded if m.partition(".")[0] in ("evals", "suites", "model_adapters")} == {"evals"}
    assert not loaded & {"msgspec", "click", "numpy"}


def test_importing_types_imports_only_types() -> None:
    assert {m for m in modules_after("import evals.types") if m.startswith("evals")} == {
        "evals",
        "evals.types",
    }


def test_importing_the_command_line_loads_no_heavy_libraries() -> None:
    heavy = {"aiohttp", "numpy", "scipy", "pyarrow", "tqdm", "datasets", "uvloop", "asyncio", "msgspec"}
    loaded = {module.partition(".")[0] for module in modules_after("import evals.cli")}
    assert not loaded & (heavy | {"suites", "model_adapters"})


def test_scoring_and_reporting_need_neither_numpy_nor_pyarrow() -> None:
    # `evals show` with a Wilson interval must not wait half a second for scipy
    loaded = modules_after(
        "import evals.report.estimates, evals.records.store, evals.suite, suites.mmlu_pro; from evals.report.statistics import wilson; wilson(8, 10)"
    )
    assert not {module.partition(".")[0] for module in loaded} & {"numpy", "scipy", "pyarrow", "aiohttp"}


def test_listing_suites_imports_neither_suites_nor_answer_extraction() -> None:
    # shell completion waits for it: 0.10 s of CPU, half of which Python and click take
    loaded = modules_after(
        "import io; from evals.cli import cli; out, sys.stdout = sys.stdout, io.StringIO(); "
        "cli.main(['list', 'suites'], standalone_mode=False); sys.stdout = out"
    )
    heavy = ("evals.extract", "evals.prompts", "evals.suite", "evals.suites.", "hashlib", "numpy")
    assert not {module for module in loaded if module.startswith(heavy) and module != "evals.suites"}
