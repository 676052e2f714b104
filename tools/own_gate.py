"""Regression check: the prompts of the bundled items, and the verdicts on committed replies to them, must not change.

    python -m tools.own_gate check     list all differences; exit status 1 if there are any
    python -m tools.own_gate write     write current prompts and verdicts (replies are kept), for review with git diff

`tests/cases/own/<suite>.jsonl` contains a dozen replies per variant and protocol, in many styles: right, wrong, empty,
rambling, refused, truncated, with reasoning. Each has the hash of its prompt as sent and, per scorer, verdict, value and
answer. Any change is either intended (then write and review) or a fault.
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
"""Style -> function of (ideal reply, ideal reply to another answer) that returns a reply."""


def suites() -> Iterator[Suite]:
    """Yield every variant of every suite under each of `PROTOCOLS` that can be run and needs no judge."""
    for name in load.suite_names():
        listing = load.listing(name)
        for variant in listing.variants:
            for protocol in PROTOCOLS:
                if protocol in listing.protocols:
                    # WordNet and upstream's packages are not installed everywhere
                    with patch("evals.scorers.text.synonyms_available", return_value=False):
                        spec = f"{name}:{variant}" if variant else name
                        suite = load.suite(spec, protocol)[0]
                        if suite.upstream is not None:
                            suite = load.suite(spec, f"{protocol}~")[0]
                    if not suite.refuses and not lacks_judge(suite.scorers):
                        yield suite


def prompt_hash(prompt: Prompt) -> str:
    """Return the hash of a prompt, including its order of options."""
    return sha256(msgspec.json.encode(prompt)).hexdigest()[:16]


def bundled_data(suite: Suite, media: str | None = None) -> Data:
    """Return the bundled items as data; `media`: folder for their images."""
    return Data(suite=suite.name, sample=True, media=Path(media) if media else None)


def samples_of(suite: Suite, data: Data) -> list[Sample]:
    """Return the bundled items with questions; empty if there are none."""
    try:
        return [sample for sample in suite.samples(data) if sample.question][: len(STYLES)]
    except DataError:
        return []


def new_lines(
    suite: Suite, samples: list[Sample], prompter: Callable[[Sample, int], Prompt]
) -> Iterator[Line]:
    """Yield a line with a reply in every style, to different items if there are enough."""
    for number, (style, make_reply) in enumerate(STYLES.items()):
        sample = samples[number % len(samples)]
        prompt = prompter(sample, 0)
        right = suite.ideal(sample, prompt)
        targets = "AB" if sample.choices else [other.target for other in samples]
        ideals = (suite.ideal(msgspec.structs.replace(sample, target=target), prompt) for target in targets)
        wrong = next((ideal for ideal in ideals if ideal != right), "Answer: none of them")
        reply = make_reply(right, wrong)
        yield {
            "suite": suite.id,
            "protocol": suite.protocol,
            "sample": sample.id,
            "style": style,
            "reply": {"text": reply.text, "reasoning": reply.reasoning, "stop": reply.stop},
        }


def with_current_scores(suite: Suite, lines: list[Line], pool: Pool, data: Data) -> Iterator[Line]:
    """Yield the lines with current prompts and verdicts."""
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
            name: [result.verdict, result.value, result.answer]
            if isinstance(result, Score)
            else ["failed", None, result.message]
            for name, result in results.items()
        }
        yield {**line, "prompt": prompt_hash(prompt), "scores": scores}


def file_lines(name: str) -> list[Line]:
    """Return the lines of a suite's file; empty if there is none."""
    path = FOLDER / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def committed_lines(suite: Suite) -> list[Line]:
    """Return the committed lines of one variant and protocol."""
    key = (suite.id, suite.protocol)
    return [line for line in file_lines(suite.name) if (line["suite"], line["protocol"]) == key]


def check(checked_suites: Iterator[Suite] | None = None) -> list[str]:
    """Return the differences from the committed lines of some suites, by default of all; missing lines are differences."""
    faults = []
    with Pool() as pool, TemporaryDirectory() as media:
        for suite in suites() if checked_suites is None else checked_suites:
            data = bundled_data(suite, media)
            lines = committed_lines(suite)
            if not lines and samples_of(suite, data):
                faults.append(
                    f"{suite.id} {suite.protocol}: no committed replies (python -m tools.own_gate write)"
                )
            if lines:
                current = with_current_scores(suite, lines, pool, data)
                for before, now in zip(lines, current, strict=True):
                    faults += differences(before, now)
    return faults


def differences(before: Line, now: Line) -> list[str]:
    """Return a line for each change in the prompt or the verdicts of a reply."""
    location = f"{before['suite']} {before['protocol']} {before['sample']} ({before['style']})"
    changes = [f"{location}: the prompt has changed"] if before["prompt"] != now["prompt"] else []
    for name in before["scores"].keys() | now["scores"].keys():
        old, new = before["scores"].get(name), now["scores"].get(name)
        if not is_same(old, new):
            changes.append(f"{location}: {name}: {old} -> {new}")
    return changes


def is_same(old: Any, new: Any) -> bool:
    """Return whether two outcomes agree; values to nine digits, since the last digits may differ between machines."""
    if old is None or new is None or (old[0], old[2]) != (new[0], new[2]):
        return False
    return old[1] == new[1] or (
        None not in (old[1], new[1]) and abs(old[1] - new[1]) <= 1e-9 * max(1, abs(old[1]))
    )


def write() -> int:
    """Rewrite every file, keeping committed replies; return the number of lines."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    by_file: dict[str, list[Line]] = {}
    with Pool() as pool, TemporaryDirectory() as media:
        for suite in suites():
            data = bundled_data(suite, media)
            lines = committed_lines(suite)
            samples = samples_of(suite, data)
            if not lines and samples:
                lines = list(new_lines(suite, samples, suite.prompter(data)))
            if lines:
                current = with_current_scores(suite, lines, pool, data)
                by_file.setdefault(suite.name, []).extend(current)
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
