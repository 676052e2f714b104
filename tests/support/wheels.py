"""Synthetic wheels that imitate OpenCompass's (files, variables, loops), with our own texts."""

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
from evals.prompts import upstream
from evals.prompts.upstream import UpstreamPrompts, wheel
from evals.prompts.upstream.wheel import OPENCOMPASS
from evals.suites import mol_instructions, smolinstruct
from evals.types import Prompt, Sample

SUITES = ("mmlu-pro", "proteinlmbench", "gpqa", "aime", "chembench:4k", "matbench")
"""Suites that use OpenCompass's prompts, besides Mol-Instructions and SMolInstruct, which are added below."""
ANY_SAMPLE = Sample(id="1", target="A", choices=("w", "x", "y", "z"))
JUDGE_SYSTEM_TEXT = "You grade in this test."


FOLDER = OPENCOMPASS.folder


def upstream_prompts_by_suite() -> list[tuple[str, UpstreamPrompts]]:
    """Return (suite id, upstream prompts) of all suites.

    Those of Mol-Instructions and SMolInstruct are built directly, as loading these suites also loads WordNet.
    """
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


def columns(prompts: UpstreamPrompts) -> list[str]:
    """Return the columns that a template may use, the question first."""
    assert prompts.columns is not None
    return [name for name in prompts.columns(ANY_SAMPLE, Prompt(), "?") if name != prompts.gold_column]


def question_template(prompts: UpstreamPrompts) -> str:
    """Return our replacement for upstream's question template."""
    loop_value = f" {prompts.loop_values[0][1]}" if prompts.loop_values else ""
    return f"Asked in this test{loop_value}:\n" + "\n".join(f"{{{name}}}" for name in columns(prompts))


def judge_template(prompts: UpstreamPrompts) -> str:
    """Return our replacement for upstream's judge template."""
    return f"Asked: {{{columns(prompts)[0]}}}\nGold: {{{prompts.gold_column}}}\nSaid: {{prediction}}"


def _nested(path: str, inner: str) -> str:
    """Return the source of nested dictionaries around `inner`."""
    variable, *keys = path.split(".")
    for key in reversed(keys):
        inner = f"dict(type=Unknown, {key}={inner})"
    return f"{variable} = {inner}"


def config(prompts_of_file: list[UpstreamPrompts]) -> str:
    """Return the source of a configuration file in upstream's style; `prompts_of_file`: all prompts that it defines."""
    prompts = prompts_of_file[0]
    lines = [
        "from somewhere import Unknown",
        "with read_base():",
        "    from .others import categories",
        "all_of_it = []",
    ]
    indent = ""
    if prompts.loop_values:
        variable = prompts.loop_values[0][0]
        loop_values = [prompts.loop_values[0][1] for prompts in prompts_of_file]
        lines += [
            f"HINTS = {dict.fromkeys(loop_values, 'Asked in this test')!r}",
            f"for {variable} in HINTS:",
        ]
        lines += [f"    hint = HINTS[{variable}]"]
        text = (
            question_template(prompts)
            .removeprefix(f"Asked in this test {loop_values[0]}")
            .replace("{", "{{")
            .replace("}", "}}")
        )
        ask, indent = f"f{'{hint} {' + variable + '}' + text!r}", "    "
    else:
        lines += [f'ASK = """\n{question_template(prompts)}\n""".strip()', "for category in categories:"]
        ask, indent = "ASK", "    "
    template = f"dict(round=[dict(role='HUMAN', prompt={ask}), dict(role='BOT', prompt='{{output}}\\n')])"
    lines.append(indent + _nested(prompts.prompt_path, template))
    if prompts.judge_path:
        system = f"dict(role='SYSTEM', fallback_role='HUMAN', prompt={JUDGE_SYSTEM_TEXT!r})"
        template = f"dict(begin=[{system}], round=[dict(role='HUMAN', prompt={judge_template(prompts)!r})])"
        lines.append(indent + _nested(prompts.judge_path, template))
    lines += [f"{indent}all_of_it.append(dict(infer_cfg={prompts.prompt_path.partition('.')[0]}))", ""]
    return "\n".join(lines)


def files() -> dict[str, str]:
    """Return all configurations that the suites refer to: path -> source."""
    ordered = sorted(
        (prompts for _, prompts in upstream_prompts_by_suite()), key=lambda prompts: prompts.file
    )
    by_file = groupby(ordered, key=lambda prompts: prompts.file)
    return {FOLDER + name: config(list(prompts_of_file)) for name, prompts_of_file in by_file}


def write(path: Path, contents: dict[str, str]) -> str:
    """Write a wheel and return its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in contents.items():
            archive.writestr(name, text)
    return sha256(path.read_bytes()).hexdigest()


def install(patch: pytest.MonkeyPatch, folder: Path, contents: dict[str, str] | None = None) -> Path:
    """Write a wheel, make the suites find it and accept its hash, and return its path."""
    path = folder / "cache" / OPENCOMPASS.file
    installed_hash = write(path, files() if contents is None else contents)
    patch.setattr(wheel, "wheel_path", lambda described_wheel: folder / "cache" / described_wheel.file)
    patch.setattr(
        wheel,
        "_hash",
        lambda path, *_: OPENCOMPASS.sha256 if digest(path) == installed_hash else digest(path),
    )
    upstream._turns.cache_clear()
    return path


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    return sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def synthetic_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Install the synthetic wheel."""
    yield install(monkeypatch, tmp_path)
    upstream._turns.cache_clear()
