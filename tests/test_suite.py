"""Every suite, variant and protocol: sound on the bundled items and on the real data, where these are at hand."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
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
from tests.support.tables import table

NAMES = load.suite_names()
BUNDLED = [name for name in NAMES if Data(suite=name, sample=True).folder().is_dir()]
ALL = [
    (f"{name}:{variant}" if variant else name, protocol)
    for name in NAMES
    for variant in load.listing(name).variants
    for protocol in load.listing(name).protocols
]
ENGINES = {
    "smolinstruct": "rdkit",
    "mol-instructions": "selfies",
    "matbench": "pymatgen",
    "physics": "math_verify",
}
"""Suites whose scorers need an extra."""
READ_AS_THEY_ARE = {
    (name, p)
    for name in ("smolinstruct", "mol-instructions", "matbench")
    for p in ("intern-s1", "intern-s1~")
}
"""Upstream's rules that do not ask whether a filter cut the reply off."""
ANY = Data(suite="toy", sample=True)


def one(spec: str, protocol: str) -> Suite:
    (found,) = load.suite(spec, protocol)
    return found


def every(name: str) -> list[Suite]:
    """All variants of a suite under all protocols; those that are refused, for a package that is missing, score nothing."""
    engine = ENGINES.get(name)
    if engine is not None and find_spec(engine) is None:
        pytest.skip(f"{name} is judged with {engine}, which is not installed")
    suites = (one(spec, protocol) for spec, protocol in ALL if spec.partition(":")[0] == name)
    return [suite for suite in suites if not suite.refuses]


def faults(suites: Iterable[Suite], data: Data) -> dict[tuple[str, str], tuple[str, ...]]:
    """What `check` finds, by variant and protocol; a variant that is not in the data is left out."""
    found = {}
    for suite in suites:
        if data.local is not None and not holds(suite, data):
            continue
        result = check(suite, data)
        assert result.samples > 0
        listed = load.listing(suite.name)
        if data.local is not None and suite.protocol == listed.protocols[0]:
            assert result.samples == listed.variants[suite.variant]
        if result.faults:
            found[suite.id, suite.protocol] = result.faults
    return found


def holds(suite: Suite, data: Data) -> bool:
    try:
        next(iter(suite.samples(data)))
    except DataError:
        return False
    return True


# --- all of them --------------------------------------------------------------------------------------------


@table("name", BUNDLED)
def test_ideal_replies_to_the_bundled_items_score_full_marks(name: str) -> None:
    assert faults(every(name), Data(suite=name, sample=True)) == {}


SEVERAL = [name for name in NAMES if len(load.listing(name).protocols) > 1]
BY_DEFAULT = [
    *((name, True) for name in NAMES),
    *(pytest.param(name, False, marks=pytest.mark.slow) for name in SEVERAL),
]


@pytest.mark.parametrize(("name", "default"), BY_DEFAULT)
def test_ideal_replies_to_the_real_data_score_full_marks(mirror: Path, name: str, default: bool) -> None:
    """Of the default protocol; the slow instance is of the others."""
    data = Data(suite=name, local=mirror)
    first = load.listing(name).protocols[0]
    suites = [suite for suite in every(name) if (suite.protocol == first) == default]
    if not any(holds(suite, data) for suite in suites):
        pytest.skip(f"the shared data hold no {name}")
    assert faults(suites, data) == {}


@table(("spec", "protocol"), ALL)
def test_a_suite_is_well_formed(spec: str, protocol: str) -> None:
    suite = one(spec, protocol)
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


HOSTILE = ("", "A", "I refuse.", "\\boxed{", "ANSWER: Z", "9" * 5000, "{" * 2000, "a\x00b", "答案是")


@table("name", BUNDLED)
def test_a_reply_of_another_kind_never_breaks_a_scorer(name: str) -> None:
    for suite in every(name):
        samples = [s for s, _ in zip(suite.samples(bundled(suite)), range(3), strict=False)]
        for sample, text, scorer in product(samples, HOSTILE, suite.scorers.values()):
            for stop in ("stop", "length", "filter"):
                rule = scorer.rule if isinstance(scorer, TwoStage) else scorer
                score = rule(sample, Prompt(), Reply(text=text, stop=stop))
                assert isinstance(score, Score)
                if not text or (stop == "filter" and (name, suite.protocol) not in READ_AS_THEY_ARE):
                    assert score.verdict not in ("right", "wrong"), (suite.id, text, score)


OPEN = (
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
"""Suites without options."""


@table("name", sorted({*BUNDLED} - {*OPEN}))
def test_a_letter_is_read_in_the_order_in_which_the_options_were_shown(name: str) -> None:
    judged = 0
    for suite, scorer in [(one, scorer) for one in every(name) for scorer in one.scorers.values()]:
        rule = getattr(scorer, "rule", scorer)
        for sample in checked_samples(suite, Data(suite=name, sample=True)):
            if (
                len(sample.choices) < 2
                or not isinstance(sample.target, str)
                or iscoroutinefunction(rule.__call__)
            ):
                continue
            prompt = Prompt(order=tuple(reversed(range(len(sample.choices)))))
            as_given = suite.ideal(sample, Prompt())
            as_shown = re.sub(rf"\b{sample.target}\b", prompt.shown_letter(sample.target), as_given)
            if as_shown != as_given:
                judged += 1
                said = rule(sample, prompt, Reply(text=as_shown))
                assert isinstance(said, Score)
                assert (said.verdict, said.value) == ("right", 1.0), (suite.id, suite.protocol, sample.id)
                assert (said.answer or sample.target).upper() == sample.target
                assert rule(sample, prompt, Reply(text=as_given)).value != 1.0
    assert judged


@pytest.mark.parametrize("name", ["mmlu-pro", "gpqa", "aime"])
@pytest.mark.parametrize("protocol", ["strict", "official"])
def test_asking_again_asks_the_same(name: str, protocol: str) -> None:
    for suite in load.suite(name, protocol):
        data = bundled(suite)
        first, second = suite.prompter(data), suite.prompter(data)
        asked = [(sample, repeat) for sample in suite.samples(data) for repeat in (0, 1)]
        prompts = [first(*a) for a in asked]
        assert [second(*a) for a in reversed(asked)] == prompts[::-1]  # no draw depends on an earlier one
        for (sample, _), prompt in zip(asked, prompts, strict=True):
            assert plain_text(sample.question) in plain_text(prompt.messages[-1].parts)


@pytest.mark.parametrize("name", ["mmlu-pro", "gpqa", "aime"])
def test_the_published_protocol_wants_a_judge(name: str) -> None:
    for suite in load.suite(name, "intern-s1"):
        assert suite.judged
        assert not suite.refuses


def test_mmlu_pro_hashes_to_what_is_pinned(mirror: Path) -> None:
    suite = one("mmlu-pro", "strict")
    samples, digest = read_samples(suite, Data(suite="mmlu-pro", local=mirror))
    samples.close()
    assert digest == suite.sha256


@pytest.mark.parametrize("year", ["2024", "2025"])
def test_aime_hashes_to_what_is_pinned(mirror: Path, year: str) -> None:
    suite = one(f"aime:{year}", "strict")
    assert data_sha256(suite.samples(Data(suite="aime", local=mirror))) == suite.sha256


# --- orders -------------------------------------------------------------------------------------------------


def test_official_gpqa_draws_its_orders_as_simple_evals_does(monkeypatch: pytest.MonkeyPatch) -> None:
    # gpqa_eval.py: examples * n_repeats, then a permutation for each, one after the other, from Random(0)
    generator = Random(0)
    upstream = [tuple(generator.sample(range(4), 4)) for _ in range(4 * 198)]
    monkeypatch.setattr(gpqa, "_samples", lambda data, variant: iter(range(198)))

    def orders(*places: tuple[int, int]) -> list[tuple[int, ...] | None]:
        prompt = gpqa._official_prompter(ANY, "diamond")
        rows = [Sample(id="x", target="A", choices=tuple("abcd"), meta={"row": row}) for _, row in places]
        return [prompt(row, repeat).order for row, (repeat, _) in zip(rows, places, strict=True)]

    assert orders(*((repeat, row) for repeat in range(4) for row in range(198))) == upstream
    late = orders((3, 197), (1, 5))  # a subset asks for some of them, in any order
    assert late == [upstream[-1], upstream[198 + 5]]


def test_official_gpqa_keeps_its_orders_under_a_limit() -> None:
    suite = one("gpqa:diamond", "official")
    data = bundled(suite)
    rows = len(list(suite.samples(data)))
    generator = Random(0)
    orders = [tuple(generator.sample(range(4), 4)) for _ in range(2 * rows)]
    last = list(suite.samples(data))[-1]
    assert suite.prompter(data)(last, 1).order == orders[-1]


def test_strict_gpqa_shows_the_gold_answer_at_every_place() -> None:
    suite = one("gpqa:extended", "strict")
    data = bundled(suite)
    ask = suite.prompter(data)
    shown = [ask(s, repeat).shown_letter("A") for s in suite.samples(data) for repeat in range(20)]
    expected = len(shown) / 4
    assert all(abs(shown.count(letter) - expected) < 5 * math.sqrt(expected) for letter in "ABCD")


def test_strict_mmlu_pro_keeps_the_data_sets_order() -> None:
    suite = one("mmlu-pro", "strict")
    data = bundled(suite)
    assert {suite.prompter(data)(sample, 0).order for sample in suite.samples(data)} == {None}


# --- check --------------------------------------------------------------------------------------------------


def bundled(suite: Suite) -> Data:
    return Data(suite=suite.name, sample=True)


def made_of(*items: Sample) -> Callable[[Data], list[Sample]]:
    return lambda data: list(items)


def test_check_names_the_sample_whose_ideal_reply_is_not_right() -> None:
    suite = toy.suite(3, ideal=lambda sample, prompt: "B" if sample.id == "q001" else str(sample.target))
    found = check(suite, ANY)
    assert (found.samples, len(found.faults)) == (3, 1)
    assert found.faults[0].startswith("q001: exact gives the ideal reply 0.0 (wrong")


def test_check_gives_up_after_twenty_faults() -> None:
    assert len(check(toy.suite(50, ideal=lambda sample, prompt: ""), ANY).faults) == 20


def test_the_ideal_of_an_error_is_nought() -> None:
    def error_of(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        return Score(value=abs(float(reply.text) - 3.0), verdict="graded")

    found = toy.suite(
        2,
        scorers={"error": error_of},
        metrics=(toy.MAE,),
        ideal=lambda sample, prompt: "3",
        protocol="strict",
    )
    assert check(found, ANY).faults == ()


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([toy.sample("1"), toy.sample("1")], "sample id '1' occurs twice"),
        ([toy.sample("1", target="C")], "gold answer 'C' is not one of its 2 choices"),
        ([toy.sample("1", target="a")], "gold answer 'a' is not one of its 2 choices"),
        ([toy.sample("1", target="AB")], "gold answer 'AB' is not one of its 2 choices"),
        ([toy.sample("1", target="")], "there is no gold answer"),
        ([Sample(id="1", target=())], "there is no gold answer"),
        ([Sample(id="1", target=math.nan)], "the gold answer is nan"),
        ([Sample(id="1", target=math.inf)], "the gold answer is inf"),
        ([Sample(id="1", target=("A", "C"), choices=("x", "y"))], "gold answer 'C' is not one"),
    ],
)
def test_an_impossible_sample_is_refused_by_name(items: list[Sample], said: str) -> None:
    with pytest.raises(DataError, match=said):
        list(checked_samples(toy.suite(items), ANY))


# --- identity -----------------------------------------------------------------------------------------------


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
def test_the_hash_sees_all_that_scoring_rests_on(other: Sample) -> None:
    assert data_sha256([toy.sample("1")]) != data_sha256([other])


def test_the_hash_does_not_see_the_question() -> None:
    # a copy without questions can be scored, and is the same data
    assert data_sha256([toy.sample("1")]) == data_sha256([toy.sample("1", question="")])


def test_a_digest_may_be_looked_at_in_between() -> None:
    digest = Digest()
    digest.add(toy.sample("1"))
    first = digest.hexdigest()
    digest.add(toy.sample("2"))
    assert (first, digest.hexdigest()) == (
        data_sha256([toy.sample("1")]),
        data_sha256([toy.sample("1"), toy.sample("2")]),
    )


def test_a_scorers_rule_shows_in_its_version() -> None:
    one, two = (toy.suite(scorers={"exact": toy.Exact(n)}).scorer_versions() for n in (1, 2))
    assert one == {"exact": "Exact(1)@1"}
    assert one != two
    assert toy.suite(scorers={"f": made_of}).scorer_versions() == {"f": "made_of@1"}


@pytest.mark.parametrize(
    ("spec", "protocol", "said"),
    [
        ("mmlu-por", None, "unknown suite 'mmlu-por'; did you mean mmlu-pro"),
        ("gpqa:diamont", None, "unknown variant of gpqa 'diamont'; did you mean diamond"),
        ("gpqa:", None, "unknown variant of gpqa ''; known: diamond, extended, main"),
        ("aime", "offical", "unknown protocol of aime 'offical'; did you mean official"),
    ],
)
def test_a_wrong_name_suggests_the_right_one(spec: str, protocol: str | None, said: str) -> None:
    with pytest.raises(UnknownName) as caught:
        load.suite(spec, protocol)
    assert said in str(caught.value)


def test_hyphens_and_underscores_are_the_same() -> None:
    assert [s.id for s in load.suite("mmlu_pro")] == [s.id for s in load.suite("MMLU-Pro")] == ["mmlu-pro"]
