"""Small results folders for the tests of the dashboard's pages, made by the real command of bundled items."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import command
from answers import right
from hostile import ATTACKS

from dashboard import frames
from dashboard.frames import Entry
from evals.types import Prompt, Reply, Usage


def sometimes(prompt: Prompt) -> Reply:
    """Right two times of three, and then in fewer words."""
    place = crc32(str(prompt).encode()) % 3
    text = right(prompt) if place else "Let me see. " * 40 + "\nANSWER: A\n\\boxed{1}"
    return Reply(text=text, reasoning="It is $x^2$.", usage=Usage(input=10, output=len(text.split())))


def attacking(prompt: Prompt) -> Reply:
    """Every attack there is, in reply, reasoning, answer and the server's name for the model."""
    body = "\n\n".join(ATTACKS.values())
    stated = ATTACKS["image with a handler"]
    return Reply(text=f"{body}\n\\boxed{{{stated} 7}}\nANSWER: B", reasoning=body, model=ATTACKS["script"])


def chemist(prompt: Prompt) -> Reply:
    """Says ibuprofen to whatever is asked."""
    return Reply(text="<SMILES> CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O </SMILES>", usage=Usage(output=5))


def run(results: Path, suite: str, call: str, name: str, *words: object) -> None:
    """Run a suite's bundled items with a function of this module, or a text."""
    spec = f"scripted:call=dashboard_runs:{call}" if call in globals() else f"scripted:{call}"
    done = command.evals("run", suite, "--sample", "-m", spec, "--results", results, "--run", name, *words)
    assert done.status in (0, 1), done.err


def entry(results: Path, name: str, suite: str = "") -> Entry:
    """Give a run of the index."""
    found = frames.index(results).find(name, suite)
    assert found is not None
    return found
