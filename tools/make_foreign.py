"""Create result files of other harnesses by running the harnesses themselves on our own sample items.

    .venv/bin/python -m tools.make_foreign [TOOL...]     # writes tests/foreign/TOOL; default: all of TOOLS

Each tool runs in its own environment below the user's cache folder (`evals.harness_environments`), which is created if it is
missing, and calls a stand-in model on this machine; nothing is downloaded from a hub. The stand-in's reply (`behave`)
depends on the item: right, wrong, with reasoning, truncated, filtered, or a failed call. The files are kept as the
tool wrote them, except for paths and names of this machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import zipfile_zstd as zipfile  # Inspect's archives are zstandard; the package comes with it

from evals import harness_environments as environments
from tests.support.faults import Answer, Call, FaultyServer, completion, error

TESTS = Path(__file__).resolve().parent.parent / "tests"
SAMPLES = TESTS.parent / "suites" / "samples"
FOREIGN = TESTS / "foreign"
TASKS = TESTS / "foreign_tasks"
RECIPES = {
    "inspect": ("inspect-ai==0.3.285 openai",),
    "evalscope": ("evalscope==1.14.1",),
    "lighteval": (
        "torch==2.13.0",
        "lighteval==0.13.0 litellm[caching]==1.76.3 diskcache datasets<4.4 huggingface-hub<1 transformers<5 xxhash<4 orjson",
    ),
    "helm": ("torch==2.13.0", "crfm-helm[openai]==0.5.16"),
}
"""Tool -> packages to install, step by step, as tested; those of lm-eval and OpenCompass are in `environments.PACKAGES`."""


# --- the model -----------------------------------------------------------------------------------------------------


@cache
def items() -> tuple[tuple[str, str, int], ...]:
    """Return (question, right answer as text, number within its file) of every sample item that the tools run."""
    item_list = []
    for name, question, answer in (
        ("mmlu_pro/test.jsonl", "question", lambda row: row["options"][row["answer_index"]]),
        ("gpqa/diamond.jsonl", "Question", lambda row: row["Correct Answer"]),
        ("aime/2025.jsonl", "problem", lambda row: str(row["answer"])),
    ):
        lines = (SAMPLES / name).read_text(encoding="utf-8").splitlines()
        item_list += [(row[question], answer(row), n) for n, row in enumerate(map(json.loads, lines))]
    return tuple(item_list)


def reply(call: Call, text: str | None, *, finish: str = "stop", **message: Any) -> Answer:
    """Return a completion with all fields that strict clients need; tokens are counted as words."""
    body = json.loads(completion(text, finish=finish, **message).body)
    body["choices"] = [body["choices"][0] | {"index": index} for index in range(call.body.get("n") or 1)]
    words = len((text or "").split())
    usage = {"prompt_tokens": 40, "completion_tokens": words, "total_tokens": 40 + words}
    body |= {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000, "model": "standin-1"}
    return Answer(200, json.dumps(body | {"usage": usage}).encode())


def behave(call: Call) -> Answer:
    """Reply depending on the item's number modulo eight: mostly right, else wrong, truncated, filtered or with an error.

    Only one item of a file, the seventh, is filtered.
    """
    prompt = "\n".join(_text_of(turn["content"]) for turn in call.body["messages"])
    question, answer, number = max(items(), key=lambda item: prompt.rfind(item[0]))
    if question not in prompt:
        return error(404, "no such question")
    option = re.search(rf"(?m)^\W*([A-J])\W+{re.escape(answer)}\s*$", prompt[prompt.rfind(question) :])
    right = option[1] if option else answer
    wrong = ("A" if right != "A" else "B") if option else str(int(answer) + 1)
    conclusion = f"The correct answer is ({right})." if option else f"So \\boxed{{{right}}}."
    text = f"{conclusion}\nANSWER: {right}"
    match number % 8:
        case 2:
            return reply(call, f"It must be so.\nThe correct answer is ({wrong}).\nANSWER: {wrong}")
        case 3:
            return error(400, "this prompt is not served")
        case 4:
            return reply(call, text, reasoning_content="First, let me see.")
        case 5:
            return reply(call, "Let us begin at the beginning, and", finish="length")
        case 6 if number < 8:
            return reply(call, "", finish="content_filter")
    return reply(call, f"Step by step.\n{text}")


def without_errors(call: Call) -> Answer:
    """Reply like `behave`, but with an empty, filtered reply instead of an error, since some tools stop at an error."""
    answer = behave(call)
    return answer if answer.status == 200 else reply(call, None, finish="content_filter")


def without_empty_replies(call: Call) -> Answer:
    """Reply like `behave`, but to a request for several replies never with an error or an empty one: lighteval stops there."""
    answer = behave(call)
    is_empty = answer.status != 200 or not json.loads(answer.body)["choices"][0]["message"]["content"]
    return reply(call, "I do not know.") if is_empty and (call.body.get("n") or 1) > 1 else answer


def _text_of(content: Any) -> str:
    return content if isinstance(content, str) else "\n".join(str(part.get("text", "")) for part in content)


# --- the tools -----------------------------------------------------------------------------------------------------


def inspect(python: Path, url: str, out: Path) -> None:
    """Run four tasks: in two epochs, with options shuffled by the solver or in the data, and with free-form answers (JSON log)."""
    for name, log_format, *more in (
        ("mmlu_pro", "eval", "--epochs", "2"),
        ("mmlu_pro_shuffled", "eval"),
        ("gpqa_diamond", "eval"),
        ("aime2025", "json"),
    ):
        run(
            python.parent / "inspect", "eval", f"{TASKS / 'inspect_tasks.py'}@{name}",
            "--model", "openai-api/standin/standin-1", "--temperature", "0.6", "--max-tokens", "512", "--seed", "5",
            "--no-fail-on-error", "--max-retries", "0", "--display", "none", "--log-dir", out, "--log-format", log_format,
            *more, env={"STANDIN_BASE_URL": url, "STANDIN_API_KEY": "none"},
        )  # fmt: skip
    for path in out.iterdir():
        path.rename(out / re.sub(r"^[\dT:+-]+_(.*?)_\w+(\.\w+)$", r"\1\2", path.name))


def evalscope(python: Path, url: str, out: Path) -> None:
    """Run three of evalscope's own benchmarks on local data, every item twice."""
    data = out.parent / "data"
    for suite, name, files in (
        ("mmlu_pro", "mmlu_pro", {"test": "test", "validation": "validation"}),
        ("gpqa", "gpqa_diamond", {"diamond": "train"}),
        ("aime", "aime25", {"2025": "test"}),
    ):
        (data / name).mkdir(parents=True)
        for ours, theirs in files.items():
            shutil.copy(SAMPLES / suite / f"{ours}.jsonl", data / name / f"{theirs}.jsonl")
    dataset_args: dict[str, dict[str, Any]] = {
        name: {"local_path": str(data / name)} for name in ("mmlu_pro", "gpqa_diamond", "aime25")
    }
    dataset_args["mmlu_pro"]["few_shot_num"] = 2
    run(
        python.parent / "evalscope", "eval", "--model", "standin-1", "--api-url", url, "--api-key", "none",
        "--eval-type", "openai_api", "--datasets", *dataset_args, "--dataset-args", json.dumps(dataset_args),
        "--generation-config", json.dumps({"temperature": 0.6, "max_tokens": 512, "seed": 5, "retries": 1}),
        "--repeats", "2", "--ignore-errors", "--work-dir", out, "--no-timestamp",
    )  # fmt: skip
    shutil.rmtree(out / "logs")
    (out / "reports" / "report.html").unlink()


def lm_eval(python: Path, url: str, out: Path) -> None:
    """Run two chat tasks with two repeats, one of them with two filters; and one likelihood task on lm-eval's dummy model."""
    tasks = out.parent / "tasks"
    tasks.mkdir()
    shared = {
        "dataset_path": "json",
        "output_type": "generate_until",
        "repeats": 2,
        "generation_kwargs": {
            "until": ["Question:"],
            "do_sample": True,
            "temperature": 0.6,
            "max_gen_toks": 512,
        },
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }
    letter = {"function": "regex", "regex_pattern": r"(?:answer is|ANSWER:)\s*\(?([A-J])\)?"}
    options = "{% for o in options %}{{ 'ABCDEFGHIJ'[loop.index0] }}. {{ o }}\n{% endfor %}"
    mmlu_pro = shared | {
        "task": "mmlu_pro_sample",
        "dataset_kwargs": {"data_files": {"test": str(SAMPLES / "mmlu_pro" / "test.jsonl")}},
        "test_split": "test",
        "doc_to_text": "Question:\n{{question}}\nOptions:\n" + options + "Answer: Let's think step by step.",
        "doc_to_target": "answer",
        "filter_list": [
            {"name": "custom-extract", "filter": [letter, {"function": "take_first"}]},
            {"name": "last", "filter": [letter | {"group_select": -1}, {"function": "take_first"}]},
        ],
    }
    aime = shared | {
        "task": "aime25_sample",
        "dataset_kwargs": {"data_files": {"test": str(SAMPLES / "aime" / "2025.jsonl")}},
        "test_split": "test",
        "doc_to_text": "Question: {{problem}}\nAnswer:",
        "doc_to_target": "{{answer}}",
        "filter_list": [
            {
                "name": "boxed",
                "filter": [
                    {"function": "regex", "regex_pattern": r"ANSWER: (\d+)"},
                    {"function": "take_first"},
                ],
            }
        ],
    }
    lines = []
    for row in map(json.loads, (SAMPLES / "gpqa" / "diamond.jsonl").read_text(encoding="utf-8").splitlines()):
        choices = [
            row[name]
            for name in ("Incorrect Answer 1", "Correct Answer", "Incorrect Answer 2", "Incorrect Answer 3")
        ]
        lines.append(json.dumps(row | {f"choice{n}": text for n, text in enumerate(choices, 1)}))
    (tasks / "gpqa.jsonl").write_text("\n".join(lines))
    gpqa = {
        "task": "gpqa_diamond_sample",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tasks / "gpqa.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{Question}}\nChoices:\n(A) {{choice1}}\n(B) {{choice2}}\n"
        "(C) {{choice3}}\n(D) {{choice4}}\nAnswer:",
        "doc_to_target": 1,
        "doc_to_choice": ["(A)", "(B)", "(C)", "(D)"],
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    for task in (mmlu_pro, aime, gpqa):
        (tasks / f"{task['task']}.yaml").write_text(json.dumps(task))  # JSON is YAML
    common = ("--include_path", tasks, "--output_path", out, "--log_samples")
    run(
        python.parent / "lm_eval", "--model", "local-chat-completions", "--model_args",
        f"model=standin-1,base_url={url}/chat/completions,num_concurrent=1,tokenized_requests=False",
        "--tasks", "mmlu_pro_sample,aime25_sample", "--apply_chat_template", *common,
    )  # fmt: skip
    run(python.parent / "lm_eval", "--model", "dummy", "--tasks", "gpqa_diamond_sample", *common)
    (dummy,) = [path for path in out.iterdir() if path.name != "standin-1"]
    dummy.rename(out / "dummy")


def helm(python: Path, url: str, out: Path) -> None:
    """Run two of HELM's own scenarios: one with two completions per request, one with shuffled options."""
    local = out.parent / "local"
    local.mkdir()
    client = {"class_name": "helm.clients.vllm_client.VLLMChatClient", "args": {"base_url": url}}
    deployment = {
        "name": "lab/standin-1",
        "model_name": "lab/standin-1",
        "tokenizer_name": "simple/tokenizer1",
        "max_sequence_length": 32768,
        "client_spec": client,
    }
    model = {
        "name": "lab/standin-1",
        "display_name": "Stand-in",
        "description": "",
        "creator_organization_name": "Lab",
        "access": "open",
        "release_date": "2026-01-01",
        "tags": ["TEXT_MODEL_TAG", "INSTRUCTION_FOLLOWING_MODEL_TAG"],
    }
    (local / "model_deployments.yaml").write_text(json.dumps({"model_deployments": [deployment]}))
    (local / "model_metadata.yaml").write_text(
        json.dumps({"models": [model]}).replace('"2026-01-01"', "2026-01-01")
    )
    run(
        python, TASKS / "helm_run.py", "--suite", "ours", "--local-path", local, "--output-path", out, "--num-threads", 1,
        "--max-eval-instances", 100, "--run-entries", "mmlu_pro:subject=all,model=lab/standin-1,num_outputs=2",
        "gpqa:subset=gpqa_diamond,model=lab/standin-1", cwd=local,
    )  # fmt: skip


def lighteval(python: Path, url: str, out: Path) -> None:
    """Run three tasks of our own in lighteval's format; two of them request two replies at once."""
    data = out.parent / "data"
    for name, file in (
        ("mmlu_pro", "mmlu_pro/test"),
        ("gpqa_diamond", "gpqa/diamond"),
        ("aime25", "aime/2025"),
    ):
        name += "_ours"  # lighteval has tasks with the plain names
        (data / name).mkdir(parents=True)
        shutil.copy(SAMPLES / f"{file}.jsonl", data / name / "test.jsonl")
    arguments = (
        f"model_name=openai/standin-1,provider=openai,base_url={url},api_key=none,concurrent_requests=4,"
        f"api_max_retry=1,max_model_length=32768,cache_dir={out.parent / 'cache'},"
        "generation_parameters={temperature:0.6,max_new_tokens:512,seed:5}"
    )
    run(
        python.parent / "lighteval", "endpoint", "litellm", arguments, "mmlu_pro_ours|0,gpqa_diamond_ours|0,aime25_ours|0",
        "--custom-tasks", TASKS / "lighteval_tasks.py", "--output-dir", out, "--save-details",
        env={"DATA": str(data)}, cwd=data,
    )  # fmt: skip


def opencompass(python: Path, url: str, out: Path) -> None:
    """Run one multiple-choice data set; a stub that counts words replaces OpenCompass' tokenizer, which it would download."""
    data, config = out.parent / "mmlu_pro.jsonl", out.parent / "config.py"
    rows = map(json.loads, (SAMPLES / "mmlu_pro" / "test.jsonl").read_text(encoding="utf-8").splitlines())
    lines = []
    for row in rows:
        options = "\n".join(
            f"{letter}. {text}" for letter, text in zip("ABCDEFGHIJ", row["options"], strict=False)
        )
        lines.append(
            json.dumps({"question": row["question"], "options_str": options, "answer": row["answer"]})
        )
    data.write_text("\n".join(lines), encoding="utf-8")
    text = (TASKS / "opencompass_config.py").read_text(encoding="utf-8")
    config.write_text(text.replace('"DATA"', repr(str(data))).replace('"URL"', repr(url)), encoding="utf-8")
    run(
        python.parent / "opencompass", config, "--work-dir", out, "--debug", "--dump-eval-details",
        env={"PYTHONPATH": str(TASKS / "stub")}, cwd=out.parent,
    )  # fmt: skip
    (run_folder,) = out.iterdir()
    shutil.rmtree(run_folder / "configs")
    run_folder.rename(out / "20260101_000000")


TOOLS: dict[str, tuple[Callable[[Path, str, Path], None], Callable[[Call], Answer]]] = {
    "lm-eval": (lm_eval, without_errors),
    "inspect": (inspect, behave),
    "evalscope": (evalscope, behave),
    "lighteval": (lighteval, without_empty_replies),
    "helm": (helm, without_errors),
    "opencompass": (opencompass, without_errors),
}
"""Tool -> (function that runs it, stand-in model that it calls)."""


def run(*command: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
    """Run a tool without network access; raises SystemExit with the end of its output if it fails."""
    offline = {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1",
        "SAMPLES": str(SAMPLES),
    }
    process = subprocess.run(
        list(map(str, command)), env=os.environ | offline | (env or {}), cwd=cwd, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    if process.returncode:
        raise SystemExit(f"{command[0]} failed:\n{(process.stdout + process.stderr)[-6000:]}")


def install(tool: str) -> Path:
    """Create a tool's environment and return its interpreter."""
    environment = environments.environment_folder(tool)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    for step in RECIPES.get(tool) or environments.PACKAGES[tool]:
        subprocess.run(
            [environment / "bin" / "pip", "install", "-q", *step.replace("'", "").split()], check=True
        )
    if tool == "lighteval":  # its import would download this file, which none of our tasks needs
        next(environment.glob("lib/*/site-packages/lighteval/tasks/tasks")).joinpath(
            "tinyBenchmarks.pkl"
        ).touch()
    return environment / "bin" / "python"


# --- files ---------------------------------------------------------------------------------------------------------


def make(tool: str, out: Path) -> None:
    """Run one tool, remove traces of this machine from its files, and copy them to a folder."""
    python = environments.interpreter(tool) or install(tool)
    run_tool, model = TOOLS[tool]
    with tempfile.TemporaryDirectory() as folder, FaultyServer(model, serves=("standin-1",)) as server:
        work = Path(folder) / "out"
        work.mkdir()
        run_tool(python, f"http://127.0.0.1:{server.port}/v1", work)
        scrub(work, {folder: "/somewhere", str(TESTS.parent): "/science-evals", str(server.port): "8000"})
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(work, out)


def scrub(folder: Path, replacements: dict[str, str]) -> None:
    """Replace paths and names of this machine in every file, including those in archives."""
    replacements = replacements | {str(Path.home()): "/home/somebody", os.uname().nodename: "somewhere"}

    def replace_all(content: bytes) -> bytes:
        for text, replacement in replacements.items():
            content = content.replace(text.encode(), replacement.encode())
        return content

    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                members = [(info, replace_all(archive.read(info))) for info in archive.infolist()]
            with zipfile.ZipFile(path, "w") as archive:
                for info, content in members:
                    archive.writestr(zipfile.ZipInfo(info.filename), content, info.compress_type)
        else:
            path.write_bytes(replace_all(path.read_bytes()))


if __name__ == "__main__":
    for name in sys.argv[1:] or TOOLS:
        make(name, FOREIGN / name)
        print(f"{FOREIGN / name}: {sum(path.is_file() for path in (FOREIGN / name).rglob('*'))} files")
