"""IFEval's checkers: parity with lm-evaluation-harness' own code, and where the corrected rules decide differently."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from evals.errors import DataError
from evals.scorers.instructions import (
    CORRECTED,
    OFFICIAL,
    REQUIRED_ARGUMENTS,
    SENTENCE_COUNT,
    Instructions,
    checked_arguments,
    loose_variants,
)
from evals.types import Prompt, Reply, Sample, Score
from tests.support.error_messages import raises

TEXTS = (
    "", " \n", "Yes.", "My answer is yes.", "my answer is no", "HELLO WORLD", "hello world, how are you today my friend",
    "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG AND SLEEPS.", "the quick brown fox jumps over the lazy dog and sleeps.",
    "Der schnelle braune Fuchs springt über den faulen Hund und schläft.", "12345 67890 !!!",
    "* one\n* two\n- three", "** bold **\n*one*\n-5 degrees\n---", "**bold** and *italic* and ** ** and ***both***",
    "a***b***c", "***\na\n***\nb\n***", "first\n\nsecond one\n\n\n\nthird", "'Tea, please'\n\n\"Steeping\" takes time",
    "Dear [name], see [the page](http://x.org) [ ]", "P.S. thanks", "Well p. s. no", "P.P.S end", "see p.p. s of the book",
    "<<Title>>\ntext", "<< >>", "<a>", "one\n******\ntwo", "one\n******\none", "******one******two******", "one******\n******two",
    '"quoted"', '"', '""', "“curly”", '{"a": 1}', '```json\n{"a": 1}\n```', "```JSON\n[1]```", "{a: 1}",
    "Section 1\nx\nSection 2\ny", "SECTION 1 Section1", "Party on, party art! Art. artful", "art", "The answer (art)",
    "Repeat this.\nThen answer.", "repeat THIS. ok", "Any other questions?", 'Bye. Any other questions?"', "U.S.A. and NATO MEMBERS. OK?",
    "z zz Z", "word " * 40, "Hope to see you there!\nJoe", "*Sure!*\nThe answer is art\nBye", "Intro\nlower text only here\nOutro",
)  # fmt: skip
ARGUMENTS_BY_TYPE: dict[str, tuple[dict[str, Any], ...]] = {
    "keywords:existence": ({"keywords": ["art"]}, {"keywords": ["party", "art"]}),
    "keywords:frequency": (
        {"keyword": " art ", "frequency": 2, "relation": "at least"},
        {"keyword": "one", "frequency": 1, "relation": "less than"},
    ),
    "keywords:forbidden_words": ({"forbidden_words": ["art", "bye"]}, {"forbidden_words": ["sure"]}),
    "keywords:letter_frequency": (
        {"letter": "Z", "let_frequency": 2, "let_relation": "at least"},
        {"letter": "e", "let_frequency": 3, "let_relation": "less than"},
    ),
    "language:response_language": ({"language": "de"}, {"language": "en"}),
    SENTENCE_COUNT: (
        {"num_sentences": 2, "relation": "at least"},
        {"num_sentences": 3, "relation": "less than"},
    ),
    "length_constraints:number_paragraphs": ({"num_paragraphs": 2}, {"num_paragraphs": 3}),
    "length_constraints:number_words": (
        {"num_words": 8, "relation": "at least"},
        {"num_words": 5, "relation": "less than"},
    ),
    "length_constraints:nth_paragraph_first_word": (
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Steeping"},
        {"num_paragraphs": 3, "nth_paragraph": 3, "first_word": "third"},
        {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "tea"},
    ),
    "detectable_content:number_placeholders": ({"num_placeholders": 2}, {"num_placeholders": 3}),
    "detectable_content:postscript": (
        {"postscript_marker": "P.S."}, {"postscript_marker": "P.P.S"}, {"postscript_marker": "P.P.S."}, {"postscript_marker": "PS"},
    ),
    "detectable_format:number_bullet_lists": ({"num_bullets": 3}, {"num_bullets": 2}),
    "detectable_format:constrained_response": ({},),
    "detectable_format:number_highlighted_sections": ({"num_highlights": 1}, {"num_highlights": 3}),
    "detectable_format:multiple_sections": (
        {"section_spliter": "Section", "num_sections": 2},
        {"section_spliter": "SECTION", "num_sections": 1},
    ),
    "detectable_format:json_format": ({},),
    "detectable_format:title": ({},),
    "combination:two_responses": ({},),
    "combination:repeat_prompt": ({"prompt_to_repeat": "Repeat this."},),
    "startend:end_checker": ({"end_phrase": "Any other questions?"}, {"end_phrase": "Hope to see you there!"}),
    "change_case:capital_word_frequency": (
        {"capital_frequency": 2, "capital_relation": "at least"},
        {"capital_frequency": 1, "capital_relation": "less than"},
    ),
    "change_case:english_capital": ({},),
    "change_case:english_lowercase": ({},),
    "punctuation:no_comma": ({},),
    "startend:quotation": ({},),
}  # fmt: skip


def test_all_25_types_of_instructions_have_rules_and_test_arguments() -> None:
    assert len(OFFICIAL) == 25
    assert set(OFFICIAL) == set(CORRECTED) == set(ARGUMENTS_BY_TYPE)
    assert set(REQUIRED_ARGUMENTS) <= set(OFFICIAL)


def reply_texts() -> list[str]:
    """Return the fixed texts, and up to 120 texts joined from them at random."""
    rng = random.Random(3)
    spliced = [
        rng.choice(("\n", "\n\n", " ", "")).join(rng.sample(TEXTS[2:], rng.randint(2, 4))) for _ in range(120)
    ]
    return [*TEXTS, *(text for text in spliced if len(text) < 4000)]


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return lm_eval's own checkers, which try to download nltk's sentence data when they are imported."""
    import langdetect
    import nltk

    monkeypatch.setattr(nltk, "download", lambda *_: True)
    langdetect.DetectorFactory.seed = 0
    from lm_eval.tasks.ifeval import utils

    return utils


def upstream_and_ours(
    upstream: Any, name: str, arguments: dict[str, Any], text: str
) -> tuple[list[bool], list[bool]]:
    """Return [strict, loose] by upstream's code, and the same by ours."""

    item = upstream.InputExample(key=1, instruction_id_list=[name], prompt="Repeat this.", kwargs=[arguments])
    theirs = [
        upstream.test_instruction_following_strict(item, text).follow_all_instructions,
        upstream.test_instruction_following_loose(item, text).follow_all_instructions,
    ]
    sample = Sample(
        id="1",
        target=(name,),
        meta={"instructions": [name], "arguments": checked_arguments([name], [arguments])},
    )
    score = Instructions("official")(sample, Prompt(), Reply(text=text))
    return theirs, [score.value == 1.0, score.parts["loose"] == 1.0]


DETECTS_LANGUAGE = {
    "language:response_language",
    "change_case:english_lowercase",
    "change_case:english_capital",
}
"""Instructions that detect a language, whose tests take half a minute."""
WITHOUT_SENTENCE_DATA = sorted(set(OFFICIAL) - {SENTENCE_COUNT, "change_case:capital_word_frequency"})


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in DETECTS_LANGUAGE else name
        for name in WITHOUT_SENTENCE_DATA
    ],
)
def test_the_official_rule_agrees_with_lm_eval(name: str, upstream: Any) -> None:
    differences = []
    for arguments, text in itertools.product(ARGUMENTS_BY_TYPE[name], reply_texts()):
        theirs, ours = upstream_and_ours(upstream, name, arguments, text)
        if theirs != ours:
            differences.append((arguments, text, theirs, ours))
    assert differences == []


@pytest.fixture(scope="module")
def punkt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with nltk's sentence data from another project's package; skip the test if it cannot be downloaded."""
    folder = tmp_path_factory.mktemp("punkt")
    package = "llama-index-core==0.14.25"
    process = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), package],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if process.returncode:
        pytest.skip(
            f"NOT TESTED: {package} with nltk's sentence data cannot be downloaded: {process.stderr[-200:]}"
        )
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        prefix = "llama_index/core/_static/nltk_cache/"
        for name in wheel.namelist():
            if name.startswith(f"{prefix}tokenizers/punkt_tab/english/") and not name.endswith("/"):
                target = folder / name.removeprefix(prefix)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(wheel.read(name))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", [SENTENCE_COUNT, "change_case:capital_word_frequency"])
def test_the_official_rule_that_needs_sentence_data_agrees_with_lm_eval(
    name: str, punkt: Path, monkeypatch: pytest.MonkeyPatch, upstream: Any
) -> None:
    import nltk

    monkeypatch.setattr(nltk.data, "path", [str(punkt)])
    differences = [
        (arguments, text)
        for arguments, text in itertools.product(ARGUMENTS_BY_TYPE[name], reply_texts())
        if len(set(map(tuple, upstream_and_ours(upstream, name, arguments, text)))) > 1
    ]
    assert differences == []


def test_the_loose_rule_tries_eight_variants_of_a_reply() -> None:
    assert list(loose_variants("a\n*b*\nc")) == [
        "a\n*b*\nc",
        "a\nb\nc",
        "*b*\nc",
        "b\nc",
        "a\n*b*",
        "a\nb",
        "*b*",
        "b",
    ]


def official_and_corrected(name: str, text: str, **arguments: Any) -> tuple[bool, bool]:
    return OFFICIAL[name](text, arguments), CORRECTED[name](text, arguments)


@pytest.mark.parametrize(
    ("name", "text", "arguments"),
    [
        ("keywords:existence", "a party", {"keywords": ["art"]}),
        ("keywords:frequency", "party, art", {"keyword": "art", "frequency": 2, "relation": "at least"}),
        ("language:response_language", "123", {"language": "de"}),
        ("detectable_content:number_placeholders", "[page](http://x.org)", {"num_placeholders": 1}),
        ("detectable_content:postscript", "it stops. p.s. hm", {"postscript_marker": "P.S."}),
        ("detectable_format:number_bullet_lists", "-5 degrees", {"num_bullets": 1}),
        ("detectable_format:number_highlighted_sections", "**one**", {"num_highlights": 2}),
        ("punctuation:no_comma", "一，二", {}),
    ],
)
def test_replies_that_only_the_official_rule_accepts(name: str, text: str, arguments: dict[str, Any]) -> None:
    official, corrected = official_and_corrected(name, text, **arguments)
    if name == "detectable_format:number_highlighted_sections":
        assert OFFICIAL[name]("**one** *two*", arguments)
        assert not corrected
        return
    assert (official, corrected) == (True, False)


@pytest.mark.parametrize(
    ("name", "text", "arguments"),
    [
        ("keywords:existence", "C++ (3.0)", {"keywords": ["(3.0)"]}),
        ("detectable_content:postscript", "Dear all\n\n**P.S.** Bring tea", {"postscript_marker": "P.S."}),
        ("startend:quotation", "“Ask early.”", {}),
        ("detectable_format:number_bullet_lists", "**Tools**\n* saw\n* nail\n\n---", {"num_bullets": 2}),
        ("change_case:english_capital", "THE NEW LIBRARY OPENS ITS DOORS TO ALL READERS ON MONDAY.", {}),
    ],
)
def test_replies_that_the_corrected_rule_accepts(name: str, text: str, arguments: dict[str, Any]) -> None:
    assert CORRECTED[name](text, arguments)


@pytest.mark.parametrize(
    ("names", "arguments"),
    [
        (["keywords:rhyme"], [{}]),
        (["keywords:frequency"], [{"keyword": "a", "frequency": 2}]),
        (["keywords:frequency"], [{"keyword": "a", "frequency": 2, "relation": "most"}]),
        (["punctuation:no_comma"], []),
    ],
    ids=["unknown", "no relation", "unknown relation", "no arguments"],
)
def test_unknown_instructions_and_malformed_arguments_are_data_errors(
    names: list[str], arguments: list[Any]
) -> None:
    with raises(DataError):
        checked_arguments(names, arguments)


def score_of(text: str, **reply: Any) -> Score:
    names = ["punctuation:no_comma", "startend:quotation"]
    sample = Sample(id="1", target=tuple(names), meta={"instructions": names, "arguments": [{}, {}]})
    return Instructions()(sample, Prompt(), Reply(text=text, **reply))


def test_deeply_nested_brackets_are_rejected_as_json_without_a_crash() -> None:
    """Upstream's own code raises a RecursionError here."""
    assert not OFFICIAL["detectable_format:json_format"]("[" * 100_000, {})


def test_strict_and_loose_scores_and_verdicts() -> None:
    assert score_of('"fine"').verdict == "right"
    half_followed = score_of("fine")
    assert (half_followed.value, half_followed.parts["followed"], half_followed.why) == (
        0.0,
        1,
        "not followed: startend:quotation",
    )
    assert score_of('Sure!\n"fine"').parts["loose"] == 1.0
    assert score_of('<think>a, b</think>\n"fine"').verdict == "right"
    assert score_of("").verdict == "unanswered"
    assert score_of("<think>a, b", stop="length").verdict == "truncated"
    assert score_of("a, b", stop="length").verdict == "truncated"
