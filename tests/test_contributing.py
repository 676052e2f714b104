"""The two examples in CONTRIBUTING.md are short and work unchanged."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

from evals.data import Data
from evals.suite import check
from evals.types import Message, Prompt, Sampling
from tests.support.error_messages import raises

PAGE = Path(__file__).resolve().parent.parent / "CONTRIBUTING.md"


def import_example(name: str, folder: Path) -> ModuleType:
    """Write an example to a file in a folder and import it."""
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


def test_the_example_suite_passes_its_check_and_builds_prompts(tmp_path: Path) -> None:
    suite = import_example("suites/capitals.py", tmp_path).BENCHMARK.suite()
    rows = [
        {"id": 1, "country": "France", "cities": ["Paris", "Lyon"], "answer": "A"},
        {"id": 2, "country": "Japan", "cities": ["Osaka", "Tokyo"], "answer": "B"},
    ]
    file = tmp_path / "capitals.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = Data(suite="capitals", local=file)
    result = check(suite, data)
    assert (result.samples, result.faults) == (2, ())
    sample = next(iter(suite.samples(data)))
    assert "B. Lyon" in suite.prompter(data)(sample, 0).messages[0].parts[0].text


async def test_the_example_adapter_replies_and_rejects_a_bad_name(tmp_path: Path) -> None:
    module = import_example("model_adapters/parrot.py", tmp_path)
    model = module.model("polly")
    prompt = Prompt(messages=(Message.user("first\nsecond"),))
    assert (await model.reply(prompt, Sampling())).text == "second"
    with raises(module.UsageError):
        module.model("two words")
