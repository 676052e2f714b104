"""Tasks of lm-evaluation-harness under our command, and our models under its: the same prompts, the same last digit."""

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
from evals.interop import harness as back
from evals.records.store import Run, runs
from evals.scorers.upstream import lm_eval_task
from tests.support.command import Outcome, evals
from tests.support.logprob_server import logprob_server
from tests.support.paths import TESTS

lm_eval = pytest.importorskip("lm_eval", reason="NOT TESTED: lm-eval is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # what lm_eval and its dependencies deprecate is theirs

COLOURS = (("red", "fire"), ("blue", "sky"), ("green", "grass"), ("white", "snow"))
HEAD = """
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
ASKED = ("toy_gen", "toy_mc", "toy_ll")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of tasks with their data, known to both sides."""
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
        (folder / f"{name}.yaml").write_text(f"task: {name}{HEAD.replace('DATA', str(data))}{text}")
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


def theirs(base: str, folder: Path, task: str) -> dict[str, Any]:
    """lm_eval's own result through its own client."""
    from lm_eval.tasks import TaskManager

    chat = task.startswith("toy_gen")
    arguments: dict[str, Any] = {"model": "words", "base_url": f"{base}/v1/{'chat/' * chat}completions"}
    if not chat:
        arguments["tokenizer_backend"] = "remote"
    found = lm_eval.simple_evaluate(
        model="local-chat-completions" if chat else "local-completions",
        model_args=arguments,
        tasks=[task],
        task_manager=TaskManager(include_defaults=False, include_path=str(folder)),
        apply_chat_template=chat,
        bootstrap_iters=0,
    )
    return _numbers(found["results"][task])


def _numbers(found: dict[str, Any]) -> dict[str, float]:
    return {
        key.removesuffix(",none"): float(value)
        for key, value in found.items()
        if "," in key and "_stderr" not in key
    }


def ours(base: str, task: str, *words: object) -> Outcome:
    return evals("run", f"lm-eval:{task}", "-m", f"server:{base}/v1#words", "--json", "--quiet", *words)


def values(found: Outcome) -> dict[str, float]:
    (run,) = found.json["runs"]
    return {one["metric"]: one["value"] for one in run["estimates"]}


@pytest.mark.slow
@pytest.mark.parametrize("task", ASKED)
def test_parity_with_lm_eval_on_a_stand_in_for_vllm(here, tasks, server, task: str) -> None:
    base, asked = server
    asked.clear()
    wanted = theirs(base, tasks, task)
    sent = [body.get("messages") for body in asked]
    asked.clear()
    found = ours(base, task)
    assert found.status == 0, found.err
    assert values(found) == wanted  # floats, to the last digit
    (run,) = found.json["runs"]
    assert run["coverage"] == 1.0
    assert all(one["low"] is not None for one in run["estimates"] if one["headline"])
    if task == "toy_gen":
        key = json.dumps
        assert sorted(map(key, (body["messages"] for body in asked))) == sorted(map(key, sent))
        assert asked[0]["stop"] == ["\n\n"]
        assert asked[0]["max_tokens"] == 64
        assert 0 < run["counts"]["unanswered"] < 40


@pytest.mark.slow
def test_a_run_is_scored_again_and_replayed_without_asking(here, tasks, server) -> None:
    base, asked = server
    first = values(ours(base, "toy_mc"))
    (run,) = runs(Path("results"))
    again = evals("score", run.path.name, "--json")
    assert again.status == 0, again.err
    assert {e.metric: e.value for e in Run(run.path).card.estimates} == first
    asked.clear()
    replayed = evals("run", "lm-eval:toy_mc", "-m", f"replay:{run.path.name}", "--json", "--quiet")
    assert values(replayed) == first
    assert not asked


@pytest.mark.slow
def test_what_fails_is_in_no_mean(here, tasks) -> None:
    evals("run", "lm-eval:toy_gen", "-m", "scripted:call=test_lm_eval:half_fails", "--quiet")
    (run,) = runs(Path("results"))
    card = Run(run.path).card
    assert card.coverage == 0.5
    assert card.counts == {"failed:modelerror": 20, "right": 10, "wrong": 10}
    headline = next(e for e in card.estimates if e.headline)
    assert (headline.value, headline.n) == (0.5, 20)
    assert (headline.worst, headline.best) == (0.25, 0.75)


def half_fails(prompt: Any) -> str:
    """Answer the even items."""
    item = prompt.messages[-1].parts[0].text.split("Item ")[1].split(":")[0]
    if int(item) % 2:
        raise RuntimeError("an odd item")
    return "red"


@pytest.mark.parametrize("task", ASKED)
def test_ideal_replies_score_full_marks(here, tasks, task: str) -> None:
    found = evals("check", f"lm-eval:{task}")
    assert (found.status, "40 samples, OK" in found.out) == (task == "toy_gen", task != "toy_gen")


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("lm-eval", UsageError, "specify a task, a group or a file"),
        pytest.param("lm-eval:toy_genn", UnknownName, "did you mean toy_gen", marks=pytest.mark.slow),
        ("lm-eval:nowhere.yaml", UsageError, "no such file"),
        ("lm-eval:both.yaml", UsageError, "is a group; set EVALS_LM_EVAL_INCLUDE="),
        ("lm-eval:toy_more", UsageError, "overrides num_fewshot of its members"),
        ("lm-eval:toy_bare:5", UsageError, "defined to have no few-shot examples"),
    ],
)
def test_a_mistake_is_one_line(tasks, monkeypatch, spec: str, error: type[Exception], words: str) -> None:
    monkeypatch.chdir(tasks)
    with pytest.raises(error, match=words):
        load.suite(spec)


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("toy_rolling", "a text without context"),
        ("toy_many", "scores 4 replies to each question together"),
        ("toy_unsafe", "executes what the model writes"),
    ],
)
def test_what_cannot_be_run_says_why(here, tasks, server, task: str, why: str) -> None:
    assert why in ours(server[0], task).error_line


def test_data_is_the_tasks_own(here, tasks, server) -> None:
    assert "--sample cannot be used" in ours(server[0], "toy_mc", "--sample").error_line
    Path("mirror").mkdir()
    assert "--data cannot be used" in ours(server[0], "toy_mc", "--data", "mirror").error_line


def test_likelihoods_need_a_model_that_tells_them(here, tasks) -> None:
    complaint = evals("run", "lm-eval:toy_mc", "-m", "scripted:A", "--quiet").error_line
    assert complaint.startswith("lm-eval:toy_mc needs a model that takes logprobs")


def test_a_group_is_its_tasks_and_shots_are_part_of_the_name(tasks, monkeypatch) -> None:
    assert [suite.id for suite in load.suite("lm-eval:toy_both")] == ["lm-eval:toy_mc", "lm-eval:toy_ll"]
    (more,) = load.suite("lm-eval:toy_mc:3")
    assert (more.id, more.folder.partition("@")[0]) == ("lm-eval:toy_mc:3", "lm-eval-toy_mc-3")
    (file,) = load.suite(f"lm-eval:{tasks / 'toy_mc.yaml'}")
    assert file.id == "lm-eval:toy_mc"
    assert file.version == load.suite("lm-eval:toy_mc")[0].version


def test_an_edited_task_is_another_version(tasks, tmp_path) -> None:
    edited = tmp_path / "edited.yaml"
    text = (tasks / "toy_mc.yaml").read_text().replace("toy_mc", "toy_edited")
    versions = []
    for words in ("{{question}}", "Well: {{question}}"):
        edited.write_text(text.replace("{{question}}", words))
        lm_eval_task.load_task.cache_clear()  # as in another process
        versions.append(load.suite(f"lm-eval:{edited}")[0].version)
    assert versions[0] != versions[1]


def test_the_seed_that_a_task_is_loaded_with_stays_with_it(tasks) -> None:
    lm_eval_task.load_task.cache_clear()
    random.seed(7)
    before = random.getstate()
    load.suite("lm-eval:toy_mc")
    assert lm_eval_task.load_task.cache_info().misses
    assert random.getstate() == before


def test_without_lm_eval_the_extra_is_named(tasks, monkeypatch) -> None:
    monkeypatch.setattr(lm_eval_task, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install .*\[lm-eval\]"):
        load.suite("lm-eval:toy_mc")


def test_a_task_that_cannot_be_loaded_is_one_line(tasks, tmp_path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        f"task: toy_broken{HEAD.replace('DATA', str(tmp_path / 'none.jsonl'))}{TASKS['toy_mc']}"
    )
    with pytest.raises(DataError, match="lm-eval:toy_broken cannot be loaded"):
        load.suite(f"lm-eval:{broken}")


@pytest.mark.slow
@pytest.mark.parametrize("task", ASKED)
def test_our_models_as_models_of_lm_eval(tasks, server, task: str) -> None:
    from lm_eval.tasks import TaskManager

    base, _ = server
    back.register()
    found = lm_eval.simple_evaluate(
        model="evals",
        model_args=f"model=server:{base}/v1#words,concurrency=4",
        tasks=[task],
        task_manager=TaskManager(include_defaults=False, include_path=str(tasks)),
        apply_chat_template=task == "toy_gen",
        bootstrap_iters=0,
    )
    assert _numbers(found["results"][task]) == theirs(base, tasks, task)


def test_a_failed_request_is_no_score_of_lm_eval_either(tasks) -> None:
    caller = back.BatchCaller(load.model("scripted:call=test_lm_eval:half_fails"))
    try:
        with pytest.raises(ModelError, match="1 of 2 requests failed, so nothing is scored"):
            back.generate(caller, [(f"Item {n}: colour", {}) for n in range(2)])
    finally:
        caller.close()


def test_likelihoods_under_a_chat_template_are_refused(tasks) -> None:
    caller = back.BatchCaller(load.model("scripted:A"))
    try:
        with pytest.raises(UsageError, match="plain text"):
            back.loglikelihoods(caller, [(back.Turns("[]"), "x")])
    finally:
        caller.close()


def test_nothing_of_lm_eval_is_imported_before_it_is_named(tmp_path) -> None:
    import subprocess

    code = "import sys; from evals import load; load.benchmark('lm-eval'); print('lm_eval' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout.strip() == "False", done.stderr


MOCKED = """
output_type: generate_until
doc_to_text: "{{question}} Options: {{options|join('; ')}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["</s>"], max_gen_toks: 256}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
filter_list: [{name: letter, filter: [{function: regex, regex_pattern: "ANSWER: ([A-J])"}, {function: take_first}]}]
"""


@pytest.mark.slow
def test_parity_with_lm_eval_on_the_shared_mock(here, tasks, tmp_path) -> None:
    """400 items of the bench; it tells no likelihoods, so what is generated."""
    from tests.performance import workbench

    try:
        data = workbench.head(workbench.make_data(tmp_path / "data"), 400)
    except FileNotFoundError as error:
        pytest.skip(f"NOT TESTED ON THE MOCK: {error}")
    text = f"task: toy_gen_mocked{HEAD.replace('DATA', str(data))}{MOCKED}"
    (tmp_path / "mocked.yaml").write_text(text)
    with workbench.mock() as server:
        server.configure({"dist": "zero", "slots": 0})
        base = f"http://127.0.0.1:{server.port}"
        wanted = theirs(base, tmp_path, "toy_gen_mocked")
        found = ours(base, str(tmp_path / "mocked.yaml"))
    assert values(found) == {"exact_match": wanted["exact_match,letter"]}
    assert 0.5 < wanted["exact_match,letter"] < 0.75


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Real vLLM with the tiny checkpoint, where its environment has been made; gives the base URL, without /v1."""
    import subprocess

    from evals.model_adapters.common import launch, server_process
    from evals.model_adapters.vllm import ENGINE
    from tools.environments import VLLM

    python = VLLM.python()
    if python is None:
        pytest.skip("NOT TESTED ON REAL VLLM: python -m tools.environments vllm makes its environment")
    folder = tmp_path_factory.mktemp("vllm")
    weights = folder / "words"
    script = TESTS / "support" / "tiny_checkpoint.py"
    subprocess.run([str(python), str(script), str(weights)], check=True, capture_output=True, timeout=300)
    words = ("--dtype", "float32", "--enforce-eager", "--enable-tokenizer-info-endpoint")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        order = launch.LaunchSpec(engine=ENGINE, model=str(weights), python=str(python), arguments=words)
        process = server_process.ServerProcess(order, folder / "vllm.log")
        process.start()
    try:
        yield process.url.removesuffix("/v1")
    finally:
        process.stop()


@pytest.mark.nightly
@pytest.mark.parametrize("task", ASKED)
def test_parity_with_lm_eval_on_real_vllm(here, tasks, vllm, task: str) -> None:
    wanted = theirs(vllm, tasks, task)
    found = ours(vllm, task, "--concurrency", 1)
    assert found.status == 0, found.err
    print(f"\n{task}: {values(found)}")
    assert values(found) == wanted
