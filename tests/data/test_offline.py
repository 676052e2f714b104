"""Without a network the command fails within seconds instead of retrying for almost a minute."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import evals
from tests.support.needs import needs

needs("datasets", reason="the extra `hub` is not installed")


def test_an_unreachable_hub_is_reported_within_seconds(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    def fail_to_resolve(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    # the module may have been imported in offline mode
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", fail_to_resolve)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    started = time.monotonic()
    outcome = evals("run", "aime:2025", "-m", "scripted:x", "--quiet")
    assert time.monotonic() - started < 15
    outcome.assert_usage_error()
    assert not constants.HF_HUB_OFFLINE  # restored, as a notebook may be online later
