"""Files written by other tools (`tests/foreign`, by `make_foreign.py`) are imported with the expected verdicts.

Each item determines whether the stand-in model answers correctly, wrongly, is truncated, is filtered or fails. The
verdicts must therefore be the same for every tool, except for what its files do not distinguish. If the environment of
a tool exists, a slow test lets the tool write its files again.
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
EVALSCOPE_COUNTS = {"right": 12, "wrong": 4, "refused": 2, "truncated": 2, "absent": 4}
"""evalscope writes no record of a failed call, so that its sample is absent."""


class Case(NamedTuple):
    """An imported path and the expected runs."""

    path: str
    """Below `tests/foreign`."""
    form: str
    runs: dict[str, tuple[dict[str, int], str]]
    """Suite -> (number of samples by verdict, the score that the tool states)."""

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
                "mmlu_pro_sample exact_match,custom-extract 0.5625",  # 9 of 16: lm-eval scores failed calls as wrong
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
            "mmlu-pro": (EVALSCOPE_COUNTS | {"right": 18, "truncated": 4}, "mmlu_pro mean accuracy 0.6429"),
            "gpqa:diamond": (EVALSCOPE_COUNTS, "gpqa_diamond mean accuracy 0.6"),
            "aime:2025": (EVALSCOPE_COUNTS, "aime25 failed calls 4"),
        },
    ),
    Case(
        "lighteval",
        "lighteval",
        {
            "mmlu-pro": (
                {"right": 9, "wrong": 2, "unanswered": 2, "failed:imported": 3},
                "mmlu_pro_ours extractive_match 0.5625",  # 9 of 16: lighteval scores empty replies and failed calls as wrong
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
                "mmlu_pro_ours accuracy 56.25",  # 9 of 16: OpenCompass scores filtered calls as wrong
            )
        },
    ),
)


def import_runs(path: Path, results: Path) -> dict[str, store.Run]:
    outcome = evals("import", path, "--sample", "--results", results)
    assert outcome.status == 0, outcome.err
    return {run.card.config.suite: run for run in store.runs(results)}


def verdict_counts(run: store.Run) -> dict[str, int]:
    return {name: n for name, n in run.card.counts.items() if n}


class Imported(dict[str, dict[str, store.Run]]):
    """Path of a case -> suite -> run; each path is imported once, at its first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __missing__(self, path: str) -> dict[str, store.Run]:
        self[path] = import_runs(FOREIGN / path, self.folder / path)
        return self[path]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    return Imported(tmp_path_factory.mktemp("foreign"))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_the_imported_verdicts_and_stated_scores_are_the_expected_ones(case: Case, imported: Any) -> None:
    assert formats.detect(FOREIGN / case.path) == case.form
    runs = imported[case.path]
    assert {suite: verdict_counts(run) for suite, run in runs.items()} == {
        s: counts for s, (counts, _) in case.runs.items()
    }
    for suite, (_, stated_score) in case.runs.items():
        card = runs[suite].card
        assert card.origin == f"import {case.form}"
        assert [note for note in card.notes if stated_score in note], card.notes


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_our_scores_agree_with_the_scores_that_the_tool_states(case: Case, imported: Any) -> None:
    for run in imported[case.path].values():
        upstream_rows = [json.loads(row) for row in (run.path / "theirs.jsonl").read_text().splitlines()]
        theirs = {(row["sample"], row["repeat"]): row["score"] for row in upstream_rows}
        ours = {}
        for record in run.records():
            for score in record.scores.values():
                assert isinstance(score, Score)
                ours[record.sample, record.repeat] = score.value
        comparable = {key: value for key, value in ours.items() if theirs[key] is not None}
        if case.tool == "opencompass":  # its AccEvaluator states the parsed answers, but no verdicts
            assert comparable == {}
            answers = {row["answer"] for row in upstream_rows}
            assert len(answers) > 5
            assert answers <= {"", *"ABCDEFGHIJ"}
        elif case.tool == "lighteval" and run.card.config.suite != "mmlu-pro":
            # lighteval requested two replies, received one, and scored it with half a point
            assert {theirs[key] for key in comparable} == {0.0, 0.5}
        else:
            assert {key: theirs[key] for key in comparable} == comparable
            assert comparable


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_a_failed_call_is_imported_as_a_failure(case: Case, imported: Any) -> None:
    for suite, run in imported[case.path].items():
        failed = [record for record in run.records() if isinstance(record.outcome, Failure)]
        assert len(failed) == case.runs[suite][0].get("failed:imported", 0)
        assert all(record.scores == {} and record.outcome.message for record in failed)


@pytest.mark.parametrize(
    ("path", "suite"),
    [("inspect/mmlu-pro-shuffled.eval", "mmlu-pro"), ("inspect/gpqa-diamond.eval", "gpqa:diamond"),
     ("evalscope", "gpqa:diamond"), ("lighteval", "gpqa:diamond"), ("helm", "gpqa:diamond")],
)  # fmt: skip
def test_options_shown_in_another_order_are_mapped_back(path: str, suite: str, imported: Any) -> None:
    run = imported[path][suite]
    choices = {sample.id: sample.choices for sample in run.samples()}
    orders = [record.prompt.order for record in run.records() if isinstance(record.outcome, Reply)]
    assert len({order for order in orders if order}) > 1
    for record in run.records():
        if record.prompt.order and isinstance(record.outcome, Reply):
            shown_options = [choices[record.sample][index] for index in record.prompt.order]
            text = record.prompt.messages[0].parts[0].text
            assert f"A) {shown_options[0]}\n" in text or f"(A) {shown_options[0]}\n" in text


def test_sampling_usage_and_reasoning_are_imported_if_the_tool_records_them(imported: Any) -> None:
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
        reasoning = {reply.reasoning for reply in replies}
        assert reasoning == ({None} if path.startswith("lm-eval") else {None, "First, let me see."})
    assert imported["helm"]["mmlu-pro"].card.config.sampling.max_tokens == 4096
    assert imported["lm-eval/dummy"]["gpqa:diamond"].card.config.sampling.max_tokens is None


def test_the_truncation_rate_is_unknown_if_the_source_does_not_state_it(imported: Imported) -> None:
    for path, rate in (("lm-eval/dummy", "-"), ("inspect/gpqa-diamond.eval", "10.0 %")):
        (run,) = imported[path].values()
        rows = evals("show", run.card.run, "--results", imported.folder / path).out.splitlines()
        index = next(i for i, row in enumerate(rows) if row.startswith("gpqa:diamond"))
        assert f"  {rate}  " in rows[index + 1]


def test_a_chat_rendered_by_lm_eval_is_imported_without_its_chat_template(imported: Any) -> None:
    record = next(iter(imported["lm-eval/standin-1"]["mmlu-pro"].records()))
    assert record.prompt.messages[0].parts[0].text.startswith("Question:\n")


@pytest.mark.parametrize("case", [case for case in CASES if len(case.runs) == 1], ids=lambda case: case.path)
def test_replies_to_the_questions_of_another_suite_are_a_usage_error(case: Case, tmp_path: Path) -> None:
    other_suite = "aime:2024" if "aime" not in case.path else "mmlu-pro"
    outcome = evals("import", FOREIGN / case.path, "--suite", other_suite, "--sample", "--results", tmp_path)
    outcome.assert_usage_error()
    assert list(tmp_path.rglob("card.json")) == []


def test_records_that_match_no_sample_are_listed(tmp_path: Path) -> None:
    shutil.copytree(FOREIGN / "evalscope", tmp_path / "e")
    path = tmp_path / "e" / "predictions" / "standin-1" / "mmlu_pro_law.jsonl"
    path.write_text(path.read_text().replace("mailbox", "letter box"))
    outcome = evals("import", tmp_path / "e", "--sample", "--results", tmp_path / "r")
    assert (
        "2 records without a matching sample: mmlu_pro_law.jsonl, line 1, mmlu_pro_law.jsonl, line 2"
        in outcome.err
    )
    (folder,) = (run.path for run in store.runs(tmp_path / "r") if run.card.config.suite == "mmlu-pro")
    assert (folder / "unmatched.txt").read_text().splitlines() == [
        "mmlu_pro_law.jsonl, line 1",
        "mmlu_pro_law.jsonl, line 2",
    ]


def test_a_log_that_occurs_twice_becomes_two_runs(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "logs" / name).mkdir(parents=True)
        shutil.copy(FOREIGN / "inspect" / "aime2025.json", tmp_path / "logs" / name)
    evals("import", "inspect", tmp_path / "logs", "--sample", "--results", tmp_path / "r")
    first, second = store.runs(tmp_path / "r")
    assert verdict_counts(first) == verdict_counts(second)
    assert first.card.run != second.card.run


def test_without_inspect_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "inspect_ai.log", None)
    outcome = evals("import", FOREIGN / "inspect" / "aime2025.json", "--sample", "--results", tmp_path)
    outcome.assert_usage_error()


@pytest.mark.slow
@pytest.mark.parametrize("tool", make_foreign.TOOLS)
def test_files_newly_written_by_the_tool_are_imported_with_the_same_verdicts(
    tool: str, tmp_path: Path
) -> None:
    """Detects changes of the format when the environment of a tool is recreated with another version."""
    if environments.interpreter(tool) is None:
        pytest.skip(f"NOT RUN AGAIN: {tool} has no environment; tools/make_foreign.py {tool} creates it")
    make_foreign.make(tool, tmp_path / tool)
    for case in CASES:
        if case.tool == tool:
            runs = import_runs(tmp_path / case.path, tmp_path / "r" / case.path)
            assert {s: verdict_counts(run) for s, run in runs.items()} == {
                s: n for s, (n, _) in case.runs.items()
            }
