"""A fake Python interpreter with inference engines, which serves or fails as scripted.

    EVALS_ENGINE_PYTHON=FOLDER/python evals run ... -m sglang:FOLDER

LMDeploy and SGLang need CUDA, and so do the faults of GPUs: these tests cover only the launcher, and their names say so.
`install` writes the script; the environment variable STANDIN selects its behaviour; requests are logged in
FOLDER/requests.jsonl.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ERRORS_AT_START = {
    "oom": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.31 GiB. GPU 0 has 79.10 GiB in total",
    "gated": "OSError: You are trying to access a gated repo.\nMake sure to have access to it at https://hub",
    "remote-code": "ValueError: The repository /w contains custom code which must be executed to load the model.",
    "no-model": "OSError: nobody/nothing is not a local folder and is not a valid model identifier",
    "offline": "LocalEntryNotFoundError: cannot find the requested files in the local cache",
    "odd": "INFO 11-25 12:00:00 [core.py:1] loading\nKeyError: 'layers.0.experts'\nRuntimeError: Engine core "
    "initialization failed. See root cause above.",
    "mute": "",
}


def install(folder: Path) -> Path:
    """Create the executable of the fake interpreter."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} {folder} "$@"\n')
    path.chmod(0o755)
    return path


def flag(arguments: list[str], *names: str) -> str:
    """Return the value of the first of these options that was given; empty if none was."""
    return next((arguments[arguments.index(name) + 1] for name in names if name in arguments), "")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    name: str
    behaviour: str
    calls = 0

    def log_message(self, *args: Any) -> None:
        pass

    def answer(self, status: int, body: Any) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self.answer(200, {"data": [{"id": self.name, "max_model_len": 4096}]})
        else:
            self.answer(200 if self.path == "/health" else 404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with (self.folder / "requests.jsonl").open("a") as stream:
            stream.write(json.dumps(body) + "\n")
        Handler.calls += 1
        if self.behaviour == "dumb":
            self.answer(500, {"error": {"message": "no kernel image is available"}})
            return
        if self.behaviour.startswith("mortal") and Handler.calls > int(self.behaviour.split(":")[1]):
            print("RuntimeError: the engine's heart stopped\x1b]8;;https://evil.example\x07", flush=True)
            os._exit(1)
        kind, _, calls = self.behaviour.partition(":")
        if kind == "once" and Handler.calls > int(calls or 4) and not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os._exit(1)
        narrow = self.behaviour == "narrow" and Handler.calls > 1
        if narrow or (body.get("max_tokens") or 0) > 4000:
            message = "This model's maximum context length is 4096 tokens. Please reduce the length."
            self.answer(400, {"error": {"message": message}})
            return
        time.sleep(float(os.environ.get("STANDIN_S", "0")))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "ANSWER: A"},
            "finish_reason": "stop",
        }
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        self.answer(200, {"model": self.name, "choices": [choice], "usage": usage})


def serve(folder: Path, arguments: list[str], behaviour: str) -> None:
    (folder / "pids").open("a").write(f"{os.getpid()}\n")
    (folder / "command.json").write_text(json.dumps(arguments))
    (folder / "environment.json").write_text(json.dumps(dict(os.environ)))
    if behaviour in ERRORS_AT_START:
        print(ERRORS_AT_START[behaviour], flush=True)
        sys.exit(1)
    if behaviour == "taken" and not (folder / "tried").exists():
        (folder / "tried").touch()
        print("OSError: [Errno 98] error while attempting to bind: address already in use", flush=True)
        sys.exit(1)
    if behaviour == "stubborn":  # with a child outside its process group
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        (folder / "pids").open("a").write(f"{child.pid}\n")
    if behaviour == "deaf":
        print("INFO 11-25 12:00:00 [loader.py:1] loading shards", flush=True)
        time.sleep(600)
    if (folder / "died").exists():
        time.sleep(float(os.environ.get("STANDIN_AGAIN_S", "0")))
    Handler.folder, Handler.behaviour = folder, behaviour
    Handler.name = flag(arguments, "--served-model-name", "--model-name")
    port = int(flag(arguments, "--port", "--server-port"))
    ThreadingHTTPServer((flag(arguments, "--host", "--server-name"), port), Handler).serve_forever()


def main(folder: Path, arguments: list[str]) -> None:
    behaviour = os.environ.get("STANDIN", "")
    if "-c" in arguments:  # the launcher asks for the package's version
        if behaviour == "lacks":
            sys.exit(3)
        print(arguments[-1], "0.99")
    else:
        serve(folder, arguments, behaviour)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
