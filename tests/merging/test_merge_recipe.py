"""Recipes: defaults, and the messages for invalid ones."""

from __future__ import annotations

import pytest

from evals.errors import UsageError
from evals.merging import recipe
from evals.merging.table import METHODS
from tests.support.error_messages import raises

VALID = 'method = "ties"\nbase = "a/b"\n[experts]\nocr = "./ocr"\nvqa = "org/vqa"\n'


def write_text(tmp_path, text, name="five experts.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_defaults_are_those_of_the_released_code(tmp_path):
    defaults = recipe.read(write_text(tmp_path, VALID))
    assert (defaults.name, defaults.method, defaults.factor, defaults.edition, defaults.serve) == (
        "five-experts",
        "ties",
        0.3,
        "fixed",
        "vllm",
    )
    assert defaults.parameters.density == 0.2
    assert defaults.experts == {"ocr": "./ocr", "vqa": "org/vqa"}


@pytest.mark.parametrize(
    ("method", "factor"),
    [("weight-average", 1.0), ("optmerge-lora", 1.0), ("optmerge-full", 0.1), ("wudi", 0.3)],
)
def test_lambda_defaults_to_the_methods_factor(tmp_path, method, factor):
    text = VALID.replace("ties", method)
    assert recipe.read(write_text(tmp_path, text)).factor == factor
    assert recipe.read(write_text(tmp_path, f"lambda = 2\n{text}")).factor == 2.0


def test_every_method_has_a_title_and_a_function():
    for name, method in METHODS.items():
        module, function = method.function.split(":")
        assert method.title, name
        assert module in {"elementwise", "spectral", "optimised"}, name
        assert function, name


INVALID = {
    "method": VALID.replace("ties", "tise"),
    "method in capitals": VALID.replace("ties", "TIES"),
    "method without similar ones": VALID.replace("ties", "slerp"),
    "key": "lamda = 0.3\n" + VALID,
    "key instead of base": VALID.replace("base", "bass"),
    "scope": VALID + '[parameters]\nscope = "modle"\n',
    "parameter": VALID + "[parameters]\ndensitty = 0.1\n",
    "parameter out of range": VALID + "[parameters]\ndensity = 2\n",
    "text as a parameter": VALID + '[parameters]\ndensity = "a lot"\n',
    "lambda": "lambda = nan\n" + VALID,
    "edition": 'edition = "orignal"\n' + VALID,
    "serve": 'serve = "vlm"\n' + VALID,
    "tokenizer": 'tokenizer = "ocrr"\n' + VALID,
    "negative seed": "seed = -1\n" + VALID,
    "fractional seed": "seed = 1.5\n" + VALID,
    "no base": VALID.replace('base = "a/b"\n', ""),
    "empty experts": 'method = "ties"\nbase = "a/b"\n[experts]\n',
    "no experts": 'method = "ties"\nbase = "a/b"\n',
    "expert name": VALID + '"../../x" = "y"\n',
    "name": 'name = "../up"\n' + VALID,
    "device": 'device = "gpu"\n' + VALID,
    "syntax": "method = ",
    "50,000 brackets": "[" * 50_000,
    "NUL character": "\x00",
}


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_invalid_recipes_are_reported_in_one_line(tmp_path, text):
    path = write_text(tmp_path, text, "r.toml")
    with raises(UsageError) as caught:
        recipe.read(path)
    assert len(str(caught.value)) < 600


def test_a_recipe_that_is_missing_or_not_a_file_is_reported(tmp_path):
    with raises(UsageError):
        recipe.read(tmp_path / "no.toml")
    with raises(UsageError):
        recipe.read(tmp_path)
