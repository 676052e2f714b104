"""Formulas are compared by element counts, chemical names as text and, if OPSIN is installed, by structure."""

import json
import time
from pathlib import Path

import pytest

from evals.errors import ScorerError, UsageError
from evals.extract.chemical import stated_name
from evals.sandbox import Pool
from evals.scorers.formula import Formula, element_counts
from evals.scorers.names import Name, Opsin, normalise_name, opsin, opsin_installed
from evals.types import Prompt, Reply, Sample
from tests.support.cpu_time import assert_cpu_time
from tests.support.error_messages import raises
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = TESTS / "cases"


def cases(file):
    rows = [json.loads(line) for line in (CASES / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()]
    return [pytest.param(row, id=f"{i}-{row['source'][:40]}") for i, row in enumerate(rows, 1)]


def score_of(scorer, text, target):
    return scorer(Sample(id="1", target=target), Prompt(), Reply(text=text))


@table("case", cases("formula"))
def test_formulas_are_compared_by_element_counts(case):
    score = score_of(Formula(), f"<MOLFORMULA> {case['answer']} </MOLFORMULA>", case["target"])
    assert score.value == case["same"], score


@pytest.mark.parametrize("case", cases("name"))
def test_names_are_compared_after_normalisation(case):
    assert score_of(Name(), f"<IUPAC> {case['answer']} </IUPAC>", case["target"]).value == case["same"]


def test_the_explanation_lists_the_difference_for_each_element():
    assert score_of(Formula(), "C6H12", "C6H14O").why == "H 12, should be 14; O 0, should be 1"


@pytest.mark.parametrize("text", ["water", "", "((((", "C6H12)", "5", "C" * 5000, "Cl2.", "H2O and more"])
def test_text_that_is_not_a_formula_has_no_element_counts(text):
    assert element_counts(text) in (None, {"Cl": 2})


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<IUPAC> ethanol </IUPAC>", "ethanol"),
        ("It is **ethanol**.", "ethanol"),
        ("The IUPAC name is: propan-2-ol.", "propan-2-ol"),
        ("ethanol", "ethanol"),
        ("\\boxed{\\text{ethanol}}", "ethanol"),
        ("<IUPAC> ethyl (2S)-2-hydroxypropanoate </IUPAC>", "ethyl (2S)-2-hydroxypropanoate"),
        ("The IUPAC name is methyl (2E)-but-2-enoate (methyl crotonate).", "methyl (2E)-but-2-enoate"),
        ("IUPAC name: sodium (2S)-2-aminopropanoate", "sodium (2S)-2-aminopropanoate"),
        ("**propan-2-yl (4R)-4-methylhexanoate**", "propan-2-yl (4R)-4-methylhexanoate"),
        ("a long story\nof two lines", None),
        ("", None),
    ],
)
def test_the_stated_name_is_read_from_tags_markup_and_sentences(text, answer):
    reading = stated_name(text)
    assert (reading and reading.value) == answer


@pytest.mark.parametrize(
    "text", ["<IUPAC>" * 700_000, "<IUPAC>" + " " * 5_000_000, "**" * 2_500_000, "`" * 5_000_000]
)
def test_hostile_texts_are_scored_within_seconds(text):
    assert_cpu_time(2, lambda: score_of(Name(), text, "ethanol"))
    assert_cpu_time(2, lambda: score_of(Formula(), text, "C2H6O"))


def test_the_order_of_components_in_a_name_does_not_matter():
    assert normalise_name("sodium;acetate") == normalise_name("Acetate; sodium")


needs_opsin = pytest.mark.skipif(
    not opsin_installed(), reason="NOT TESTED: names by structure need py2opsin and Java"
)


@pytest.fixture
def name_parser():
    yield opsin()
    opsin().close()


@pytest.mark.slow
@needs_opsin
def test_a_synonym_is_correct_if_structures_are_compared(name_parser):
    scorer = Name(structure=True)
    assert scorer.heavy
    score = score_of(scorer, "<IUPAC> isopropanol </IUPAC>", "propan-2-ol")
    assert (score.value, score.why) == (1.0, "a different name of the same molecule")
    assert score.parts == {"string": 0.0, "name": 0.0, "structure": 1.0}
    score = score_of(scorer, "<IUPAC> (2S)-butan-2-ol </IUPAC>", "(2R)-butan-2-ol")
    assert (score.value, score.why[:28]) == (0.0, "right skeleton, wrong stereo")
    assert (
        score_of(scorer, "<IUPAC> gibberish </IUPAC>", "propan-2-ol").why
        == "a different name, which OPSIN cannot read"
    )


@pytest.mark.slow
@needs_opsin
def test_the_gold_smiles_is_preferred_to_the_gold_name(name_parser):
    sample = Sample(id="1", target="no name at all", meta={"smiles": "CC(C)O"})
    assert Name(structure=True)(sample, Prompt(), Reply(text="isopropanol")).value == 1.0


@pytest.mark.slow
@needs_opsin
@table("text", ["a\nb", "-" * 400, "(" * 400, "methyl" * 80, "\0", "; ; ;"])
def test_opsin_reads_the_next_name_after_a_malformed_one(name_parser, text):
    name_parser(text)
    assert name_parser("ethanol") in ("CCO", "C(C)O")


@pytest.mark.slow
@needs_opsin
def test_opsin_is_restarted_after_it_was_killed(name_parser):
    name_parser._process.kill()
    name_parser._process.wait()
    with raises(ScorerError):
        opsin()("ethanol")
    assert opsin()("ethanol")


@needs_opsin
def test_opsin_runs_in_the_process_group_of_a_worker_and_ends_with_it():
    with Pool(1, timeout_s=30) as pool:
        sample = Sample(id="1", target="propan-2-ol")
        assert pool.call(Name(structure=True), sample, Prompt(), Reply(text="isopropanol")).value == 1.0
        (pid,) = pool.pids()
        assert len(processes_in_group(pid)) == 2
    deadline = time.monotonic() + 10
    while processes_in_group(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_in_group(pid) == []


def processes_in_group(leader):
    """Return the ids of the live processes in a process group, read from /proc."""
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            pids.append(int(stat.parent.name))
    return pids


def test_without_java_the_error_names_the_chemistry_extra(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with raises(UsageError):
        Opsin()
