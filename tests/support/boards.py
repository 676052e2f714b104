"""Boards in temporary folders: a suite's data, models with a known accuracy, entries and forged entries."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import evals
from evals.board import policy, results, submission
from evals.board.policy import BoardPolicy, SuiteRule
from evals.bundles.bundle import seal
from evals.challenge import outcome
from evals.records.store import Run

LETTERS = "ABCDEFGHIJ"
ITEMS = 120


def write_data(folder: Path, items: int = ITEMS) -> Path:
    """Write addition problems with ten options in the format of mmlu-pro, and return the file."""
    rng = random.Random(7)
    rows = []
    for number in range(items):
        a, b = rng.randint(10, 99), rng.randint(10, 99)
        options = [str(a + b + step) for step in range(10)]
        rng.shuffle(options)
        answer = options.index(str(a + b))
        rows.append(
            {
                "question_id": number,
                "question": f"What is {a} + {b}?",
                "options": options,
                "answer": LETTERS[answer],
                "answer_index": answer,
                "category": "math",
            }
        )
    path = folder / "mmlu-pro.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def answers(data: Path, accuracy: float, seed: int, *, essay: str = "") -> Callable[[str], str]:
    """Return a model that states the right letter with probability `accuracy`, after an essay if one is given."""
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    rng = random.Random(seed)
    letters = {
        row["question"]: row["answer"] if rng.random() < accuracy else rng.choice(LETTERS) for row in rows
    }

    def reply(prompt: str) -> str:
        question = next(text for text in letters if text in prompt)
        thoughts = f"{essay} {question} " * 8 if essay else ""
        return f"{thoughts}ANSWER: {letters[question]}"

    return reply


def run(results: Path, data: Path, model: str | Callable[[str], str], **options: Any) -> Run:
    """Run a model on a file of `write_data`."""
    runs = evals.evaluate("mmlu-pro", model, data=data, results=results, quiet=True, **options)
    stored: Run = runs[0]
    return stored


def write_board(folder: Path, **rule: Any) -> BoardPolicy:
    """Write a board with one suite and return its policy."""
    table = {"name": "mmlu-pro", "protocol": "strict", **rule}
    lines = [f"{name} = {json.dumps(value)}" for name, value in table.items()]
    text = "\n".join(['format = 1\nid = "board-1"\ntitle = "Board"\n[[suite]]', *lines, ""])
    (folder / "entries").mkdir(parents=True, exist_ok=True)
    (folder / policy.NAME).write_text(text, encoding="utf-8")
    return policy.read(folder)


def rule(**fields: Any) -> SuiteRule:
    """Return a rule for mmlu-pro."""
    return SuiteRule(name="mmlu-pro", protocol="strict", **fields)


def model_card(model: str = "acme/tiny", revision: str = "v1", **fields: Any) -> submission.ModelCard:
    """Return a complete model card."""
    stated = {
        "weights": "open",
        "licence": "apache-2.0",
        "training_data": "no benchmark",
        "contact": "mail@example.org",
    }
    return submission.ModelCard(model=model, revision=revision, **(stated | fields))


def submit(board: Path, stored: Run, model: str = "acme/tiny", revision: str = "v1") -> Path:
    """Add a run to a board, unchecked, and return the entry's file."""
    return submission.pack([stored], model_card(model, revision), policy.read(board), board / "entries")


def challenge(board: Path, entry: str = "acme-tiny@v1", **changes: Any) -> Path:
    """Write the outcome of a challenge of an entry's first number, as the operator would, and return its file."""
    number = results.read_all(board)[entry].suites[0]
    stated = {
        "suite": number.suite, "protocol": number.protocol, "run": number.run, "bundle_sha256": number.bundle_sha256,
        "claimed": "acme/tiny", "reader": "hf:acme/tiny", "backend": "transformers 5.2.0", "method": "greedy",
        "replies": 60, "tokens": 600, "alpha": 0.01, "seed": 0, "verdict": "consistent", "p_value": 0.4,
        "first_choices": 0.99, "challenged": 1.7e9,
    }  # fmt: skip
    path = board / outcome.FOLDER / entry / outcome.file_name(number.suite, number.protocol)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stated | changes), encoding="utf-8")
    return path


Files = dict[str, bytes]


def forge(entry: Path, change: Callable[[Files], None], *, bundle: bool = True) -> None:
    """Change the files of an entry's bundle, or of the entry itself, and recompute every hash."""
    files = _files(entry.read_bytes())
    if not bundle:
        change(files)
        _write(entry, files)
        return
    (name,) = (name for name in files if name.endswith(".zip"))
    inner = _files(files[name])
    change(inner)
    manifest = json.loads(inner["bundle.json"])
    for path, facts in manifest["files"].items():
        facts.update(sha256=sha256(inner[path]).hexdigest(), size=len(inner[path]))
    inner["bundle.json"] = json.dumps(manifest).encode()
    packed = entry.with_name("forged.tmp")
    _write(packed, inner, comment=b"0" * 71, method=zipfile.ZIP_DEFLATED)
    seal(packed)
    files[name] = packed.read_bytes()
    packed.unlink()
    _write(entry, files)


def edit_card(change: Callable[[dict[str, Any]], None]) -> Callable[[Files], None]:
    """Return a function for `forge` that changes a bundle's card."""

    def edit(files: Files) -> None:
        card = json.loads(files["card.json"])
        change(card)
        files["card.json"] = json.dumps(card).encode()
        manifest = json.loads(files["bundle.json"])
        manifest["run"] = card["run"]
        files["bundle.json"] = json.dumps(manifest).encode()

    return edit


def edit_records(change: Callable[[dict[str, Any]], None]) -> Callable[[Files], None]:
    """Return a function for `forge` that changes every record of a bundle."""

    def edit(files: Files) -> None:
        records = [json.loads(line) for line in files["records.jsonl"].splitlines()]
        for record in records:
            change(record)
        files["records.jsonl"] = b"".join(json.dumps(record).encode() + b"\n" for record in records)

    return edit


def _files(content: bytes) -> Files:
    from io import BytesIO

    with zipfile.ZipFile(BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write(path: Path, files: Files, *, comment: bytes = b"", method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.comment = comment


def write_results(board: Path, models: int, suites: int, items: int) -> None:
    """Write a board with results of fictitious models, from which its pages are computed, without entries.

    Their preregistrations and the verdicts of their challenges take every value in turn.
    """
    import numpy as np

    from evals.board import items as values
    from evals.board import levels
    from evals.board.items import Items
    from evals.challenge.summary import Challenge
    from evals.types import Estimate, Sampling

    names = [f"suite-{number}" for number in range(suites)]
    tables = "".join(f'[[suite]]\nname = "{name}"\nprotocol = "strict"\n' for name in names)
    board.mkdir(parents=True)
    (board / policy.NAME).write_text(
        f'format = 1\nid = "many"\ntitle = "Many"\nurl = "https://example.org"\n{tables}'
    )
    verdicts = get_args(outcome.Verdict)
    challenged: list[Challenge] = []
    rng = np.random.default_rng(3)
    difficulty = rng.normal(size=(suites, items))
    for number in range(models):
        ability = rng.normal()
        numbers, measured = [], {}
        for row, name in enumerate(names):
            right = (rng.normal(size=items) + ability > difficulty[row]).astype(float)
            mean, half = float(right.mean()), float(1.96 * right.std() / items**0.5)
            head = Estimate(
                metric="accuracy", group="", value=mean, low=mean - half, high=mean + half, worst=mean, best=mean, n=items,
                clusters=items, unit="fraction", better="higher", method="Wilson", headline=True,
            )  # fmt: skip
            numbers.append(
                results.SuiteResult(
                    suite=name,
                    protocol="strict",
                    version="1",
                    run=f"run-{number}-{row}",
                    data_sha256="0" * 64,
                    estimates=(head,),
                    repeats=1,
                    expected=items,
                    coverage=1.0,
                    truncated=0,
                    counts={"right": 1},
                    tokens={"input": 10, "output": 10},
                    cost_usd=1.0,
                    sampling=Sampling(),
                    judge="",
                    served="",
                    started=1e9,
                    errata="",
                    promise=("none", "kept", "broken: seed is 1, not 0")[(number + row) % 3],
                    items=items,
                    items_sha256="1" * 64,
                    width=1.0,
                )
            )
            measured[name, "strict"] = Items("", right, [""] * items, [""] * items)
        card = model_card(f"organisation-{number}/model-{number}")
        result = results.EntryResult(
            board="many", entry=submission.entry_name(card), sequence=number + 1, file_sha256="0" * 64,
            policy_sha256="0" * 64, evals="0", status="accepted", model=card, suites=tuple(numbers),
        ).with_content_hash()  # fmt: skip
        results.write(board, f"{result.entry}.json", result)
        values.write(board, result.entry, measured)
        challenged += [
            Challenge(
                entry=result.entry, suite=name, protocol="strict", verdict=verdicts[(number + row) % 5 % 4],
                reason=f"first choices 0.{90 - number}", reader="hf:x", backend="transformers 5.2.0", method="greedy",
                replies=60, tokens=6000, alpha=0.01, p_value=0.001, first_choices=0.9, challenged=1.7e9,
            )
            for row, name in enumerate(names)
            if (number + row) % 5 < 4
        ]  # fmt: skip
    results.write(board, results.LEVELS, levels.Levels(challenges=tuple(challenged)))
