"""Bad input ends with a one-line message and exit status 2, or fails only the sample concerned; no results are lost."""

from __future__ import annotations

import json
import os
import pty
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evals.records import store
from evals.records.writer import Writer
from tests.support import answers
from tests.support.command import Outcome, evals, files_with, start, wait
from tests.support.faults import (
    CLOSED_CONNECTION,
    ERROR_200,
    GOOD,
    HTML,
    NULL,
    TRUNCATED_JSON,
    Answer,
    Call,
    FaultyServer,
    completion,
    error,
)
from tests.support.paths import ROOT

RIGHT = "scripted:call=tests.support.answers:correct_answer"
ROW = {"question_id": 1, "question": "q", "options": ["x", "y"], "answer": "B", "category": "law"}


@pytest.fixture(autouse=True)
def quick_retries(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.calls.backoff.FIRST_S", 0.01)
    monkeypatch.setattr("evals.run.caller.WARM_UP_S", 0.1)


def refused(*arguments: object, **options: Any) -> str:
    """Return the error line of a command, which must be the recorded one; the command must have changed no files."""
    before = _files()
    outcome = evals(*arguments, **options)
    outcome.assert_usage_error()
    assert _files() == before
    return outcome.error_line


def id_of(arguments: tuple[str, ...]) -> str:
    """Return the id of a test with these command-line arguments."""
    return " ".join(arguments).replace(RIGHT, "RIGHT")


def _files() -> set[Path]:
    """Return all files below the working folder except those that Hypothesis writes."""
    return {path for path in Path().rglob("*") if path.is_file() and ".hypothesis" not in path.parts}


def run(*arguments: object, model: str = RIGHT) -> Outcome:
    """Run the sample items of MMLU-Pro with --quiet and --json."""
    return evals("run", "mmlu-pro", "--sample", "-m", model, "--quiet", "--json", *arguments)


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "mmlupro", "--sample", "-m", RIGHT),
        ("run", "gpqa:dimond", "--sample", "-m", RIGHT),
        ("run", "mmlu-pro:x", "--sample", "-m", RIGHT),
        ("run", "mmlu-pro", "--sample", "-m", "smolm2"),
        ("run", "mmlu-pro", "--sample", "-m", "sever:http://x/v1#y"),
        ("run", "mmlu-pro", "--sample", "-m", RIGHT, "--protocol", "offical"),
        ("check", "gqpa", "--sample"),
        ("data", "amie"),
        ("rnu",),
        ("import", "reply", "x.jsonl"),
        ("run", "../x", "--sample", "-m", RIGHT),
        ("run", "", "--sample", "-m", RIGHT),
    ],
    ids=id_of,
)
def test_the_error_for_an_unknown_name_lists_similar_names(here, arguments):
    refused(*arguments)


def test_the_error_for_an_unknown_verdict_lists_similar_verdicts(here):
    run("--run", "a")
    refused("show", "a", "--samples", "--verdict", "wrnog")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "mmlu-pro", "--sample"),
        ("run", "mmlu-pro", "--sample", "-m", "server:"),
        ("run", "mmlu-pro", "--sample", "-m", "openai:gpt"),
        ("run", "mmlu-pro", "--sample", "-m", "replay:nope"),
        ("run", "mmlu-pro", "--sample", "-m", "scripted:list=no.json"),
        ("run", "mmlu-pro", "--sample", "-m", "scripted:call=tests.support.answers:none"),
        ("run", "mmlu-pro", "--sample", "-m", RIGHT, "--protocol", "intern-s1"),
        ("run", "mmlu-pro", "--sample", "-m", "server:nonsense"),
        ("run", "mmlu-pro", "--sample", "--data", "x", "-m", RIGHT),
        ("run", "mmlu-pro", "--sample", "-m", RIGHT, "--run", "../../x"),
        ("run", "mmlu-pro", "--sample", "-m", RIGHT, "--run", ".."),
        ("run", "mmlu-pro", "--sample", "-m", RIGHT, "--nonsense"),
        ("run", "no.toml"),
        ("show",),
        ("show", "x"),
        ("show", "--samples"),
        ("show", "--csv"),
        ("show", "--by", "colour"),
        ("show", "x", "--samples", "--by", "group"),
        ("list", "nonsense"),
        ("score", "x"),
        ("import", "replies", "no.jsonl", "--suite", "aime:2025", "--model", "m"),
    ],
    ids=id_of,
)
def test_a_wrong_command_ends_with_a_one_line_message(here, arguments):
    refused(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            (option, value)
            for option in ("--limit", "--repeats", "--concurrency", "--max-tokens")
            for value in ("0", "-1")
        ),
        ("--max-total-tokens", "0"),
        ("--max-cost", "-1", "--price", "1,1"),
        ("--max-cost", "nan", "--price", "1,1"),
        ("--max-cost", "inf", "--price", "1,1"),
        ("--price", "1"),
        ("--price", "nan,1"),
        ("--price", "-1,1"),
        ("--timeout", "0"),
        ("--timeout", "nan"),
        ("--timeout", "inf"),
        ("--temperature", "-0.1"),
        ("--temperature", "nan"),
        ("--top-p", "0"),
        ("--top-p", "1.1"),
        ("--seed", "-1"),
        ("--limit", "x"),
        ("--limit", "1.5"),
    ],
    ids=" ".join,
)
def test_a_number_out_of_range_is_refused_with_the_name_of_its_option(here, arguments):
    refused("run", "mmlu-pro", "--sample", "-m", RIGHT, *arguments)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("suites = [", id="not TOML"),
        pytest.param('suites = ["mmlu-pro"]\nmodels = ["smollm2"]\ncolour = 1\n', id="an unknown key"),
        pytest.param('suite = ["mmlu-pro"]\nmodels = ["smollm2"]\n', id="suite"),
        pytest.param('suites = ["mmlu-pro"]\nmax-token = 5\n', id="max-token"),
        pytest.param('suites = ["mmlu-pro"]\nmax-tokens = 5\nmax_tokens = 5\n', id="a key twice"),
        pytest.param('suites = ["mmlu-pro"]\nmodels = [1]\n', id="models = [1]"),
        pytest.param('suites = ["mmlu-pro"]\nseed = "1"\n', id="seed = a string"),
        pytest.param('models = ["smollm2"]\n', id="no suites"),
        pytest.param('suites = ["mmlu-pro"]\nsample = true\n', id="no model"),
        pytest.param(
            'suites = ["mmlu-pro"]\nmodels = ["smollm2"]\nsample = true\nlimit = 0\n', id="limit = 0"
        ),
    ],
)
def test_a_wrong_toml_file_ends_with_a_one_line_message(here, text):
    Path("weekly.toml").write_text(text)
    refused("run", "weekly.toml")


# --- servers ------------------------------------------------------------------------------------------------


def test_an_unreachable_server_ends_the_run_at_the_first_call(here):
    with FaultyServer(GOOD) as server:
        pass
    refused("run", "mmlu-pro", "--sample", "-m", server.model, "--quiet")
    model = server.model.partition("#")[0]
    refused("run", "mmlu-pro", "--sample", "-m", model)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_path_or_model_ends_the_run_with_a_one_line_message(here, status):
    with FaultyServer(error(status, "as scripted")) as server:
        refused("run", "mmlu-pro", "--sample", "-m", server.model, "--quiet", "--concurrency", 2)
    assert len(server.calls) <= 2


def test_a_wrong_url_path_is_in_the_message(here):
    with FaultyServer(GOOD) as server:
        model = server.model.replace("/v1", "/v2")
        refused("run", "mmlu-pro", "--sample", "-m", model, "--quiet")


def test_a_missing_key_of_a_later_model_is_reported_before_the_first_call(here, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with FaultyServer(GOOD) as server:
        refused("run", "mmlu-pro", "--sample", "-m", server.model, "-m", "openai:gpt-4.1")
        assert not server.calls


def test_a_server_with_several_models_requires_a_model_name(here):
    with FaultyServer(GOOD, serves=("one", "two")) as server:
        model = server.model.partition("#")[0]
        refused("run", "mmlu-pro", "--sample", "-m", model)
    with FaultyServer(GOOD, serves=("only",)) as server:
        assert run(model=server.model.partition("#")[0]).json["runs"][0]["model"] == "only"


BROKEN = {
    "HTML": HTML,
    "truncated JSON": TRUNCATED_JSON,
    "content null": NULL,
    "closed connection": CLOSED_CONNECTION,
    "200 with an error body": ERROR_200,
    "a malformed number": Answer(200, GOOD.body.replace(b"10", b"1_0")),
    "broken UTF-8": Answer(200, GOOD.body.replace(b"ANSWER", b"\xff")),
    "an empty body": Answer(200, b""),
    "500": error(500),
    "503": error(503, **{"Retry-After": "0"}),
    "429": error(429, **{"Retry-After": "0"}),
    "400": error(400),
}
FAILURES = {
    "closed connection": "disconnected",
    "500": "serverfault",
    "200 with an error body": "serverfault",
    "503": "ratelimit",
    "429": "ratelimit",
    "400": "rejected",
}
SLOW_FAULTS = ("429", "503")
"""Faults after which the run waits for the server, for 15 seconds in each test."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW_FAULTS else ()) for name in BROKEN],
)
def test_a_server_fault_in_one_call_fails_only_its_sample(here, name):
    def respond(call: Call) -> Answer:
        return BROKEN[name] if "parent of the node" in call.text else completion("ANSWER: D")

    with FaultyServer(respond) as server:
        outcome = run(model=server.model)
    [entry] = outcome.json["runs"]
    assert outcome.status == 1
    assert entry["counts"][f"failed:{FAILURES.get(name, 'badreply')}"] == 1
    assert entry["coverage"] == 15 / 16
    head = next(e for e in entry["estimates"] if e["headline"])
    assert (head["n"], head["best"] - head["worst"]) == (15, pytest.approx(1 / 16))
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("name", BROKEN)
def test_a_run_in_which_every_call_fails_ends_early_with_a_one_line_message(here, name):
    with FaultyServer(BROKEN[name]) as server:
        outcome = run("--concurrency", "4", model=server.model)
    outcome.assert_usage_error()
    assert len(server.calls) <= 8 * 3 + 12
    assert outcome.json["runs"][0]["coverage"] == 0.0
    assert outcome.json["runs"][0]["estimates"][0]["value"] is None


def test_a_run_of_only_three_failing_samples_ends_with_a_one_line_message(here):
    with FaultyServer(error(400)) as server:
        run("--limit", "3", model=server.model).assert_usage_error()


@pytest.mark.parametrize(
    "name", ["HTML", "truncated JSON", "content null", "closed connection", "500", "429"]
)
def test_a_temporary_fault_is_retried_once(here, name):
    seen: set[str] = set()

    def respond(call: Call) -> Answer:
        is_first = call.text not in seen
        seen.add(call.text)
        return BROKEN[name] if is_first else completion("ANSWER: A")

    with FaultyServer(respond) as server:
        outcome = run(model=server.model)
    assert outcome.status == 0, outcome.err
    assert len(server.calls) == 32
    records = store.runs(Path("results"))[0].records()
    assert {record.outcome.attempts for record in records} == {2}


def test_retry_after_is_honoured(here):
    import time

    times: list[float] = []

    def respond(call: Call) -> Answer:
        times.append(time.monotonic())
        return error(429, **{"Retry-After": "1"}) if call.number == 0 else GOOD

    with FaultyServer(respond) as server:
        assert run("--limit", "1", model=server.model).status == 0
    assert times[1] - times[0] >= 1.0


# --- data ---------------------------------------------------------------------------------------------------


def data_file(*rows: Any) -> Path:
    """Write rows, strings as they are and others as JSON, and return the file."""
    path = Path("rows.jsonl")
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def row_without(column: str) -> dict[str, Any]:
    return {name: value for name, value in ROW.items() if name != column}


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([row_without("options")], id="no options"),
        pytest.param([row_without("question")], id="no question"),
        pytest.param([ROW, ROW], id="an id twice"),
        pytest.param([ROW | {"answer": "C"}], id="an answer that is no option"),
        pytest.param([ROW | {"answer": ""}], id="an empty answer"),
        pytest.param([], id="no rows"),
        pytest.param(["{not json\n"], id="not JSON"),
        pytest.param([ROW, '{"question_id": 2, "quest'], id="a truncated line"),
        pytest.param(['{"question_id": NaN}\n'], id="NaN"),
        pytest.param([ROW | {"options": None}], id="options null"),
        pytest.param([ROW | {"options": "x, y"}], id="options as a string"),
        pytest.param([ROW | {"answer": None}], id="answer null"),
        pytest.param([ROW | {"category": None}], id="category null"),
        pytest.param(["[1, 2]\n"], id="a list"),
    ],
)
def test_a_bad_data_file_is_refused_with_a_one_line_message(here, rows):
    refused("run", "mmlu-pro", "--data", data_file(*rows), "-m", RIGHT)


@pytest.mark.parametrize("content", [b"\x00\x01\x02", b"PAR1 but no Parquet"], ids=["zeros", "PAR1"])
def test_a_malformed_parquet_file_is_refused(here, content):
    Path("rows.parquet").write_bytes(content)
    refused("run", "mmlu-pro", "--data", "rows.parquet", "-m", RIGHT)


def test_without_the_hub_client_the_error_for_missing_data_names_both_ways_to_get_them(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    refused("run", "mmlu-pro", "-m", RIGHT)


def test_the_error_for_missing_data_when_offline_names_both_ways_to_get_them(here, monkeypatch):
    import types

    def load_dataset(name: str, *args: Any, **options: Any) -> Any:
        if name == "Idavidrein/gpqa":
            raise OSError(
                f"Dataset '{name}' is a gated dataset on the Hub. You must be authenticated to access it."
            )
        raise ConnectionError("Couldn't reach the hub (offline)\nwith a second line")

    fake_datasets = types.ModuleType("datasets")
    fake_datasets.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", fake_datasets)
    refused("run", "mmlu-pro", "-m", RIGHT)
    refused("run", "gpqa", "-m", RIGHT)


def test_a_missing_mirror_is_named(here):
    refused("run", "mmlu-pro", "--data", "nowhere", "-m", RIGHT)
    Path("empty").mkdir()
    refused("run", "mmlu-pro", "--data", "empty", "-m", RIGHT)


def test_the_official_protocol_names_a_missing_file_of_worked_examples(here):
    refused("run", "mmlu-pro", "--data", data_file(ROW), "-m", RIGHT, "--protocol", "official")


# --- runs on disk -------------------------------------------------------------------------------------------


@pytest.fixture
def stored(here: Path) -> store.Run:
    """Return a finished run of the sample items, with id a."""
    run("--run", "a")
    return store.find_one(Path("results"), "a")


def reopen(stored: store.Run) -> Path:
    """Turn a finished run back into one in progress and return its records file of JSON lines."""
    writer = Writer(stored.path, stored.card)
    writer.replace(list(stored.records()))
    card = stored.card
    card.status = "running"
    store.write_card(stored.path, card)
    writer.close()
    return stored.path / "records.jsonl"


def test_an_unknown_format_version_is_refused(stored):
    card = stored.path / "card.json"
    card.write_text(card.read_text().replace('"format": 1', '"format": 99'))
    evals("score", "a").assert_usage_error()
    outcome = evals("show", "--json")
    assert "format 99" in outcome.err
    assert outcome.json["runs"] == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": 1, "run": 3}'])
def test_a_corrupt_card_is_named_and_other_runs_are_shown(stored, content):
    run("--run", "b", "--limit", "3")
    (stored.path / "card.json").write_text(content)
    outcome = evals("show", "--json")
    assert [entry["run"] for entry in outcome.json["runs"]] == ["b"]
    assert "broken run: " in outcome.err
    assert "card.json" in outcome.err or "format" in outcome.err
    assert evals("list", "runs", "--json").json["runs"][0]["run"] == "b"
    assert "Traceback" not in outcome.err


def test_a_corrupt_record_is_reported_with_file_and_line(stored):
    records = reopen(stored)
    lines = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(b"".join([*lines[:3], b'{"sample": 5}\n', *lines[3:]]))
    for arguments in (("score", "a"), ("show", "a", "--samples")):
        evals(*arguments).assert_usage_error()
    assert "records.jsonl, line 4" in evals("show", "a", "--json").err


def test_a_record_with_nan_is_refused(stored):
    records = reopen(stored)
    records.write_bytes(records.read_bytes().replace(b'"value":1.0', b'"value":NaN', 1))
    evals("score", "a").assert_usage_error()


def test_a_truncated_last_record_is_dropped_with_a_warning(stored):
    records = reopen(stored)
    records.write_bytes(records.read_bytes()[:-20])
    [entry] = evals("show", "a", "--json").json["runs"]
    assert entry["counts"] == {"right": 15, "absent": 1}
    outcome = run("--run", "a")
    assert "dropped a truncated last line" in outcome.err
    assert outcome.json["runs"][0]["counts"] == {"right": 16}


@pytest.mark.parametrize("name", ["records.parquet", "samples.parquet"])
def test_a_truncated_parquet_file_of_a_run_is_named(stored, name):
    path = stored.path / name
    path.write_bytes(path.read_bytes()[:100])
    evals("show", "a", "--samples").assert_usage_error()
    evals("score", "a").assert_usage_error()


def test_a_results_folder_that_cannot_be_written_is_named(here):
    Path("results").write_text("a file")
    refused("run", "mmlu-pro", "--sample", "-m", RIGHT)


def test_a_results_folder_below_proc_cannot_be_written(here):
    refused("run", "mmlu-pro", "--sample", "-m", RIGHT, "--results", "/proc/evals")


def test_recorded_samples_are_kept_if_the_disk_fills_up_during_a_run(here, monkeypatch):
    free = 5
    real_write = os.write

    def write(fd: int, content: bytes) -> int:
        """Write five records and part of the sixth, as on a disk that fills up."""
        nonlocal free
        if not content.startswith(b'{"sample"'):
            return real_write(fd, content)
        if not free:
            raise OSError(28, "No space left on device")
        lines = content.splitlines(keepends=True)
        whole, partial = lines[:free], b"".join(lines[free:])[:10]
        free -= len(whole)
        return real_write(fd, b"".join(whole) + partial)

    with monkeypatch.context() as patch:
        patch.setattr("evals.records.writer.os.write", write)
        outcome = evals("run", "mmlu-pro", "--sample", "-m", RIGHT, "--quiet", "--run", "a")
    outcome.assert_usage_error()
    [entry] = evals("show", "a", "--json").json["runs"]
    assert entry["counts"] == {"right": 5, "absent": 11}
    assert run("--run", "a").json["runs"][0]["counts"] == {"right": 16}


@pytest.mark.parametrize(
    "limit", [200, *(pytest.param(size, marks=pytest.mark.slow) for size in (4_000, 9_000))]
)
def test_a_file_size_limit_is_handled_like_a_full_disk(here, limit):
    outcome = wait(
        start(
            *("run", "mmlu-pro", "--sample", "-m", RIGHT, "--quiet", "--json", "--run", "a"),
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
    )
    outcome.assert_usage_error()
    assert run("--run", "a").json["runs"][0]["counts"] == {"right": 16}


# --- import -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(
            ['{"id": 900001, "text": "A"}', '{"id": "1", "text": "A"}', '{"id": "2", "text": "B"}'],
            id="unknown ids",
        ),
        pytest.param(['{"id": "900001", "text": "A"}', '{"id": 900001, "text": "B"}'], id="an id twice"),
        pytest.param(['{"id": "900001", "text": "A", "order": [0, 0, 1]}'], id="order [0, 0, 1]"),
        pytest.param(['{"id": "900001", "text": "A", "order": [1, 2, 3]}'], id="order [1, 2, 3]"),
        pytest.param(['{"id": "900001", "text": "A", "order": [1, 0]}'], id="order of 2 of 10 options"),
        pytest.param(['{"id": "900001", "text": "A", "repeat": -1}'], id="repeat -1"),
        pytest.param(['{"id": "900001", "text": "A"}', '{"id": "900002", "te'], id="a truncated line"),
        pytest.param(['{"text": "A"}'], id="no id"),
        pytest.param(['{"id": 1.5, "text": "A"}'], id="a fractional id"),
        pytest.param(['{"id": "900001", "text": 7}'], id="a number as text"),
        pytest.param(['{"id": "900001", "text": "A", "stop": "never"}'], id="an unknown stop reason"),
        pytest.param([], id="no replies"),
    ],
)
def test_a_bad_file_of_replies_is_refused_before_anything_is_written(here, lines):
    Path("replies.jsonl").write_text("\n".join(lines))
    refused("import", "replies", "replies.jsonl", "--suite", "mmlu-pro", "--model", "m", "--sample")


def test_a_long_list_of_unknown_ids_is_abbreviated(here):
    Path("r.jsonl").write_text("".join(f'{{"id": "s{n}", "text": "A"}}\n' for n in range(30)))
    refused("import", "replies", "r.jsonl", "--suite", "mmlu-pro", "--model", "m", "--sample")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--model", "m"),
        ("--suite", "mmlu-pro"),
        ("--suite", "aime", "--model", "m"),
        ("--suite", "chembench:lamalab", "--model", "m", "--protocol", "intern-s1"),
        ("--suite", "mmlu-pro", "--model", "m", "--run", "../x"),
    ],
    ids=id_of,
)
def test_a_wrong_import_command_ends_with_a_one_line_message(here, arguments):
    Path("r.jsonl").write_text('{"id": "900001", "text": "A"}\n')
    refused("import", "replies", "r.jsonl", "--sample", *arguments)


# --- secrets ------------------------------------------------------------------------------------------------

KEY = "sk-verysecret123456"


def test_api_keys_appear_in_no_file_and_no_output(here):
    def respond(call: Call) -> Answer:
        assert call.headers["Authorization"] == f"Bearer {KEY}"
        if "parent of the node" in call.text:
            return error(400, f"Incorrect API key provided: {KEY}")
        if "symmetric" in call.text or call.number == 3:
            return Answer(200, json.dumps({"error": {"message": f"key {KEY} is odd"}}).encode())
        return GOOD

    with FaultyServer(respond) as server:
        base = server.model.removeprefix("server:").partition("#")[0]
        env = {"EVALS_SERVER_KEY": KEY, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": base}
        for model in (server.model, "openai:faulty"):
            outcome = evals("run", "mmlu-pro", "--sample", "-m", model, "--json", "--concurrency", 1, env=env)
            assert outcome.status == 1
            assert KEY not in outcome.out + outcome.err
    with FaultyServer(error(401, f"Incorrect API key provided: {KEY}")) as server:
        outcome = evals("run", "mmlu-pro", "--sample", "-m", server.model, env=env)
        outcome.assert_usage_error()
        assert KEY not in outcome.out + outcome.err
    assert len(store.runs(Path("results"))) == 2
    assert files_with(here, [KEY.encode()]) == []


def test_user_and_password_of_a_url_appear_in_no_file_and_no_output(here):
    def respond(call: Call) -> Answer:
        assert call.headers["Authorization"].startswith("Basic ")
        return CLOSED_CONNECTION if "parent of the node" in call.text else GOOD

    with FaultyServer(respond) as server:
        model = server.model.replace("://", "://joe:hunter22@").replace("/v1", "/v1")
        first = run(model=model)
        assert first.status == 1
        outcomes = [first, evals("show"), evals("show", "--json"), evals("list", "runs", "--json")]
        without_name = run("--limit", "3", model=model.partition("#")[0])
        assert without_name.status == 1 or without_name.status == 0
    unreachable = run("--limit", "4", model=model)
    unreachable.assert_usage_error()
    for url in (
        "ftp://joe:hunter22@h/v1#m",
        "http://joe:hunter22@h:port/v1#m",
        "http://joe:hunter22@[::1/v1#m",
    ):
        outcomes.append(evals("run", "mmlu-pro", "--sample", "-m", f"server:{url}"))
        outcomes[-1].assert_usage_error()
    for outcome in (*outcomes, without_name, unreachable):
        assert "hunter22" not in outcome.out + outcome.err
    assert files_with(here, [b"hunter22", b"joe:"]) == []


def test_the_key_for_openai_is_never_sent_to_another_server(here):
    with FaultyServer(GOOD) as server:
        evals("run", "mmlu-pro", "--sample", "-m", server.model, "--quiet", env={"OPENAI_API_KEY": KEY})
    assert all("Authorization" not in call.headers for call in server.calls)


def test_a_key_and_a_user_in_the_url_are_mutually_exclusive(here):
    model = "server:http://joe:hunter22@127.0.0.1:1/v1#m"
    error_line = refused("run", "mmlu-pro", "--sample", "-m", model, env={"EVALS_SERVER_KEY": KEY})
    assert "hunter22" not in error_line


# --- terminals ----------------------------------------------------------------------------------------------


def on_terminal(*arguments: object) -> bytes:
    """Run a command on a terminal and return everything that was written to it."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from evals.cli import main; main()", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
            "TERM": "dumb",
            "COLUMNS": "200",
        },
    )
    os.close(follower)
    output = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        output += chunk
    os.close(leader)
    process.wait()
    return output


@pytest.mark.slow
def test_escape_sequences_in_replies_and_data_never_reach_the_terminal(here):
    escapes = answers.ESCAPES
    data_file(
        ROW | {"category": f"law{escapes}", "question_id": f"id{escapes}"},
        ROW | {"category": "b", "question_id": 2},
    )
    arguments = ("--data", "rows.jsonl", "-m", "scripted:call=tests.support.answers:escape_sequences")
    output = on_terminal("run", "mmlu-pro", *arguments, "--run", "a")
    evals(
        "run",
        "aime:2025",
        "--sample",
        "-m",
        "scripted:call=tests.support.answers:escape_sequences",
        "--run",
        "b",
    )
    for form in ((), ("--csv",), ("--json",)):
        output += on_terminal("show", "a", "--samples", *form)
        output += on_terminal("show", "b", "--samples", *form)
    output += on_terminal("show", "a", "--by", "group")
    output += on_terminal("score", "a", "--protocol", "official")
    data_file(ROW | {"answer": "C", "question_id": f"id{escapes}"})
    output += on_terminal("run", "mmlu-pro", *arguments)
    with FaultyServer(error(401, f"no {escapes}")) as server:
        output += on_terminal("run", "mmlu-pro", "--sample", "-m", server.model)
    assert b"hidden" in output or b"law" in output
    for sequence in (b"\x1b]0;", b"\x1b[2J", b"\x07", b"\xc2\x9b", b"\x1b[8m", b"\xe2\x80\xae"):
        assert sequence not in output, sequence


def test_a_long_text_quoted_in_a_message_is_shortened_in_the_middle() -> None:
    error_line = refused("run", "x" * 5000, "-m", "smollm2")
    assert len(error_line) < 1300
