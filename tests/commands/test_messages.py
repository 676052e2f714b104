"""Messages about common mistakes: one line that names the mistake and says what to do."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from evals import load
from evals.errors import UsageError
from tests.support.command import evals


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("http://gpu7:8000/v1", "write server:http://gpu7:8000/v1#NAME"),
        ("https://gpu7/v1#intern-s1", "write server:https://gpu7/v1#intern-s1"),
        ("http://joe:hunter22@gpu7/v1", "write server:http://gpu7/v1#NAME"),
        ("localhost:8000", "write server:http://localhost:8000/v1#NAME"),
        ("gpu7:8000/v1", "write server:http://gpu7:8000/v1#NAME"),
    ],
)
def test_an_incomplete_server_address_is_answered_with_the_complete_one(spec: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load.model(spec)
    assert str(caught.value).endswith(message)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "the server requires a key: set EVALS_SERVER_KEY"),
        (403, "the server requires a key: set EVALS_SERVER_KEY"),
        (404, "it does not list its models: check the address, or add #NAME to it"),
        (503, "it is still busy or loading its model: try again later"),
    ],
)
async def test_the_message_on_a_server_that_does_not_list_its_models_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, status: int, message: str
) -> None:
    from evals.model_adapters import server
    from evals.model_adapters.common import fetch as fetch_module
    from evals.model_adapters.common.fetch import HttpStatusError

    def refuse(*_: object, **__: object) -> bytes:
        raise HttpStatusError(f"HTTP Error {status}", status, b'{"error": {"message": "no"}}')

    monkeypatch.setattr(fetch_module, "fetch", refuse)
    monkeypatch.setattr(server, "WARM_UP_S", 0.0)
    with pytest.raises(UsageError) as caught:
        load.model("server:http://gpu7:8000/v1")
    assert str(caught.value) == f"http://gpu7:8000/v1/models responded with HTTP {status}: no; {message}"
    if status == 404:
        with pytest.raises(UsageError, match=r"usually end in /v1: server:http://gpu7:8000/v1#NAME"):
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


def test_the_message_on_a_folder_above_or_below_the_results_names_the_results_folder(here: Path) -> None:
    assert evals("run", "mmlu-pro", "--sample", "-m", "scripted:right", "--results", "a b/runs").status == 0
    (suite_folder,) = map(str, Path("a b/runs").glob("mmlu-pro@*"))
    for folder in ("a b", suite_folder):
        for arguments in (("show",), ("show", "last"), ("list", "runs"), ("score", "last")):
            evals(*arguments, "--results", folder).assert_usage_error()
    Path("empty").mkdir()
    assert evals("show", "--results", "empty").out.startswith("No runs yet.")


@pytest.mark.parametrize("content", [b"", b"suites = []", b"\x89PNG"])
def test_verify_refuses_a_file_that_is_not_a_bundle(here: Path, content: bytes) -> None:
    Path("x.zip").write_bytes(content)
    evals("bundle", "verify", "x.zip").assert_usage_error()


def test_verify_refuses_a_zip_file_that_is_not_a_bundle(here: Path) -> None:
    with zipfile.ZipFile("x.zip", "w") as archive:
        archive.writestr("a", "b")
    evals("bundle", "verify", "x.zip").assert_usage_error()


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ('[[suite]]\nname = "gpqa"\nmargin = 0.1\ntier = "crucial"', "did you mean critical?"),
        ('[[suite]]\nname = "gpqa"\nmargin = 0.1\nmissing = "best"', "known: worst, tolerate"),
        ('[[suite]]\nname = "gpqa"\nmargn = 0.1', "did you mean margin?"),
    ],
)
def test_a_wrong_key_or_value_in_a_policy_is_answered_with_known_ones(
    here: Path, policy: str, message: str
) -> None:
    Path("p.toml").write_text(policy)
    assert message in evals("gate", "plan", "p.toml", "--baseline", "r").error_line


def test_an_unknown_key_in_a_request_file_is_answered_with_a_similar_one(here: Path) -> None:
    for key in ("max-token", "suite", "model"):
        Path("o.toml").write_text(f'suites = ["mmlu-pro"]\n{key} = "x"\n')
        evals("run", "o.toml").assert_usage_error()
