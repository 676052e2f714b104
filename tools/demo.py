"""Demonstrate the harness in two minutes: `make demo`, or `python -m tools.demo [RESULTS]`.

The embedded model answers a few sample items, and two recorded models answer five suites. The demo then shows scores with
intervals, a paired comparison, an explanation of one wrong molecule, and a gate's verdict.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

SUITES = ("mmlu-pro", "gpqa", "aime:2025", "smolinstruct:NC-I2S", "matbench:expt_gap")
POLICY = """alpha = 0.05                   # one-sided level of every claim

[[suite]]
name = "mmlu-pro"
protocol = "strict"
margin = 0.1                   # largest acceptable loss: 10 points

[[suite]]
name = "smolinstruct:NC-I2S"
protocol = "strict"
margin = 0.1
"""
MOLECULE = "name_conversion-i2s.sample.4.None"
"""Nicotine, which the careless model writes as its mirror image."""
Step: TypeAlias = tuple[str, list[str], tuple[int, ...]]
"""Title, arguments of `evals`, and expected exit statuses."""


def main(results: Path) -> int:
    """Run the demo; return 0, or the exit status of the first step with an unexpected one."""
    results.mkdir(parents=True, exist_ok=True)
    policy = results / "policy.toml"
    policy.write_text(POLICY, encoding="utf-8")
    steps: list[Step] = [
        *_small_model_steps(),
        ("A careful model, recorded", _run_arguments("careful"), (0,)),
        ("A careless model, recorded", _run_arguments("careless"), (0,)),
        ("Scores, with intervals, sizes and marks", ["show"], (0,)),
        (
            "Is one model better, or is it chance? A paired comparison",
            ["compare", "careless", "careful", "--suite", "mmlu-pro", "--suite", "gpqa"],
            (0,),
        ),
        (
            "One wrong molecule: which equivalences does it reach?",
            ["show", "careless/smolinstruct:NC-I2S", "--sample", MOLECULE],
            (0,),
        ),
        (
            "May the careless model replace the careful one? The gate says no (exit status 1)",
            ["gate", "careless", "--baseline", "careful", "--policy", str(policy)],
            (1,),
        ),
    ]
    for title, arguments, expected in steps:
        if (status := _run_step(title, arguments, results)) not in expected:
            return status or 1
    print(f"\nIn a browser:  {_dashboard_command(results)}\nMore:          {_evals_command()} --help")
    return 0


def _small_model_steps() -> list[Step]:
    if find_spec("xllamacpp") is None:
        return []
    title = "A small model on this machine, four items (135M parameters: it cannot know much)"
    arguments = [
        "run",
        "mmlu-pro",
        "--limit",
        "4",
        "--sample",
        "-m",
        "smollm2",
        "--max-tokens",
        "384",
        "--quiet",
    ]
    return [(title, arguments, (0, 1))]


def _run_arguments(name: str) -> list[str]:
    return ["run", *SUITES, "--sample", "-m", f"demo:{name}", "--run", name, "--quiet"]


def _evals_command() -> str:
    return os.environ.get("EVALS", "evals")


def _dashboard_command(results: Path) -> str:
    """Return the command that opens the dashboard, after one that installs its extra if it is missing."""
    install = "" if find_spec("streamlit") else f"{sys.executable} -m pip install -e '.[dashboard]' && "
    return f"{install}{_evals_command()} dashboard --results {results}"


def _run_step(title: str, arguments: list[str], results: Path) -> int:
    arguments = [*arguments, "--results", str(results)]
    print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}")
    print(f"$ evals {' '.join(arguments)}", flush=True)
    hides_scores = arguments[0] == "run" and "demo:" in " ".join(arguments)  # a later step shows them
    process = subprocess.run(
        [sys.executable, "-c", "from evals.cli import main; main()", *arguments],
        stdout=subprocess.DEVNULL if hides_scores else None,
        check=False,
    )
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/demo")))
