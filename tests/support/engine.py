"""Real vLLM with the tiny checkpoint: its environment, its weights, and a server started by `evals serve`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import TESTS
from tools.environments import VLLM

ARGUMENTS = "--dtype float32 --enforce-eager"
"""Precision as in transformers, and no compilation, which would take a minute."""


def python() -> Path:
    """Return the interpreter with vLLM and transformers; skips the test if there is none."""
    interpreter = VLLM.python()
    if interpreter is None:
        pytest.skip("NOT TESTED ON REAL VLLM: `make engine` makes its environment (some minutes, 4 GB)")
    return interpreter


def environment(python: Path) -> dict[str, str]:
    """Return environment variables with which a command starts vLLM on a CPU."""
    return os.environ | {
        "EVALS_ENGINE_PYTHON": str(python),
        "EVALS_ENGINE_ARGS": ARGUMENTS,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
    }


def checkpoint(python: Path, folder: Path) -> Path:
    """Create the tiny checkpoint in a folder, and return the folder."""
    script = TESTS / "support" / "tiny_checkpoint.py"
    subprocess.run([str(python), str(script), str(folder)], check=True, capture_output=True, timeout=300)
    return folder


def run_evals(
    *arguments: object, env: dict[str, str], cwd: Path, timeout_s: float = 600, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Run `evals` in a separate process."""
    return subprocess.run(
        [python, "-c", "from evals.cli import main; main()", *map(str, arguments)],
        env=env, cwd=cwd, capture_output=True, text=True, check=False, timeout=timeout_s,
    )  # fmt: skip


@contextmanager
def serve(weights: Path, env: dict[str, str], cwd: Path) -> Iterator[str]:
    """Run `evals serve` in the background; yields the line that it prints, its URL with the model's name."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from evals.cli import main; main()", "serve", f"vllm:{weights}", "--log", "serve.log"],
        env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        url = process.stdout.readline().strip()
        assert url, process.stderr.read()
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


BENCHMARK = """
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser

parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""


def benchmark(
    url: str, prompts: Path, *, weights: Path, concurrency: int, env: dict[str, str]
) -> dict[str, Any]:
    """Run the code of `vllm bench serve`, a command that the CPU build lacks, on prompts with given output lengths."""
    base, _, name = url.partition("#")
    result = prompts.with_suffix(".json")
    arguments = [
        "--backend",
        "openai-chat",
        "--base-url",
        base.removesuffix("/v1"),
        "--endpoint",
        "/v1/chat/completions",
    ]
    arguments += [
        "--model",
        name,
        "--tokenizer",
        str(weights),
        "--dataset-name",
        "custom",
        "--dataset-path",
        str(prompts),
    ]
    arguments += [
        "--custom-output-len",
        "-1",
        "--skip-chat-template",
        "--disable-shuffle",
        "--temperature",
        "0",
    ]
    arguments += [
        "--num-prompts",
        str(len(prompts.read_text().splitlines())),
        "--max-concurrency",
        str(concurrency),
    ]
    arguments += ["--save-result", "--result-filename", str(result)]
    completed = subprocess.run(
        [env["EVALS_ENGINE_PYTHON"], "-c", BENCHMARK, *arguments],
        env=env, cwd=prompts.parent, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr[-2000:]
    return dict(json.loads(result.read_text()))


def process_tree(pid: int) -> list[int]:
    """Return the ids of a process and its descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    tree = [pid]
    for process in tree:
        tree += children.get(process, [])
    return tree
