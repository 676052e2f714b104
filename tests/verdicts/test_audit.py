"""A peer's own code judges recorded replies: the worker under hostile replies, and the real peers where they are.

The worker runs for real in a process of its own, on rules written here; lm-eval and OpenCompass run where the user's
cache has an environment of theirs (`evals/peers/`).
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

from evals import harness_environments as environments
from evals.commands import audit as command
from evals.errors import UsageError
from evals.verdicts.second_opinion import opinion, rules, worker
from evals.verdicts.second_opinion.audit import audit as hold
from evals.verdicts.second_opinion.opinion import INHERITED_VARIABLES, RecordedReply, score_replies
from tests.support.command import evals, start

RULES = """
import os, time
class Rule:
    version = "made up"
    def __init__(self, spec):
        if spec.get("fault"):
            import no_such_harness
        if spec.get("together"):
            self.score_batch = lambda items: [self.score(item) for item in items]
    def score(self, item):
        print("what it prints malformed verdict")
        said = item["reply"]
        if said == "hang":
            while True: pass
        if said == "sleep in C": time.sleep(60)
        if said == "crash": os.abort()
        if said == "memory": bytearray(1 << 40)
        if said == "grandchild":
            if not os.fork():
                time.sleep(60)
        if said == "raise": raise ValueError("a reply that it does not like")
        if said == "no number": return {"score": float("nan")}
        if said == "long": return {"score": 1, "answer": "x" * 9999}
        if said == "secrets": return {"score": 1, "answer": " ".join(sorted(os.environ)), "why": os.getcwd()}
        return {"score": said == item["doc"].get("gold"), "answer": said}
open_rule = Rule
"""


def judged(tmp_path: Path, replies: list[str], **spec: Any) -> list[dict[str, Any]]:
    """Give the worker's lines."""
    path = tmp_path / "rules.py"
    path.write_text(RULES)
    head = {"rule": spec, "seconds": 0.5, "memory_mib": 512}
    lines = [head, *({"reply": reply, "doc": {"gold": "A"}} for reply in replies)]
    done = subprocess.run(
        [sys.executable, "-I", worker.__file__, path],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=tmp_path,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("bad", ["hang", "sleep in C", "crash", "memory", "raise", "no number"])
def test_one_bad_reply_is_its_own_verdict_and_the_rest_goes_on(
    bad: str, together: bool, tmp_path: Path
) -> None:
    first, *found = judged(tmp_path, ["A", bad, "B", "A"], together=together)
    assert first == {"version": "made up"}
    assert [one["score"] for one in found] == [1.0, None, 0.0, 1.0]
    assert found[1]["why"].startswith("their rule failed: ")


def test_what_a_rule_starts_dies_with_it(tmp_path: Path) -> None:
    started = time.monotonic()
    _, one = judged(tmp_path, ["grandchild"])
    assert one["score"] == 0.0
    assert time.monotonic() - started < 30


def test_more_replies_than_one_child_judges_keep_their_order(tmp_path: Path) -> None:
    said = ["AB"[number % 3 == 0] for number in range(2 * worker.CHUNK + 7)]
    _, *found = judged(tmp_path, said)
    assert [one["answer"] for one in found] == said


def test_an_answer_is_cut(tmp_path: Path) -> None:
    _, one = judged(tmp_path, ["long"])
    assert len(one["answer"]) == worker.MAX_ANSWER_CHARS


def test_a_python_without_the_harness_says_so_before_the_first_reply(tmp_path: Path) -> None:
    [first] = judged(tmp_path, ["A"], fault=True)
    assert first["fault"].startswith("ModuleNotFoundError")


def test_what_is_no_verdict_is_refused(tmp_path: Path) -> None:
    forger = tmp_path / "python"
    forger.write_text('#!/bin/sh\necho \'{"version": "x"}\'\necho \'{"score": "1"}\'\n')
    forger.chmod(0o755)
    with pytest.raises(UsageError, match="malformed verdict"):
        score_replies(rules.find_rule("lm-eval", "mmlu-pro", None), [RecordedReply("A", {})], forger)


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def ran(here: Path) -> Path:
    said = here / "said.json"
    said.write_text(json.dumps(["So the answer is (B).", "ANSWER: A", "I cannot say", ""]))
    words = ("mmlu-pro", "--sample", "-m", f"scripted:list={said}", "--run", "one", "--quiet")
    assert evals("run", *words).status == 0
    return here


def peer_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put rules of our own in the place of lm-eval's, judged by this Python."""
    (folder / "worker.py").write_text(Path(worker.__file__).read_text())
    (folder / "of_lm_eval.py").write_text(RULES)
    monkeypatch.setattr(opinion, "WORKER_FOLDER", folder)
    return Path(sys.executable)


def test_nothing_secret_reaches_the_peer(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
    words = ("mmlu-pro", "--sample", "-m", "scripted:secrets", "--run", "two", "--quiet")
    assert evals("run", *words).status == 0
    python = peer_of(tmp_path, monkeypatch)
    found = evals("audit", "two", "--with", "lm-eval", "--python", python, "--json").json
    names = set(found["items"][0]["their_answer"].split())
    assert "OPENAI_API_KEY" not in names
    assert names <= {*INHERITED_VARIABLES, "HOME", "TMPDIR", "TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS"} | {
        name for name in names if name.endswith("_OFFLINE")
    } | {"LC_CTYPE"}
    assert not Path(found["items"][0]["their_why"]).exists()  # a folder of its own, gone with it


def test_every_reply_fails_and_the_command_says_why(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("mmlu-pro", "--sample", "-m", "scripted:raise", "--run", "two", "--quiet")
    assert evals("run", *words).status == 0
    python = peer_of(tmp_path, monkeypatch)
    said = evals("audit", "two", "--with", "lm-eval", "--python", python).error_line
    assert "their rule failed: ValueError: a reply that it does not like" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--with", "lm-eval", "--python", "nowhere"), "not an executable program"),
        (("--with", "lm-eval", "--python", "/bin/true"), "ended before the first verdict"),
        (("--with", "lm-eval", "--rule", "mmlu_pro"), "mmlu_pro,custom-extract"),
        (("--rule", "mmlu_pro"), "require --with"),
        (("--with", "opencompass"), "pip install opencompass==0.5.4"),
        ((), "--with lm-eval or --with opencompass"),
    ],
)
def test_a_mistake_is_one_line(
    words: tuple[str, ...], said: str, ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(ran / "empty"))
    assert said in evals("audit", "one", *words).error_line


def test_a_suite_that_the_peer_does_not_judge_is_said(here: Path) -> None:
    words = ("matbench:steels", "--sample", "-m", "scripted:Answer: 1", "--run", "m", "--quiet")
    assert evals("run", *words).status == 0
    assert "no rule for matbench:steels" in evals("audit", "m", "--with", "lm-eval").error_line


def test_ctrl_c_leaves_nothing_behind(ran: Path) -> None:
    slow = ran / "python"
    slow.write_text("#!/bin/sh\necho $$ > " + str(ran / "pid") + "\nexec sleep 60\n")
    slow.chmod(0o755)
    with start("audit", "one", "--with", "lm-eval", "--python", slow) as started:
        until = time.monotonic() + 30
        while not (ran / "pid").exists() or not (ran / "pid").read_text().strip():
            assert time.monotonic() < until, "the peer was not started"
            time.sleep(0.05)
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=30)
    assert (started.returncode, out) == (130, ""), err
    with pytest.raises(ProcessLookupError):
        os.kill(int((ran / "pid").read_text()), 0)


def test_ctrl_c_while_the_peer_starts_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        """The signal arrives before the caller has the process."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    question = RecordedReply("A", {"gold": "A"})
    with pytest.raises(KeyboardInterrupt):
        score_replies(rules.rules("lm-eval", "mmlu-pro")[0], [question], slow)
    assert started[0].poll() is not None


def test_of_a_gated_suite_there_are_letters_alone(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ideal("gpqa:diamond", here)
    python = peer_of(tmp_path, monkeypatch)  # its rule gives the whole reply as the answer
    found = evals("audit", "ideal", "--with", "lm-eval", "--python", python, "--json").json
    assert {(one["answer"], one["why"], one["their_answer"]) for one in found["items"]} == {("A", "", "")}


# --- the peers themselves ------------------------------------------------------------------------------------------


def there(peer: str) -> Path:
    """Give a peer's interpreter, or skip and say how to have it."""
    found = environments.interpreter(peer)
    if found is None:
        pytest.skip(f"NOT AUDITED BY {peer}: {environments.install_commands(peer)}")
    return found


def ideal(suite: str, here: Path) -> Any:
    """Import the ideal reply to every bundled item."""
    from evals import load
    from evals.data import Data
    from evals.types import Prompt

    [found] = load.suite(suite, None)
    lines = [
        {"id": sample.id, "text": found.ideal(sample, Prompt())}
        for sample in found.samples(Data(suite=found.name, sample=True))
    ]
    path = here / "ideal.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ("import", "replies", path, "--suite", suite, "--sample", "--model", "ideal", "--run", "ideal")
    assert evals(*words).status == 0


READS_OTHER_WORDS = {
    "mmlu_pro_0shot_cot_gen_08c1de": "wants `ANSWER: X`",
    "mmlu_pro_few_shot_gen_bfaf90": "wants the letter alone, or the option's text",
    "strict-match": "wants `The answer is (X).` with more behind it",
    "chartqa,exact_match": "wants `Final Answer: X`",
    "matbench_steels": "takes numbers from 20 on for 0: no strength of a steel can be read",
}
"""Rules that do not read our ideal replies, and why: what an audit is for."""


def named(rule: rules.Rule) -> bool:
    return any(key in rule.name or key == rule.spec.get("abbr") for key in READS_OTHER_WORDS)


@pytest.mark.slow
@pytest.mark.parametrize("peer", rules.PEERS)
@pytest.mark.parametrize(
    "suite", ["mmlu-pro", "gpqa:diamond", "aime:2024", "aime:2025", "mmmu", "chartqa:human", "chembench:4k",
              "matbench:steels", "matbench:expt_gap", "matbench:glass", "smolinstruct:NC-I2F",
              "smolinstruct:PP-ESOL", "smolinstruct:PP-BBBP", "smolinstruct:FS"],
)  # fmt: skip
def test_a_peers_own_rules_agree_on_ideal_replies(peer: str, suite: str, here: Path) -> None:
    python, own = there(peer), rules.rules(peer, suite)
    if not own:
        return
    ideal(suite, here)
    from evals.records.store import find_one

    for rule in own:
        found = hold(find_one(here / "results", "ideal"), peer, python=python, rule=rule.name)
        assert (found.failed, found.alone) == (0, 0)
        assert found.source.endswith(f": {rule.name}")
        assert (found.agreed == found.n) != named(rule), found.items[:3]


@pytest.mark.slow
def test_lm_eval_judges_a_recording_as_it_is_known_to(shared: Path, mirror: Path, tmp_path: Path) -> None:
    from tests.suites import test_parity

    there("lm-eval")
    rows = test_parity.recorded(shared, "Mistral")
    path = tmp_path / "replies.jsonl"
    path.write_text("".join(json.dumps({"id": r["question_id"], "text": r["text"]}) + "\n" for r in rows))
    words = ("--suite", "mmlu-pro", "--model", "m", "--data", mirror, "--protocol", "official", "--run", "m")
    assert evals("import", "replies", path, *words, "--results", tmp_path / "r").status == 0
    found = evals("audit", "m", "--with", "lm-eval", "--results", tmp_path / "r", "--json").json
    # the first of the authors' three patterns alone: .2876 against .3018 (data/README.md of the shared data)
    assert (found["n"], found["agreed"], found["only_ours"], found["only_theirs"]) == (12_032, 11_861, 171, 0)
    assert round(found["theirs"], 4) == 0.2876


def test_the_table_has_as_many_columns_as_rows() -> None:
    from evals.verdicts.second_opinion.audit import Item

    item = Item(id="1", repeat=1, ours=None, verdict="wrong", answer="", why="", theirs=None, their_answer="")
    assert len(command._row(item)) == len(command.COLUMNS)
