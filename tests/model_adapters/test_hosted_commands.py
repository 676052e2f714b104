"""Hosted models on the command line: notes on the card, costs, and messages about faults of the user or the account."""

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
    """Yield a server in place of OpenAI and the hosted Intern-S1."""
    with FaultyServer(completion("ANSWER: 1")) as server:
        for name in ("OPENAI", "INTERN"):
            monkeypatch.setenv(f"{name}_API_KEY", KEY)
            monkeypatch.setenv(f"{name}_BASE_URL", f"http://127.0.0.1:{server.port}/v1")
        monkeypatch.setenv("INTERN_PER_MINUTE", "100000")
        yield server


def card_of(outcome: Outcome) -> dict[str, Any]:
    """Return the stored card of a command's only run, which must not contain the key."""
    (run,) = outcome.json["runs"]
    (path,) = Path("results").glob(f"*/*/{run['run']}/card.json")
    text = path.read_text()
    assert KEY not in text
    card: dict[str, Any] = json.loads(text)
    return card


def test_the_card_states_the_context_and_that_of_the_published_numbers(vendor: FaultyServer) -> None:
    card = card_of(evals(*RUN, "-m", "intern:intern-s1"))
    assert any("32,768 tokens, but 65,536 for the published numbers" in note for note in card["notes"])
    assert all(call.body["thinking_mode"] is True for call in vendor.calls)


def test_the_card_states_which_fields_were_not_sent(vendor: FaultyServer) -> None:
    outcome = evals(*RUN, "-m", "openai:o3")
    note = "temperature not sent: o3 does not support it"
    assert note in card_of(outcome)["notes"]
    assert note in outcome.err
    assert all("temperature" not in call.body for call in vendor.calls)


def test_an_unsupported_option_is_refused_before_a_run_is_created(vendor: FaultyServer) -> None:
    evals(*RUN, "-m", "openai:o3", "--no-thinking").assert_usage_error()
    assert not list(Path().rglob("card.json"))
    assert vendor.calls == []


def test_the_price_and_its_date_are_those_of_the_profile(vendor: FaultyServer) -> None:
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


def test_max_cost_needs_no_price_option_if_the_profile_has_the_price(vendor: FaultyServer) -> None:
    outcome = evals(*RUN, "-m", "openai:o3", "--max-cost", "0.0001")  # 0.00006 USD per call
    assert "--max-cost 0.0001 USD reached" in outcome.err
    assert len(vendor.calls) == 2
    evals(*RUN, "-m", "openai:nobody", "--max-cost", 1).assert_usage_error()


def test_the_price_option_may_include_a_price_of_cached_input(vendor: FaultyServer) -> None:
    card = card_of(evals(*RUN, "-m", "openai:nobody", "--price", "1,2,0.1"))
    assert card["price"] == {"input": 1.0, "output": 2.0, "cached": 0.1}
    evals(*RUN, "-m", "openai:nobody", "--price", "1,2,3,4").assert_usage_error()


@pytest.mark.parametrize(
    "answer",
    [
        error(401, "Incorrect API key provided: sk-very-secret"),
        error(404, "The model `x` does not exist"),
        error(403, "Country, region, or territory not supported"),
        error(429, "You exceeded your current quota", code="x"),
    ],
    ids=["key", "model", "region", "busy"],
)
def test_a_fault_that_affects_every_call_is_reported_in_one_line(
    vendor: FaultyServer, answer: Answer
) -> None:
    if answer.status == 429:
        body = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
        answer = Answer(429, json.dumps(body).encode())
    vendor.behave = lambda call: answer
    outcome = evals(*RUN, "-m", "openai:gpt-4.1")
    outcome.assert_usage_error()
    assert KEY not in outcome.out + outcome.err
    assert len(vendor.calls) == 1


def test_a_run_ends_when_the_quota_is_exhausted_and_the_same_command_continues_it(
    vendor: FaultyServer,
) -> None:
    body = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}

    def behave(call: Call) -> Answer:
        return completion("ANSWER: 1") if call.number < 2 else Answer(429, json.dumps(body).encode())

    vendor.behave = behave
    first = evals(*RUN, "-m", "openai:gpt-4.1")
    assert first.status == 1
    assert "ended early: HTTP 429: You exceeded your current quota" in first.err
    assert len(vendor.calls) == 3  # the rejected call was not retried
    vendor.behave = lambda call: completion("ANSWER: 1")
    second = evals(*RUN, "-m", "openai:gpt-4.1")
    assert second.status == 0
    assert second.json["runs"][0]["run"] == first.json["runs"][0]["run"]
    assert len(vendor.calls) == 3 + second.json["runs"][0]["expected"] - 2


def test_a_prompt_that_exceeds_the_context_is_a_failure_of_its_sample(vendor: FaultyServer) -> None:
    long = error(400, "This model's maximum context length is 4096 tokens")
    vendor.behave = lambda call: long if call.number == 1 else completion("ANSWER: 1")
    (run,) = evals(*RUN, "-m", "openai:gpt-4.1").json["runs"]
    assert run["counts"]["failed:context"] == 1


def test_vendors_are_listed(here: Path) -> None:
    models = {model["name"]: model for model in evals("list", "models", "--json").json["models"]}
    for name in ("intern:", "anthropic:", "google:", "deepseek:", "xai:"):
        assert name in models
