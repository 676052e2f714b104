"""Find duplicates in a data set and write their errata: `python -m tools.make_errata SUITE DATA > suites/errata/X.toml`.

Two items are duplicates if their questions and sets of options are identical. The first one, in the data's order, is kept;
the others are listed as its duplicates. Only ids are written. Errors found by people (a wrong gold answer, a question
without an answer) are added by hand, with evidence and source.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import msgspec

from evals import load
from evals.data import Data
from evals.types import Sample


def duplicates(samples: Iterable[Sample]) -> dict[str, str]:
    """Return, for the id of each duplicate, the id of the first item with the same question and options."""
    first_ids: dict[bytes, str] = {}
    earlier_ids = {}
    for sample in samples:
        if not sample.question:
            continue
        content = msgspec.json.encode((sample.question, sorted(sample.choices)))
        earlier = first_ids.setdefault(sha256(content).digest(), sample.id)
        if earlier != sample.id:
            earlier_ids[sample.id] = earlier
    return earlier_ids


def main(name: str, data: str) -> None:
    """Print an errata file."""
    print('version = "1"')
    for suite in load.suite(name):
        if "image" in suite.needs:
            sys.exit(f"{name}: suites with images are not supported, as images are not compared")
        earlier_ids = duplicates(suite.samples(Data(suite=suite.name, local=Path(data))))
        if not earlier_ids:
            continue
        print('\n[[entry]]\nkind = "duplicate"')
        if suite.variant:
            print(f'variant = "{suite.variant}"')
        print('evidence = "the same question with the same set of options, letter for letter"')
        print('source = "counted over the data by tools/make_errata.py"\n\n[entry.items]')
        for duplicate, earlier in earlier_ids.items():
            print(f'"{duplicate}" = "{earlier}"')


if __name__ == "__main__":
    main(*sys.argv[1:])
