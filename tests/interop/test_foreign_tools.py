"""Files that the other tools themselves wrote (`tests/foreign`, by `make_foreign.py`) become runs that say the same.

The stand-in that was asked is right, wrong, cut, filtered or refusing by the item; so every tool has to lead to the same
verdicts, but for what it cannot tell apart. Where a tool's environment exists, a slow test lets it write its files anew.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from evals import harness_environments as environments
from evals.interop import formats
from evals.records import store
from evals.types import Failure, Reply, Score
from tests.support.command import evals
from tests.support.paths import TESTS
from tools import make_foreign

FOREIGN = TESTS / "foreign"
LOST = {"right": 12, "wrong": 4, "refused": 2, "truncated": 2, "absent": 4}


class Case(NamedTuple):
    """A path below `foreign`, and by suite what comes of it: counts by verdict, and the score that the tool states."""

    path: str
    form: str
    runs: dict[str, tuple[dict[str, int], str]]

    @property
    def tool(self) -> str:
        return self.path.partition("/")[0]


CASES = (
    Case(
        "lm-eval/standin-1",
        "lm-eval",
        {
            "mmlu-pro": (
                {"right": 18, "wrong": 4, "unanswered": 4, "failed:imported": 6},
                "mmlu_pro_sample exact_match,custom-extract 0.5625",  # 9 of 16: failures were scored as wrong
            ),
            "aime:2025": (
                {"right": 12, "wrong": 4, "unanswered": 2, "failed:imported": 6},
                "aime25_sample exact_match,boxed 0.5",
            ),
        },
    ),
    Case("lm-eval/dummy", "lm-eval", {"gpqa:diamond": ({"right": 2, "wrong": 10}, "acc,none 0.166667")}),
    Case(
        "inspect/mmlu-pro.eval",
        "inspect",
        {
            "mmlu-pro": (
                {"right": 18, "wrong": 4, "refused": 2, "truncated": 4, "failed:imported": 4},
                "mmlu_pro choice accuracy 0.642857",
            )
        },
    ),
    Case(
        "inspect/mmlu-pro-shuffled.eval",
        "inspect",
        {
            "mmlu-pro": (
                {"right": 9, "wrong": 2, "refused": 1, "truncated": 2, "failed:imported": 2},
                "choice accuracy 0.642857",
            )
        },
    ),
    Case(
        "inspect/gpqa-diamond.eval",
        "inspect",
        {
            "gpqa:diamond": (
                {"right": 6, "wrong": 2, "refused": 1, "truncated": 1, "failed:imported": 2},
                "choice accuracy 0.6",
            )
        },
    ),
    Case(
        "inspect/aime2025.json",
        "inspect",
        {
            "aime:2025": (
                {"right": 6, "wrong": 2, "refused": 1, "truncated": 1, "failed:imported": 2},
                "match accuracy 0.6",
            )
        },
    ),
    Case(
        "evalscope",
        "evalscope",
        {
            "mmlu-pro": (LOST | {"right": 18, "truncated": 4}, "mmlu_pro mean accuracy 0.6429"),
            "gpqa:diamond": (LOST, "gpqa_diamond mean accuracy 0.6"),
            "aime:2025": (LOST, "aime25 failed calls 4"),
        },
    ),
    Case(
        "lighteval",
        "lighteval",
        {
            "mmlu-pro": (
                {"right": 9, "wrong": 2, "unanswered": 2, "failed:imported": 3},
                "mmlu_pro_ours extractive_match 0.5625",  # 9 of 16: an empty reply and a failed call are wrong there
            ),
            "gpqa:diamond": (
                {"right": 6, "wrong": 2, "unanswered": 1, "failed:imported": 3},
                "gpqa_pass@k:k=1&n=2",
            ),
            "aime:2025": ({"right": 6, "wrong": 2, "unanswered": 1, "failed:imported": 3}, "pass@k:k=1&n=2"),
        },
    ),
    Case(
        "helm",
        "helm",
        {
            "mmlu-pro": (
                {"right": 9, "wrong": 2, "truncated": 2, "failed:imported": 3},
                "chain_of_thought_correctness test 0.5625",
            ),
            "gpqa:diamond": (
                {"right": 6, "wrong": 2, "truncated": 1, "failed:imported": 3},
                "chain_of_thought_correctness test 0.5",
            ),
        },
    ),
    Case(
        "opencompass",
        "opencompass",
        {
            "mmlu-pro": (
                {"right": 9, "wrong": 2, "unanswered": 2, "failed:imported": 3},
                "mmlu_pro_ours accuracy 56.25",  # 9 of 16: a filtered call is wrong there
            )
        },
    ),
)


def runs_of(path: Path, results: Path) -> dict[str, store.Run]:
    done = evals("import", path, "--sample", "--results", results)
    assert done.status == 0, done.err
    return {run.card.config.suite: run for run in store.runs(results)}


def verdicts(run: store.Run) -> dict[str, int]:
    return {name: n for name, n in run.card.counts.items() if n}


class Imported(dict[str, dict[str, store.Run]]):
    """Path of a case -> suite -> run; imported when it is asked for, and once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __missing__(self, path: str) -> dict[str, store.Run]:
        self[path] = runs_of(FOREIGN / path, self.folder / path)
        return self[path]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    return Imported(tmp_path_factory.mktemp("foreign"))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_verdicts_are_those_of_the_model_that_was_asked(case: Case, imported: Any) -> None:
    assert formats.detect(FOREIGN / case.path) == case.form
    found = imported[case.path]
    assert {suite: verdicts(run) for suite, run in found.items()} == {
        s: counts for s, (counts, _) in case.runs.items()
    }
    for suite, (_, stated) in case.runs.items():
        card = found[suite].card
        assert card.origin == f"import {case.form}"
        assert [note for note in card.notes if stated in note], card.notes


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_no_reply_that_counts_is_judged_otherwise_by_the_tool(case: Case, imported: Any) -> None:
    for run in imported[case.path].values():
        stated = [json.loads(row) for row in (run.path / "theirs.jsonl").read_text().splitlines()]
        theirs = {(row["sample"], row["repeat"]): row["score"] for row in stated}
        ours = {}
        for record in run.records():
            for score in record.scores.values():
                assert isinstance(score, Score)
                ours[record.sample, record.repeat] = score.value
        judged = {key: value for key, value in ours.items() if theirs[key] is not None}
        if case.tool == "opencompass":  # its AccEvaluator states what it read, and no verdict
            assert judged == {}
            read = {row["answer"] for row in stated}
            assert len(read) > 5
            assert read <= {"", *"ABCDEFGHIJ"}
        elif case.tool == "lighteval" and run.card.config.suite != "mmlu-pro":
            # it asked for two replies, got one, and gave half a point for it
            assert {theirs[key] for key in judged} == {0.0, 0.5}
        else:
            assert {key: theirs[key] for key in judged} == judged
            assert judged


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_a_failed_call_stays_a_failure(case: Case, imported: Any) -> None:
    for suite, run in imported[case.path].items():
        failed = [record for record in run.records() if isinstance(record.outcome, Failure)]
        assert len(failed) == case.runs[suite][0].get("failed:imported", 0)
        assert all(record.scores == {} and record.outcome.message for record in failed)


@pytest.mark.parametrize(
    ("path", "suite"),
    [("inspect/mmlu-pro-shuffled.eval", "mmlu-pro"), ("inspect/gpqa-diamond.eval", "gpqa:diamond"),
     ("evalscope", "gpqa:diamond"), ("lighteval", "gpqa:diamond"), ("helm", "gpqa:diamond")],
)  # fmt: skip
def test_options_in_another_order_are_translated(path: str, suite: str, imported: Any) -> None:
    run = imported[path][suite]
    choices = {sample.id: sample.choices for sample in run.samples()}
    orders = [record.prompt.order for record in run.records() if isinstance(record.outcome, Reply)]
    assert len({order for order in orders if order}) > 1
    for record in run.records():
        if record.prompt.order and isinstance(record.outcome, Reply):
            shown = [choices[record.sample][place] for place in record.prompt.order]
            asked = record.prompt.messages[0].parts[0].text
            assert f"A) {shown[0]}\n" in asked or f"(A) {shown[0]}\n" in asked


def test_what_was_set_counted_and_thought_is_kept_and_the_rest_is_unknown(imported: Any) -> None:
    for path, suite, tokens in (
        ("inspect/mmlu-pro.eval", "mmlu-pro", 40),
        ("evalscope", "mmlu-pro", 40),
        ("lm-eval/standin-1", "mmlu-pro", None),
        ("lighteval", "mmlu-pro", None),
    ):
        run = imported[path][suite]
        sampling = run.card.config.sampling
        assert (sampling.temperature, sampling.max_tokens) == (0.6, 512)
        replies = [record.outcome for record in run.records() if isinstance(record.outcome, Reply)]
        assert {reply.usage.input for reply in replies} == {tokens}
        thoughts = {reply.reasoning for reply in replies}
        assert thoughts == ({None} if path.startswith("lm-eval") else {None, "First, let me see."})
    assert imported["helm"]["mmlu-pro"].card.config.sampling.max_tokens == 4096
    assert imported["lm-eval/dummy"]["gpqa:diamond"].card.config.sampling.max_tokens is None


def test_whether_replies_were_cut_is_unknown_where_the_source_does_not_say(imported: Imported) -> None:
    for path, shown in (("lm-eval/dummy", "-"), ("inspect/gpqa-diamond.eval", "10.0 %")):
        (run,) = imported[path].values()
        rows = evals("show", run.card.run, "--results", imported.folder / path).out.splitlines()
        place = next(i for i, row in enumerate(rows) if row.startswith("gpqa:diamond"))
        assert f"  {shown}  " in rows[place + 1]


def test_a_chat_that_lm_eval_rendered_is_read_as_its_text(imported: Any) -> None:
    record = next(iter(imported["lm-eval/standin-1"]["mmlu-pro"].records()))
    assert record.prompt.messages[0].parts[0].text.startswith("Question:\n")


@pytest.mark.parametrize("case", [case for case in CASES if len(case.runs) == 1], ids=lambda case: case.path)
def test_replies_to_other_questions_are_no_run(case: Case, tmp_path: Path) -> None:
    other = "aime:2024" if "aime" not in case.path else "mmlu-pro"
    done = evals("import", FOREIGN / case.path, "--suite", other, "--sample", "--results", tmp_path)
    assert "none of its replies matches a sample of" in done.error_line
    assert list(tmp_path.rglob("card.json")) == []


def test_what_matches_no_sample_is_listed(tmp_path: Path) -> None:
    shutil.copytree(FOREIGN / "evalscope", tmp_path / "e")
    path = tmp_path / "e" / "predictions" / "standin-1" / "mmlu_pro_law.jsonl"
    path.write_text(path.read_text().replace("mailbox", "letter box"))
    done = evals("import", tmp_path / "e", "--sample", "--results", tmp_path / "r")
    assert (
        "2 records without a matching sample: mmlu_pro_law.jsonl, line 1, mmlu_pro_law.jsonl, line 2"
        in done.err
    )
    (folder,) = (run.path for run in store.runs(tmp_path / "r") if run.card.config.suite == "mmlu-pro")
    assert (folder / "unmatched.txt").read_text().splitlines() == [
        "mmlu_pro_law.jsonl, line 1",
        "mmlu_pro_law.jsonl, line 2",
    ]


def test_a_log_that_stands_twice_is_two_runs(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "logs" / name).mkdir(parents=True)
        shutil.copy(FOREIGN / "inspect" / "aime2025.json", tmp_path / "logs" / name)
    evals("import", "inspect", tmp_path / "logs", "--sample", "--results", tmp_path / "r")
    first, second = store.runs(tmp_path / "r")
    assert verdicts(first) == verdicts(second)
    assert first.card.run != second.card.run


def test_without_the_extra_one_line_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "inspect_ai.log", None)
    done = evals("import", FOREIGN / "inspect" / "aime2025.json", "--sample", "--results", tmp_path)
    assert "[inspect]'" in done.error_line


@pytest.mark.slow
@pytest.mark.parametrize("tool", make_foreign.TOOLS)
def test_what_the_tool_writes_today_imports_to_the_same_verdicts(tool: str, tmp_path: Path) -> None:
    """Sees a format drift once a tool's environment is made anew with another version."""
    if environments.interpreter(tool) is None:
        pytest.skip(f"NOT RUN AGAIN: {tool} has no environment; tools/make_foreign.py {tool} makes it")
    make_foreign.make(tool, tmp_path / tool)
    for case in CASES:
        if case.tool == tool:
            found = runs_of(tmp_path / case.path, tmp_path / "r" / case.path)
            assert {s: verdicts(run) for s, run in found.items()} == {s: n for s, (n, _) in case.runs.items()}
