"""Bad input gets one clear line and exit status 2, or becomes the sample's own failure; nothing is lost."""

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
from tests.support.command import evals, files_with, start, wait
from tests.support.faults import (
    CUT,
    ERROR_200,
    GOOD,
    HTML,
    NULL,
    TORN,
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


def refused(*words: object, **options: Any) -> str:
    """The one line that a command complains with; it must have made no run."""
    before = _files()
    complaint = evals(*words, **options).error_line
    assert _files() == before
    return complaint


def _files() -> set[Path]:
    """Return all files here but those that Hypothesis keeps while it runs."""
    return {path for path in Path().rglob("*") if path.is_file() and ".hypothesis" not in path.parts}


def run(*words: object, model: str = RIGHT) -> Any:
    return evals("run", "mmlu-pro", "--sample", "-m", model, "--quiet", "--json", *words)


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (("run", "mmlupro", "--sample", "-m", RIGHT), "unknown suite 'mmlupro'; did you mean mmlu-pro"),
        (
            ("run", "gpqa:dimond", "--sample", "-m", RIGHT),
            "unknown variant of gpqa 'dimond'; did you mean diamond?",
        ),
        (("run", "mmlu-pro:x", "--sample", "-m", RIGHT), "unknown variant of mmlu-pro 'x'; known: none"),
        (("run", "mmlu-pro", "--sample", "-m", "smolm2"), "unknown model 'smolm2'; did you mean smollm2?"),
        (("run", "mmlu-pro", "--sample", "-m", "sever:http://x/v1#y"), "did you mean server:"),
        (("run", "mmlu-pro", "--sample", "-m", RIGHT, "--protocol", "offical"), "did you mean official?"),
        (("check", "gqpa", "--sample"), "or gpqa"),
        (("data", "amie"), "did you mean aime?"),
        (("rnu",), "unknown command 'rnu'; did you mean run?"),
        (("import", "reply", "x.jsonl"), "unknown format 'reply'; did you mean replies?"),
        (("run", "../x", "--sample", "-m", RIGHT), "unknown suite '../x'"),
        (("run", "", "--sample", "-m", RIGHT), "unknown suite ''"),
    ],
)
def test_a_wrong_name_gets_near_ones(here, words, near):
    assert near in refused(*words)


def test_a_wrong_verdict_gets_near_ones(here):
    run("--run", "a")
    assert "did you mean wrong?" in refused("show", "a", "--samples", "--verdict", "wrnog")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("run",), "Missing argument"),
        (("run", "mmlu-pro", "--sample"), "no model: add -m"),
        (("run", "mmlu-pro", "--sample", "-m", "server:"), "has no name"),
        (("run", "mmlu-pro", "--sample", "-m", "openai:gpt"), "openai:gpt needs a key: set OPENAI_API_KEY"),
        (("run", "mmlu-pro", "--sample", "-m", "replay:nope"), "no results folder at results"),
        (("run", "mmlu-pro", "--sample", "-m", "scripted:list=no.json"), "not a JSON list of strings"),
        (
            ("run", "mmlu-pro", "--sample", "-m", "scripted:call=tests.support.answers:none"),
            "no attribute 'none'",
        ),
        (("run", "mmlu-pro", "--sample", "-m", RIGHT, "--protocol", "intern-s1"), "add --judge MODEL"),
        (("run", "mmlu-pro", "--sample", "-m", "server:nonsense"), "write server:http://HOST:PORT/v1#NAME"),
        (("run", "mmlu-pro", "--sample", "--data", "x", "-m", RIGHT), "cannot be combined"),
        (("run", "mmlu-pro", "--sample", "-m", RIGHT, "--run", "../../x"), "use letters, digits"),
        (("run", "mmlu-pro", "--sample", "-m", RIGHT, "--run", ".."), "use letters, digits"),
        (("run", "mmlu-pro", "--sample", "-m", RIGHT, "--nonsense"), "No such option"),
        (("run", "no.toml"), "No such file"),
        (("show",), "no results folder at results; `evals run` creates one"),
        (("show", "x"), "no results folder"),
        (("show", "--samples"), "--samples requires a run"),
        (("show", "--csv"), "--csv requires --samples or --pivot"),
        (("show", "--by", "colour"), "is not 'group'"),
        (("show", "x", "--samples", "--by", "group"), "--by and --samples cannot be combined"),
        (("list", "nonsense"), "known: suites"),
        (("score", "x"), "no results folder"),
        (
            ("import", "replies", "no.jsonl", "--suite", "aime:2025", "--model", "m"),
            "no.jsonl does not exist",
        ),
    ],
)
def test_a_wrong_command_gets_one_line(here, words, line):
    assert line in refused(*words)


@pytest.mark.parametrize(
    "words",
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
        ("--max-cost", "1"),
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
def test_a_number_out_of_range_is_refused_by_its_name(here, words):
    assert words[0] in refused("run", "mmlu-pro", "--sample", "-m", RIGHT, *words)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("suites = [", "weekly.toml"),
        ('suites = ["mmlu-pro"]\nmodels = ["smollm2"]\ncolour = 1\n', "colour"),
        ('suite = ["mmlu-pro"]\nmodels = ["smollm2"]\n', "'suite'; did you mean suites"),
        ('suites = ["mmlu-pro"]\nmax-token = 5\n', "did you mean max_tokens"),
        ('suites = ["mmlu-pro"]\nmax-tokens = 5\nmax_tokens = 5\n', "set twice"),
        ('suites = ["mmlu-pro"]\nmodels = [1]\n', "models must be a list of names"),
        ('suites = ["mmlu-pro"]\nseed = "1"\n', "seed must be a whole number, got '1'"),
        ('models = ["smollm2"]\n', "no suites"),
        ('suites = ["mmlu-pro"]\nsample = true\n', "no model"),
        (
            'suites = ["mmlu-pro"]\nmodels = ["smollm2"]\nsample = true\nlimit = 0\n',
            "weekly.toml: limit must be above 0",
        ),
    ],
)
def test_a_wrong_file_of_orders_gets_one_line(here, text, line):
    Path("weekly.toml").write_text(text)
    assert line in refused("run", "weekly.toml")


# --- servers ------------------------------------------------------------------------------------------------


def test_a_server_that_is_down_is_found_by_the_first_call(here):
    with FaultyServer(GOOD) as server:
        pass
    assert "cannot reach http://127.0.0.1:" in refused(
        "run", "mmlu-pro", "--sample", "-m", server.model, "--quiet"
    )
    nameless = server.model.partition("#")[0]
    assert "is the server running there?" in refused("run", "mmlu-pro", "--sample", "-m", nameless)


@pytest.mark.parametrize(("status", "says_so"), [(401, "HTTP 401"), (403, "HTTP 403"), (404, "HTTP 404")])
def test_wrong_key_wrong_path_and_wrong_model_end_the_run_with_one_line(here, status, says_so):
    with FaultyServer(error(status, "as scripted")) as server:
        complaint = refused("run", "mmlu-pro", "--sample", "-m", server.model, "--quiet", "--concurrency", 2)
    assert says_so in complaint
    assert "as scripted" in complaint
    assert len(server.calls) <= 2


def test_a_wrong_path_is_named(here):
    with FaultyServer(GOOD) as server:
        model = server.model.replace("/v1", "/v2")
        assert "/v2/chat/completions" in refused("run", "mmlu-pro", "--sample", "-m", model, "--quiet")


def test_what_a_later_model_lacks_is_said_before_the_first_is_asked(here, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with FaultyServer(GOOD) as server:
        assert "set OPENAI_API_KEY" in refused(
            "run", "mmlu-pro", "--sample", "-m", server.model, "-m", "openai:gpt-4.1"
        )
        assert not server.calls


def test_a_server_with_several_models_wants_a_name(here):
    with FaultyServer(GOOD, serves=("one", "two")) as server:
        nameless = server.model.partition("#")[0]
        assert "serves one, two: add #NAME" in refused("run", "mmlu-pro", "--sample", "-m", nameless)
    with FaultyServer(GOOD, serves=("only",)) as server:
        assert run(model=server.model.partition("#")[0]).json["runs"][0]["model"] == "only"


BROKEN = {
    "HTML": HTML,
    "truncated JSON": TORN,
    "content null": NULL,
    "cut connection": CUT,
    "200 with an error body": ERROR_200,
    "a number that is none": Answer(200, GOOD.body.replace(b"10", b"1_0")),
    "broken UTF-8": Answer(200, GOOD.body.replace(b"ANSWER", b"\xff")),
    "an empty body": Answer(200, b""),
    "500": error(500),
    "503": error(503, **{"Retry-After": "0"}),
    "429": error(429, **{"Retry-After": "0"}),
    "400": error(400),
}
KINDS = {
    "cut connection": "disconnected",
    "500": "serverfault",
    "200 with an error body": "serverfault",
    "503": "ratelimit",
    "429": "ratelimit",
    "400": "rejected",
}
WAITED = ("429", "503")
"""A server that says so is waited for: 15 seconds each."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in WAITED else ()) for name in BROKEN],
)
def test_a_fault_of_one_sample_is_its_own_failure(here, name):
    def behave(call: Call) -> Answer:
        return BROKEN[name] if "parent of the node" in call.text else completion("ANSWER: D")

    with FaultyServer(behave) as server:
        done = run(model=server.model)
    [entry] = done.json["runs"]
    assert done.status == 1
    assert entry["counts"][f"failed:{KINDS.get(name, 'badreply')}"] == 1
    assert entry["coverage"] == 15 / 16
    head = next(e for e in entry["estimates"] if e["headline"])
    assert (head["n"], head["best"] - head["worst"]) == (15, pytest.approx(1 / 16))
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", BROKEN)
def test_where_every_call_fails_the_run_ends_early_with_one_line(here, name):
    with FaultyServer(BROKEN[name]) as server:
        done = run("--concurrency", "4", model=server.model)
    assert done.error_line.startswith("every call fails: ")
    assert len(server.calls) <= 8 * 3 + 12
    assert done.json["runs"][0]["coverage"] == 0.0
    assert done.json["runs"][0]["estimates"][0]["value"] is None


def test_three_samples_that_all_fail_get_the_line_too(here):
    with FaultyServer(error(400)) as server:
        assert "HTTP 400" in run("--limit", "3", model=server.model).error_line


@pytest.mark.parametrize("name", ["HTML", "truncated JSON", "content null", "cut connection", "500", "429"])
def test_a_passing_fault_costs_a_retry_and_nothing_else(here, name):
    seen: set[str] = set()

    def behave(call: Call) -> Answer:
        first = call.text not in seen
        seen.add(call.text)
        return BROKEN[name] if first else completion("ANSWER: A")

    with FaultyServer(behave) as server:
        done = run(model=server.model)
    assert done.status == 0, done.err
    assert len(server.calls) == 32
    records = store.runs(Path("results"))[0].records()
    assert {record.outcome.attempts for record in records} == {2}


def test_retry_after_is_honoured(here):
    import time

    times: list[float] = []

    def behave(call: Call) -> Answer:
        times.append(time.monotonic())
        return error(429, **{"Retry-After": "1"}) if call.number == 0 else GOOD

    with FaultyServer(behave) as server:
        assert run("--limit", "1", model=server.model).status == 0
    assert times[1] - times[0] >= 1.0


# --- data ---------------------------------------------------------------------------------------------------


def data_file(*rows: Any) -> Path:
    path = Path("rows.jsonl")
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def without(column: str) -> dict[str, Any]:
    return {name: value for name, value in ROW.items() if name != column}


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (
            [without("options")],
            "row 1 lacks column 'options'; it has answer, category, question, question_id",
        ),
        ([without("question")], "sample '1' has no question, so no model can be called"),
        ([ROW, ROW], "sample id '1' occurs twice"),
        ([ROW | {"answer": "C"}], "question 1: the gold answer 'C' is not one of its options"),
        ([ROW | {"answer": ""}], "the gold answer '' is not one of its options"),
        ([], "the data set is empty"),
        (["{not json\n"], "rows.jsonl: line 1"),
        ([ROW, '{"question_id": 2, "quest'], "rows.jsonl: line 2"),
        (['{"question_id": NaN}\n'], "rows.jsonl: line 1"),
        ([ROW | {"options": None}], "options"),
        ([ROW | {"options": "x, y"}], "options"),
        ([ROW | {"answer": None}], "item 1 cannot be read"),
        ([ROW | {"category": None}], "sample '1': group and options must be strings"),
        (["[1, 2]\n"], "rows.jsonl: line 1"),
    ],
    ids=str,
)
def test_a_bad_mirror_is_refused_in_one_line(here, rows, line):
    assert line in refused("run", "mmlu-pro", "--data", data_file(*rows), "-m", RIGHT)


@pytest.mark.parametrize("content", [b"\x00\x01\x02", b"PAR1 but no Parquet"])
def test_a_torn_parquet_file_is_refused(here, content):
    Path("rows.parquet").write_bytes(content)
    assert "cannot read rows.parquet" in refused("run", "mmlu-pro", "--data", "rows.parquet", "-m", RIGHT)


def test_data_that_is_absent_names_both_ways_to_get_it(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    complaint = refused("run", "mmlu-pro", "-m", RIGHT)
    assert "[hub]" in complaint
    assert "--data DIR" in complaint


def test_data_that_is_absent_offline_names_both_ways_to_get_it(here, monkeypatch):
    import types

    def load_dataset(name: str, *args: Any, **options: Any) -> Any:
        if name == "Idavidrein/gpqa":
            raise OSError(
                f"Dataset '{name}' is a gated dataset on the Hub. You must be authenticated to access it."
            )
        raise ConnectionError("Couldn't reach the hub (offline)\nwith a second line")

    stand_in = types.ModuleType("datasets")
    stand_in.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", stand_in)
    complaint = refused("run", "mmlu-pro", "-m", RIGHT)
    assert "go online once (`evals data mmlu-pro`)" in complaint
    assert "--data DIR" in complaint
    gated = refused("run", "gpqa", "-m", RIGHT)
    assert "set HF_TOKEN" in gated
    assert "--data DIR" in gated


def test_a_mirror_that_is_not_there_is_named(here):
    assert "nowhere does not exist" in refused("run", "mmlu-pro", "--data", "nowhere", "-m", RIGHT)
    Path("empty").mkdir()
    assert "no file named test" in refused("run", "mmlu-pro", "--data", "empty", "-m", RIGHT)


def test_official_without_worked_examples_names_what_is_missing(here):
    complaint = refused("run", "mmlu-pro", "--data", data_file(ROW), "-m", RIGHT, "--protocol", "official")
    assert "no file named validation" in complaint


# --- runs on disk -------------------------------------------------------------------------------------------


@pytest.fixture
def stored(here: Path) -> store.Run:
    run("--run", "a")
    return store.find_one(Path("results"), "a")


def unsealed(stored: store.Run) -> Path:
    """Turn a sealed run back into lines; gives the file of records."""
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
    assert "written in format 99; this version reads format 1" in evals("score", "a").error_line
    done = evals("show", "--json")
    assert "format 99" in done.err
    assert done.json["runs"] == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": 1, "run": 3}'])
def test_a_corrupt_card_is_named_and_hides_no_other_run(stored, content):
    run("--run", "b", "--limit", "3")
    (stored.path / "card.json").write_text(content)
    done = evals("show", "--json")
    assert [entry["run"] for entry in done.json["runs"]] == ["b"]
    assert "broken run: " in done.err
    assert "card.json" in done.err or "format" in done.err
    assert evals("list", "runs", "--json").json["runs"][0]["run"] == "b"
    assert "Traceback" not in done.err


def test_a_corrupt_record_is_named_by_its_line(stored):
    lines = unsealed(stored)
    content = lines.read_bytes().splitlines(keepends=True)
    lines.write_bytes(b"".join([*content[:3], b'{"sample": 5}\n', *content[3:]]))
    for words in (("score", "a"), ("show", "a", "--samples")):
        assert "records.jsonl, line 4: not a valid record" in evals(*words).error_line
    shown = evals("show", "a", "--json")
    assert "records.jsonl, line 4" in shown.err


def test_a_record_with_nan_is_refused(stored):
    lines = unsealed(stored)
    lines.write_bytes(lines.read_bytes().replace(b'"value":1.0', b'"value":NaN', 1))
    assert "records.jsonl, line 1" in evals("score", "a").error_line


def test_a_torn_last_line_is_dropped_with_a_warning(stored):
    lines = unsealed(stored)
    content = lines.read_bytes()
    lines.write_bytes(content[:-20])
    [entry] = evals("show", "a", "--json").json["runs"]
    assert entry["counts"] == {"right": 15, "absent": 1}
    done = run("--run", "a")
    assert "dropped a truncated last line" in done.err
    assert done.json["runs"][0]["counts"] == {"right": 16}


@pytest.mark.parametrize("name", ["records.parquet", "samples.parquet"])
def test_a_torn_parquet_file_of_a_run_is_named(stored, name):
    path = stored.path / name
    path.write_bytes(path.read_bytes()[:100])
    assert name in evals("show", "a", "--samples").error_line
    assert name in evals("score", "a").error_line


def test_a_results_folder_that_cannot_be_written_is_named(here):
    Path("results").write_text("a file")
    assert "'results' is a file" in refused("run", "mmlu-pro", "--sample", "-m", RIGHT)


def test_a_results_folder_below_proc_cannot_be_written(here):
    assert "cannot write" in refused("run", "mmlu-pro", "--sample", "-m", RIGHT, "--results", "/proc/evals")


def test_a_full_disk_in_mid_run_keeps_what_was_recorded(here, monkeypatch):
    room = [5]
    real = os.write

    def write(fd: int, content: bytes) -> int:
        """Take five records and a piece of the sixth, as a disk does that fills up."""
        if not content.startswith(b'{"sample"'):
            return real(fd, content)
        if not room[0]:
            raise OSError(28, "No space left on device")
        lines = content.splitlines(keepends=True)
        whole, torn = lines[: room[0]], b"".join(lines[room[0] :])[:10]
        room[0] -= len(whole)
        return real(fd, b"".join(whole) + torn)

    with monkeypatch.context() as patch:
        patch.setattr("evals.records.writer.os.write", write)
        done = evals("run", "mmlu-pro", "--sample", "-m", RIGHT, "--quiet", "--run", "a")
    assert "No space left on device" in done.error_line
    [entry] = evals("show", "a", "--json").json["runs"]
    assert entry["counts"] == {"right": 5, "absent": 11}
    assert run("--run", "a").json["runs"][0]["counts"] == {"right": 16}


@pytest.mark.parametrize(
    "limit", [200, *(pytest.param(bytes_, marks=pytest.mark.slow) for bytes_ in (4_000, 9_000))]
)
def test_a_file_that_may_not_grow_is_a_full_disk_too(here, limit):
    done = wait(
        start(
            *("run", "mmlu-pro", "--sample", "-m", RIGHT, "--quiet", "--json", "--run", "a"),
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
    )
    assert done.status == 2, done.err
    assert "Traceback" not in done.err
    assert done.error_line.startswith("cannot ")
    assert "too large" in done.err or "No space left" in done.err
    assert run("--run", "a").json["runs"][0]["counts"] == {"right": 16}


# --- import -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (
            ['{"id": 900001, "text": "A"}', '{"id": "1", "text": "A"}', '{"id": "2", "text": "B"}'],
            "2 ids not in the suite: 1, 2",
        ),
        (
            ['{"id": "900001", "text": "A"}', '{"id": 900001, "text": "B"}'],
            "line 2: another reply for id 900001, repeat 0",
        ),
        (
            ['{"id": "900001", "text": "A", "order": [0, 0, 1]}'],
            "line 1: order [0, 0, 1] is not a permutation",
        ),
        (['{"id": "900001", "text": "A", "order": [1, 2, 3]}'], "is not a permutation"),
        (['{"id": "900001", "text": "A", "order": [1, 0]}'], "the sample has 10"),
        (['{"id": "900001", "text": "A", "repeat": -1}'], "line 1: repeat is -1"),
        (['{"id": "900001", "text": "A"}', '{"id": "900002", "te'], "line 2: "),
        (['{"text": "A"}'], "line 1: "),
        (['{"id": 1.5, "text": "A"}'], "line 1: "),
        (['{"id": "900001", "text": 7}'], "line 1: "),
        (['{"id": "900001", "text": "A", "stop": "never"}'], "line 1: "),
        ([], "contains no replies"),
    ],
    ids=str,
)
def test_a_bad_file_of_replies_is_refused_before_anything_is_written(here, lines, line):
    Path("replies.jsonl").write_text("\n".join(lines))
    complaint = refused(
        "import", "replies", "replies.jsonl", "--suite", "mmlu-pro", "--model", "m", "--sample"
    )
    assert line in complaint


def test_many_strange_ids_are_listed_in_part(here):
    Path("r.jsonl").write_text("".join(f'{{"id": "s{n}", "text": "A"}}\n' for n in range(30)))
    complaint = refused("import", "replies", "r.jsonl", "--suite", "mmlu-pro", "--model", "m", "--sample")
    assert "30 ids not in the suite: s0, s1" in complaint
    assert "and 20 more" in complaint


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--model", "m"), "contains recorded replies: add --suite NAME"),
        (("--suite", "mmlu-pro"), "contains recorded replies: add --model NAME"),
        (("--suite", "aime", "--model", "m"), "aime matches aime:2024, aime:2025; name one"),
        (
            ("--suite", "chembench:lamalab", "--model", "m", "--protocol", "intern-s1"),
            "no protocol intern-s1",
        ),
        (("--suite", "mmlu-pro", "--model", "m", "--run", "../x"), "use letters, digits"),
    ],
)
def test_a_wrong_import_gets_one_line(here, words, line):
    Path("r.jsonl").write_text('{"id": "900001", "text": "A"}\n')
    assert line in refused("import", "replies", "r.jsonl", "--sample", *words)


# --- secrets ------------------------------------------------------------------------------------------------

KEY = "sk-verysecret123456"


def test_keys_are_in_no_file_and_in_no_output(here):
    def behave(call: Call) -> Answer:
        assert call.headers["Authorization"] == f"Bearer {KEY}"
        if "parent of the node" in call.text:
            return error(400, f"Incorrect API key provided: {KEY}")
        if "symmetric" in call.text or call.number == 3:
            return Answer(200, json.dumps({"error": {"message": f"key {KEY} is odd"}}).encode())
        return GOOD

    with FaultyServer(behave) as server:
        base = server.model.removeprefix("server:").partition("#")[0]
        env = {"EVALS_SERVER_KEY": KEY, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": base}
        for model in (server.model, "openai:faulty"):
            done = evals("run", "mmlu-pro", "--sample", "-m", model, "--json", "--concurrency", 1, env=env)
            assert done.status == 1
            assert KEY not in done.out + done.err
    with FaultyServer(error(401, f"Incorrect API key provided: {KEY}")) as server:
        done = evals("run", "mmlu-pro", "--sample", "-m", server.model, env=env)
        assert done.status == 2
        assert KEY not in done.out + done.err
    assert len(store.runs(Path("results"))) == 2
    assert files_with(here, [KEY.encode()]) == []


def test_a_user_and_password_in_a_url_are_in_no_file_and_in_no_output(here):
    def behave(call: Call) -> Answer:
        assert call.headers["Authorization"].startswith("Basic ")
        return CUT if "parent of the node" in call.text else GOOD

    with FaultyServer(behave) as server:
        model = server.model.replace("://", "://joe:hunter22@").replace("/v1", "/v1")
        done = run(model=model)
        assert done.status == 1
        shown = [done, evals("show"), evals("show", "--json"), evals("list", "runs", "--json")]
        nameless = run("--limit", "3", model=model.partition("#")[0])
        assert nameless.status == 1 or nameless.status == 0
    down = run("--limit", "4", model=model)
    assert down.status == 2
    for bad in (
        "ftp://joe:hunter22@h/v1#m",
        "http://joe:hunter22@h:port/v1#m",
        "http://joe:hunter22@[::1/v1#m",
    ):
        shown.append(evals("run", "mmlu-pro", "--sample", "-m", f"server:{bad}"))
        assert shown[-1].status == 2
    for outcome in (*shown, nameless, down):
        assert "hunter22" not in outcome.out + outcome.err
    assert files_with(here, [b"hunter22", b"joe:"]) == []


def test_the_key_for_openai_is_never_sent_to_another_server(here):
    with FaultyServer(GOOD) as server:
        evals("run", "mmlu-pro", "--sample", "-m", server.model, "--quiet", env={"OPENAI_API_KEY": KEY})
    assert all("Authorization" not in call.headers for call in server.calls)


def test_a_key_and_a_user_in_the_url_exclude_each_other(here):
    model = "server:http://joe:hunter22@127.0.0.1:1/v1#m"
    complaint = refused("run", "mmlu-pro", "--sample", "-m", model, env={"EVALS_SERVER_KEY": KEY})
    assert "not both" in complaint
    assert "hunter22" not in complaint


# --- terminals ----------------------------------------------------------------------------------------------


def on_terminal(*words: object) -> bytes:
    """Run a command on a terminal; gives all that reached it."""
    leader, follower = pty.openpty()
    started = subprocess.Popen(
        [sys.executable, "-c", "from evals.cli import main; main()", *map(str, words)],
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
    found = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        found += part
    os.close(leader)
    started.wait()
    return found


@pytest.mark.slow
def test_escapes_in_replies_and_data_never_reach_the_terminal(here):
    evil = answers.ESCAPES
    data_file(
        ROW | {"category": f"law{evil}", "question_id": f"id{evil}"},
        ROW | {"category": "b", "question_id": 2},
    )
    words = ("--data", "rows.jsonl", "-m", "scripted:call=tests.support.answers:escape_sequences")
    seen = on_terminal("run", "mmlu-pro", *words, "--run", "a")
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
        seen += on_terminal("show", "a", "--samples", *form)
        seen += on_terminal("show", "b", "--samples", *form)
    seen += on_terminal("show", "a", "--by", "group")
    seen += on_terminal("score", "a", "--protocol", "official")
    data_file(ROW | {"answer": "C", "question_id": f"id{evil}"})
    seen += on_terminal("run", "mmlu-pro", *words)
    with FaultyServer(error(401, f"no {evil}")) as server:
        seen += on_terminal("run", "mmlu-pro", "--sample", "-m", server.model)
    assert b"hidden" in seen or b"law" in seen
    for sign in (b"\x1b]0;", b"\x1b[2J", b"\x07", b"\xc2\x9b", b"\x1b[8m", b"\xe2\x80\xae"):
        assert sign not in seen, sign


def test_a_complaint_that_quotes_a_long_text_leaves_its_middle_out() -> None:
    complaint = refused("run", "x" * 5000, "-m", "smollm2")
    assert complaint.startswith("unknown suite")
    assert " ... " in complaint
    assert len(complaint) < 1300
