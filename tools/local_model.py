"""Compare the embedded model in process with the same model behind its engine's HTTP server.

    python -m tools.local_model [--items 60] [--problems 30] [--max-tokens 160]

Random real items of MMLU-Pro and AIME 2025 are run both ways, and the results are printed. With greedy sampling the verdicts must
be the same; if replies differ, the first differing words are shown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from evals.records import store
from evals.types import Reply, Score

CHANCE = 0.1109
"""MMLU-Pro's expected accuracy under random guessing."""


class Pair(NamedTuple):
    """One sample with both replies."""

    suite: str
    sample: str
    in_process: Reply
    over_http: Reply
    verdicts: tuple[str, str]
    """Verdict and answer of each reply, as one text."""


class Comparison(Struct):
    """Results in process and over HTTP."""

    coverage: list[float]
    """Of each run: MMLU-Pro and AIME in process, then both over HTTP."""
    score: dict[str, Any]
    """The headline of MMLU-Pro in process."""
    pairs: list[Pair]
    seconds: tuple[float, float]

    @property
    def differing(self) -> list[Pair]:
        """Return the pairs with different verdicts."""
        return [pair for pair in self.pairs if pair.verdicts[0] != pair.verdicts[1]]


@contextmanager
def served() -> Iterator[str]:
    """Serve the weights with the engine's own HTTP server and the adapter's settings; yield the server's address."""
    import xllamacpp

    from evals.model_adapters import llamacpp

    path = llamacpp.weights_path()
    assert path is not None
    settings = llamacpp.engine_settings(path, slots=4)
    settings.hostnames, settings.port = ["127.0.0.1"], 0
    server = xllamacpp.Server(settings)
    yield str(server.listening_address)
    del server


def compare(
    mirror: Path, results: Path, *, items: int, problems: int, max_tokens: int, concurrency: int = 4
) -> Comparison:
    """Run the model in process and over HTTP by the command line, and pair the replies."""
    from tests.support.command import evals

    def run(model: str) -> list[Any]:
        runs: list[Any] = []
        for suite, limit in (("mmlu-pro", items), ("aime:2025", problems)):
            data = ("--data", mirror, "--limit", limit, "--seed", 7, "--results", results)
            calls = ("--max-tokens", max_tokens, "--concurrency", concurrency, "--json", "--quiet")
            command = evals("run", suite, "-m", model, *data, *calls)
            assert command.status == 0, (command.status, command.err)
            runs += command.json["runs"]
        return runs

    started = time.monotonic()
    local_runs = run("smollm2")
    middle = time.monotonic()
    with served() as address:
        http_runs = run(f"server:{address}/v1#smollm2-http")
    pairs = []
    for local_run, http_run in zip(local_runs, http_runs, strict=True):
        http_records = {
            record.sample: record for record in store.find_one(results, http_run["run"]).records()
        }
        for local in store.find_one(results, local_run["run"]).records():
            http = http_records[local.sample]
            assert isinstance(local.outcome, Reply)
            assert isinstance(http.outcome, Reply)
            verdicts = (_verdict(local.scores), _verdict(http.scores))
            pairs.append(Pair(local_run["suite"], local.sample, local.outcome, http.outcome, verdicts))
    score = next(estimate for estimate in local_runs[0]["estimates"] if estimate["headline"])
    coverage = [run_["coverage"] for run_ in (*local_runs, *http_runs)]
    return Comparison(coverage, score, pairs, (middle - started, time.monotonic() - middle))


def _verdict(scores: dict[str, Any]) -> str:
    first = next(iter(scores.values()))
    assert isinstance(first, Score)
    return f"{first.verdict} {first.answer}"


def first_difference(pair: Pair) -> str:
    """Return where two replies diverge: the number of equal words, and the words that follow in each."""
    a, b = pair.in_process.text.split(), pair.over_http.text.split()
    equal = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return f"after {equal} words: {' '.join(a[equal : equal + 3])!r} | {' '.join(b[equal : equal + 3])!r}"


def main() -> int:
    """Print the comparison."""
    from tools import mirror

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--problems", type=int, default=30)
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--concurrency", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        mirror.build(path / "mirror", mirror.shared_folder())
        comparison = compare(path / "mirror", path / "results", **vars(options))
    score = comparison.score
    print(f"coverage {[f'{100 * c:.0f} %' for c in comparison.coverage]} (expected: 100 %)")
    print(
        f"MMLU-Pro {100 * score['value']:.1f} % [{100 * score['low']:.1f}, {100 * score['high']:.1f}] of {score['n']},"
        f" guessing {100 * CHANCE:.2f} % (expected: inside the interval)"
    )
    identical = sum(pair.in_process.text == pair.over_http.text for pair in comparison.pairs)
    print(
        f"{len(comparison.pairs)} samples both ways: {identical} identical replies, "
        f"{len(comparison.differing)} different verdicts (expected: 0, or explained); {comparison.seconds[0]:.0f} s in process, "
        f"{comparison.seconds[1]:.0f} s over HTTP"
    )
    for pair in comparison.pairs:
        if pair.in_process.text != pair.over_http.text:
            print(f"  {pair.suite} {pair.sample} {pair.verdicts}: {first_difference(pair)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
