"""A run held against a published number, and a published number measured again."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from evals.records.card import Card
from evals.types import Estimate, Sampling
from evals.verdicts import reported as claims
from evals.verdicts.reported import Claim
from evals.verdicts.reproduction import (
    check_claims,
    measured_scores,
    relevant_conditions,
    rounding_error,
    same_model,
)
from tests.support import toy
from tests.support.command import evals
from tests.support.paths import ROOT

CLAIM = Claim(
    model="Intern-S1",
    suite="toy",
    benchmark="Toy",
    protocol="strict",
    value=0.835,
    unit="fraction",
    source="https://example.org",
    date=date(2026, 1, 1),
    knobs={"temperature": 0.7, "repeats": 1},
)


def card(value: float | None = 0.83, low: float = 0.82, high: float = 0.84, **changes: Any) -> Card:
    config = toy.config(sampling=Sampling(temperature=0.7))
    estimate = Estimate(
        metric="accuracy", group="", value=value, low=low, high=high, worst=None, best=None, n=100, clusters=100,
        unit="fraction", better="higher", method="Wilson", headline=True,
    )  # fmt: skip
    found = Card(run="r", config=config, model="internlm/intern_s1", coverage=1.0, estimates=(estimate,))
    return structs.replace(found, **changes)


def finding(one: Card, claim: Claim = CLAIM, model: str = "Intern-S1") -> Any:
    ((found,),) = [check_claims(m, {"c": claim}, model) for m in measured_scores([one], [])]
    return found


def judged(value: float, noise: float, **options: Any) -> Any:
    (one,) = measured_scores([card(value)], [])
    one = structs.replace(one, noise=noise, noise_from="own repeats")
    ((found,),) = [check_claims(one, {"c": CLAIM}, "Intern-S1", **options)]
    return found


def test_a_small_difference_under_small_noise_is_equivalent() -> None:
    found = judged(0.83, 0.003)
    assert (found.verdict, round(found.difference, 9), found.within) == ("equivalent", -0.005, 0.02)
    half = 0.0005 + NormalDist().inv_cdf(0.975) * 2**0.5 * 0.003
    assert (found.difference_low, found.difference_high) == pytest.approx((-0.005 - half, -0.005 + half))
    assert found.unknown == ("top_p", "top_k", "max_tokens", "thinking", "judge")


def test_a_difference_beyond_noise_is_different_by_so_many_points() -> None:
    found = judged(0.80, 0.005)
    assert (found.verdict, round(100 * found.difference, 6)) == ("different", -3.5)


def test_what_noise_hides_is_inconclusive_and_says_what_would_have_been_seen() -> None:
    found = judged(0.80, 0.02)
    assert found.verdict == "inconclusive"
    assert found.detectable == pytest.approx(0.0005 + 2**0.5 * 0.02 * (1.959964 + 0.841621), abs=1e-6)
    assert finding(card()).noise_from.startswith("not measured")


def test_the_caller_says_what_counts_as_no_difference() -> None:
    assert judged(0.83, 0.003, margin=0.006).verdict == "inconclusive"
    assert judged(0.80, 0.01, margin=0.08).verdict == "equivalent"


@pytest.mark.slow
def test_a_real_shift_of_five_points_is_hardly_ever_equivalent() -> None:
    # 198 items: the case, in which "consistent" was said of 69 %
    rng = np.random.default_rng(4)
    chance = rng.beta(1, 0.5, 198)
    noise = float(np.sqrt((chance * (1 - chance)).sum()) / 198)
    here = rng.binomial(1, np.clip(chance - 0.05 * chance / chance.mean(), 0, 1), (2000, 198)).mean(axis=1)
    there = rng.binomial(1, chance, (2000, 198)).mean(axis=1)
    found = [
        check_claims(
            structs.replace(measured_scores([card(float(a))], [])[0], noise=noise),
            {"c": structs.replace(CLAIM, value=round(float(b), 3))},
            "Intern-S1",
            margin=0.05,
        )[0].verdict
        for a, b in zip(here, there, strict=True)
    ]
    assert found.count("equivalent") / len(found) <= 0.06


def test_the_last_printed_digit_is_allowed_for() -> None:
    assert judged(0.83, 1e-9, margin=0.0056).verdict == "equivalent"
    assert judged(0.83, 1e-9, margin=0.0054).verdict == "different"  # 83.5 may have been 83.45 or 83.55
    assert judged(0.8346, 1e-9, margin=0.0001).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("value", "unit", "half"),
    [
        (0.835, "fraction", 0.0005),
        (0.77, "fraction", 0.0005),
        (0.4717, "fraction", 0.00005),
        (103.512486, "MPa", 5e-7),
    ],
)
def test_half_of_the_last_digit(value: float, unit: str, half: float) -> None:
    assert rounding_error(structs.replace(CLAIM, value=value, unit=unit)) == pytest.approx(half)


@pytest.mark.parametrize(("digits", "half"), [(0, 0.005), (1, 0.0005), (2, 0.00005)])
def test_a_zero_that_is_printed_counts(digits: int, half: float) -> None:
    assert rounding_error(structs.replace(CLAIM, value=0.8, digits=digits)) == pytest.approx(half)


@pytest.mark.parametrize(
    ("one", "claim", "because"),
    [
        (card(), structs.replace(CLAIM, protocol=""), "the claim's protocol is not known"),
        (card(), structs.replace(CLAIM, protocol="intern-s1"), "protocol strict here, intern-s1 there"),
        (card(), structs.replace(CLAIM, unit="MPa"), "accuracy in fraction here, MPa there"),
        (card(data="sample"), CLAIM, "sample items here"),
        (card(coverage=0.9), CLAIM, "coverage 90.0 % here"),
        (card(config=toy.config(limit=5, sampling=Sampling(temperature=0.7))), CLAIM, "a subset here"),
        (card(config=toy.config(sampling=Sampling(temperature=0.0))), CLAIM, "temperature 0.0 here, 0.7 there"),
        (card(config=toy.config(), origin="import replies"), CLAIM, "temperature unknown here, 0.7 there"),
        (card(None), CLAIM, "nothing was scored"),
    ],
)  # fmt: skip
def test_what_is_not_the_same_is_not_compared_and_says_why(one: Card, claim: Claim, because: str) -> None:
    found = finding(one, claim)
    assert found.verdict == "not comparable"
    assert any(because in reason for reason in found.because), found.because


def test_spellings_of_one_model_and_two_models() -> None:
    assert same_model("internlm/Intern-S1", "intern_s1")
    assert not same_model("Intern-S1", "Intern-S1-mini")


def test_a_judge_that_is_not_named_is_among_the_unknown() -> None:
    claim = claims.claims_by_id()["intern-s1/mmlu-pro"]
    done = evals("claims", "show", "intern-s1/mmlu-pro", "--json")
    assert done.json["unknown"] == ["top_k", "judge"]
    assert claim.knobs["max_tokens"] == 65_536
    assert claim.told.endswith("eval_bench_intern_s1.py")


def test_where_nobody_says_how_it_was_done_the_judge_is_unknown_too_and_a_rule_has_none() -> None:
    known = claims.claims_by_id()
    assert relevant_conditions(known["intern-s1-pro/matbench"])[-1] == "judge"  # its protocol is not known
    assert relevant_conditions(known["intern-s1/proteinlmbench"])[-1] == "judge"  # its suite is not ours
    assert known["intern-s1/ifeval"].knobs["judge"] == known["intern-s1-mini/ifeval"].knobs["judge"] == "none"


def asked(model: str = "server:x#y", origin: str = "run", suite: str = "chembench:lamalab") -> Any:
    """Give the finding of a run that asked by the authors' protocol."""
    config = structs.replace(toy.config(), suite=suite, protocol="official", model=model)
    claim = structs.replace(CLAIM, suite=suite, protocol="official", knobs={})
    return finding(card(config=config, origin=origin), claim)


def test_what_was_asked_in_our_sentences_is_no_measure_of_what_was_asked_in_the_authors() -> None:
    found = asked()
    assert found.verdict == "not comparable"
    assert found.because == (
        "prompts are reworded here (official keeps the authors' rule and settings), the original ones there",
    )
    assert (found.claimed, found.measured) == (0.835, 0.83)


def test_replies_that_their_authors_recorded_and_models_that_read_no_words_compare() -> None:
    assert asked(origin="import chembench").verdict != "not comparable"
    assert asked("baseline:mean", suite="matbench:steels").verdict != "not comparable"
    assert asked(suite="smolinstruct:NC-I2F").verdict != "not comparable"  # its questions are the data's


def test_every_claim_has_an_id_of_its_own() -> None:
    assert len(claims.claims_by_id()) == len(claims.load_claims())


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A results folder with a claim of its own about the sample items, which are local data here."""
    (tmp_path / "r" / "claims").mkdir(parents=True)
    (tmp_path / "r" / "claims" / "own.toml").write_text(
        '[[claim]]\nsuite = "mmlu-pro"\nbenchmark = "x"\nprotocol = "strict"\nsource = "https://example.org"\n'
        "knobs = { temperature = 0.25 }\npercent = { scripted = 12.5, rival = 99.0, other = 50.0 }\n"
    )
    return tmp_path / "r"


SAMPLES = ROOT / "suites" / "samples"


def test_a_claim_is_measured_again_under_its_conditions(own: Path) -> None:
    words = ("-m", "scripted:ANSWER: B", "--results", own, "--data", SAMPLES)
    done = evals("claims", "reproduce", "scripted/mmlu-pro", *words)
    assert done.status == 3, done.err
    assert "scripted/mmlu-pro: inconclusive: a difference below" in done.out
    assert "not stated by the source: top_p" in done.out
    (path,) = own.glob("mmlu-pro@*/*/*/card.json")
    assert json.loads(path.read_text())["config"]["sampling"]["temperature"] == 0.25
    assert evals("claims", "check", path.parent, "--results", own).status == 3
    assert evals("claims", "check", path.parent, "--results", own, "--model", "rival").status == 1
    again = evals("claims", "reproduce", "rival/mmlu-pro", *words)
    assert again.status == 1
    assert "difference" in again.out


def test_sample_items_reproduce_nothing(own: Path) -> None:
    done = evals(
        "claims", "reproduce", "scripted/mmlu-pro", "-m", "scripted:ANSWER: B", "--results", own, "--sample"
    )
    assert done.status == 3
    assert "not comparable: sample items here" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("claims", "show", "intern-s2/mmlu"), "unknown claim"),
        (("claims", "show", "intern-s1"), "is a prefix of"),
        (("claims", "list", "--suite", "mmlu"), "did you mean"),
        (
            ("claims", "reproduce", "intern-s1-pro/mathvision", "-m", "scripted:x"),
            "its protocol is unknown",
        ),
        (("claims", "check", "nobody"), "no results folder"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], said: str, here: Path) -> None:
    assert said in evals(*words).error_line


def test_a_run_of_which_nothing_is_published_says_so(tmp_path: Path) -> None:
    evals("run", "mmlu-pro", "--sample", "-m", "scripted:x", "--results", tmp_path)
    name = next(tmp_path.glob("mmlu-pro@*/*/*"))
    said = evals("claims", "check", name, "--results", tmp_path).error_line
    assert "no published number for scripted on mmlu-pro" in said
    said = evals("claims", "check", name, "--results", tmp_path, "--model", "o33").error_line
    assert "no published number for o33 on mmlu-pro" in said


def test_a_claim_of_a_suite_that_does_not_exist_here_cannot_be_measured(tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "own.toml").write_text(
        '[[claim]]\nsuite = "nowhere"\nbenchmark = "Nowhere"\nprotocol = "official"\n'
        'source = "https://example.org"\npercent = { "Own" = 50.0 }\n'
    )
    done = evals("claims", "reproduce", "own/nowhere", "-m", "scripted:x", "--results", tmp_path)
    assert (done.status, "there is no suite nowhere" in done.error_line) == (2, True)
