"""Write the replies of two made-up models to sample items, for the demo and the tour: a careful and a careless one.

    python -m tools.make_replies            writes suites/samples/replies/
    python -m tools.make_replies --check    says what differs from the files, exit 1

Nobody's model said any of this: answers are derived from the gold ones, right or wrong by a fixed plan, and worded as
models word them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rdkit import Chem

SAMPLES = Path(__file__).resolve().parent.parent / "suites" / "samples"
FOLDER = SAMPLES / "replies"
Row = dict[str, Any]

WRONG = {
    "careful": {"mmlu-pro": {3, 9, 14}, "aime-2025": {5, 8, 11}, "smolinstruct-FS": {4, 9}},
    "careless": {
        "mmlu-pro": {0, 3, 5, 6, 9, 11, 14, 15},
        "aime-2025": {0, 2, 3, 5, 7, 8, 10, 11},
        "smolinstruct-FS": {1, 2, 4, 5, 7, 9, 10},
    },
}
"""Positions at which a model is wrong."""
SILENT = {"careless": {"mmlu-pro": {5}, "aime-2025": {7}, "smolinstruct-FS": {5}}}
"""Positions at which it never comes to an answer."""


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def mmlu_pro(model: str) -> Iterator[Row]:
    for place, row in enumerate(read(SAMPLES / "mmlu_pro" / "test.jsonl")):
        count = len(row["options"])
        wrong = place in WRONG[model]["mmlu-pro"]
        index = (row["answer_index"] + 1 + place % 3) % count if wrong else row["answer_index"]
        letter = "ABCDEFGHIJ"[index]
        if place in SILENT.get(model, {}).get("mmlu-pro", ()):
            text = "This question can be approached in several ways. Let me first define the quantities involved, and then"
            yield {"id": str(row["question_id"]), "text": text, "stop": "length"}
        elif model == "careful":
            text = f"Going through the options, only **{row['options'][index]}** fits what is given.\n\nANSWER: {letter}"
            yield {"id": str(row["question_id"]), "text": text, "stop": "stop"}
        else:
            yield {
                "id": str(row["question_id"]),
                "text": f"I think it's {letter}. The answer is ({letter}).",
                "stop": "stop",
            }


def aime(model: str) -> Iterator[Row]:
    for place, row in enumerate(read(SAMPLES / "aime" / "2025.jsonl")):
        wrong = place in WRONG[model]["aime-2025"]
        value = (int(row["answer"]) + 1 + place) % 1000 if wrong else int(row["answer"])
        if place in SILENT.get(model, {}).get("aime-2025", ()):
            yield {
                "id": str(row["id"]),
                "text": "Let us set up coordinates. Then the first case gives",
                "stop": "length",
            }
        elif model == "careful":
            text = f"Setting the conditions up and checking the small cases, the total comes to {value}.\n\n\\boxed{{{value}}}"
            yield {"id": str(row["id"]), "text": text, "stop": "stop"}
        else:
            yield {"id": str(row["id"]), "text": f"Quick estimate: the answer is {value}.", "stop": "stop"}


def forward_synthesis(model: str) -> Iterator[Row]:
    for place, row in enumerate(read(SAMPLES / "smolinstruct" / "forward_synthesis.jsonl")):
        smiles = product(row, place, wrong=place in WRONG[model]["smolinstruct-FS"])
        if place in SILENT.get(model, {}).get("smolinstruct-FS", ()):
            yield {
                "id": row["sample_id"],
                "text": "I cannot predict this reaction without the conditions.",
                "stop": "stop",
            }
        elif model == "careful":
            text = f"The nucleophile attacks and the leaving group departs; the product is <SMILES> {smiles} </SMILES>"
            yield {"id": row["sample_id"], "text": text, "stop": "stop"}
        else:
            yield {"id": row["sample_id"], "text": f"<SMILES> {smiles} </SMILES>", "stop": "stop"}


def product(row: Row, place: int, *, wrong: bool) -> str:
    """The gold product in another spelling; wrong: one atom changed, an open ring, or a reactant in its place."""
    gold = Chem.MolFromSmiles(row["raw_output"])
    respelled: str = Chem.MolToSmiles(gold, rootedAtAtom=gold.GetNumAtoms() - 1)
    if not wrong:
        return respelled
    if place % 3 == 0:
        return respelled + "1"  # a ring that is never closed
    if place % 3 == 1:
        return max(row["raw_input"].split("."), key=len)
    return respelled + "C"


SUITES = {"mmlu-pro": mmlu_pro, "aime-2025": aime, "smolinstruct-FS": forward_synthesis}


def main(words: list[str]) -> int:
    stale = []
    for model in WRONG:
        for name, replies in SUITES.items():
            path = FOLDER / model / f"{name}.jsonl"
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in replies(model))
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                stale.append(str(path))
                if "--check" not in words:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, encoding="utf-8")
    for name in stale:
        print(("differs: " if "--check" in words else "written: ") + name)
    return int(bool(stale) and "--check" in words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
