"""Create `results/board`, a board with the two recorded demo models on the bundled sample items.

    python -m tools.sample_board

It shows what a board's repository looks like. Its numbers are not benchmark scores, as each suite has only a dozen items.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
BOARD = ROOT / "results" / "board"
SUITES = ("mmlu-pro", "aime:2025")
MODELS = {"demo:careful": "science-evals/careful", "demo:careless": "science-evals/careless"}
CARD = """model = "{model}"
revision = "v1"
weights = "open"
licence = "apache-2.0"
training_data = "none: a recording of replies to the bundled sample items, written for demonstrations"
contact = "the maintainers of science-evals"
"""


def main() -> int:
    """Run the demo models on the sample items, submit both runs and ingest them."""
    from evals.board import policy
    from evals.board.ingest import ingest
    from evals.records import store

    shutil.rmtree(BOARD, ignore_errors=True)
    with TemporaryDirectory() as temporary:
        results = Path(temporary) / "results"
        for model in MODELS:
            run = model.partition(":")[2]
            _evals("run", *SUITES, "--sample", "-m", model, "--results", results, "--quiet", "--run", run)
        hashes = {run.card.config.suite: run.card.config.data_sha256 for run in store.runs(results)}
        BOARD.mkdir(parents=True)
        (BOARD / policy.NAME).write_text(_policy(hashes), encoding="utf-8")
        for model, name in MODELS.items():
            card = Path(temporary) / "card.toml"
            card.write_text(CARD.format(model=name), encoding="utf-8")
            run = model.partition(":")[2]
            _evals("board", "submit", run, "--to", BOARD, "--model-card", card, "--results", results)
    return int(any(result.status != "accepted" for result in ingest(BOARD)))


def _policy(hashes: dict[str, str]) -> str:
    tables = [
        f'\n[[suite]]\nname = "{suite}"\nprotocol = "strict"\ndata_sha256 = "{digest}"   # the bundled sample items\nceiling = 1.0\n'
        "plausible_gain = 1.0\n"
        for suite, digest in sorted(hashes.items())
    ]
    return f'format = 1\nid = "science-evals-samples"\ntitle = "Sample items"\nabout = "Bundled sample items: no benchmark scores."\n{"".join(tables)}'


def _evals(*arguments: object) -> None:
    subprocess.run(
        [sys.executable, "-c", "from evals.cli import main; main()", *map(str, arguments)],
        check=True,
        cwd=ROOT,
    )


if __name__ == "__main__":
    sys.exit(main())
