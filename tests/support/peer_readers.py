"""Extract answers by other harnesses' own code; run by the interpreter of an environment with one of them.

    PEER_PYTHON tests/support/peer_readers.py PEER < CASES.jsonl > ANSWERS.jsonl

A case is {"reply", "options": number of options, "target"}; its answer is a letter, or "" if none was extracted; for
math-verify it is "right", "wrong" or "". This file imports nothing from this project.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any, TypeAlias
from unittest.mock import MagicMock

Reader: TypeAlias = Callable[[dict[str, Any]], str]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def run_module_file(package: str, path: str) -> dict[str, Any]:
    """Run one file of an installed package without importing the package, whose dependencies are gigabytes."""
    for folder in map(Path, sys.path):
        if (folder / package / path).exists():
            return run_path(str(folder / package / path))
    raise SystemExit(f"{package}/{path} is not installed")


def evalscope() -> Reader:
    """Return evalscope's extraction of an option; the modules it imports are mocked, as only annotations and prompts use them."""
    for name in ("evalscope", "evalscope.api", "evalscope.api.evaluator"):
        sys.modules[name] = MagicMock()
    parse = run_module_file("evalscope", "utils/multi_choices.py")["parse_answers"]

    def read(case: dict[str, Any]) -> str:
        state = SimpleNamespace(choices=range(case["options"]))
        return "".join(sorted(parse(state, completion=_without_reasoning(case["reply"]))))

    return read


def lmms_eval() -> Reader:
    """Return the extraction of letters that lmms-eval's tasks share."""
    extract = run_module_file("lmms_eval", "tasks/_task_utils/mcq_extract.py")["extract_mcq_answer"]
    return lambda case: str(
        extract(_without_reasoning(case["reply"]), choices=list(LETTERS[: case["options"]]))
    )


def math_verify() -> Reader:
    """Return math-verify's verdict, computed as in its README."""
    from math_verify import parse, verify

    def read(case: dict[str, Any]) -> str:
        stated = parse(_without_reasoning(case["reply"]))
        return ("right" if verify(parse(f"${case['target']}$"), stated) else "wrong") if stated else ""

    return read


def _without_reasoning(reply: str) -> str:
    """Return the text after the reasoning, which these harnesses pass to their extraction."""
    return re.split(r"</think(?:ing)?>", reply)[-1]


READERS = {"evalscope": evalscope, "lmms-eval": lmms_eval, "math-verify": math_verify}

if __name__ == "__main__":
    reader = READERS[sys.argv[1]]()
    for line in sys.stdin:
        print(json.dumps(reader(json.loads(line))))
