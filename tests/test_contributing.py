"""The two examples of CONTRIBUTING.md are short, and work as they stand."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from evals.data import Data
from evals.suite import check
from evals.types import Message, Prompt, Sampling

PAGE = Path(__file__).resolve().parent.parent / "CONTRIBUTING.md"


def example(name: str, folder: Path) -> ModuleType:
    code = re.search(
        rf"<!-- example: {re.escape(name)} -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL
    )
    assert code, f"{name} is not in CONTRIBUTING.md"
    assert len(code[1].splitlines()) < 40
    path = folder / Path(name).name
    path.write_text(code[1])
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_suite_checks_and_prompts(tmp_path: Path) -> None:
    suite = example("suites/capitals.py", tmp_path).BENCHMARK.suite()
    rows = [
        {"id": 1, "country": "France", "cities": ["Paris", "Lyon"], "answer": "A"},
        {"id": 2, "country": "Japan", "cities": ["Osaka", "Tokyo"], "answer": "B"},
    ]
    file = tmp_path / "capitals.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = Data(suite="capitals", local=file)
    found = check(suite, data)
    assert (found.samples, found.faults) == (2, ())
    sample = next(iter(suite.samples(data)))
    assert "B. Lyon" in suite.prompter(data)(sample, 0).messages[0].parts[0].text


async def test_the_adapter_replies_and_refuses(tmp_path: Path) -> None:
    module = example("model_adapters/parrot.py", tmp_path)
    model = module.model("polly")
    prompt = Prompt(messages=(Message.user("first\nsecond"),))
    assert (await model.reply(prompt, Sampling())).text == "second"
    with pytest.raises(module.UsageError, match="one word"):
        module.model("two words")
