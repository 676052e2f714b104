"""Find in a server's log why the server exited."""

from __future__ import annotations

import re

KILLED = "killed by signal"
"""Start of the line that the watchdog appends to the log if a signal ended the server."""
PORT_TAKEN = "its port is already in use"
KNOWN_CAUSES = (
    (
        r"CUDA out of memory|OutOfMemoryError|can't allocate memory|less than desired GPU memory utilization"
        r"|No available memory for the cache blocks|larger than the available KV cache memory",
        "out of memory",
    ),
    (
        r"GatedRepoError|(?<!private or )gated repo|access to model .{1,200} is restricted|403 Client Error",
        "its weights are gated: accept their terms on the hub and set HF_TOKEN",
    ),
    (
        r"contains custom code|set the option `trust_remote_code=True`|pass the argument `trust_remote_code=True`"
        r"|requires you to execute the \w+ file",
        "it needs to run code from the weights' repository: add --trust-remote-code if you trust its authors",
    ),
    (r"address already in use|Errno 98", PORT_TAKEN),
    (
        r"is not a local folder and is not a valid model identifier|RepositoryNotFoundError|Repository Not Found",
        "no such model on the hub (if it is private, set HF_TOKEN)",
    ),
    (
        r"LocalEntryNotFoundError|couldn't connect to 'https|Network is unreachable|Name or service not known",
        "the hub cannot be reached, and the weights are not on this disk",
    ),
    (
        r"No CUDA GPUs are available|Found no NVIDIA driver|CUDA driver version is insufficient",
        "no usable GPU",
    ),
)
"""(pattern, cause); the first pattern that occurs anywhere in the log applies."""

_LOG_PREFIX = re.compile(r"^(?:\([^)]{1,60}\) )?(?:(?:INFO|WARNING|ERROR|CRITICAL)\b[^\]]{0,60}\] ?)?")
_ERROR_LINE = re.compile(r"^[\w.]{0,80}(?:Error|Exception|Interrupt)\b: .")
_CONSEQUENCES = (
    "Engine core initialization failed",
    "WorkerProc initialization failed",
    "See root cause above",
)
"""Texts of errors that only follow from an earlier one."""
MAX_LENGTH = 300
"""Maximum length of a cause, in characters."""


def cause(log: str) -> str:
    """Return in one line why the process exited: a signal, else a known cause, the first informative error or the last line."""
    if (last := log.rstrip().rpartition("\n")[2]).startswith(KILLED):
        return last
    for pattern, meaning in KNOWN_CAUSES:
        if re.search(pattern, log, re.IGNORECASE):
            return meaning
    lines = [line for raw in log.splitlines() if (line := _LOG_PREFIX.sub("", raw).rstrip())]
    errors = [
        index
        for index, line in enumerate(lines)
        if _ERROR_LINE.match(line) and not any(text in line for text in _CONSEQUENCES)
    ]
    if errors:
        end = errors[0] + 1
        if end < len(lines) and lines[end].startswith("  "):  # pydantic explains the error there
            end += 1
        message = " ".join(lines[errors[0] : end])
    else:
        message = lines[-1] if lines else "its log is empty"
    return " ".join(message.split())[:MAX_LENGTH]
