"""Variants that real servers use for finish reasons, requested waits, errors with status 200 and rejected fields."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from evals import load
from evals.errors import (
    BadReply,
    Fatal,
    OutOfQuota,
    RateLimit,
    Rejected,
    ServerFault,
    Timeout,
    UsageError,
    from_status,
)
from evals.model_adapters import anthropic, google
from evals.model_adapters.common.faults import error_in_200, parse_fault
from evals.model_adapters.common.finish import meaning
from evals.model_adapters.common.http import parse_base_url, suggest_base_url
from evals.model_adapters.common.rejected_fields import field_named_in
from evals.model_adapters.common.retry_after import requested_wait_s, wait_in_message_s
from evals.model_adapters.openai import parse
from evals.run.caller import PROBE_PROMPT
from evals.types import TOOL_CALLS, Sampling
from tests.support.error_messages import raises
from tests.support.loopback import Answer, Server
from tests.support.tables import table

REASONS = {
    "stop": "stop endTurn end_turn stopSequence EosToken STOPPED FINISHED_STOPPED stopped_eos stopped_word stop_reason_stop "
    "</s> <|im_end|> <|endoftext|> eot_id hit_eos end-of-sequence stop_string natural_end",
    "length": "maxTokens MAX_OUTPUT_TOKENS length_exceeded LENGTH_LIMIT_EXCEEDED out_of_tokens token-budget max_seq_len "
    "exceeded_max_tokens FinishReason.MAX_TOKENS FINISHED_LENGTH stopped_limit ERROR_LIMIT repetition context_limit "
    "max_len max_gen_toks num_predict budget_exhausted kv_cache_full ctx_full too_long limit_reached",
    "filter": "contentFilter CONTENT_FILTER content-filter moderation_blocked ContentFiltered PROHIBITED_CONTENT ERROR_TOXIC "
    "unsafe harmful jailbreak responsibleAI declined risk_control",
    "tools": "toolCalls tool_use function_call tool mcp_call",
    "abort": "USER_CANCEL server_shutdown client_abort request_aborted aborted_by_user FINISHED_ABORTED cancelled deadline "
    "connection_closed stream_closed terminated expired max_time in_progress queued",
    "error": "model_error engine_dead OOM out_of_memory crash MALFORMED_RESPONSE "
    "gpu_oom worker_died nan rate_limit_reached quota overloaded",
    None: "odd pause_turn FINISH_REASON_UNSPECIFIED unfinished",
}


@table(
    ("reason", "expected"),
    [(reason, expected) for expected, words in REASONS.items() for reason in words.split()],
)
def test_variants_of_a_finish_reason_have_the_same_meaning(reason: str, expected: str | None) -> None:
    assert meaning(reason) == expected


NOW = 2_000_000_000.0
HEADERS = [
    ("retry-after", " 7 ", 7.0),
    ("retry-after", "7 seconds", 7.0),
    ("retry-after", "+7", 7.0),
    ("retry-after", "7, 7", 7.0),
    ("retry-after", "Wednesday, 18-May-33 03:33:27 GMT", 7.0),
    ("retry-after", "Wed May 18 03:33:27 2033", 7.0),
    ("retry-after", "2033-05-18T03:33:27Z", 7.0),
    ("retry-after", "1m30s", 90.0),
    ("x-retry-after", "7", 7.0),
    ("x-ms-retry-after", "7", 7.0),
    ("retry-after-ms", "2500.5", 2.5005),
    ("x-rate-limit-reset", "7", 7.0),
    ("x-ratelimit-reset-after", "7", 7.0),
    ("x-ratelimit-requests-reset", "7s", 7.0),
    ("ratelimit", "limit=10, remaining=0, reset=7", 7.0),
    ("ratelimit", '"default";r=0;t=7', 7.0),
    *[("retry-after", invalid, None) for invalid in ("-1", "inf", "nan", "1e1", "9" * 30, "soon", "2,5", "")],
]


@table(("name", "value", "expected"), HEADERS)
def test_the_requested_wait_is_read_from_headers(name: str, value: str, expected: float | None) -> None:
    assert requested_wait_s({name: value}, now=NOW) == expected


@table(
    ("message", "expected"),
    [
        ("Please retry in 36.06s.", 36.06),
        ("Please wait 5 seconds before trying", 5.0),
        ("try again in 1m30s", 90.0),
        ("Please try again in 1h2m3.5s", 3723.5),
        ("try again in 1 minute and 30 seconds", 90.0),
        ("try again in approximately 5 seconds", 5.0),
        ("try again in ~5s", 5.0),
        ("retry your request after 5 seconds", 5.0),
        ("retry_after=5", 5.0),
        ("retry-after: 7", 7.0),
        ("Retry after 2026-11-29", None),
        ("the model has 30 seconds of audio", None),
    ],
)
def test_the_requested_wait_is_read_from_messages(message: str, expected: float | None) -> None:
    assert wait_in_message_s(message) == expected


@table(
    ("body", "expected"),
    [
        ({"error": "Insufficient credits"}, OutOfQuota),
        ({"error": {"code": "payment_required"}}, OutOfQuota),
        ({"error": {"type": "insufficient_funds", "message": "x"}}, OutOfQuota),
        ({"error": {"code": "insufficient_user_quota", "message": "x"}}, OutOfQuota),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, OutOfQuota),
        ({"error": {"message": "You exceeded your current quota"}}, RateLimit),
        ({"error": {"code": 429.0, "message": "x"}}, RateLimit),
        ({"error": {"code": "429 Too Many Requests"}}, RateLimit),
        ({"errors": [{"code": 429, "message": "slow"}]}, RateLimit),
        ({"error": [{"code": 429, "message": "slow"}]}, RateLimit),
        ({"error": {"error": {"code": 429, "message": "x"}}}, RateLimit),
        ({"error": {"message": '{"error": {"code": 429}}'}}, RateLimit),
        ({"error": {"message": "Provider returned error", "metadata": {"code": 429}}}, RateLimit),
        ({"error": {"message": "Error code: 429 - slow"}}, RateLimit),
        ({"error": {"message": "litellm.RateLimitError: x", "code": None, "type": "None"}}, RateLimit),
        ({"error": {"code": "ThrottlingException"}}, RateLimit),
        ({"error": {"type": "TooManyRequestsError"}}, RateLimit),
        ({"error": {"code": "ServiceUnavailable"}}, RateLimit),
        ({"success": False, "code": 503, "message": "busy"}, RateLimit),
        ({"error": {"code": "InternalServerError"}}, ServerFault),
        ({"error": {"http_code": "502"}}, ServerFault),
        ({"error": {"code": "request_timeout"}}, Timeout),
        ({"error": {"code": 401, "message": "key"}}, Fatal),
        ({"error": {"message": "out of memory"}}, BadReply),
        ({"error": True, "message": "who knows"}, BadReply),
    ],
)
def test_an_error_with_status_200_is_classified(body: dict[str, Any], expected: type[Exception]) -> None:
    error = error_in_200(json.dumps(body).encode(), "the server", description="without choices")
    assert type(error) is expected


def completion_with(**fields: Any) -> dict[str, Any]:
    """Return a chat completion whose choice and body have further fields."""
    choice = {"message": {"content": ""}, "finish_reason": "stop"}
    return {"choices": [{**choice, **fields.pop("choice", {})}], **fields}


ERROR_FIELDS = [
    {"errors": [{"code": 429, "message": "slow"}]},
    {"object": "error", "message": "slow", "code": 429},
    {"success": False, "message": "slow", "code": 429},
    {"status": 429, "message": "Too many requests"},
    {"status": "failed", "message": "Too many requests"},
    {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}},
    {"choice": {"message": {"content": "", "error": {"code": 429, "message": "slow"}}}},
    {"choice": {"error": {"code": "rate_limit_exceeded"}, "finish_reason": "error"}},
    {"choice": {"finish_reason": "error"}, "error": {"code": 429, "message": "slow"}},
]


@pytest.mark.parametrize("fields", ERROR_FIELDS, ids=str)
def test_an_error_next_to_an_empty_reply_is_raised(fields: dict[str, Any]) -> None:
    with pytest.raises(RateLimit):
        parse(json.dumps(completion_with(**fields)).encode(), seconds=0.0, display_url="the server")


@pytest.mark.parametrize(
    "parse_reply", [google.parse, anthropic.parse], ids=lambda parse_reply: str(parse_reply.__module__)
)
@pytest.mark.parametrize(
    "body",
    [[{"error": {"code": 429, "message": "slow"}}], {"type": "error", "code": 429, "message": "slow"}],
    ids=str,
)
def test_an_error_with_status_200_is_raised_in_other_protocols(parse_reply: Any, body: Any) -> None:
    with pytest.raises(RateLimit):
        parse_reply(json.dumps(body).encode(), seconds=0.0, display_url="the server")


ACCEPTED: list[tuple[str, str, str, str | None]] = [
    ('{"content": "A"}', ', "usage": {"completion_tokens": NaN}', "A", None),
    ('{"content": "A"}', ', "usage": {"completion_tokens": -Infinity}', "A", None),
    ('{"content": "A\nB"}', "", "A\nB", None),
    ('{"content": "A", "error": null}', ', "error": {"message": null, "code": null}', "A", None),
    ('{"content": "A"}', ', "error": "None", "errors": [], "base_resp": {"status_code": 0}', "A", None),
    ('{"content": "A"}', ', "status": "completed", "code": 200, "success": true', "A", None),
    ('"A"', "", "A", None),
    ('{"content": {"answer": "A"}}', "", '{"answer": "A"}', None),
    ('{"content": "A", "thinking_content": "2 and 2"}', "", "A", "2 and 2"),
    ('{"content": "A", "reasoningContent": "2 and 2"}', "", "A", "2 and 2"),
    ('{"content": "A", "chain_of_thought": "2 and 2"}', "", "A", "2 and 2"),
    ('{"content": "A", "reasoning_effort": "high", "thought": {"text": "2 and 2"}}', "", "A", "2 and 2"),
    ('{"content": [{"type": "think", "think": "2 and 2"}, {"text": "A"}]}', "", "A", "2 and 2"),
    ('{"content": [{"type": "redacted_thinking", "data": "x"}, "A"]}', "", "A", None),
    (
        '{"content": [{"type": "mcp_tool_result", "content": [{"type": "text", "text": "B"}]}, {"type": "text", "text": "A"}]}',
        "",
        "A",
        None,
    ),
]
"""Message as JSON, text of the body after the choices, expected text, expected reasoning."""


@table(("message", "other_fields", "text", "reasoning"), ACCEPTED)
def test_a_reply_is_accepted_with_unusual_fields_next_to_it(
    message: str, other_fields: str, text: str, reasoning: str | None
) -> None:
    raw = f'{{"choices": [{{"finish_reason": "stop", "message": {message}}}]{other_fields}}}'
    reply = parse(raw.encode(), seconds=0.0, display_url="the server")
    assert (reply.text, reply.reasoning, reply.stop, reply.finish) == (text, reasoning, "stop", "")


CALL = {"name": "search", "arguments": "{}"}


@pytest.mark.parametrize(
    ("parse_reply", "body"),
    [
        (parse, completion_with(choice={"message": {"content": None, "tool_calls": [CALL]}})),
        (parse, completion_with(choice={"message": {"content": None, "function_call": CALL}})),
        (
            google.parse,
            {"candidates": [{"content": {"parts": [{"functionCall": CALL}]}, "finishReason": "STOP"}]},
        ),
        (anthropic.parse, {"content": [{"type": "tool_use", **CALL}], "stop_reason": "end_turn"}),
    ],
)
def test_a_tool_call_with_a_normal_finish_reason_is_marked_as_a_tool_call(
    parse_reply: Any, body: dict[str, Any]
) -> None:
    reply = parse_reply(json.dumps(body).encode(), seconds=0.0, display_url="the server")
    assert (reply.text, reply.stop, reply.finish) == ("", "stop", TOOL_CALLS)


SENT = {
    "model": "m",
    "temperature": 0,
    "top_p": 1,
    "top_k": 5,
    "max_tokens": 10,
    "seed": 1,
    "stop": ["x"],
    "min_p": 0.1,
}
REJECTIONS: list[tuple[str | None, int, Any]] = [
    ("temperature", 400, "`temperature` and `top_p` cannot both be specified for this model."),
    ("temperature", 400, "invalid temperature: only 1 is allowed for this model"),
    ("temperature", 400, "temperature must be 1 for this model"),
    ("seed", 422, "Input validation error: `seed` is not a recognized field"),
    ("seed", 400, "#: extraneous key [seed] is not permitted"),
    ("seed", 400, "openai does not support parameters: ['seed'], for model=m"),
    ("seed", 400, "The model doesn't support seed"),
    ("seed", 400, "No support for seed"),
    ("seed", 400, "illegal parameter seed"),
    ("seed", 400, "'seed' : property not in schema"),
    (
        "seed",
        500,
        "1 validation error for Request seed Extra inputs are not permitted [type=extra_forbidden]",
    ),
    ("seed", 500, "create() got an unexpected keyword argument 'seed'"),
    ("max_tokens", 400, "this model requires max_completion_tokens rather than max_tokens"),
    ("top_k", 400, {"message": "Bad request", "param": "top_k", "code": "unknown_parameter"}),
    (None, 400, "temperature must be between 0 and 2"),
    (None, 400, "temperature must be 1 or less"),
    (
        None,
        400,
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
    ),
    (
        None,
        400,
        "Invalid 'max_tokens': integer above maximum value. Expected a value <= 9, but got 10 instead.",
    ),
    (None, 400, "The value of temperature is not valid: it must be between 0 and 2"),
    (None, 400, "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens"),
    (None, 400, "Invalid value for 'seed': must be an integer"),
    (None, 500, "the seed server is gone"),
]


@table(("field", "status", "error"), REJECTIONS)
def test_the_rejected_field_is_found_in_the_message(field: str | None, status: int, error: Any) -> None:
    body = {"error": error if isinstance(error, dict) else {"message": error}}
    fault = parse_fault(json.dumps(body).encode())
    rejection = from_status(status, fault.message, codes=fault.codes, param=fault.param)
    assert isinstance(rejection, Rejected | ServerFault)
    assert field_named_in(rejection, SENT, {}) == field


DIGITS = "9" * 5000


async def test_a_field_that_is_rejected_with_status_200_is_omitted_from_then_on(server: Server) -> None:
    rejection = Answer({"error": {"message": "unknown parameter: seed", "code": 400}})
    server.first = [rejection]
    server.answer = Answer({"choices": [{"message": {"content": "A"}, "finish_reason": "stop"}]})
    model = load.model(f"server:{server.base}#m")
    replies = [await model.reply(PROBE_PROMPT, Sampling(seed=7)) for _ in range(2)]
    assert [reply.text for reply in replies] == ["A", "A"]
    assert ["seed" in body for _, _, body in server.calls] == [True, False, False]
    await model.close()


async def test_a_query_of_5000_digits_is_sent_and_not_shown(server: Server) -> None:
    choice = {"message": {"content": "A"}, "finish_reason": "stop"}
    server.answer = Answer({"choices": [choice]})
    model = load.model(f"server:{server.base}/chat/completions?api-version={DIGITS}#m")
    assert (await model.reply(PROBE_PROMPT, Sampling())).text == "A"
    assert server.calls[-1][0] == f"/v1/chat/completions?api-version={DIGITS}"
    server.answer = Answer({"error": {"message": "no"}}, 400)
    with raises(Rejected) as caught:
        await model.reply(PROBE_PROMPT, Sampling())
    assert DIGITS not in str(caught.value)
    await model.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://gpu7:8000", "http://gpu7:8000/v1"),
        ("http://gpu7:8000/v1/v1", "http://gpu7:8000/v1"),
        ("http://gpu7:8000/V1", "http://gpu7:8000/v1"),
        ("http://gpu7:8000/v1/other", "http://gpu7:8000/v1"),
        ("http://gpu7:8000/v1", ""),
        ("https://api.example/api/paas/v4", ""),
        ("https://x.example/openai/deployments/gpt", ""),
    ],
)
def test_a_base_url_with_v1_is_suggested(url: str, expected: str) -> None:
    assert suggest_base_url(url) == expected


@pytest.mark.parametrize("ending", ["", "/", "//", "/chat/completions", "/chat", "/models", "/completions/"])
def test_the_path_of_an_endpoint_is_removed_from_the_base_url(ending: str) -> None:
    assert parse_base_url(f"http://gpu7:8000/v1{ending}").join("/models") == "http://gpu7:8000/v1/models"


async def test_https_for_a_server_without_tls_suggests_http(server: Server) -> None:
    spec = f"server:{server.base.replace('http:', 'https:')}"
    with raises(UsageError):
        await asyncio.to_thread(load.model, spec)
    model = load.model(f"{spec}#m")
    with raises(Fatal):
        await model.reply(PROBE_PROMPT, Sampling())
    await model.close()


def test_a_server_that_loads_its_model_is_not_waited_for_without_end() -> None:
    loading = from_status(500, "model m is currently loading", retry_after_s=1e8)
    assert isinstance(loading, RateLimit)
    assert loading.retry_after_s == 1800.0
