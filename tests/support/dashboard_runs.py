"""Small results folders for the tests of the dashboard's pages, created by `evals run` on the bundled items."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

from msgspec import structs

from evals.dashboard.tables import frames
from evals.dashboard.tables.frames import Entry
from evals.records.store import Run
from evals.records.writer import Writer
from evals.report.estimates import summarize
from evals.run.overview import suite_of
from evals.types import Message, Prompt, Record, Reply, Sample, Score, Usage
from tests.support import command
from tests.support.answers import correct_answer
from tests.support.hostile import ATTACKS


def sometimes(prompt: Prompt) -> Reply:
    """Answer two of three questions correctly, in fewer words than the others."""
    remainder = crc32(str(prompt).encode()) % 3
    text = correct_answer(prompt) if remainder else "Let me see. " * 40 + "\nANSWER: A\n\\boxed{1}"
    return Reply(text=text, reasoning="It is $x^2$.", usage=Usage(input=10, output=len(text.split())))


def attacking(prompt: Prompt) -> Reply:
    """Put hostile texts into the reply, the reasoning, the answer and the model's name."""
    body = "\n\n".join(ATTACKS.values())
    stated = ATTACKS["image with a handler"]
    return Reply(text=f"{body}\n\\boxed{{{stated} 7}}\nANSWER: B", reasoning=body, model=ATTACKS["script"])


def chemist(prompt: Prompt) -> Reply:
    """Answer every question with ibuprofen."""
    return Reply(text="<SMILES> CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O </SMILES>", usage=Usage(output=5))


def run(results: Path, suite: str, call: str, name: str, *arguments: object) -> None:
    """Run a suite's bundled items with a function of this module, or a text."""
    spec = f"scripted:call=tests.support.dashboard_runs:{call}" if call in globals() else f"scripted:{call}"
    outcome = command.evals(
        "run", suite, "--sample", "-m", spec, "--results", results, "--run", name, *arguments
    )
    assert outcome.status in (0, 1), outcome.err


def entry(results: Path, name: str, suite: str = "") -> Entry:
    """Return a run from the index of a results folder."""
    match = frames.index(results).find(name, suite)
    assert match is not None
    return match


def write_large_run(results: Path, name: str, *, like: Entry, samples: int) -> None:
    """Write a finished run with many samples and replies of about a kilobyte; its card is otherwise that of `like`."""
    config = structs.replace(like.card.config, model=name)
    card = structs.replace(like.card, run=name, model=name, config=config, expected=samples, finished=None)
    writer = Writer(results / "mmlu-pro@2" / name / name, card)
    writer.write_samples(
        Sample(id=str(i), target="A", choices=("x",) * 10, group=f"group {i % 14}") for i in range(samples)
    )
    for i in range(samples):
        is_right = crc32(f"{name}{i}".encode()) % 10 < 6
        text = f"{'The premise implies the claim. ' * 33}ANSWER: {'A' if is_right else 'B'}"
        score = Score(
            value=float(is_right),
            verdict="right" if is_right else "wrong",
            answer="A" if is_right else "B",
        )
        reply = Reply(text=text, usage=Usage(input=900, output=300 + i % 97))
        writer.append(
            Record(sample=str(i), repeat=0, prompt=Prompt(messages=(Message.user("What?" * 200),)), outcome=reply,
                   scores={"choice": score})
        )  # fmt: skip
    run = Run(writer.path)
    suite = suite_of(card)
    summary = summarize(
        run.compact_records(), run.gold(), suite.metrics, scorers=tuple(suite.scorers), repeats=1
    )
    writer.card = structs.replace(
        card, estimates=summary.estimates, counts=summary.counts, coverage=1.0, status="finished"
    )
    writer.finalize()
    writer.write_card()
    writer.close()
