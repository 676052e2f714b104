"""Real vLLM (its CPU build) with a tiny checkpoint of Intern-S1's architecture, started, monitored and stopped by the launcher."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from evals.model_adapters.common import server_process
from evals.model_adapters.server import Server
from evals.records import store
from evals.types import Likelihood, Media, Reply, Text
from tests.support import engine, hub
from tests.support.paths import ROOT
from tests.support.sizes import size

pytestmark = [pytest.mark.slow, pytest.mark.heavy]


class ServedCheckpoint(NamedTuple):
    """The tiny checkpoint and the server that `evals serve` has started for all tests."""

    weights: Path
    env: dict[str, str]
    folder: Path
    url: str

    def run(self, *arguments: object) -> list[dict[str, Any]]:
        """Run suites with `vllm:PATH`, which finds the server; return the runs of the JSON output."""
        completed = engine.run_evals("run", *arguments, "--json", "--quiet", env=self.env, cwd=self.folder)
        assert completed.returncode == 0, completed.stderr
        return list(json.loads(completed.stdout)["runs"])

    def replies(self, run: dict[str, Any]) -> dict[str, Reply]:
        """Return the replies of a run by sample."""
        records = store.find_one(self.folder / "results", run["run"]).records()
        replies = {record.sample: record.outcome for record in records}
        assert all(isinstance(reply, Reply) for reply in replies.values())
        return replies

    @property
    def model(self) -> str:
        return f"vllm:{self.weights}"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedCheckpoint]:
    python = engine.python()
    folder = tmp_path_factory.mktemp("vllm")
    weights = engine.checkpoint(python, folder / "tiny-s1")
    env = engine.environment(python) | {"XDG_CACHE_HOME": str(folder / "cache")}
    with engine.serve(weights, env, folder) as url:
        yield ServedCheckpoint(weights, env, folder, url)


def test_vllm_serves_the_checkpoint_with_its_class_for_intern_s1(checkpoint):
    (registry,) = Path(checkpoint.env["EVALS_ENGINE_PYTHON"]).parent.parent.glob(
        "lib/*/site-packages/vllm/**/models/registry.py"
    )
    (architecture,) = json.loads((checkpoint.weights / "config.json").read_text())["architectures"]
    (served_by,) = re.findall(rf'"{architecture}": \(\s*"(\w+)",\s*"(\w+)"', registry.read_text())
    assert served_by == ("interns1", "InternS1ForConditionalGeneration")
    assert f"Resolved architecture: {architecture}" in (checkpoint.folder / "serve.log").read_text()


def test_text_suites_run_and_thinking_can_be_switched_off(checkpoint):
    arguments = ("mmlu-pro", "aime:2025", "--sample", "-m", checkpoint.model, "--max-tokens", 24)
    thinking_runs, plain_runs = (
        checkpoint.run(*arguments, "--thinking"),
        checkpoint.run(*arguments, "--no-thinking"),
    )
    for run in (*thinking_runs, *plain_runs):
        assert run["coverage"] == 1.0
        assert any("already running" in note for note in run["notes"])  # the server of `evals serve`
    empty_think_tokens = 6  # for the empty <think></think> that the template adds
    for a, b in zip(thinking_runs, plain_runs, strict=True):
        replies = checkpoint.replies(b)
        for sample, reply in checkpoint.replies(a).items():
            assert (reply.usage.input or 0) + empty_think_tokens == replies[sample].usage.input
        assert a["tokens"]["output"] > 0


def test_greedy_replies_are_reproducible(checkpoint):
    arguments = ("mmlu-pro", "--sample", "-m", checkpoint.model, "--max-tokens", 16)
    first, second = (
        checkpoint.run(*arguments, "--run", "one"),
        checkpoint.run(*arguments, "--run", "two", "--concurrency", 2),
    )
    a, b = checkpoint.replies(first[0]), checkpoint.replies(second[0])
    assert {sample: reply.text for sample, reply in a.items()} == {
        sample: reply.text for sample, reply in b.items()
    }


def test_mathvision_is_run_with_its_images_and_the_records_contain_what_was_sent(checkpoint, mirror, shared):
    """With `server:`; all items in the nightly, 40 in CI."""
    items = size(40, 304)
    arguments = (
        "mathvision:testmini",
        "-m",
        f"server:{checkpoint.url}",
        "--data",
        mirror,
        "--max-tokens",
        16,
        "--limit",
        items,
    )
    (run,) = checkpoint.run(*arguments)
    assert (run["expected"], run["coverage"]) == (items, 1.0)
    rows = {}
    for line in (shared / "data" / "mathvision" / "testmini.jsonl").read_text().splitlines():
        row = json.loads(line)
        rows[str(row["id"])] = row
    stored_run = store.find_one(checkpoint.folder / "results", run["run"])
    media = stored_run.path.parent.parent / "media"
    image_count = 0
    for record in stored_run.records():
        row = rows[record.sample]
        parts = [part for message in record.prompt.messages for part in message.parts]
        images = [part for part in parts if isinstance(part, Media)]
        raw = (shared / "data" / "mathvision" / row["image"]).read_bytes()
        assert [part.sha256 for part in images] == [sha256(raw).hexdigest()]
        assert sha256((media / images[0].sha256).read_bytes()).hexdigest() == images[0].sha256
        text = "".join(part.text for part in parts if isinstance(part, Text))
        assert row["question"].split("<image")[0].strip()[:40] in text
        assert isinstance(record.outcome, Reply)
        assert record.outcome.usage.output
        image_count += len(images)
    assert image_count == items


def test_an_image_changes_the_reply(checkpoint):
    """The same prompts with smaller images get other replies, so the pixels reach the model."""
    first, second = (checkpoint.run("mathvision", "--sample", "-m", checkpoint.model, "--max-tokens", 12, *options)[0]
                     for options in ((), ("--max-pixels", "400")))  # fmt: skip
    a, b = checkpoint.replies(first), checkpoint.replies(second)
    assert {sample: reply.usage.input for sample, reply in a.items()} == {
        sample: reply.usage.input for sample, reply in b.items()
    }
    assert any(a[sample].text != b[sample].text for sample in a)


async def _likelihoods(
    checkpoint: ServedCheckpoint, prompt: str, continuations: list[str]
) -> tuple[Likelihood, ...]:
    base, _, name = checkpoint.url.partition("#")
    model = Server(name, base=base)
    try:
        return await model.logprobs(prompt, continuations)
    finally:
        await model.close()


def test_likelihoods_of_continuations_are_finite_and_differ(checkpoint):
    likelihoods = asyncio.run(_likelihoods(checkpoint, "Two and two are", [" four", " five"]))
    assert all(
        math.isfinite(likelihood.logprob) and likelihood.logprob < 0 and likelihood.tokens >= 1
        for likelihood in likelihoods
    )
    assert likelihoods[0].logprob != likelihoods[1].logprob


def test_transformers_in_process_gives_the_same_replies_as_vllm(checkpoint):
    """39 prompts, 11 of them with images: the texts, token counts and stop reasons are identical."""
    arguments = ("mmlu-pro", "aime:2025", "mmstar", "--sample", "--max-tokens", 24, "--no-thinking")
    vllm_runs = checkpoint.run(*arguments, "-m", checkpoint.model)
    completed = engine.run_evals(
        "run", *arguments, "-m", f"hf:{checkpoint.weights}", "--json", "--quiet",
        env=checkpoint.env | {"PYTHONPATH": str(ROOT)}, cwd=checkpoint.folder, python=checkpoint.env["EVALS_ENGINE_PYTHON"],
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr
    pairs = [
        (sample, reply, checkpoint.replies(b)[sample])
        for a, b in zip(vllm_runs, json.loads(completed.stdout)["runs"], strict=True)
        for sample, reply in checkpoint.replies(a).items()
    ]
    assert len(pairs) == 39
    differing = [(sample, a.text, b.text) for sample, a, b in pairs if a.text != b.text]
    assert differing == []
    assert all(
        (a.usage.input, a.usage.output, a.stop) == (b.usage.input, b.usage.output, b.stop)
        for _, a, b in pairs
    )


@pytest.mark.nightly
def test_likelihoods_from_transformers_in_process_equal_those_from_vllm(checkpoint):
    texts = ("Two and two are", [" four", " five", " what?"])
    code = (
        "import asyncio, json, sys; from evals.model_adapters import hf\n"
        "likelihoods = asyncio.run(hf.model(sys.argv[1]).logprobs(sys.argv[2], sys.argv[3:]))\n"
        "print(json.dumps([[row.logprob, row.tokens, row.greedy] for row in likelihoods]))"
    )
    command = [
        checkpoint.env["EVALS_ENGINE_PYTHON"],
        "-c",
        code,
        str(checkpoint.weights),
        texts[0],
        *texts[1],
    ]
    env = checkpoint.env | {"PYTHONPATH": str(ROOT)}
    completed = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    in_process = json.loads(completed.stdout.splitlines()[-1])
    from_vllm = asyncio.run(_likelihoods(checkpoint, *texts))
    assert [row[1:] for row in in_process] == [[row.tokens, row.greedy] for row in from_vllm]
    assert [row[0] for row in in_process] == pytest.approx([row.logprob for row in from_vllm], abs=1e-4)


MAX_TIME_RATIO = 1.25
"""Maximum ratio of our time to that of `vllm bench serve` on any machine; the bound of 1.10 holds on an idle one."""


@pytest.mark.nightly
def test_throughput_is_close_to_that_of_vllm_s_benchmark(checkpoint, shared):
    """From the first call to the end of the run, it takes at most `MAX_TIME_RATIO` times as long as `vllm bench serve`.

    Both send the same 400 prompts of MMLU-Pro for the same output lengths, in 32 concurrent calls. They run alternately, two
    to five times, and the shortest times are compared.
    """
    with gzip.open(shared / "data" / "mmlu_pro" / "test_items.jsonl.gz", "rt") as stream:
        rows = [
            row for row in map(json.loads, stream) if len(row["question"]) + len(str(row["options"])) < 800
        ]
    data = checkpoint.folder / "short.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows[:400]))
    arguments = (
        "mmlu-pro",
        "--data",
        data,
        "-m",
        f"server:{checkpoint.url}",
        "--max-tokens",
        24,
        "--concurrency",
        32,
    )
    prompts = checkpoint.folder / "prompts.jsonl"
    (run,) = checkpoint.run(*arguments, "--run", "warm")
    with prompts.open("w") as stream:
        for record in store.find_one(checkpoint.folder / "results", run["run"]).records():
            (text,) = (part.text for part in record.prompt.messages[0].parts)
            tokens = record.outcome.usage.output
            stream.write(json.dumps({"prompt": text, "output_tokens": tokens}) + "\n")
    our_times, vllm_times = [], []
    for turn in range(5):
        if turn >= 2 and min(our_times) <= MAX_TIME_RATIO * min(vllm_times):
            break  # the machine may have been busy in a turn
        benchmark = engine.benchmark(
            checkpoint.url, prompts, weights=checkpoint.weights, concurrency=32, env=checkpoint.env
        )
        vllm_times.append(benchmark["duration"])
        (run,) = checkpoint.run(*arguments, "--run", f"turn-{turn}")
        records = store.find_one(checkpoint.folder / "results", run["run"]).records()
        our_times.append(run["finished"] - min(record.started for record in records))
        assert benchmark["completed"] == run["expected"] == 400
        assert (benchmark["total_output_tokens"], benchmark["total_input_tokens"]) == (
            run["tokens"]["output"],
            run["tokens"]["input"],
        )
    print(
        f"ours {min(our_times):.1f} s, vllm bench serve {min(vllm_times):.1f} s: {min(our_times) / min(vllm_times):.2f}"
    )
    assert min(our_times) <= MAX_TIME_RATIO * min(vllm_times)


def test_a_prompt_that_exceeds_the_context_is_recorded_as_the_failure_context(checkpoint):
    """vLLM returns status 400 for a prompt of more than 2,048 tokens; the other samples are scored."""
    rows = [
        {
            "question_id": n,
            "question": "why? " * length,
            "options": ["a", "b"],
            "answer": "A",
            "category": "x",
        }
        for n, length in enumerate((100, 200, 2000))
    ]
    data = checkpoint.folder / "long.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = (
        "run",
        "mmlu-pro",
        "--data",
        data,
        "-m",
        checkpoint.model,
        "--max-tokens",
        8,
        "--json",
        "--quiet",
    )
    completed = engine.run_evals(*arguments, env=checkpoint.env, cwd=checkpoint.folder)
    assert completed.returncode == 1, completed.stderr
    (run,) = json.loads(completed.stdout)["runs"]
    counts = run["counts"]
    assert sum(n for kind, n in counts.items() if kind.startswith("failed:context")) >= 1, counts
    assert run["coverage"] > 0


@pytest.mark.nightly
def test_a_server_killed_during_a_run_is_restarted_and_no_process_remains(checkpoint):
    """The run starts a server, as no running server has these weights; its main process is killed by SIGKILL."""
    folder = checkpoint.folder / "other"
    folder.mkdir()
    (folder / "weights-s1").mkdir()
    for path in checkpoint.weights.iterdir():
        (folder / "weights-s1" / path.name).symlink_to(path)
    arguments = (
        "mmlu-pro",
        "gpqa",
        "aime",
        "--sample",
        "--max-tokens",
        200,
        "--concurrency",
        1,
        "--json",
        "--quiet",
    )
    command = subprocess.Popen(
        [sys.executable, "-c", "from evals.cli import main; main()", "run", *map(str, arguments), "-m", "vllm:./weights-s1"],
        env=checkpoint.env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while not any(path.stat().st_size > 3000 for path in folder.glob("results/*/*/*/records.jsonl")):
            assert command.poll() is None, command.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (watchdog,) = [pid for pid in engine.process_tree(command.pid)[1:] if "watchdog" in _command(pid)]
        victims = [pid for pid in engine.process_tree(watchdog) if pid != watchdog]
        assert len(victims) >= 2  # the API server, its engine, its worker
        os.kill(victims[0], signal.SIGKILL)
        out, err = command.communicate(timeout=400)
    finally:
        command.kill()
    assert command.returncode == 0, err
    runs = json.loads(out)["runs"]
    assert all(run["coverage"] == 1.0 for run in runs)
    assert "server: it died during the run and was restarted" in runs[0]["notes"]
    assert "restarting it once" in err
    assert [pid for pid in victims if _is_running(pid)] == []
    assert _processes_in(folder) == []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _processes_in(folder: Path) -> list[int]:
    """Return the processes whose working folder this is."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if path.resolve(strict=True) == folder:
                pids.append(int(path.parent.name))
        except OSError:
            continue
    return pids


@pytest.mark.nightly
def test_weights_of_an_unknown_architecture_are_reported_in_one_line_of_vllm_s_log(checkpoint):
    """vLLM ends by itself, and the cause is shown from its log."""
    unknown = checkpoint.folder / "strange"
    unknown.mkdir()
    config = json.loads((checkpoint.weights / "config.json").read_text())
    (unknown / "config.json").write_text(json.dumps(config | {"architectures": ["NobodyForCausalLM"]}))
    for path in checkpoint.weights.iterdir():
        if path.name != "config.json":
            (unknown / path.name).symlink_to(path)
    arguments = ("run", "mmlu-pro", "--sample", "-m", f"vllm:{unknown}")
    completed = engine.run_evals(*arguments, env=checkpoint.env, cwd=checkpoint.folder)
    lines = [line for line in completed.stderr.splitlines() if line.startswith("evals: ")]
    assert (completed.returncode, len(lines)) == (2, 1), completed.stderr
    assert "ended before it served anything" in lines[0]
    assert "NobodyForCausalLM" in lines[0], lines[0]
    assert server_process.served_models(checkpoint.url.partition("#")[0])  # the other server is still running


@pytest.mark.nightly
@pytest.mark.parametrize("weights", hub.REJECTIONS)
def test_weights_that_the_hub_refuses_are_reported_in_one_line_with_vllm(checkpoint, weights):
    """vLLM's log mentions gated weights in each of these cases."""
    with hub.serve() as address:
        env = checkpoint.env | {
            "HF_HUB_OFFLINE": "0",
            "HF_ENDPOINT": address,
            # a folder `weights` in the working folder would be taken for the weights
            "HF_HOME": str(checkpoint.folder / "hub" / weights),
        }
        arguments = ("run", "mmlu-pro", "--sample", "-m", f"vllm:{weights}")
        completed = engine.run_evals(*arguments, env=env, cwd=checkpoint.folder)
    lines = [line for line in completed.stderr.splitlines() if line.startswith("evals: ")]
    assert (completed.returncode, len(lines)) == (2, 1), completed.stderr
    assert f"ended before it served anything: {hub.REJECTIONS[weights]} (log: " in lines[0], lines[0]
