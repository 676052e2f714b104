"""The Python API, called as from scripts and notebooks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import evals
from evals import load
from evals.benchmark import Benchmark, Protocol, Variant
from evals.errors import DataError, ModelError, StoreError, UnknownName, UsageError
from evals.scorers.integer import StatedInteger
from tests.support import toy
from tests.support.command import evals as command
from tests.support.error_messages import raises
from tests.support.paths import ROOT

ROWS: list[dict[str, Any]] = [
    {"question": "What is 2 + 2?", "answer": "4"},
    {"question": "What is the capital of France?", "answer": "Paris"},
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, without suites registered by other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "_REGISTERED", {})
    return tmp_path


def answers_a(prompt: str) -> str:
    return "ANSWER: A"


class Constant:
    """A model that always returns the same text, and counts its calls."""

    name = "constant"
    accepts: frozenset[str] = frozenset()

    def __init__(self, text: str, notes: tuple[str, ...] = ()) -> None:
        self.text, self.notes, self.calls = text, notes, 0

    async def reply(self, prompt: evals.Prompt, sampling: evals.Sampling) -> evals.Reply:
        self.calls += 1
        return evals.Reply(text=self.text, usage=evals.Usage(input=1000, output=1000))

    async def close(self) -> None:
        pass


def test_evaluate_runs_suites_in_an_empty_folder(here: Path) -> None:
    runs = evals.evaluate(["mmlu-pro", "gpqa:diamond"], lambda prompt: "ANSWER: A", sample=True, quiet=True)
    assert [run.card.config.suite for run in runs] == ["mmlu-pro", "gpqa:diamond"]
    # the command line shows the same runs, with the same numbers
    entries = command("show", "--json").json["runs"]
    command_scores = {e["metric"]: e["value"] for e in entries[0]["estimates"] if not e["group"]}
    frame = runs["mmlu-pro"].scores()
    assert (
        dict(zip(*(frame[frame.group == ""][c] for c in ("metric", "value")), strict=True)) == command_scores
    )


def test_a_model_can_be_an_async_function_of_messages(here: Path) -> None:
    requests = []

    async def answer(messages: list[dict[str, str]]) -> str:
        requests.append(messages)
        await asyncio.sleep(0)
        return "ANSWER: B"

    runs = evals.evaluate("mmlu-pro", answer, sample=True, quiet=True)
    assert requests[0][-1]["role"] == "user"
    assert set(runs.samples().answer) == {"B"}
    assert runs.cards[0].model == "answer"


async def test_evaluate_works_inside_a_running_loop_and_aevaluate_uses_that_loop(here: Path) -> None:
    loop = asyncio.get_running_loop()

    async def answer_on_loop(prompt: str) -> str:
        assert asyncio.get_running_loop() is loop
        return "ANSWER: A"

    blocking = evals.evaluate("mmlu-pro", answers_a, sample=True, quiet=True)
    awaited = await evals.aevaluate("mmlu-pro", answer_on_loop, sample=True, quiet=True)
    assert blocking.scores().value.tolist() == awaited.scores().value.tolist()


def test_models_can_be_objects_or_names(here: Path) -> None:
    from evals.model_adapters.scripted import Scripted

    runs = evals.evaluate(
        "mmlu-pro", [Scripted("ANSWER: A", name="model-a"), "scripted:ANSWER: B"], sample=True, quiet=True
    )
    assert [card.model for card in runs.cards] == ["model-a", "scripted"]
    assert len(runs["model-a"]) == 1


def test_a_function_makes_a_new_run_and_a_named_model_resumes_its_run(here: Path) -> None:
    for _ in range(2):
        evals.evaluate("mmlu-pro", answers_a, sample=True, quiet=True)
        evals.evaluate("mmlu-pro", "scripted:ANSWER: A", sample=True, quiet=True)
    assert sorted(card.model for card in evals.runs().cards) == ["answers_a", "answers_a", "scripted"]


def test_the_table_of_samples_has_prompt_reply_answer_verdict_and_value(here: Path) -> None:
    frame = evals.evaluate("mmlu-pro", answers_a, sample=True, quiet=True).samples()
    first = frame.iloc[0]
    assert first.reply == "ANSWER: A"
    assert first.answer == "A"
    assert first.verdict in ("right", "wrong")
    assert first.value in (0.0, 1.0)
    assert "ANSWER" in first.prompt
    assert len(frame) == 16


def test_texts_of_a_gated_data_set_are_omitted_unless_requested(here: Path) -> None:
    runs = evals.evaluate("gpqa:diamond", answers_a, sample=True, quiet=True)
    assert runs.samples().reply.isna().all()
    assert runs.samples().prompt.isna().all()
    assert runs.samples(texts=True).reply.notna().all()


def test_the_answers_of_a_gated_data_set_are_omitted_unless_they_are_letters(here: Path) -> None:
    letters = evals.evaluate("gpqa:diamond", answers_a, sample=True, quiet=True).samples()
    assert letters.answer.notna().all()
    rows = [{"question": "What is the capital of Portugal?", "answer": "Lisbon"}]
    suite = structs.replace(evals.Suite.of(rows, name="capitals", scorer="exact"), gated=True)
    runs = evals.evaluate(suite, lambda prompt: "ANSWER: Lisbon", quiet=True)
    assert "Lisbon" in set(runs.samples(texts=True).answer)
    assert "Lisbon" not in set(runs.samples().answer)


def test_a_row_with_an_unpaired_surrogate_is_a_data_error(here: Path) -> None:
    rows = [{"question": "a", "answer": "b"}, {"question": "a \ud800", "answer": "b"}]
    with raises(DataError):
        evals.evaluate(evals.Suite.of(rows, name="rows", scorer="exact"), answers_a, quiet=True)


def test_a_failed_sample_is_a_row_without_a_value(here: Path) -> None:
    def fail_once(prompt: str, calls: list[int] = []) -> str:  # noqa: B006 - counts the calls
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("no")
        return "ANSWER: A"

    frame = evals.evaluate("mmlu-pro", fail_once, sample=True, quiet=True, concurrency=1).samples()
    assert frame.verdict.str.startswith("failed:").sum() == 1
    assert frame[frame.verdict.str.startswith("failed:")].value.isna().all()


def test_arrow_tables_are_available_without_pandas(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = evals.evaluate("mmlu-pro", answers_a, sample=True, quiet=True)
    runs.to_arrow()  # pyarrow looks for pandas only once; a blocked one would look broken to it
    monkeypatch.setitem(sys.modules, "pandas", None)
    with raises(UsageError):
        runs.scores()
    assert runs.to_arrow().num_rows > 0
    assert runs.to_arrow("samples").num_rows == 16
    with raises(UnknownName):
        runs.to_arrow("sample")


def test_compare_and_gate_accept_runs_and_names(here: Path) -> None:
    baseline = evals.evaluate("mmlu-pro", answers_a, sample=True, quiet=True)
    candidate = evals.evaluate("mmlu-pro", "scripted:ANSWER: B", sample=True, quiet=True)
    comparison = evals.compare(baseline, candidate)
    assert comparison.comparable
    assert comparison.to_frame().query("headline and group == ''").n.tolist() == [16]
    assert "<table>" in comparison._repr_html_()
    by_name = evals.compare(baseline.cards[0].run, candidate.cards[0].run)  # as on the command line
    assert by_name.pairs == comparison.pairs
    Path("policy.toml").write_text('[[suite]]\nname = "mmlu-pro"\nmargin = 0.5\ntier = "critical"\n')
    report = evals.gate(candidate, baseline=baseline, policy="policy.toml")
    assert report.verdict in ("pass", "cannot tell", "regression")
    assert report.to_frame().suite.tolist() == ["mmlu-pro"]
    assert "inconclusive" in evals.gate(baseline, baseline=baseline, policy=_strict_policy())._repr_html_()


def _strict_policy() -> Path:
    """Write a policy with a margin that no comparison of sample items can meet."""
    path = Path("strict.toml")
    path.write_text('[[suite]]\nname = "mmlu-pro"\nmargin = 0.001\ntier = "critical"\n')
    return path


def test_model_names_are_escaped_in_html(here: Path) -> None:
    from evals.model_adapters.scripted import Scripted

    runs = evals.evaluate("mmlu-pro", Scripted("A", name="<script>x</script>"), sample=True, quiet=True)
    assert "<script>" not in runs._repr_html_()


# --- custom benchmarks --------------------------------------------------------------------------------------


def test_a_suite_can_be_made_of_rows_a_prompt_and_a_scoring_function(here: Path) -> None:
    suite = evals.Suite.of(ROWS, prompt="Be brief. {question}", scorer=lambda reply, target: target in reply)
    runs = evals.evaluate(suite, lambda prompt: "It is Paris." if "France" in prompt else "5", quiet=True)
    assert runs.samples().verdict.tolist() == ["wrong", "right"]
    assert runs.samples().prompt[0] == "Be brief. What is 2 + 2?"
    assert runs.cards[0].data == "local"
    better = evals.evaluate(suite, lambda prompt: "Paris or 4", quiet=True)
    assert evals.compare(runs, better).pairs[0].difference == 0.5


def test_replies_to_other_prompts_or_questions_are_not_reused(here: Path) -> None:
    model = Constant("4")
    for suite in (
        evals.Suite.of(ROWS),
        evals.Suite.of(ROWS, prompt="Be brief. {question}"),
        evals.Suite.of(ROWS, prompt=lambda row: row["question"].upper()),
        evals.Suite.of([{**ROWS[0], "question": "What is 3 + 1?"}, ROWS[1]]),
    ):
        for _ in range(2):  # the second time, the replies are reused
            evals.evaluate(suite, model, quiet=True)
    assert model.calls == 4 * len(ROWS)


def test_replies_are_rescored_after_the_scoring_function_has_changed(here: Path) -> None:
    def score(scorer: Any) -> tuple[float, list[str]]:
        runs = evals.evaluate(evals.Suite.of(ROWS, scorer=scorer), model, quiet=True)
        return runs.cards[0].headline.value, list(runs.cards[0].scorers.values())

    model = Constant("4", notes=("the server was started",))
    values, scorers = zip(
        *map(
            score,
            (
                lambda reply, target: True,
                lambda reply, target: reply in {"4", "5"} and target == "4",
                lambda sample, prompt, reply: evals.Score(value=0.0, verdict="wrong"),
                lambda sample, prompt, reply: evals.Score(value=1.0, verdict="right"),
            ),
        ),
        strict=True,
    )
    assert values == (1.0, 0.5, 0.0, 1.0)
    assert len(set(map(str, scorers))) == 4
    assert model.calls == len(ROWS)
    assert evals.runs().cards[0].notes == ("the server was started",)


def test_runs_of_a_suite_from_another_process_are_compared_by_their_cards(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = evals.Suite.of(ROWS, scorer=lambda reply, target: target in reply)
    evals.evaluate(suite, lambda prompt: "Paris", quiet=True, run="worse")
    evals.evaluate(suite, lambda prompt: "Paris or 4", quiet=True, run="better")
    monkeypatch.setattr(load, "_REGISTERED", {})
    pairs = command("compare", "worse", "better", "--json").json["pairs"]
    assert {pair["metric"]: pair["difference"] for pair in pairs}["accuracy"] == 0.5
    assert "100.0" in command("show", "better").out


def test_imported_replies_are_the_only_runs_returned(here: Path) -> None:
    for model in ("first", "second"):
        runs = evals.import_replies(
            {"sample-2025-I-1": "70"}, "aime:2025", model=model, sample=True, run="week"
        )
        assert [card.model for card in runs.cards] == [model]


def test_a_missing_file_of_replies_is_reported_before_any_data_are_loaded(here: Path) -> None:
    with raises(UsageError) as error:
        evals.import_replies("theirs.jsonl", "aime:2025", model="theirs", data="mirror")
    assert "theirs.jsonl" in str(error.value)


def test_a_benchmark_object_can_be_evaluated(here: Path) -> None:
    def samples(data: evals.Data, variant: str) -> list[evals.Sample]:
        return [evals.Sample(id=variant, question=(evals.Text("1 + 1?"),), target="2")]

    def prompt(sample: evals.Sample, repeat: int) -> evals.Prompt:
        return evals.Prompt(messages=(evals.Message.user("1 + 1?"),))

    benchmark = Benchmark(
        name="sums",
        variants={"a": Variant(1), "b": Variant(1), "c": Variant(1)},
        default=("a", "b"),
        samples=samples,
        protocols={
            "strict": Protocol(prompt=prompt, scorers={"integer": StatedInteger()}),
            "twice": Protocol(prompt=prompt, scorers={"integer": StatedInteger()}, repeats=2),
        },
    )
    runs = evals.evaluate(benchmark, lambda prompt: "ANSWER: 2", quiet=True)
    assert [(card.config.suite, card.config.protocol, card.config.repeats) for card in runs.cards] == [
        ("sums:a", "strict", 1),
        ("sums:b", "strict", 1),
    ]
    assert {estimate.value for card in runs.cards for estimate in card.estimates if estimate.headline} == {
        1.0
    }
    assert evals.check(benchmark.suite("c", "twice"), evals.Data(suite="sums")).faults == ()
    with raises(UnknownName):
        benchmark.resolve("d")


def test_rows_with_choices_make_a_multiple_choice_suite(here: Path) -> None:
    rows = [
        {"question": "Largest?", "choices": ["Mars", "Jupiter"], "answer": "Jupiter"},
        {"question": "Smallest?", "choices": ["Mercury", "Venus"], "answer": 0},
    ]
    suite = evals.Suite.of(rows, name="planets")
    runs = evals.evaluate(suite, lambda prompt: "ANSWER: B", quiet=True)
    assert runs.samples().verdict.tolist() == ["right", "wrong"]
    assert "A. Mars\nB. Jupiter" in runs.samples().prompt[0]
    assert evals.check(suite, evals.Data(suite="planets")).faults == ()


def test_rows_may_come_from_tables_of_pandas_and_numpy(here: Path) -> None:
    import numpy as np

    nan = float("nan")  # a missing value; numbers in its column become floats
    rows: list[dict[str, Any]] = [
        {"id": np.int64(7), "question": "2 + 2?", "answer": 4.0, "choices": nan, "target": nan},
        {"id": nan, "question": "Larger?", "answer": nan, "choices": np.array([1, 2]), "target": 1.0},
    ]
    runs = evals.evaluate(evals.Suite.of(rows[:1]), lambda prompt: "ANSWER: 4", quiet=True)
    assert runs.samples()[["id", "verdict"]].values.tolist() == [["7", "right"]]
    runs = evals.evaluate(evals.Suite.of(rows[1:]), lambda prompt: "ANSWER: B", quiet=True)
    assert runs.samples()[["id", "verdict"]].values.tolist() == [["1", "right"]]
    assert "A. 1\nB. 2" in runs.samples().prompt[0]
    text = evals.Suite.of([{"question": "Larger?", "choices": '["1", "2"]', "answer": "B"}])
    assert "A. 1\nB. 2" in evals.evaluate(text, answers_a, quiet=True).samples().prompt[0]


def test_a_suite_can_be_made_of_the_rows_of_a_file(here: Path) -> None:
    Path("rows.jsonl").write_text('{"question": "2 + 2?", "answer": "4"}\n')
    suite = evals.Suite.of("rows.jsonl", scorer="integer")
    assert evals.evaluate(suite, lambda prompt: "The answer is 4.", quiet=True).scores().value[0] == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: evals.Suite.of([]),
        lambda: evals.Suite.of([{"question": "x"}]),
        lambda: evals.Suite.of(["x"]),
        lambda: evals.Suite.of(pytest.importorskip("pandas").DataFrame(ROWS)),
        lambda: evals.Suite.of([{"choices": ["a"], "answer": "b"}]),
        lambda: evals.Suite.of(ROWS, scorer="exactly"),
        lambda: evals.Suite.of(ROWS, scorer=lambda reply: True),
        lambda: evals.evaluate(evals.Suite.of(ROWS, name="gpqa"), answers_a),
        lambda: evals.evaluate(ROWS, answers_a),
        lambda: evals.evaluate("mmlu-por", answers_a),
        lambda: evals.evaluate("mmlu-pro", answers_a, limt=3),
        lambda: evals.evaluate("mmlu-pro", answers_a, limit=0),
        lambda: evals.evaluate("mmlu-pro", 3),
        lambda: evals.runs("nowhere"),
        lambda: evals.compare("x"),
        lambda: evals.Suite.of([{"answer": "x"}]),
        lambda: evals.Suite.of(
            [{"question": "x", "choices": {"text": ["a"], "label": ["A"]}, "answer": "A"}]
        ),
        lambda: evals.Suite.of([{"question": "x", "choices": "a; b", "answer": "A"}]),
        lambda: evals.evaluate(
            evals.Suite.of([{"question": "x", "answer": "A", "image": object()}]), answers_a
        ),
        lambda: evals.evaluate([evals.Suite.of(ROWS), evals.Suite.of(ROWS[:1])], answers_a),
        lambda: evals.evaluate("mmlu-pro", [Constant("4"), Constant("5")], sample=True),
        lambda: evals.evaluate(evals.Suite.of(ROWS), answers_a, protocol="strict"),
        lambda: evals.evaluate(evals.Suite.of(ROWS), answers_a, shots=5),
        lambda: evals.evaluate("mmlu-pro", answers_a, sample=True, recommended=True, temperature=0.5),
        lambda: evals.evaluate("mmlu-pro", answers_a, sample=True, dry_run=True),
        lambda: evals.evaluate("mmlu-pro", answers_a, sample=True, until_decided=True),
    ],
    ids=[
        "no rows",
        "no target",
        "a row that is a string",
        "a data frame",
        "a target that is no choice",
        "an unknown scorer",
        "a scorer with one argument",
        "the name of a benchmark",
        "rows instead of a suite",
        "an unknown suite",
        "an unknown option",
        "limit 0",
        "a number instead of a model",
        "no results folder",
        "one run",
        "a row without a question",
        "choices that are an object",
        "choices that are a text",
        "a value that JSON cannot represent",
        "two suites of one name",
        "two models of one name",
        "another protocol than the suite's",
        "few-shot examples of a suite object",
        "recommended sampling at another temperature",
        "a dry run",
        "early stopping",
    ],
)
def test_a_mistake_raises_an_evals_error_with_a_one_line_message(here: Path, call: Any) -> None:
    with raises((UsageError, DataError, StoreError)) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_function_that_always_fails_raises_a_model_error(here: Path) -> None:
    def broken(prompt: str) -> str:
        raise ValueError("no weights")

    with raises(ModelError):
        evals.evaluate("mmlu-pro", broken, sample=True, quiet=True)


def test_ctrl_c_in_a_notebook_keeps_the_completed_samples(here: Path) -> None:
    code = (
        "import asyncio, os, signal, time, evals\n"
        "calls = []\n"
        "def slow(prompt):\n    calls.append(1)\n    len(calls) == 3 and os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(0.3)\n    return 'ANSWER: A'\n"
        "async def main():\n    evals.evaluate('mmlu-pro', slow, sample=True, quiet=True, concurrency=1)\n"
        "try:\n    loop = asyncio.new_event_loop(); loop.run_until_complete(main())\n"
        "except KeyboardInterrupt:\n    print(evals.runs().cards[0].status, evals.runs().cards[0].coverage > 0)\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert process.stdout.split() == ["interrupted", "True"], process.stderr


def examples() -> Iterator[tuple[str, str]]:
    """Yield page and code of the examples in the documentation that are marked as runnable."""
    for page in ("README.md", "CONTRIBUTING.md", "docs/suites.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for part in text.split("<!-- runs -->\n```python\n")[1:]:
            yield page, part.partition("```")[0]


@pytest.mark.parametrize(("page", "code"), list(examples()))
def test_the_examples_of_the_documentation_run(here: Path, page: str, code: str) -> None:
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, f"{page}: {process.stderr}"


def test_the_example_suites_of_the_documentation_are_short() -> None:
    suites = [code for _, code in examples() if "Suite.of" in code]
    assert len(suites) == 3  # README, CONTRIBUTING, docs/suites.md
    assert all(len([line for line in code.splitlines() if line.strip()]) <= 12 for code in suites)


def test_runs_of_a_suite_defined_in_this_process_can_be_compared(here: Path) -> None:
    suite = toy.suite(4)
    runs = evals.evaluate([suite], lambda prompt: "A", quiet=True)
    assert evals.compare(runs, runs).comparable
