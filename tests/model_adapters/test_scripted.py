"""The model with scripted replies, from code and from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from evals import load
from evals.errors import ModelError, RateLimit, UsageError
from evals.model_adapters.scripted import Scripted
from evals.prompts import ask
from evals.types import Model, Prompt, Reply, Sampling, Usage
from tests.support import toy
from tests.support.error_messages import raises


async def texts(model: Model, *questions: str) -> list[str]:
    """Return the texts of the model's replies to questions."""
    return [(await model.reply(ask(question), Sampling())).text for question in questions]


async def test_a_single_text_is_the_reply_to_every_prompt() -> None:
    assert await texts(Scripted("ANSWER: A"), "1", "2") == ["ANSWER: A"] * 2


async def test_the_texts_of_a_list_are_replies_in_turn_and_start_again_at_the_end() -> None:
    model = Scripted(["x", "y"])
    assert await texts(model, "1", "2", "3") == ["x", "y", "x"]
    assert model.calls == 3


async def test_a_function_gets_the_prompt() -> None:
    assert await texts(Scripted(toy.sample_id_in), "what is q7", "and q8") == ["q7", "q8"]


async def test_a_function_may_return_a_reply_object() -> None:
    reply = Reply(text="cut", stop="length", usage=Usage(output=96))
    assert await Scripted(lambda prompt: reply).reply(ask("1"), Sampling()) is reply


async def test_a_function_may_be_async() -> None:
    async def reply(prompt: Prompt) -> str:
        return toy.sample_id_in(prompt)

    assert await texts(Scripted(reply), "what is q7") == ["q7"]


@pytest.mark.parametrize("output", [7, None, b"A"])
async def test_a_function_that_returns_no_text_is_a_failed_call(output: Any) -> None:
    with raises(ModelError):
        await texts(Scripted(lambda prompt: output), "1")


async def test_an_exception_of_the_function_is_raised() -> None:
    def fail(prompt: Prompt) -> str:
        raise RateLimit("HTTP 429")

    with pytest.raises(RateLimit):
        await texts(Scripted(fail), "1")


async def test_words_are_counted_as_tokens() -> None:
    assert (await Scripted("one two three").reply(ask("1"), Sampling())).usage == Usage(input=0, output=3)


def test_the_model_accepts_all_media() -> None:
    assert isinstance(Scripted("x"), Model)
    assert Scripted("x").accepts == {"image", "time_series", "structure"}


# --- from the command line ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["ANSWER: B", "a=b", "list of things", "x:y"])
async def test_the_text_after_the_colon_is_the_reply(text: str) -> None:
    assert await texts(load.model(f"scripted:{text}"), "1") == [text]


async def test_a_list_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "replies.json").write_text('["x", "é"]')
    assert await texts(load.model(f"scripted:list={tmp_path / 'replies.json'}"), "1", "2") == ["x", "é"]


@pytest.mark.parametrize(
    "content",
    [None, "[]", '{"a": 1}', '["a", 1]', "[", '["\udcff"]'],
    ids=["no file", "an empty list", "an object", "a number", "truncated", "not UTF-8"],
)
def test_a_file_that_is_not_a_list_of_strings_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "replies.json"
    if content is not None:
        path.write_bytes(content.encode(errors="surrogateescape"))
    with raises(UsageError):
        load.model(f"scripted:list={path}")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return an importable module `their_model`."""
    module = ModuleType("their_model")
    monkeypatch.setitem(sys.modules, "their_model", module)
    return module


async def test_a_function_is_imported_from_a_module(module: ModuleType) -> None:
    module.says = toy.sample_id_in
    assert await texts(load.model("scripted:call=their_model:says"), "what is q7") == ["q7"]


@pytest.mark.parametrize("spec", ["their_model:nothing", "no_such_module:says", "their_model", ":says", ""])
def test_a_function_that_does_not_exist_is_refused(module: ModuleType, spec: str) -> None:
    with raises(UsageError):
        load.model(f"scripted:call={spec}")


def test_an_attribute_that_is_not_callable_is_refused(module: ModuleType) -> None:
    module.says = 7
    with raises(UsageError):
        load.model("scripted:call=their_model:says")
