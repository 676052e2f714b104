"""Several models in one command: they share a budget, interrupts and judges, and their runs are the same as separate ones."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import evals
from evals.calls.pace import spacing_of
from evals.errors import Fatal, ModelError, UsageError
from evals.records.store import Run
from evals.run import model_run, progress
from evals.run.request import make_request
from evals.run.session import NamedModel, Session
from evals.scorers.judge.judge import Judge
from evals.types import Prompt, Reply, Sampling, Usage
from tests.support import toy
from tests.support.command import evals as command
from tests.support.error_messages import raises
from tests.support.paths import ROOT

Respond = Callable[[], Awaitable[str]]
JUDGE = "scripted:call=tests.support.judges:letter_b"


class RecordingModel:
    """A model that counts its calls and records which other models are called at the same time."""

    accepts: frozenset[str] = frozenset()
    slots: int | None = 4
    active: set[str]
    """Names of all models with a call in flight."""

    def __init__(self, name: str, respond: Respond | None = None, *, local: bool = False) -> None:
        self.name, self.local, self._respond = name, local, respond
        self.calls = self.closed = self._in_flight = 0
        self.concurrent_models: set[str] = set()
        """Other models that had a call in flight when a call to this model ended."""

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        self.calls += 1
        self._in_flight += 1
        RecordingModel.active.add(self.name)
        try:
            text = await self._respond() if self._respond else await _letter()
            self.concurrent_models |= RecordingModel.active - {self.name}
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                RecordingModel.active.discard(self.name)
        return Reply(text=text, usage=Usage(input=10, output=1))

    async def close(self) -> None:
        self.closed += 1


async def _letter() -> str:
    await asyncio.sleep(0.02)
    return "A"


async def _invalid_key() -> str:
    raise Fatal("HTTP 401: invalid key")


@pytest.fixture(autouse=True)
def active(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each test without calls in flight."""
    monkeypatch.setattr(RecordingModel, "active", set(), raising=False)


def session(
    results: Path, *models: RecordingModel, messages: list[str] | None = None, **options: Any
) -> Session:
    request = make_request(
        {"results": results, "sample": True, "models": [m.name for m in models], **options}
    )
    return Session(
        request,
        suites=[toy.suite(20), toy.suite(12, name="other")],
        models=[NamedModel(f"object:{model.name}", model) for model in models],
        say=(messages if messages is not None else []).append,
        quiet=True,
    )


def test_remote_models_run_concurrently_and_local_models_in_turn(tmp_path: Path) -> None:
    a, b = RecordingModel("a"), RecordingModel("b")
    local_1, local_2 = RecordingModel("local-1", local=True), RecordingModel("local-2", local=True)
    outcomes = session(tmp_path, a, local_1, b, local_2).run()
    assert [outcome.model for outcome in outcomes] == ["a", "local-1", "b", "local-2"]
    assert [card.coverage for outcome in outcomes for card in outcome.cards] == [1.0] * 8
    assert {"b", "local-1"} <= a.concurrent_models
    assert local_1.concurrent_models == {"a", "b"}
    assert "local-1" not in local_2.concurrent_models
    assert [model.closed for model in (a, b, local_1, local_2)] == [1, 1, 1, 1]


def test_one_model_at_a_time_runs_no_two_models_together(tmp_path: Path) -> None:
    a, b = RecordingModel("a"), RecordingModel("b")
    session(tmp_path, a, b, one_model_at_a_time=True).run()
    assert (a.concurrent_models, b.concurrent_models) == (set(), set())
    assert a.calls == b.calls == 32


def test_two_entries_that_are_the_same_model_share_one_run(tmp_path: Path) -> None:
    first, second = RecordingModel("a"), RecordingModel("a")
    outcomes = session(tmp_path, first, second).run()
    assert (first.calls, second.calls) == (32, 0)
    assert outcomes[0].paths == outcomes[1].paths


def test_a_model_that_fails_does_not_affect_the_others(tmp_path: Path) -> None:
    messages: list[str] = []
    good, bad, local = (
        RecordingModel("good"),
        RecordingModel("bad", _invalid_key),
        RecordingModel("local", local=True),
    )
    outcomes = session(tmp_path, bad, good, local, messages=messages).run()
    assert [outcome.fault for outcome in outcomes] == ["HTTP 401: invalid key", "", ""]
    assert [len(outcome.cards) for outcome in outcomes] == [0, 2, 2]
    assert "bad: HTTP 401: invalid key; the other models are not affected" in messages
    assert bad.closed == 1
    assert not list(tmp_path.glob("*/bad"))


def test_after_a_local_model_fails_the_next_one_runs(tmp_path: Path) -> None:
    bad, good = RecordingModel("bad", _invalid_key, local=True), RecordingModel("good", local=True)
    bad_outcome, good_outcome = session(tmp_path, bad, good).run()
    assert (bad_outcome.failed, good_outcome.failed) == ("HTTP 401: invalid key", "")
    assert good.calls == 32


def test_a_single_model_that_fails_raises_its_error(tmp_path: Path) -> None:
    with raises(Fatal):
        session(tmp_path, RecordingModel("bad", _invalid_key)).run()


def test_an_unexpected_exception_stops_all_runs_and_keeps_their_replies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = RecordingModel("slow", lambda: asyncio.sleep(0.3, "A"))

    def crash(self: model_run.ModelRun, runner: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(model_run.ModelRun, "_report_failures", crash)
    with pytest.raises(ZeroDivisionError):
        session(tmp_path, RecordingModel("a", lambda: asyncio.sleep(0, "A")), slow).run()
    runs = [Run(path.parent) for path in tmp_path.glob("*/slow/*/card.json")]
    assert {run.card.status for run in runs} == {"interrupted"}
    assert slow.calls - 4 <= sum(len(list(run.records())) for run in runs) <= slow.calls


def test_in_evaluate_the_error_names_the_model_and_the_others_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[Any] = [RecordingModel("good"), RecordingModel("bad", _invalid_key)]
    with raises(ModelError):
        evals.evaluate(toy.suite(8), models, results=tmp_path, quiet=True)
    (run,) = evals.runs(tmp_path)
    assert run.card.coverage == 1.0


async def test_several_models_run_concurrently_in_a_running_event_loop(tmp_path: Path) -> None:
    models: list[Any] = [RecordingModel("a"), RecordingModel("b")]
    runs = await evals.aevaluate(toy.suite(8), models, results=tmp_path, quiet=True)
    assert [run.card.model for run in runs] == ["a", "b"]
    assert models[0].concurrent_models == {"b"}


def test_an_unsuitable_model_is_rejected_before_any_call_or_file(tmp_path: Path) -> None:
    good, blind = RecordingModel("good"), RecordingModel("blind")
    with_images = toy.suite(4, name="with-images", needs=frozenset({"image"}))
    good.accepts = frozenset({"image"})
    unsuitable = session(tmp_path, good, blind)
    unsuitable.suites = [with_images]
    with raises(UsageError):
        unsuitable.run()
    assert good.calls == 0
    assert not list(tmp_path.iterdir())


# --- one budget ---------------------------------------------------------------------------------------------


def test_all_models_share_one_budget(tmp_path: Path) -> None:
    a, b = RecordingModel("a"), RecordingModel("b")
    local_1, local_2 = RecordingModel("local-1", local=True), RecordingModel("local-2", local=True)
    messages: list[str] = []
    options = {"max_total_tokens": 220, "concurrency": 1}
    outcomes = session(tmp_path, a, b, local_1, local_2, messages=messages, **options).run()
    assert 20 <= a.calls + b.calls + local_1.calls <= 22  # eleven tokens each, plus the calls in flight
    assert (local_2.calls, outcomes[-1].skip_reason) == (0, "--max-total-tokens 220 reached")
    assert {line for line in messages if "reached" in line} == {
        *(f"{name}: ended early: --max-total-tokens 220 reached" for name in ("a", "b", "local-1")),
        "local-2: not run: --max-total-tokens 220 reached",
    }
    resumed = session(tmp_path, a, b, local_1, local_2).run()
    assert [card.coverage for outcome in resumed for card in outcome.cards] == [1.0] * 8
    assert a.calls + b.calls + local_1.calls + local_2.calls == 4 * 32


# --- one interrupt ------------------------------------------------------------------------------------------

INTERRUPTED_PROGRAM = """
    import asyncio, json, sys
    from pathlib import Path
    import evals
    from tests.run.test_side_by_side import RecordingModel
    from tests.support import toy

    RecordingModel.active, started = set(), asyncio.Event()
    async def slow():
        await asyncio.sleep(0)
        if sum(model.calls for model in models) == 12 and not started.is_set():
            started.set()
            print("called", flush=True)
        await asyncio.sleep({seconds})
        return "A"
    models = [RecordingModel("a", slow), RecordingModel("b", slow), RecordingModel("c", slow, local=True), RecordingModel("d", slow, local=True)]
    try:
        evals.evaluate(toy.suite(40), models, results=sys.argv[1], quiet=True, concurrency=4)
    except KeyboardInterrupt:
        print(json.dumps([model.calls for model in models]), flush=True)
"""


@pytest.mark.parametrize(("signals", "seconds"), [(1, 0.6), (2, 60.0)])
def test_one_ctrl_c_lets_calls_of_all_models_finish_and_a_second_stops_them(
    tmp_path: Path, signals: int, seconds: float
) -> None:
    code = textwrap.dedent(INTERRUPTED_PROGRAM).format(seconds=seconds)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "called\n"
        for _ in range(signals):
            child.send_signal(signal.SIGINT)
            try:
                child.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        calls = json.loads(child.stdout.readline())
        child.wait(30)
    assert calls == [4, 4, 4, 0]
    runs = {run.card.model: run for run in (Run(path.parent) for path in tmp_path.glob("*/*/*/card.json"))}
    records = {name: len(list(run.records())) for name, run in runs.items()}
    assert records == dict.fromkeys("abc", 4 if signals == 1 else 0)
    assert all(run.card.status == "interrupted" for run in runs.values())


def test_signal_handlers_and_gc_thresholds_are_restored_at_the_end(tmp_path: Path) -> None:
    thresholds_before, handler = gc.get_threshold(), signal.getsignal(signal.SIGINT)
    thresholds = []

    async def respond() -> str:
        thresholds.append(gc.get_threshold())
        return "A"

    session(tmp_path, RecordingModel("a", respond), RecordingModel("b")).run()
    assert thresholds[0][0] > thresholds_before[0]
    assert (gc.get_threshold(), signal.getsignal(signal.SIGINT)) == (thresholds_before, handler)


# --- one judge, one rate limit ------------------------------------------------------------------------------


def test_all_models_share_one_judge_that_closes_after_the_last(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judges: list[Judge] = []
    remaining_users: list[int] = []
    init, close = Judge.__init__, Judge.close

    def record_judge(self: Judge, *args: Any, **options: Any) -> None:
        judges.append(self)
        init(self, *args, **options)

    async def record_close(self: Judge) -> None:
        await close(self)
        remaining_users.append(self._users)

    monkeypatch.setattr(Judge, "__init__", record_judge)
    monkeypatch.setattr(Judge, "close", record_close)
    arguments = ("run", "gpqa", "--sample", "--protocol", "intern-s1", "--judge", JUDGE, "--json")
    outcome = command(
        *arguments, "-m", "scripted:I would say B, or C.", "-m", "scripted:B it is, I would say."
    )
    assert [run["coverage"] for run in outcome.json["runs"]] == [1.0, 1.0], outcome.err
    assert len(judges) == 1
    assert remaining_users == [1, 0]


def test_models_of_one_account_share_its_rate_limit() -> None:
    class Metered:
        per_minute = 30.0

        def __init__(self, account: str) -> None:
            self.account = account

    first, second = Metered("lab"), Metered("lab")
    spacing = spacing_of(first)
    assert spacing is spacing_of(second)
    assert spacing is not spacing_of(Metered("other lab"))


# --- output and stored runs ---------------------------------------------------------------------------------


def test_progress_lines_start_with_the_model(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    outcome = command("run", "mmlu-pro", "--sample", "-m", "demo:careful", "-m", "demo:careless")
    labels = {line.partition(" ")[0] for line in outcome.err.splitlines() if re.search(r"\d+/16 ", line)}
    assert labels == {"careful:", "careless:"}
    assert re.search(r"^careful: mmlu-pro: 16/16 ", outcome.err, re.MULTILINE)


def test_models_with_the_same_name_are_shown_by_their_specs(here: Path) -> None:
    outcome = command("run", "mmlu-pro", "--sample", "-m", "scripted:A", "-m", "scripted:B")
    assert re.search(r"^scripted:A: mmlu-pro: 16/16 ", outcome.err, re.MULTILINE)
    assert re.search(r"^scripted:B: mmlu-pro: 16/16 ", outcome.err, re.MULTILINE)


def test_progress_lines_of_a_single_model_do_not_name_it(here: Path) -> None:
    outcome = command("run", "mmlu-pro", "--sample", "-m", "demo:careful")
    assert re.search(r"^mmlu-pro: 16/16 ", outcome.err, re.MULTILINE)


def test_the_exit_status_and_the_last_line_report_the_model_that_failed(here: Path) -> None:
    outcome = command(
        "run", "mmlu-pro", "--sample", "-m", "server:http://127.0.0.1:9/v1#x", "-m", "demo:careful"
    )
    outcome.assert_usage_error()
    assert "careful" in outcome.out
    assert " x " not in outcome.out


def _comparable_runs(results: Path) -> dict[str, Any]:
    """Return cards and records by suite and model, without what differs between any two runs: times, ids, order of calls."""
    comparable = {}
    for path in sorted(results.glob("*/*/*/card.json")):
        card = json.loads(path.read_text())
        for name in ("run", "started", "finished", "files"):
            card.pop(name)
        for estimate in card["estimates"]:  # floats that were added in another order differ slightly
            estimate |= {name: float(f"{v:.12g}") for name, v in estimate.items() if isinstance(v, float)}
        records = sorted(
            Run(path.parent).records(),
            key=lambda record: record.sample,
        )
        comparable[
            f"{path.parent.parent.parent.name} {path.parent.parent.name} {card['config']['model']}"
        ] = (
            card,
            [(r.sample, r.repeat, r.prompt, r.outcome.text, r.outcome.usage, r.scores) for r in records],
        )
    return comparable


def test_runs_are_stored_as_if_each_model_had_been_run_by_itself(here: Path) -> None:
    models = ("demo:careful", "demo:careless", "scripted:ANSWER: A")
    model_options = [argument for model in models for argument in ("-m", model)]
    arguments = ("run", "mmlu-pro", "gpqa", "--sample", "--concurrency", 1, "--results")
    command(*arguments, "together", *model_options)
    command(*arguments, "in-turn", "--one-model-at-a-time", *model_options)
    for model in models:
        command(*arguments, "alone", "-m", model)
    together = _comparable_runs(here / "together")
    assert len(together) == 6
    assert together == _comparable_runs(here / "in-turn") == _comparable_runs(here / "alone")


def test_a_notebook_has_one_display_with_a_row_for_each_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = pytest.importorskip("IPython.display")
    updates: list[str] = []

    class Cell:
        def update(self, content: object) -> None:
            updates.append(repr(content))

    displays: list[object] = []
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(notebook, "display", lambda *args, **options: displays.append(args) or Cell())
    models: list[Any] = [RecordingModel("a"), RecordingModel("b"), RecordingModel("c", local=True)]
    evals.evaluate(toy.suite(8), models, results=tmp_path)
    assert len(displays) == 1
    assert [line.split("  ")[0] for line in updates[-1].splitlines()] == [f"{m}: toy: 8/8" for m in "abc"]
