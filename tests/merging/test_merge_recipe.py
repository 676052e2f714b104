"""Recipes: defaults, and the messages on invalid ones."""

from __future__ import annotations

import pytest

from evals.errors import UsageError
from evals.merging import recipe
from evals.merging.table import METHODS
from tests.support.error_messages import raises

GOOD = 'method = "ties"\nbase = "a/b"\n[experts]\nocr = "./ocr"\nvqa = "org/vqa"\n'


def write_text(tmp_path, text, name="five experts.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_defaults_are_those_of_the_released_code(tmp_path):
    defaults = recipe.read(write_text(tmp_path, GOOD))
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
    text = GOOD.replace("ties", method)
    assert recipe.read(write_text(tmp_path, text)).factor == factor
    assert recipe.read(write_text(tmp_path, f"lambda = 2\n{text}")).factor == 2.0


def test_every_method_has_a_title_and_a_function():
    for name, method in METHODS.items():
        module, function = method.function.split(":")
        assert method.title, name
        assert module in {"elementwise", "spectral", "optimised"}, name
        assert function, name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("ties", "tise"), "unknown merging method 'tise'; did you mean ties"),
        (GOOD.replace("ties", "TIES"), "unknown merging method 'TIES'; did you mean ties"),
        ("lamda = 0.3\n" + GOOD, "unknown key 'lamda'; did you mean lambda"),
        (GOOD + '[parameters]\nscope = "modle"\n', "unknown value 'modle' at scope; did you mean model"),
        (GOOD.replace("ties", "slerp"), "unknown merging method 'slerp'; known: aswudi"),
        (GOOD.replace("base", "bass"), "unknown key 'bass'; did you mean base"),
        (
            GOOD + "[parameters]\ndensitty = 0.1\n",
            "[parameters] of ties: unknown key 'densitty'; did you mean density",
        ),
        (GOOD + "[parameters]\ndensity = 2\n", "Expected `float` <= 1.0 - at `$.density`"),
        (GOOD + '[parameters]\ndensity = "a lot"\n', "Expected `float`, got `str`"),
        ("lambda = nan\n" + GOOD, "lambda = nan is not a finite number"),
        ('edition = "orignal"\n' + GOOD, "unknown value 'orignal' at edition; did you mean original"),
        ('serve = "vlm"\n' + GOOD, "unknown value 'vlm' at serve; did you mean vllm"),
        ('tokenizer = "ocrr"\n' + GOOD, "did you mean ocr?"),
        ("seed = -1\n" + GOOD, "Expected `int` >= 0"),
        ("seed = 1.5\n" + GOOD, "Expected `int`"),
        (GOOD.replace('base = "a/b"\n', ""), "the key 'base' is missing"),
        ('method = "ties"\nbase = "a/b"\n[experts]\n', "Expected `object` of length >= 1"),
        ('method = "ties"\nbase = "a/b"\n', "the key 'experts' is missing"),
        (GOOD + '"../../x" = "y"\n', "invalid expert name '../../x': use up to 64 letters"),
        ('name = "../up"\n' + GOOD, "Expected `str` matching regex"),
        ('device = "gpu"\n' + GOOD, "Expected `str` matching regex"),
        ("method = ", "Invalid value"),
        ("[" * 50_000, "r.toml: "),
        ("\x00", "r.toml: "),
    ],
)
def test_invalid_recipes_are_reported_in_one_line(tmp_path, text, message):
    path = write_text(tmp_path, text, "r.toml")
    with pytest.raises(UsageError) as caught:
        recipe.read(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_recipe_that_is_missing_or_not_a_file_is_reported(tmp_path):
    with raises(UsageError):
        recipe.read(tmp_path / "no.toml")
    with raises(UsageError):
        recipe.read(tmp_path)
