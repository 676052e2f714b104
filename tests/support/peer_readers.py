"""How other harnesses read a reply, by their own code: run by the interpreter of an environment that holds one of them.

    PEER_PYTHON tests/support/peer_readers.py PEER < CASES.jsonl > ANSWERS.jsonl

A case is {"reply", "options": number of options, "target"}; its answer is a letter, "" if nothing was read; math-verify says
"right", "wrong" or "". Nothing of this project is imported here.
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


def module(package: str, path: str) -> dict[str, Any]:
    """Run one file of an installed package without importing the package, whose dependencies are gigabytes."""
    for folder in map(Path, sys.path):
        if (folder / package / path).exists():
            return run_path(str(folder / package / path))
    raise SystemExit(f"{package}/{path} is not installed")


def evalscope() -> Reader:
    """Return evalscope's reader of one option; what it imports is for annotations and prompts alone."""
    for name in ("evalscope", "evalscope.api", "evalscope.api.evaluator"):
        sys.modules[name] = MagicMock()
    parse = module("evalscope", "utils/multi_choices.py")["parse_answers"]

    def read(case: dict[str, Any]) -> str:
        state = SimpleNamespace(choices=range(case["options"]))
        return "".join(sorted(parse(state, completion=_shown(case["reply"]))))

    return read


def lmms_eval() -> Reader:
    """Return the reader of letters that lmms-eval's tasks share."""
    extract = module("lmms_eval", "tasks/_task_utils/mcq_extract.py")["extract_mcq_answer"]
    return lambda case: str(extract(_shown(case["reply"]), choices=list(LETTERS[: case["options"]])))


def math_verify() -> Reader:
    """Return math-verify as its README uses it."""
    from math_verify import parse, verify

    def read(case: dict[str, Any]) -> str:
        stated = parse(_shown(case["reply"]))
        return ("right" if verify(parse(f"${case['target']}$"), stated) else "wrong") if stated else ""

    return read


def _shown(reply: str) -> str:
    """Return what stands behind the reasoning, as these harnesses' pipelines hand it to their readers."""
    return re.split(r"</think(?:ing)?>", reply)[-1]


READERS = {"evalscope": evalscope, "lmms-eval": lmms_eval, "math-verify": math_verify}

if __name__ == "__main__":
    reader = READERS[sys.argv[1]]()
    for line in sys.stdin:
        print(json.dumps(reader(json.loads(line))))
