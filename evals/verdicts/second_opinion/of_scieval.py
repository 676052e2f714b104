"""Apply a rule of SciEvalKit (InternScience/SciEvalKit @ 0817251a) to a recorded reply, for `worker.py`.

Importing the package `scieval` requires torch and some fifty other packages, none of which these rules use. Therefore only the
functions of a rule are loaded from the package's files, and `pip install --no-deps` is enough. A rule that would call a
judge model uses its own fallback (`exact_matching`).
"""

from __future__ import annotations

import ast
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

IMPORTS = "from __future__ import annotations\nimport copy as cp, os, re, string\nfrom typing import Any, Dict, List, Optional, Set\n"
"""The imports that the functions need."""
MULTIPLE_CHOICE = "scieval.dataset.utils.multiple_choice"


def load_functions(file: str, *names: str) -> dict[str, Any]:
    """Load functions, and methods (`Class.method`) as functions, from one of the package's files; raises ImportError."""
    package = find_spec("scieval")
    if package is None or package.origin is None:
        raise ImportError("the package scieval is not installed")
    path = Path(package.origin).parent / file
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body = [node for name in names for node in _definitions(tree.body, name.split("."))]
    if len(body) != len(names):
        raise ImportError(f"{path} does not define {', '.join(names)}")
    # a folder in the worker's temporary folder, which is removed when the worker ends
    module_path = Path(tempfile.mkdtemp()) / path.name
    module_path.write_text(IMPORTS + ast.unparse(ast.Module(body, [])), encoding="utf-8")
    spec = spec_from_file_location(f"scieval.dataset.{path.stem}", module_path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{module_path} cannot be loaded")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)


def _definitions(nodes: Iterable[ast.stmt], name: list[str]) -> list[ast.stmt]:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name[0]:
            return [node] if len(name) == 1 else _definitions(node.body, name[1:])
    return []


class Table(dict[str, Any]):
    """A stand-in for a data frame of one row, with the methods that `ProteinLMBench.evaluate` calls."""

    def sort_values(self, *, by: str) -> Table:
        """Return the table unchanged: it has one row."""
        return self


def trqa_scorer() -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Return a scoring function that calls `TRQA._judge` without a judge model."""
    functions = load_functions("dataset/trqa.py", "_extract_choice_letters", "TRQA._judge")

    def score(reply: str, doc: dict[str, Any]) -> dict[str, Any]:
        result = functions["_judge"](None, {"answer": doc["answer"], "prediction": reply, "question": ""})
        return {"score": float(result["hit"]), "answer": result["pred_norm"]}

    return score


def proteinlmbench_scorer() -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Return a scoring function that calls `ProteinLMBench.evaluate` on a table of one row, without any files."""
    functions = load_functions("dataset/text_mcq.py", "ProteinLMBench.evaluate")
    for name in ("scieval", "scieval.dataset", "scieval.dataset.utils", MULTIPLE_CHOICE):
        sys.modules[name] = ModuleType(name)
    vars(sys.modules[MULTIPLE_CHOICE])["report_acc"] = lambda table: table
    functions.update(get_intermediate_file_path=lambda *_: "", dump=lambda *_: None)

    def score(reply: str, doc: dict[str, Any]) -> dict[str, Any]:
        table = Table(index=[0], question=[""], prediction=[reply], answer=[doc["answer"]])
        functions["load"] = lambda _: table
        dataset = type(
            "This", (), {"data": Table(index=[0], question=[""]), "dataset_name": "ProteinLMBench"}
        )
        functions["evaluate"](dataset, "")
        return {"score": float(table["hit"][0]), "answer": table["prediction"][0]}

    return score


def options_scorer() -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Return a scoring function that calls `can_infer`, for questions with one right option; a reply without an option is wrong."""
    functions = load_functions("utils/matching_util.py", "can_infer_option", "can_infer_text", "can_infer")

    def score(reply: str, doc: dict[str, Any]) -> dict[str, Any]:
        letter = functions["can_infer"](reply, dict(doc["choices"])) or ""
        return {"score": float(letter == doc["answer"]), "answer": letter}

    return score


RULES = {"trqa": trqa_scorer, "proteinlmbench": proteinlmbench_scorer, "options": options_scorer}


class SciEvalRule:
    """One of the rules in `RULES`."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._score = RULES[spec["rule"]]()
        try:
            self.version = f"SciEvalKit {version('scieval')}"
        except PackageNotFoundError:  # a checkout on the path
            self.version = "SciEvalKit"

    def score(self, item: dict[str, Any]) -> dict[str, Any]:
        """Score one reply."""
        result = self._score(item["reply"], item["doc"])
        return {**result, "why": "" if result["answer"] else "nothing found"}


open_rule = SciEvalRule
