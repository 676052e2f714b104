"""Synthetic wheels with the files, variables and loops of OpenCompass', but our own texts."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import pytest

from evals import load
from evals.data import mol_instructions as mol_instructions_data
from evals.data.smolinstruct import TASKS
from evals.prompts import upstream as wording
from evals.prompts.upstream import UpstreamPrompts, wheel
from evals.prompts.upstream.wheel import OPENCOMPASS
from evals.suites import mol_instructions, smolinstruct
from evals.types import Prompt, Sample

SUITES = ("mmlu-pro", "proteinlmbench", "gpqa", "aime", "chembench:4k", "matbench")
"""Suites with published numbers by OpenCompass; Mol-Instructions and SMolInstruct are added below."""
ANY = Sample(id="1", target="A", choices=("w", "x", "y", "z"))
JUDGING = "You grade in this test."


FOLDER = OPENCOMPASS.folder


def upstream_prompts_by_suite() -> list[tuple[str, UpstreamPrompts]]:
    """Return (suite id, upstream prompts) of all suites; those of chemistry without scorers, as loading WordNet is slow."""
    suites = [suite for name in SUITES for suite in load.suite(name, "intern-s1")]
    molecules = [
        (f"mol-instructions:{variant}", mol_instructions._upstream_prompts(variant))
        for variant in mol_instructions_data.TASKS
    ]
    tasks = [(f"smolinstruct:{variant}", smolinstruct._upstream_prompts(variant)) for variant in TASKS]
    return [
        *((suite.id, suite.upstream) for suite in suites if suite.upstream is not None),
        *molecules,
        *tasks,
    ]


def columns(one: UpstreamPrompts) -> list[str]:
    """Return the columns that a template may use, the question first."""
    assert one.columns is not None
    return [name for name in one.columns(ANY, Prompt(), "?") if name != one.gold_column]


def question_template(one: UpstreamPrompts) -> str:
    """Return our replacement for upstream's question."""
    turn = f" {one.loop_values[0][1]}" if one.loop_values else ""
    return f"Asked in this test{turn}:\n" + "\n".join(f"{{{name}}}" for name in columns(one))


def judge_template(one: UpstreamPrompts) -> str:
    """Return our replacement for upstream's judge prompt."""
    return f"Asked: {{{columns(one)[0]}}}\nGold: {{{one.gold_column}}}\nSaid: {{prediction}}"


def _nested(path: str, inner: str) -> str:
    """Return the source of nested dictionaries around `inner`."""
    variable, *keys = path.split(".")
    for key in reversed(keys):
        inner = f"dict(type=Unknown, {key}={inner})"
    return f"{variable} = {inner}"


def config(several: list[UpstreamPrompts]) -> str:
    """Return the source of a configuration in upstream's style."""
    one = several[0]
    lines = [
        "from somewhere import Unknown",
        "with read_base():",
        "    from .others import categories",
        "all_of_it = []",
    ]
    indent = ""
    if one.loop_values:
        variable = one.loop_values[0][0]
        turns = [w.loop_values[0][1] for w in several]
        lines += [f"HINTS = {dict.fromkeys(turns, 'Asked in this test')!r}", f"for {variable} in HINTS:"]
        lines += [f"    hint = HINTS[{variable}]"]
        text = (
            question_template(one)
            .removeprefix(f"Asked in this test {turns[0]}")
            .replace("{", "{{")
            .replace("}", "}}")
        )
        ask, indent = f"f{'{hint} {' + variable + '}' + text!r}", "    "
    else:
        lines += [f'ASK = """\n{question_template(one)}\n""".strip()', "for category in categories:"]
        ask, indent = "ASK", "    "
    turn = f"dict(round=[dict(role='HUMAN', prompt={ask}), dict(role='BOT', prompt='{{output}}\\n')])"
    lines.append(indent + _nested(one.prompt_path, turn))
    if one.judge_path:
        system = f"dict(role='SYSTEM', fallback_role='HUMAN', prompt={JUDGING!r})"
        turn = f"dict(begin=[{system}], round=[dict(role='HUMAN', prompt={judge_template(one)!r})])"
        lines.append(indent + _nested(one.judge_path, turn))
    lines += [f"{indent}all_of_it.append(dict(infer_cfg={one.prompt_path.partition('.')[0]}))", ""]
    return "\n".join(lines)


def files() -> dict[str, str]:
    """Return all configurations that the suites refer to: path -> source."""
    ordered = sorted((w for _, w in upstream_prompts_by_suite()), key=lambda w: w.file)
    return {FOLDER + name: config(list(some)) for name, some in groupby(ordered, key=lambda w: w.file)}


def write(path: Path, contents: dict[str, str]) -> str:
    """Write a wheel and return its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in contents.items():
            archive.writestr(name, text)
    return sha256(path.read_bytes()).hexdigest()


def install(patch: pytest.MonkeyPatch, folder: Path, contents: dict[str, str] | None = None) -> Path:
    """Install a wheel in the cache of the suites, and return its path."""
    path = folder / "cache" / OPENCOMPASS.file
    installed_hash = write(path, files() if contents is None else contents)
    patch.setattr(wheel, "wheel_path", lambda one: folder / "cache" / one.file)
    patch.setattr(
        wheel,
        "_hash",
        lambda path, *_: OPENCOMPASS.sha256 if digest(path) == installed_hash else digest(path),
    )
    wording._turns.cache_clear()
    return path


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    return sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def synthetic_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Install the synthetic wheel."""
    yield install(monkeypatch, tmp_path)
    wording._turns.cache_clear()
