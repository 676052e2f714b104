"""A fake of the vLLM endpoints that lm_eval and this project use: chat, echo with log-likelihoods, tokenizer.

Its tokens are words with the preceding space; their likelihoods are derived from hashes. The slow tests send the same
requests to real vLLM if it is installed.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from typing import Any

from tests.support.servers import Server

WORDS = ("red", "blue", "green", "white", "I cannot tell")


def hash_fraction(*words: str) -> float:
    """Return a number from 0 to 1, fixed for these words."""
    return int.from_bytes(sha256("\x1f".join(words).encode()).digest()[:6], "big") / 2**48


class Vocabulary:
    """Words and their token ids, assigned on first use."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._ids: dict[str, int] = {}

    def encode(self, text: str) -> list[int]:
        words = re.findall(r"\s?\S+|\s", text)
        for word in words:
            if word not in self._ids:
                self._ids[word] = len(self.words)
                self.words.append(word)
        return [self._ids[word] for word in words]

    def decode(self, tokens: list[int]) -> str:
        return "".join(self.words[token] for token in tokens)


def echo(vocabulary: Vocabulary, prompt: str | list[int], extra: int) -> tuple[str, dict[str, Any]]:
    """Return the echoed prompt with the likelihood of each word given the word before, and `extra` generated words."""
    tokens = vocabulary.encode(prompt) if isinstance(prompt, str) else prompt
    words = [vocabulary.words[token] for token in tokens] + [" and"] * extra
    logprobs: list[float | None] = [None]
    tops: list[dict[str, float] | None] = [None]
    for before, word in pairwise(words):
        value = -5.0 * hash_fraction(before, word)
        better = {} if hash_fraction("greedy", before, word) < 0.7 else {" the": value / 2}
        logprobs.append(value)
        tops.append({word: value, **better})
    return "".join(words), {
        "token_logprobs": logprobs,
        "top_logprobs": tops,
        "tokens": words,
        "text_offset": [],
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vocabulary: Vocabulary
    requests: list[dict[str, Any]]

    def do_GET(self) -> None:
        self.send_json(
            {"tokenizer_class": "Words", "eos_token": "</s>", "bos_token": None, "pad_token": None}
        )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = self.path.rpartition("/")[2]
        if kind == "tokenize":
            tokens = self.vocabulary.encode(body["prompt"])
            self.send_json({"tokens": tokens, "count": len(tokens), "max_model_len": 2048})
        elif kind == "detokenize":
            self.send_json({"prompt": self.vocabulary.decode(body["tokens"])})
        elif "chat" in self.path:
            self.requests.append(body)
            reply = WORDS[int(hash_fraction(json.dumps(body["messages"])) * len(WORDS))]
            self.send_json(
                {
                    "model": "words",
                    "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": reply}}],
                    "usage": {"prompt_tokens": 9, "completion_tokens": 1},
                }
            )
        else:
            self.requests.append(body)
            prompts = body["prompt"]
            is_single = isinstance(prompts, str) or isinstance(prompts[0], int)
            echoes = [
                echo(self.vocabulary, p, body["max_tokens"]) for p in ([prompts] if is_single else prompts)
            ]
            choices = [{"index": i, "text": t, "logprobs": p} for i, (t, p) in enumerate(echoes)]
            self.send_json({"model": "words", "choices": choices})

    def send_json(self, answer: Any) -> None:
        raw = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def logprob_server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Start a server; yields its base URL (without /v1) and the bodies of its generation requests."""
    requests: list[dict[str, Any]] = []
    handler = type("Handler", (Handler,), {"vocabulary": Vocabulary(), "requests": requests})
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
