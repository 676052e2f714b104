"""Recorded responses of real servers to the adapter's requests: `cases/recorded.jsonl`, made by `record_servers.py`."""

from __future__ import annotations

import json
import re
from typing import Any

from evals import load
from evals.errors import Context, Fatal, ModelError, Rejected
from evals.prompts import ask
from evals.types import Reply, Sampling, Usage
from tests.support.error_messages import raises
from tests.support.loopback import Answer, Server
from tests.support.paths import TESTS
from tests.support.tables import table

LINES = list(map(json.loads, (TESTS / "cases" / "recorded.jsonl").read_text("utf-8").splitlines()))
R1, QWEN3 = "--reasoning-parser deepseek_r1", "--reasoning-parser qwen3"
"""The reasoning parsers for Intern-S1-Pro and Intern-S2-Preview."""
EXPECTED: dict[tuple[str, str], Reply | type[ModelError]] = {
    ("vLLM", "stop"): Reply(text="4"),
    ("vLLM", "think"): Reply(text="4", reasoning="2 and 2"),
    ("vLLM", "length"): Reply(text="The", stop="length"),
    ("vLLM", "half an emoji"): Reply(text="", stop="length"),
    ("vLLM", "overflow"): Context,
    ("vLLM", "no such value"): Rejected,
    ("vLLM", "no such model"): Fatal,
    (f"vLLM {R1}", "think"): Reply(text="4", reasoning="2 and 2"),
    (f"vLLM {R1}", "think, as the template has opened it"): Reply(text="4", reasoning="2 and 2"),
    (f"vLLM {R1}", "cut while reasoning"): Reply(text="", reasoning="2 and 2", stop="length"),
    (f"vLLM {R1}", "thinking switched off"): Reply(text="4"),
    (f"vLLM {QWEN3}", "think"): Reply(text="4", reasoning="2 and 2"),
    (f"vLLM {QWEN3}", "think, as the template has opened it"): Reply(text="4", reasoning="2 and 2"),
    (f"vLLM {QWEN3}", "cut while reasoning"): Reply(text="", reasoning="2 and 2", stop="length"),
    (f"vLLM {QWEN3}", "thinking switched off"): Reply(text="4"),
    ("llama.cpp", "stop"): Reply(text="4"),
    ("llama.cpp", "think"): Reply(text="4", reasoning="2 and 2"),
    ("llama.cpp", "length"): Reply(text="The answer", stop="length"),
    ("llama.cpp", "half an emoji"): Reply(text="\ufffd", stop="length"),
    ("llama.cpp", "overflow"): Context,
    ("llama.cpp", "no such value"): Rejected,
    # llama.cpp serves one model under any name
    ("llama.cpp", "no such model"): Reply(text="The", stop="length"),
}
CHAT = [line for line in LINES if line["case"] != "echo"]


def server_of(line: dict[str, Any]) -> str:
    """Return the server's name and options, without its version."""
    return re.sub(r" \d[\d.]*", "", line["server"])


def test_every_recording_has_an_expected_reply() -> None:
    assert {(server_of(line), line["case"]) for line in CHAT} == set(EXPECTED)


@table("line", CHAT, ids=lambda line: f"{line['server']}: {line['case']}")
async def test_a_recorded_response_becomes_a_reply_or_an_error(server: Server, line: dict[str, Any]) -> None:
    server.answer = Answer(line["body"].encode(), line["status"])
    expected = EXPECTED[server_of(line), line["case"]]
    sampling = Sampling(thinking=False if line["case"] == "thinking switched off" else None)
    model = load.model(f"server:{server.base}#m")
    try:
        if not isinstance(expected, Reply):
            with raises(expected) as caught:
                await model.reply(ask("What is 2 + 2?"), sampling)
            assert type(caught.value) is expected
            assert "\n" not in str(caught.value)
            return
        reply = await model.reply(ask("What is 2 + 2?"), sampling)
    finally:
        await model.close()
    assert (reply.text, reply.stop) == (expected.text, expected.stop)
    assert reply.reasoning == expected.reasoning
    usage = json.loads(line["body"])["usage"]
    assert (reply.usage.input, reply.usage.output) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert reply.usage.reasoning == (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    assert reply.usage != Usage()
