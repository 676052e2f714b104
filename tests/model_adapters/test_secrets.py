"""Keys and other secrets are in nothing that is written or printed, with every adapter and every kind of fault."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from evals import load
from evals.calls.secrets import Mask, environment_secret, url_secrets
from evals.errors import UsageError
from evals.types import Message, Prompt, Sampling
from tests.support.command import evals, files_with
from tests.support.error_messages import raises
from tests.support.faults import CLOSED_CONNECTION, HTML, TRUNCATED_JSON, Answer, FaultyServer, completion
from tests.support.protocols import ADAPTERS, Completion, Protocol
from tests.support.sizes import tiers

KEY = "sk-m4rked/key+with=9x7"
"""A key with characters that JSON and URLs escape."""
KEY_ENCODINGS = [KEY, KEY.replace("/", "\\/"), "sk-m4rked%2Fkey%2Bwith%3D9x7"]


def response(body: Any, status: int = 200, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, raw, tuple(headers.items()))


def faults(protocol: Protocol) -> list[Answer]:
    """Return responses that contain the key, and faults whose messages might contain the request."""

    def fault(status: int, message: str) -> Answer:
        return response(protocol.error(status, "x", message), status)

    return [
        fault(400, f"bad request with {KEY}"),
        fault(401, f"Incorrect API key provided: {KEY}"),
        fault(403, f"{'x' * 480} {KEY}"),  # the key is where the message is truncated
        fault(404, f"no model for {KEY}"),
        fault(429, f"{KEY} is over its limit"),
        fault(500, f"Authorization: Bearer {KEY}"),
        fault(503, KEY),
        response(f"x-api-key: {KEY}".encode(), 500),
        response(f"{'y' * 190}{KEY}".encode(), 502),
        response(f"no JSON but {KEY}".encode()),
        response(f"<html>{KEY}</html>".encode()),
        response(protocol.error(200, "x", f"key {KEY} has no quota")),
        response({"error": {"code": 429, "message": KEY}}),
        response(b"", 307, Location=f"http://127.0.0.1:1/{KEY}?key={KEY}"),
        response(
            json.dumps(protocol.completion(Completion(f"your key is {KEY}", reasoning=f"hm, {KEY}")))
            .replace("/", "\\/")
            .encode()
        ),
        response({**protocol.completion(Completion("A")), "model": KEY, "modelVersion": KEY}),
        response(json.dumps(protocol.completion(Completion(KEY))).encode()[:-30] + KEY.encode()),
        HTML,
        TRUNCATED_JSON,
        CLOSED_CONNECTION,
    ]


ADAPTER_TIERS = tiers(
    ADAPTERS, fast=lambda name: name == "openai", slow=lambda name: name in ("anthropic", "google")
)
"""One adapter in the fast tests, one for each other protocol in the slow tests, and all others in the nightly."""


@pytest.mark.parametrize("adapter", ADAPTER_TIERS)
def test_the_key_is_neither_printed_nor_written(
    here: Path, monkeypatch: pytest.MonkeyPatch, adapter: str
) -> None:
    row = ADAPTERS[adapter]
    answers = faults(row.protocol)
    assert len(answers) == 20
    monkeypatch.setattr("evals.calls.backoff.FIRST_S", 0.001)
    monkeypatch.setattr("evals.run.caller.WARM_UP_S", 0.01)
    monkeypatch.setenv("INTERN_PER_MINUTE", "1000000")
    monkeypatch.setenv(row.key, f"  {KEY}\n")  # with white space, as from a file
    for number, answer in enumerate(answers):
        with KeyRecorder(answer) as server:
            base = f"http://127.0.0.1:{server.port}/v1"
            monkeypatch.setenv(row.base or "UNUSED", base)
            rest = row.name if row.base else f"{base}#{row.name}"
            outcome = evals(
                "run", "mmlu-pro", "--sample", "--limit", 3, "-m", f"{adapter}:{rest}",
                "--run", f"n{number}", "--concurrency", 1,
            )  # fmt: skip
            assert server.keys, (number, outcome.err)
            assert all(KEY in key for key in server.keys)
        output = outcome.out + outcome.err
        assert not any(encoding in output for encoding in KEY_ENCODINGS), (number, output)
        assert "Traceback" not in output
    shown = evals("show", "--json")
    assert not any(encoding in shown.out + shown.err for encoding in KEY_ENCODINGS)
    assert files_with(here, [encoding.encode() for encoding in KEY_ENCODINGS]) == []


class KeyRecorder(FaultyServer):
    """A server that gives the same response on every path, and records the keys in the requests."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.keys: list[str] = []

    def answer(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        names = ("authorization", "x-api-key", "x-goog-api-key")
        self.keys += [value for name, value in headers.items() if name.lower() in names]
        return self.behave(None)


@pytest.mark.parametrize("value", ["sk-a\nb-g3heim", "sk-ü-g3heim", "sk a g3heim", "sk\x00g3heim"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr("os.environ", {"EVALS_SERVER_KEY": value})
    with raises(UsageError) as caught:
        environment_secret("EVALS_SERVER_KEY")
    assert "g3heim" not in "".join(traceback.format_exception(caught.value))


def test_a_password_in_a_url_is_masked_in_each_of_its_encodings() -> None:
    mask = Mask(url_secrets("http://anna:ge%2Fheim@host:3128/?sig=0123456789abcdef"))
    for secret in ("ge%2Fheim", "ge/heim", "YW5uYTpnZS9oZWlt", "0123456789abcdef"):
        assert mask.text(f"failed: {secret}!") == "failed: ***!"


def test_a_short_key_is_masked_in_messages_and_not_in_replies() -> None:
    mask = Mask(["EMPTY"])
    assert mask.raw(b"The set is EMPTY.") == b"The set is EMPTY."
    assert mask.text("wrong key EMPTY") == "wrong key ***"


async def test_a_word_of_a_header_that_is_no_key_is_left_in_replies() -> None:
    with FaultyServer(completion("By thermodynamics, B. Token: m4rked-secret-0")) as server:
        model = load.model(server.model)
        model.add_headers({"X-Title": "Board of thermodynamics", "Authorization": "Bearer m4rked-secret-0"})
        reply = await model.reply(Prompt(messages=(Message.user("?"),)), Sampling())
        await model.close()
    assert reply.text == "By thermodynamics, B. Token: ***"


def test_a_user_s_header_is_sent_and_its_value_is_not_stored(here: Path) -> None:
    with FaultyServer(lambda call: completion(f"ANSWER: A, {call.headers.get('X-Team-Key')}")) as server:
        outcome = evals(
            "run", "mmlu-pro", "--sample", "-m", server.model, "--header", "X-Team-Key=TEAM_KEY",
            "--system", "Be brief.", "--extra-body", '{"top_k": 3, "chat_template_kwargs": {"x": 1}}', "--json",
            env={"TEAM_KEY": "team-m4rked-secret"},
        )  # fmt: skip
        call = server.calls[0]
    assert outcome.status == 0, outcome.err
    assert call.headers["X-Team-Key"] == "team-m4rked-secret"
    assert (call.body["top_k"], call.body["chat_template_kwargs"]) == (3, {"x": 1})
    assert call.body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert "header sent: X-Team-Key" in outcome.json["runs"][0]["notes"]
    assert "team-m4rked-secret" not in outcome.out + outcome.err
    assert files_with(here, [b"team-m4rked-secret"]) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--header", "X-Team"),
        ("--header", "X-Team=NOT_SET"),
        ("--header", "Content-Length=HOME"),
        ("--extra-body", "{"),
        ("--extra-body", "[1]"),
        ("--extra-body", '{"messages": []}'),
        ("--extra-body", '{"api_key": "x"}'),
        ("--extra-body", '{"a": {"b": [{"clientSecret": "x"}]}}'),
    ],
    ids=" ".join,
)
def test_invalid_headers_and_extra_bodies_are_refused(here: Path, arguments: tuple[str, ...]) -> None:
    evals(
        "run", "mmlu-pro", "--sample", "-m", "server:http://127.0.0.1:9/v1#m", *arguments
    ).assert_usage_error()


def test_an_extra_body_is_refused_for_a_model_that_makes_no_requests(here: Path) -> None:
    outcome = evals("run", "mmlu-pro", "--sample", "-m", "scripted:right", "--extra-body", '{"top_k": 3}')
    outcome.assert_usage_error()


@pytest.mark.parametrize("status", [407, 502])
async def test_no_message_contains_the_password_of_a_proxy(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    import asyncio

    from evals import load
    from evals.errors import ModelError
    from evals.prompts import ask
    from evals.types import Sampling

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    proxy = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    monkeypatch.setenv("https_proxy", f"http://anna:pr%2Fxy-g3heim@127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.invalid/v1")
    model = load.model("openai:o3")
    with pytest.raises(ModelError) as caught:
        await model.reply(ask("2 + 2?"), Sampling())
    await model.close()
    proxy.close()
    traceback_text = "".join(traceback.format_exception(caught.value))
    assert "g3heim" not in traceback_text
    assert KEY not in traceback_text


VARIABLES = (
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "EVALS_SERVER_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY",
    "GEMINI_API_KEY", "INTERN_API_KEY", "DEEPSEEK_API_KEY", "MOONSHOT_API_KEY", "OPENROUTER_API_KEY", "TOGETHER_API_KEY",
    "XAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "AZURE_CLIENT_SECRET", "WANDB_API_KEY", "TEAM_PASSWORD",
)  # fmt: skip


class Echo(FaultyServer):
    """A server whose responses contain the request: its path, query and headers."""

    def __init__(self, status: int, make_body: Any) -> None:
        super().__init__(HTML)
        self.status, self.make_body = status, make_body
        self.requests: list[str] = []

    def answer(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        self.requests.append(f"{path} {headers}")
        return response(self.make_body(self.requests[-1]), self.status, X_Echo="yes")


@pytest.mark.parametrize("adapter", ADAPTER_TIERS)
def test_no_secret_is_printed_or_written_if_the_server_echoes_the_request(
    here: Path, monkeypatch: pytest.MonkeyPatch, adapter: str
) -> None:
    row = ADAPTERS[adapter]
    secrets = {name: f"sk-canary-{number:02}-of-{name.lower()}" for number, name in enumerate(VARIABLES)}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("evals.calls.backoff.FIRST_S", 0.001)
    monkeypatch.setattr("evals.run.caller.WARM_UP_S", 0.01)
    monkeypatch.setenv("INTERN_PER_MINUTE", "1000000")
    query = "sig=canary-of-the-query-0123"
    secret_values = [*secrets.values(), "canary-of-the-query-0123"]
    for number, (status, make_body) in enumerate(
        [
            (
                200,
                lambda request: row.protocol.completion(Completion(f"You sent {request}", reasoning=request)),
            ),
            (200, lambda request: row.protocol.error(200, "x", request)),
            (400, lambda request: row.protocol.error(400, "x", request)),
            (401, lambda request: row.protocol.error(401, "x", request)),
            (429, lambda request: row.protocol.error(429, "x", request)),
            (500, lambda request: row.protocol.error(500, "x", request)),
            (502, lambda request: request.encode()),
        ]
    ):
        with Echo(status, make_body) as server:
            base = f"http://127.0.0.1:{server.port}/v1?{query}"
            monkeypatch.setenv(row.base or "UNUSED", base)
            rest = row.name if row.base else f"{base}#{row.name}"
            outcome = evals(
                "run", "mmlu-pro", "--sample", "--limit", 2, "-m", f"{adapter}:{rest}", "--run", f"n{number}",
                "--concurrency", 1, "--header", "X-Team=TEAM_PASSWORD",
            )  # fmt: skip
            assert any(
                secrets[row.key] in request and secrets["TEAM_PASSWORD"] in request
                for request in server.requests
            ), outcome.err
        assert "Traceback" not in outcome.err
        assert [value for value in secret_values if value in outcome.out + outcome.err] == [], (
            status,
            outcome.err,
        )
    assert files_with(here, [value.encode() for value in secret_values]) == []
