"""The library: what a script or a notebook calls, run as they would."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import evals
from evals import load
from evals.benchmark import Benchmark, Protocol, Variant
from evals.errors import DataError, ModelError, StoreError, UnknownName, UsageError
from evals.scorers.integer import StatedInteger
from tests.support import toy
from tests.support.command import evals as command
from tests.support.paths import ROOT

ROWS: list[dict[str, Any]] = [
    {"question": "What is 2 + 2?", "answer": "4"},
    {"question": "What is the capital of France?", "answer": "Paris"},
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "_REGISTERED", {})
    return tmp_path


def answers_a(prompt: str) -> str:
    return "ANSWER: A"


def test_evaluate_in_three_lines_from_an_empty_folder(here: Path) -> None:
    runs = evals.evaluate(["mmlu-pro", "gpqa:diamond"], lambda prompt: "ANSWER: A", sample=True, quiet=True)
    assert [run.card.config.suite for run in runs] == ["mmlu-pro", "gpqa:diamond"]
    shown = command("show", "--json").json[
        "runs"
    ]  # the command line sees the same runs, with the same numbers
    of_command = {e["metric"]: e["value"] for e in shown[0]["estimates"] if not e["group"]}
    frame = runs["mmlu-pro"].scores()
    assert dict(zip(*(frame[frame.group == ""][c] for c in ("metric", "value")), strict=True)) == of_command


def test_a_function_of_messages_and_an_async_one(here: Path) -> None:
    seen = []

    async def answer(messages: list[dict[str, str]]) -> str:
        seen.append(messages)
        await asyncio.sleep(0)
        return "ANSWER: B"

    runs = evals.evaluate("mmlu-pro", answer, sample=True, quiet=True)
    assert seen[0][-1]["role"] == "user"
    assert set(runs.samples().answer) == {"B"}
    assert runs.cards[0].model == "answer"


async def test_evaluate_works_where_a_loop_runs_and_aevaluate_on_it(here: Path) -> None:
    loop = asyncio.get_running_loop()

    async def own_loop(prompt: str) -> str:
        assert asyncio.get_running_loop() is loop
        return "ANSWER: A"

    blocking = evals.evaluate("mmlu-pro", answers_a, sample=True, quiet=True)
    awaited = await evals.aevaluate("mmlu-pro", own_loop, sample=True, quiet=True)
    assert blocking.scores().value.tolist() == awaited.scores().value.tolist()


def test_a_model_object_and_several_models(here: Path) -> None:
    from evals.model_adapters.scripted import Scripted

    runs = evals.evaluate(
        "mmlu-pro", [Scripted("ANSWER: A", name="one"), "scripted:ANSWER: B"], sample=True, quiet=True
    )
    assert [card.model for card in runs.cards] == ["one", "scripted"]
    assert len(runs["one"]) == 1


def test_a_function_is_asked_anew_and_a_name_resumes(here: Path) -> None:
    for _ in range(2):
        evals.evaluate("mmlu-pro", answers_a, sample=True, quiet=True)
        evals.evaluate("mmlu-pro", "scripted:ANSWER: A", sample=True, quiet=True)
    assert sorted(card.model for card in evals.runs().cards) == ["answers_a", "answers_a", "scripted"]


def test_samples_hold_prompt_reply_answer_verdict_value(here: Path) -> None:
    frame = evals.evaluate("mmlu-pro", answers_a, sample=True, quiet=True).samples()
    first = frame.iloc[0]
    assert first.reply == "ANSWER: A"
    assert first.answer == "A"
    assert first.verdict in ("right", "wrong")
    assert first.value in (0.0, 1.0)
    assert "ANSWER" in first.prompt
    assert len(frame) == 16


def test_texts_of_a_gated_data_set_are_left_out_unless_asked_for(here: Path) -> None:
    runs = evals.evaluate("gpqa:diamond", answers_a, sample=True, quiet=True)
    assert runs.samples().reply.isna().all()
    assert runs.samples().prompt.isna().all()
    assert runs.samples(texts=True).reply.notna().all()


def test_a_failure_is_a_row_without_a_value(here: Path) -> None:
    def fails_once(prompt: str, calls: list[int] = []) -> str:  # noqa: B006 - the count is the point
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("no")
        return "ANSWER: A"

    frame = evals.evaluate("mmlu-pro", fails_once, sample=True, quiet=True, concurrency=1).samples()
    assert frame.verdict.str.startswith("failed:").sum() == 1
    assert frame[frame.verdict.str.startswith("failed:")].value.isna().all()


def test_the_table_is_there_without_pandas(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = evals.evaluate("mmlu-pro", answers_a, sample=True, quiet=True)
    runs.to_arrow()  # pyarrow looks for pandas once, and takes a blocked one for a broken one
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"\[notebook\]"):
        runs.scores()
    assert runs.to_arrow().num_rows > 0
    assert runs.to_arrow("samples").num_rows == 16
    with pytest.raises(UnknownName, match="samples"):
        runs.to_arrow("sample")


def test_compare_and_gate(here: Path) -> None:
    one = evals.evaluate("mmlu-pro", answers_a, sample=True, quiet=True)
    other = evals.evaluate("mmlu-pro", "scripted:ANSWER: B", sample=True, quiet=True)
    found = evals.compare(one, other)
    assert found.comparable
    assert found.to_frame().query("headline and group == ''").n.tolist() == [16]
    assert "<table>" in found._repr_html_()
    named = evals.compare(one.cards[0].run, other.cards[0].run)  # by name, as on the command line
    assert named.pairs == found.pairs
    Path("policy.toml").write_text('[[suite]]\nname = "mmlu-pro"\nmargin = 0.5\ntier = "critical"\n')
    report = evals.gate(other, baseline=one, policy="policy.toml")
    assert report.verdict in ("pass", "cannot tell", "regression")
    assert report.to_frame().suite.tolist() == ["mmlu-pro"]
    assert "inconclusive" in evals.gate(one, baseline=one, policy=_strict())._repr_html_()


def _strict() -> Path:
    path = Path("strict.toml")
    path.write_text('[[suite]]\nname = "mmlu-pro"\nmargin = 0.001\ntier = "critical"\n')
    return path


def test_html_escapes_what_a_model_is_called(here: Path) -> None:
    from evals.model_adapters.scripted import Scripted

    runs = evals.evaluate("mmlu-pro", Scripted("A", name="<script>x</script>"), sample=True, quiet=True)
    assert "<script>" not in runs._repr_html_()


# --- a benchmark of one's own -------------------------------------------------------------------------------


def test_a_benchmark_of_rows_with_a_prompt_and_a_function_that_scores(here: Path) -> None:
    suite = evals.Suite.of(ROWS, prompt="Be brief. {question}", scorer=lambda reply, target: target in reply)
    runs = evals.evaluate(suite, lambda prompt: "It is Paris." if "France" in prompt else "5", quiet=True)
    assert runs.samples().verdict.tolist() == ["wrong", "right"]
    assert runs.samples().prompt[0] == "Be brief. What is 2 + 2?"
    assert runs.cards[0].data == "local"
    better = evals.evaluate(suite, lambda prompt: "Paris or 4", quiet=True)
    assert evals.compare(runs, better).pairs[0].difference == 0.5


def test_runs_of_a_suite_that_another_process_defined_are_compared_by_what_their_cards_state(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = evals.Suite.of(ROWS, scorer=lambda reply, target: target in reply)
    evals.evaluate(suite, lambda prompt: "Paris", quiet=True, run="worse")
    evals.evaluate(suite, lambda prompt: "Paris or 4", quiet=True, run="better")
    monkeypatch.setattr(load, "_REGISTERED", {})
    pairs = command("compare", "worse", "better", "--json").json["pairs"]
    assert {pair["metric"]: pair["difference"] for pair in pairs}["accuracy"] == 0.5
    assert "100.0" in command("show", "better").out


def test_a_benchmark_is_evaluated_by_its_table(here: Path) -> None:
    def samples(data: evals.Data, variant: str) -> list[evals.Sample]:
        return [evals.Sample(id=variant, question=(evals.Text("1 + 1?"),), target="2")]

    def prompt(sample: evals.Sample, repeat: int) -> evals.Prompt:
        return evals.Prompt(messages=(evals.Message.user("1 + 1?"),))

    own = Benchmark(
        name="sums",
        variants={"a": Variant(1), "b": Variant(1), "c": Variant(1)},
        default=("a", "b"),
        samples=samples,
        protocols={
            "strict": Protocol(prompt=prompt, scorers={"own": StatedInteger()}),
            "twice": Protocol(prompt=prompt, scorers={"own": StatedInteger()}, repeats=2),
        },
    )
    runs = evals.evaluate(own, lambda prompt: "ANSWER: 2", quiet=True)
    assert [(card.config.suite, card.config.protocol, card.config.repeats) for card in runs.cards] == [
        ("sums:a", "strict", 1),
        ("sums:b", "strict", 1),
    ]
    assert {one.value for card in runs.cards for one in card.estimates if one.headline} == {1.0}
    assert evals.check(own.suite("c", "twice"), evals.Data(suite="sums")).faults == ()
    with pytest.raises(UnknownName, match="'d'"):
        own.resolve("d")


def test_rows_with_choices_are_asked_and_read_as_multiple_choice(here: Path) -> None:
    rows = [
        {"question": "Largest?", "choices": ["Mars", "Jupiter"], "answer": "Jupiter"},
        {"question": "Smallest?", "choices": ["Mercury", "Venus"], "answer": 0},
    ]
    suite = evals.Suite.of(rows, name="planets")
    runs = evals.evaluate(suite, lambda prompt: "ANSWER: B", quiet=True)
    assert runs.samples().verdict.tolist() == ["right", "wrong"]
    assert "A. Mars\nB. Jupiter" in runs.samples().prompt[0]
    assert evals.check(suite, evals.Data(suite="planets")).faults == ()


def test_rows_of_a_file(here: Path) -> None:
    Path("rows.jsonl").write_text('{"question": "2 + 2?", "answer": "4"}\n')
    suite = evals.Suite.of("rows.jsonl", scorer="integer")
    assert evals.evaluate(suite, lambda prompt: "The answer is 4.", quiet=True).scores().value[0] == 1.0


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: evals.Suite.of([]), "there are no rows"),
        (lambda: evals.Suite.of([{"question": "x"}]), "row 1 has no target; it has question"),
        (lambda: evals.Suite.of(["x"]), "row 1 is str"),
        (lambda: evals.Suite.of([{"choices": ["a"], "answer": "b"}]), "not one of its 1 choice"),
        (lambda: evals.Suite.of(ROWS, scorer="exactly"), "did you mean exact"),
        (lambda: evals.Suite.of(ROWS, scorer=lambda reply: True), "a scorer takes"),
        (lambda: evals.evaluate(evals.Suite.of(ROWS, name="gpqa"), answers_a), "give the suite another name"),
        (lambda: evals.evaluate(ROWS, answers_a), "see Suite.of"),
        (lambda: evals.evaluate("mmlu-por", answers_a), "did you mean mmlu-pro"),
        (lambda: evals.evaluate("mmlu-pro", answers_a, limt=3), "did you mean limit"),
        (lambda: evals.evaluate("mmlu-pro", answers_a, limit=0), "--limit must be above 0"),
        (lambda: evals.evaluate("mmlu-pro", 3), "a model is a name"),
        (lambda: evals.runs("nowhere"), "no results folder"),
        (lambda: evals.compare("x"), "name two runs"),
    ],
)
def test_a_mistake_is_an_error_of_evals_in_one_line(here: Path, make: Any, line: str) -> None:
    with pytest.raises((UsageError, DataError, StoreError), match=line) as found:
        make()
    assert "\n" not in str(found.value)


def test_a_function_that_never_works_is_a_model_error(here: Path) -> None:
    def broken(prompt: str) -> str:
        raise ValueError("no weights")

    with pytest.raises(ModelError, match="every call fails: ValueError: no weights"):
        evals.evaluate("mmlu-pro", broken, sample=True, quiet=True)


def test_ctrl_c_in_a_notebook_keeps_what_was_in_flight(here: Path) -> None:
    code = (
        "import asyncio, os, signal, time, evals\n"
        "calls = []\n"
        "def slow(prompt):\n    calls.append(1)\n    len(calls) == 3 and os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(0.3)\n    return 'ANSWER: A'\n"
        "async def main():\n    evals.evaluate('mmlu-pro', slow, sample=True, quiet=True, concurrency=1)\n"
        "try:\n    loop = asyncio.new_event_loop(); loop.run_until_complete(main())\n"
        "except KeyboardInterrupt:\n    print(evals.runs().cards[0].status, evals.runs().cards[0].coverage > 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["interrupted", "True"], done.stderr


def examples() -> Iterator[tuple[str, str]]:
    for page in ("README.md", "CONTRIBUTING.md", "docs/suites.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for part in text.split("<!-- runs -->\n```python\n")[1:]:
            yield page, part.partition("```")[0]


@pytest.mark.parametrize(("page", "code"), list(examples()))
def test_the_examples_of_the_documentation_run(here: Path, page: str, code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{page}: {done.stderr}"


def test_the_benchmark_of_the_documentation_is_short() -> None:
    found = [code for _, code in examples() if "Suite.of" in code]
    assert len(found) == 3  # README, CONTRIBUTING, docs/suites.md
    assert all(len([line for line in code.splitlines() if line.strip()]) <= 12 for code in found)


def test_a_toy_suite_is_found_again_in_this_process(here: Path) -> None:
    suite = toy.suite(4)
    runs = evals.evaluate([suite], lambda prompt: "A", quiet=True)
    assert evals.compare(runs, runs).comparable
