"""`evals audit` scores recorded replies by another harness's rule: tests with rules written here, and with the real harnesses.

The worker runs in a separate process, including on replies that make a rule fail; the tests with lm-eval and OpenCompass
are skipped unless the user's cache contains their environments.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from evals import Suite, evaluate
from evals import harness_environments as environments
from evals.commands import audit as command
from evals.errors import ModelError, UsageError
from evals.records import store
from evals.verdicts.second_opinion import opinion, rules, worker
from evals.verdicts.second_opinion.audit import _scores_of_peer, audit
from evals.verdicts.second_opinion.opinion import INHERITED_VARIABLES, RecordedReply, score_replies
from tests.support.command import evals, start
from tests.support.error_messages import raises

RULES = """
import os, time
class Rule:
    version = "made up"
    def __init__(self, spec):
        if spec.get("fault"):
            import no_such_harness
        if spec.get("batched"):
            self.score_batch = lambda items: [self.score(item) for item in items]
    def score(self, item):
        print("output of the rule, not a verdict")
        reply = item["reply"]
        if reply == "hang":
            while True: pass
        if reply == "sleep in C": time.sleep(60)
        if reply == "crash": os.abort()
        if reply == "memory": bytearray(1 << 40)
        if reply == "grandchild":
            if not os.fork():
                time.sleep(60)
        if reply == "raise": raise ValueError("a reply that it does not like")
        if reply == "no number": return {"score": float("nan")}
        if reply == "long": return {"score": 1, "answer": "x" * 9999}
        if reply == "secrets": return {"score": 1, "answer": " ".join(sorted(os.environ)), "why": os.getcwd()}
        return {"score": reply == item["doc"].get("gold"), "answer": reply}
open_rule = Rule
"""


def run_worker(tmp_path: Path, replies: list[str], **spec: Any) -> list[dict[str, Any]]:
    """Run the worker with RULES and return its output lines: version or fault, then the verdicts."""
    path = tmp_path / "rules.py"
    path.write_text(RULES)
    header = {"rule": spec, "seconds": 0.5, "memory_mib": 512}
    lines = [header, *({"reply": reply, "doc": {"gold": "A"}} for reply in replies)]
    process = subprocess.run(
        [sys.executable, "-I", worker.__file__, path],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=tmp_path,
    )
    return [json.loads(line) for line in process.stdout.splitlines()]


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("bad", ["hang", "sleep in C", "crash", "memory", "raise", "no number"])
def test_a_reply_on_which_the_rule_fails_gets_no_score_and_the_others_do(
    bad: str, batched: bool, tmp_path: Path
) -> None:
    header, *verdicts = run_worker(tmp_path, ["A", bad, "B", "A"], batched=batched)
    assert header == {"version": "made up"}
    assert [verdict["score"] for verdict in verdicts] == [1.0, None, 0.0, 1.0]
    assert verdicts[1]["why"].startswith("their rule failed: ")


def test_processes_that_a_rule_starts_are_killed(tmp_path: Path) -> None:
    started = time.monotonic()
    _, verdict = run_worker(tmp_path, ["grandchild"])
    assert verdict["score"] == 0.0
    assert time.monotonic() - started < 30


def test_verdicts_keep_the_order_of_replies_over_several_child_processes(tmp_path: Path) -> None:
    replies = ["AB"[number % 3 == 0] for number in range(2 * worker.CHUNK + 7)]
    _, *verdicts = run_worker(tmp_path, replies)
    assert [verdict["answer"] for verdict in verdicts] == replies


def test_a_long_answer_is_truncated(tmp_path: Path) -> None:
    _, verdict = run_worker(tmp_path, ["long"])
    assert len(verdict["answer"]) == worker.MAX_ANSWER_CHARS


def test_a_python_without_the_harness_is_reported_before_the_first_reply(tmp_path: Path) -> None:
    [header] = run_worker(tmp_path, ["A"], fault=True)
    assert header["fault"].startswith("ModuleNotFoundError")


def test_malformed_output_of_the_worker_is_refused(tmp_path: Path) -> None:
    fake_python = tmp_path / "python"
    fake_python.write_text('#!/bin/sh\necho \'{"version": "x"}\'\necho \'{"score": "1"}\'\n')
    fake_python.chmod(0o755)
    with raises(UsageError):
        score_replies(rules.find_rule("lm-eval", "mmlu-pro", None), [RecordedReply("A", {})], fake_python)


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def run_folder(here: Path) -> Path:
    """Return a folder with a run whose replies are given by a list."""
    replies = here / "replies.json"
    replies.write_text(json.dumps(["So the answer is (B).", "ANSWER: A", "I cannot say", ""]))
    arguments = ("mmlu-pro", "--sample", "-m", f"scripted:list={replies}", "--run", "one", "--quiet")
    assert evals("run", *arguments).status == 0
    return here


def replace_lm_eval(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace lm-eval's rules by RULES, and return this Python, which runs them."""
    (folder / "worker.py").write_text(Path(worker.__file__).read_text())
    (folder / "of_lm_eval.py").write_text(RULES)
    monkeypatch.setattr(opinion, "WORKER_FOLDER", folder)
    return Path(sys.executable)


def test_the_worker_inherits_no_secrets(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
    arguments = ("mmlu-pro", "--sample", "-m", "scripted:secrets", "--run", "two", "--quiet")
    assert evals("run", *arguments).status == 0
    python = replace_lm_eval(tmp_path, monkeypatch)
    audited = evals("audit", "two", "--with", "lm-eval", "--python", python, "--json").json
    names = set(audited["items"][0]["their_answer"].split())
    assert "OPENAI_API_KEY" not in names
    assert names <= {*INHERITED_VARIABLES, "HOME", "TMPDIR", "TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS"} | {
        name for name in names if name.endswith("_OFFLINE")
    } | {"LC_CTYPE"}
    assert not Path(audited["items"][0]["their_why"]).exists()  # the working folder, deleted afterwards


def test_if_the_rule_fails_on_every_reply_the_command_reports_why(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("mmlu-pro", "--sample", "-m", "scripted:raise", "--run", "two", "--quiet")
    assert evals("run", *arguments).status == 0
    python = replace_lm_eval(tmp_path, monkeypatch)
    evals("audit", "two", "--with", "lm-eval", "--python", python).assert_usage_error()


@pytest.mark.parametrize(
    "line",
    [
        "--with lm-eval --python nowhere",
        "--with lm-eval --python /bin/true",
        "--with lm-eval --rule mmlu_pro",
        "--rule mmlu_pro",
        "--with opencompass",
        pytest.param("", id="nothing"),
    ],
)
def test_usage_errors_are_reported_in_one_line(
    line: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(run_folder / "empty"))
    evals("audit", "one", *line.split()).assert_usage_error()


def test_a_suite_without_a_rule_in_the_harness_is_reported(here: Path) -> None:
    arguments = ("matbench:steels", "--sample", "-m", "scripted:Answer: 1", "--run", "m", "--quiet")
    assert evals("run", *arguments).status == 0
    evals("audit", "m", "--with", "lm-eval").assert_usage_error()


def test_a_run_without_replies_cannot_be_audited(here: Path) -> None:
    with pytest.raises(ModelError):
        evaluate(Suite.of([{"question": "a", "answer": "b"}]), lambda prompt: str(1 / 0))
    rule = rules.Rule(peer="lm-eval", name="x", suite="custom", spec={}, build_doc=lambda *_: {})
    with pytest.raises(UsageError, match="has no replies"):
        _scores_of_peer(store.runs(Path("results"))[0], rule, Path(sys.executable))


def test_ctrl_c_ends_the_worker(run_folder: Path) -> None:
    sleeping_python = run_folder / "python"
    sleeping_python.write_text("#!/bin/sh\necho $$ > " + str(run_folder / "pid") + "\nexec sleep 60\n")
    sleeping_python.chmod(0o755)
    with start("audit", "one", "--with", "lm-eval", "--python", sleeping_python) as process:
        deadline = time.monotonic() + 30
        while not (run_folder / "pid").exists() or not (run_folder / "pid").read_text().strip():
            assert time.monotonic() < deadline, "the worker was not started"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, ""), err
    with pytest.raises(ProcessLookupError):
        os.kill(int((run_folder / "pid").read_text()), 0)


def test_ctrl_c_while_the_worker_starts_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeping_python = tmp_path / "python"
    sleeping_python.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeping_python.chmod(0o755)
    started: list[subprocess.Popen[bytes]] = []

    class InterruptedPopen(subprocess.Popen[bytes]):
        """A process during whose start SIGINT arrives."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", InterruptedPopen)
    reply = RecordedReply("A", {"gold": "A"})
    with pytest.raises(KeyboardInterrupt):
        score_replies(rules.rules("lm-eval", "mmlu-pro")[0], [reply], sleeping_python)
    assert started[0].poll() is not None


def test_items_of_a_gated_suite_contain_only_letters(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_ideal("gpqa:diamond", here)
    python = replace_lm_eval(tmp_path, monkeypatch)  # whose rule returns the whole reply as the answer
    items = evals("audit", "ideal", "--with", "lm-eval", "--python", python, "--json").json["items"]
    assert {(item["answer"], item["why"], item["their_answer"]) for item in items} == {("A", "", "")}


# --- the real harnesses --------------------------------------------------------------------------------------------


def interpreter_or_skip(harness: str) -> Path:
    """Return a harness's interpreter, or skip the test and show how to install it."""
    python = environments.interpreter(harness)
    if python is None:
        pytest.skip(f"NOT AUDITED BY {harness}: {environments.install_commands(harness)}")
    return python


def import_ideal(suite: str, here: Path) -> None:
    """Import the ideal reply to every bundled item."""
    from evals import load
    from evals.data import Data
    from evals.types import Prompt

    [loaded] = load.suite(suite, None)
    lines = [
        {"id": sample.id, "text": loaded.ideal(sample, Prompt())}
        for sample in loaded.samples(Data(suite=loaded.name, sample=True))
    ]
    path = here / "ideal.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ("--suite", suite, "--sample", "--model", "ideal", "--run", "ideal")
    assert evals("import", "replies", path, *options).status == 0


DISAGREEING_RULES = {
    "mmlu_pro_0shot_cot_gen_08c1de": "expects `ANSWER: X`",
    "mmlu_pro_few_shot_gen_bfaf90": "expects only the letter, or the option's text",
    "strict-match": "expects `The answer is (X).` followed by more text",
    "chartqa,exact_match": "expects `Final Answer: X`",
    "matbench_steels": "reads numbers of 20 or more as 0, so it cannot read the strength of any steel",
}
"""Rules that do not accept our ideal replies, and why; an audit is meant to find such differences."""


def is_disagreeing(rule: rules.Rule) -> bool:
    return any(key in rule.name or key == rule.spec.get("abbr") for key in DISAGREEING_RULES)


@pytest.mark.slow
@pytest.mark.parametrize("harness", rules.PEERS)
@pytest.mark.parametrize(
    "suite", ["mmlu-pro", "gpqa:diamond", "aime:2024", "aime:2025", "mmmu", "chartqa:human", "chembench:4k",
              "matbench:steels", "matbench:expt_gap", "matbench:glass", "smolinstruct:NC-I2F",
              "smolinstruct:PP-ESOL", "smolinstruct:PP-BBBP", "smolinstruct:FS"],
)  # fmt: skip
def test_another_harnesss_rules_accept_our_ideal_replies(harness: str, suite: str, here: Path) -> None:
    python, harness_rules = interpreter_or_skip(harness), rules.rules(harness, suite)
    if not harness_rules:
        return
    import_ideal(suite, here)
    from evals.records.store import find_one

    for rule in harness_rules:
        audited = audit(find_one(here / "results", "ideal"), harness, python=python, rule=rule.name)
        assert (audited.failed, audited.alone) == (0, 0)
        assert audited.source.endswith(f": {rule.name}")
        assert (audited.agreed == audited.n) != is_disagreeing(rule), audited.items[:3]


@pytest.mark.slow
def test_lm_evals_rule_gives_a_recording_its_known_score(shared: Path, mirror: Path, tmp_path: Path) -> None:
    from tests.suites import test_parity

    interpreter_or_skip("lm-eval")
    rows = test_parity.recorded_rows(shared, "Mistral")
    path = tmp_path / "replies.jsonl"
    path.write_text("".join(json.dumps({"id": r["question_id"], "text": r["text"]}) + "\n" for r in rows))
    options = ("--model", "m", "--data", mirror, "--protocol", "official", "--run", "m")
    arguments = ("import", "replies", path, "--suite", "mmlu-pro", *options)
    assert evals(*arguments, "--results", tmp_path / "r").status == 0
    audited = evals("audit", "m", "--with", "lm-eval", "--results", tmp_path / "r", "--json").json
    # lm-eval reads only the first of the authors' three patterns: .2876, all three: .3018 (data/README.md of the shared data)
    assert (audited["n"], audited["agreed"]) == (12_032, 11_861)
    assert (audited["only_ours"], audited["only_theirs"]) == (171, 0)
    assert round(audited["theirs"], 4) == 0.2876


def test_the_table_has_a_column_for_each_value_of_a_row() -> None:
    from evals.verdicts.second_opinion.audit import Item

    item = Item(id="1", repeat=1, ours=None, verdict="wrong", answer="", why="", theirs=None, their_answer="")
    assert len(command._row(item)) == len(command.COLUMNS)
