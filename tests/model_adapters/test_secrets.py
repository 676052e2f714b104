"""A marked key through every adapter, twenty faults each: it is in nothing that is written and nothing that is printed."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from evals.calls.secrets import Mask, environment_secret, url_secrets
from evals.errors import UsageError
from tests.support.command import evals, files_with
from tests.support.faults import CUT, HTML, TORN, Answer, FaultyServer
from tests.support.protocols import ADAPTERS, Completion, Protocol
from tests.support.sizes import tiers

MARK = "sk-m4rked/key+with=9x7"
"""With characters that JSON and URLs write otherwise."""
SPELLINGS = [MARK, MARK.replace("/", "\\/"), "sk-m4rked%2Fkey%2Bwith%3D9x7"]


def wire(body: Any, status: int = 200, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, raw, tuple(headers.items()))


def faults(protocol: Protocol) -> list[Answer]:
    """What servers send with the key in it, and what makes clients say what they sent."""

    def fault(status: int, message: str) -> Answer:
        return wire(protocol.error(status, "x", message), status)

    return [
        fault(400, f"bad request with {MARK}"),
        fault(401, f"Incorrect API key provided: {MARK}"),
        fault(403, f"{'x' * 480} {MARK}"),  # where messages are cut
        fault(404, f"no model for {MARK}"),
        fault(429, f"{MARK} is over its limit"),
        fault(500, f"Authorization: Bearer {MARK}"),
        fault(503, MARK),
        wire(f"x-api-key: {MARK}".encode(), 500),
        wire(f"{'y' * 190}{MARK}".encode(), 502),
        wire(f"no JSON but {MARK}".encode()),
        wire(f"<html>{MARK}</html>".encode()),
        wire(protocol.error(200, "x", f"key {MARK} has no quota")),
        wire({"error": {"code": 429, "message": MARK}}),
        wire(b"", 307, Location=f"http://127.0.0.1:1/{MARK}?key={MARK}"),
        wire(
            json.dumps(protocol.completion(Completion(f"your key is {MARK}", reasoning=f"hm, {MARK}")))
            .replace("/", "\\/")
            .encode()
        ),
        wire({**protocol.completion(Completion("A")), "model": MARK, "modelVersion": MARK}),
        wire(json.dumps(protocol.completion(Completion(MARK))).encode()[:-30] + MARK.encode()),
        HTML,
        TORN,
        CUT,
    ]


BY_PROTOCOL = tiers(
    ADAPTERS, fast=lambda name: name == "openai", slow=lambda name: name in ("anthropic", "google")
)
"""One adapter in the fast tests, and one of each other protocol in the slow ones."""


@pytest.mark.parametrize("adapter", BY_PROTOCOL)
def test_a_marked_key_is_nowhere(here: Path, monkeypatch: pytest.MonkeyPatch, adapter: str) -> None:
    row = ADAPTERS[adapter]
    answers = faults(row.protocol)
    assert len(answers) == 20
    monkeypatch.setattr("evals.calls.backoff.FIRST_S", 0.001)
    monkeypatch.setattr("evals.run.caller.WARM_UP_S", 0.01)
    monkeypatch.setenv("INTERN_PER_MINUTE", "1000000")
    monkeypatch.setenv(row.key, f"  {MARK}\n")  # as a secret's file has it
    for number, answer in enumerate(answers):
        with Anything(answer) as server:
            base = f"http://127.0.0.1:{server.port}/v1"
            monkeypatch.setenv(row.base or "UNUSED", base)
            rest = row.name if row.base else f"{base}#{row.name}"
            done = evals(
                "run", "mmlu-pro", "--sample", "--limit", 3, "-m", f"{adapter}:{rest}",
                "--run", f"n{number}", "--concurrency", 1,
            )  # fmt: skip
            assert server.keys, (number, done.err)
            assert all(MARK in key for key in server.keys)
        said = done.out + done.err
        assert not any(one in said for one in SPELLINGS), (number, said)
        assert "Traceback" not in said
    shown = evals("show", "--json")
    assert not any(one in shown.out + shown.err for one in SPELLINGS)
    assert files_with(here, [one.encode() for one in SPELLINGS]) == []


class Anything(FaultyServer):
    """Answers alike on every path, and keeps the keys that it was sent."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.keys: list[str] = []

    def answer(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        names = ("authorization", "x-api-key", "x-goog-api-key")
        self.keys += [value for name, value in headers.items() if name.lower() in names]
        return self.behave(None)


@pytest.mark.parametrize("value", ["sk-a\nb-g3heim", "sk-ü-g3heim", "sk a g3heim", "sk\x00g3heim"])
def test_a_key_that_cannot_be_sent_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr("os.environ", {"EVALS_SERVER_KEY": value})
    with pytest.raises(UsageError, match="EVALS_SERVER_KEY contains a space, a control character") as caught:
        environment_secret("EVALS_SERVER_KEY")
    assert "g3heim" not in "".join(traceback.format_exception(caught.value))


def test_a_password_in_a_url_is_a_secret_in_each_of_its_spellings() -> None:
    mask = Mask(url_secrets("http://anna:ge%2Fheim@host:3128/?sig=0123456789abcdef"))
    for said in ("ge%2Fheim", "ge/heim", "YW5uYTpnZS9oZWlt", "0123456789abcdef"):
        assert mask.text(f"failed: {said}!") == "failed: ***!"


def test_a_short_key_changes_no_reply() -> None:
    mask = Mask(["EMPTY"])
    assert mask.raw(b"The set is EMPTY.") == b"The set is EMPTY."
    assert mask.text("wrong key EMPTY") == "wrong key ***"


def test_a_header_of_the_users_is_sent_and_nowhere_kept(here: Path) -> None:
    from tests.support.faults import completion

    with FaultyServer(lambda call: completion(f"ANSWER: A, {call.headers.get('X-Team-Key')}")) as server:
        done = evals(
            "run", "mmlu-pro", "--sample", "-m", server.model, "--header", "X-Team-Key=TEAM_KEY",
            "--system", "Be brief.", "--extra-body", '{"top_k": 3, "chat_template_kwargs": {"x": 1}}', "--json",
            env={"TEAM_KEY": "team-m4rked-secret"},
        )  # fmt: skip
        call = server.calls[0]
    assert done.status == 0, done.err
    assert call.headers["X-Team-Key"] == "team-m4rked-secret"
    assert (call.body["top_k"], call.body["chat_template_kwargs"]) == (3, {"x": 1})
    assert call.body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert "header sent: X-Team-Key" in done.json["runs"][0]["notes"]
    assert "team-m4rked-secret" not in done.out + done.err
    assert files_with(here, [b"team-m4rked-secret"]) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--header", "X-Team"), "--header X-Team=...: write NAME=ENV_VARIABLE"),
        (("--header", "X-Team=NOT_SET"), "--header X-Team: the environment variable NOT_SET is not set"),
        (("--header", "Content-Length=HOME"), "Content-Length is set by the harness"),
        (("--extra-body", "{"), "--extra-body is not JSON"),
        (("--extra-body", "[1]"), "--extra-body must be a JSON object"),
        (("--extra-body", '{"messages": []}'), "messages is set by the harness"),
        (("--extra-body", '{"api_key": "x"}'), "api_key looks like a secret"),
        (("--extra-body", '{"a": {"b": [{"clientSecret": "x"}]}}'), "clientSecret looks like a secret"),
    ],
)
def test_an_option_that_is_none_is_refused(here: Path, words: tuple[str, ...], said: str) -> None:
    assert (
        said
        in evals("run", "mmlu-pro", "--sample", "-m", "server:http://127.0.0.1:9/v1#m", *words).error_line
    )


def test_a_model_that_makes_no_requests_takes_no_headers(here: Path) -> None:
    done = evals("run", "mmlu-pro", "--sample", "-m", "scripted:right", "--extra-body", '{"top_k": 3}')
    assert "--extra-body: scripted:right is not called over HTTP by this process" in done.error_line


@pytest.mark.parametrize("status", [407, 502])
async def test_the_password_of_a_proxy_is_in_no_message(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
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
    monkeypatch.setenv("OPENAI_API_KEY", MARK)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.invalid/v1")
    model = load.model("openai:o3")
    with pytest.raises(ModelError) as caught:
        await model.reply(ask("2 + 2?"), Sampling())
    await model.close()
    proxy.close()
    said = "".join(traceback.format_exception(caught.value))
    assert "g3heim" not in said.replace("pr%2Fxy-g3heim@127.0.0.1:{port}", "")
    assert MARK not in said


VARIABLES = (
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "EVALS_SERVER_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY",
    "GEMINI_API_KEY", "INTERN_API_KEY", "DEEPSEEK_API_KEY", "MOONSHOT_API_KEY", "OPENROUTER_API_KEY", "TOGETHER_API_KEY",
    "XAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "AZURE_CLIENT_SECRET", "WANDB_API_KEY", "TEAM_PASSWORD",
)  # fmt: skip


class Echo(FaultyServer):
    """Sends back all that it was sent, with a status: path, query and every header."""

    def __init__(self, status: int, make: Any) -> None:
        super().__init__(HTML)
        self.status, self.make = status, make
        self.sent: list[str] = []

    def answer(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        self.sent.append(f"{path} {headers}")
        return wire(self.make(self.sent[-1]), self.status, X_Echo="yes")


@pytest.mark.parametrize("adapter", BY_PROTOCOL)
def test_a_server_that_echoes_a_request_gives_no_secret_away(
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
    marks = [*secrets.values(), "canary-of-the-query-0123"]
    for number, (status, make) in enumerate(
        [
            (200, lambda sent: row.protocol.completion(Completion(f"You sent {sent}", reasoning=sent))),
            (200, lambda sent: row.protocol.error(200, "x", sent)),
            (400, lambda sent: row.protocol.error(400, "x", sent)),
            (401, lambda sent: row.protocol.error(401, "x", sent)),
            (429, lambda sent: row.protocol.error(429, "x", sent)),
            (500, lambda sent: row.protocol.error(500, "x", sent)),
            (502, lambda sent: sent.encode()),
        ]
    ):
        with Echo(status, make) as server:
            base = f"http://127.0.0.1:{server.port}/v1?{query}"
            monkeypatch.setenv(row.base or "UNUSED", base)
            rest = row.name if row.base else f"{base}#{row.name}"
            done = evals(
                "run", "mmlu-pro", "--sample", "--limit", 2, "-m", f"{adapter}:{rest}", "--run", f"n{number}",
                "--concurrency", 1, "--header", "X-Team=TEAM_PASSWORD",
            )  # fmt: skip
            assert any(
                secrets[row.key] in sent and secrets["TEAM_PASSWORD"] in sent for sent in server.sent
            ), done.err
        assert "Traceback" not in done.err
        assert [one for one in marks if one in done.out + done.err] == [], (status, done.err)
    assert files_with(here, [one.encode() for one in marks]) == []
