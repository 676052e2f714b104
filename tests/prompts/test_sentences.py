"""VLMEvalKit's sentences in place of ours: with a synthetic wheel and, in slow tests, with the real one."""

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


def function_source(name: str, texts: list[str]) -> str:
    """Return the source of a method with these string constants."""
    lines = "\n".join(f"        x += {text!r} + line" for text in texts)
    return f"    def {name}(self, line):\n        'It has a docstring.'\n        x = line\n{lines}\n        return x\n"


def synthetic_files() -> dict[str, str]:
    """Return the files to which the suites refer, path -> source; every text states its own location."""
    last_numbers: dict[str, dict[str, int]] = {}
    for name in SUITES:
        (suite,) = load.suite(name, "intern-s1")
        assert isinstance(suite.upstream, SentencePrompts)
        for location in (
            *(text for replacement in suite.upstream.replacements for text in replacement.upstream_texts),
            *suite.upstream.judge,
        ):
            scopes = last_numbers.setdefault(location.file, {})
            scopes[location.scope] = max(location.number, scopes.get(location.scope, 0))
    contents = {}
    for file, scopes in last_numbers.items():
        source = "raise RuntimeError('this file must not be executed')\n"
        for scope, last_number in scopes.items():
            texts = [f"<{scope} {number}>" for number in range(last_number + 1)]
            cls, _, name = scope.rpartition(".")
            if scope == "EVAL_TEMPLATE":
                source += "EVAL_TEMPLATE = 'Points for {prediction} on {question}, gold {answer}'\n"
            elif scope == "build_prompt":
                source += "def build_prompt():\n    return 'Closest: {} of {} to {}'\n"
            elif cls:
                source += f"class {cls}:\n{function_source(name, texts)}"
            else:
                source += f"class Any:\n    pass\ndef {name}():\n    return {texts[0]!r}\n"
        contents[f"{VLMEVALKIT.folder}{file}"] = source
    return contents


def install(patch: pytest.MonkeyPatch, folder: Path, contents: dict[str, str]) -> Path:
    """Write a wheel into the cache, accept its hash and return its path."""
    path = folder / "cache" / VLMEVALKIT.file
    installed_hash = wheels.write(path, contents)
    patch.setattr(wheel, "wheel_path", lambda requested: folder / "cache" / requested.file)
    patch.setattr(
        wheel,
        "_hash",
        lambda path, *_: VLMEVALKIT.sha256 if wheels.digest(path) == installed_hash else wheels.digest(path),
    )
    sentences._string_constant.cache_clear()
    return path


@pytest.fixture
def synthetic_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Install a synthetic wheel."""
    yield install(monkeypatch, tmp_path, synthetic_files())
    sentences._string_constant.cache_clear()


def test_texts_are_numbered_without_docstrings_and_with_the_parts_of_f_strings(
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
    install(monkeypatch, tmp_path, {"vlmeval/a.py": source})
    assert [TextLocation("a.py", "A.f", number).text() for number in range(4)] == [
        "one text",
        "key",
        "before ",
        " after",
    ]
    assert TextLocation("a.py", "T").text() == "variable"


def test_the_last_of_our_sentences_is_replaced_and_its_group_filled_in(synthetic_wheel: Path) -> None:
    location = TextLocation("dataset/image_vqa.py", "ImageVQADataset.build_prompt", 3)
    replacement = Replacement(own_text="Ask {x}.", upstream_texts=(location,), group_placeholder="{x}")
    sample = Sample(id="1", target="A", group="Optics")
    assert replacement.apply("Ask Optics. Ask Optics.", sample) == f"Ask Optics. {location.text()}"
    assert replacement.apply("Ask anything.", sample) == "Ask anything."


@pytest.mark.parametrize("name", [name for name in SUITES if name != "mmmu:pro-vision"])
def test_each_of_our_sentences_is_replaced_and_nothing_else_changes(synthetic_wheel: Path, name: str) -> None:
    (upstream,), (reworded,) = (load.suite(name, protocol) for protocol in ("intern-s1", "intern-s1~"))
    assert isinstance(upstream.upstream, SentencePrompts)
    sample = Sample(id="1", target="A", choices=("red", "green"), group="Optics", question=(Text("What?"),))
    prompters = (suite.prompter(Data(suite=suite.name, sample=True)) for suite in (upstream, reworded))
    upstream_text, text = (plain_text(prompter(sample, 0).messages[0].parts) for prompter in prompters)
    for replacement in upstream.upstream.replacements:
        our_sentence = replacement.own_text.replace(replacement.group_placeholder or "\0", sample.group)
        assert our_sentence in text
        assert our_sentence not in upstream_text
        sentence = "".join(location.text() for location in replacement.upstream_texts)
        text = text.replace(our_sentence, sentence.strip() if replacement.strip else sentence)
    assert upstream_text == text


def test_without_the_wheel_reworded_prompts_are_used(tmp_path: Path) -> None:
    outcome = evals("run", "chartqa:human", "--sample", "-m", "scripted:1", "--protocol", "intern-s1",
                    "--results", tmp_path, "--json")  # fmt: skip
    assert outcome.json["runs"][0]["protocol"] == "intern-s1~"
    assert (
        "the prompts of VLMEvalKit are not on this machine: `evals data vlmevalkit` fetches them"
        in outcome.err
    )


def test_with_the_wheel_the_card_records_locations_and_hashes(synthetic_wheel: Path, tmp_path: Path) -> None:
    outcome = evals("run", "chartqa:human", "--sample", "-m", "scripted:1", "--protocol", "intern-s1",
                    "--results", tmp_path, "--json")  # fmt: skip
    (run,) = outcome.json["runs"]
    assert run["protocol"] == "intern-s1"
    file = "vlmeval/dataset/image_vqa.py"
    assert run["wording"]["file"] == file
    assert run["wording"]["file_sha256"] == sha256(synthetic_files()[file].encode()).hexdigest()
    assert run["wording"]["asks"] == "ImageVQADataset.build_prompt, text 3"
    record = next(store.find_one(tmp_path, run["run"]).records())
    assert plain_text(record.prompt.messages[0].parts).endswith("<ImageVQADataset.build_prompt 3>")


class ConstantModel(Model):
    """A model that returns the same reply to every prompt, and records the prompts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.prompts: list[str] = []

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        self.prompts.append(plain_text(prompt.messages[-1].parts))
        return Reply(text=self.text)

    async def close(self) -> None:
        pass


def judge_reply(name: str, judge_text: str, sample: Sample, prompt: Prompt, reply: str) -> tuple[Any, str]:
    """Score a reply with a judge that always replies `judge_text`; return the score and the judge's prompt."""
    (suite,) = load.suite(name, "intern-s1")
    (scorer,) = suite.scorers.values()
    model = ConstantModel(judge_text)
    judged_scorer = structs.replace(scorer, judge=Judge(model, spec="says"))
    return asyncio.run(judged_scorer(sample, prompt, Reply(text=reply))), model.prompts[-1]


def test_the_judge_selects_an_option_with_the_upstream_prompt(synthetic_wheel: Path) -> None:
    (suite,) = load.suite("mmstar", "intern-s1")
    sample = Sample(id="1", target="B", choices=("red", "green"), question=(Text("Which colour?"),))
    prompt = suite.prompter(Data(suite="mmstar", sample=True))(sample, 0)
    score, judge_prompt = judge_reply("mmstar", "B", sample, prompt, "grass")
    assert judge_prompt == "Closest: Which colour? of <build_option_str 0>A. red\nB. green\n to grass"
    assert isinstance(score, Score)
    assert (score.value, score.answer) == (1.0, "B")
    assert judge_reply("mmstar", "Z", sample, prompt, "grass")[0].value == 0.0


def test_the_judge_awards_points_with_the_upstream_prompt(synthetic_wheel: Path) -> None:
    (suite,) = load.suite("sfe:en", "intern-s1")
    sample = Sample(id="1", target="7 cm", group="Optics", question=(Text("How long?"),),
                    meta={"question_type": "open_ended"})  # fmt: skip
    prompt = suite.prompter(Data(suite="sfe", sample=True))(sample, 0)
    score, judge_prompt = judge_reply("sfe:en", "3", sample, prompt, "about 7")
    assert judge_prompt.startswith("Points for about 7 on ")
    assert judge_prompt.endswith("gold 7 cm")
    assert score.value == pytest.approx(3 / 9)


# --- the real wheel ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Download the wheel with pip."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wheel, "wheel_path", lambda requested: folder / requested.file)
        sentences._string_constant.cache_clear()
        outcome = evals("data", "vlmevalkit")
        if outcome.status:
            pytest.skip(f"VLMEvalKit's wheel cannot be downloaded here: {outcome.err.strip()}")
        yield folder / VLMEVALKIT.file
    sentences._string_constant.cache_clear()


def upstream_function(file: str, scope: str, **globals_: Any) -> Any:
    """Return a function of upstream, compiled without the rest of its module; `globals_`: further names that it uses."""
    import pandas

    node: Any = ast.parse(wheel.read(VLMEVALKIT, f"{VLMEVALKIT.folder}{file}"))
    for name in scope.split("."):
        (node,) = [child for child in node.body if getattr(child, "name", "") == name]
    names = {
        "pd": pandas,
        "string": string,
        "toliststr": lambda x: x,
        "listinstr": lambda substrings, text: False,
        **globals_,
    }
    exec(compile(ast.Module([node], []), file, "exec"), names)  # noqa: S102 - one function of the verified wheel
    return names[node.name]


def text_of(messages: list[dict[str, Any]]) -> str:
    return "\n".join(message["value"] for message in messages if message["type"] == "text")


class FakeDataset:
    """Replacement for upstream's data set, without images on disk."""

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
    ("name", "file", "scope", "dataset"),
    [
        ("mmstar", "dataset/image_mcq.py", "ImageMCQDataset.build_prompt", FakeDataset()),
        ("mmmu", "dataset/image_mcq.py", "ImageMCQDataset.build_prompt", FakeDataset()),
        ("microvqa", "dataset/image_mcq.py", "ImageMCQDataset.build_prompt", FakeDataset()),
        ("msearth", "dataset/image_mcq.py", "MSEarthMCQ.build_prompt", FakeDataset()),
        (
            "mmmu:pro-standard",
            "dataset/image_mcq.py",
            "MMMUProDataset.build_prompt",
            FakeDataset("MMMU_Pro_10c_COT"),
        ),
        (
            "mmmu:pro-vision",
            "dataset/image_mcq.py",
            "MMMUProDataset.build_prompt",
            FakeDataset("MMMU_Pro_V_COT"),
        ),
        ("sfe:en", "api/adapters/interns1_1.py", "InternS1_1ThinkAdapter._build_sfe_prompt", FakeDataset()),
    ],
)
def test_prompts_equal_those_of_the_upstream_code(
    real_wheel: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str, scope: str, dataset: FakeDataset
) -> None:
    (suite,) = load.suite(name, "intern-s1")
    upstream_messages = upstream_function(file, scope)(dataset, ROW, *(["SFE"] if name == "sfe:en" else []))
    is_screenshot = name == "mmmu:pro-vision"
    monkeypatch.setattr(mmmu, "enlarge_image", lambda part, times, **_: part)
    part = (
        Media(kind="image", media_type="image/png", sha256="0" * 64) if is_screenshot else Text("What is it?")
    )
    sample = Sample(id="1", target="A", choices=("red", "green"), group="Optics", question=(part,))
    prompt = suite.prompter(Data(suite=suite.name, sample=True))(sample, 0)
    assert plain_text(prompt.messages[0].parts) == text_of(upstream_messages)


@pytest.mark.slow
def test_the_judge_prompt_equals_that_of_the_upstream_code(real_wheel: Path) -> None:
    (suite,) = load.suite("mmstar", "intern-s1")
    sample = Sample(id="1", target="B", choices=("red", "green"), question=(Text("Which colour?"),))
    prompt = suite.prompter(Data(suite="mmstar", sample=True))(sample, 0)
    option_lines = upstream_function("smp/vlm.py", "build_option_str")({"A": "red", "B": "green"})
    build_prompt = upstream_function("dataset/utils/multiple_choice.py", "build_prompt")
    expected = build_prompt("Which colour?", option_lines, "grass")
    assert judge_reply("mmstar", "B", sample, prompt, "grass")[1] == expected


@pytest.mark.slow
def test_the_prompts_for_points_and_for_charts_exist_in_the_wheel(real_wheel: Path) -> None:
    (suite,) = load.suite("sfe:en", "intern-s1")
    assert isinstance(suite.upstream, SentencePrompts)
    judge_prompt = suite.upstream.judge[0].text()
    assert all(placeholder in judge_prompt for placeholder in ("{question}", "{answer}", "{prediction}"))
    (chart,) = load.suite("chartqa:human", "intern-s1")
    assert chart.upstream is not None
    assert chart.upstream.card()["file_sha256"]


@pytest.mark.slow
def test_instructions_for_short_answers_are_those_of_upstream(real_wheel: Path) -> None:
    def instruction(name: str, protocol: str) -> str:
        (suite,) = load.suite(name, protocol)
        data = Data(suite=name, sample=True)
        sample = next(iter(suite.samples(data)))
        text = plain_text(suite.prompter(data)(sample, 0).messages[0].parts)
        return text.removeprefix(plain_text(sample.question))

    gqa_instruction = instruction("gqa", "official")
    assert gqa_instruction.startswith("\n")
    assert "single word or phrase" in gqa_instruction
    assert instruction("vizwiz", "internvl") == gqa_instruction
    assert instruction("vizwiz", "official") == ""
    assert "short words or phrases" in instruction("docvqa", "qwen2-vl")


@pytest.mark.slow
def test_short_answers_are_scored_as_upstream_scores_them(real_wheel: Path) -> None:
    import random

    import numpy

    file = "dataset/utils/vqa_eval.py"
    functions: dict[str, Any] = {"np": numpy, "istype": lambda text, kind: isinstance(text, kind), "eval": lambda value: value,
                             "listinstr": lambda substrings, text: any(part in text for part in substrings)}  # fmt: skip
    functions["process_punctuation"] = upstream_function("smp/misc.py", "process_punctuation")
    for name in (
        "_process_digit_article",
        "process_answer",
        "levenshtein_distance",
        "anls_compute",
        "process_line",
        "hit_calculate",
    ):
        functions[name] = upstream_function(file, name, **functions)
    rng = random.Random(5)
    pieces = (
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

    def random_text() -> str:
        return "".join(
            rng.choice(pieces) + rng.choice((" ", "", "\n", ".")) for _ in range(rng.randint(0, 5))
        )

    rules = (
        ("vqa_score", "TextVQA", vqa.vqa_score),
        ("accuracy", "OCRVQA", vqa.same_text),
        ("anls", "DocVQA", vqa.anls),
    )
    for _ in range(1_500):
        answers = [random_text() for _ in range(rng.randint(1, 4))]
        golds = [rng.choice(answers) for _ in range(10)]
        reply = rng.choice([*answers, rng.choice(answers)[:-1], random_text()])
        for method, name, rule in rules:
            scores = functions["hit_calculate"](
                [functions["process_line"]({"answer": golds, "prediction": reply}, method)], name
            )
            assert rule(golds, reply) == pytest.approx(float(scores[0]), abs=1e-12), (method, golds, reply)
