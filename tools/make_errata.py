"""Find the duplicates of a data set and write their errata: `python -m tools.make_errata SUITE DATA > suites/errata/X.toml`.

Two items are duplicates if question, pictures and the set of options are the same, letter for letter. The first in
the data's order stays; the others repeat it. Only ids are written. What a person found (a wrong gold answer, a
question without an answer) is added by hand, with its evidence and source.
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
    """Return id -> the earlier id of the same question."""
    first: dict[bytes, str] = {}
    earlier_ids = {}
    for sample in samples:
        content = msgspec.json.encode((sample.question, sorted(sample.choices)))
        if not sample.question:
            continue
        earlier = first.setdefault(sha256(content).digest(), sample.id)
        if earlier != sample.id:
            earlier_ids[sample.id] = earlier
    return earlier_ids


def main(name: str, data: str) -> None:
    print('version = "1"')
    for suite in load.suite(name):
        if "image" in suite.needs:
            sys.exit(f"{name}: its pictures would have to be compared too")
        groups = duplicates(suite.samples(Data(suite=suite.name, local=Path(data))))
        if not groups:
            continue
        print('\n[[entry]]\nkind = "duplicate"')
        if suite.variant:
            print(f'variant = "{suite.variant}"')
        print('evidence = "the same question with the same set of options, letter for letter"')
        print('source = "counted over the data by tools/make_errata.py"\n\n[entry.items]')
        for repeated, earlier in groups.items():
            print(f'"{repeated}" = "{earlier}"')


if __name__ == "__main__":
    main(*sys.argv[1:])
