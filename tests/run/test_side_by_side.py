"""Several models in one command: what they share, what they do not take from each other, and what stays as it was."""

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
from tests.support.paths import ROOT

Says = Callable[[], Awaitable[str]]
JUDGE = "scripted:call=tests.support.judges:letter_b"


class Watched:
    """A model that notes when it is called and closed."""

    accepts: frozenset[str] = frozenset()
    slots: int | None = 4
    active: set[str]
    """Names of all models with a call in flight."""

    def __init__(self, name: str, says: Says | None = None, *, local: bool = False) -> None:
        self.name, self.local, self._says = name, local, says
        self.calls = self.closed = self._flying = 0
        self.beside: set[str] = set()
        """Other models that had a call in flight during one of this model."""

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        self.calls += 1
        self._flying += 1
        Watched.active.add(self.name)
        try:
            text = await self._says() if self._says else await _letter()
            self.beside |= Watched.active - {self.name}
        finally:
            self._flying -= 1
            if not self._flying:
                Watched.active.discard(self.name)
        return Reply(text=text, usage=Usage(input=10, output=1))

    async def close(self) -> None:
        self.closed += 1


async def _letter() -> str:
    await asyncio.sleep(0.02)
    return "A"


async def _no_key() -> str:
    raise Fatal("HTTP 401: invalid key")


@pytest.fixture(autouse=True)
def active(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watched, "active", set(), raising=False)


def session(results: Path, *models: Watched, says: list[str] | None = None, **options: Any) -> Session:
    request = make_request(
        {"results": results, "sample": True, "models": [m.name for m in models], **options}
    )
    return Session(
        request,
        suites=[toy.suite(20), toy.suite(12, name="other")],
        models=[NamedModel(f"object:{model.name}", model) for model in models],
        say=(says if says is not None else []).append,
        quiet=True,
    )


def test_models_elsewhere_run_side_by_side_and_those_of_this_machine_in_turn(tmp_path: Path) -> None:
    a, b = Watched("a"), Watched("b")
    here, there = Watched("here", local=True), Watched("there", local=True)
    outcomes = session(tmp_path, a, here, b, there).run()
    assert [outcome.model for outcome in outcomes] == ["a", "here", "b", "there"]
    assert [card.coverage for outcome in outcomes for card in outcome.cards] == [1.0] * 8
    assert {"b", "here"} <= a.beside
    assert here.beside == {"a", "b"}
    assert "here" not in there.beside
    assert [model.closed for model in (a, b, here, there)] == [1, 1, 1, 1]


def test_one_model_at_a_time_is_the_order_of_the_command_line(tmp_path: Path) -> None:
    a, b = Watched("a"), Watched("b")
    session(tmp_path, a, b, one_model_at_a_time=True).run()
    assert (a.beside, b.beside) == (set(), set())
    assert a.calls == b.calls == 32


def test_two_entries_that_are_the_same_model_share_one_run(tmp_path: Path) -> None:
    first, second = Watched("a"), Watched("a")
    outcomes = session(tmp_path, first, second).run()
    assert (first.calls, second.calls) == (32, 0)
    assert outcomes[0].paths == outcomes[1].paths


def test_a_model_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    said: list[str] = []
    good, bad, late = Watched("good"), Watched("bad", _no_key), Watched("late", local=True)
    outcomes = session(tmp_path, bad, good, late, says=said).run()
    assert [outcome.fault for outcome in outcomes] == ["HTTP 401: invalid key", "", ""]
    assert [len(outcome.cards) for outcome in outcomes] == [0, 2, 2]
    assert "bad: HTTP 401: invalid key; the other models are not affected" in said
    assert bad.closed == 1
    assert not list(tmp_path.glob("*/bad"))


def test_one_that_fails_among_those_of_this_machine_makes_room_for_the_next(tmp_path: Path) -> None:
    bad, good = Watched("bad", _no_key, local=True), Watched("good", local=True)
    bad_outcome, good_outcome = session(tmp_path, bad, good).run()
    assert (bad_outcome.failed, good_outcome.failed) == ("HTTP 401: invalid key", "")
    assert good.calls == 32


def test_a_model_alone_that_fails_is_an_error_as_before(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="invalid key"):
        session(tmp_path, Watched("bad", _no_key)).run()


def test_a_defect_ends_all_of_them_and_keeps_their_replies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Watched("slow", lambda: asyncio.sleep(0.3, "A"))

    def broken(self: model_run.ModelRun, runner: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(model_run.ModelRun, "_report_failures", broken)
    with pytest.raises(ZeroDivisionError):
        session(tmp_path, Watched("a", lambda: asyncio.sleep(0, "A")), slow).run()
    runs = [Run(path.parent) for path in tmp_path.glob("*/slow/*/card.json")]
    assert {run.card.status for run in runs} == {"interrupted"}
    assert slow.calls - 4 <= sum(len(list(run.records())) for run in runs) <= slow.calls


def test_in_a_library_call_the_error_names_the_model_and_the_others_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[Any] = [Watched("good"), Watched("bad", _no_key)]
    with pytest.raises(
        ModelError, match=r"bad failed: HTTP 401: invalid key; the runs of the others are stored"
    ):
        evals.evaluate(toy.suite(8), models, results=tmp_path, quiet=True)
    (run,) = evals.runs(tmp_path)
    assert run.card.coverage == 1.0


async def test_several_models_in_a_running_loop(tmp_path: Path) -> None:
    models: list[Any] = [Watched("a"), Watched("b")]
    runs = await evals.aevaluate(toy.suite(8), models, results=tmp_path, quiet=True)
    assert [run.card.model for run in runs] == ["a", "b"]
    assert models[0].beside == {"b"}


def test_an_unsuitable_model_is_refused_before_anything_is_written_or_called(tmp_path: Path) -> None:
    good, blind = Watched("good"), Watched("blind")
    seeing = toy.suite(4, name="seeing", needs=frozenset({"image"}))
    good.accepts = frozenset({"image"})
    one = session(tmp_path, good, blind)
    one.suites = [seeing]
    with pytest.raises(UsageError, match="blind does not"):
        one.run()
    assert good.calls == 0
    assert not list(tmp_path.iterdir())


# --- one budget ---------------------------------------------------------------------------------------------


def test_the_budget_is_of_all_models_and_ends_them_all(tmp_path: Path) -> None:
    a, b, late = Watched("a"), Watched("b"), Watched("late", local=True)
    first = Watched("first", local=True)
    said: list[str] = []
    options = {"max_total_tokens": 220, "concurrency": 1}
    outcomes = session(tmp_path, a, b, first, late, says=said, **options).run()
    assert 20 <= a.calls + b.calls + first.calls <= 22  # eleven tokens each, and what was in flight
    assert (late.calls, outcomes[-1].left_out) == (0, "--max-total-tokens 220 reached")
    assert {line for line in said if "reached" in line} == {
        *(f"{name}: ended early: --max-total-tokens 220 reached" for name in ("a", "b", "first")),
        "late: not run: --max-total-tokens 220 reached",
    }
    again = session(tmp_path, a, b, first, late).run()
    assert [card.coverage for outcome in again for card in outcome.cards] == [1.0] * 8
    assert a.calls + b.calls + first.calls + late.calls == 4 * 32


# --- one interrupt ------------------------------------------------------------------------------------------

INTERRUPTED = """
    import asyncio, json, sys
    from pathlib import Path
    import evals
    from tests.run.test_side_by_side import Watched
    from tests.support import toy

    Watched.active, told = set(), []
    async def slow():
        await asyncio.sleep(0)
        if sum(model.calls for model in models) == 12 and not told:
            told.append(print("called", flush=True))
        await asyncio.sleep({seconds})
        return "A"
    models = [Watched("a", slow), Watched("b", slow), Watched("c", slow, local=True), Watched("d", slow, local=True)]
    try:
        evals.evaluate(toy.suite(40), models, results=sys.argv[1], quiet=True, concurrency=4)
    except KeyboardInterrupt:
        print(json.dumps([model.calls for model in models]), flush=True)
"""


@pytest.mark.parametrize(("signals", "seconds"), [(1, 0.6), (2, 60.0)])
def test_ctrl_c_once_drains_all_of_them_and_twice_stops_them(
    tmp_path: Path, signals: int, seconds: float
) -> None:
    code = textwrap.dedent(INTERRUPTED).format(seconds=seconds)
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
    kept = {name: len(list(run.records())) for name, run in runs.items()}
    assert kept == dict.fromkeys("abc", 4 if signals == 1 else 0)
    assert all(run.card.status == "interrupted" for run in runs.values())


def test_handlers_and_the_collector_are_as_before_when_all_are_done(tmp_path: Path) -> None:
    before, handler = gc.get_threshold(), signal.getsignal(signal.SIGINT)
    seen = []

    async def says() -> str:
        seen.append(gc.get_threshold())
        return "A"

    session(tmp_path, Watched("a", says), Watched("b")).run()
    assert seen[0][0] > before[0]
    assert (gc.get_threshold(), signal.getsignal(signal.SIGINT)) == (before, handler)


# --- one judge, one rate limit ------------------------------------------------------------------------------


def test_all_models_share_one_judge_which_stays_open_until_the_last(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judges: list[Judge] = []
    closed: list[int] = []
    make_judge, close = Judge.__init__, Judge.close

    def noted(self: Judge, *args: Any, **options: Any) -> None:
        judges.append(self)
        make_judge(self, *args, **options)

    async def closing(self: Judge) -> None:
        await close(self)
        closed.append(self._users)

    monkeypatch.setattr(Judge, "__init__", noted)
    monkeypatch.setattr(Judge, "close", closing)
    words = ("run", "gpqa", "--sample", "--protocol", "intern-s1", "--judge", JUDGE, "--json")
    done = command(*words, "-m", "scripted:I would say B, or C.", "-m", "scripted:B it is, I would say.")
    assert [run["coverage"] for run in done.json["runs"]] == [1.0, 1.0], done.err
    assert len(judges) == 1
    assert closed == [1, 0]


def test_models_of_one_account_share_its_rate_limit() -> None:
    class Metered:
        per_minute = 30.0

        def __init__(self, account: str) -> None:
            self.account = account

    one, other = Metered("lab"), Metered("lab")
    spacing = spacing_of(one)
    assert spacing is spacing_of(other)
    assert spacing is not spacing_of(Metered("other lab"))


# --- what is shown, and what is stored ----------------------------------------------------------------------


def test_messages_and_progress_say_which_model(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    done = command("run", "mmlu-pro", "--sample", "-m", "demo:careful", "-m", "demo:careless")
    rows = {line.partition(" ")[0] for line in done.err.splitlines() if re.search(r"\d+/16 ", line)}
    assert rows == {"careful:", "careless:"}
    assert re.search(r"^careful: mmlu-pro: 16/16 ", done.err, re.MULTILINE)


def test_models_of_one_name_are_told_apart_by_their_specs(here: Path) -> None:
    done = command("run", "mmlu-pro", "--sample", "-m", "scripted:A", "-m", "scripted:B")
    assert re.search(r"^scripted:A: mmlu-pro: 16/16 ", done.err, re.MULTILINE)
    assert re.search(r"^scripted:B: mmlu-pro: 16/16 ", done.err, re.MULTILINE)


def test_a_model_alone_is_not_named(here: Path) -> None:
    done = command("run", "mmlu-pro", "--sample", "-m", "demo:careful")
    assert re.search(r"^mmlu-pro: 16/16 ", done.err, re.MULTILINE)


def test_the_exit_status_and_the_last_lines_say_which_model_failed(here: Path) -> None:
    done = command(
        "run", "mmlu-pro", "--sample", "-m", "server:http://127.0.0.1:9/v1#x", "-m", "demo:careful"
    )
    assert done.status == 2
    assert done.err.splitlines()[-1].startswith("evals: x failed: cannot reach http://127.0.0.1:9/v1")
    assert "careful" in done.out
    assert " x " not in done.out


def _stored(results: Path) -> dict[str, Any]:
    """Cards and records by suite and model, without what differs between any two runs: times, ids, order of calls."""
    stored = {}
    for path in sorted(results.glob("*/*/*/card.json")):
        card = json.loads(path.read_text())
        for name in ("run", "started", "finished", "files"):
            card.pop(name)
        for estimate in card["estimates"]:  # sums of floats in another order
            estimate |= {name: float(f"{v:.12g}") for name, v in estimate.items() if isinstance(v, float)}
        records = sorted(
            Run(path.parent).records(),
            key=lambda record: record.sample,
        )
        stored[f"{path.parent.parent.parent.name} {path.parent.parent.name} {card['config']['model']}"] = (
            card,
            [(r.sample, r.repeat, r.prompt, r.outcome.text, r.outcome.usage, r.scores) for r in records],
        )
    return stored


def test_runs_are_stored_as_if_each_model_had_been_run_by_itself(here: Path) -> None:
    models = ("demo:careful", "demo:careless", "scripted:ANSWER: A")
    entries = [word for model in models for word in ("-m", model)]
    words = ("run", "mmlu-pro", "gpqa", "--sample", "--concurrency", 1, "--results")
    command(*words, "together", *entries)
    command(*words, "turn", "--one-model-at-a-time", *entries)
    for model in models:
        command(*words, "alone", "-m", model)
    together = _stored(here / "together")
    assert len(together) == 6
    assert together == _stored(here / "turn") == _stored(here / "alone")


def test_a_notebook_has_one_display_with_a_row_for_each_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = pytest.importorskip("IPython.display")
    shown: list[str] = []

    class Cell:
        def update(self, content: object) -> None:
            shown.append(repr(content))

    displays: list[object] = []
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(notebook, "display", lambda *args, **options: displays.append(args) or Cell())
    models: list[Any] = [Watched("a"), Watched("b"), Watched("c", local=True)]
    evals.evaluate(toy.suite(8), models, results=tmp_path)
    assert len(displays) == 1
    assert [line.split("  ")[0] for line in shown[-1].splitlines()] == [f"{m}: toy: 8/8" for m in "abc"]
