"""Published numbers: read, kept apart by protocol, each with its source."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from evals.errors import DataError
from evals.verdicts import reported as claims
from tests.support.command import evals
from tools import make_claims


def one(model: str, suite: str, **wanted: object) -> claims.Claim:
    (found,) = [
        c
        for c in claims.load_claims()
        if (c.model, c.suite) == (model, suite) and all(getattr(c, k) == v for k, v in wanted.items())
    ]
    return found


def test_the_shipped_file_is_what_the_script_makes_of_the_shared_table(shared: Path) -> None:
    assert make_claims.TARGET.read_text(encoding="utf-8") == make_claims.file_content(shared)


def shipped() -> list[claims.Claim]:
    """Those of the Intern-S1 family's tables."""
    return claims.read(make_claims.TARGET)


def test_no_published_number_is_lost(shared: Path) -> None:
    printed = Counter((row.model, row.benchmark, float(row.score)) for row in make_claims.rows(shared))
    assert printed == Counter((c.model, c.benchmark, round(c.value * 100, 4)) for c in shipped())


def test_every_claim_says_what_it_is_and_where_it_stands() -> None:
    found = shipped()
    assert len(found) > 400
    assert all(c.model and c.suite and c.source.startswith("https://") and c.unit for c in found)
    assert {c.benchmark for c in found if c.date is None} == {
        "Physics"
    }  # of a commit whose date is not known
    assert all(c.superseded for c in found if c.date is None)


def test_two_spellings_are_one_suite() -> None:
    assert {c.benchmark for c in claims.load_claims() if c.suite == "mmlu-pro"} == {"MMLU-Pro", "MMLU Pro"}
    assert {c.benchmark for c in claims.load_claims() if c.suite == "aime:2025"} == {"AIME2025", "AIME-2025"}
    assert len({c.suite for c in shipped()}) == 45


def test_the_table_of_the_first_release_has_its_protocol_and_both_dates() -> None:
    found = one("Intern-S1", "chembench:4k")
    assert (found.value, found.protocol, found.date) == (0.834, "intern-s1", date(2026, 5, 19))
    assert found.first == date(2025, 7, 26)


def test_a_number_read_off_a_picture_has_no_protocol() -> None:
    assert one("Intern-S1-Pro", "mathvision").protocol == ""


def test_a_number_keeps_the_digits_that_are_printed() -> None:
    assert [one(m, "aime:2025").digits for m in ("Intern-S1", "Intern-S1-mini")] == [1, 0]  # 86.0 and 80
    preview = [c for c in shipped() if c.source.endswith("s2_preview_performance.png")]
    assert Counter(c.digits for c in preview) == {2: 184, 1: 1}


def test_what_is_known_to_be_open_is_said() -> None:
    xlrs = one("Intern-S1-mini", "xlrs:lite")
    assert (xlrs.protocol, "14.51" in xlrs.note) == ("", True)  # VLMEvalKit's issue 1331
    for suite in ("smolinstruct", "matbench"):
        assert "formula is not stated" in one("Intern-S1", suite).note
    assert "guide states 1.0" in one("Intern-S1", "mmlu-pro").note
    assert one("o3", "mmlu-pro").note == ""
    assert one("Intern-S1-Pro", "smolinstruct").knobs == {"temperature": 0.8, "max_tokens": 65_536}
    assert "off for scientific benchmarks" in one("Intern-S1-Pro", "smolinstruct").note
    later = [
        c for c in shipped() if c.model == "Intern-S1-Pro" and c.source.endswith("s2_preview_performance.png")
    ]
    assert not any(c.knobs for c in later)


def test_a_superseded_number_says_so() -> None:
    assert one("GLM-4.1V", "physics:all", superseded=True).value == 0.043
    assert one("GLM-4.1V", "physics:all", superseded=False).value == 0.283


def test_a_folder_of_results_may_add_its_own(tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "ours.toml").write_text(
        '[[claim]]\nsuite = "matbench:steels"\nbenchmark = "steels"\nsource = "https://example.org"\n'
        'values = { "ours" = 95.2 }\nunit = "MPa"\n[claim.knobs]\nrepeats = 4\n'
    )
    (found,) = [c for c in claims.load_claims(tmp_path) if c.model == "ours"]
    assert (found.value, found.unit, found.knobs, found.date) == (95.2, "MPa", {"repeats": 4}, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[claim", "claims.toml"),
        ('[[claim]]\nsuite = "x"\n', "the key 'benchmark' is missing"),
        ('[[claim]]\nsuite = "x"\nbenchmark = "x"\nsource = "y"\n', "set `percent`"),
        ('[[claim]]\nsuite = "x"\nbenchmark = "x"\nsource = "y"\nscore = 1\n', "unknown key 'score'"),
        ('[[claim]]\nsuite = "x"\nbenchmark = "x"\nsource = "y"\npercent = { m = nan }\n', "m: NaN is not"),
        (
            '[[claim]]\nsuite = "x"\nbenchmark = "x"\nsource = "y"\nvalues = { m = 1.0 }\n',
            "with their `unit`",
        ),
    ],
    ids=["no toml", "no benchmark", "no number", "a misspelt key", "nan", "no unit"],
)
def test_a_fault_names_the_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        claims.read(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_nine_of_ten_published_numbers_have_a_protocol_card() -> None:
    """Of each the conditions are known, inferred or listed as not known; a card holds at least one of the first two."""
    published = claims.load_claims()
    with_card = [claim for claim in published if claim.knobs or claim.inferred]
    assert len(published) > 1_300
    assert len(with_card) >= 0.95 * len(published)


@pytest.mark.parametrize(
    ("items", "status", "says"),
    [
        ("", 0, "not tested: the number of items is unknown"),
        ("items = -3\n", 2, "Expected `int` >= 0"),
        ('items = "many"\n', 2, "Expected `int`, got `str`"),
    ],
)
def test_a_claim_without_a_number_of_items_is_one_line(
    tmp_path: Path, items: str, status: int, says: str
) -> None:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "own.toml").write_text(
        f'[[claim]]\nsuite = "novel"\nbenchmark = "Novel"\nsource = "https://example.org"\n{items}percent = {{ m = 51.23 }}\n'
    )
    done = evals("claims", "check", "--grid", "--suite", "novel", "--results", tmp_path)
    assert (done.status, says in done.out + done.err) == (status, True)
    assert "Traceback" not in done.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["claims", "own.toml"]
