"""Checkpoints of one small ViT, trained here, from file to table: run, show, compare, gate, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import vision_training
from tests.support.command import evals
from tests.support.vision_training import needs_timm
from tests.vision.conftest import METHODS, run

pytestmark = needs_timm


def values(results: Path) -> dict[str, dict[str, Any]]:
    """Model's recipe -> metric -> estimate, of all runs."""
    shown = evals("show", "--json", "--results", results)
    return {
        entry["model"].rpartition("-")[0]: {e["metric"]: e for e in entry["estimates"] if not e["group"]}
        for entry in shown.json["runs"]
    }


# --- the table -----------------------------------------------------------------------------------------------


def test_all_methods_stand_in_one_table_with_intervals(results: Path) -> None:
    found = values(results)
    assert set(found) == set(METHODS)
    for figures in found.values():
        top1 = figures["top1"]
        assert top1["low"] < top1["value"] < top1["high"] or top1["value"] == 1.0
        assert top1["n"] == 300
    assert found["linear"]["top1"]["value"] > 0.2  # chance is 0.1
    assert (
        min(found[name]["top1"]["value"] for name in ("full", "lora", "alore"))
        > found["linear"]["top1"]["value"]
    )
    table = evals("show", "--results", results).out
    assert "vtab:eurosat · official · top1 · chance 10.0 %" in table
    assert all(f"{name}-" in table for name in METHODS)


def test_parameters_and_latency_are_counted(results: Path) -> None:
    found = values(results)
    plain = found["full"]["parameters"]["value"]
    assert {round(found[name]["parameters"]["value"], 9) for name in METHODS} == {
        round(plain, 9)
    }  # folded in
    head = 10 * 48 + 10
    assert found["full"]["trained_parameters"]["value"] == pytest.approx(plain - head / 1e6)
    assert found["linear"]["trained_parameters"]["value"] == 0
    assert found["alore"]["trained_parameters"]["value"] == pytest.approx((4 * 2 * 48 * 2 + 4**3) / 1e6)
    assert found["lora"]["trained_parameters"]["value"] == pytest.approx(2 * 2 * (48 + 144 + 48 + 96) / 1e6)
    assert found["adapter"]["trained_parameters"]["value"] == pytest.approx(4 * (4 * 48 * 2 + 4 + 48) / 1e6)
    assert all(
        figures["latency"]["value"] > 0 and figures["latency"]["unit"] == "ms" for figures in found.values()
    )
    table = evals("show", "--results", results).out
    assert "trained" in table
    assert "latency" in table


def test_compare_and_gate_work_on_them(results: Path, tmp_path: Path) -> None:
    shown = evals("show", "--json", "--results", results).json["runs"]
    ids = {entry["model"].rpartition("-")[0]: entry["run"] for entry in shown}
    compared = evals("compare", ids["alore"], ids["linear"], "--results", results, "--json")
    assert compared.status == 0, compared.err
    assert "vtab:eurosat" in compared.out
    policy = tmp_path / "policy.toml"
    policy.write_text('[[suite]]\nname = "vtab:eurosat"\nmargin = 0.02\n')
    more = ("--policy", policy, "--results", results)
    passed = evals("gate", ids["full"], "--baseline", ids["linear"], *more)
    failed = evals("gate", ids["linear"], "--baseline", ids["full"], *more)
    assert (passed.status, failed.status) == (0, 1), passed.out + passed.err + failed.out + failed.err


def test_no_words_are_pretended(family: Path, results: Path) -> None:
    shown = evals("show", "--json", "--results", results).json["runs"][0]
    assert shown["tokens"] == {}
    sample = evals("show", shown["run"], "--sample", "images/0001.png", "--results", results)
    assert sample.status == 0, sample.err
    assert "Prompt" not in sample.out
    assert "image" in sample.out
    planned = run(family, f"petl:{family / 'alore.toml'}", results=results, more=("--dry-run", "--fresh"))
    (entry,) = planned.json["dry_run"]
    assert (entry["input_tokens"], entry["output_tokens"], entry["fault"]) == (None, None, "")
    for option in (
        ("--temperature", "0.5"),
        ("--max-tokens", "9"),
        ("--thinking",),
        ("--system", "Be brief."),
    ):
        refused = run(family, f"petl:{family / 'alore.toml'}", results=results, more=option)
        assert refused.status == 2, option
        assert "no prompt" in refused.err or "generates no text" in refused.err


# --- folding -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lora", "adapter", "alore"])
def test_outputs_are_the_same_before_and_after_folding(family: Path, method: str) -> None:
    import torch

    from evals.vision.network import from_recipe

    merged = from_recipe(family / f"{method}.toml")
    text = (family / f"{method}.toml").read_text()
    (family / f"{method}-beside.toml").write_text(text + "merge = false\n")
    beside = from_recipe(family / f"{method}-beside.toml")
    images, _ = vision_training.noisy_images("eurosat", range(10), 10, first=77)
    with torch.inference_mode():
        first, second = merged.module(images), beside.module(images)
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-5)
    assert "folded in, which changes the logits by" in merged.notes[0]
    assert beside.parameters - merged.parameters == merged.trained
    assert merged.key != beside.key
    state = merged.module.state_dict()
    plain = vision_training.create(10).state_dict()
    assert {name: tensor.shape for name, tensor in state.items()} == {n: t.shape for n, t in plain.items()}


def test_a_recipe_names_its_content(family: Path) -> None:
    from evals.vision.network import from_recipe

    first = from_recipe(family / "alore.toml")
    shutil.copy(family / "alore.toml", family / "copy.toml")
    assert from_recipe(family / "copy.toml").key == first.key
    (family / "copy.toml").write_text((family / "alore.toml").read_text() + "[parameters]\nscale = 0.5\n")
    assert from_recipe(family / "copy.toml").key != first.key
    (family / "copy.toml").write_text((family / "alore.toml").read_text() + 'preprocessing = "vtab"\n')
    changed = from_recipe(family / "copy.toml")
    assert changed.key != first.key
    assert (
        str(changed.preprocessing)
        == "32x32 bicubic, whole image, mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    )
    assert str(first.preprocessing) == "32x32 bilinear, center crop 1, mean 0.5 0.5 0.5, std 0.5 0.5 0.5"


# --- timm: ---------------------------------------------------------------------------------------------------


def checkpoint(family: Path, place: Path) -> Path:
    """The fully tuned weights as a folder of timm."""
    from safetensors.torch import load_file

    return vision_training.write_folder(place, load_file(family / "full.safetensors"), classes=10)


def test_a_folder_of_timm_answers_like_the_recipe(family: Path, results: Path, tmp_path: Path) -> None:
    folder = checkpoint(family, tmp_path / "tuned")
    outcome = run(family, f"timm:{folder}", results=tmp_path / "results")
    assert outcome.status == 0, outcome.err
    (entry,) = outcome.json["runs"]
    figures = {e["metric"]: e["value"] for e in entry["estimates"] if not e["group"]}
    assert figures["top1"] == values(results)["full"]["top1"]["value"]
    assert "trained_parameters" not in figures or figures["trained_parameters"] is None
    assert any("32x32 bilinear" in note for note in entry["notes"])
    (path,) = (tmp_path / "results").glob("*/*/*/card.json")
    assert "timm 1." in json.loads(path.read_text())["config"]["engine"]


def test_batches_change_no_answer(family: Path, tmp_path: Path) -> None:
    alone = run(
        family,
        f"petl:{family / 'alore.toml'}",
        results=tmp_path / "a",
        more=("--concurrency", "1", "--limit", "40"),
    )
    many = run(family, f"petl:{family / 'alore.toml'}", results=tmp_path / "b", more=("--limit", "40"))
    answers = []
    for outcome, folder in ((alone, "a"), (many, "b")):
        name = outcome.json["runs"][0]["run"]
        shown = evals("show", name, "--samples", "--json", "--results", tmp_path / folder).json["samples"]
        answers.append({entry["id"]: entry["answer"] for entry in shown})
    assert answers[0] == answers[1]
    assert len(answers[0]) == 40


PRETRAINED = "vit_base_patch16_224"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "vit_bse_patch16_224",
            "unknown timm architecture 'vit_bse_patch16_224'; did you mean vit_base_patch16_224",
        ),
        (
            f"{PRETRAINED}.augreg_in22k",
            f"unknown tag of {PRETRAINED} '{PRETRAINED}.augreg_in22k'; did you mean",
        ),
        (
            f"{PRETRAINED}_in21k",
            f"an outdated name, which timm resolves to {PRETRAINED}.augreg_in21k: use that; there are also",
        ),
        ("vit_tiny_patch16_224@missing.safetensors", "there is no file missing.safetensors"),
    ],
)
def test_names_are_resolved_strictly(name: str, message: str) -> None:
    outcome = evals("run", "vtab:eurosat", "--sample", "-m", f"timm:{name}")
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_weights_that_cannot_be_downloaded_are_one_line_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    from evals.data import sources

    monkeypatch.setattr(sources, "_can_resolve", lambda url: False)  # as on a machine without a network
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    start = time.monotonic()
    line = refused(f"timm:{PRETRAINED}.augreg_in21k", tmp_path / "results")
    assert "its weights cannot be loaded; go online once, or name a checkpoint" in line
    assert time.monotonic() - start < 30


# --- what is refused ------------------------------------------------------------------------------------------


def refused(model: str, results: Path, *, suite: str = "vtab:eurosat") -> str:
    outcome = evals("run", suite, "--sample", "-m", model, "--results", results)
    assert outcome.status == 2, outcome.out
    assert outcome.err.count("\n") == 1, outcome.err
    assert not list(results.glob("*/*/*/card.json"))
    return outcome.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('method = "lorra"', "unknown method in {path} 'lorra'; did you mean lora"),
        ('method = "alore"\nbackbon = "x"', "unknown key 'backbon'; did you mean backbone"),
        ('method = "alore"\npreprocessing = "vtb"', "unknown preprocessing in {path} 'vtb'; did you mean vtab"),
        ('method = "alore"\n[parameters]\nscal = 2', "[parameters] of alore: unknown key 'scal'; did you mean scale"),
        ('method = "lora"\n[parameters]\nscale = 2', "[parameters] of lora: unknown key 'scale'"),
        ('method = "alore"\n[parameters]\nscale = nan', "scale = nan is not a finite number"),
        ('method = "alore"\n[preprocessing]\nstd = [0, 1, 1]', "invalid preprocessing"),
        ('method = "alore"\n[preprocessing]\nsize = 64', "Input height"),
        ('method = "adapter"', "none of its tensors is named BLOCK.adapter_attn"),
        ('method = "lora"', "expected a peft folder with adapter_config.json"),
        ('method = "linear"', "besides the head, so it is not a linear probe"),
        ('method = "full"', "missing tensors ("),
    ],
)  # fmt: skip
def test_a_recipe_with_a_mistake_is_one_line(family: Path, tmp_path: Path, line: str, message: str) -> None:
    path = family / "mistake.toml"
    path.write_text(f'backbone = "./backbone"\ntuned = "./alore.safetensors"\n{line}\n')
    assert message.format(path=path) in refused(f"petl:{path}", tmp_path)


def test_a_head_of_another_task_is_refused(family: Path, tmp_path: Path) -> None:
    line = refused(f"petl:{family / 'alore.toml'}", tmp_path, suite="vtab:dtd")
    assert "vtab:dtd has 47 classes" in line
    assert "has 10 outputs" in line
    assert "image classifier and reads no text" in refused(
        f"petl:{family / 'alore.toml'}", tmp_path, suite="aime"
    )


def test_weights_that_cannot_be_used_are_refused(family: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = checkpoint(family, tmp_path / "tuned")
    tensors = load_file(folder / "model.safetensors")

    def with_weights(changed: dict[str, Any]) -> str:
        save_file({n: t.contiguous() for n, t in changed.items()}, folder / "model.safetensors")
        return refused(f"timm:{folder}", tmp_path / "results")

    assert "blocks.1.mlp.fc2.bias contains NaN or infinite" in with_weights(
        {**tensors, "blocks.1.mlp.fc2.bias": torch.full((48,), torch.nan)}
    )
    assert "it was made for images of another size" in with_weights(
        {**tensors, "pos_embed": torch.zeros(1, 50, 48)}
    )
    assert "no head.weight: without a classifier head" in with_weights(
        {name: tensor for name, tensor in tensors.items() if "head" not in name}
    )
    assert "missing tensors (1, e.g. norm.bias)" in with_weights(
        {n: t for n, t in tensors.items() if n != "norm.bias"}
    )
    assert "unexpected tensors (1, e.g. extra)" in with_weights({**tensors, "extra": torch.zeros(3)})
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    assert "is not a safetensors file" in refused(f"timm:{folder}", tmp_path / "results")


class Bomb:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("THE PICKLE RAN",)


@pytest.mark.parametrize("form", ["protocol", "zip", "object"])
def test_a_pickle_runs_no_code(
    family: Path, tmp_path: Path, form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch

    path = tmp_path / "weights.pth"
    if form == "protocol":
        path.write_bytes(pickle.dumps({"state_dict": Bomb()}))
    else:
        torch.save({"state_dict": {"head.weight": torch.zeros(10, 192), "x": Bomb()}}, path)
    if form == "object":
        torch.save({"model": {"head.weight": torch.zeros(10, 192), "epoch": 7}}, path)
    line = refused(f"timm:vit_tiny_patch16_224@{path}", tmp_path / "results")
    assert (
        "is not a tensor" in line
        if form == "object"
        else "is a pickle that contains more than tensors" in line
    )
    assert "RAN" not in "".join(capfd.readouterr())


def test_a_state_dict_alone_may_be_a_pickle(family: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from evals.vision import weights

    tensors = load_file(family / "full.safetensors")
    torch.save(
        {"state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}}, tmp_path / "x.pth"
    )
    read = weights.read(tmp_path / "x.pth", label="x")
    assert set(read) == set(tensors)
    assert all(bool((read[name] == tensors[name]).all()) for name in tensors)


def test_code_of_a_folder_is_never_run(family: Path, tmp_path: Path) -> None:
    folder = checkpoint(family, tmp_path / "tuned")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "code.Net"}}))
    assert "has its own model code, which is never run" in refused(f"timm:{folder}", tmp_path / "results")
    (folder / "config.json").write_text(json.dumps({"model_type": "vit"}))
    assert "names no timm architecture (its model_type is vit)" in refused(
        f"timm:{folder}", tmp_path / "results"
    )
    (folder / "config.json").write_text(json.dumps({**config, "model_args": {"depth": 10**9}}))
    assert "model_args" in refused(f"timm:{folder}", tmp_path / "results")


@pytest.mark.parametrize(
    ("unusable", "message"),
    [("long", "1x200000 pixels would be 32x6400000"), ("broken", "not a readable image")],
)
def test_images_of_any_size_are_classified_or_fail_alone(
    family: Path, tmp_path: Path, unusable: str, message: str
) -> None:
    from PIL import Image

    data = tmp_path / "vtab-1k" / "eurosat"
    (data / "images").mkdir(parents=True)
    sizes = {"tiny": (1, 1), "wide": (700, 5), "grey": (40, 30)}
    sizes[unusable] = (1, 200_000) if unusable == "long" else (9, 9)
    for name, size in sizes.items():
        Image.new("L" if name == "grey" else "RGB", size, "white").save(data / "images" / f"{name}.png")
    if unusable == "broken":
        raw = (data / "images" / "broken.png").read_bytes()
        (data / "images" / "broken.png").write_bytes(raw[: len(raw) // 2])
    (data / "test.txt").write_text("".join(f"images/{name}.png 1\n" for name in sizes))
    outcome = run(tmp_path, f"petl:{family / 'alore.toml'}", results=tmp_path / "results")
    (entry,) = outcome.json["runs"]
    assert outcome.status == 1
    assert sum(count for name, count in entry["counts"].items() if not name.startswith("failed")) == 3
    assert entry["counts"]["failed:rejected"] == 1
    assert message in outcome.err
