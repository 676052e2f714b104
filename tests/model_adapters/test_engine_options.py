"""Every command line that a profile makes, judged by the argument parser of the engine that would read it."""

from __future__ import annotations

import json
import subprocess
from typing import Any, NamedTuple

import pytest

from evals import gpus, load, profiles
from evals.model_adapters.common import launch
from evals.profiles import Profile
from tests.support import engine
from tests.support.paths import ROOT
from tools import engine_parsers

pytestmark = pytest.mark.slow
ENGINES = ("vllm", "sglang", "lmdeploy")
READ = {
    "vllm": ("model", "port", "tensor_parallel_size", "max_model_len", "reasoning_parser"),
    "sglang": ("model_path", "port", "tp_size", "context_length", "reasoning_parser"),
    "lmdeploy": ("model_path", "server_port", "tp", "session_len", "reasoning_parser"),
}
"""Engine -> what its parser calls the model, the port, tensor parallel, the context and the reasoning parser."""


PROFILES = [one for one in profiles.all_profiles() if ":" not in one.names[0]]


class Said(NamedTuple):
    """What an engine's parser said of command lines."""

    engine: str
    verdicts: dict[str, dict[str, Any]]


def judged(name: str, lines: list[list[str]]) -> list[dict[str, Any]]:
    """What the engine's parser says of command lines."""
    python, sources = engine.python(), engine_parsers.folder()
    if not (sources / "ready").exists():
        pytest.skip("NOT TESTED ON THE ENGINES' PARSERS: `make engine` fetches them (150 MB)")
    done = subprocess.run(
        [python, "-m", "tools.engine_parsers", name], cwd=ROOT,
        input=json.dumps(lines), env=engine.environment(python) | {"PYTHONPATH": str(sources)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(done.stdout))


def line(name: str, profile: Profile | None, *, model: str = "", trusted: bool = False) -> list[str]:
    """The engine's arguments, behind its module."""
    server = load.engine(name)
    order = launch.LaunchSpec(
        engine=server,
        model=model or (profile.names[0] if profile else ""),
        profile=profile,
        trust_remote_code=trusted,
    )
    return launch.command_line(order, port=4321)[3:]


@pytest.fixture(scope="module", params=ENGINES)
def said(request: pytest.FixtureRequest) -> Said:
    """One engine's verdicts; its parser is imported once, which takes seconds."""
    name = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpus, "visible_gpus", list)
        lines = {one.name: line(name, one) for one in PROFILES}
    lines["none"] = line(name, None, model="some/model", trusted=True)
    lines["an option too many"] = [*lines["none"], "--no-such-option", "1"]
    lines["nobody's parser"] = [*lines["none"], "--reasoning-parser", "nobody-s"]
    return Said(name, dict(zip(lines, judged(name, list(lines.values())), strict=True)))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda one: one.name)
def test_a_profile_s_command_line_is_read_as_meant(said, profile):
    verdict = said.verdicts[profile.name]
    assert verdict["error"] == ""
    model, port, tensor, context, parser = (verdict["values"].get(field) for field in READ[said.engine])
    assert (model, port) == (profile.names[0], 4321)
    shared = profile.tensor_parallel or max(profile.gpus.values(), default=1)
    assert (tensor or 1, context) == (shared, profile.serve_context)
    assert (parser or None) == profile.parser.get(said.engine)
    assert verdict["values"]["trust_remote_code"] is (
        "--trust-remote-code" in profile.flags.get(said.engine, ())
    )


def test_a_model_without_a_profile_is_read_as_meant(said):
    verdict = said.verdicts["none"]
    assert (verdict["error"], verdict["values"]["trust_remote_code"]) == ("", True)


def test_the_parsers_refuse_what_they_do_not_know(said):
    assert "--no-such-option" in said.verdicts["an option too many"]["error"]
    assert "nobody-s" in said.verdicts["nobody's parser"]["error"]
