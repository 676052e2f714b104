"""Upstream's own words: read and never run, filled as upstream fills them, and never mixed with ours."""

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
from evals.extract import number_bare, verdict_bare
from evals.prompts import plain_text
from evals.prompts import upstream as wording
from evals.prompts.upstream import UpstreamPrompts, configs, fill_template, wheel
from evals.prompts.upstream.sentences import SentencePrompts
from evals.prompts.upstream.wheel import OPENCOMPASS
from evals.records import store
from evals.suite import Suite
from evals.types import Message, Prompt, Sample
from evals.verdicts.reported import Claim
from evals.verdicts.reproduction import check_claims, measured_scores
from tests.support import wheels
from tests.support.command import Outcome, evals
from tests.support.tables import table
from tests.support.wheels import FOLDER, synthetic_wheel

__all__ = ["synthetic_wheel"]

# --- texts out of a file ------------------------------------------------------------------------------------

READ = {
    "a literal": ("x = 'one'", "x", "one"),
    "parts side by side": ("x = ('one '\n 'two')", "x", "one two"),
    "stripped": ('x = """\none\n""".strip()', "x", "one"),
    "joined": ("y = 'one'\nx = y + ' two'", "x", "one two"),
    "an f-string with braces": ("y = 'one'\nx = f'{y} {{two}}'", "x", "one {two}"),
    "under keys, beside what nobody reads": ("x = dict(type=Other, a=dict(b=f(), c=['one']))", "x.a.c", ["one"]),
    "a display of a dictionary": ("x = {'type': Other, 'a': {'b': 'one'}}", "x.a.b", "one"),
    "through a name": ("y = dict(a='one')\nx = dict(b=y)", "x.b.a", "one"),
    "as it stood then": ("y = 'one'\nx = y\ny = 'two'", "x", "one"),
    "the last assignment counts": ("x = 'one'\nx = 'two'", "x", "two"),
    "filled in by name": ("y = 'one {a} {{b}}'\nx = f'{y.format(a=\"two\")}'", "x", "one two {b}"),
    "a turn of a loop": ("h = {'a': 'one', 'b': 'two'}\nfor t in h:\n    y = h[t]\n    x = f'{y}!'", "x", "two!"),
    "a branch": ("for t in ['a', 'b']:\n    if t in ['a']:\n        x = 'one'\n    elif t in ['b']:\n        x = 'two'",
                 "x", "two"),
    "a loop over what is imported": ("from .o import many\nfor one in many:\n    x = 'one'", "x", "one"),
    "the variable may be used up": ("for t in ['b']:\n    x = t\ndel t", "x", "b"),
    "beside a branch that nobody can tell": ("x = 'one'\nif os.name:\n    y = 'two'", "x", "one"),
    "put into a list": ("l = []\nx = dict(a='one')\nl.append(dict(b=x))", "x.a", "one"),
}  # fmt: skip


@table(("source", "path", "wanted"), READ.values(), ids=READ)
def test_what_configurations_are_written_in_is_read(source: str, path: str, wanted: Any) -> None:
    assert configs.evaluate(source, path, file="c.py", loop_values={"t": "b"}) == wanted


UNREAD = {
    "a call": (
        "x = open('/etc/passwd')",
        "x",
        "c.py, line 1: \"open('/etc/passwd')\" is not built from literals",
    ),
    "a name from elsewhere": (
        "from o import y\n\nx = y",
        "x",
        "c.py, line 3: 'y' is not built from literals",
    ),
    "an import over a name": ("y = 'one'\nfrom o import y\nx = y", "x", "line 3"),
    "changed by a method": ("y = {'a': 'one'}\ny.update(a='two')\nx = y['a']", "x", "line 3"),
    "changed in its place": ("x = {'a': 'one'}\nx['a'] = 'two'", "x.a", "cannot read x.a"),
    "added to": ("x = 'one'\nx += 'two'", "x", "cannot read x"),
    "set in a function": ("def f():\n    x = 'one'", "x", "cannot read x"),
    "set where it may fail": ("try:\n    x = 'one'\nexcept ValueError:\n    x = 'two'", "x", "cannot read x"),
    "set in a branch that nobody can tell": ("if os.name:\n    x = 'one'", "x", "cannot read x"),
    "not there": ("y = 'one'", "x.a", "cannot read x.a"),
    "a key that is not there": ("x = dict(b='one')", "x.a", "cannot read x.a"),
    "no dictionary": ("x = 'one'", "x.a", "line 1: not a dictionary"),
    "a turn that is not there": ("for t in ['a']:\n    x = t", "x", "line 1: t is never 'b'"),
    "a turn of what is imported": (
        "from .o import m\nfor t in m:\n    x = t",
        "x",
        "line 2: 'm' is not built from literals",
    ),
    "a field with a format": ("y = '{a:>99}'\nx = y.format(a='b')", "x", "line 2"),
    "a field's attribute": (
        "y = '{a.b}'\nx = y.format(a='b')",
        "x",
        "the replacement field 'a.b' is not supported",
    ),
    "a field by place": ("y = '{}'\nx = y.format(a='b')", "x", "line 2"),
    "a torn field": ("y = '{a'\nx = y.format(a='b')", "x", "line 2: ValueError"),
    "a format": (
        "y = 1.5\nx = f'{y:.3f}'",
        "x",
        "line 2: format specifications and conversions in f-strings",
    ),
    "a conversion": (
        "y = 'o'\nx = f'{y!r}'",
        "x",
        "line 2: format specifications and conversions in f-strings",
    ),
    "arguments unpacked": ("x = dict(**y)", "x", "line 1"),
    "kinds that do not add": ("x = 'one' + 1", "x", "line 1: TypeError"),
    "what is not text, stripped": ("x = ['one'].strip()", "x", "line 1: TypeError"),
    "a lacking key": ("y = {'a': 'one'}\nx = y['b']", "x", "line 2: KeyError"),
    "no Python": ("x = = 1", "x", "c.py cannot be parsed as Python"),
    "a NUL": ("x = 'a\0b'", "x", "c.py cannot be parsed as Python"),
    "nested without end": ("x = " + "[" * 5000, "x", "c.py cannot be parsed as Python"),
}


@table(("source", "path", "complaint"), UNREAD.values(), ids=UNREAD)
def test_anything_else_is_one_line_with_file_and_line(source: str, path: str, complaint: str) -> None:
    with pytest.raises(DataError) as caught:
        configs.evaluate(source, path, file="c.py", loop_values={"t": "b"})
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


# --- the wheel ----------------------------------------------------------------------------------------------


def test_the_wheel_is_laid_once_and_verified(synthetic_wheel: Path, tmp_path: Path) -> None:
    given = shutil.copyfile(synthetic_wheel, tmp_path / OPENCOMPASS.file)
    synthetic_wheel.unlink()
    for source in (given, tmp_path, given):  # a file, a folder with it, and again
        done = evals("data", "opencompass", "--from", source)
        assert (done.status, done.out) == (0, f"opencompass: {synthetic_wheel}, SHA-256 verified\n")
    before = synthetic_wheel.stat().st_mtime_ns
    assert evals("data", "opencompass").status == 0  # nothing is fetched
    assert synthetic_wheel.stat().st_mtime_ns == before
    assert [path.name for path in synthetic_wheel.parent.iterdir()] == [OPENCOMPASS.file]


def test_another_wheel_is_refused_and_the_good_one_stays(synthetic_wheel: Path, tmp_path: Path) -> None:
    other, good = tmp_path / "other.whl", synthetic_wheel.read_bytes()
    other.write_bytes(good + b"\n")
    assert (
        f"{other} is not the expected wheel of opencompass==0.5.4"
        in evals("data", "opencompass", "--from", other).error_line
    )
    assert synthetic_wheel.read_bytes() == good


def test_a_wheel_that_changed_is_not_read_and_is_mended(synthetic_wheel: Path, tmp_path: Path) -> None:
    good = shutil.copyfile(synthetic_wheel, tmp_path / "good.whl")
    wheels.write(synthetic_wheel, {**wheels.files(), f"{FOLDER}more.py": ""})
    assert "its SHA-256 differs" in wheel.fault(OPENCOMPASS)
    with pytest.raises(DataError, match="its SHA-256 differs"):
        wheel.read(OPENCOMPASS, f"{FOLDER}more.py")
    assert evals("data", "opencompass", "--from", good).status == 0
    assert wheel.fault(OPENCOMPASS) == ""


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("opencompass", "--from", "nowhere"), "--from nowhere does not exist"),
        (("opencompass", "--from", "."), "--from . does not contain opencompass-0.5.4"),
        (("mmlu-pro", "--from", "."), "--from requires `opencompass` or `vlmevalkit` as the only name"),
    ],
)
def test_mistakes_with_the_wheel_are_one_line(here: Path, words: tuple[str, ...], complaint: str) -> None:
    assert complaint in evals("data", *words).error_line


def test_without_pip_or_without_an_index_the_way_out_is_said(
    synthetic_wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    synthetic_wheel.unlink()
    monkeypatch.setattr(wheel, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        "pip is not installed: run `pip download --no-deps opencompass==0.5.4` elsewhere"
        in evals("data", "opencompass").error_line
    )
    pip = tmp_path / "pip3"
    pip.write_text("#!/bin/sh\necho 'ERROR: no such index' >&2\nexit 1\n")
    pip.chmod(0o755)
    assert "cannot fetch opencompass==0.5.4 (ERROR: no such index)" in evals("data", "opencompass").error_line
    assert list(synthetic_wheel.parent.iterdir()) == []


def test_what_a_wheel_lacks_or_overdoes_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheels.install(
        monkeypatch,
        tmp_path,
        {f"{FOLDER}long.py": "#" * (wheel.MAX_FILE_BYTES + 1), f"{FOLDER}bad.py": "x = 'one'"},
    )
    for words, complaint in (
        (
            UpstreamPrompts(file="none.py", prompt_path="x"),
            "does not contain opencompass/configs/datasets/none.py",
        ),
        (UpstreamPrompts(file="long.py", prompt_path="x"), "long.py is too large to be read"),
        (UpstreamPrompts(file="bad.py", prompt_path="x"), "bad.py: x is not a template"),
        (UpstreamPrompts(file="bad.py", prompt_path="y"), "bad.py: cannot read y"),
    ):
        with pytest.raises(DataError, match=complaint):
            words.turns(words.prompt_path)


@pytest.mark.parametrize(
    "template",
    ["dict(round=[])", "dict(round='HUMAN')", "dict(round=['text'])", "dict(round=[dict(role='HUMAN')])",
     "dict(round=[dict(role='ROBOT', prompt='x')])", "dict(round=[dict(role='SYSTEM', prompt='x', fallback_role='BOT')])",
     "dict(end=[], round=[dict(role='HUMAN', prompt='x')])", "dict(begin=[dict(role='HUMAN', prompt='x')])"],
)  # fmt: skip
def test_templates_of_another_shape_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, template: str
) -> None:
    wheels.install(monkeypatch, tmp_path, {f"{FOLDER}c.py": f"x = {template}"})
    with pytest.raises(DataError, match=r"c\.py: x"):
        UpstreamPrompts(file="c.py", prompt_path="x").turns("x")


# --- filling a template -------------------------------------------------------------------------------------


def test_turns_are_filled_column_after_column() -> None:
    turns = (("SYSTEM", "Be fair."), ("HUMAN", "{q}? {{q}} {other}"), ("BOT", "{out}"))
    (message,) = fill_template(turns, {"q": "x_{A} {q}", "A": "7", "out": "secret"})
    assert message == Message.user("Be fair.\nx_7 {q}? {x_7 {q}} {other}")


def test_worked_examples_are_turns_of_their_own() -> None:
    turns = (("HUMAN", "1?"), ("BOT", "one"), ("HUMAN", "{q}?"), ("BOT", "{out}"))
    said = [(m.role, plain_text(m.parts)) for m in fill_template(turns, {"q": "2", "out": ""})]
    assert said == [("user", "1?"), ("assistant", "one"), ("user", "2?")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("A", "A"), (" B\n", "B"), ("**A**", "A"), ("CORRECT", "A"), ("Incorrect.", "B"), ("A: CORRECT", "A"), ("C", None),
     ("Answer: B", None), ("A or B", None), ("Both", None), ("", None)],
)  # fmt: skip
def test_a_bare_verdict_is_read_and_no_other(text: str, wanted: str | None) -> None:
    assert verdict_bare(text, ("A", "B")) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("1.5", 1.5), (" -2\n", -2.0), ("1e3", 1000.0), ("1.5 eV", None), ("nan", None), ("inf", None), ("1_000", None),
     ("9" * 400, None), ("", None)],
)  # fmt: skip
def test_a_bare_number_is_read_and_no_other(text: str, wanted: float | None) -> None:
    assert number_bare(text) == wanted


# --- suites -------------------------------------------------------------------------------------------------

DATA_ALONE = {"chartbench", "ifeval"}
"""Suites whose questions are the data's words alone: nothing stands in for upstream's."""


def first(name: str, protocol: str) -> Suite:
    """One variant of a suite, the first that is run by default."""
    listed = load.listing(name)
    variant = next(iter(listed.default or listed.variants))
    (found,) = load.suite(f"{name}:{variant}" if variant else name, protocol)
    return found


def test_every_suite_that_words_its_own_questions_says_so() -> None:
    for name in (name for name in load.suite_names() if "intern-s1" in load.listing(name).protocols):
        protocols = load.listing(name).protocols
        for protocol in (p for p in protocols if p.startswith("intern-s1") and not p.endswith("~")):
            assert (f"{protocol}~" in protocols) == (name not in DATA_ALONE), (name, protocol)
            assert (first(name, protocol).upstream is not None) == (name not in DATA_ALONE), (name, protocol)


def test_of_opencompass_of_vlmevalkit_or_of_nobody() -> None:
    assert (
        len(wheels.upstream_prompts_by_suite()) == 30
    )  # MMLU-Pro, GPQA, ProteinLMBench, AIME of two years, ChemBench4K, 14 and 6 tasks and 4
    for name in ("mathvista", "mathvision", "xlrs", "physics"):
        assert first(name, "intern-s1").upstream is wording.UNAVAILABLE
    for name in ("mmmu", "mmstar", "chartqa", "sfe", "msearth", "microvqa"):
        assert isinstance(first(name, "intern-s1").upstream, SentencePrompts)


def bundled(suite: Suite) -> list[tuple[Sample, Prompt]]:
    data = Data(suite=suite.name, sample=True)
    ask = suite.prompter(data)
    return [(sample, ask(sample, 0)) for sample in suite.samples(data)]


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, words in wheels.upstream_prompts_by_suite()
        if not words.unavailable and name != "smolinstruct:MC"
    ],
)
def test_questions_are_asked_in_the_wheels_words(synthetic_wheel: Path, name: str) -> None:
    (suite,), (ours,) = (load.suite(name, protocol) for protocol in ("intern-s1", "intern-s1~"))
    assert suite.upstream is not None
    assert suite.upstream.columns is not None
    for (sample, prompt), (_, own) in zip(bundled(suite), bundled(ours), strict=True):
        assert prompt.order == own.order
        row = suite.upstream.columns(sample, prompt, plain_text(sample.question))
        wanted = wheels.question_template(suite.upstream)
        for column, content in row.items():
            wanted = wanted.replace(f"{{{column}}}", content)
        assert prompt.messages == (Message.user(wanted),)
        assert own.messages != prompt.messages


def test_options_stand_where_upstream_shows_them(synthetic_wheel: Path) -> None:
    (suite,) = load.suite("gpqa:diamond", "intern-s1")
    sample, prompt = bundled(suite)[1]
    assert prompt.order == (
        2,
        3,
        0,
        1,
    )  # the second row, counted from 1 upstream, begins with its third option
    assert plain_text(prompt.messages[0].parts).endswith("\n".join(sample.choices[i] for i in (2, 3, 0, 1)))


# --- runs ---------------------------------------------------------------------------------------------------


def saying(tmp_path: Path, *words: object) -> Outcome:
    return evals("run", *words, "-m", "scripted:ANSWER: B", "--results", tmp_path / "results", "--json")


def run_of(done: Outcome) -> Any:
    (run,) = done.json["runs"]
    return run


def card_of(tmp_path: Path, run: str) -> Any:
    return store.find(tmp_path / "results", run)[0].card


ASKED = ("mmlu-pro", "--sample", "--protocol", "intern-s1", "--judge", "scripted:A")


def test_without_the_wheel_ours_stands_in_under_its_own_name(tmp_path: Path) -> None:
    done = saying(
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
    assert {run["protocol"] for run in done.json["runs"]} == {"intern-s1~"}
    said = [line for line in done.err.splitlines() if "intern-s1~" in line]
    assert len(said) == 2  # one line for each reason
    assert said[0].startswith(
        "mmlu-pro, aime:2025: the prompts of OpenCompass are not on this machine: `evals data opencompass`"
    )
    assert said[1].startswith("mmmu: the prompts of VLMEvalKit")
    assert all(
        line.endswith("using reworded prompts (intern-s1~), never ranked with intern-s1") for line in said
    )
    for run in done.json["runs"]:
        assert card_of(tmp_path, run["run"]).wording == {}


def test_ours_can_be_asked_for_by_name(synthetic_wheel: Path, tmp_path: Path) -> None:
    done = saying(tmp_path, "aime:2025", "--sample", "--protocol", "intern-s1~")
    assert run_of(done)["protocol"] == "intern-s1~"
    assert "in ours" not in done.err
    assert (
        "did you mean intern-s1?"
        in saying(tmp_path, "chartbench", "--sample", "--protocol", "intern-s1~").error_line
    )


def test_with_the_wheel_the_card_names_the_words(synthetic_wheel: Path, tmp_path: Path) -> None:
    done = saying(tmp_path, *ASKED)
    assert run_of(done)["protocol"] == "intern-s1"
    card = card_of(tmp_path, run_of(done)["run"])
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
    assert run_of(done)["wording"] == card.wording
    assert card.judge.templates == {
        f"opencompass==0.5.4 {suite.upstream.file}": card.wording["judges_sha256"]
    }


def test_the_judge_is_asked_in_the_wheels_words(synthetic_wheel: Path, tmp_path: Path) -> None:
    name = run_of(saying(tmp_path, *ASKED))["run"]
    (suite,) = load.suite("mmlu-pro", "intern-s1")
    assert suite.upstream is not None
    samples = {sample.id: sample for sample, _ in bundled(suite)}
    records = list(store.find(tmp_path / "results", name)[0].records())
    assert len(records) == 16
    for record in records:
        sample = samples[record.sample]
        wanted = (
            f"{wheels.JUDGING}\nAsked: {plain_text(sample.question)}\nGold: {sample.target}\nSaid: ANSWER: B"
        )
        (judgement,) = record.scores["judge"].judged
        assert judgement.asked == sha256(wanted.encode()).hexdigest()
        assert record.scores["judge"].verdict == "right"


def test_another_file_is_another_hash_and_another_run(
    synthetic_wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = run_of(saying(tmp_path, *ASKED, "--run", "one"))
    contents = {
        n: text.replace("Asked in this test", "Asked otherwise") for n, text in wheels.files().items()
    }
    wheels.install(monkeypatch, tmp_path, contents)
    done = saying(tmp_path, *ASKED, "--run", "one")
    after = run_of(done)
    assert (before["run"], after["run"]) == ("one", "one-2")
    assert "the hash of upstream's prompts is" in done.err
    assert before["wording"]["asks_sha256"] != after["wording"]["asks_sha256"]
    assert before["wording"]["judges_sha256"] == after["wording"]["judges_sha256"]


def test_a_run_begun_in_ours_is_not_continued_in_theirs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = run_of(saying(tmp_path, "aime:2025", "--sample", "--protocol", "intern-s1", "--run", "r"))
    again = run_of(saying(tmp_path, "aime:2025", "--sample", "--protocol", "intern-s1", "--run", "r"))
    assert (first["run"], first["protocol"], again["run"]) == ("r", "intern-s1~", "r")
    wheels.install(monkeypatch, tmp_path)
    other = saying(tmp_path, "aime:2025", "--sample", "--protocol", "intern-s1", "--run", "r")
    assert (run_of(other)["run"], run_of(other)["protocol"]) == ("r-2", "intern-s1")
    assert "protocol is intern-s1 and was intern-s1~" in other.err
    kept = run_of(saying(tmp_path, "aime:2025", "--sample", "--protocol", "intern-s1~", "--run", "r"))
    assert kept["run"] == "r"  # by its name it goes on


def test_a_variable_that_is_gone_is_one_line_and_nothing_is_begun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheels.install(monkeypatch, tmp_path, dict.fromkeys(wheels.files(), "x = 'one'"))
    complaint = saying(tmp_path, *ASKED).error_line
    assert "mmlu_pro_0shot_nocot_genericllmeval_gen_08c1de.py: cannot read mmlu_pro_infer_cfg" in complaint
    assert not list((tmp_path / "results").rglob("card.json"))


def test_a_wheel_that_changed_is_as_good_as_none(synthetic_wheel: Path, tmp_path: Path) -> None:
    synthetic_wheel.write_bytes(synthetic_wheel.read_bytes() + b"\n")
    done = saying(tmp_path, *ASKED)
    assert run_of(done)["protocol"] == "intern-s1~"
    assert (
        "its SHA-256 differs): `evals data opencompass` replaces it; using reworded prompts (intern-s1~)"
        in done.err
    )


# --- scoring again ------------------------------------------------------------------------------------------


def scoring(tmp_path: Path, *words: object) -> Outcome:
    return evals("score", *words, "--results", tmp_path / "results", "--json")


def test_scoring_again_wants_no_wheel_unless_it_asks_a_judge(synthetic_wheel: Path, tmp_path: Path) -> None:
    first = run_of(saying(tmp_path, *ASKED, "--run", "r"))
    synthetic_wheel.unlink()
    again = scoring(tmp_path, "r")
    assert (again.status, again.json["changes"]) == (0, [])
    assert again.json["run"]["estimates"] == first["estimates"]
    assert again.json["run"]["judge"] == first["judge"]  # with the hash of the words
    assert "uses upstream's judge prompt" in scoring(tmp_path, "r", "--judge", "scripted:B").error_line


def test_another_judge_is_asked_the_same(synthetic_wheel: Path, tmp_path: Path) -> None:
    """Records keep no questions: they are cut out of the prompts."""
    for name in ("mmlu-pro", "gpqa", "aime:2025", "chembench:4k"):
        asked = (
            name,
            "--sample",
            "--protocol",
            "intern-s1",
            "--judge",
            "scripted:A",
            "--run",
            name.replace(":", "-"),
        )
        run = run_of(saying(tmp_path, *asked))
        other = scoring(tmp_path, run["run"], "--judge", "scripted:B").json["run"]
        hashes = [
            {(r.sample, j.asked) for r in store.find(tmp_path / "results", one)[0].records()
             for s in r.scores.values() for j in s.judged}
            for one in (run["run"], other["run"])
        ]  # fmt: skip
        assert hashes[0] == hashes[1] != set()


def test_replies_asked_in_other_words_are_not_scored_as_if_in_these(
    synthetic_wheel: Path, tmp_path: Path
) -> None:
    saying(tmp_path, "aime:2025", "--sample", "--protocol", "strict", "--run", "r")
    done = scoring(tmp_path, "r", "--protocol", "intern-s1")
    assert done.json["run"]["protocol"] == "intern-s1~"
    assert "its prompts are not those of intern-s1, so it is scored as intern-s1~" in done.err
    saying(tmp_path, "aime:2025", "--sample", "--protocol", "intern-s1~", "--run", "o")
    assert scoring(tmp_path, "o", "--protocol", "intern-s1").json["run"]["protocol"] == "intern-s1~"


def test_what_was_asked_elsewhere_keeps_its_protocol(tmp_path: Path) -> None:
    (suite,) = load.suite("mmlu-pro", "strict")
    lines = [
        {"id": sample.id, "text": "ANSWER: B"}
        for sample in suite.samples(Data(suite="mmlu-pro", sample=True))
    ]
    path = tmp_path / "theirs.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    asked = (
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
    done = evals(*asked, "--results", tmp_path / "results", "--json")
    assert done.status in (0, 1), done.err
    (run,) = done.json["runs"]
    assert (run["protocol"], run["counts"]) == ("intern-s1", {"failed:waiting": 16})
    assert "upstream's judge prompt" in scoring(tmp_path, run["run"], "--judge", "scripted:A").error_line


def test_a_bundle_is_verified_without_the_wheel(synthetic_wheel: Path, tmp_path: Path) -> None:
    saying(tmp_path, *ASKED, "--run", "r")
    assert evals("bundle", "r", tmp_path / "r.zip", "--results", tmp_path / "results").status == 0
    synthetic_wheel.unlink()
    done = evals("bundle", "verify", tmp_path / "r.zip")
    assert done.status == 0, done.out + done.err


# --- a protocol of its own ----------------------------------------------------------------------------------


def test_a_claim_is_not_compared_with_our_wording(tmp_path: Path) -> None:
    name = run_of(saying(tmp_path, *ASKED))["run"]
    claim = Claim(model="scripted", suite="mmlu-pro", benchmark="MMLU-Pro", protocol="intern-s1", value=0.5,
                  unit="fraction", source="https://example.org", knobs={})  # fmt: skip
    ((found,),) = [
        check_claims(one, {"c": claim}, "scripted") for one in measured_scores([card_of(tmp_path, name)], [])
    ]
    assert found.verdict == "not comparable"
    assert "prompts are reworded here (intern-s1~), the original ones there" in found.because
    done = evals("claims", "reproduce", "intern-s1/mmlu-pro", "-m", "scripted:ANSWER: B", "--sample", "--judge", "scripted:A",
                 "--limit", 2, "--results", tmp_path / "results")  # fmt: skip
    assert done.status == 3
    assert "prompts are reworded here (intern-s1~)" in done.out


def test_both_stand_in_columns_of_their_own_and_do_not_compare(synthetic_wheel: Path, tmp_path: Path) -> None:
    from evals.dashboard.tables import frames
    from evals.dashboard.tables import leaderboard as board

    theirs = run_of(saying(tmp_path, *ASKED))["run"]
    ours = run_of(
        saying(
            tmp_path,
            "mmlu-pro",
            "--sample",
            "--protocol",
            "intern-s1~",
            "--judge",
            "scripted:call=tests.support.judges:letter_b",
        )
    )["run"]
    assert theirs != ours
    compared = evals("compare", theirs, ours, "--results", tmp_path / "results")
    assert compared.status == 2
    assert "protocol differs: intern-s1 (A) and intern-s1~ (B)" in compared.err
    entries = frames.index(tmp_path / "results").entries
    assert {c.protocol for c in board.build(entries).columns.values()} == {"intern-s1", "intern-s1~"}


def test_means_over_variants_stay_apart(tmp_path: Path) -> None:
    done = saying(tmp_path, "matbench", "--sample", "--protocol", "intern-s1", "--judge", "scripted:1")
    (mean,) = done.json["aggregates"]
    assert mean["protocol"] == "intern-s1~"


def test_the_list_explains_the_protocols(synthetic_wheel: Path) -> None:
    def entries() -> dict[tuple[str, str], str]:
        return {
            (e["suite"], e["protocol"]): e["words"]
            for e in evals("list", "protocols", "--json").json["protocols"]
        }

    found = entries()
    assert found["gpqa", "intern-s1"] == "prompts of opencompass==0.5.4 gpqa/gpqa_cascade_eval_gen_772ea0.py"
    assert found["gpqa", "intern-s1~"] == "intern-s1 with reworded prompts, not ranked with it"
    assert found["gpqa", "strict"] == ""
    assert found["mmmu", "intern-s1"].startswith("the prompts of VLMEvalKit")
    synthetic_wheel.unlink()
    assert "evals data opencompass" in entries()["gpqa", "intern-s1"]


def test_a_judge_that_says_neither_is_a_failure_and_never_a_zero(
    synthetic_wheel: Path, tmp_path: Path
) -> None:
    run = run_of(
        saying(tmp_path, "mmlu-pro", "--sample", "--protocol", "intern-s1", "--judge", "scripted:Answer: B")
    )
    assert run["counts"] == {"failed:unreadable": 16}


def test_a_candidate_cannot_fetch_the_gold_answer() -> None:
    """Upstream fills the columns obj_gold and reference behind the candidate's text; here nothing comes behind it."""
    turns = (("HUMAN", "{question} {prediction}"),)
    (message,) = fill_template(
        turns, {"question": "?", "answer": "gold", "prediction": "{answer} {obj_gold} {reference}"}
    )
    assert plain_text(message.parts) == "? {answer} {obj_gold} {reference}"
