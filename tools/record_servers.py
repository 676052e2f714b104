"""Record a real server's responses to a few requests, byte for byte, as fixtures: `tests/cases/recorded.jsonl`.

    python -m tools.record_servers "vLLM 0.32.0" http://127.0.0.1:8000/v1 NAME
    python -m tools.record_servers "vLLM 0.32.0 --reasoning-parser qwen3" http://127.0.0.1:8001/v1 NAME
    python -m tools.record_servers "llama.cpp"            (the embedded model's own HTTP server, started here)

A line holds what was asked and what came: {server, case, path, request, status, body}. Lines of the same server are
replaced. Both constrain the reply by their own means, so that a model of any size gives the one that is wanted; with
a reasoning parser vLLM does so from the first token on where it is started with
`--structured-outputs-config.enable_in_reasoning true`.
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
_PATH = re.compile(r'"/[^"]*/([^/"]+\.gguf)"')
"""llama.cpp names the model by its file."""
CHAT, COMPLETIONS = "/chat/completions", "/completions"
QUESTION = {"messages": [{"role": "user", "content": "What is 2 + 2?"}], "temperature": 0.0}


def saying(text: str) -> dict[str, Any]:
    """Return fields that make vLLM (the first) or llama.cpp (the second) reply with exactly this text."""
    literal = json.dumps(text)
    return {"structured_outputs": {"choice": [text]}, "grammar": f"root ::= {literal}"}


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "stop": (CHAT, {**QUESTION, **saying("4"), "max_tokens": 16}),
    "think": (CHAT, {**QUESTION, **saying("<think>2 and 2</think>4"), "max_tokens": 64}),
    "length": (CHAT, {**QUESTION, **saying("The answer is four."), "max_tokens": 2}),
    "half an emoji": (CHAT, {**QUESTION, **saying("🜚"), "max_tokens": 1}),
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
THOUGHT = saying("<think>2 and 2</think>4")
PARSED: dict[str, tuple[str, dict[str, Any]]] = {
    "think": (CHAT, {**QUESTION, **THOUGHT, "max_tokens": 64}),
    "think, as the template has opened it": (
        CHAT,
        {**QUESTION, **saying("2 and 2</think>4"), "max_tokens": 64},
    ),
    "cut while reasoning": (CHAT, {**QUESTION, **THOUGHT, "max_tokens": 5}),
    "thinking switched off": (
        CHAT,
        {**QUESTION, **saying("4"), "max_tokens": 16, "chat_template_kwargs": {"enable_thinking": False}},
    ),
}
"""For a server with a reasoning parser."""


def ask(base: str, path: str, body: dict[str, Any]) -> tuple[int, str]:
    """Post once; return status and body."""
    request = urllib.request.Request(
        f"{base}{path}", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, _PATH.sub(r'"\1"', response.read().decode())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def record(server: str, base: str, name: str) -> None:
    """Replace a server's recorded lines."""
    other_lines = [line for line in RECORDED.read_text().splitlines() if json.loads(line)["server"] != server]
    cases = PARSED if "--reasoning-parser" in server else CASES
    for case, (path, fields) in cases.items():
        body = {"model": name, **fields}
        status, answer = ask(base, path, body)
        request = body if len(json.dumps(body)) < 2000 else {"model": name, "messages": "too long to keep"}
        line = {
            "server": server,
            "case": case,
            "path": path,
            "request": request,
            "status": status,
            "body": answer,
        }
        other_lines.append(json.dumps(line, ensure_ascii=False))
        print(server, case, status, answer[:150])
    RECORDED.write_text("\n".join(other_lines) + "\n")


def main() -> None:
    """Record one server."""
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
