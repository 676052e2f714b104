"""Molecules: which SMILES is read, how closely it matches the gold molecule (its rung), the explanation given, and hostile replies."""

import asyncio
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.errors import ScorerError, UsageError
from evals.extract.molecules import stated_molecule
from evals.extract.smiles import looks_like_smiles
from evals.sandbox import Pool
from evals.scorers import molecule_forms
from evals.scorers.molecule import AtLeast, Molecule
from evals.scorers.molecule_forms import MoleculeForms, similarities
from evals.scorers.molecule_match import RUNGS, compare_molecules
from evals.types import Point, Prompt, Reply, Sample
from tests.support.cpu_time import assert_cpu_time
from tests.support.error_messages import raises
from tests.support.paths import TESTS
from tests.support.tables import table

pytest.importorskip("rdkit", reason="NOT TESTED: the extra `chemistry` is not installed")
CASES = TESTS / "cases"


def cases(name):
    rows = [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    return [pytest.param(row, id=f"{i}-{row['source'][:40]}") for i, row in enumerate(rows, 1)]


def score_of(text, target="CCO", scorer=None, **meta):
    sample = Sample(id="1", target=target, meta=meta)
    return (scorer or Molecule())(sample, Prompt(), Reply(text=text))


@table("case", cases("molecule_ladder"))
def test_answers_reach_the_expected_rung_for_the_expected_reason(case):
    match = compare_molecules(case["answer"], case["target"], several=case.get("several", False))
    assert match.name == case["rung"], match
    assert case.get("why", "") in match.why


@table("case", cases("molecule_ladder"))
def test_the_rung_is_the_same_if_answer_and_target_are_swapped(case):
    is_set = case.get("several", False)
    if MoleculeForms(case["answer"]).mol is not None:
        assert compare_molecules(case["target"], case["answer"], several=is_set).name == case["rung"]


@table("case", cases("molecule_reading"))
def test_the_stated_molecule_is_read(case):
    reading = stated_molecule(case["text"], is_set=case.get("several", False))
    assert (reading and reading.value) == case["answer"]


def test_a_different_smiles_of_the_same_molecule_is_right():
    score = score_of("<SMILES> OCC </SMILES>")
    assert (score.value, score.verdict, score.answer) == (1.0, "right", "OCC")
    assert score.parts == {
        "parsed": 1.0,
        "valid": 1.0,
        "rung": 4.0,
        "skeleton": 1.0,
        "morgan": 1.0,
        "rdk": 1.0,
        "maccs": 1.0,
    }


def test_the_explanation_names_a_wrong_stereocentre():
    score = score_of("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O")
    assert (score.value, score.verdict) == (0.0, "wrong")
    assert score.why == "right skeleton, wrong stereo: atom 2 (C) is S, should be R"
    assert score.parts["skeleton"] == 1.0


def test_a_scorer_can_accept_a_lower_rung():
    assert score_of("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", Molecule("no_stereo")).value == 1.0


def test_a_smiles_with_impossible_valences_is_invalid():
    score = score_of("<SMILES> CC(C)(C)(C)C </SMILES>")
    assert (score.value, score.verdict) == (0.0, "invalid")
    assert (score.parts["parsed"], score.parts["valid"]) == (1.0, 0.0)
    assert "morgan" not in score.parts


@pytest.mark.parametrize("text", ["I think so", "I", "", "No."])
def test_a_sentence_is_not_read_as_a_molecule(text):
    score = score_of(text, target="CCO")
    assert score.value == 0.0
    assert score.verdict in ("unanswered", "wrong")
    assert text == "I" or score.verdict == "unanswered"


@pytest.mark.parametrize(("stop", "verdict"), [("length", "truncated"), ("filter", "refused")])
def test_an_empty_reply_has_the_verdict_of_its_stop_reason(stop, verdict):
    score = Molecule()(Sample(id="1", target="CCO"), Prompt(), Reply(text="", stop=stop))
    assert score.verdict == verdict


def test_the_best_of_several_gold_answers_counts():
    assert score_of("<SMILES> CCN </SMILES>", also=["CCN"]).value == 1.0


def test_similarity_is_measured_to_the_most_similar_gold_answer():
    assert (
        score_of("<SMILES> CCCN </SMILES>", also=["CCN"]).parts["morgan"]
        > score_of("<SMILES> CCCN </SMILES>").parts["morgan"]
    )


def test_an_answer_identical_to_a_gold_answer_that_rdkit_cannot_read_is_right():
    assert score_of("<SMILES> C1CC </SMILES>", target="C1CC").verdict == "right"


def test_at_least_is_the_share_of_points_that_reach_a_rung():
    def point(rung, verdict="wrong", value=0.0):
        return Point(
            "1", 0, "", "", verdict, value, None, "", 0, {"rung": float(rung)} if verdict != "missing" else {}
        )

    points = [point(5), point(3), point(0), point(0, "missing", 1.0)]
    assert AtLeast("canonical")(points) == 0.5
    assert AtLeast("no_stereo")(points) == 0.75
    with raises(ValueError):
        AtLeast("canonical")([])


def test_without_rdkit_the_error_names_the_extra(monkeypatch):
    molecule_forms.rdkit.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "rdkit", None)
    with raises(UsageError):
        score_of("CCO")
    monkeypatch.undo()
    molecule_forms.rdkit.cache_clear()


def test_similarities_equal_those_of_rdkit():
    from rdkit import Chem, DataStructs
    from rdkit.Chem import MACCSkeys, rdFingerprintGenerator

    a, b = "CC(=O)Oc1ccccc1C(=O)O", "OC(=O)c1ccccc1O"
    mols = [Chem.MolFromSmiles(s) for s in (a, b)]
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2)
    similarity = similarities(MoleculeForms(a), MoleculeForms(b))
    assert similarity["morgan"] == DataStructs.TanimotoSimilarity(
        *map(morgan.GetSparseCountFingerprint, mols)
    )
    assert similarity["rdk"] == DataStructs.TanimotoSimilarity(*map(Chem.RDKFingerprint, mols))
    assert similarity["maccs"] == DataStructs.TanimotoSimilarity(*map(MACCSkeys.GenMACCSKeys, mols))


@given(st.text(alphabet="CNOcno()[]=#123+-@H/\\.%IFBrSl ", max_size=40))
@settings(max_examples=200)
def test_random_text_in_tags_is_scored_without_an_error(text):
    score = score_of(f"<SMILES>{text}</SMILES>", target="CC(=O)Oc1ccccc1C(=O)O")
    assert score.value in (0.0, 1.0)
    assert score.parts["rung"] < 5 or text.strip() == "CC(=O)Oc1ccccc1C(=O)O"


HOSTILE_REPLIES = {
    "five megabytes of atoms": "C" * 5_000_000,
    "five megabytes in a tag": f"<SMILES>{'C' * 5_000_000}</SMILES>",
    "open tags": "<SMILES>" * 600_000,
    "open boxes": "\\boxed{" * 700_000,
    "open brackets": "(" * 5_000_000,
    "backticks": "`" * 5_000_000,
    "words between components": "<SMILES>" + " and " * 900_000 + "</SMILES>",
    "blanks": "<SMILES>" + " " * 5_000_000 + "</SMILES>",
    "NUL bytes": "<SMILES>" + "\0" * 1_000_000 + "</SMILES>",
    "labels": "SMILES: " * 600_000,
    "nested branches": "<SMILES>" + "C(" * 2_000 + "C" + ")" * 2_000 + "</SMILES>",
    "a chain of 10,000": "<SMILES>" + "C" * 10_000 + "</SMILES>",
    "rings": "<SMILES>" + "C1CC" * 1_000 + "1" * 1_000 + "</SMILES>",
    "surrogates": "<SMILES>\udcff\udcfe</SMILES>",
}


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE_REPLIES.values(), ids=HOSTILE_REPLIES)
def test_hostile_replies_are_scored_within_seconds(text):
    scorer, sample = Molecule(several=True), Sample(id="1", target="CCO")
    score = assert_cpu_time(5, lambda: scorer(sample, Prompt(), Reply(text=text)))
    assert score.value == 0.0
    assert score.verdict in ("invalid", "unanswered", "wrong")


async def test_a_molecule_that_hangs_is_stopped_at_the_deadline():
    """The gold answer is as long as the reply, so its length is accepted; canonical ranking takes minutes."""
    slow_sample = Sample(id="1", target="C" * 10_000)
    easy_sample = Sample(id="2", target="CCO")
    with Pool(1, timeout_s=2) as pool:
        slow = asyncio.create_task(
            pool.score(Molecule(), slow_sample, Prompt(), Reply(text=f"<SMILES>CC(C){'C' * 9_997}</SMILES>"))
        )
        quick = pool.score(Molecule(), easy_sample, Prompt(), Reply(text="<SMILES> OCC </SMILES>"))
        assert (await quick).value == 1.0
        start = time.perf_counter()
        with pytest.raises(ScorerError):
            await slow
        assert time.perf_counter() - start < 15


def test_a_ring_that_rdkit_parses_but_cannot_kekulise_is_a_wrong_molecule():
    """Found by mutating molecules of ChEBI-20; 2 of 31,000 mutants are such rings."""
    score = score_of("<SMILES> CC1=CC(=O)C2=C(C(=C(C3=C2C1=C(C=n3O)O)O)OC)O </SMILES>", target="CCO")
    assert (score.value, score.verdict, score.parts["rung"]) == (0.0, "wrong", 0.0)


def test_rungs_are_ordered_and_keep_their_numbers():
    assert list(RUNGS) == ["none", "tautomer", "parent", "no_stereo", "compound", "canonical", "string"]
    assert list(RUNGS.values()) == sorted(RUNGS.values())
    assert (RUNGS["canonical"], RUNGS["string"]) == (4, 5)  # the numbers in stored results


@table("token", ["I think", "", "C\0", "C C", "Ünïcode", "(C", "C)", "[C", "C]", "Xx", "h", "think"])
def test_text_that_is_not_one_smiles_token_is_not_passed_to_rdkit(token):
    assert not looks_like_smiles(token)
