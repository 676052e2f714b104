"""Checks of every suite, variant and protocol, on the bundled items and on the real data if available."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from importlib.util import find_spec
from inspect import iscoroutinefunction
from itertools import product
from pathlib import Path
from random import Random

import pytest

from evals import load
from evals.data import Data
from evals.errors import DataError, UnknownName
from evals.prompts import plain_text
from evals.run.plan import read_samples
from evals.seams import TwoStage
from evals.suite import Digest, Suite, check, checked_samples, data_sha256
from evals.suites import gpqa
from evals.types import Prompt, Reply, Sample, Score
from tests.support import toy
from tests.support.error_messages import raises
from tests.support.sizes import size
from tests.support.tables import table

NAMES = load.suite_names()
BUNDLED = [name for name in NAMES if Data(suite=name, sample=True).folder().is_dir()]
ALL_SUITES = [
    (f"{name}:{variant}" if variant else name, protocol)
    for name in NAMES
    for variant in load.listing(name).variants
    for protocol in load.listing(name).protocols
]
SCORER_PACKAGES = {
    "smolinstruct": "rdkit",
    "mol-instructions": "selfies",
    "matbench": "pymatgen",
    "physics": "math_verify",
}
"""Suite -> optional package that its scorers need."""
IGNORE_FILTER_STOP = {
    (name, p)
    for name in ("smolinstruct", "mol-instructions", "matbench")
    for p in ("intern-s1", "intern-s1~")
}
"""(suite, protocol) with an upstream rule that ignores whether a content filter truncated the reply."""
ANY_DATA = Data(suite="toy", sample=True)
"""Data for suites that do not read them."""


def load_one(spec: str, protocol: str) -> Suite:
    """Return the only suite of a name with its variant."""
    (suite,) = load.suite(spec, protocol)
    return suite


def suites_of(name: str) -> list[Suite]:
    """Return all variants of a suite under all protocols, without those that refuse to run."""
    package = SCORER_PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        pytest.skip(f"{name} is scored with {package}, which is not installed")
    suites = (load_one(spec, protocol) for spec, protocol in ALL_SUITES if spec.partition(":")[0] == name)
    return [suite for suite in suites if not suite.refuses]


def faults(suites: Iterable[Suite], data: Data) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the faults that `check` reports, by variant and protocol; variants without data are left out."""
    reported = {}
    for suite in suites:
        if data.local is not None and not has_samples(suite, data):
            continue
        result = check(suite, data)
        assert result.samples > 0
        listed = load.listing(suite.name)
        if data.local is not None and suite.protocol == listed.protocols[0]:
            assert result.samples == listed.variants[suite.variant]
        if result.faults:
            reported[suite.id, suite.protocol] = result.faults
    return reported


def has_samples(suite: Suite, data: Data) -> bool:
    """Return whether the data have samples of the suite."""
    try:
        next(iter(suite.samples(data)))
    except DataError:
        return False
    return True


# --- all suites ---------------------------------------------------------------------------------------------


@table("name", BUNDLED)
def test_ideal_replies_to_the_bundled_items_score_full_marks(name: str) -> None:
    assert faults(suites_of(name), Data(suite=name, sample=True)) == {}


WITH_SEVERAL_PROTOCOLS = [name for name in NAMES if len(load.listing(name).protocols) > 1]
REAL_DATA_CASES = [
    *((name, True) for name in NAMES),
    *(pytest.param(name, False, marks=pytest.mark.slow) for name in WITH_SEVERAL_PROTOCOLS),
]


@pytest.mark.parametrize(("name", "default_protocol"), REAL_DATA_CASES)
def test_ideal_replies_to_the_real_data_score_full_marks(
    mirror: Path, name: str, default_protocol: bool
) -> None:
    """The fast instance tests the default protocol, the slow one the others."""
    data = Data(suite=name, local=mirror)
    first = load.listing(name).protocols[0]
    suites = [suite for suite in suites_of(name) if (suite.protocol == first) == default_protocol]
    if not any(has_samples(suite, data) for suite in suites):
        pytest.skip(f"the shared data do not include {name}")
    assert faults(suites, data) == {}


@table(("spec", "protocol"), ALL_SUITES)
def test_a_suite_is_well_formed(spec: str, protocol: str) -> None:
    suite = load_one(spec, protocol)
    assert suite.id == spec
    assert suite.protocol == protocol
    assert "_" not in suite.name
    assert [m.name for m in suite.metrics if m.headline] == [suite.headline.name]
    assert len({m.name for m in suite.metrics}) == len(suite.metrics)
    assert all(m.scorer in ("", *suite.scorers) for m in suite.metrics)
    assert suite.licence
    assert suite.cite
    assert "\n" not in suite.refuses
    assert all("0x" not in version for version in suite.scorer_versions().values())  # no memory addresses


MALFORMED_REPLIES = (
    "",
    "A",
    "I refuse.",
    "\\boxed{",
    "ANSWER: Z",
    "9" * 5000,
    "{" * 2000,
    "a\x00b",
    "答案是",
)


@table("name", BUNDLED)
def test_a_malformed_reply_never_breaks_a_scorer(name: str) -> None:
    for suite in suites_of(name):
        samples = [s for s, _ in zip(suite.samples(bundled(suite)), range(size(1, 3)), strict=False)]
        for sample, text, scorer in product(samples, MALFORMED_REPLIES, suite.scorers.values()):
            for stop in ("stop", "length", "filter"):
                rule = scorer.rule if isinstance(scorer, TwoStage) else scorer
                score = rule(sample, Prompt(), Reply(text=text, stop=stop))
                assert isinstance(score, Score)
                if not text or (stop == "filter" and (name, suite.protocol) not in IGNORE_FILTER_STOP):
                    assert score.verdict not in ("right", "wrong"), (suite.id, text, score)


WITHOUT_OPTIONS = (
    "aime",
    "biology-instructions",
    "chartbench",
    "chartqa",
    "chartqapro",
    "compression",
    "docvqa",
    "fgvc",
    "gqa",
    "hmmt",
    "ifeval",
    "infovqa",
    "matbench",
    "mol-instructions",
    "molecular-iq",
    "ocrvqa",
    "physics",
    "refcoco",
    "smolinstruct",
    "textvqa",
    "vizwiz",
    "vtab",
)
"""Suites without multiple-choice questions."""


@table("name", sorted({*BUNDLED} - {*WITHOUT_OPTIONS}))
def test_a_letter_is_scored_as_the_option_that_was_shown_with_it(name: str) -> None:
    scored = 0
    pairs = [(suite, scorer) for suite in suites_of(name) for scorer in suite.scorers.values()]
    for suite, scorer in pairs:
        rule = getattr(scorer, "rule", scorer)
        for sample in checked_samples(suite, Data(suite=name, sample=True)):
            if (
                len(sample.choices) < 2
                or not isinstance(sample.target, str)
                or iscoroutinefunction(rule.__call__)
            ):
                continue
            prompt = Prompt(order=tuple(reversed(range(len(sample.choices)))))
            data_order_reply = suite.ideal(sample, Prompt())
            shown_order_reply = re.sub(
                rf"\b{sample.target}\b", prompt.shown_letter(sample.target), data_order_reply
            )
            if shown_order_reply != data_order_reply:
                scored += 1
                score = rule(sample, prompt, Reply(text=shown_order_reply))
                assert isinstance(score, Score)
                assert (score.verdict, score.value) == ("right", 1.0), (suite.id, suite.protocol, sample.id)
                assert (score.answer or sample.target).upper() == sample.target
                assert rule(sample, prompt, Reply(text=data_order_reply)).value != 1.0
    assert scored


@pytest.mark.parametrize("name", ["mmlu-pro", "gpqa", "aime"])
@pytest.mark.parametrize("protocol", ["strict", "official"])
def test_prompts_do_not_depend_on_the_order_of_calls(name: str, protocol: str) -> None:
    for suite in load.suite(name, protocol):
        data = bundled(suite)
        first_prompter, second_prompter = suite.prompter(data), suite.prompter(data)
        calls = [(sample, repeat) for sample in suite.samples(data) for repeat in (0, 1)]
        prompts = [first_prompter(*call) for call in calls]
        assert [second_prompter(*call) for call in reversed(calls)] == prompts[::-1]
        for (sample, _), prompt in zip(calls, prompts, strict=True):
            assert plain_text(sample.question) in plain_text(prompt.messages[-1].parts)


@pytest.mark.parametrize("name", ["mmlu-pro", "gpqa", "aime"])
def test_the_published_protocol_uses_a_judge(name: str) -> None:
    for suite in load.suite(name, "intern-s1"):
        assert suite.judged
        assert not suite.refuses


def test_the_hash_of_mmlu_pro_is_the_pinned_one(mirror: Path) -> None:
    suite = load_one("mmlu-pro", "strict")
    samples, digest = read_samples(suite, Data(suite="mmlu-pro", local=mirror))
    samples.close()
    assert digest == suite.sha256


@pytest.mark.parametrize("year", ["2024", "2025"])
def test_the_hash_of_aime_is_the_pinned_one(mirror: Path, year: str) -> None:
    suite = load_one(f"aime:{year}", "strict")
    assert data_sha256(suite.samples(Data(suite="aime", local=mirror))) == suite.sha256


# --- orders of options --------------------------------------------------------------------------------------


def test_official_gpqa_uses_the_option_orders_of_simple_evals(monkeypatch: pytest.MonkeyPatch) -> None:
    # gpqa_eval.py repeats the list of examples, then draws a permutation for each in turn from Random(0)
    generator = Random(0)
    upstream = [tuple(generator.sample(range(4), 4)) for _ in range(4 * 198)]
    monkeypatch.setattr(gpqa, "_samples", lambda data, variant: iter(range(198)))

    def orders(*repeats_and_rows: tuple[int, int]) -> list[tuple[int, ...] | None]:
        prompt = gpqa._official_prompter(ANY_DATA, "diamond")
        rows = [
            Sample(id="x", target="A", choices=tuple("abcd"), meta={"row": row})
            for _, row in repeats_and_rows
        ]
        return [prompt(row, repeat).order for row, (repeat, _) in zip(rows, repeats_and_rows, strict=True)]

    assert orders(*((repeat, row) for repeat in range(4) for row in range(198))) == upstream
    subset = orders((3, 197), (1, 5))  # a subset uses some of the orders, in any sequence
    assert subset == [upstream[-1], upstream[198 + 5]]


def test_official_gpqa_keeps_its_option_orders_with_a_limit() -> None:
    suite = load_one("gpqa:diamond", "official")
    data = bundled(suite)
    rows = len(list(suite.samples(data)))
    generator = Random(0)
    orders = [tuple(generator.sample(range(4), 4)) for _ in range(2 * rows)]
    last = list(suite.samples(data))[-1]
    assert suite.prompter(data)(last, 1).order == orders[-1]


def test_strict_gpqa_shows_the_gold_answer_equally_often_at_each_letter() -> None:
    suite = load_one("gpqa:extended", "strict")
    data = bundled(suite)
    make_prompt = suite.prompter(data)
    letters = [make_prompt(s, repeat).shown_letter("A") for s in suite.samples(data) for repeat in range(20)]
    expected = len(letters) / 4
    assert all(abs(letters.count(letter) - expected) < 5 * math.sqrt(expected) for letter in "ABCD")


def test_strict_mmlu_pro_keeps_the_option_order_of_the_data_set() -> None:
    suite = load_one("mmlu-pro", "strict")
    data = bundled(suite)
    assert {suite.prompter(data)(sample, 0).order for sample in suite.samples(data)} == {None}


# --- check --------------------------------------------------------------------------------------------------


def bundled(suite: Suite) -> Data:
    """Return the bundled items of a suite."""
    return Data(suite=suite.name, sample=True)


def constant_scorer(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
    """Score every reply as right."""
    return Score(value=1.0, verdict="right")


def test_check_names_the_sample_whose_ideal_reply_is_not_right() -> None:
    suite = toy.suite(3, ideal=lambda sample, prompt: "B" if sample.id == "q001" else str(sample.target))
    result = check(suite, ANY_DATA)
    assert (result.samples, len(result.faults)) == (3, 1)
    assert result.faults[0].startswith("q001: exact gives the ideal reply 0.0 (wrong")


def test_check_stops_after_twenty_faults() -> None:
    assert len(check(toy.suite(50, ideal=lambda sample, prompt: ""), ANY_DATA).faults) == 20


def test_check_accepts_an_ideal_reply_with_an_error_of_0() -> None:
    def absolute_error(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        return Score(value=abs(float(reply.text) - 3.0), verdict="graded")

    suite = toy.suite(
        2,
        scorers={"error": absolute_error},
        metrics=(toy.MAE,),
        ideal=lambda sample, prompt: "3",
        protocol="strict",
    )
    assert check(suite, ANY_DATA).faults == ()


@pytest.mark.parametrize(
    "items",
    [
        [toy.sample("1"), toy.sample("1")],
        [toy.sample("1", target="C")],
        [toy.sample("1", target="a")],
        [toy.sample("1", target="AB")],
        [toy.sample("1", target="")],
        [Sample(id="1", target=())],
        [Sample(id="1", target=math.nan)],
        [Sample(id="1", target=math.inf)],
        [Sample(id="1", target=("A", "C"), choices=("x", "y"))],
    ],
    ids=[
        "duplicate id",
        "letter beyond the options",
        "lower-case letter",
        "two letters",
        "empty",
        "no letters",
        "nan",
        "inf",
        "one of two letters beyond the options",
    ],
)
def test_the_error_for_an_invalid_sample_states_its_fault(items: list[Sample]) -> None:
    with raises(DataError):
        list(checked_samples(toy.suite(items), ANY_DATA))


# --- hashes and versions -----------------------------------------------------------------------------------------------


def test_the_hash_does_not_depend_on_the_order_of_rows() -> None:
    items = toy.samples(20, groups=("x", "y"))
    shuffled = Random(1).sample(items, len(items))
    assert data_sha256(items) == data_sha256(shuffled)


@pytest.mark.parametrize(
    "other",
    [
        toy.sample("2"), toy.sample("1", target="B"), toy.sample("1", group="x"),
        Sample(id="1", target="A", choices=("yes", "No")), Sample(id="1", target="A", choices=("yes", "no"), unit="K"),
    ],
    ids=["id", "target", "group", "choices", "unit"],
)  # fmt: skip
def test_the_hash_depends_on_all_fields_that_scoring_uses(other: Sample) -> None:
    assert data_sha256([toy.sample("1")]) != data_sha256([other])


def test_the_hash_does_not_depend_on_the_question() -> None:
    # a copy of the data without questions can be scored, and has the same hash
    assert data_sha256([toy.sample("1")]) == data_sha256([toy.sample("1", question="")])


def test_a_digest_can_be_read_before_it_is_complete() -> None:
    digest = Digest()
    digest.add(toy.sample("1"))
    first = digest.hexdigest()
    digest.add(toy.sample("2"))
    assert (first, digest.hexdigest()) == (
        data_sha256([toy.sample("1")]),
        data_sha256([toy.sample("1"), toy.sample("2")]),
    )


def test_the_version_of_a_scorer_includes_its_parameters() -> None:
    first, second = (toy.suite(scorers={"exact": toy.Exact(n)}).scorer_versions() for n in (1, 2))
    assert first == {"exact": "Exact(1)@1"}
    assert first != second
    assert toy.suite(scorers={"f": constant_scorer}).scorer_versions() == {"f": "constant_scorer@1"}


@pytest.mark.parametrize(
    ("spec", "protocol"),
    [
        ("mmlu-por", None),
        ("gpqa:diamont", None),
        ("gpqa:", None),
        ("aime", "offical"),
    ],
)
def test_the_error_for_an_unknown_name_lists_similar_or_known_names(spec: str, protocol: str | None) -> None:
    with raises(UnknownName):
        load.suite(spec, protocol)


def test_suite_names_ignore_case_and_the_kind_of_hyphen() -> None:
    assert [s.id for s in load.suite("mmlu_pro")] == [s.id for s in load.suite("MMLU-Pro")] == ["mmlu-pro"]
