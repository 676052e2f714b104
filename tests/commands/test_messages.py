"""Messages about common mistakes: one line that names the mistake and says what to do."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from evals import load
from evals.errors import UsageError
from tests.support.command import evals
from tests.support.error_messages import raises


@pytest.mark.parametrize(
    "spec",
    [
        "http://gpu7:8000/v1",
        "https://gpu7/v1#intern-s1",
        "http://joe:hunter22@gpu7/v1",
        "localhost:8000",
        "gpu7:8000/v1",
    ],
)
def test_the_error_for_an_incomplete_server_address_states_the_complete_one(spec: str) -> None:
    with raises(UsageError) as caught:
        load.model(spec)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    "status",
    [401, 403, 404, 503],
)
async def test_the_error_for_a_server_that_does_not_list_its_models_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    from evals.model_adapters import server
    from evals.model_adapters.common import fetch as fetch_module
    from evals.model_adapters.common.fetch import HttpStatusError

    def refuse(*_: object, **__: object) -> bytes:
        raise HttpStatusError(f"HTTP Error {status}", status, b'{"error": {"message": "no"}}')

    monkeypatch.setattr(fetch_module, "fetch", refuse)
    monkeypatch.setattr(server, "WARM_UP_S", 0.0)
    with raises(UsageError):
        load.model("server:http://gpu7:8000/v1")
    if status == 404:
        with raises(UsageError):
            load.model("server:http://gpu7:8000")


def test_listing_the_models_waits_for_a_server_that_is_loading(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from evals.model_adapters.common import fetch as fetch_module
    from evals.model_adapters.common.fetch import HttpStatusError

    responses: list[object] = [
        HttpStatusError(
            "HTTP Error 503", 503, b'{"error": {"message": "Loading model"}}', {"retry-after": "0.01"}
        ),
        HttpStatusError("HTTP Error 503", 503, b"", {"retry-after": "0.01"}),
        b'{"data": [{"id": "the-one"}]}',
    ]

    def fetch(*_: object, **__: object) -> bytes:
        response = responses.pop(0)
        if isinstance(response, bytes):
            return response
        raise response

    monkeypatch.setattr(fetch_module, "fetch", fetch)
    assert load.model("server:http://gpu7:8000/v1").name == "the-one"
    assert capsys.readouterr().err.count("waiting for the server") == 1


def test_the_error_for_a_folder_above_or_below_the_results_names_the_results_folder(here: Path) -> None:
    assert evals("run", "mmlu-pro", "--sample", "-m", "scripted:right", "--results", "a b/runs").status == 0
    (suite_folder,) = map(str, Path("a b/runs").glob("mmlu-pro@*"))
    for folder in ("a b", suite_folder):
        for arguments in (("show",), ("show", "last"), ("list", "runs"), ("score", "last")):
            evals(*arguments, "--results", folder).assert_usage_error()
    Path("empty").mkdir()
    assert evals("show", "--results", "empty").out.startswith("No runs yet.")


@pytest.mark.parametrize("content", [b"", b"suites = []", b"\x89PNG"], ids=["empty", "TOML", "PNG"])
def test_verify_refuses_a_file_that_is_not_a_bundle(here: Path, content: bytes) -> None:
    Path("x.zip").write_bytes(content)
    evals("bundle", "verify", "x.zip").assert_usage_error()


def test_verify_refuses_a_zip_file_that_is_not_a_bundle(here: Path) -> None:
    with zipfile.ZipFile("x.zip", "w") as archive:
        archive.writestr("a", "b")
    evals("bundle", "verify", "x.zip").assert_usage_error()


@pytest.mark.parametrize(
    "policy",
    [
        'margin = 0.1\ntier = "crucial"',
        'margin = 0.1\nmissing = "best"',
        "margn = 0.1",
    ],
    ids=["tier", "missing", "margn"],
)
def test_the_error_for_a_wrong_key_or_value_in_a_policy_lists_the_known_ones(here: Path, policy: str) -> None:
    Path("p.toml").write_text(f'[[suite]]\nname = "gpqa"\n{policy}')
    evals("gate", "plan", "p.toml", "--baseline", "r").assert_usage_error()


def test_the_error_for_an_unknown_key_in_a_request_file_names_a_similar_one(here: Path) -> None:
    for key in ("max-token", "suite", "model"):
        Path("o.toml").write_text(f'suites = ["mmlu-pro"]\n{key} = "x"\n')
        evals("run", "o.toml").assert_usage_error()
