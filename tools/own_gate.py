"""Regression check: committed replies to the bundled items must keep their prompts and verdicts.

    python -m tools.own_gate check     what differs, line by line; exit status 1 if anything does
    python -m tools.own_gate write     write what is so now (replies that are there stay), for review with git diff

`tests/cases/own/<suite>.jsonl` holds a dozen replies per variant and protocol: right, wrong, empty, rambling,
refused, truncated and reasoning ones in many styles. Beside each stand the hash of the prompt as sent and, per scorer,
verdict, value and answer. A change of any is either what was meant, then write and review, or a fault.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import msgspec

from evals import load
from evals.data import Data
from evals.errors import DataError
from evals.sandbox import Pool
from evals.scorers.judge.judged import lacks_judge
from evals.scorers.scoring import Scoring
from evals.suite import Suite
from evals.types import Prompt, Reply, Sample, Score

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "cases" / "own"
PROTOCOLS = ("strict", "official")
Line = dict[str, Any]

STYLES: dict[str, Callable[[str, str], Reply]] = {
    # style -> (the ideal reply, one that is ideal for another answer) -> reply
    "right": lambda right, wrong: Reply(text=right),
    "right, at length": lambda right, wrong: Reply(text=f"Let me think. First things first.\n\n{right}"),
    "right, in Markdown": lambda right, wrong: Reply(text=f"## Solution\n\nSome steps.\n\n**{right}**"),
    "right, with reasoning apart": lambda right, wrong: Reply(text=right, reasoning=f"Perhaps {wrong}? No."),
    "right, after a change of mind": lambda right, wrong: Reply(
        text=f"{wrong}\n\nWait, that is wrong.\n\n{right}"
    ),
    "right, then cut": lambda right, wrong: Reply(text=f"{right}\n\nTo che", stop="length"),
    "wrong": lambda right, wrong: Reply(text=wrong),
    "wrong, though the reasoning is right": lambda right, wrong: Reply(text=wrong, reasoning=right),
    "nothing": lambda right, wrong: Reply(text=""),
    "no answer": lambda right, wrong: Reply(text="That is a hard question, and I am not sure at all."),
    "refused": lambda right, wrong: Reply(text="", stop="filter"),
    "refused in words": lambda right, wrong: Reply(text="I'm sorry, but I can't help with that request."),
    "cut before an answer": lambda right, wrong: Reply(text="Let us compute the first", stop="length"),
    "invalid": lambda right, wrong: Reply(text="Answer: ((((\\boxed{ <SMILES> C1CC(C </SMILES> ANSWER: ?"),
}


def suites() -> Iterator[Suite]:
    """Yield every variant of every suite under the protocols that need no judge."""
    for name in load.suite_names():
        listed = load.listing(name)
        for variant in listed.variants:
            for protocol in PROTOCOLS:
                if protocol in listed.protocols:
                    with patch(
                        "evals.scorers.text.synonyms_available", return_value=False
                    ):  # WordNet is not everywhere
                        spec = f"{name}:{variant}" if variant else name
                        suite = load.suite(spec, protocol)[0]
                        if suite.upstream is not None:  # its package is not everywhere either
                            suite = load.suite(spec, f"{protocol}~")[0]
                    if not suite.refuses and not lacks_judge(suite.scorers):
                        yield suite


def prompt_hash(prompt: Prompt) -> str:
    """Return the hash of a prompt with its order of options."""
    return sha256(msgspec.json.encode(prompt)).hexdigest()[:16]


def bundled(suite: Suite, media: str | None = None) -> Data:
    """Return the bundled items; `media`: folder for their images."""
    return Data(suite=suite.name, sample=True, media=Path(media) if media else None)


def samples_of(suite: Suite, data: Data) -> list[Sample]:
    """Return the bundled items with questions; empty if there are none."""
    try:
        return [sample for sample in suite.samples(data) if sample.question][: len(STYLES)]
    except DataError:
        return []


def made(suite: Suite, samples: list[Sample], prompter: Callable[[Sample, int], Prompt]) -> Iterator[Line]:
    """Return a reply in every style, to different items if there are enough."""
    for number, (style, make) in enumerate(STYLES.items()):
        sample = samples[number % len(samples)]
        prompt = prompter(sample, 0)
        right = suite.ideal(sample, prompt)
        others = (suite.ideal(msgspec.structs.replace(sample, target=s.target), prompt) for s in samples)
        letters = (suite.ideal(msgspec.structs.replace(sample, target=letter), prompt) for letter in "AB")
        wrong = next(
            (w for w in (letters if sample.choices else others) if w != right), "Answer: none of them"
        )
        reply = make(right, wrong)
        text = {"text": reply.text, "reasoning": reply.reasoning, "stop": reply.stop}
        yield {
            "suite": suite.id,
            "protocol": suite.protocol,
            "sample": sample.id,
            "style": style,
            "reply": text,
        }


def judged(suite: Suite, lines: list[Line], pool: Pool, data: Data) -> Iterator[Line]:
    """Return the lines with current prompts and verdicts."""
    by_id = {sample.id: sample for sample in suite.samples(data)}
    prompter, scoring = suite.prompter(data), Scoring(suite.scorers, pool)
    for line in lines:
        sample = by_id.get(line["sample"])
        if sample is None:
            yield {**line, "prompt": "the item is gone", "scores": {}}
            continue
        prompt = prompter(sample, 0)
        results = asyncio.run(scoring.score_all(sample, prompt, Reply(**line["reply"])))
        scores = {
            name: [one.verdict, one.value, one.answer]
            if isinstance(one, Score)
            else ["failed", None, one.message]
            for name, one in results.items()
        }
        yield {**line, "prompt": prompt_hash(prompt), "scores": scores}


def read(name: str) -> list[Line]:
    """Read the lines of a suite's file."""
    path = FOLDER / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def check(found: Iterator[Suite] | None = None) -> list[str]:
    """Return the differences from the committed lines; a suite without lines is a difference, too."""
    faults = []
    with Pool() as pool, TemporaryDirectory() as media:
        for suite in suites() if found is None else found:
            data = bundled(suite, media)
            mine = [
                line
                for line in read(suite.name)
                if (line["suite"], line["protocol"]) == (suite.id, suite.protocol)
            ]
            if not mine:
                if not samples_of(suite, data):
                    continue
                faults.append(
                    f"{suite.id} {suite.protocol}: no committed replies (python -m tools.own_gate write)"
                )
            for before, now in zip(mine, judged(suite, mine, pool, data), strict=True):
                faults += differences(before, now)
    return faults


def differences(before: Line, now: Line) -> list[str]:
    """Compare prompt and verdicts of one reply."""
    where = f"{before['suite']} {before['protocol']} {before['sample']} ({before['style']})"
    changes = [f"{where}: the prompt is another one"] if before["prompt"] != now["prompt"] else []
    for name in before["scores"].keys() | now["scores"].keys():
        old, new = before["scores"].get(name), now["scores"].get(name)
        if not same(old, new):
            changes.append(f"{where}: {name}: {old} -> {new}")
    return changes


def same(old: Any, new: Any) -> bool:
    """Whether two outcomes agree; values to nine digits, as machines may differ in the last ones."""
    if old is None or new is None or (old[0], old[2]) != (new[0], new[2]):
        return False
    return old[1] == new[1] or (
        None not in (old[1], new[1]) and abs(old[1] - new[1]) <= 1e-9 * max(1, abs(old[1]))
    )


def write() -> int:
    """Rewrite every file; committed replies are kept."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    by_file: dict[str, list[Line]] = {}
    with Pool() as pool, TemporaryDirectory() as media:
        for suite in suites():
            data = bundled(suite, media)
            lines = [
                line
                for line in read(suite.name)
                if (line["suite"], line["protocol"]) == (suite.id, suite.protocol)
            ]
            samples = samples_of(suite, data)
            if not lines and samples:
                lines = list(made(suite, samples, suite.prompter(data)))
            if lines:
                by_file.setdefault(suite.name, []).extend(judged(suite, lines, pool, data))
    for name, lines in by_file.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (FOLDER / f"{name}.jsonl").write_text(text)
    return sum(map(len, by_file.values()))


def main(arguments: list[str]) -> int:
    """Check or write."""
    if arguments == ["write"]:
        print(f"{write()} replies written")
        return 0
    faults = check()
    for fault in faults:
        print(fault)
    print(f"own gate: {f'{len(faults)} differences' if faults else 'pass'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
