"""Errata for the numbers of the OptMerge paper: derived from its tables, and shown wherever the numbers are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.errors import DataError
from evals.verdicts import reported
from tests.support.command import evals
from tests.support.error_messages import raises
from tools import make_further_claims, optmerge_errata

FILE = make_further_claims.TARGET
HEAD = '[[claim]]\nsuite = "gqa"\nbenchmark = "GQA"\nsource = "https://example.org"\npercent = { "A" = 61.00, "B" = 62.00 }\n'


def test_the_errata_follow_from_the_papers_tables_and_the_authors_code(shared: Path) -> None:
    rows = make_further_claims.rows(shared)
    errata = optmerge_errata.errata(rows)
    gains = {
        optmerge_errata.table_of(source): text
        for (model, _, source), text in errata.items()
        if model.endswith(": OptMerge")
    }
    assert {table: text.partition(" points")[0] for table, text in gains.items()} == {
        "Table 2": "+0.44", "Table 3": "+1.42", "Table 5": "-0.34", "Table 6": "+0.12",
    }  # fmt: skip
    assert all(
        "not over the best rival (+0.51)" in gains[table] for table in ("Table 2", "Table 3", "Table 5")
    )
    impossible = sorted(
        text.rsplit(" is ", 1)[1] for text in errata.values() if text.startswith("no whole number")
    )
    assert impossible == ["26.95 %", "27.94 %", "27.95 %", "69.19 %", "79.67 %"]
    wrong_means = [(model, text) for (model, _, _), text in errata.items() if "have the mean" in text]
    assert wrong_means == [
        ("InternVL2.5-1B merge: TIES-Merging", "the ten columns of its row have the mean 56.60")
    ]
    assert sum("original code" in text for text in errata.values()) == 3


def test_the_claims_contain_all_numbers_of_the_papers_tables(shared: Path) -> None:
    paper_rows = [row for row in make_further_claims.rows(shared) if "2505.19892" in row.source]
    tables = {optmerge_errata.table_of(row.source) for row in paper_rows}
    assert {f"Table {number}" for number in range(2, 11)} <= tables
    claims = [claim for claim in reported.read(FILE) if "2505.19892" in claim.source]
    assert len(claims) == len(paper_rows)


def test_claims_list_and_claims_show_print_an_erratum() -> None:
    name = "internvl2.5-1b-merge-ties-merging/mergebench"
    shown = evals("claims", "show", name)
    assert "erratum          the ten columns of its row have the mean 56.60" in shown.out
    assert evals("claims", "show", name, "--json").json["claim"]["erratum"].endswith("56.60")
    listed = evals("claims", "list", "--suite", "mergebench", "--model", "InternVL2.5-1B merge: TIES-Merging")
    assert listed.out.rstrip().endswith("erratum")
    without_erratum = evals("claims", "show", "internvl2.5-1b-merge-iso-c/mergebench")
    assert "erratum" not in without_erratum.out


def test_claims_check_prints_the_erratum_of_the_number(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "own.toml").write_text(HEAD + 'errata = { "A" = "a typing mistake" }\n')
    evals("run", "gqa", "--sample", "-m", "scripted:yes", "--results", tmp_path, "--run", "mine")
    outcome = evals("claims", "check", "mine", "--model", "A", "--results", tmp_path)
    assert "    erratum: a typing mistake" in outcome.out
    (finding,) = evals("claims", "check", "mine", "--model", "A", "--results", tmp_path, "--json").json[
        "findings"
    ]
    assert finding["erratum"] == "a typing mistake"
    assert "erratum" not in evals("claims", "check", "mine", "--model", "B", "--results", tmp_path).out


@pytest.mark.parametrize(
    "line",
    [
        'notes = { "a" = "8 shots" }',
        'model_knobs = { "A-mini" = { temperature = 0.0 } }',
        'errata = { "a" = "x" }',
    ],
    ids=["notes", "knobs", "errata"],
)
def test_a_remark_on_a_model_without_a_number_is_an_error(tmp_path: Path, line: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f"{HEAD}{line}\n")
    with raises(DataError):
        reported.read(path)
    path.write_text(HEAD + line.replace('"a"', '"A"').replace("A-mini", "A") + "\n")
    assert reported.read(path)[0].model == "A"


def test_an_erratum_for_a_model_without_a_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(HEAD + f"errata = {{ {json.dumps('C' * 200)} = 'x' }}\n")
    with raises(DataError):
        reported.read(path)


def test_the_dashboard_shows_errata_beside_the_numbers(tmp_path: Path) -> None:
    pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")
    from evals.dashboard.tables import reported as tables

    path = tmp_path / "own.toml"
    path.write_text(HEAD + 'errata = { "A" = "a typing mistake" }\n')
    claims = reported.read(path)
    table = tables.table(claims, ["gqa"]).set_index("model")
    assert dict(table[tables.ERRATA]) == {"A": "gqa 61.0: a typing mistake", "B": ""}
    assert tables.ERRATA not in tables.table(claims[1:], ["gqa"]).columns
    assert "erratum: a typing mistake" in tables.claim_text(claims[0])
