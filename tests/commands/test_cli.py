"""The command line as a contract: every option, every way to name a run, and every exit status."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evals.commands import common
from evals.records import store
from evals.records.writer import Writer
from tests.support import answers
from tests.support.command import evals, start, wait
from tests.support.faults import GOOD, Call, FaultyServer, completion
from tests.support.paths import ROOT

RIGHT = "scripted:call=tests.support.answers:correct_answer"
ONE_FAILS = "scripted:call=tests.support.answers:heap_question_rejected"


def run(*words: object, suite: str = "mmlu-pro", model: str = RIGHT) -> Any:
    """A quiet run on sample items; gives its JSON."""
    return evals("run", suite, "--sample", "-m", model, "--quiet", "--json", *words).json["runs"][0]


def headline(entry: Any) -> Any:
    return next(e for e in entry["estimates"] if e["headline"])


# --- run: exit statuses -------------------------------------------------------------------------------------


def test_run_of_three_suites_ends_with_a_table_and_0(here):
    done = evals("run", "mmlu-pro", "gpqa", "aime", "--sample", "-m", RIGHT)
    assert done.status == 0, done.err
    assert "sample items: not a benchmark score" in done.out
    assert "Samples:  evals show" in done.out
    for suite in ("mmlu-pro", "gpqa:diamond", "aime:2024", "aime:2025"):
        assert suite in done.out
    assert done.out.count("100.0 %") >= 8  # score and coverage of each


def test_run_with_one_failure_ends_with_1_and_shows_the_bounds(here):
    done = evals("run", "mmlu-pro", "--sample", "-m", ONE_FAILS, "--quiet", "--json")
    entry = done.json["runs"][0]
    assert done.status == 1
    assert entry["counts"] == {"right": 15, "failed:rejected": 1}
    assert entry["coverage"] == 15 / 16
    head = headline(entry)
    assert (head["value"], head["n"], head["worst"], head["best"]) == (1.0, 15, 15 / 16, 1.0)
    assert "mmlu-pro: 1 failed (rejected): HTTP 400: as scripted" in done.err.splitlines()


def test_the_same_command_asks_again_only_what_failed(here):
    assert run("--run", "a", model=ONE_FAILS)["coverage"] < 1
    before = {r.sample: r.started for r in store.find_one(Path("results"), "a").records()}
    assert evals("run", "mmlu-pro", "--sample", "-m", ONE_FAILS, "--quiet", "--run", "a").status == 1
    after = {r.sample: r.started for r in store.find_one(Path("results"), "a").records()}
    assert [name for name in before if before[name] != after[name]] == ["900004"]


def test_a_finished_run_is_not_asked_again(here):
    with FaultyServer(GOOD) as server:
        first = run(model=server.model)
        again = run(model=server.model)
    assert len(server.calls) == 16
    assert again["run"] == first["run"]
    assert again["estimates"] == first["estimates"]


def slow_server(delay_s: float) -> FaultyServer:
    def behave(call: Call) -> Any:
        time.sleep(delay_s)
        return GOOD

    return FaultyServer(behave)


def interrupted(times: int, *, delay_s: float) -> tuple[Any, Any]:
    """Press Ctrl-C so often on a running command; gives what it left and how many calls it made."""
    with slow_server(delay_s) as server:
        started = start("run", "mmlu-pro", "--sample", "-m", server.model, "--concurrency", "4", "--json")
        while len(server.calls) < 8:
            time.sleep(0.01)
        for _ in range(times):
            started.send_signal(signal.SIGINT)
            time.sleep(0.05)
        done = wait(started)
    return done, len(server.calls)


def test_ctrl_c_once_keeps_what_is_in_flight_and_exits_130(here):
    done, calls = interrupted(1, delay_s=0.4)
    [entry] = done.json["runs"]
    assert done.status == 130
    assert calls < 16
    assert entry["counts"]["absent"] == 16 - calls
    assert entry["coverage"] == calls / 16
    assert entry["status"] == "interrupted"
    assert "Traceback" not in done.err


def test_ctrl_c_twice_leaves_now_and_loses_nothing_recorded(here):
    started = time.monotonic()
    done, calls = interrupted(2, delay_s=3.0)
    assert done.status == 130
    entry = done.json["runs"][0]
    assert entry["coverage"] <= (calls - 1) / 16  # those in flight were given up
    assert time.monotonic() - started < 15
    assert "Traceback" not in done.err


def test_ctrl_c_then_the_same_command_finishes_the_run(here):
    interrupted(1, delay_s=0.4)
    [stopped] = store.runs(Path("results"))
    with FaultyServer(GOOD) as server:
        # another port is another server: the same configuration needs the same address
        card = stopped.card
        card.config = msgspec.structs.replace(card.config, model=server.model)
        store.write_card(stopped.path, card)
        done = evals("run", "mmlu-pro", "--sample", "-m", server.model, "--json")
        assert done.status == 0, done.err
        assert "resuming" in done.err
        assert 0 < len(server.calls) < 16
    assert done.json["runs"][0]["run"] == card.run
    assert done.json["runs"][0]["coverage"] == 1.0


def test_two_processes_on_one_run_the_second_is_refused(here):
    with slow_server(0.4) as server:
        words = ("run", "mmlu-pro", "--sample", "-m", server.model, "--concurrency", "4", "--run", "a")
        first = start(*words, "--quiet", "--json")
        while not server.calls:
            time.sleep(0.01)
        second = evals(*words)
        done = wait(first)
    assert second.error_line.startswith("run a is being written by another process")
    assert done.status == 0
    assert done.json["runs"][0]["coverage"] == 1.0
    assert len(server.calls) == 16


def test_stdout_is_one_json_document_and_progress_goes_to_stderr(here):
    done = wait(
        start(
            "run",
            "mmlu-pro",
            "aime",
            "--sample",
            "-m",
            RIGHT,
            "--json",
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    )
    assert done.status == 0, done.err
    assert [entry["suite"] for entry in done.json["runs"]] == ["mmlu-pro", "aime:2024", "aime:2025"]
    assert "mmlu-pro: 16/16" in done.err


def test_a_closed_pipe_is_no_error(here):
    run()
    started = start("show", "--json")
    assert started.stdout is not None
    started.stdout.close()
    assert started.wait(30) == 0
    assert started.stderr is not None
    assert started.stderr.read() == ""
    started.stderr.close()


# --- run: options -------------------------------------------------------------------------------------------


def test_quiet_says_nothing_on_stderr(here):
    assert evals("run", "mmlu-pro", "--sample", "-m", RIGHT, "--quiet").err == ""


def test_protocol_is_part_of_the_identity(here):
    strict, official = run(), run("--protocol", "official")
    assert (strict["protocol"], official["protocol"]) == ("strict", "official")
    assert strict["run"] != official["run"]
    assert {e["metric"] for e in official["estimates"]} > {"accuracy", "accuracy_guess"}


def test_sampling_options_are_sent_and_kept_on_the_card(here):
    with FaultyServer(GOOD) as server:
        options = [
            "--temperature",
            "0.7",
            "--top-p",
            "0.9",
            "--max-tokens",
            "77",
            "--seed",
            "5",
            "--no-thinking",
        ]
        entry = run(*options, model=server.model)
    sent = server.calls[0].body
    assert {k: sent[k] for k in ("temperature", "top_p", "max_tokens", "seed")} == {
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 77,
        "seed": 5,
    }
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}
    assert sent["model"] == "faulty"
    config = store.find_one(Path("results"), entry["run"]).card.config
    assert (config.sampling.temperature, config.sampling.max_tokens, config.seed) == (0.7, 77, 5)


def test_thinking_is_sent_only_where_it_was_asked_for(here):
    with FaultyServer(GOOD) as server:
        run(model=server.model)
        run("--thinking", model=server.model)
    assert "chat_template_kwargs" not in server.calls[0].body
    assert server.calls[-1].body["chat_template_kwargs"] == {"enable_thinking": True}


def test_temperature_0_is_a_setting_and_not_the_absence_of_one(here):
    with FaultyServer(completion("\\boxed{7}")) as server:
        run("--protocol", "official", "--temperature", "0", suite="aime:2025", model=server.model)
    assert {call.body["temperature"] for call in server.calls} == {0.0}


def test_a_greedy_run_sends_no_seed(here):
    with FaultyServer(GOOD) as server:
        run("--seed", "9", model=server.model)
    assert "seed" not in server.calls[0].body


def test_repeats_ask_every_item_so_often_with_other_seeds(here):
    with FaultyServer(GOOD) as server:
        entry = run(
            "--repeats", "3", "--temperature", "0.5", "--seed", "10", "--limit", "14", model=server.model
        )
    seeds = Counter(call.body["seed"] for call in server.calls)
    assert seeds == {10: 14, 11: 14, 12: 14}
    assert entry["expected"] == headline(entry)["n"] == 42
    assert headline(entry)["clusters"] == 14


def test_repeats_on_a_greedy_model_warn(here):
    done = evals("run", "mmlu-pro", "--sample", "-m", RIGHT, "--repeats", "2", "--quiet")
    assert done.status == 0
    assert "warning: 2 repeats at temperature 0 will be identical" in done.err


def test_concurrency_is_never_exceeded_and_is_reached(here):
    lock, inside, most = threading.Lock(), [0], [0]

    def behave(call: Call) -> Any:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.05)
        with lock:
            inside[0] -= 1
        return GOOD

    with FaultyServer(behave) as server:
        run("--concurrency", "3", model=server.model)
    assert most[0] == 3


def test_limit_takes_a_seeded_random_subset_stratified_by_group(here, tmp_path):
    rows = [
        {"question_id": i, "question": f"q{i}", "options": ["x", "y"], "answer": "A", "category": c}
        for i, c in enumerate("a" * 60 + "b" * 30 + "c" * 10)
    ]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def chosen(name: str, *words: object) -> list[str]:
        evals(
            "run",
            "mmlu-pro",
            "--data",
            "rows.jsonl",
            "-m",
            "scripted:A",
            "--limit",
            20,
            "--run",
            name,
            "--quiet",
            *words,
        )
        return [s.id for s in store.find_one(Path("results"), name).samples()]

    first = chosen("a")
    groups = Counter(rows[int(name)]["category"] for name in first)
    assert groups == {"a": 12, "b": 6, "c": 2}
    assert first != [str(i) for i in range(20)]
    assert first == sorted(first, key=int)  # kept in the order of the data
    assert chosen("again") == first
    assert chosen("other", "--seed", 1) != first


def test_limit_beyond_the_data_takes_all(here):
    assert run("--limit", "1000")["expected"] == 16


def test_max_total_tokens_ends_with_a_valid_partial_result(here):
    with FaultyServer(GOOD) as server:  # 15 tokens a call
        done = evals(
            "run",
            "mmlu-pro",
            "--sample",
            "-m",
            server.model,
            "--max-total-tokens",
            60,
            "--concurrency",
            1,
            "--json",
        )
    entry = done.json["runs"][0]
    assert done.status == 1
    assert "--max-total-tokens 60 reached" in done.err
    assert (len(server.calls), entry["coverage"], entry["counts"]["absent"]) == (4, 4 / 16, 12)
    assert entry["tokens"] == {"input": 40, "output": 20}
    head = headline(entry)
    assert head["n"] == 4
    assert head["worst"] == head["value"] * 4 / 16
    assert head["best"] == (head["value"] * 4 + 12) / 16


def test_max_cost_needs_a_price_and_stops_at_it(here):
    with FaultyServer(GOOD) as server:
        words = (
            "run",
            "mmlu-pro",
            "--sample",
            "-m",
            server.model,
            "--max-cost",
            "0.001",
            "--json",
            "--concurrency",
            1,
        )
        assert "add --price IN,OUT" in evals(*words).error_line
        done = evals(*words, "--price", "10,20")  # 0.0002 USD a call
    assert done.status == 1
    assert "--max-cost 0.001 USD reached" in done.err
    assert len(server.calls) == 5
    assert done.json["runs"][0]["cost_usd"] == pytest.approx(0.001)


def test_timeout_is_the_deadline_of_one_call(here, monkeypatch):
    monkeypatch.setattr("evals.calls.backoff.FIRST_S", 0.01)

    def behave(call: Call) -> Any:
        if "parent of the node" in call.text:
            time.sleep(0.5)
        return GOOD

    with FaultyServer(behave) as server:
        entry = run("--timeout", "0.2", model=server.model)
    assert entry["counts"]["failed:timeout"] == 1


def test_results_folder_can_lie_elsewhere(here):
    entry = run("--results", "deep/er")
    assert not Path("results").exists()
    assert [p.name for p in Path("deep/er").iterdir()] == ["mmlu-pro@2"]
    assert evals("show", entry["run"], "--results", "deep/er").status == 0
    assert (
        f"evals show {entry['run']} --samples --results deep/er"
        in evals("run", "mmlu-pro", "--sample", "-m", RIGHT, "--results", "deep/er", "--quiet").out
    )


def test_folders_are_named_by_suite_version_model_and_run(here):
    run("--run", "first", suite="gpqa")
    assert Path("results/gpqa-diamond@2/scripted/first/card.json").exists()


def test_a_changed_configuration_makes_a_new_run_and_says_what_changed(here):
    first = run()
    done = evals("run", "mmlu-pro", "--sample", "-m", RIGHT, "--max-tokens", 5, "--json", "--quiet")
    assert done.json["runs"][0]["run"] != first["run"]
    assert "max tokens is 5 and was" in done.err
    assert f" in {first['run']}" in done.err
    named = evals("run", "mmlu-pro", "--sample", "-m", RIGHT, "--run", "x", "--json", "--quiet")
    other = evals(
        "run", "mmlu-pro", "--sample", "-m", RIGHT, "--run", "x", "--limit", 14, "--json", "--quiet"
    )
    assert [named.json["runs"][0]["run"], other.json["runs"][0]["run"]] == ["x", "x-2"]
    assert "run x exists, so this is x-2: --limit is 14 and was not set" in other.err


def test_one_run_id_may_hold_the_suites_of_one_command(here):
    done = evals("run", "mmlu-pro", "aime", "--sample", "-m", RIGHT, "--run", "week1", "--json", "--quiet")
    assert {entry["run"] for entry in done.json["runs"]} == {"week1"}
    assert len(evals("show", "week1", "--json").json["runs"]) == 3
    assert len(evals("show", "week1", "--samples", "--json").json["samples"]) == 16 + 12 + 12
    assert "matches 3 suites" in evals("show", "week1", "--sample", "900001").error_line
    assert evals("show", "week1/mmlu-pro", "--sample", "900001").status == 0
    assert evals("show", "results/mmlu-pro@2/scripted/week1", "--samples").status == 0


def test_several_models_run_one_after_the_other(here):
    with FaultyServer(GOOD) as a, FaultyServer(completion("ANSWER: B")) as b:
        done = evals(
            "run",
            "mmlu-pro",
            "aime:2025",
            "--sample",
            "-m",
            a.model,
            "-m",
            b.model,
            "--json",
            "--quiet",
            "--run",
            "x",
        )
    assert done.status == 0
    assert [entry["suite"] for entry in done.json["runs"]] == ["mmlu-pro", "aime:2025"] * 2
    assert len(a.calls) == len(b.calls) == 28


def test_a_file_holds_the_same_as_the_command_line(here):
    Path("weekly.toml").write_text(
        f'suites = ["mmlu-pro", "aime:2025"]\nmodels = ["{RIGHT}"]\nsample = true\nrun = "weekly"\nmax_tokens = 99\n'
    )
    done = evals("run", "weekly.toml", "--json", "--quiet")
    assert done.status == 0, done.err
    assert [(e["suite"], e["run"]) for e in done.json["runs"]] == [
        ("mmlu-pro", "weekly"),
        ("aime:2025", "weekly"),
    ]
    assert store.find(Path("results"), "weekly")[0].card.config.sampling.max_tokens == 99


def test_the_command_line_wins_over_the_file(here):
    Path("weekly.toml").write_text(
        f'suites = ["mmlu-pro"]\nmodels = ["{RIGHT}"]\nsample = true\nseed = 3\ntemperature = 0.5\nthinking = true\n'
    )
    with FaultyServer(GOOD) as server:
        words = ("-m", server.model, "--temperature", 0, "--seed", 0, "--no-thinking")
        done = evals("run", "weekly.toml", *words, "--json", "--quiet")
    assert done.status == 0, done.err
    config = store.runs(Path("results"))[0].card.config
    assert (config.seed, config.sampling.temperature, config.sampling.thinking) == (0, 0.0, False)
    assert len(server.calls) == 16


def test_a_suite_named_twice_runs_once(here):
    done = evals("run", "mmlu-pro", "mmlu_pro", "--sample", "-m", RIGHT, "--json", "--quiet")
    assert len(done.json["runs"]) == 1


def test_replay_answers_as_the_run_did_without_a_model(here):
    entry = run("--run", "a", model=ONE_FAILS)
    again = evals("run", "mmlu-pro", "--sample", "-m", "replay:a", "--json", "--quiet")
    assert again.status == 1
    assert headline(again.json["runs"][0])["value"] == headline(entry)["value"]
    assert again.json["runs"][0]["counts"] == {"right": 15, "failed:rejected": 1}


# --- show ---------------------------------------------------------------------------------------------------


@pytest.fixture
def two_runs(here):
    run("--run", "alpha", model=ONE_FAILS)
    run("--run", "beta", suite="aime:2025")
    return here


def test_show_without_a_name_shows_all_runs(two_runs):
    done = evals("show")
    assert done.status == 0
    assert "alpha" in done.out
    assert "beta" in done.out
    assert "93.8 to 100.0" in done.out  # worst..best beside the score
    assert len(evals("show", "--json").json["runs"]) == 2


@pytest.mark.parametrize("name", ["alpha", "al", "results/mmlu-pro@2/scripted/alpha"])
def test_show_names_a_run_by_id_by_a_unique_beginning_and_by_folder(two_runs, name):
    [entry] = evals("show", name, "--json").json["runs"]
    assert entry["run"] == "alpha"


def test_show_of_a_folder_of_runs(two_runs):
    assert len(evals("show", "results", "--json").json["runs"]) == 2


def test_show_by_group(two_runs):
    done = evals("show", "alpha", "--by", "group")
    assert "mmlu-pro · strict · scripted" in done.out
    assert "computer science" in done.out


def test_show_samples_is_a_row_per_sample_and_repeat(here):
    run("--run", "a", "--repeats", 2, "--temperature", 1, model=ONE_FAILS)
    rows = evals("show", "a", "--samples", "--json").json["samples"]
    assert len(rows) == 32
    first = rows[0]
    assert list(first) == ["id", "repeat", "group", "verdict", "value", "answer", "target", "why", "form"]
    assert (first["id"], first["repeat"], first["verdict"], first["target"]) == ("900001", 0, "right", "D")
    failed = [row for row in rows if row["verdict"] == "failed:rejected"]
    assert [(row["id"], row["repeat"]) for row in failed] == [("900004", 0), ("900004", 1)]
    assert "as scripted" in failed[0]["why"]


def test_show_samples_by_verdict(two_runs):
    assert len(evals("show", "alpha", "--samples", "--verdict", "right", "--json").json["samples"]) == 15
    assert len(evals("show", "alpha", "--samples", "--verdict", "failed", "--json").json["samples"]) == 1
    assert evals("show", "alpha", "--samples", "--verdict", "wrong", "--json").json["samples"] == []


def test_show_samples_as_csv(two_runs):
    rows = list(csv.DictReader(io.StringIO(evals("show", "alpha", "--samples", "--csv").out)))
    assert len(rows) == 16
    assert rows[0]["id"] == "900001"


def test_show_samples_as_a_table(two_runs):
    assert "900004" in evals("show", "alpha", "--samples").out


def test_csv_cells_are_no_formulas(here):
    run("--run", "a", suite="aime:2025", model="scripted:\\boxed{-7}")
    for row in csv.DictReader(io.StringIO(evals("show", "a", "--samples", "--csv").out)):
        assert not any((cell or "")[:1] in ("=", "+", "-", "@") for cell in row.values())


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_a_gated_suite_shows_neither_targets_nor_texts(here, form):
    run("--run", "g", suite="gpqa")
    shown = evals("show", "g", "--samples", *form).out
    rows = answers.bundled_rows("gpqa")
    assert "target" not in shown
    assert any(row["Record ID"] in shown for row in rows)
    for row in rows:
        for column in ("Question", "Correct Answer", "Incorrect Answer 1", "Explanation"):
            text = row.get(column, "").strip()
            assert len(text) < 4 or text not in shown, column


def test_a_running_run_is_shown_with_its_numbers_so_far(here):
    with slow_server(0.2) as server:
        started = start(
            "run", "mmlu-pro", "--sample", "-m", server.model, "--concurrency", 2, "--run", "a", "--quiet"
        )
        while len(server.calls) < 7:
            time.sleep(0.01)
        [entry] = evals("show", "a", "--json").json["runs"]
        wait(started)
    assert entry["status"] == "running"
    assert 0 < headline(entry)["n"] < 16
    assert entry["counts"]["absent"] == 16 - headline(entry)["n"]


# --- list, check, doctor ------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["suites", "models", "runs", "protocols"])
def test_list_prints_a_table_and_json(two_runs, what):
    assert evals("list", what).out.strip()
    assert evals("list", what, "--json").json[what]


def test_every_suite_names_the_licence_of_its_data_and_what_to_cite():
    listed = evals("list", "protocols", "--json").json["protocols"]
    assert listed
    assert not [entry["suite"] for entry in listed if not (entry["licence"] and entry["cite"])]


def test_list_names_what_the_first_issue_promises(here):
    suites = {entry["name"]: entry for entry in evals("list", "suites", "--json").json["suites"]}
    assert suites["gpqa"]["variants"] == ["diamond", "main", "extended"]
    assert suites["gpqa"]["gated"] is True
    assert suites["mmlu-pro"]["rows"] == 12_032
    assert suites["aime"]["variants"] == ["2024", "2025"]
    for name in ("mmlu-pro", "gpqa", "aime"):
        assert set(suites[name]["protocols"]) == {"strict", "official", "intern-s1", "intern-s1~"}
    models = {entry["name"] for entry in evals("list", "models", "--json").json["models"]}
    assert {"server:", "openai:", "smollm2", "replay:", "scripted:"} <= models
    refusing = [e for e in evals("list", "protocols", "--json").json["protocols"] if not e["runs"]]
    assert ("mmlu-pro", "intern-s1") not in {(e["suite"], e["protocol"]) for e in refusing}


def test_list_suites_says_what_the_benchmarks_say(here):
    from evals import load

    for entry in evals("list", "suites", "--json").json["suites"]:
        benchmark = load.benchmark(entry["name"])
        rows = {name: variant.rows for name, variant in benchmark.variants.items()}
        assert entry["rows"] == (rows.get("", {}) if set(rows) <= {""} else rows)
        assert entry["protocols"] == list(benchmark.protocol_names)
        assert (entry["needs"], entry["gated"]) == (sorted(benchmark.needs), benchmark.gated)
        assert entry["default"] == list(benchmark.default or [name for name in rows if name])
        assert entry["about"] == benchmark.title


def test_list_runs_of_an_empty_folder(here):
    assert "No runs" in evals("list", "runs").out
    assert evals("list", "runs", "--json").json == {"runs": []}


def test_check_finds_the_sample_items_sound(here):
    done = evals("check", "mmlu-pro", "gpqa", "aime", "--sample")
    assert done.status == 0
    assert "mmlu-pro (strict): 16 samples, OK" in done.out
    checks = evals("check", "mmlu-pro", "--sample", "--protocol", "official", "--json").json["checks"]
    assert [(c["suite"], c["protocol"], c["samples"], c["faults"]) for c in checks] == [
        ("mmlu-pro", "official", 16, [])
    ]


def test_check_ends_with_1_where_a_gold_answer_scores_nothing(here, monkeypatch):
    from evals.suites import mmlu_pro
    from evals.types import Score

    class Never:
        def __call__(self, sample: Any, prompt: Any, reply: Any) -> Score:
            return Score(value=0.0, verdict="wrong", why="never")

    strict = msgspec.structs.replace(mmlu_pro.BENCHMARK.protocols["strict"], scorers={"choice": Never()})
    table = msgspec.structs.replace(mmlu_pro.BENCHMARK, protocols={"strict": strict})
    monkeypatch.setattr(mmlu_pro, "BENCHMARK", table)
    done = evals("check", "mmlu-pro", "--sample", "--protocol", "strict")
    assert done.status == 1
    assert "16 faults" in done.out
    assert "900001: choice gives the ideal reply 0.0 (wrong: never)" in done.out


def test_doctor_says_what_runs_and_why_not(here):
    findings = {f["what"]: f for f in evals("doctor", "--json").json["findings"]}
    assert findings["python"]["ok"]
    assert findings["results"]["ok"]
    assert findings["OPENAI_API_KEY"]["ok"] is False
    assert "ok  python" in evals("doctor").out


@pytest.mark.parametrize("words", [(), ("claims",), ("errata",), ("gate",), ("bundle",), ("judge",)])
def test_a_group_alone_prints_its_help_and_exits_2(here, words):
    done = evals(*words)
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("Usage: evals")
    assert "Commands:\n  " in done.err


def test_help_and_version(here):
    assert "run " in evals("--help").out
    assert evals("--version").out.startswith("evals, version 0.")
    for command in ("run", "show", "list", "check", "score", "import", "data", "doctor"):
        assert evals(command, "--help").out.startswith(f"Usage: evals {command}")
        assert evals(command, "--help").status == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("baseline", "save"), ("gate", "baseline")),
        (("noise",), ("gate", "noise")),
        (("reproduce",), ("claims", "reproduce")),
        (("verify",), ("bundle", "verify")),
    ],
)
def test_older_names_of_commands_work_and_are_not_listed(old, new):
    assert f"  {old[0]} " not in evals("--help").out
    help_old, help_new = (evals(*words, "--help").out.split("\n", 1) for words in (old, new))
    assert help_old[0].startswith(f"Usage: evals {' '.join(old)} ")
    assert help_new[0].startswith(f"Usage: evals {' '.join(new)} ")
    assert help_old[1] == help_new[1]


# --- score --------------------------------------------------------------------------------------------------


def test_score_again_changes_nothing_where_no_rule_changed(here):
    before = run("--run", "a", model=ONE_FAILS)
    done = evals("score", "a")
    assert done.status == 0
    assert "No scores changed." in done.out
    again = evals("score", "a", "--json").json
    assert again["changes"] == []
    assert again["run"]["estimates"] == before["estimates"]


def test_score_prints_which_samples_changed(here):
    run("--run", "a")
    stored = store.find_one(Path("results"), "a")
    writer = Writer(stored.path, stored.card)
    spoilt = []
    for record in stored.records():
        scores = record.scores
        if record.sample == "900002":
            wrong = msgspec.structs.replace(scores["choice"], value=0.0, verdict="wrong", answer="A")
            scores = {"choice": wrong}
        spoilt.append(msgspec.structs.replace(record, scores=scores))
    writer.replace(spoilt)
    writer.finalize()
    writer.close()
    done = evals("score", "a", "--json")
    assert done.json["changes"] == [
        {"id": "900002", "repeat": 0, "before": "wrong (A)", "after": "right (H)"}
    ]
    assert headline(done.json["run"])["value"] == 1.0
    assert "No scores changed" in evals("score", "a").out


def test_score_by_another_protocol_makes_a_run_beside(here):
    run("--run", "a", model="scripted:I would take B here, I think.")
    done = evals("score", "a", "--protocol", "official")
    assert done.status == 0, done.err
    assert "scores changed:" in done.out
    assert "unanswered" in done.out
    shown = {e["run"]: e for e in evals("show", "--json").json["runs"]}
    assert set(shown) == {"a", "a-official"}
    assert shown["a"]["counts"] == {"unanswered": 16}
    assert "unanswered" not in shown["a-official"]["counts"]
    assert shown["a-official"]["protocol"] == "official"
    assert "run under strict, scored under official" in shown["a-official"]["notes"]


def test_score_calls_no_model_and_reads_no_data(here, monkeypatch):
    with FaultyServer(GOOD) as server:
        run("--run", "a", model=server.model)
    monkeypatch.setattr("evals.data.Data.rows", None)  # would raise if called
    assert evals("score", "a").status == 0  # the server is gone by now


# --- import -------------------------------------------------------------------------------------------------

IDS = [str(900_001 + i) for i in range(16)]


def imported(lines: list[Any], *words: object, suite: str = "mmlu-pro") -> Any:
    """Write the lines, import them; a string is taken as it is."""
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    Path("replies.jsonl").write_text(text)
    return evals(
        "import",
        "replies",
        "replies.jsonl",
        "--suite",
        suite,
        "--model",
        "gpt-x",
        "--sample",
        "--json",
        *words,
    )


def test_import_scores_recorded_replies(here):
    done = imported([{"id": name, "text": "ANSWER: D"} for name in IDS], "--run", "r")
    [entry] = done.json["runs"]
    assert done.status == 0, done.err
    assert (entry["run"], entry["model"], entry["origin"], entry["coverage"]) == (
        "r",
        "gpt-x",
        "import replies",
        1.0,
    )
    assert entry["counts"]["right"] == 1 + sum(
        row["answer"] == "D" for row in answers.bundled_rows("mmlu_pro")[1:]
    )
    assert "replies.jsonl" in Path("results/mmlu-pro@2/gpt-x/r/card.json").read_text()


def test_import_takes_numbers_as_ids(here):
    assert imported([{"id": int(name), "text": "ANSWER: D"} for name in IDS]).status == 0


def test_import_missing_ids_are_missing_outcomes_with_bounds(here):
    right = {str(row["question_id"]): row["answer"] for row in answers.bundled_rows("mmlu_pro")}
    done = imported([{"id": name, "text": f"ANSWER: {right[name]}"} for name in IDS[:12]])
    [entry] = done.json["runs"]
    assert done.status == 0  # an import that was made is made, whatever it lacks
    assert entry["counts"] == {"right": 12, "absent": 4}
    head = headline(entry)
    assert (head["value"], head["n"], head["worst"], head["best"]) == (1.0, 12, 0.75, 1.0)
    assert (entry["coverage"], entry["status"]) == (0.75, "partial")


def test_import_order_maps_shown_letters_back(here):
    gold = {str(row["question_id"]): row for row in answers.bundled_rows("mmlu_pro")}
    lines = []
    for name in IDS:
        count = len(gold[name]["options"])
        order = [(i + 3) % count for i in range(count)]  # shown A is the data set's D
        shown = "ABCDEFGHIJ"[order.index(gold[name]["answer_index"])]
        lines.append({"id": name, "text": f"ANSWER: {shown}", "order": order})
    done = imported(lines, "--run", "r")
    assert done.json["runs"][0]["counts"] == {"right": 16}
    rows = evals("show", "r", "--samples", "--json").json["samples"]
    assert all(row["answer"] == row["target"] for row in rows)  # in the data set's letters


def test_import_keeps_reasoning_apart_and_knows_cut_and_filtered_replies(here):
    done = imported(
        [
            {"id": IDS[0], "text": "ANSWER: A", "reasoning": "ANSWER: D"},
            {"id": IDS[1], "text": "and so", "stop": "length"},
            {"id": IDS[2], "text": "ANSWER: B", "stop": "length"},
            {"id": IDS[3], "text": "", "stop": "filter"},
            {"id": IDS[4], "text": "<think>ANSWER: A</think>ANSWER: G"},
            {"id": IDS[5], "text": "<think>hm ANSWER: A"},
            {"id": IDS[6], "text": None},
        ],
        "--run",
        "r",
    )
    rows = {row["id"]: row for row in evals("show", "r", "--samples", "--json").json["samples"]}
    verdicts = [rows[name]["verdict"] for name in IDS[:8]]
    assert verdicts == [
        "wrong",
        "truncated",
        "right",
        "refused",
        "right",
        "truncated",
        "unanswered",
        "absent",
    ]
    assert done.json["runs"][0]["truncated"] == 3


def test_import_repeats(here):
    ids = [row["id"] for row in answers.bundled_rows("aime") if "2025" in row["id"]]
    lines = [{"id": name, "repeat": repeat, "text": "\\boxed{7}"} for name in ids for repeat in range(2)]
    done = imported(lines, suite="aime:2025")
    assert done.status == 0, done.err
    assert done.json["runs"][0]["expected"] == len(lines)


def test_import_builds_no_prompt_and_needs_no_question(here):
    Path("bare.jsonl").write_text(
        '{"question_id": 1, "options": ["x", "y"], "answer": "B", "category": "law"}\n'
    )
    Path("replies.jsonl").write_text('{"id": 1, "text": "The answer is (B)."}\n')
    words = (
        "--suite",
        "mmlu-pro",
        "--model",
        "m",
        "--data",
        "bare.jsonl",
        "--protocol",
        "official",
        "--json",
    )
    done = evals("import", "replies", "replies.jsonl", *words)
    assert done.status == 0, done.err
    assert done.json["runs"][0]["data"] == "local"
    refused = evals("run", "mmlu-pro", "--data", "bare.jsonl", "-m", "scripted:x")
    assert "'1' has no question" in refused.error_line


def test_import_then_score_by_another_protocol(here):
    imported([{"id": name, "text": "I would take B."} for name in IDS], "--run", "r")
    assert evals("score", "r", "--protocol", "official", "--json").json["run"]["protocol"] == "official"


def test_import_does_not_write_over_a_run(here):
    line = {"id": IDS[0], "text": "ANSWER: D"}
    imported([line], "--run", "r")
    assert "run r already exists" in imported([line], "--run", "r").error_line


# --- data ---------------------------------------------------------------------------------------------------


def test_data_verifies_a_local_mirror(here):
    Path("mirror/mmlu-pro").mkdir(parents=True)
    Path("mirror/mmlu-pro/test.jsonl").write_text(
        '{"question_id": 1, "question": "q", "options": ["x", "y"], "answer": "B", "category": "law"}\n'
    )
    done = evals("data", "mmlu-pro", "--data", "mirror")
    assert done.status == 0
    assert "mmlu-pro: 1 rows, sha256 " in done.out
    assert "differs from the pinned hash" in done.out


def test_a_single_file_serves_one_suite_alone(here):
    Path("rows.jsonl").write_text("{}\n")
    done = evals("run", "mmlu-pro", "aime:2025", "--data", "rows.jsonl", "-m", "scripted:x")
    assert "is one file, but there are 2 suites: pass a folder" in done.error_line


def test_local_data_is_named_as_such(here):
    Path("rows.jsonl").write_text(
        '{"question_id": 1, "question": "q", "options": ["x", "y"], "answer": "B", "category": "law"}\n'
    )
    done = evals("run", "mmlu-pro", "--data", "rows.jsonl", "-m", "scripted:ANSWER: B", "--quiet")
    assert "local data" in " ".join(done.out.split())
    assert evals("show", "--json").json["runs"][0]["data"] == "local"
    assert "not a benchmark score" not in done.out


def test_a_name_between_colons_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    common.table("", [("model", "left")], [["scripted:A and :warning: too"]])
    assert "scripted:A and :warning: too" in capsys.readouterr().out
