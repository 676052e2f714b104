"""Check whether a stated molecule satisfies constraints; needs the authors' package `moleculariq_core`.

The properties (ring systems, oxidation states, 135 functional groups, 58 reaction templates) are defined only by that
package, which is on GitHub (MIT, ml-jku/moleculariq-core), not on PyPI.
"""

from __future__ import annotations

import json
from importlib import import_module
from importlib.util import find_spec
from typing import ClassVar, Literal

from msgspec import Struct

from evals.errors import DataError
from evals.extract.tags import json_object, last_tag
from evals.extract.visible import visible
from evals.scorers.outcomes import binary_score, invalid_answer, no_stated_answer
from evals.scorers.upstream.moleculariq import tag_content
from evals.types import Prompt, Reply, Sample, Score

PACKAGE = "moleculariq_core"
MAX_SMILES_CHARS = 5_000
"""Maximum length of a SMILES."""


def missing_packages() -> str:
    """Return an explanation of how to install the package; empty if it is installed."""
    if find_spec(PACKAGE) is not None:
        return ""
    source = "git+https://github.com/ml-jku/moleculariq-core@a1b89635371c3cd942e44ebeec63ec3665e7743d"
    return f"molecular-iq:generation needs {PACKAGE}: pip install {source}"


class Constraints(Struct, frozen=True):
    """Scores 1 if the stated molecule is valid and satisfies all constraints of the target, a JSON list."""

    heavy: ClassVar[bool] = True
    read: Literal["first tag", "last tag", "stated"]

    def warm(self) -> None:
        """Import slow dependencies, once per worker."""
        if not missing_packages():
            import_module(f"{PACKAGE}.rewards.constraint_reward")

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        stated = None if reply.stop == "filter" else self._stated_molecule(visible(reply.text).text)
        if not stated:
            return no_stated_answer(reply, "no molecule stated")
        if len(stated) > MAX_SMILES_CHARS:
            return invalid_answer(stated, f"longer than {MAX_SMILES_CHARS} characters")
        if why := missing_packages():
            raise DataError(why)
        rules = import_module(f"{PACKAGE}.rewards.constraint_reward")
        reward = rules.multi_constraint_generation_reward(
            stated, json.loads(str(sample.target)), return_details=True
        )
        if not reward.get("valid_smiles"):
            return invalid_answer(stated, "no valid SMILES")
        right = reward.get("reward") == 1.0
        return binary_score(right=right, answer=stated[:200])

    def _stated_molecule(self, text: str) -> str | None:
        if self.read == "stated":
            answer = last_tag(text, "answer") or text
            values = json_object(answer, unique=True) or json_object(f"{{{answer}}}", unique=True) or {}
            smiles = next((value for key, value in values.items() if str(key).lower() == "smiles"), None)
            return smiles if isinstance(smiles, str) else answer if len(answer.split()) == 1 else None
        content = tag_content(text, first=self.read == "first tag")
        if content and self.read == "first tag" and not content.startswith("{"):
            braced = json_object(f"{{{content}}}")
            return content if braced is None else json.dumps(braced)
        return content
