"""Reported scores of other sources (claims): the shipped files, their fields, and a results folder's own files."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from evals import load
from evals.commands.claims import _suite_runs as suite_runs_of
from evals.errors import DataError
from evals.records import store
from evals.verdicts import reported as claims
from evals.verdicts.reported import normalise_model_name
from evals.verdicts.reproduction import measured_scores
from tests.support.command import evals
from tests.support.error_messages import raises
from tools import make_claims


def find_claim(model: str, suite: str, **fields: object) -> claims.Claim:
    """Return the only claim with these values."""
    (claim,) = [
        c
        for c in claims.load_claims()
        if (c.model, c.suite) == (model, suite)
        and all(getattr(c, name) == value for name, value in fields.items())
    ]
    return claim


def test_the_shipped_file_is_generated_from_the_shared_table(shared: Path) -> None:
    assert make_claims.TARGET.read_text(encoding="utf-8") == make_claims.file_content(shared)


def shipped_claims() -> list[claims.Claim]:
    """Return the shipped claims from the Intern-S1 family's tables."""
    return claims.read(make_claims.TARGET)


def test_the_claims_contain_every_number_of_the_shared_table(shared: Path) -> None:
    published = Counter((row.model, row.benchmark, float(row.score)) for row in make_claims.rows(shared))
    assert published == Counter((c.model, c.benchmark, round(c.value * 100, 4)) for c in shipped_claims())


def test_every_claim_has_a_model_suite_source_and_unit() -> None:
    shipped = shipped_claims()
    assert len(shipped) > 400
    assert all(c.model and c.suite and c.source.startswith("https://") and c.unit for c in shipped)
    # superseded numbers of Physics come from a commit whose date is not known
    assert {c.benchmark for c in shipped if c.date is None} == {"Physics"}
    assert all(c.superseded for c in shipped if c.date is None)


def test_two_spellings_of_a_benchmark_are_one_suite() -> None:
    assert {c.benchmark for c in claims.load_claims() if c.suite == "mmlu-pro"} == {"MMLU-Pro", "MMLU Pro"}
    assert {c.benchmark for c in claims.load_claims() if c.suite == "aime:2025"} == {"AIME2025", "AIME-2025"}
    assert len({c.suite for c in shipped_claims()}) == 45


def test_no_claim_is_filed_under_another_spelling_of_a_suite_or_mean() -> None:
    names = {
        "mmmu:pro",
        "refcoco:avg",
        "xlrs:lite",
    }  # the name of a set, of a mean over all splits, of a variant
    for name in set(load.suite_names()) - {"lm-eval"}:
        benchmark = load.benchmark(name)
        names |= {name, *(f"{name}:{part}" for part in (*benchmark.variants, *benchmark.sets) if part)}
    by_letters = {normalise_model_name(name): name for name in names}
    suites = {claim.suite for claim in claims.load_claims()}
    assert suites > {"mmmu:pro", "refcoco:avg", "xlrs:lite"}
    assert {suite for suite in suites if by_letters.get(normalise_model_name(suite), suite) != suite} == set()


def test_claims_of_the_first_release_have_its_protocol_and_both_dates() -> None:
    claim = find_claim("Intern-S1", "chembench:4k")
    assert (claim.value, claim.protocol, claim.date) == (0.834, "intern-s1", date(2026, 5, 19))
    assert claim.first == date(2025, 7, 26)


def test_a_number_read_from_an_image_has_no_protocol() -> None:
    assert find_claim("Intern-S1-Pro", "mathvision").protocol == ""


def test_a_claim_records_the_number_of_printed_decimals() -> None:
    assert find_claim("Intern-S1", "aime:2025").digits == 1  # 86.0
    assert find_claim("Intern-S1-mini", "aime:2025").digits == 0  # 80
    preview = [c for c in shipped_claims() if c.source.endswith("s2_preview_performance.png")]
    assert Counter(c.digits for c in preview) == {2: 184, 1: 1}


def test_notes_state_what_is_unknown_about_a_number() -> None:
    xlrs = find_claim("Intern-S1-mini", "xlrs:lite", value=0.5163)
    assert (xlrs.protocol, "14.51" in xlrs.note) == ("", True)  # VLMEvalKit's issue 1331
    for suite in ("smolinstruct", "matbench"):
        assert "formula is not stated" in find_claim("Intern-S1", suite).note
    assert "guide states 1.0" in find_claim("Intern-S1", "mmlu-pro").note
    assert find_claim("o3", "mmlu-pro").note == ""
    assert find_claim("Intern-S1-Pro", "smolinstruct").knobs == {"temperature": 0.8, "max_tokens": 65_536}
    assert "off for scientific benchmarks" in find_claim("Intern-S1-Pro", "smolinstruct").note
    preview = [
        c
        for c in shipped_claims()
        if c.model == "Intern-S1-Pro" and c.source.endswith("s2_preview_performance.png")
    ]
    assert not any(c.knobs for c in preview)


def test_a_superseded_number_is_marked() -> None:
    assert find_claim("GLM-4.1V", "physics:all", superseded=True).value == 0.043
    assert find_claim("GLM-4.1V", "physics:all", superseded=False).value == 0.283


def test_a_results_folder_may_contain_claims_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "ours.toml").write_text(
        '[[claim]]\nsuite = "matbench:steels"\nbenchmark = "steels"\nsource = "https://example.org"\n'
        'values = { "ours" = 95.2 }\nunit = "MPa"\n[claim.knobs]\nrepeats = 4\n'
    )
    (claim,) = [c for c in claims.load_claims(tmp_path) if c.model == "ours"]
    assert (claim.value, claim.unit, claim.knobs, claim.date) == (95.2, "MPa", {"repeats": 4}, None)


@pytest.mark.parametrize(
    "text",
    [
        "[[claim",
        '[[claim]]\nsuite = "x"\n',
        '[[claim]]\nsuite = "x"\nbenchmark = "x"\nsource = "y"\n',
        '[[claim]]\nsuite = "x"\nbenchmark = "x"\nsource = "y"\nscore = 1\n',
        '[[claim]]\nsuite = "x"\nbenchmark = "x"\nsource = "y"\npercent = { m = nan }\n',
        '[[claim]]\nsuite = "x"\nbenchmark = "x"\nsource = "y"\nvalues = { m = 1.0 }\n',
    ],
    ids=["no toml", "no benchmark", "no number", "a misspelt key", "nan", "no unit"],
)
def test_an_invalid_claims_file_is_reported_with_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(text)
    with raises(DataError):
        claims.read(path)


def test_95_percent_of_published_numbers_have_a_known_condition() -> None:
    """At least one condition of the measurement is stated or inferred."""
    published = claims.load_claims()
    with_condition = [claim for claim in published if claim.knobs or claim.inferred]
    assert len(published) > 1_300
    assert len(with_condition) >= 0.95 * len(published)


@pytest.mark.parametrize("items", ["", "items = -3\n", 'items = "many"\n'], ids=["none", "-3", "many"])
def test_a_claim_without_a_valid_number_of_items_is_reported_without_a_traceback(
    tmp_path: Path, items: str
) -> None:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "own.toml").write_text(
        f'[[claim]]\nsuite = "novel"\nbenchmark = "Novel"\nsource = "https://example.org"\n{items}percent = {{ m = 51.23 }}\n'
    )
    outcome = evals("claims", "check", "--grid", "--suite", "novel", "--results", tmp_path)
    if items:
        outcome.assert_usage_error()
    else:
        assert outcome.status == 0
        assert "not tested: the number of items is unknown" in outcome.out
        assert "Traceback" not in outcome.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["claims", "own.toml"]


def test_the_noise_of_a_score_is_that_of_its_own_model_if_models_share_a_run_s_name(here: Path) -> None:
    models = ("-m", "demo:careful", "-m", "demo:careless")
    assert evals("run", "aime:2025", "--sample", *models, "--run", "both", "--quiet").status == 0
    runs = store.find(here / "results", "both")
    cards = [run.card for run in runs]
    assert len({card.model for card in cards}) == 2
    for score in measured_scores(cards, []):
        (suite_run,) = suite_runs_of(runs, score)
        assert suite_run.model == score.cards[0].model
