"""Upstream prompts: read from a wheel without running its code, filled as upstream fills them, kept apart from reworded ones."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from evals import load
from evals.data import Data
from evals.errors import DataError
from evals.extract import bare_number, bare_verdict
from evals.prompts import plain_text
from evals.prompts.upstream import UNAVAILABLE, configs, fill_template, wheel
from evals.prompts.upstream.sentences import SentencePrompts
from evals.prompts.upstream.wheel import OPENCOMPASS
from evals.records import store
from evals.suite import Suite
from evals.types import Message, Prompt, Sample
from evals.verdicts.reported import Claim
from evals.verdicts.reproduction import check_claims, measured_scores
from tests.support import wheels
from tests.support.command import Outcome, evals
from tests.support.cpu_time import assert_cpu_time
from tests.support.error_messages import raises
from tests.support.tables import table
from tests.support.wheels import FOLDER, synthetic_wheel

__all__ = ["synthetic_wheel"]

# --- evaluating config files ---------------------------------------------------------------------------------

SUPPORTED = {
    "a literal": ("x = 'one'", "x", "one"),
    "implicit concatenation": ("x = ('one '\n 'two')", "x", "one two"),
    "stripped": ('x = """\none\n""".strip()', "x", "one"),
    "added": ("y = 'one'\nx = y + ' two'", "x", "one two"),
    "an f-string with braces": ("y = 'one'\nx = f'{y} {{two}}'", "x", "one {two}"),
    "nested keys beside a call that is not evaluated": ("x = dict(type=Other, a=dict(b=f(), c=['one']))", "x.a.c", ["one"]),
    "a dictionary literal": ("x = {'type': Other, 'a': {'b': 'one'}}", "x.a.b", "one"),
    "a value assigned earlier": ("y = dict(a='one')\nx = dict(b=y)", "x.b.a", "one"),
    "the value at the time of the assignment": ("y = 'one'\nx = y\ny = 'two'", "x", "one"),
    "the last assignment counts": ("x = 'one'\nx = 'two'", "x", "two"),
    "str.format with keywords": ("y = 'one {a} {{b}}'\nx = f'{y.format(a=\"two\")}'", "x", "one two {b}"),
    "an iteration of a loop": ("h = {'a': 'one', 'b': 'two'}\nfor t in h:\n    y = h[t]\n    x = f'{y}!'", "x", "two!"),
    "a branch": ("for t in ['a', 'b']:\n    if t in ['a']:\n        x = 'one'\n    elif t in ['b']:\n        x = 'two'",
                 "x", "two"),
    "a loop over an imported name": ("from .o import many\nfor one in many:\n    x = 'one'", "x", "one"),
    "a loop variable deleted after the loop": ("for t in ['b']:\n    x = t\ndel t", "x", "b"),
    "beside a branch with an unknown condition": ("x = 'one'\nif os.name:\n    y = 'two'", "x", "one"),
    "appended to a list": ("l = []\nx = dict(a='one')\nl.append(dict(b=x))", "x.a", "one"),
}  # fmt: skip


@table(("source", "path", "expected"), SUPPORTED.values(), ids=SUPPORTED)
def test_supported_expressions_are_evaluated(source: str, path: str, expected: Any) -> None:
    assert configs.evaluate(source, path, file="c.py", loop_values={"t": "b"}) == expected


UNSUPPORTED = {
    "a call": ("x = open('/etc/passwd')", "x"),
    "an imported name": ("from o import y\n\nx = y", "x"),
    "an import that replaces a variable": ("y = 'one'\nfrom o import y\nx = y", "x"),
    "a dictionary changed by a method": ("y = {'a': 'one'}\ny.update(a='two')\nx = y['a']", "x"),
    "an assignment to a key": ("x = {'a': 'one'}\nx['a'] = 'two'", "x.a"),
    "an augmented assignment": ("x = 'one'\nx += 'two'", "x"),
    "assigned in a function": ("def f():\n    x = 'one'", "x"),
    "assigned in a try statement": ("try:\n    x = 'one'\nexcept ValueError:\n    x = 'two'", "x"),
    "assigned in a branch with an unknown condition": ("if os.name:\n    x = 'one'", "x"),
    "an undefined variable": ("y = 'one'", "x.a"),
    "a missing key in the path": ("x = dict(b='one')", "x.a"),
    "a key of a string": ("x = 'one'", "x.a"),
    "a loop without the selected iteration": ("for t in ['a']:\n    x = t", "x"),
    "an iteration over an imported name": ("from .o import m\nfor t in m:\n    x = t", "x"),
    "a replacement field with a format specification": ("y = '{a:>99}'\nx = y.format(a='b')", "x"),
    "a replacement field with an attribute": ("y = '{a.b}'\nx = y.format(a='b')", "x"),
    "a positional replacement field": ("y = '{}'\nx = y.format(a='b')", "x"),
    "an unclosed replacement field": ("y = '{a'\nx = y.format(a='b')", "x"),
    "an f-string with a format specification": ("y = 1.5\nx = f'{y:.3f}'", "x"),
    "an f-string with a conversion": ("y = 'o'\nx = f'{y!r}'", "x"),
    "unpacked keyword arguments": ("x = dict(**y)", "x"),
    "a sum of a text and a number": ("x = 'one' + 1", "x"),
    "strip() of a list": ("x = ['one'].strip()", "x"),
    "a missing key in a subscript": ("y = {'a': 'one'}\nx = y['b']", "x"),
    "a syntax error": ("x = = 1", "x"),
    "a NUL character": ("x = 'a\x00b'", "x"),
    "5,000 nested brackets": ("x = " + "[" * 5000, "x"),
}


@pytest.mark.parametrize(("source", "path"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_unsupported_expressions_are_reported_in_one_line(source: str, path: str) -> None:
    with raises(DataError):
        configs.evaluate(source, path, file="c.py", loop_values={"t": "b"})


def _chain(first: str, template: str, *, length: int = 40) -> str:
    """Return a file in which each variable is computed from the one before, `x` from the last."""
    lines = [f"v{n} = {template.format(f'v{n - 1}')}" for n in range(1, length)]
    return "\n".join([f"v0 = {first}", *lines, f"x = v{length - 1}"])


BOMBS = {
    "a text that is doubled by a sum": _chain("'one'", "{0} + {0}"),
    "a text that is doubled by a format": _chain("'one'", "'{{a}}{{a}}'.format(a={0})"),
    "a text that is doubled by an f-string": _chain("'one'", "f'{{{0}}}{{{0}}}'"),
    "a list that is doubled": _chain("[1]", "[{0}, {0}]"),
    "many variables": "\n".join(f"v{n} = 1" for n in range(50_000)) + "\nx = 1",
}


@pytest.mark.parametrize("source", BOMBS.values(), ids=BOMBS)
def test_files_that_would_take_much_time_or_memory_are_rejected(source: str) -> None:
    def reject() -> None:
        with raises(DataError):
            configs.evaluate(source, "x", file="c.py", loop_values={})

    assert_cpu_time(2, reject)


# --- the wheel ----------------------------------------------------------------------------------------------


def test_a_local_wheel_is_verified_and_cached_once(synthetic_wheel: Path, tmp_path: Path) -> None:
    local_wheel = shutil.copyfile(synthetic_wheel, tmp_path / OPENCOMPASS.file)
    synthetic_wheel.unlink()
    for source in (local_wheel, tmp_path, local_wheel):  # the file, its folder, and the file again
        outcome = evals("data", "opencompass", "--from", source)
        assert (outcome.status, outcome.out) == (0, f"opencompass: {synthetic_wheel}, SHA-256 verified\n")
    before = synthetic_wheel.stat().st_mtime_ns
    assert evals("data", "opencompass").status == 0  # nothing is downloaded
    assert synthetic_wheel.stat().st_mtime_ns == before
    assert [path.name for path in synthetic_wheel.parent.iterdir()] == [OPENCOMPASS.file]


def test_an_unexpected_wheel_is_rejected_and_the_cached_one_is_kept(
    synthetic_wheel: Path, tmp_path: Path
) -> None:
    unexpected, cached = tmp_path / "other.whl", synthetic_wheel.read_bytes()
    unexpected.write_bytes(cached + b"\n")
    evals("data", "opencompass", "--from", unexpected).assert_usage_error()
    assert synthetic_wheel.read_bytes() == cached


def test_a_modified_wheel_is_not_read_and_can_be_replaced(synthetic_wheel: Path, tmp_path: Path) -> None:
    original = shutil.copyfile(synthetic_wheel, tmp_path / "original.whl")
    wheels.write(synthetic_wheel, {**wheels.files(), f"{FOLDER}more.py": ""})
    assert "its SHA-256 differs" in wheel.fault(OPENCOMPASS)
    with raises(DataError):
        wheel.read(OPENCOMPASS, f"{FOLDER}more.py")
    assert evals("data", "opencompass", "--from", original).status == 0
    assert wheel.fault(OPENCOMPASS) == ""


@pytest.mark.parametrize(
    ("name", "source"),
    [("opencompass", "nowhere"), ("opencompass", "."), ("mmlu-pro", ".")],
    ids=["nowhere", "no wheel", "another name"],
)
def test_wrong_uses_of_from_are_reported_in_one_line(here: Path, name: str, source: str) -> None:
    evals("data", name, "--from", source).assert_usage_error()


def test_a_failed_download_is_reported_with_its_reason(
    synthetic_wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    synthetic_wheel.unlink()
    monkeypatch.setattr(wheel, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    evals("data", "opencompass").assert_usage_error()
    pip = tmp_path / "pip3"
    pip.write_text("#!/bin/sh\necho 'ERROR: no such index' >&2\nexit 1\n")
    pip.chmod(0o755)
    evals("data", "opencompass").assert_usage_error()
    assert list(synthetic_wheel.parent.iterdir()) == []


# --- filling a template -------------------------------------------------------------------------------------


def test_placeholders_within_a_value_are_filled_with_later_columns() -> None:
    turns = (("SYSTEM", "Be fair."), ("HUMAN", "{q}? {{q}} {other}"), ("BOT", "{out}"))
    (message,) = fill_template(turns, {"q": "x_{A} {q}", "A": "7", "out": "secret"})
    assert message == Message.user("Be fair.\nx_7 {q}? {x_7 {q}} {other}")


def test_worked_examples_are_messages_of_their_own() -> None:
    turns = (("HUMAN", "1?"), ("BOT", "one"), ("HUMAN", "{q}?"), ("BOT", "{out}"))
    messages = [(m.role, plain_text(m.parts)) for m in fill_template(turns, {"q": "2", "out": ""})]
    assert messages == [("user", "1?"), ("assistant", "one"), ("user", "2?")]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("A", "A"), (" B\n", "B"), ("**A**", "A"), ("CORRECT", "A"), ("Incorrect.", "B"), ("A: CORRECT", "A"), ("C", None),
     ("(A)", "A"), ("[[B]]", "B"), (r"\boxed{A}", "A"), ("A (CORRECT)", "A"), ("A (INCORRECT)", None), ("()", None),
     ("Answer: B", None), ("A or B", None), ("Both", None), ("", None)],
)  # fmt: skip
def test_only_a_bare_verdict_is_read(text: str, verdict: str | None) -> None:
    assert bare_verdict(text, ("A", "B")) == verdict


@pytest.mark.parametrize(
    ("text", "number"),
    [("1.5", 1.5), (" -2\n", -2.0), ("1e3", 1000.0), ("1.5 eV", None), ("nan", None), ("inf", None), ("1_000", None),
     ("**5**", 5.0), ("\u22125", -5.0), ("**", None), ("9" * 400, None), ("", None)],
)  # fmt: skip
def test_only_a_bare_number_is_read(text: str, number: float | None) -> None:
    assert bare_number(text) == number


# --- suites -------------------------------------------------------------------------------------------------

WITHOUT_OWN_PROMPTS = {"chartbench", "ifeval"}
"""Suites whose prompts are the texts of the data set, so there is nothing to reword."""


def first_variant(name: str, protocol: str) -> Suite:
    """Return the first variant of a suite that is run by default."""
    listing = load.listing(name)
    variant = next(iter(listing.default or listing.variants))
    (suite,) = load.suite(f"{name}:{variant}" if variant else name, protocol)
    return suite


def test_suites_with_prompts_of_their_own_have_a_reworded_protocol() -> None:
    for name in (name for name in load.suite_names() if "intern-s1" in load.listing(name).protocols):
        protocols = load.listing(name).protocols
        for protocol in (p for p in protocols if p.startswith("intern-s1") and not p.endswith("~")):
            assert (f"{protocol}~" in protocols) == (name not in WITHOUT_OWN_PROMPTS), (name, protocol)
            has_upstream = first_variant(name, protocol).upstream is not None
            assert has_upstream == (name not in WITHOUT_OWN_PROMPTS), (name, protocol)


def test_prompts_come_from_opencompass_or_vlmevalkit_or_are_unavailable() -> None:
    # MMLU-Pro, GPQA, ProteinLMBench, two years of AIME, ChemBench4K; 14 tasks of SMolInstruct, 6 of Mol-Instructions,
    # 4 of Matbench
    assert len(wheels.upstream_prompts_by_suite()) == 30
    for name in ("mathvista", "mathvision", "xlrs", "physics"):
        assert first_variant(name, "intern-s1").upstream is UNAVAILABLE
    for name in ("mmmu", "mmstar", "chartqa", "sfe", "msearth", "microvqa"):
        assert isinstance(first_variant(name, "intern-s1").upstream, SentencePrompts)


def bundled_prompts(suite: Suite) -> list[tuple[Sample, Prompt]]:
    data = Data(suite=suite.name, sample=True)
    prompter = suite.prompter(data)
    return [(sample, prompter(sample, 0)) for sample in suite.samples(data)]


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, prompts in wheels.upstream_prompts_by_suite()
        if not prompts.unavailable and name != "smolinstruct:MC"
    ],
)
def test_prompts_are_those_of_the_wheel(synthetic_wheel: Path, name: str) -> None:
    (suite,), (reworded_suite,) = (load.suite(name, protocol) for protocol in ("intern-s1", "intern-s1~"))
    assert suite.upstream is not None
    assert suite.upstream.columns is not None
    for (sample, prompt), (_, reworded) in zip(
        bundled_prompts(suite), bundled_prompts(reworded_suite), strict=True
    ):
        assert prompt.order == reworded.order
        row = suite.upstream.columns(sample, prompt, plain_text(sample.question))
        expected = wheels.question_template(suite.upstream)
        for column, content in row.items():
            expected = expected.replace(f"{{{column}}}", content)
        assert prompt.messages == (Message.user(expected),)
        assert reworded.messages != prompt.messages


def test_options_have_the_order_in_which_upstream_shows_them(synthetic_wheel: Path) -> None:
    (suite,) = load.suite("gpqa:diamond", "intern-s1")
    sample, prompt = bundled_prompts(suite)[1]
    # upstream counts rows from 1 and rotates the options of row 2 by two places
    assert prompt.order == (2, 3, 0, 1)
    assert plain_text(prompt.messages[0].parts).endswith("\n".join(sample.choices[i] for i in (2, 3, 0, 1)))


# --- runs ---------------------------------------------------------------------------------------------------


def run_scripted(tmp_path: Path, *arguments: object) -> Outcome:
    return evals("run", *arguments, "-m", "scripted:ANSWER: B", "--results", tmp_path / "results", "--json")


def run_of(outcome: Outcome) -> Any:
    (run,) = outcome.json["runs"]
    return run


def card_of(tmp_path: Path, run: str) -> Any:
    return store.find(tmp_path / "results", run)[0].card


JUDGED_RUN = ("mmlu-pro", "--sample", "--protocol", "intern-s1", "--judge", "scripted:A")


def test_without_the_wheel_reworded_prompts_are_used_under_their_own_protocol(tmp_path: Path) -> None:
    outcome = run_scripted(
        tmp_path,
        "mmlu-pro",
        "aime:2025",
        "mmmu",
        "--sample",
        "--protocol",
        "intern-s1",
        "--judge",
        "scripted:A",
    )
    assert {run["protocol"] for run in outcome.json["runs"]} == {"intern-s1~"}
    warnings = [line for line in outcome.err.splitlines() if "intern-s1~" in line]
    assert len(warnings) == 2  # one line for each reason
    assert warnings[0].startswith(
        "mmlu-pro, aime:2025: the prompts of OpenCompass are not on this machine: `evals data opencompass`"
    )
    assert warnings[1].startswith("mmmu: the prompts of VLMEvalKit")
    assert all(
        line.endswith("using reworded prompts (intern-s1~), never ranked with intern-s1") for line in warnings
    )
    for run in outcome.json["runs"]:
        assert card_of(tmp_path, run["run"]).wording == {}


def test_reworded_prompts_can_be_requested_by_name(synthetic_wheel: Path, tmp_path: Path) -> None:
    outcome = run_scripted(tmp_path, "aime:2025", "--sample", "--protocol", "intern-s1~")
    assert run_of(outcome)["protocol"] == "intern-s1~"
    assert "reworded" not in outcome.err
    run_scripted(tmp_path, "chartbench", "--sample", "--protocol", "intern-s1~").assert_usage_error()


def test_with_the_wheel_the_card_records_the_origin_of_the_prompts(
    synthetic_wheel: Path, tmp_path: Path
) -> None:
    outcome = run_scripted(tmp_path, *JUDGED_RUN)
    assert run_of(outcome)["protocol"] == "intern-s1"
    card = card_of(tmp_path, run_of(outcome)["run"])
    (suite,) = load.suite("mmlu-pro", "intern-s1")
    assert suite.upstream is not None
    file = f"{FOLDER}{suite.upstream.file}"
    assert card.wording["package"] == "opencompass==0.5.4"
    assert card.wording["wheel_sha256"] == OPENCOMPASS.sha256
    assert (card.wording["file"], card.wording["asks"], card.wording["judges"]) == (
        file,
        suite.upstream.prompt_path,
        suite.upstream.judge_path,
    )
    assert card.wording["file_sha256"] == sha256(wheels.files()[file].encode()).hexdigest()
    assert run_of(outcome)["wording"] == card.wording
    assert card.judge.templates == {
        f"opencompass==0.5.4 {suite.upstream.file}": card.wording["judges_sha256"]
    }


def test_the_judge_prompt_is_that_of_the_wheel(synthetic_wheel: Path, tmp_path: Path) -> None:
    name = run_of(run_scripted(tmp_path, *JUDGED_RUN))["run"]
    (suite,) = load.suite("mmlu-pro", "intern-s1")
    assert suite.upstream is not None
    samples = {sample.id: sample for sample, _ in bundled_prompts(suite)}
    records = list(store.find(tmp_path / "results", name)[0].records())
    assert len(records) == 16
    for record in records:
        sample = samples[record.sample]
        judge_prompt = f"{wheels.JUDGE_SYSTEM_TEXT}\nAsked: {plain_text(sample.question)}\nGold: {sample.target}\nSaid: ANSWER: B"
        (judgement,) = record.scores["judge"].judged
        assert judgement.asked == sha256(judge_prompt.encode()).hexdigest()
        assert record.scores["judge"].verdict == "right"


def test_changed_upstream_prompts_have_another_hash_and_start_another_run(
    synthetic_wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = run_of(run_scripted(tmp_path, *JUDGED_RUN, "--run", "one"))
    contents = {
        path: text.replace("Asked in this test", "Asked otherwise") for path, text in wheels.files().items()
    }
    wheels.install(monkeypatch, tmp_path, contents)
    outcome = run_scripted(tmp_path, *JUDGED_RUN, "--run", "one")
    after = run_of(outcome)
    assert (before["run"], after["run"]) == ("one", "one-2")
    assert "the hash of the prompts is" in outcome.err
    assert before["wording"]["asks_sha256"] != after["wording"]["asks_sha256"]
    assert before["wording"]["judges_sha256"] == after["wording"]["judges_sha256"]


def test_a_run_with_reworded_prompts_is_not_continued_with_upstream_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    created = run_of(run_scripted(tmp_path, "aime:2025", "--sample", "--protocol", "intern-s1", "--run", "r"))
    continued = run_of(
        run_scripted(tmp_path, "aime:2025", "--sample", "--protocol", "intern-s1", "--run", "r")
    )
    assert (created["run"], created["protocol"], continued["run"]) == ("r", "intern-s1~", "r")
    wheels.install(monkeypatch, tmp_path)
    outcome = run_scripted(tmp_path, "aime:2025", "--sample", "--protocol", "intern-s1", "--run", "r")
    assert (run_of(outcome)["run"], run_of(outcome)["protocol"]) == ("r-2", "intern-s1")
    assert "protocol is intern-s1 and was intern-s1~" in outcome.err
    reworded = run_of(
        run_scripted(tmp_path, "aime:2025", "--sample", "--protocol", "intern-s1~", "--run", "r")
    )
    assert reworded["run"] == "r"  # continued, since its protocol is named


def test_a_missing_variable_is_reported_in_one_line_before_any_run_is_created(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheels.install(monkeypatch, tmp_path, dict.fromkeys(wheels.files(), "x = 'one'"))
    run_scripted(tmp_path, *JUDGED_RUN).assert_usage_error()
    assert not list((tmp_path / "results").rglob("card.json"))


def test_a_modified_wheel_is_treated_as_missing(synthetic_wheel: Path, tmp_path: Path) -> None:
    synthetic_wheel.write_bytes(synthetic_wheel.read_bytes() + b"\n")
    outcome = run_scripted(tmp_path, *JUDGED_RUN)
    assert run_of(outcome)["protocol"] == "intern-s1~"
    assert (
        "its SHA-256 differs): `evals data opencompass` replaces it; using reworded prompts (intern-s1~)"
        in outcome.err
    )


# --- rescoring ----------------------------------------------------------------------------------------------


def rescore(tmp_path: Path, *arguments: object) -> Outcome:
    return evals("score", *arguments, "--results", tmp_path / "results", "--json")


def test_rescoring_needs_the_wheel_only_if_it_calls_a_judge(synthetic_wheel: Path, tmp_path: Path) -> None:
    run = run_of(run_scripted(tmp_path, *JUDGED_RUN, "--run", "r"))
    synthetic_wheel.unlink()
    rescored = rescore(tmp_path, "r")
    assert (rescored.status, rescored.json["changes"]) == (0, [])
    assert rescored.json["run"]["estimates"] == run["estimates"]
    assert rescored.json["run"]["judge"] == run["judge"]  # including the hash of its prompt
    rescore(tmp_path, "r", "--judge", "scripted:B").assert_usage_error()


def test_another_judge_gets_the_same_prompts(synthetic_wheel: Path, tmp_path: Path) -> None:
    """Records do not contain questions, which are therefore extracted from the recorded prompts."""
    for suite in ("mmlu-pro", "gpqa", "aime:2025", "chembench:4k"):
        options = (
            suite,
            "--sample",
            "--protocol",
            "intern-s1",
            "--judge",
            "scripted:A",
            "--run",
            suite.replace(":", "-"),
        )
        run = run_of(run_scripted(tmp_path, *options))
        rescored = rescore(tmp_path, run["run"], "--judge", "scripted:B").json["run"]
        hashes = [
            {(record.sample, judgement.asked) for record in store.find(tmp_path / "results", name)[0].records()
             for score in record.scores.values() for judgement in score.judged}
            for name in (run["run"], rescored["run"])
        ]  # fmt: skip
        assert hashes[0] == hashes[1] != set()


def test_replies_to_other_prompts_are_scored_under_the_reworded_protocol(
    synthetic_wheel: Path, tmp_path: Path
) -> None:
    run_scripted(tmp_path, "aime:2025", "--sample", "--protocol", "strict", "--run", "r")
    outcome = rescore(tmp_path, "r", "--protocol", "intern-s1")
    assert outcome.json["run"]["protocol"] == "intern-s1~"
    assert "its prompts are not those of intern-s1, so it is scored as intern-s1~" in outcome.err
    run_scripted(tmp_path, "aime:2025", "--sample", "--protocol", "intern-s1~", "--run", "o")
    assert rescore(tmp_path, "o", "--protocol", "intern-s1").json["run"]["protocol"] == "intern-s1~"


def test_imported_replies_keep_the_requested_protocol(tmp_path: Path) -> None:
    (suite,) = load.suite("mmlu-pro", "strict")
    lines = [
        {"id": sample.id, "text": "ANSWER: B"}
        for sample in suite.samples(Data(suite="mmlu-pro", sample=True))
    ]
    path = tmp_path / "replies.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    command = (
        "import",
        "replies",
        path,
        "--suite",
        "mmlu-pro",
        "--sample",
        "--model",
        "m",
        "--protocol",
        "intern-s1",
    )
    outcome = evals(*command, "--results", tmp_path / "results", "--json")
    assert outcome.status in (0, 1), outcome.err
    (run,) = outcome.json["runs"]
    assert (run["protocol"], run["counts"]) == ("intern-s1", {"failed:waiting": 16})
    rescore(tmp_path, run["run"], "--judge", "scripted:A").assert_usage_error()


def test_a_bundle_is_verified_without_the_wheel(synthetic_wheel: Path, tmp_path: Path) -> None:
    run_scripted(tmp_path, *JUDGED_RUN, "--run", "r")
    assert evals("bundle", "r", tmp_path / "r.zip", "--results", tmp_path / "results").status == 0
    synthetic_wheel.unlink()
    outcome = evals("bundle", "verify", tmp_path / "r.zip")
    assert outcome.status == 0, outcome.out + outcome.err


# --- separate protocols for upstream and reworded prompts ---------------------------------------------------


def test_a_claim_is_not_compared_with_reworded_prompts(tmp_path: Path) -> None:
    name = run_of(run_scripted(tmp_path, *JUDGED_RUN))["run"]
    claim = Claim(model="scripted", suite="mmlu-pro", benchmark="MMLU-Pro", protocol="intern-s1", value=0.5,
                  unit="fraction", source="https://example.org", knobs={})  # fmt: skip
    (score,) = measured_scores([card_of(tmp_path, name)], [])
    (result,) = check_claims(score, {"c": claim}, "scripted")
    assert result.verdict == "not comparable"
    assert "reworded prompts here (intern-s1~), the original ones there" in result.because
    outcome = evals("claims", "reproduce", "intern-s1/mmlu-pro", "-m", "scripted:ANSWER: B", "--sample", "--judge", "scripted:A",
                    "--limit", 2, "--results", tmp_path / "results")  # fmt: skip
    assert outcome.status == 3
    assert "reworded prompts here (intern-s1~)" in outcome.out


def test_both_protocols_have_their_own_columns_and_cannot_be_compared(
    synthetic_wheel: Path, tmp_path: Path
) -> None:
    from evals.dashboard.tables import frames
    from evals.dashboard.tables import leaderboard as board

    upstream = run_of(run_scripted(tmp_path, *JUDGED_RUN))["run"]
    reworded = run_of(
        run_scripted(
            tmp_path,
            "mmlu-pro",
            "--sample",
            "--protocol",
            "intern-s1~",
            "--judge",
            "scripted:call=tests.support.judges:letter_b",
        )
    )["run"]
    assert upstream != reworded
    comparison = evals("compare", upstream, reworded, "--results", tmp_path / "results")
    assert comparison.status == 2
    assert "protocol differs: intern-s1 (A) and intern-s1~ (B)" in comparison.err
    entries = frames.index(tmp_path / "results").entries
    assert {column.protocol for column in board.build(entries).columns.values()} == {
        "intern-s1",
        "intern-s1~",
    }


def test_means_of_runs_with_reworded_prompts_have_the_reworded_protocol(tmp_path: Path) -> None:
    outcome = run_scripted(
        tmp_path, "matbench", "--sample", "--protocol", "intern-s1", "--judge", "scripted:1"
    )
    (mean,) = outcome.json["aggregates"]
    assert mean["protocol"] == "intern-s1~"


def test_the_list_of_protocols_explains_their_prompts(synthetic_wheel: Path) -> None:
    def explanations() -> dict[tuple[str, str], str]:
        return {
            (entry["suite"], entry["protocol"]): entry["words"]
            for entry in evals("list", "protocols", "--json").json["protocols"]
        }

    explained = explanations()
    assert (
        explained["gpqa", "intern-s1"] == "prompts of opencompass==0.5.4 gpqa/gpqa_cascade_eval_gen_772ea0.py"
    )
    assert explained["gpqa", "intern-s1~"] == "intern-s1 with reworded prompts, not ranked with it"
    assert explained["gpqa", "strict"] == ""
    assert explained["mmmu", "intern-s1"].startswith("the prompts of VLMEvalKit")
    synthetic_wheel.unlink()
    assert "evals data opencompass" in explanations()["gpqa", "intern-s1"]


def test_an_unreadable_judge_reply_is_a_failure_and_not_a_score_of_zero(
    synthetic_wheel: Path, tmp_path: Path
) -> None:
    run = run_of(
        run_scripted(
            tmp_path, "mmlu-pro", "--sample", "--protocol", "intern-s1", "--judge", "scripted:Answer: B"
        )
    )
    assert run["counts"] == {"failed:unreadable": 16}


def test_placeholders_in_a_candidate_reply_are_not_filled() -> None:
    """Upstream fills the columns obj_gold and reference after the candidate's text; here the candidate's text comes last."""
    turns = (("HUMAN", "{question} {prediction}"),)
    (message,) = fill_template(
        turns, {"question": "?", "answer": "gold", "prediction": "{answer} {obj_gold} {reference}"}
    )
    assert plain_text(message.parts) == "? {answer} {obj_gold} {reference}"
