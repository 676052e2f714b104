"""`suites/index.json` says of every benchmark what the benchmark says of itself.

`python -m tests.suites.test_index` writes it.
"""

from __future__ import annotations

import msgspec

from evals import load
from evals.benchmark import make_listing
from evals.plugins import Listing
from tests.support.paths import ROOT

PATH = ROOT / "suites" / "index.json"


def listings() -> dict[str, Listing]:
    own = [name for name in load.suite_names() if load.suite_origin(name) is None]
    return {name: make_listing(load.benchmark(name)) for name in own}


def test_the_index_is_that_of_the_benchmarks() -> None:
    assert msgspec.json.decode(PATH.read_bytes(), type=dict[str, Listing]) == listings()


if __name__ == "__main__":
    PATH.write_bytes(msgspec.json.format(msgspec.json.encode(listings()), indent=1) + b"\n")
