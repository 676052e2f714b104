"""Checkpoints of one small ViT, trained by the tests, in `run`, `show`, `compare` and `gate`, and checkpoints that are refused."""

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


def estimates(results: Path) -> dict[str, dict[str, Any]]:
    """Return the estimates of all runs: recipe -> metric -> estimate."""
    shown = evals("show", "--json", "--results", results)
    return {
        entry["model"].rpartition("-")[0]: {
            estimate["metric"]: estimate for estimate in entry["estimates"] if not estimate["group"]
        }
        for entry in shown.json["runs"]
    }


# --- the table ----------------------------------------------------------------------------------------------


def test_all_methods_are_in_one_table_with_intervals(results: Path) -> None:
    by_method = estimates(results)
    assert set(by_method) == set(METHODS)
    for metrics in by_method.values():
        top1 = metrics["top1"]
        assert top1["low"] < top1["value"] < top1["high"] or top1["value"] == 1.0
        assert top1["n"] == 300
    assert by_method["linear"]["top1"]["value"] > 0.2  # chance is 0.1
    assert (
        min(by_method[name]["top1"]["value"] for name in ("full", "lora", "alore"))
        > by_method["linear"]["top1"]["value"]
    )
    table = evals("show", "--results", results).out
    assert "vtab:eurosat · official · top1 · chance 10.0 %" in table
    assert all(f"{name}-" in table for name in METHODS)


def test_parameters_are_counted_and_latency_is_measured(results: Path) -> None:
    by_method = estimates(results)
    vit_parameters = by_method["full"]["parameters"]["value"]
    # the trained parts are folded in, so all models have the same size
    assert {round(by_method[name]["parameters"]["value"], 9) for name in METHODS} == {
        round(vit_parameters, 9)
    }
    head = 10 * 48 + 10
    assert by_method["full"]["trained_parameters"]["value"] == pytest.approx(vit_parameters - head / 1e6)
    assert by_method["linear"]["trained_parameters"]["value"] == 0
    assert by_method["alore"]["trained_parameters"]["value"] == pytest.approx((4 * 2 * 48 * 2 + 4**3) / 1e6)
    assert by_method["lora"]["trained_parameters"]["value"] == pytest.approx(
        2 * 2 * (48 + 144 + 48 + 96) / 1e6
    )
    assert by_method["adapter"]["trained_parameters"]["value"] == pytest.approx(
        4 * (4 * 48 * 2 + 4 + 48) / 1e6
    )
    assert all(
        metrics["latency"]["value"] > 0 and metrics["latency"]["unit"] == "ms"
        for metrics in by_method.values()
    )
    table = evals("show", "--results", results).out
    assert "trained" in table
    assert "latency" in table


def test_classifiers_can_be_compared_and_gated(results: Path, tmp_path: Path) -> None:
    shown = evals("show", "--json", "--results", results).json["runs"]
    ids = {entry["model"].rpartition("-")[0]: entry["run"] for entry in shown}
    compared = evals("compare", ids["alore"], ids["linear"], "--results", results, "--json")
    assert compared.status == 0, compared.err
    assert "vtab:eurosat" in compared.out
    policy = tmp_path / "policy.toml"
    policy.write_text('[[suite]]\nname = "vtab:eurosat"\nmargin = 0.02\n')
    options = ("--policy", policy, "--results", results)
    passing = evals("gate", ids["full"], "--baseline", ids["linear"], *options)
    failing = evals("gate", ids["linear"], "--baseline", ids["full"], *options)
    assert (passing.status, failing.status) == (0, 1), passing.out + passing.err + failing.out + failing.err


def test_runs_of_classifiers_have_no_prompts_tokens_or_text_options(checkpoints: Path, results: Path) -> None:
    shown = evals("show", "--json", "--results", results).json["runs"][0]
    assert shown["tokens"] == {}
    sample_output = evals("show", shown["run"], "--sample", "images/0001.png", "--results", results)
    assert sample_output.status == 0, sample_output.err
    assert "Prompt" not in sample_output.out
    assert "image" in sample_output.out
    dry_run = run(
        checkpoints,
        f"petl:{checkpoints / 'alore.toml'}",
        results=results,
        extra_options=("--dry-run", "--fresh"),
    )
    (entry,) = dry_run.json["dry_run"]
    assert (entry["input_tokens"], entry["output_tokens"], entry["fault"]) == (None, None, "")
    for option in (
        ("--temperature", "0.5"),
        ("--max-tokens", "9"),
        ("--thinking",),
        ("--system", "Be brief."),
    ):
        outcome = run(
            checkpoints, f"petl:{checkpoints / 'alore.toml'}", results=results, extra_options=option
        )
        outcome.assert_usage_error()


# --- folding ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lora", "adapter", "alore"])
def test_folding_a_part_into_its_layer_changes_no_output(checkpoints: Path, method: str) -> None:
    import torch

    from evals.vision.network import from_recipe

    folded = from_recipe(checkpoints / f"{method}.toml")
    recipe = (checkpoints / f"{method}.toml").read_text()
    (checkpoints / f"{method}-attached.toml").write_text(recipe + "merge = false\n")
    attached = from_recipe(checkpoints / f"{method}-attached.toml")
    images, _ = vision_training.noisy_images("eurosat", range(10), 10, first_seed=77)
    with torch.inference_mode():
        folded_outputs, attached_outputs = folded.module(images), attached.module(images)
    torch.testing.assert_close(folded_outputs, attached_outputs, rtol=1e-5, atol=1e-5)
    assert "folded in, which changes the logits by" in folded.notes[0]
    assert attached.parameters - folded.parameters == folded.trained
    assert folded.key != attached.key
    state = folded.module.state_dict()
    untuned_state = vision_training.create_vit(10).state_dict()
    assert {name: tensor.shape for name, tensor in state.items()} == {
        name: tensor.shape for name, tensor in untuned_state.items()
    }


def test_a_recipe_s_key_depends_only_on_its_content(checkpoints: Path) -> None:
    from evals.vision.network import from_recipe

    original = from_recipe(checkpoints / "alore.toml")
    shutil.copy(checkpoints / "alore.toml", checkpoints / "copy.toml")
    assert from_recipe(checkpoints / "copy.toml").key == original.key
    (checkpoints / "copy.toml").write_text(
        (checkpoints / "alore.toml").read_text() + "[parameters]\nscale = 0.5\n"
    )
    assert from_recipe(checkpoints / "copy.toml").key != original.key
    (checkpoints / "copy.toml").write_text(
        (checkpoints / "alore.toml").read_text() + 'preprocessing = "vtab"\n'
    )
    changed = from_recipe(checkpoints / "copy.toml")
    assert changed.key != original.key
    assert (
        str(changed.preprocessing)
        == "32x32 bicubic, whole image, mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    )
    assert str(original.preprocessing) == "32x32 bilinear, center crop 1, mean 0.5 0.5 0.5, std 0.5 0.5 0.5"


# --- timm: --------------------------------------------------------------------------------------------------


def write_checkpoint(checkpoints: Path, folder: Path) -> Path:
    """Write the fully tuned weights as a folder of timm; return it."""
    from safetensors.torch import load_file

    return vision_training.write_folder(folder, load_file(checkpoints / "full.safetensors"), classes=10)


def test_a_folder_of_timm_has_the_same_accuracy_as_the_recipe(
    checkpoints: Path, results: Path, tmp_path: Path
) -> None:
    folder = write_checkpoint(checkpoints, tmp_path / "tuned")
    outcome = run(checkpoints, f"timm:{folder}", results=tmp_path / "results")
    assert outcome.status == 0, outcome.err
    (entry,) = outcome.json["runs"]
    values = {
        estimate["metric"]: estimate["value"] for estimate in entry["estimates"] if not estimate["group"]
    }
    assert values["top1"] == estimates(results)["full"]["top1"]["value"]
    assert "trained_parameters" not in values or values["trained_parameters"] is None
    assert any("32x32 bilinear" in note for note in entry["notes"])
    (path,) = (tmp_path / "results").glob("*/*/*/card.json")
    assert "timm 1." in json.loads(path.read_text())["config"]["engine"]


def test_answers_do_not_depend_on_batching(checkpoints: Path, tmp_path: Path) -> None:
    alone = run(
        checkpoints,
        f"petl:{checkpoints / 'alore.toml'}",
        results=tmp_path / "a",
        extra_options=("--concurrency", "1", "--limit", "40"),
    )
    batched = run(
        checkpoints,
        f"petl:{checkpoints / 'alore.toml'}",
        results=tmp_path / "b",
        extra_options=("--limit", "40"),
    )
    answers = []
    for outcome, folder in ((alone, "a"), (batched, "b")):
        name = outcome.json["runs"][0]["run"]
        shown = evals("show", name, "--samples", "--json", "--results", tmp_path / folder).json["samples"]
        answers.append({entry["id"]: entry["answer"] for entry in shown})
    assert answers[0] == answers[1]
    assert len(answers[0]) == 40


PRETRAINED = "vit_base_patch16_224"


@pytest.mark.parametrize(
    "name",
    [
        "vit_bse_patch16_224",
        f"{PRETRAINED}.augreg_in22k",
        f"{PRETRAINED}_in21k",
        "vit_tiny_patch16_224@missing.safetensors",
    ],
)
def test_unknown_and_outdated_timm_names_are_refused_with_a_suggestion(name: str) -> None:
    outcome = evals("run", "vtab:eurosat", "--sample", "-m", f"timm:{name}")
    outcome.assert_usage_error()
    assert outcome.err.count("\n") == 1


def test_weights_that_cannot_be_downloaded_are_reported_immediately_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    from evals.data import sources

    monkeypatch.setattr(sources, "_can_resolve", lambda url: False)  # as without a network
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    start = time.monotonic()
    assert_refused(f"timm:{PRETRAINED}.augreg_in21k", tmp_path / "results")
    assert time.monotonic() - start < 30


# --- refused inputs -----------------------------------------------------------------------------------------


def assert_refused(model: str, results: Path, *, suite: str = "vtab:eurosat") -> None:
    """Assert that a run with this model is refused in one line, the recorded message, and leaves no record."""
    outcome = evals("run", suite, "--sample", "-m", model, "--results", results)
    outcome.assert_usage_error()
    assert outcome.err.count("\n") == 1, outcome.err
    assert not list(results.glob("*/*/*/card.json"))


@pytest.mark.parametrize(
    "line",
    [
        'method = "lorra"',
        'method = "alore"\nbackbon = "x"',
        'method = "alore"\nname = "../up"',
        'method = "alore"\npreprocessing = "vtb"',
        'method = "alore"\n[parameters]\nscal = 2',
        'method = "lora"\n[parameters]\nscale = 2',
        'method = "alore"\n[parameters]\nscale = nan',
        'method = "alore"\n[preprocessing]\nstd = [0, 1, 1]',
        'method = "alore"\n[preprocessing]\nsize = 64',
        'method = "adapter"',
        'method = "lora"',
        'method = "linear"',
        'method = "full"',
    ],
    ids=["method", "key", "name", "preprocessing", "parameter", "parameter of another method", "nan", "deviation 0", "input size",
         "no adapter", "no peft folder", "no linear probe", "other tensors"],
)  # fmt: skip
def test_a_mistake_in_a_recipe_is_reported_in_one_line(checkpoints: Path, tmp_path: Path, line: str) -> None:
    path = checkpoints / "mistake.toml"
    path.write_text(f'backbone = "./backbone"\ntuned = "./alore.safetensors"\n{line}\n')
    assert_refused(f"petl:{path}", tmp_path)


def test_a_head_with_another_number_of_classes_is_refused(checkpoints: Path, tmp_path: Path) -> None:
    assert_refused(f"petl:{checkpoints / 'alore.toml'}", tmp_path, suite="vtab:dtd")


def test_a_classifier_is_refused_for_a_suite_of_texts(checkpoints: Path, tmp_path: Path) -> None:
    assert_refused(f"petl:{checkpoints / 'alore.toml'}", tmp_path, suite="aime")


def test_weights_that_cannot_be_used_are_refused(checkpoints: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = write_checkpoint(checkpoints, tmp_path / "tuned")
    tensors = load_file(folder / "model.safetensors")

    def assert_tensors_are_refused(tensors_to_write: dict[str, Any]) -> None:
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors_to_write.items()},
            folder / "model.safetensors",
        )
        assert_refused(f"timm:{folder}", tmp_path / "results")

    assert_tensors_are_refused({**tensors, "blocks.1.mlp.fc2.bias": torch.full((48,), torch.nan)})
    assert_tensors_are_refused({**tensors, "pos_embed": torch.zeros(1, 50, 48)})
    assert_tensors_are_refused({name: tensor for name, tensor in tensors.items() if "head" not in name})
    assert_tensors_are_refused({name: tensor for name, tensor in tensors.items() if name != "norm.bias"})
    assert_tensors_are_refused({**tensors, "extra": torch.zeros(3)})
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    assert_refused(f"timm:{folder}", tmp_path / "results")


class CodeOnLoad:
    """An object whose pickle runs code when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("THE PICKLE RAN",)


@pytest.mark.parametrize("form", ["bare pickle", "torch zip", "non-tensor"])
def test_weights_that_contain_more_than_tensors_are_rejected_and_run_no_code(
    checkpoints: Path, tmp_path: Path, form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch

    path = tmp_path / "weights.pth"
    if form == "bare pickle":
        path.write_bytes(pickle.dumps({"state_dict": CodeOnLoad()}))
    else:
        torch.save({"state_dict": {"head.weight": torch.zeros(10, 192), "x": CodeOnLoad()}}, path)
    if form == "non-tensor":
        torch.save({"model": {"head.weight": torch.zeros(10, 192), "epoch": 7}}, path)
    assert_refused(f"timm:vit_tiny_patch16_224@{path}", tmp_path / "results")
    assert "RAN" not in "".join(capfd.readouterr())


def test_a_pickle_that_contains_only_a_state_dict_is_read(checkpoints: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from evals.vision import weights

    tensors = load_file(checkpoints / "full.safetensors")
    torch.save(
        {"state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}}, tmp_path / "x.pth"
    )
    state = weights.read(tmp_path / "x.pth", label="x")
    assert set(state) == set(tensors)
    assert all(bool((state[name] == tensors[name]).all()) for name in tensors)


def test_code_in_a_checkpoint_folder_is_not_run(checkpoints: Path, tmp_path: Path) -> None:
    folder = write_checkpoint(checkpoints, tmp_path / "tuned")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "code.Net"}}))
    assert_refused(f"timm:{folder}", tmp_path / "results")
    (folder / "config.json").write_text(json.dumps({"model_type": "vit"}))
    assert_refused(f"timm:{folder}", tmp_path / "results")
    (folder / "config.json").write_text(json.dumps({**config, "model_args": {"depth": 10**9}}))
    assert_refused(f"timm:{folder}", tmp_path / "results")


@pytest.mark.parametrize(
    ("unusable", "message"),
    [("long", "1x200000 pixels would be 32x6400000"), ("broken", "not a readable image")],
)
def test_images_of_any_size_are_classified_and_unusable_ones_fail_alone(
    checkpoints: Path, tmp_path: Path, unusable: str, message: str
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
    outcome = run(tmp_path, f"petl:{checkpoints / 'alore.toml'}", results=tmp_path / "results")
    (entry,) = outcome.json["runs"]
    assert outcome.status == 1
    assert sum(count for name, count in entry["counts"].items() if not name.startswith("failed")) == 3
    assert entry["counts"]["failed:rejected"] == 1
    assert message in outcome.err
