"""VLMEvalKit's words: exchanged for ours on a wheel made by hand, and (slow) on the real one."""

from __future__ import annotations

import ast
import asyncio
import string
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from evals import load
from evals.data import Data
from evals.errors import DataError
from evals.prompts import plain_text
from evals.prompts.upstream import sentences, wheel
from evals.prompts.upstream.sentences import Replacement, SentencePrompts, TextLocation
from evals.prompts.upstream.wheel import VLMEVALKIT
from evals.records import store
from evals.scorers.judge.judge import Judge
from evals.scorers.upstream import vqa
from evals.suites import mmmu
from evals.types import Media, Model, Prompt, Reply, Sample, Sampling, Score, Text
from tests.support import wheels
from tests.support.command import evals

SUITES = (
    "mmstar", "mmmu", "mmmu:pro-standard", "mmmu:pro-vision", "microvqa", "msearth", "chartqa:human", "sfe:en",
)  # fmt: skip


def function(name: str, texts: list[str], *, kind: str = "def") -> str:
    """Write a function whose texts are these."""
    lines = "\n".join(f"        x += {text!r} + line" for text in texts)
    return f"    {kind} {name}(self, line):\n        'It has a docstring.'\n        x = line\n{lines}\n        return x\n"


def files() -> dict[str, str]:
    """Write the files that the suites name; every text says where it stands."""
    wanted: dict[str, dict[str, int]] = {}
    for name in SUITES:
        (suite,) = load.suite(name, "intern-s1")
        assert isinstance(suite.upstream, SentencePrompts)
        for place in (
            *(p for r in suite.upstream.replacements for p in r.upstream_texts),
            *suite.upstream.judge,
        ):
            some = wanted.setdefault(place.file, {})
            some[place.scope] = max(place.number, some.get(place.scope, 0))
    contents = {}
    for file, places in wanted.items():
        source = "raise RuntimeError('nobody runs this')\n"
        for within, most in places.items():
            texts = [f"<{within} {number}>" for number in range(most + 1)]
            cls, _, name = within.rpartition(".")
            if within == "EVAL_TEMPLATE":
                source += "EVAL_TEMPLATE = 'Points for {prediction} on {question}, gold {answer}'\n"
            elif within == "build_prompt":
                source += "def build_prompt():\n    return 'Closest: {} of {} to {}'\n"
            elif cls:
                source += f"class {cls}:\n{function(name, texts)}"
            else:
                source += f"class Any:\n    pass\ndef {name}():\n    return {texts[0]!r}\n"
        contents[f"{VLMEVALKIT.folder}{file}"] = source
    return contents


def lay(patch: pytest.MonkeyPatch, folder: Path, contents: dict[str, str]) -> Path:
    path = folder / "cache" / VLMEVALKIT.file
    known = wheels.write(path, contents)
    patch.setattr(wheel, "wheel_path", lambda one: folder / "cache" / one.file)
    patch.setattr(
        wheel,
        "_hash",
        lambda path, *_: VLMEVALKIT.sha256 if wheels.digest(path) == known else wheels.digest(path),
    )
    sentences._string_constant.cache_clear()
    return path


@pytest.fixture
def laid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A wheel of ours in its place."""
    yield lay(monkeypatch, tmp_path, files())
    sentences._string_constant.cache_clear()


def test_texts_are_counted_without_docstrings_and_with_pieces_of_f_strings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = """
class A:
    def f(self):
        "a docstring"
        x = ("one " "text") + y["key"]
        return f"before {x} after"
T = "variable"
"""
    lay(monkeypatch, tmp_path, {"vlmeval/a.py": source, "vlmeval/b.py": "def ("})
    assert [TextLocation("a.py", "A.f", number).text() for number in range(4)] == [
        "one text",
        "key",
        "before ",
        " after",
    ]
    assert TextLocation("a.py", "T").text() == "variable"
    for place, said in (
        (TextLocation("a.py", "A.f", 4), "A.f has 4 texts, expected at least 5"),
        (TextLocation("a.py", "A.g"), "does not define A.g"),
        (TextLocation("b.py", "f"), "cannot be parsed as Python"),
        (TextLocation("c.py", "f"), "does not contain vlmeval/c.py"),
    ):
        with pytest.raises(DataError, match=said):
            place.text()


def test_the_last_of_ours_is_exchanged_and_fields_are_filled(laid: Path) -> None:
    place = TextLocation("dataset/image_vqa.py", "ImageVQADataset.build_prompt", 3)
    replacement = Replacement(own_text="Ask {x}.", upstream_texts=(place,), group_placeholder="{x}")
    sample = Sample(id="1", target="A", group="Optics")
    assert replacement.apply("Ask Optics. Ask Optics.", sample) == f"Ask Optics. {place.text()}"
    assert replacement.apply("Ask anything.", sample) == "Ask anything."


@pytest.mark.parametrize("name", [name for name in SUITES if name != "mmmu:pro-vision"])
def test_no_sentence_of_ours_is_left_and_nothing_else_differs(laid: Path, name: str) -> None:
    (theirs,), (ours,) = (load.suite(name, protocol) for protocol in ("intern-s1", "intern-s1~"))
    assert isinstance(theirs.upstream, SentencePrompts)
    sample = Sample(id="1", target="A", choices=("red", "green"), group="Optics", question=(Text("What?"),))
    ask, own = (suite.prompter(Data(suite=suite.name, sample=True)) for suite in (theirs, ours))
    there, here = (plain_text(prompter(sample, 0).messages[0].parts) for prompter in (ask, own))
    for replacement in theirs.upstream.replacements:
        text = replacement.own_text.replace(replacement.group_placeholder or "\0", sample.group)
        assert text in here
        assert text not in there
        new = "".join(place.text() for place in replacement.upstream_texts)
        here = here.replace(text, new.strip() if replacement.strip else new)
    assert there == here


def test_without_the_wheel_ours_stands_in(tmp_path: Path) -> None:
    done = evals("run", "chartqa:human", "--sample", "-m", "scripted:1", "--protocol", "intern-s1",
                 "--results", tmp_path, "--json")  # fmt: skip
    assert done.json["runs"][0]["protocol"] == "intern-s1~"
    assert (
        "the prompts of VLMEvalKit are not on this machine: `evals data vlmevalkit` fetches them" in done.err
    )


def test_with_the_wheel_the_card_names_places_and_hashes(laid: Path, tmp_path: Path) -> None:
    done = evals("run", "chartqa:human", "--sample", "-m", "scripted:1", "--protocol", "intern-s1",
                 "--results", tmp_path, "--json")  # fmt: skip
    (run,) = done.json["runs"]
    assert run["protocol"] == "intern-s1"
    file = "vlmeval/dataset/image_vqa.py"
    assert run["wording"]["file"] == file
    assert run["wording"]["file_sha256"] == sha256(files()[file].encode()).hexdigest()
    assert run["wording"]["asks"] == "ImageVQADataset.build_prompt, text 3"
    record = next(store.find_one(tmp_path, run["run"]).records())
    assert plain_text(record.prompt.messages[0].parts).endswith("<ImageVQADataset.build_prompt 3>")


class Says(Model):
    """Says one thing and keeps what it was asked."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked: list[str] = []

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        self.asked.append(plain_text(prompt.messages[-1].parts))
        return Reply(text=self.text)

    async def close(self) -> None:
        pass


def judged(name: str, said: str, sample: Sample, prompt: Prompt, reply: str) -> tuple[Any, str]:
    """Give the score by a judge that says this, and what it was asked."""
    (suite,) = load.suite(name, "intern-s1")
    (scorer,) = suite.scorers.values()
    model = Says(said)
    judged = structs.replace(scorer, judge=Judge(model, spec="says"))
    return asyncio.run(judged(sample, prompt, Reply(text=reply))), model.asked[-1]


def test_the_judge_names_an_option_in_upstreams_words(laid: Path) -> None:
    (suite,) = load.suite("mmstar", "intern-s1")
    sample = Sample(id="1", target="B", choices=("red", "green"), question=(Text("Which colour?"),))
    prompt = suite.prompter(Data(suite="mmstar", sample=True))(sample, 0)
    score, asked = judged("mmstar", "B", sample, prompt, "grass")
    assert asked == "Closest: Which colour? of <build_option_str 0>A. red\nB. green\n to grass"
    assert isinstance(score, Score)
    assert (score.value, score.answer) == (1.0, "B")
    assert judged("mmstar", "Z", sample, prompt, "grass")[0].value == 0.0


def test_points_are_asked_for_in_upstreams_words(laid: Path) -> None:
    (suite,) = load.suite("sfe:en", "intern-s1")
    sample = Sample(id="1", target="7 cm", group="Optics", question=(Text("How long?"),),
                    meta={"question_type": "open_ended"})  # fmt: skip
    prompt = suite.prompter(Data(suite="sfe", sample=True))(sample, 0)
    score, asked = judged("sfe:en", "3", sample, prompt, "about 7")
    assert asked.startswith("Points for about 7 on ")
    assert asked.endswith("gold 7 cm")
    assert score.value == pytest.approx(3 / 9)


# --- the real wheel ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The wheel, fetched through pip."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wheel, "wheel_path", lambda one: folder / one.file)
        sentences._string_constant.cache_clear()
        done = evals("data", "vlmevalkit")
        if done.status:
            pytest.skip(f"VLMEvalKit's wheel cannot be fetched here: {done.err.strip()}")
        yield folder / VLMEVALKIT.file
    sentences._string_constant.cache_clear()


def upstreams(file: str, within: str, **given: Any) -> Any:
    """Give a function of upstream's, compiled out of its source alone."""
    import pandas

    found: Any = ast.parse(wheel.read(VLMEVALKIT, f"{VLMEVALKIT.folder}{file}"))
    for part in within.split("."):
        (found,) = [node for node in found.body if getattr(node, "name", "") == part]
    names = {
        "pd": pandas,
        "string": string,
        "toliststr": lambda x: x,
        "listinstr": lambda some, x: False,
        **given,
    }
    exec(compile(ast.Module([found], []), file, "exec"), names)  # noqa: S102 - of the verified wheel, one function
    return names[found.name]


def text_of(messages: list[dict[str, Any]]) -> str:
    return "\n".join(one["value"] for one in messages if one["type"] == "text")


class Asked:
    """Stands in for upstream's data set: no pictures on disk."""

    meta_only = True
    dataset_name = ""

    def __init__(self, name: str = "") -> None:
        self.dataset_name = name

    def split_MMMU(self, messages: Any) -> Any:  # noqa: N802 - upstream's name
        return messages

    def dump_image(self, line: Any, dataset: str = "") -> list[str]:
        return []


ROW = {"question": "What is it?", "A": "red", "B": "green", "image_path": ["x.png"], "category": "Optics",
       "question_type": "mcq"} | dict.fromkeys("CDEFGHIJKLMNO")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file", "within", "asked"),
    [
        ("mmstar", "dataset/image_mcq.py", "ImageMCQDataset.build_prompt", Asked()),
        ("mmmu", "dataset/image_mcq.py", "ImageMCQDataset.build_prompt", Asked()),
        ("microvqa", "dataset/image_mcq.py", "ImageMCQDataset.build_prompt", Asked()),
        ("msearth", "dataset/image_mcq.py", "MSEarthMCQ.build_prompt", Asked()),
        (
            "mmmu:pro-standard",
            "dataset/image_mcq.py",
            "MMMUProDataset.build_prompt",
            Asked("MMMU_Pro_10c_COT"),
        ),
        ("mmmu:pro-vision", "dataset/image_mcq.py", "MMMUProDataset.build_prompt", Asked("MMMU_Pro_V_COT")),
        ("sfe:en", "api/adapters/interns1_1.py", "InternS1_1ThinkAdapter._build_sfe_prompt", Asked()),
    ],
)
def test_prompts_equal_those_of_upstreams_own_code(
    real: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str, within: str, asked: Asked
) -> None:
    (suite,) = load.suite(name, "intern-s1")
    words = upstreams(file, within)(asked, ROW, *(["SFE"] if name == "sfe:en" else []))
    page = name == "mmmu:pro-vision"
    monkeypatch.setattr(mmmu, "enlarge_image", lambda part, times, **_: part)
    part = Media(kind="image", media_type="image/png", sha256="0" * 64) if page else Text("What is it?")
    sample = Sample(id="1", target="A", choices=("red", "green"), group="Optics", question=(part,))
    prompt = suite.prompter(Data(suite=suite.name, sample=True))(sample, 0)
    assert plain_text(prompt.messages[0].parts) == text_of(words)


@pytest.mark.slow
def test_the_judge_s_task_equals_that_of_upstreams_own_code(real: Path) -> None:
    (suite,) = load.suite("mmstar", "intern-s1")
    sample = Sample(id="1", target="B", choices=("red", "green"), question=(Text("Which colour?"),))
    prompt = suite.prompter(Data(suite="mmstar", sample=True))(sample, 0)
    shown = upstreams("smp/vlm.py", "build_option_str")({"A": "red", "B": "green"})
    wanted = upstreams("dataset/utils/multiple_choice.py", "build_prompt")("Which colour?", shown, "grass")
    assert judged("mmstar", "B", sample, prompt, "grass")[1] == wanted


@pytest.mark.slow
def test_the_points_are_asked_for_in_upstreams_words(real: Path) -> None:
    (suite,) = load.suite("sfe:en", "intern-s1")
    assert isinstance(suite.upstream, SentencePrompts)
    task = suite.upstream.judge[0].text()
    assert all(field in task for field in ("{question}", "{answer}", "{prediction}"))
    (chart,) = load.suite("chartqa:human", "intern-s1")
    assert chart.upstream is not None
    assert chart.upstream.card()["file_sha256"]


@pytest.mark.slow
def test_short_answers_are_asked_for_in_upstreams_words(real: Path) -> None:
    def ending(name: str, protocol: str) -> str:
        (suite,) = load.suite(name, protocol)
        data = Data(suite=name, sample=True)
        sample = next(iter(suite.samples(data)))
        words = plain_text(suite.prompter(data)(sample, 0).messages[0].parts)
        return words.removeprefix(plain_text(sample.question))

    phrase = ending("gqa", "official")
    assert phrase.startswith("\n")
    assert "single word or phrase" in phrase
    assert ending("vizwiz", "internvl") == phrase
    assert ending("vizwiz", "official") == ""
    assert "short words or phrases" in ending("docvqa", "qwen2-vl")


@pytest.mark.slow
def test_short_answers_are_scored_as_upstream_scores_them(real: Path) -> None:
    import random

    import numpy

    file = "dataset/utils/vqa_eval.py"
    given: dict[str, Any] = {"np": numpy, "istype": lambda text, kind: isinstance(text, kind), "eval": lambda value: value,
                             "listinstr": lambda some, name: any(part in name for part in some)}  # fmt: skip
    given["process_punctuation"] = upstreams("smp/misc.py", "process_punctuation")
    for name in (
        "_process_digit_article",
        "process_answer",
        "levenshtein_distance",
        "anls_compute",
        "process_line",
        "hit_calculate",
    ):
        given[name] = upstreams(file, name, **given)
    rng = random.Random(5)
    words = (
        "a",
        "the",
        "two",
        "none",
        "Paris",
        "3,000",
        "2.5",
        "U.S.",
        "dont",
        "y'alld've",
        "-",
        "x_y",
        "(red)",
        "\t",
        "?",
        ".",
    )

    def text() -> str:
        return "".join(rng.choice(words) + rng.choice((" ", "", "\n", ".")) for _ in range(rng.randint(0, 5)))

    rules = (
        ("vqa_score", "TextVQA", vqa.vqa_score),
        ("accuracy", "OCRVQA", vqa.same_text),
        ("anls", "DocVQA", vqa.anls),
    )
    for _ in range(1_500):
        pool = [text() for _ in range(rng.randint(1, 4))]
        golds = [rng.choice(pool) for _ in range(10)]
        reply = rng.choice([*pool, rng.choice(pool)[:-1], text()])
        for method, name, rule in rules:
            theirs = given["hit_calculate"](
                [given["process_line"]({"answer": golds, "prediction": reply}, method)], name
            )
            assert rule(golds, reply) == pytest.approx(float(theirs[0]), abs=1e-12), (method, golds, reply)
