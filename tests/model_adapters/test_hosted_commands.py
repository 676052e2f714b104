"""Hosted models through the command: what a card says, what it costs, and what a user's or an account's fault gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals import profiles
from tests.support.command import Outcome, evals
from tests.support.faults import Answer, Call, FaultyServer, completion, error

RUN = ("run", "aime:2025", "--sample", "--quiet", "--concurrency", 1, "--json")
KEY = "sk-very-secret"


@pytest.fixture
def vendor(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """Stands for OpenAI and for the hosted Intern-S1."""
    with FaultyServer(completion("ANSWER: 1")) as server:
        for name in ("OPENAI", "INTERN"):
            monkeypatch.setenv(f"{name}_API_KEY", KEY)
            monkeypatch.setenv(f"{name}_BASE_URL", f"http://127.0.0.1:{server.port}/v1")
        monkeypatch.setenv("INTERN_PER_MINUTE", "100000")
        yield server


def card_of(done: Outcome) -> dict[str, Any]:
    (run,) = done.json["runs"]
    (path,) = Path("results").glob(f"*/*/{run['run']}/card.json")
    text = path.read_text()
    assert KEY not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_card_says_the_context_beside_that_of_the_published_numbers(vendor: FaultyServer) -> None:
    card = card_of(evals(*RUN, "-m", "intern:intern-s1"))
    assert any("32,768 tokens, but 65,536 for the published numbers" in note for note in card["notes"])
    assert all(call.body["thinking_mode"] is True for call in vendor.calls)


def test_a_card_says_what_was_not_sent(vendor: FaultyServer) -> None:
    done = evals(*RUN, "-m", "openai:o3")
    said = "temperature not sent: o3 does not support it"
    assert said in card_of(done)["notes"]
    assert said in done.err
    assert all("temperature" not in call.body for call in vendor.calls)


def test_a_wish_that_cannot_be_met_leaves_no_run_behind(vendor: FaultyServer) -> None:
    assert evals(*RUN, "-m", "openai:o3", "--no-thinking").error_line == "--no-thinking: o3 always reasons"
    assert not list(Path().rglob("card.json"))
    assert vendor.calls == []


def test_the_price_is_the_profiles_with_its_date(vendor: FaultyServer) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 600}}
    body = json.loads(completion("ANSWER: 1").body) | {"usage": usage}
    vendor.behave = lambda call: Answer(200, json.dumps(body).encode())
    card = card_of(evals(*RUN, "-m", "openai:o3"))
    price = profiles.price("openai:o3")
    assert price is not None
    calls = len(vendor.calls)
    assert card["cost_usd"] == pytest.approx(calls * (400 * 2.0 + 600 * 0.5 + 100 * 8.0) / 1e6)
    assert card["price"] == {"input": 2.0, "output": 8.0, "cached": 0.5}
    assert card["price_date"] == str(price.date)


def test_max_cost_needs_no_price_where_a_profile_knows_it(vendor: FaultyServer) -> None:
    done = evals(*RUN, "-m", "openai:o3", "--max-cost", "0.0001")  # 60 millionths a call
    assert "--max-cost 0.0001 USD reached" in done.err
    assert len(vendor.calls) == 2
    assert (
        "the price of openai:nobody is not known"
        in evals(*RUN, "-m", "openai:nobody", "--max-cost", 1).error_line
    )


def test_a_price_with_its_own_for_cached_input(vendor: FaultyServer) -> None:
    card = card_of(evals(*RUN, "-m", "openai:nobody", "--price", "1,2,0.1"))
    assert card["price"] == {"input": 1.0, "output": 2.0, "cached": 0.1}
    assert "write IN,OUT" in evals(*RUN, "-m", "openai:nobody", "--price", "1,2,3,4").error_line


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            error(401, "Incorrect API key provided: sk-very-secret"),
            "HTTP 401: Incorrect API key provided: ***",
        ),
        (error(404, "The model `x` does not exist"), "HTTP 404: The model `x` does not exist"),
        (error(403, "Country, region, or territory not supported"), "HTTP 403: Country, region"),
        (error(429, "You exceeded your current quota", code="x"), "HTTP 429"),
    ],
    ids=["key", "model", "region", "busy"],
)
def test_what_no_call_can_mend_is_one_line(vendor: FaultyServer, answer: Answer, said: str) -> None:
    if answer.status == 429:
        body = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
        answer = Answer(429, json.dumps(body).encode())
    vendor.behave = lambda call: answer
    found = evals(*RUN, "-m", "openai:gpt-4.1").error_line
    assert found.startswith(said)
    assert KEY not in found
    assert len(vendor.calls) == 1


def test_out_of_quota_in_mid_run_ends_it_and_the_next_day_goes_on(vendor: FaultyServer) -> None:
    body = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}

    def behave(call: Call) -> Answer:
        return completion("ANSWER: 1") if call.number < 2 else Answer(429, json.dumps(body).encode())

    vendor.behave = behave
    first = evals(*RUN, "-m", "openai:gpt-4.1")
    assert first.status == 1
    assert "ended early: HTTP 429: You exceeded your current quota" in first.err
    assert len(vendor.calls) == 3  # the refused one was not tried again
    vendor.behave = lambda call: completion("ANSWER: 1")
    second = evals(*RUN, "-m", "openai:gpt-4.1")
    assert second.status == 0
    assert second.json["runs"][0]["run"] == first.json["runs"][0]["run"]
    assert len(vendor.calls) == 3 + second.json["runs"][0]["expected"] - 2


def test_a_prompt_too_long_for_the_context_is_that_samples_failure(vendor: FaultyServer) -> None:
    long = error(400, "This model's maximum context length is 4096 tokens")
    vendor.behave = lambda call: long if call.number == 1 else completion("ANSWER: 1")
    (run,) = evals(*RUN, "-m", "openai:gpt-4.1").json["runs"]
    assert run["counts"]["failed:context"] == 1


def test_every_vendor_is_listed_with_its_words(here: Path) -> None:
    models = {one["name"]: one for one in evals("list", "models", "--json").json["models"]}
    for form in ("intern:", "anthropic:", "google:", "deepseek:", "xai:"):
        assert form in models
