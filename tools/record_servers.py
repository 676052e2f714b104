"""Record a real server's responses to a few requests, byte for byte, as fixtures: `tests/cases/recorded.jsonl`.

    python -m tools.record_servers "vLLM 0.32.0" http://127.0.0.1:8000/v1 NAME
    python -m tools.record_servers "vLLM 0.32.0 --reasoning-parser qwen3" http://127.0.0.1:8001/v1 NAME
    python -m tools.record_servers "llama.cpp"            (the embedded model's own HTTP server, started here)

A line contains a request and its response: {server, case, path, request, status, body}. Lines of the same server are
replaced. Structured outputs (vLLM) or a grammar (llama.cpp) force the desired reply, whatever the model. With a reasoning
parser, start vLLM with `--structured-outputs-config.enable_in_reasoning true`, so that this applies from the first token.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).resolve().parent.parent / "tests" / "cases" / "recorded.jsonl"
_MODEL_PATH = re.compile(r'"/[^"]*/([^/"]+\.gguf)"')
"""The path of a model file, which llama.cpp returns as the model's name."""
CHAT, COMPLETIONS = "/chat/completions", "/completions"
QUESTION = {"messages": [{"role": "user", "content": "What is 2 + 2?"}], "temperature": 0.0}


def forced_reply(text: str) -> dict[str, Any]:
    """Return fields of a request that force exactly this reply: one that vLLM reads and one that llama.cpp reads."""
    literal = json.dumps(text)
    return {"structured_outputs": {"choice": [text]}, "grammar": f"root ::= {literal}"}


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "stop": (CHAT, {**QUESTION, **forced_reply("4"), "max_tokens": 16}),
    "think": (CHAT, {**QUESTION, **forced_reply("<think>2 and 2</think>4"), "max_tokens": 64}),
    "length": (CHAT, {**QUESTION, **forced_reply("The answer is four."), "max_tokens": 2}),
    "half an emoji": (CHAT, {**QUESTION, **forced_reply("🜚"), "max_tokens": 1}),
    "overflow": (CHAT, {"messages": [{"role": "user", "content": "word " * 40_000}]}),
    "no such value": (CHAT, {**QUESTION, "temperature": "hot"}),
    "no such model": (CHAT, {**QUESTION, "model": "nobody/nothing", "max_tokens": 1}),
    "echo": (
        COMPLETIONS,
        {
            "prompt": ["Two and two make", "Two and two make four", "Two and two make 四"],
            "max_tokens": 0,
            "echo": True,
            "logprobs": 1,
            "temperature": 0.0,
            "return_tokens_as_token_ids": True,
        },
    ),
}
REASONING_REPLY = forced_reply("<think>2 and 2</think>4")
REASONING_PARSER_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "think": (CHAT, {**QUESTION, **REASONING_REPLY, "max_tokens": 64}),
    "think, as the template has opened it": (
        CHAT,
        {**QUESTION, **forced_reply("2 and 2</think>4"), "max_tokens": 64},
    ),
    "cut while reasoning": (CHAT, {**QUESTION, **REASONING_REPLY, "max_tokens": 5}),
    "thinking switched off": (
        CHAT,
        {
            **QUESTION,
            **forced_reply("4"),
            "max_tokens": 16,
            "chat_template_kwargs": {"enable_thinking": False},
        },
    ),
}
"""Cases for a server with a reasoning parser."""


def post(base: str, path: str, body: dict[str, Any]) -> tuple[int, str]:
    """Send one request; return the response's status and body."""
    request = urllib.request.Request(
        f"{base}{path}", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, _MODEL_PATH.sub(r'"\1"', response.read().decode())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def record(server: str, base: str, model: str) -> None:
    """Record all cases of a server, replacing the server's earlier lines."""
    lines = [line for line in RECORDED.read_text().splitlines() if json.loads(line)["server"] != server]
    cases = REASONING_PARSER_CASES if "--reasoning-parser" in server else CASES
    for case, (path, fields) in cases.items():
        body = {"model": model, **fields}
        status, response = post(base, path, body)
        request = body if len(json.dumps(body)) < 2000 else {"model": model, "messages": "too long to keep"}
        line = {
            "server": server,
            "case": case,
            "path": path,
            "request": request,
            "status": status,
            "body": response,
        }
        lines.append(json.dumps(line, ensure_ascii=False))
        print(server, case, status, response[:150])
    RECORDED.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Record one server, as named on the command line."""
    server, *rest = sys.argv[1:]
    RECORDED.touch()
    if rest:
        record(server, rest[0], rest[1])
        return
    from tools import local_model

    with local_model.served() as address:
        record(server, f"{address}/v1", "smollm2")


if __name__ == "__main__":
    main()
