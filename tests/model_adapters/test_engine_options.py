"""The command lines of all profiles, parsed by the engines' own argument parsers."""

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
FIELDS = {
    "vllm": ("model", "port", "tensor_parallel_size", "max_model_len", "reasoning_parser"),
    "sglang": ("model_path", "port", "tp_size", "context_length", "reasoning_parser"),
    "lmdeploy": ("model_path", "server_port", "tp", "session_len", "reasoning_parser"),
}
"""Engine -> its parser's names of the model, the port, tensor parallelism, the context and the reasoning parser."""
PROFILES = [profile for profile in profiles.all_profiles() if ":" not in profile.names[0]]


class Parsed(NamedTuple):
    """The results of an engine's parser."""

    engine: str
    results: dict[str, dict[str, Any]]
    """Name of the command line -> its error, empty if there is none, and its values."""


def parse(name: str, lines: list[list[str]]) -> list[dict[str, Any]]:
    """Return the results of the engine's parser for command lines."""
    python, sources = engine.python(), engine_parsers.folder()
    if not (sources / "ready").exists():
        pytest.skip("NOT TESTED ON THE ENGINES' PARSERS: `make engine` fetches them (150 MB)")
    completed = subprocess.run(
        [python, "-m", "tools.engine_parsers", name], cwd=ROOT,
        input=json.dumps(lines), env=engine.environment(python) | {"PYTHONPATH": str(sources)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr[-3000:]
    return list(json.loads(completed.stdout))


def command_line(name: str, profile: Profile | None, *, model: str = "", trusted: bool = False) -> list[str]:
    """Return the engine's arguments, without the interpreter and the module."""
    spec = launch.LaunchSpec(
        engine=load.engine(name),
        model=model or (profile.names[0] if profile else ""),
        profile=profile,
        trust_remote_code=trusted,
    )
    return launch.command_line(spec, port=4321)[3:]


@pytest.fixture(scope="module", params=ENGINES)
def parsed(request: pytest.FixtureRequest) -> Parsed:
    """Return the results of one engine's parser, which is imported only once, as that takes seconds."""
    name = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpus, "visible_gpus", list)
        lines = {profile.name: command_line(name, profile) for profile in PROFILES}
    lines["none"] = command_line(name, None, model="some/model", trusted=True)
    lines["unknown option"] = [*lines["none"], "--no-such-option", "1"]
    lines["unknown parser"] = [*lines["none"], "--reasoning-parser", "nobody-s"]
    return Parsed(name, dict(zip(lines, parse(name, list(lines.values())), strict=True)))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_profile_s_command_line_is_parsed_as_intended(parsed, profile):
    result = parsed.results[profile.name]
    assert result["error"] == ""
    model, port, tensor_parallel, context, parser = (
        result["values"].get(field) for field in FIELDS[parsed.engine]
    )
    assert (model, port) == (profile.names[0], 4321)
    gpu_count = profile.tensor_parallel or max(profile.gpus.values(), default=1)
    assert (tensor_parallel or 1, context) == (gpu_count, profile.serve_context)
    assert (parser or None) == profile.parser.get(parsed.engine)
    assert result["values"]["trust_remote_code"] is (
        "--trust-remote-code" in profile.flags.get(parsed.engine, ())
    )


def test_the_command_line_of_a_model_without_a_profile_is_parsed_as_intended(parsed):
    result = parsed.results["none"]
    assert (result["error"], result["values"]["trust_remote_code"]) == ("", True)


def test_the_parsers_reject_unknown_options_and_values(parsed):
    assert "--no-such-option" in parsed.results["unknown option"]["error"]
    assert "nobody-s" in parsed.results["unknown parser"]["error"]
