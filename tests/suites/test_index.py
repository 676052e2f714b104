"""`suites/index.json` contains the listing of every benchmark in this package.

`python -m tests.suites.test_index` regenerates it.
"""

from __future__ import annotations

import msgspec

from evals import load
from evals.benchmark import make_listing
from evals.plugins import Listing
from tests.support.paths import ROOT

PATH = ROOT / "suites" / "index.json"


def listings() -> dict[str, Listing]:
    own_names = [name for name in load.suite_names() if load.suite_origin(name) is None]
    return {name: make_listing(load.benchmark(name)) for name in own_names}


def test_the_index_equals_the_listings_of_the_benchmarks() -> None:
    assert msgspec.json.decode(PATH.read_bytes(), type=dict[str, Listing]) == listings()


if __name__ == "__main__":
    PATH.write_bytes(msgspec.json.format(msgspec.json.encode(listings()), indent=1) + b"\n")
