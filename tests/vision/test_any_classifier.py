"""All tasks of the suites with a custom classifier, without torch, on the bundled drawings: scores, means, terminal and dashboard."""

from __future__ import annotations

from pathlib import Path

import pytest

import evals
from evals.dashboard.tables import frames, leaderboard
from evals.errors import UsageError
from evals.types import Media, Prompt, Reply, Sampling
from tests.support.command import evals as command
from tests.support.error_messages import raises


class Constant:
    """A classifier that always returns class 0, which is right for one drawing in eight, or for more if there are few classes."""

    accepts = frozenset({"classes", "image"})

    def __init__(self, classes: int | None = None) -> None:
        self.name = "constant"
        if classes is not None:
            self.classes = classes
        self.prompts: list[Prompt] = []

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        self.prompts.append(prompt)
        return Reply(text='{"classes": [0, 1], "parameters": 5e6, "latency_ms": 2}', model="constant")

    async def close(self) -> None: ...


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of runs of the constant classifier on all tasks."""
    folder = tmp_path_factory.mktemp("constant")
    model = Constant()
    evals.evaluate(["vtab", "fgvc"], model, sample=True, results=folder, quiet=True)
    assert len(model.prompts) == 24 * 8
    assert all(
        type(part) is Media
        for prompt in model.prompts
        for message in prompt.messages
        for part in message.parts
    )
    return folder


def test_every_task_has_a_score_and_every_mean_a_name(results: Path) -> None:
    shown = command("show", "--json", "--results", results).json
    top1 = {entry["suite"]: entry["estimates"][0]["value"] for entry in shown["runs"]}
    assert len(top1) == 24
    assert top1["vtab:patch_camelyon"] == 0.5  # two classes, alternating
    means = {f"{mean['suite']}:{mean.get('name', '')}": mean for mean in shown["aggregates"]}
    assert set(means) == {
        "fgvc:",
        *(f"vtab:{name}" for name in ("natural", "specialized", "structured", "groups", "tasks")),
    }
    tasks = [value for name, value in top1.items() if name.startswith("vtab:")]
    assert means["vtab:tasks"]["value"] == pytest.approx(sum(tasks) / 19)
    group_means = [means[f"vtab:{name}"]["value"] for name in ("natural", "specialized", "structured")]
    assert means["vtab:groups"]["value"] == pytest.approx(sum(group_means) / 3)
    text = command("show", "--results", results, "--suite", "vtab").out
    assert "vtab:groups (official) constant: " in text
    assert "5 M" in text


def test_the_leaderboard_has_a_column_for_each_mean(results: Path) -> None:
    board = leaderboard.build(frames.index(results).entries)
    means = {column.suite: column.metric for column in board.columns.values() if "mean of" in column.metric}
    assert means == {
        "fgvc": "mean of 5 tasks", "vtab:natural": "mean of 7 tasks", "vtab:specialized": "mean of 4 tasks",
        "vtab:structured": "mean of 8 tasks", "vtab:groups": "mean of three group means", "vtab:tasks": "mean of 19 tasks",
    }  # fmt: skip


def test_a_head_with_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    with raises(UsageError):
        evals.evaluate("vtab:dtd", Constant(classes=10), sample=True, results=tmp_path, quiet=True)


@pytest.mark.parametrize("model", ["tokens:bytes", "baseline:copy"])
def test_a_model_that_is_not_a_classifier_is_refused(tmp_path: Path, model: str) -> None:
    outcome = command("run", "vtab:dtd", "-m", model, "--sample", "--results", tmp_path)
    outcome.assert_usage_error()


def test_the_list_of_suites_states_sizes_and_needs_and_no_reworded_prompts() -> None:
    text = command("list", "suites").out
    assert "at least 213,456 items" in text
    assert "needs classes, image" in text
    assert "reworded prompt" not in text.partition("vtab")[2].partition("\n\n")[0]
