"""Profiles of models: every fact has a source, names find profiles, and runs and cards use their facts."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from evals import gpus, profiles
from evals.errors import EvalsError, UsageError
from evals.gpus import Gpu
from evals.profiles import Profile
from evals.records import store
from evals.run.job import Options
from evals.run.options import plan_options
from evals.run.request import RunRequest
from evals.run.sampling import resolve_sampling
from evals.suites import aime, mmlu_pro
from evals.types import Sampling
from tests.support.command import evals
from tests.support.error_messages import assert_recorded, raises
from tests.support.tables import table

TEMPLATE = """
[source]
here = "a test"
[model.One]
names = ["org/One"]
takes = ["image"]
{}
[model.One.source]
names = "here"
takes = "here"
{}
"""
H100, A100 = Gpu("NVIDIA H100 80GB HBM3", 85.5), Gpu("NVIDIA A100-SXM4-80GB", 85.9)
H200, B200 = Gpu("NVIDIA H200", 150.7), Gpu("NVIDIA B200", 192.0)
SMALL = Gpu("NVIDIA GeForce RTX 4090", 25.3)


def profile(name: str) -> Profile:
    """Return the profile of a model served by vLLM."""
    match = profiles.find(f"vllm:{name}")
    assert match is not None, name
    return match


def read_profiles(tmp_path: Path, fact: str = "", source: str = "") -> tuple[Profile, ...]:
    """Write a file of profiles with one more fact and source, and read it."""
    path = tmp_path / "profiles.toml"
    path.write_text(TEMPLATE.format(fact, source))
    return profiles.read(path)


# --- the file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "source"),
    [
        ("context = 10", ""),
        ("", 'price = "here"'),
        ("context = 10", 'context = "there"'),
        ("contxt = 10", ""),
        ('context = "10"', 'context = "here"'),
        ("gpus = { H1000 = 1 }", 'gpus = "here"'),
        ("sampling = { temprature = 1.0 }", 'sampling = "here"'),
        ('sampling = { top_k = "many" }', 'sampling = "here"'),
        ("answering = { temprature = 1.0 }", 'answering = "here"'),
        ("price = { input = 1.0, output = 2.0 }", 'price = "here"'),
    ],
    ids=[
        "a fact without a source",
        "a source without a fact",
        "an unknown source",
        "an unknown fact",
        "a string as context",
        "an unknown GPU",
        "an unknown sampling parameter",
        "a string as top_k",
        "an unknown parameter in answering",
        "a price without a date",
    ],
)
def test_a_file_of_profiles_with_a_fault_is_refused(tmp_path, fact, source):
    with raises(EvalsError):
        read_profiles(tmp_path, fact, source)


def test_two_profiles_with_one_name_are_refused(tmp_path):
    path = tmp_path / "profiles.toml"
    two = TEMPLATE.format("", "") + TEMPLATE.format("", "").partition('"a test"')[2].replace("One", "Two")
    path.write_text(two.replace("org/Two", "ORG/one"))
    with raises(EvalsError):
        profiles.read(path)


def test_every_model_of_the_published_tables_has_a_profile(shared):
    with (shared / "reference" / "published_scores.csv").open() as stream:
        published = {row["model"] for row in csv.DictReader(stream)}
    assert published - {profile.name for profile in profiles.all_profiles()} == set()


def test_the_intern_s1_profiles_follow_the_developers_guide():
    s1, mini, pro = profile("Intern-S1"), profile("internlm/Intern-S1-mini"), profile("Intern-S1-Pro")
    assert s1.sampling == {"temperature": 0.7, "top_p": 1.0, "top_k": 50, "min_p": 0.0}
    assert mini.sampling["temperature"] == 0.8
    assert (s1.gpus["H100"], s1.gpus["H200"], profile("Intern-S1-FP8").gpus["H100"]) == (8, 4, 4)
    assert "A100" not in profile("Intern-S1-FP8").gpus
    assert (pro.nodes, pro.gpus, pro.expert_parallel, pro.parser["vllm"]) == (
        2,
        {"H200": 16},
        True,
        "deepseek_r1",
    )
    assert s1.thinking["lmdeploy"] == "enable_thinking"
    assert s1.thinking["vllm"] == "chat_template_kwargs.enable_thinking"
    assert "vllm" not in s1.parser  # the guide names none


def test_the_smaller_models_that_profiles_suggest_exist():
    names = {profile.name for profile in profiles.all_profiles()} | {"smollm2"}
    assert {name for profile in profiles.all_profiles() for name in profile.smaller} <= names


# --- finding a profile --------------------------------------------------------------------------------------


@table(
    ("spec", "name"),
    [
        ("vllm:internlm/Intern-S1-FP8", "Intern-S1-FP8"),
        ("lmdeploy:Shanghai_AI_Laboratory/Intern-S1", "Intern-S1"),
        ("hf:intern-s1-mini", "Intern-S1-mini"),
        ("sglang:/data/weights/Intern-S1-Pro/", "Intern-S1-Pro"),
        ("intern:intern-s1", "intern:intern-s1"),
        ("openai:o3", "o3"),
        ("vllm:/data/Intern-S1/checkpoint", None),
        ("vllm:o3", "o3"),
        ("openai:Intern-S1", None),
        ("server:http://127.0.0.1:1/v1#internlm/Intern-S1", None),
        ("scripted:Intern-S1", None),
        ("smollm2", None),
    ],
)
def test_a_name_finds_its_profile(spec, name):
    match = profiles.find(spec)
    assert (match and match.name) == name


def test_a_broken_configuration_of_a_checkpoint_is_reported_with_its_path(tmp_path):
    config = tmp_path / "config.json"
    for content in (b'{"a":' + b"[" * 100_000, b'{"a": "\xff"}', b"[1]"):
        config.write_bytes(content)
        with raises(UsageError):
            profiles.accepted_inputs(None, tmp_path)


def test_a_price_applies_only_to_the_hosted_model():
    assert profiles.price("openai:o3").output == 8.0
    assert profiles.find("vllm:moonshotai/Kimi-K2.5").price is not None
    assert profiles.price("vllm:moonshotai/Kimi-K2.5") is None
    assert profiles.price("openai:nobody") is None


# --- GPUs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "available"),
    [
        ("Intern-S1", [H100] * 8),
        ("Intern-S1", [H200] * 4),
        ("Intern-S1", [A100] * 8),
        ("Intern-S1", [B200] * 4),
        ("Intern-S1-FP8", [H100] * 4),
        ("Intern-S1-mini", [A100]),
        ("Intern-S2-Preview", [SMALL] * 2),  # no source states the size that it needs
    ],
)
def test_enough_gpus_give_no_message(name, available):
    assert gpus.shortfall(profile(name), available) == ""


@pytest.mark.parametrize(
    ("name", "available"),
    [
        ("Intern-S1", []),
        ("Intern-S1", [H100] * 4),
        ("Intern-S1", [H200] * 3),
        ("Intern-S1", [SMALL] * 8),
        ("Intern-S1-FP8", [A100] * 8),  # the A100 has no FP8
        ("Intern-S1-mini", [SMALL]),
        ("Intern-S1-Pro", [H200] * 8),
        ("Intern-S1-Pro", [H200] * 4),
        ("Intern-S2-Preview", [H100]),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else f"{len(value)} x {value[0].name}" if value else "none"
    ),
)
def test_too_few_or_too_small_gpus_are_named(name, available):
    assert_recorded(gpus.shortfall(profile(name), available))


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("1", [1]),
        ("2,0", [2, 0]),
        ("0,7,1", [0]),
        ("GPU-b", [1]),
        ("GPU", []),
    ],
)
def test_cuda_visible_devices_is_respected(monkeypatch, visible, indices):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus._visible_indices(["GPU-a1", "GPU-b2", "GPU-c3"]) == indices


def test_doctor_reports_for_each_intern_s1_model_whether_the_gpus_suffice(here, monkeypatch):
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [H100])
    findings = {f["what"]: f for f in evals("doctor", "--json").json["findings"]}
    assert findings["Intern-S1-mini"]["detail"].startswith("the GPUs suffice; ")
    assert findings["Intern-S1"]["ok"] is False
    assert "found 1 x NVIDIA H100" in findings["Intern-S1"]["detail"]
    assert {"Intern-S1-FP8", "Intern-S1-mini-FP8", "Intern-S1-Pro", "Intern-S2-Preview"} <= set(findings)


def test_list_models_shows_the_profiles_with_sources(here):
    entries = {entry["name"]: entry for entry in evals("list", "models", "--json").json["profiles"]}
    assert entries["Intern-S1"]["source"]["gpus"].startswith("InternLM/Intern-S1@")
    assert entries["o3"]["price"]["date"] == "2026-03-21"
    assert entries["DS-R1-0528"]["takes"] == []
    assert "Intern-S1-FP8" in evals("list", "models").out


# --- the run ------------------------------------------------------------------------------------------------

RECOMMENDED = Sampling(temperature=0.7, top_p=1.0, top_k=50, min_p=0.0)
UNSET = Sampling()


def options(requested: Sampling = UNSET, *, force_recommended: bool = False) -> Options:
    """Return options of a run with this sampling, for a model whose developers recommend RECOMMENDED."""
    return Options(
        sampling=requested,
        recommended=RECOMMENDED,
        force_recommended=force_recommended,
        recommended_by="One",
    )


def test_the_temperature_of_a_protocol_is_not_replaced():
    sampling, notes = resolve_sampling(mmlu_pro.BENCHMARK.suite("", "strict"), options())
    assert (sampling.temperature, sampling.top_k, notes) == (0.0, None, [])


def test_recommended_sampling_is_used_as_a_whole_and_noted_if_the_protocol_sets_none():
    suite = aime.BENCHMARK.suite("2025", "official")
    sampling, notes = resolve_sampling(suite, options())
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.7, 1.0, 50, 0.0)
    assert sampling.max_tokens == suite.sampling.max_tokens
    assert notes == [
        "sampling as recommended by the developers of One: temperature 0.7, top_p 1, top_k 50, min_p 0"
    ]


def test_a_temperature_of_the_user_excludes_the_recommended_sampling():
    sampling, notes = resolve_sampling(
        aime.BENCHMARK.suite("2025", "official"), options(Sampling(temperature=0.2))
    )
    assert (sampling.temperature, sampling.top_k, notes) == (0.2, None, [])


def test_the_option_recommended_overrides_the_sampling_of_the_protocol():
    sampling, notes = resolve_sampling(
        mmlu_pro.BENCHMARK.suite("", "strict"), options(force_recommended=True)
    )
    assert (sampling.temperature, sampling.top_k) == (0.7, 50)
    assert notes


@pytest.mark.parametrize(
    ("name", "thinking", "temperature"),
    [
        ("Qwen3-8B", None, 0.6),  # reasons by default
        ("Qwen3-8B", True, 0.6),
        ("Qwen3-8B", False, 0.7),
        ("Intern-S1", False, 0.7),  # its guide makes no distinction
    ],
)
def test_recommended_sampling_depends_on_whether_the_model_reasons(name, thinking, temperature):
    assert profile(name).recommended(thinking=thinking).temperature == temperature


def test_no_thinking_selects_the_sampling_recommended_without_reasoning():
    request = RunRequest(models=["x"], thinking=False, recommended=True)
    options = plan_options(request, "vllm:Qwen3-8B", None)
    assert (options.recommended.temperature, options.recommended.top_p) == (0.7, 0.8)


def test_recommended_without_a_profile_is_refused_with_a_one_line_message(here):
    arguments = ("run", "mmlu-pro", "--sample", "-m", "scripted:ANSWER: A", "--recommended")
    evals(*arguments).assert_usage_error()


def test_price_sampling_and_image_limit_of_a_profile_are_used_in_a_run(here, monkeypatch):
    """The profile is one of a scripted model."""
    facts = {
        "names": ("scripted:ANSWER: A",),
        "takes": ("image",),
        "sampling": {"temperature": 0.3, "top_k": 7},
    }
    price = profiles.Price(input=1.0, output=2.0, date=profiles.date(2026, 1, 2))
    parrot = Profile(name="Parrot", source={}, price=price, max_pixels=1000, **facts)
    monkeypatch.setattr(profiles, "all_profiles", lambda: (parrot,))
    outcome = evals(
        "run", "aime:2025", "--protocol", "official", "--sample", "-m", "scripted:ANSWER: A", "--json"
    )
    assert outcome.status == 0, outcome.err
    (run,) = outcome.json["runs"]
    assert run["cost_usd"] > 0
    assert run["notes"] == ["sampling as recommended by the developers of Parrot: temperature 0.3, top_k 7"]
    card = json.loads((store.find_one(here / "results", run["run"]).path / "card.json").read_text())
    assert card["price_date"] == "2026-01-02"
    assert card["config"]["sampling"]["top_k"] == 7
    outcome = evals("run", "mathvision", "--sample", "-m", "scripted:ANSWER: A", "--json", "--max-cost", "5")
    assert outcome.json["runs"][0]["notes"] == [
        "images of more than 1,000 pixels, the limit of Parrot, are scaled down"
    ]
