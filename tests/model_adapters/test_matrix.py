"""How a run handles responses and faults of real servers, with every adapter that uses HTTP.

Of three samples, the second gets the response under test, once, and good ones after it. The first sample gets a good
response, so that the server is known to work. A case states the sample's record, whether the call was retried, how long the
server asked to wait, and the note on the card.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from evals import load
from evals.calls import backoff
from evals.errors import BadReply, Fatal, RateLimit, Rejected
from evals.records.store import Run
from evals.run import caller as callers
from evals.run import runner as runners
from evals.run.health import Health
from evals.run.runner import Runner
from evals.types import Failure, Model, Reply, Sampling
from tests.model_adapters.test_recorded import CHAT, EXPECTED, server_of
from tests.support import protocols, toy
from tests.support.error_messages import raises
from tests.support.loopback import Answer, Server
from tests.support.protocols import ADAPTERS, Completion, Protocol
from tests.support.sizes import tiers
from tests.support.tables import table

KEY = "sk-very-secret-key"
MakeAnswer = Callable[[Protocol], Answer]


class Case(NamedTuple):
    """A response and its expected outcome in a run."""

    make: MakeAnswer
    outcome: str = "stop"
    """Stop reason of the recorded reply, or kind of the failure; `open`: the run ended without a record of the sample."""
    retried: str = ""
    """Kind of the error after which the call was retried; empty: it was not retried."""
    wait_s: float | None = None
    """Wait that the server asked for; None: it did not ask for one."""
    text: str | None = None
    reasoning: str | None = None
    note: str = ""
    """Text of the card's note; empty: there is none."""
    output_tokens: int | None = -1
    """Output tokens; -1: not checked."""


def fault(status: int, kind: str = "x", message: str = "as scripted", **headers: str) -> MakeAnswer:
    header_values = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda protocol: Answer(protocol.error(status, kind, message), status, header_values)


def documented_response(field: str) -> MakeAnswer:
    """Return the response that a vendor's protocol documents for a kind of fault."""

    def answer(protocol: Protocol) -> Answer:
        status, body = getattr(protocol, field)
        return Answer(body, status)

    return answer


def protocol_family(protocol: Protocol) -> str:
    return {"/v1/messages": "anthropic", ":generateContent": "google"}.get(protocol.path, "openai")


def with_finish_reason(reason: Any, text: str = "A") -> MakeAnswer:
    """Return a response with a finish reason, in each protocol's field."""

    def answer(protocol: Protocol) -> Answer:
        body = protocol.completion(Completion(text))
        if protocol_family(protocol) == "openai":
            body["choices"][0]["finish_reason"] = reason
        elif protocol_family(protocol) == "google":
            body["candidates"][0]["finishReason"] = reason
        else:
            body["stop_reason"] = reason
        return Answer(body)

    return answer


def with_usage(value: Any, *, whole: bool = False) -> MakeAnswer:
    """Return a response with this value as its number of output tokens, or, if `whole`, as its usage."""

    def answer(protocol: Protocol) -> Answer:
        body = protocol.completion(Completion("A"))
        count_field = {
            "openai": "completion_tokens",
            "anthropic": "output_tokens",
            "google": "candidatesTokenCount",
        }[protocol_family(protocol)]
        usage_field = "usageMetadata" if protocol_family(protocol) == "google" else "usage"
        if whole:
            body[usage_field] = value
        else:
            body[usage_field][count_field] = value
        return Answer(body)

    return answer


def changed_body(change: Callable[[Any], Any], status: int = 200) -> MakeAnswer:
    """Return a good response after `change`, which returns another body or changes this one in place."""

    def answer(protocol: Protocol) -> Answer:
        body = deepcopy(protocol.completion(Completion("A")))
        return Answer(change(body) or body, status)

    return answer


def content(openai: Any, anthropic: Any, google: Any) -> MakeAnswer:
    """Return a response with this content in each protocol's place; None: with plain text."""

    def answer(protocol: Protocol) -> Answer:
        body = protocol.completion(Completion("A"))
        if protocol_family(protocol) == "openai":
            body["choices"][0]["message"] = {"role": "assistant", **openai}
        elif protocol_family(protocol) == "anthropic" and anthropic is not None:
            body["content"] = anthropic
        elif protocol_family(protocol) == "google" and google is not None:
            body["candidates"][0]["content"]["parts"] = google
        return Answer(body)

    return answer


def error_in_200(error: Any) -> MakeAnswer:
    """Return a response with status 200, an error and an empty reply."""

    def change(body: Any) -> None:
        body["error"] = error
        if "choices" in body:
            body["choices"][0]["message"]["content"] = ""

    return changed_body(change)


def only_fields(**fields: Any) -> MakeAnswer:
    """Return a response with these fields and no reply."""
    return lambda protocol: Answer(fields)


THINKING = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "2 and 2"}]},
    {"type": "text", "text": "A"},
]
BLOCKS = [{"type": "thinking", "thinking": "2 and 2"}, {"type": "text", "text": "A"}]
THOUGHTS = [{"text": "2 and 2", "thought": True}, {"text": "A"}]


def with_reasoning(**fields: Any) -> Case:
    """Return the case of a response with reasoning; `fields`: those of OpenAI's protocol."""
    return Case(content({"content": "A", **fields}, BLOCKS, THOUGHTS), text="A", reasoning="2 and 2")


LATER = formatdate(2_000_000_007, usegmt=True)
NOW = formatdate(2_000_000_000, usegmt=True)
CASES: dict[str, Case] = {
    # --- how replies end
    "stop": Case(changed_body(lambda body: None), text="A"),
    **{
        f"ends: {reason}": Case(with_finish_reason(reason), text="A")
        for reason in ("stop", "end_turn", "eos", "stop_sequence", "STOP", "COMPLETE", "FinishReason.STOP")
    },
    **{
        f"ends: {reason}": Case(with_finish_reason(reason), "length", text="A")
        for reason in (
            "length",
            "max_tokens",
            "MAX_TOKENS",
            "model_length",
            "max_output_tokens",
            "max-new-tokens",
        )
    },
    **{
        f"ends: {reason}": Case(with_finish_reason(reason), "filter", text="A")
        for reason in ("content_filter", "SAFETY", "refusal", "sensitive", "guardrail_intervened")
    },
    **{
        f"ends: {reason}": Case(with_finish_reason(reason, ""), "stop", retried="serverfault", text="A")
        for reason in (
            "abort",
            "cancelled",
            "canceled",
            "error",
            "insufficient_system_resource",
            "OTHER",
            "network_error",
        )
    },
    "aborted in the middle of the text": Case(
        with_finish_reason("abort", "The ans"), retried="serverfault", text="A"
    ),
    "ends: unknown reason": Case(
        with_finish_reason("odd"),
        text="A",
        note="1 reply ended for an unknown reason, 'odd': taken as complete",
    ),
    "ends: 7": Case(with_finish_reason(7), text="A", note="unknown reason, '7'"),
    "ends: an object": Case(with_finish_reason({"type": "length"}), "length", text="A"),
    "ends: tool_calls": Case(with_finish_reason("tool_calls"), text="A", note="ended in a tool call"),
    "ends: null": Case(with_finish_reason(None), text="A", note="no finish reason for 1 reply"),
    # --- replies that are accepted
    "201": Case(changed_body(lambda body: None, 201), text="A"),
    "206": Case(changed_body(lambda body: None, 206), text="A"),
    "parts": Case(content({"content": THINKING}, BLOCKS, THOUGHTS), text="A", reasoning="2 and 2"),
    "a single part instead of a list": Case(
        content({"content": {"type": "text", "text": "A"}}, None, None), text="A"
    ),
    "parts that are strings": Case(content({"content": ["", "A"]}, ["", "A"], None), text="A"),
    "a part of an unknown kind": Case(
        content(
            {"content": [{"type": "audio"}, {"type": "text", "text": "A"}]},
            [{"type": "new", "x": 1}, {"type": "text", "text": "A"}],
            [{"executableCode": {"code": "1"}}, {"text": "A"}],
        ),
        text="A",
    ),
    "reasoning_content": with_reasoning(reasoning_content="2 and 2"),
    "reasoning": with_reasoning(reasoning="2 and 2"),
    "thinking": with_reasoning(thinking="2 and 2"),
    "reasoning_details": with_reasoning(reasoning_details=[{"type": "reasoning.text", "text": "2 and 2"}]),
    "a summary in reasoning_details": with_reasoning(
        reasoning_details=[{"type": "reasoning.summary", "summary": "2 and 2"}]
    ),
    "thinking_blocks": with_reasoning(thinking_blocks=[{"type": "thinking", "thinking": "2 and 2"}]),
    "reasoning is empty, thinking is not": with_reasoning(reasoning_content="", thinking="2 and 2"),
    "output tokens with a fraction": Case(with_usage(2.25), text="A"),
    "output tokens as a string": Case(with_usage("10"), text="A"),
    "output tokens as a list": Case(with_usage([]), text="A"),
    "negative output tokens": Case(with_usage(-1), text="A"),
    "usage null": Case(with_usage(None, whole=True), text="A", output_tokens=None),
    "usage as a string": Case(with_usage("many", whole=True), text="A", output_tokens=None),
    "usage as a list": Case(with_usage([1, 2], whole=True), text="A", output_tokens=None),
    "unknown fields": Case(changed_body(lambda body: body.update(x={"y": [1]}, system=7)), text="A"),
    "a number as the model's name": Case(
        changed_body(lambda body: body.update(model=7, modelVersion=7)), text="A"
    ),
    "error: null with a reply": Case(changed_body(lambda body: body.update(error=None)), text="A"),
    "error: {} with a reply": Case(changed_body(lambda body: body.update(error={})), text="A"),
    "an error with empty fields and a reply": Case(
        changed_body(lambda body: body.update(error={"code": None, "message": ""}, errors=[])), text="A"
    ),
    "an error with code 0 and a reply": Case(
        changed_body(lambda body: body.update(error={"code": 0, "message": "ok"})), text="A"
    ),
    "a lone surrogate": Case(
        lambda protocol: Answer(json.dumps(protocol.completion(Completion("A \ud83d"))).encode()),
        text="A \ufffd",
    ),
    # --- errors inside a 200
    "200 with 429": Case(error_in_200({"code": 429, "message": "slow down"}), retried="ratelimit", text="A"),
    "200 with '429'": Case(
        error_in_200({"code": "429", "message": "slow down"}), retried="ratelimit", text="A"
    ),
    "200 with rate_limit_exceeded": Case(
        error_in_200({"code": "rate_limit_exceeded", "message": "try again in 3.5s"}),
        retried="ratelimit",
        wait_s=3.5,
    ),
    "200 with a message about the rate limit": Case(error_in_200("Rate limit exceeded"), retried="ratelimit"),
    "200 with 500": Case(error_in_200({"code": 500, "message": "boom"}), retried="serverfault", text="A"),
    "200 with 503": Case(error_in_200({"code": 503, "message": "busy"}), retried="ratelimit", text="A"),
    "200 with 408": Case(error_in_200({"code": 408, "message": "slow"}), retried="timeout", text="A"),
    "200 with 402": Case(error_in_200({"code": 402, "message": "Insufficient credits"}), "open"),
    "200 with insufficient_quota": Case(
        error_in_200({"code": "insufficient_quota", "message": "no"}), "open"
    ),
    "200 with 400": Case(error_in_200({"code": 400, "message": "no such thing"}), "rejected"),
    "200 with an error without a code": Case(
        error_in_200({"message": "out of memory"}), retried="badreply", text="A"
    ),
    "200 with only an error, 402": Case(
        only_fields(error={"code": 402, "message": "Insufficient credits"}), "open"
    ),
    "200 with only an error, 429": Case(
        only_fields(error={"code": 429, "message": "slow"}), retried="ratelimit"
    ),
    "200 with null as reply": Case(
        only_fields(choices=None, content=None, candidates=None, error={"code": 502, "message": "up"}),
        retried="serverfault",
    ),
    "200 of a gateway with a code in the body": Case(
        only_fields(choices=None, code=429, message="too many requests"), retried="ratelimit"
    ),
    "200 with a list of errors and a reply": Case(
        changed_body(lambda body: body.update(errors=[{"code": 429, "message": "slow"}])),
        retried="ratelimit",
        text="A",
    ),
    "200 with success: false": Case(
        changed_body(lambda body: body.update(success=False, message="boom", code=500)),
        retried="serverfault",
        text="A",
    ),
    # --- statuses
    "500 while the model is loaded": Case(fault(500, "x", "Model is loading"), retried="ratelimit", text="A"),
    "404 while the model is loaded": Case(
        fault(404, "x", "model not loaded yet"), retried="ratelimit", text="A"
    ),
    "400": Case(fault(400, "invalid_request_error"), "rejected"),
    "401 in mid-run": Case(fault(401, "authentication_error"), "fatal"),
    "402": Case(fault(402, "billing_error"), "open"),
    "404 in mid-run": Case(fault(404, "not_found_error"), "fatal"),
    "408": Case(fault(408), retried="timeout", text="A"),
    "409": Case(fault(409), retried="serverfault", text="A"),
    "422": Case(fault(422, "invalid_request_error"), "rejected"),
    "425": Case(fault(425), retried="serverfault", text="A"),
    "500": Case(fault(500), retried="serverfault", text="A"),
    "502 and HTML": Case(lambda protocol: Answer(b"<html>", 502), retried="serverfault", text="A"),
    "504": Case(fault(504), retried="timeout", text="A"),
    "520": Case(fault(520), retried="serverfault", text="A"),
    "529": Case(fault(529, "overloaded_error"), retried="ratelimit", text="A"),
    "out of quota": Case(documented_response("quota"), "open"),
    "context": Case(documented_response("overflow"), "context"),
    "the prompt is filtered": Case(documented_response("filtered"), "filter"),
    "disconnected before the first byte": Case(
        lambda protocol: Answer({}, cut=0), retried="disconnected", text="A"
    ),
    "disconnected within the body": Case(
        lambda protocol: Answer(json.dumps(protocol.completion(Completion("x" * 5000))).encode(), cut=100),
        retried="disconnected",
        text="A",
    ),
    "truncated JSON": Case(
        lambda protocol: Answer(json.dumps(protocol.completion(Completion("x" * 5000))).encode()[:100]),
        retried="badreply",
    ),
    "HTML with 200": Case(lambda protocol: Answer(b"<html>Sign in</html>"), retried="badreply"),
    "204": Case(lambda protocol: Answer(b"", 204), retried="badreply"),
    "200 without a body": Case(lambda protocol: Answer(b""), retried="badreply"),
    "an empty object": Case(only_fields(), retried="badreply"),
    "a response without a reply": Case(lambda protocol: Answer(protocol.no_reply), retried="badreply"),
    # --- how long to wait
    "Retry-After in seconds": Case(fault(429, Retry_After="7"), retried="ratelimit", wait_s=7.0),
    "Retry-After with its unit": Case(fault(429, Retry_After="7s"), retried="ratelimit", wait_s=7.0),
    "Retry-After as a date": Case(fault(429, Retry_After=LATER, Date=NOW), retried="ratelimit", wait_s=7.0),
    "Retry-After as a past date": Case(
        fault(503, Retry_After=NOW, Date=LATER), retried="ratelimit", wait_s=0.0
    ),
    "retry-after-ms": Case(fault(429, retry_after_ms="2500"), retried="ratelimit", wait_s=2.5),
    "x-ms-retry-after-ms": Case(fault(429, x_ms_retry_after_ms="250"), retried="ratelimit", wait_s=0.25),
    "x-ratelimit-reset-requests": Case(
        fault(429, x_ratelimit_reset_requests="1m2s"), retried="ratelimit", wait_s=62.0
    ),
    "the reset of the exhausted limit": Case(
        fault(
            429,
            x_ratelimit_reset_requests="1s",
            x_ratelimit_reset_tokens="9s",
            x_ratelimit_remaining_tokens="0",
        ),
        retried="ratelimit",
        wait_s=9.0,
    ),
    "anthropic-ratelimit-tokens-reset": Case(
        fault(429, anthropic_ratelimit_tokens_reset="2033-05-18T03:33:27Z", Date=NOW),
        retried="ratelimit",
        wait_s=7.0,
    ),
    "x-ratelimit-reset in milliseconds since the epoch": Case(
        fault(429, x_ratelimit_reset="2000000007000", Date=NOW), retried="ratelimit", wait_s=7.0
    ),
    "try again in 3.5s": Case(
        fault(429, "rate_limit_error", "Rate limit reached. Please try again in 3.5s."),
        retried="ratelimit",
        wait_s=3.5,
    ),
    "retry after 20 seconds": Case(
        fault(429, "rate_limit_error", "Please retry after 20 seconds."), retried="ratelimit", wait_s=20.0
    ),
    "try again in 200ms": Case(fault(429, "x", "try again in 200ms"), retried="ratelimit", wait_s=0.2),
    "an invalid Retry-After": Case(fault(429, Retry_After="soon"), retried="ratelimit"),
    "a wait of hours": Case(fault(429, Retry_After="36000"), "open"),
}


@pytest.fixture
async def load_model(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[str], Model]]:
    """Yield a function that returns an adapter's model on the test server."""
    models: list[Model] = []

    def load_model_of(adapter: str) -> Model:
        row = ADAPTERS[adapter]
        monkeypatch.setenv(row.key, KEY)
        monkeypatch.setenv(row.base or "UNUSED", server.base)
        rest = row.name if row.base else f"{server.base}#{row.name}"
        models.append(load.model(f"{adapter}:{rest}"))
        return models[-1]

    yield load_model_of
    for model in models:
        await model.close()


def recorded_case(line: dict[str, Any]) -> Case:
    """Return the case of a recorded response of a real server."""
    expected = EXPECTED[server_of(line), line["case"]]

    def answer(protocol: Protocol) -> Answer:
        return Answer(line["body"].encode(), line["status"])

    if not isinstance(expected, Reply):
        return Case(answer, expected.__name__.lower())
    # the runs of these tests do not switch thinking off
    if line["case"] == "thinking switched off" and "deepseek_r1" in line["server"]:
        return Case(answer, expected.stop, text="", reasoning=expected.text)
    return Case(answer, expected.stop, text=expected.text, reasoning=expected.reasoning)


RECORDED = {f"{line['server']}: {line['case']}": recorded_case(line) for line in CHAT}
CASES_BY_ADAPTER: dict[str, list[str]] = {
    adapter: [*CASES, *(RECORDED if adapter in ("server", "openai", "together") else ())]
    for adapter in ADAPTERS
}
"""The recorded responses of vLLM and llama.cpp are tested only with adapters that use their protocol."""


@pytest.mark.parametrize(
    "adapter",
    tiers(
        ADAPTERS,
        fast=lambda name: name in ("server", "anthropic", "google"),
        slow=lambda name: name in ("openai", "deepseek", "openrouter"),
    ),
)
async def test_each_response_has_the_expected_outcome_in_a_run(
    load_model: Callable[[str], Model],
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    adapter: str,
) -> None:
    monkeypatch.setenv("INTERN_PER_MINUTE", "1000000")

    @table(("number", "case"), list(enumerate(CASES_BY_ADAPTER[adapter])))
    async def check(number: int, case: str) -> None:
        server.calls.clear()
        await check_case(adapter, case, load_model(adapter), server, tmp_path / str(number), monkeypatch)

    await check()


async def check_case(
    adapter: str,
    case: str,
    model: Model,
    server: Server,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    retried: list[Exception | None] = []

    def no_wait(attempt: int, error: Exception | None = None) -> float:
        retried.append(error)
        return 0.0

    monkeypatch.setattr(callers, "wait_s", no_wait)
    protocol = ADAPTERS[adapter].protocol
    expected = {**CASES, **RECORDED}[case]
    good = Answer(protocol.completion(Completion("A")))
    server.answer = good
    server.first = [good, expected.make(protocol)]
    job = toy.job(folder, toy.suite(3))
    runner = Runner(model, [job], concurrency=1)
    await runner.run()
    records = {record.sample: record for record in Run(job.writer.path).records()}
    health = Health()
    for record in records.values():
        health.add(record)
    toy.close_job(job)

    assert [type(error).__name__.lower() for error in retried] == (
        [expected.retried] if expected.retried else []
    )
    if retried:
        assert getattr(retried[0], "retry_after_s", None) == pytest.approx(expected.wait_s, abs=1e-6)
    if expected.outcome == "open":
        assert "q001" not in records
        assert runner.end_reason.endswith("run the same command again to continue")
        return
    assert len(server.calls) == 3 + len(retried)
    assert set(records) == {"q000", "q001", "q002"}
    outcome = records["q001"].outcome
    if isinstance(outcome, Failure):
        assert (outcome.kind, outcome.attempts) == (expected.outcome, 1)
        return
    assert isinstance(outcome, Reply)
    assert (outcome.stop, outcome.attempts) == (expected.outcome, 1 + len(retried))
    if expected.text is not None:
        assert outcome.text == expected.text
    assert outcome.reasoning == expected.reasoning
    if expected.output_tokens != -1:
        assert outcome.usage.output == expected.output_tokens
    notes = health.finish_notes()
    assert len(notes) == bool(expected.note)
    assert expected.note in "".join(notes)


def test_there_are_at_least_60_cases() -> None:
    assert len(CASES) >= 60


# --- a server that warms up ---------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ["server", "anthropic", "google"])
async def test_a_run_waits_for_a_server_that_is_warming_up(
    load_model: Callable[[str], Model],
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    adapter: str,
) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.001)
    monkeypatch.setattr(backoff, "MAX_S", 0.01)
    protocol = ADAPTERS[adapter].protocol
    server.answer = Answer(protocol.completion(Completion("A")))
    server.first = [Answer(protocol.error(503, "x", "Loading model"), 503)] * 20
    messages: list[str] = []
    job = toy.job(tmp_path, toy.suite(2))
    runner = Runner(load_model(adapter), [job], concurrency=1, say=messages.append)
    await runner.run()
    toy.close_job(job)
    assert len(list(Run(job.writer.path).records())) == 2
    assert (runner.total_failure, len(messages)) == ("", 1)
    assert messages[0].startswith("waiting up to 60 s for the server: HTTP 503: Loading model")


async def test_a_run_stops_waiting_for_a_server_that_never_warms_up(
    load_model: Callable[[str], Model], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.001)
    monkeypatch.setattr(backoff, "MAX_S", 0.01)
    monkeypatch.setattr(callers, "WARM_UP_S", 0.2)
    server.answer = Answer({"error": {"message": "Loading model"}}, 503)
    job = toy.job(tmp_path, toy.suite(100))
    runner = Runner(load_model("server"), [job], concurrency=1)
    await runner.run()
    toy.close_job(job)
    failures = [record.outcome for record in Run(job.writer.path).records()]
    assert len(failures) == runners.MAX_SLOW_FAILURES
    assert runner.total_failure.startswith("HTTP 503: Loading model")
    assert runner.end_reason.startswith("every call fails")


async def test_a_wait_that_the_server_asks_for_may_exceed_the_warm_up_time(
    load_model: Callable[[str], Model], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "WARM_UP_S", 0.05)
    server.answer = Answer(protocols.openai_body(Completion("A")))
    server.first = [Answer({"error": {"message": "Loading"}}, 503, {"Retry-After": "0.3"})]
    job = toy.job(tmp_path, toy.suite(1))
    runner = Runner(load_model("server"), [job], concurrency=1)
    await runner.run()
    toy.close_job(job)
    assert len(server.calls) == 2
    assert runner.total_failure == ""


LOADING: list[tuple[int, Any, float | None]] = [
    (500, {"error": "Model is loading"}, None),
    (502, {"message": "the engine is starting"}, None),
    (404, {"error": "model not loaded yet"}, None),
    (425, {"detail": "warming up"}, None),
    (503, {"error": "Model m is currently loading", "estimated_time": 0.25}, 0.25),
    (200, {"error": {"message": "The model is loading, please wait"}}, None),
    (200, {"error": {"code": 503, "message": "Loading model"}}, None),
]


@pytest.mark.parametrize(("status", "body", "wait_s"), LOADING)
async def test_a_message_about_loading_is_a_rate_limit_whatever_its_status(
    load_model: Callable[[str], Model], server: Server, status: int, body: Any, wait_s: float | None
) -> None:
    server.answer = Answer(body, status)
    with pytest.raises(RateLimit) as caught:
        await load_model("server").reply(callers.PROBE_PROMPT, Sampling())
    assert caught.value.retry_after_s == wait_s


# --- fields that a server rejects ---------------------------------------------------------------------------

ALL_SETTINGS = Sampling(temperature=0.5, top_p=0.9, top_k=40, max_tokens=64, stop=("END",), seed=7)
REJECTIONS: dict[str, tuple[dict[str, Any], str, str]] = {
    "OpenAI": (
        {"message": "Unrecognized request argument supplied: seed", "type": "invalid_request_error"},
        "seed",
        "seed is not sent: the server rejects the field",
    ),
    "Azure": (
        {
            "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "param": "max_tokens",
            "code": "unsupported_parameter",
        },
        "max_tokens",
        "max_tokens is sent as max_completion_tokens: the server rejects the field",
    ),
    "a value": (
        {
            "message": "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) "
            "value is supported.",
            "param": "temperature",
            "code": "unsupported_value",
        },
        "temperature",
        "temperature is not sent: the server rejects the field",
    ),
    "stop": (
        {"message": "property 'stop' is unsupported"},
        "stop",
        "stop is not sent: the server rejects the field; stop sequences are applied by the harness",
    ),
    "top_k": (
        {"message": "unknown field `top_k`"},
        "top_k",
        "top_k is not sent: the server rejects the field",
    ),
}


@pytest.mark.parametrize("case", REJECTIONS)
async def test_a_field_that_the_server_rejects_by_name_is_omitted_from_then_on(
    load_model: Callable[[str], Model], server: Server, case: str
) -> None:
    error, field, note = REJECTIONS[case]
    server.answer = Answer(protocols.openai_body(Completion("A END and more")))
    server.first = [Answer({"error": error}, 400)]
    model: Any = load_model("server")
    for _ in range(2):
        reply = await model.reply(toy_prompt(), ALL_SETTINGS)
    assert reply.text == ("A " if field == "stop" else "A END and more")
    bodies = [call[2] for call in server.calls]
    assert [field in body for body in bodies] == [True, False, False]
    assert ("max_completion_tokens" in bodies[-1]) is (field == "max_tokens")
    assert len(bodies[0]) - len(bodies[-1]) == (field != "max_tokens")
    assert model.notes == [note]


async def test_the_rejected_field_is_found_in_messages_of_fastapi_and_google(
    load_model: Callable[[str], Model], server: Server
) -> None:
    server.answer = Answer(protocols.openai_body(Completion("A")))
    detail = [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]
    server.first = [Answer({"detail": detail}, 422)]
    model: Any = load_model("server")
    await model.reply(toy_prompt(), ALL_SETTINGS)
    assert model.notes == ["seed is not sent: the server rejects the field"]
    server.answer = Answer(protocols.google_body(Completion("A")))
    unknown = (
        "Invalid JSON payload received. Unknown name \"topK\" at 'generation_config': Cannot find field."
    )
    server.first = [Answer(protocols.google_error(400, "INVALID_ARGUMENT", unknown), 400)]
    model = load_model("google")
    await model.reply(toy_prompt(), ALL_SETTINGS)
    assert model.notes == ["topK is not sent: the server rejects the field"]
    assert "topK" not in server.calls[-1][2]["generationConfig"]


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens is too large: 99999. This model supports at most 16384 completion tokens",
        "temperature must be between 0 and 2",
        "At what temperature does it melt? " * 30 + "unknown",
        "no such thing",
    ],
    ids=["max_tokens", "temperature", "a quoted prompt", "no field"],
)
async def test_a_field_that_a_message_merely_mentions_is_still_sent(
    load_model: Callable[[str], Model], server: Server, message: str
) -> None:
    server.answer = Answer({"error": {"message": message}}, 400)
    model: Any = load_model("server")
    with raises(Rejected):
        await model.reply(toy_prompt(), ALL_SETTINGS)
    assert model.notes == []
    server.answer = Answer(protocols.openai_body(Completion("A")))
    await model.reply(toy_prompt(), ALL_SETTINGS)
    assert {"temperature", "top_k", "max_tokens", "stop", "seed"} <= set(server.calls[-1][2])


# --- base URLs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "path"),
    [
        ("", "/v1/chat/completions"),
        ("/", "/v1/chat/completions"),
        ("//", "/v1/chat/completions"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/chat/completions/", "/v1/chat/completions"),
        ("?api-version=2026-01-01", "/v1/chat/completions?api-version=2026-01-01"),
        ("/?api-version=2026-01-01", "/v1/chat/completions?api-version=2026-01-01"),
        ("/chat/completions?a=b", "/v1/chat/completions?a=b"),
    ],
)
async def test_base_urls_are_accepted_in_the_forms_that_users_write(
    load_model: Callable[[str], Model], server: Server, suffix: str, path: str
) -> None:
    server.answer = Answer(protocols.openai_body(Completion("A")))
    server.base += suffix
    await load_model("server").reply(toy_prompt(), Sampling())
    assert server.calls[0][0] == path


async def test_a_404_at_a_base_url_without_a_version_suggests_the_url_with_one(
    load_model: Callable[[str], Model], server: Server
) -> None:
    server.base = server.base.removesuffix("/v1")
    server.answer = Answer(b"Not Found", 404)
    with raises(Fatal):
        await load_model("server").reply(toy_prompt(), Sampling())


async def test_html_from_a_base_url_without_a_version_suggests_the_url_with_one(
    load_model: Callable[[str], Model], server: Server
) -> None:
    server.base = server.base.removesuffix("/v1")
    server.answer = Answer(b"<!DOCTYPE html><html></html>")
    with raises(BadReply):
        await load_model("server").reply(toy_prompt(), Sampling())


async def test_anthropic_s_base_url_may_contain_the_version(
    load_model: Callable[[str], Model], server: Server
) -> None:
    server.answer = Answer(protocols.anthropic_body(Completion("A")))
    for base in (server.base, server.base.removesuffix("/v1"), f"{server.base}/messages"):
        server.base = base
        await load_model("anthropic").reply(toy_prompt(), Sampling())
        assert server.calls[-1][0] == "/v1/messages"


def toy_prompt() -> Any:
    from evals.prompts import ask

    return ask("What is 2 + 2?")
