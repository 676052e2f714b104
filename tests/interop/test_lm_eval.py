"""Our command on lm-evaluation-harness' tasks, and lm_eval on our models, give the prompts and scores of lm_eval by itself."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals import load
from evals.errors import DataError, ModelError, UnknownName, UsageError
from evals.interop import harness
from evals.records.store import Run, runs
from evals.scorers.upstream import lm_eval_task
from tests.support.command import Outcome, evals
from tests.support.error_messages import raises
from tests.support.logprob_server import logprob_server
from tests.support.paths import TESTS

lm_eval = pytest.importorskip("lm_eval", reason="NOT TESTED: lm-eval is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # deprecation warnings of lm_eval and its dependencies

COLOURS = (("red", "fire"), ("blue", "sky"), ("green", "grass"), ("white", "snow"))
TASK_HEADER = """
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
fewshot_split: test
metadata: {version: 1.0}
"""
TASKS = {
    "toy_gen": """
output_type: generate_until
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{answer}}"
description: "Name colours.\\n\\n"
num_fewshot: 2
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 64}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true}
  - {metric: chrf, aggregation: chrf, higher_is_better: true}
filter_list:
  - {name: strict, filter: [{function: regex, regex_pattern: "^(red|blue|green)$"}, {function: take_first}]}
  - {name: loose, filter: [{function: regex, regex_pattern: "(red|blue|green|white)"}, {function: take_first}]}
""",
    "toy_mc": """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: label
num_fewshot: 1
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
  - {metric: mcc, aggregation: matthews_corrcoef, higher_is_better: true}
  - {metric: brier_score, aggregation: brier_score, higher_is_better: false}
""",
    "toy_ll": """
output_type: loglikelihood
doc_to_text: "{{question}}"
doc_to_target: "{{' ' + answer}}"
metric_list:
  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "toy_rolling": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list: [{metric: word_perplexity}]
""",
    "toy_many": """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
repeats: 4
metric_list: [{metric: exact_match}]
""",
    "toy_unsafe": """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
unsafe_code: true
metric_list: [{metric: exact_match}]
""",
    "toy_bare": """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
num_fewshot: 0
metric_list: [{metric: exact_match}]
""",
}
PARITY_TASKS = ("toy_gen", "toy_mc", "toy_ll")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder of tasks with their data, which our command and lm_eval both search."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {
            "question": f"Item {i}: the colour of {COLOURS[i % 4][1]} is",
            "choices": [colour for colour, _ in COLOURS],
            "label": i % 4,
            "answer": COLOURS[i % 4][0],
        }
        for i in range(40)
    ]
    data = folder / "items.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(f"task: {name}{TASK_HEADER.replace('DATA', str(data))}{text}")
    (folder / "both.yaml").write_text("group: toy_both\ntask: [toy_mc, toy_ll]\n")
    (folder / "more.yaml").write_text("group: toy_more\ntask: [{task: toy_mc, num_fewshot: 3}]\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVALS_LM_EVAL_INCLUDE", str(folder))
        patch.setenv("HF_DATASETS_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    with logprob_server() as running:
        yield running


def lm_eval_scores(base_url: str, folder: Path, task: str) -> dict[str, Any]:
    """Return the scores that lm_eval computes with its own client."""
    from lm_eval.tasks import TaskManager

    is_chat = task.startswith("toy_gen")
    arguments: dict[str, Any] = {
        "model": "words",
        "base_url": f"{base_url}/v1/{'chat/' * is_chat}completions",
    }
    if not is_chat:
        arguments["tokenizer_backend"] = "remote"
    output = lm_eval.simple_evaluate(
        model="local-chat-completions" if is_chat else "local-completions",
        model_args=arguments,
        tasks=[task],
        task_manager=TaskManager(include_defaults=False, include_path=str(folder)),
        apply_chat_template=is_chat,
        bootstrap_iters=0,
    )
    return _main_scores(output["results"][task])


def _main_scores(result: dict[str, Any]) -> dict[str, float]:
    return {
        key.removesuffix(",none"): float(value)
        for key, value in result.items()
        if "," in key and "_stderr" not in key
    }


def run_task(base_url: str, task: str, *arguments: object) -> Outcome:
    return evals(
        "run", f"lm-eval:{task}", "-m", f"server:{base_url}/v1#words", "--json", "--quiet", *arguments
    )


def scores(outcome: Outcome) -> dict[str, float]:
    (run,) = outcome.json["runs"]
    return {estimate["metric"]: estimate["value"] for estimate in run["estimates"]}


@pytest.mark.slow
@pytest.mark.parametrize("task", PARITY_TASKS)
def test_scores_and_prompts_equal_lm_evals_on_a_stand_in_for_vllm(here, tasks, server, task: str) -> None:
    base_url, requests = server
    requests.clear()
    expected = lm_eval_scores(base_url, tasks, task)
    lm_eval_messages = [body.get("messages") for body in requests]
    requests.clear()
    outcome = run_task(base_url, task)
    assert outcome.status == 0, outcome.err
    assert scores(outcome) == expected  # floats equal to the last digit
    (run,) = outcome.json["runs"]
    assert run["coverage"] == 1.0
    assert all(estimate["low"] is not None for estimate in run["estimates"] if estimate["headline"])
    if task == "toy_gen":
        our_messages = [body["messages"] for body in requests]
        assert sorted(map(json.dumps, our_messages)) == sorted(map(json.dumps, lm_eval_messages))
        assert requests[0]["stop"] == ["\n\n"]
        assert requests[0]["max_tokens"] == 64
        assert 0 < run["counts"]["unanswered"] < 40


@pytest.mark.slow
def test_a_run_is_rescored_and_replayed_without_requests(here, tasks, server) -> None:
    base_url, requests = server
    first = scores(run_task(base_url, "toy_mc"))
    (run,) = runs(Path("results"))
    rescored = evals("score", run.path.name, "--json")
    assert rescored.status == 0, rescored.err
    assert {e.metric: e.value for e in Run(run.path).card.estimates} == first
    requests.clear()
    replayed = evals("run", "lm-eval:toy_mc", "-m", f"replay:{run.path.name}", "--json", "--quiet")
    assert scores(replayed) == first
    assert not requests


@pytest.mark.slow
def test_failed_calls_are_excluded_from_the_score_and_widen_its_bounds(here, tasks) -> None:
    evals("run", "lm-eval:toy_gen", "-m", "scripted:call=test_lm_eval:half_fails", "--quiet")
    (run,) = runs(Path("results"))
    card = Run(run.path).card
    assert card.coverage == 0.5
    assert card.counts == {"failed:modelerror": 20, "right": 10, "wrong": 10}
    headline = next(e for e in card.estimates if e.headline)
    assert (headline.value, headline.n) == (0.5, 20)
    assert (headline.worst, headline.best) == (0.25, 0.75)


def half_fails(prompt: Any) -> str:
    """Answer the even items, and raise RuntimeError for the odd ones."""
    item = prompt.messages[-1].parts[0].text.split("Item ")[1].split(":")[0]
    if int(item) % 2:
        raise RuntimeError("an odd item")
    return "red"


@pytest.mark.parametrize("task", PARITY_TASKS)
def test_the_check_accepts_only_tasks_whose_reference_answers_score_1(here, tasks, task: str) -> None:
    outcome = evals("check", f"lm-eval:{task}")
    assert (outcome.status, "40 samples, OK" in outcome.out) == (task == "toy_gen", task != "toy_gen")


@pytest.mark.parametrize(
    "spec",
    [
        "lm-eval",
        pytest.param("lm-eval:toy_genn", marks=pytest.mark.slow),
        "lm-eval:nowhere.yaml",
        "lm-eval:both.yaml",
        "lm-eval:toy_more",
        "lm-eval:toy_bare:5",
    ],
)
def test_an_unusable_task_name_is_an_error(tasks, monkeypatch, spec: str) -> None:
    monkeypatch.chdir(tasks)
    with raises((UsageError, UnknownName)):
        load.suite(spec)


def test_the_error_for_an_unknown_task_says_where_tasks_of_the_user_are_looked_up(monkeypatch) -> None:
    monkeypatch.delenv("EVALS_LM_EVAL_INCLUDE", raising=False)
    monkeypatch.setattr("evals.suites.lm_eval._read_index", lambda include, *, defaults: {"gsm8k": None})
    with raises(UnknownName) as error:
        load.suite("lm-eval:my_own_task")
    assert "EVALS_LM_EVAL_INCLUDE" in str(error.value)


@pytest.mark.parametrize("task", ["toy_rolling", "toy_many", "toy_unsafe"])
def test_the_error_for_an_unsupported_task_states_the_reason(here, tasks, server, task: str) -> None:
    run_task(server[0], task).assert_usage_error()


def test_the_options_sample_and_data_are_rejected_as_tasks_define_their_data(here, tasks, server) -> None:
    run_task(server[0], "toy_mc", "--sample").assert_usage_error()
    Path("mirror").mkdir()
    run_task(server[0], "toy_mc", "--data", "mirror").assert_usage_error()


def test_tasks_with_likelihoods_need_a_model_that_returns_them(here, tasks) -> None:
    evals("run", "lm-eval:toy_mc", "-m", "scripted:A", "--quiet").assert_usage_error()


def test_a_group_is_expanded_into_its_tasks_and_the_number_of_shots_is_part_of_the_name(
    tasks, monkeypatch
) -> None:
    assert [suite.id for suite in load.suite("lm-eval:toy_both")] == ["lm-eval:toy_mc", "lm-eval:toy_ll"]
    (three_shot,) = load.suite("lm-eval:toy_mc:3")
    assert (three_shot.id, three_shot.folder.partition("@")[0]) == ("lm-eval:toy_mc:3", "lm-eval-toy_mc-3")
    (from_file,) = load.suite(f"lm-eval:{tasks / 'toy_mc.yaml'}")
    assert from_file.id == "lm-eval:toy_mc"
    assert from_file.version == load.suite("lm-eval:toy_mc")[0].version


def test_an_edited_task_has_a_different_version(tasks, tmp_path) -> None:
    edited = tmp_path / "edited.yaml"
    text = (tasks / "toy_mc.yaml").read_text().replace("toy_mc", "toy_edited")
    versions = []
    for template in ("{{question}}", "Well: {{question}}"):
        edited.write_text(text.replace("{{question}}", template))
        lm_eval_task.load_task.cache_clear()  # as in another process
        versions.append(load.suite(f"lm-eval:{edited}")[0].version)
    assert versions[0] != versions[1]


def test_loading_a_task_keeps_the_state_of_the_global_random_generator(tasks) -> None:
    lm_eval_task.load_task.cache_clear()
    random.seed(7)
    before = random.getstate()
    load.suite("lm-eval:toy_mc")
    assert lm_eval_task.load_task.cache_info().misses
    assert random.getstate() == before


def test_without_lm_eval_the_error_names_the_extra(tasks, monkeypatch) -> None:
    monkeypatch.setattr(lm_eval_task, "find_spec", lambda name: None)
    with raises(UsageError):
        load.suite("lm-eval:toy_mc")


def test_a_task_that_cannot_be_loaded_is_a_data_error(tasks, tmp_path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        f"task: toy_broken{TASK_HEADER.replace('DATA', str(tmp_path / 'none.jsonl'))}{TASKS['toy_mc']}"
    )
    with raises(DataError):
        load.suite(f"lm-eval:{broken}")


@pytest.mark.slow
@pytest.mark.parametrize("task", PARITY_TASKS)
def test_lm_eval_computes_the_same_scores_with_our_model_and_with_its_own_client(
    tasks, server, task: str
) -> None:
    from lm_eval.tasks import TaskManager

    base_url, _ = server
    harness.register()
    output = lm_eval.simple_evaluate(
        model="evals",
        model_args=f"model=server:{base_url}/v1#words,concurrency=4",
        tasks=[task],
        task_manager=TaskManager(include_defaults=False, include_path=str(tasks)),
        apply_chat_template=task == "toy_gen",
        bootstrap_iters=0,
    )
    assert _main_scores(output["results"][task]) == lm_eval_scores(base_url, tasks, task)


def test_a_failed_request_ends_an_lm_eval_run_without_a_score(tasks) -> None:
    caller = harness.BatchCaller(load.model("scripted:call=test_lm_eval:half_fails"))
    try:
        with raises(ModelError):
            harness.generate(caller, [(f"Item {n}: colour", {}) for n in range(2)])
    finally:
        caller.close()


def test_likelihoods_with_a_chat_template_are_a_usage_error(tasks) -> None:
    caller = harness.BatchCaller(load.model("scripted:A"))
    try:
        with raises(UsageError):
            harness.loglikelihoods(caller, [(harness.Turns("[]"), "x")])
    finally:
        caller.close()


def test_loading_the_lm_eval_benchmark_does_not_import_lm_eval(tmp_path) -> None:
    import subprocess

    code = "import sys; from evals import load; load.benchmark('lm-eval'); print('lm_eval' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ)
    )
    assert process.stdout.strip() == "False", process.stderr


MOCK_TASK = """
output_type: generate_until
doc_to_text: "{{question}} Options: {{options|join('; ')}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["</s>"], max_gen_toks: 256}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
filter_list: [{name: letter, filter: [{function: regex, regex_pattern: "ANSWER: ([A-J])"}, {function: take_first}]}]
"""


@pytest.mark.slow
def test_scores_equal_lm_evals_on_the_mock_server_of_the_benchmarks(here, tasks, tmp_path) -> None:
    """Runs 400 items of a generative task, as the mock server returns no likelihoods."""
    from tests.performance import workbench

    try:
        data = workbench.head(workbench.make_data(tmp_path / "data"), 400)
    except FileNotFoundError as error:
        pytest.skip(f"NOT TESTED ON THE MOCK: {error}")
    text = f"task: toy_gen_mocked{TASK_HEADER.replace('DATA', str(data))}{MOCK_TASK}"
    (tmp_path / "mocked.yaml").write_text(text)
    with workbench.mock() as server:
        server.configure({"dist": "zero", "slots": 0})
        base_url = f"http://127.0.0.1:{server.port}"
        expected = lm_eval_scores(base_url, tmp_path, "toy_gen_mocked")
        outcome = run_task(base_url, str(tmp_path / "mocked.yaml"))
    assert scores(outcome) == {"exact_match": expected["exact_match,letter"]}
    assert 0.5 < expected["exact_match,letter"] < 0.75


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start vLLM with the tiny checkpoint, if its environment exists, and yield the base URL without /v1."""
    import subprocess

    from evals.model_adapters.common import launch, server_process
    from evals.model_adapters.vllm import ENGINE
    from tools.environments import VLLM

    python = VLLM.python()
    if python is None:
        pytest.skip("NOT TESTED ON REAL VLLM: python -m tools.environments vllm creates its environment")
    folder = tmp_path_factory.mktemp("vllm")
    weights = folder / "words"
    script = TESTS / "support" / "tiny_checkpoint.py"
    subprocess.run([str(python), str(script), str(weights)], check=True, capture_output=True, timeout=300)
    server_arguments = ("--dtype", "float32", "--enforce-eager", "--enable-tokenizer-info-endpoint")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        launch_spec = launch.LaunchSpec(
            engine=ENGINE, model=str(weights), python=str(python), arguments=server_arguments
        )
        process = server_process.ServerProcess(launch_spec, folder / "vllm.log")
        process.start()
    try:
        yield process.url.removesuffix("/v1")
    finally:
        process.stop()


@pytest.mark.nightly
@pytest.mark.parametrize("task", PARITY_TASKS)
def test_scores_equal_lm_evals_on_vllm(here, tasks, vllm, task: str) -> None:
    expected = lm_eval_scores(vllm, tasks, task)
    outcome = run_task(vllm, task, "--concurrency", 1)
    assert outcome.status == 0, outcome.err
    print(f"\n{task}: {scores(outcome)}")
    assert scores(outcome) == expected
