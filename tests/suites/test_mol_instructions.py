"""Mol-Instructions: typical replies, the authors' and OpenCompass' rules case by case, and data from both sources."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import pytest

from evals import load
from evals.data import Data
from evals.data.mol_instructions import TASKS, samples
from evals.errors import DataError
from evals.extract.selfies import rewrite_selfies
from evals.suites import mol_instructions
from evals.suites.mol_instructions import aggregate
from evals.types import Estimate, Point, Prompt, Reply, Sample, Score
from tests.support.cpu_time import assert_cpu_time
from tests.support.error_messages import raises
from tests.support.paths import ROOT
from tests.support.tables import table

pytest.importorskip("rdkit", reason="NOT TESTED: the extra `chemistry` is not installed")
pytest.importorskip("selfies", reason="NOT TESTED: the extra `chemistry` is not installed")
BUNDLED = Data(suite="mol-instructions", sample=True)
ACETIC = "[C][C][=Branch1][C][=O][O]"
ETHANOL = "[C][C][O]"
MIXTURE = f"{ETHANOL}.{ACETIC}"


def score_reply(variant: str, protocol: str, target: str | float, text: str, stop: str = "stop") -> Score:
    (scorer,) = mol_instructions.BENCHMARK.suite(variant, protocol).scorers.values()
    score = scorer(Sample(id="1", target=target, unit="hartree"), Prompt(), Reply(text=text, stop=stop))
    assert isinstance(score, Score)
    return score


ONE_MOLECULE = [
    (f"<SELFIES>{ACETIC}</SELFIES>", "right"),
    (f"<SELFIES> {ACETIC} </SELFIES>", "right"),
    ("<SELFIES>\n[C] [C] [=Branch1]\n[C] [=O] [O]\n</SELFIES>", "right"),
    ("<SMILES>CC(=O)O</SMILES>", "right"),
    ("<SELFIES>CC(=O)O</SELFIES>", "right"),
    (f"The molecule is `{ACETIC}`.", "right"),
    (f"**Answer:** {ACETIC}", "right"),
    (f"**SELFIES:** `{ACETIC}`", "right"),
    (f"SELFIES: {ACETIC}\nSMILES: CC(=O)O", "right"),
    (f"```\n{ACETIC}\n```", "right"),
    (ACETIC, "right"),
    (f"\\boxed{{{ACETIC}}}", "right"),
    (f"[SELFIES]{ACETIC}[/SELFIES]", "right"),
    (f"分子的SELFIES表示为：{ACETIC}", "right"),
    (f"### Final Answer\n\n```selfies\n{ACETIC}\n```\n\nIts formula is C2H4O2.", "right"),
    (f"{ACETIC} would be wrong.", "unanswered"),
    (f"Could it be {ACETIC}?", "unanswered"),
    (f"One might guess {ACETIC}, but I cannot verify this.", "unanswered"),
    (f"Candidates:\n1. {ETHANOL}\n2. {ACETIC}", "unanswered"),
    (json.dumps({"selfies": ACETIC}), "right"),
    (f"The description fits acetic acid, whose SELFIES is\n\n{ACETIC}", "right"),
    (f"{ETHANOL} is oxidised twice. The product is <SELFIES>{ACETIC}</SELFIES>", "right"),
    (f"<SELFIES>{ETHANOL}</SELFIES>\n\nWait, that is wrong.\n\n<SELFIES>{ACETIC}</SELFIES>", "right"),
    (f"<think>{ETHANOL}?</think><SELFIES>{ACETIC}</SELFIES>", "right"),
    ("<SELFIES>[O][C][Branch1][C][C][=O]</SELFIES>", "right"),
    (f"<SELFIES>{ETHANOL}</SELFIES>", "wrong"),
    (f"<SELFIES>{MIXTURE}</SELFIES>", "wrong"),
    (f"Either {ETHANOL} or {ACETIC}.", "unanswered"),
    (f"It is not {ACETIC}.", "unanswered"),
    (f"No, {ACETIC} does not fit the description.", "unanswered"),
    ("I cannot determine the molecule.", "unanswered"),
    ("As [1] and [2] show, it is an acid.", "unanswered"),
    ("", "unanswered"),
    ("<SELFIES>[C][C][Foo]</SELFIES>", "invalid"),
    ("<SELFIES>I do not know</SELFIES>", "invalid"),
    ("<SMILES>[C][C][O]</SMILES>", "wrong"),
]


@table(("text", "verdict"), ONE_MOLECULE)
def test_a_stated_molecule_is_read_as_selfies_or_smiles(text: str, verdict: str) -> None:
    assert score_reply("MG", "strict", ACETIC, text).verdict == verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (f"<SELFIES>{MIXTURE}</SELFIES>", "right"),
        (f"<SELFIES>{ACETIC}.{ETHANOL}</SELFIES>", "right"),
        (f"<SELFIES>{ETHANOL}</SELFIES> and <SELFIES>{ACETIC}</SELFIES>", "right"),
        (f"1. {ETHANOL} (ethanol)\n2. {ACETIC} (acetic acid)", "right"),
        (f"Reactants:\n- Ethanol: `{ETHANOL}`\n- Acetic acid: `{ACETIC}`", "right"),
        (f"SELFIES: {MIXTURE}\nSMILES: CCO.CC(=O)O", "right"),
        (f"{MIXTURE}>>[C][C][O][C][=Branch1][C][=O][C]", "right"),
        (f"<SELFIES>{ETHANOL}</SELFIES>", "wrong"),
        (f"<SELFIES>{MIXTURE}.[O]</SELFIES>", "wrong"),
    ],
)
def test_sets_of_molecules_are_read_and_compared(text: str, verdict: str) -> None:
    assert score_reply("RS", "strict", MIXTURE, text).verdict == verdict


def test_stereochemistry_counts_under_strict_and_not_under_official() -> None:
    right, mirror = (
        "[C][C@@H1][Branch1][C][N][C][=Branch1][C][=O][O]",
        "[C][C@H1][Branch1][C][N][C][=Branch1][C][=O][O]",
    )
    assert score_reply("MG", "strict", right, f"<SELFIES>{mirror}</SELFIES>").verdict == "wrong"
    assert score_reply("MG", "official", right, mirror).verdict == "right"


def test_the_span_of_an_answer_is_its_position_in_the_reply() -> None:
    text = f"SELFIES of the product: <SELFIES>{ACETIC}</SELFIES>, from {ETHANOL}."
    score = score_reply("FS", "strict", ACETIC, text)
    assert score.span is not None
    assert text[slice(*score.span)] == ACETIC


def test_an_answer_at_the_end_of_a_truncated_reply_is_not_read() -> None:
    assert score_reply("MG", "strict", ACETIC, "<SELFIES>[C][C][=Branch1", "length").verdict == "truncated"
    for text in ("The SELFIES is [C]", "<SELFIES>[C]", "[C]", "```\n[C]", "SELFIES: [C][C]"):
        assert score_reply("MG", "strict", "[C]", text, "length").verdict == "truncated"
    assert score_reply("MG", "strict", "[C]", "<SELFIES>[C]</SELFIES>\nTo che", "length").verdict == "right"


@table(
    ("text", "error"),
    [
        (r"\boxed{-0.2482}", 0.0),
        ("The HOMO energy is -0.2482 Ha.", 0.0),
        ("**-0.2482 Hartree**", 0.0),
        ("HOMO = -0.2482 a.u.", 0.0),
        ("HOMO = -0.2482 E_h", 0.0),
        ("about -6.754 eV", 0.0),
        ("Answer: -155.75 kcal/mol", 0.0),
        (r"\boxed{-651.65\ \text{kJ/mol}}", 0.0),
        (r"\boxed{-0.2482\,E_\mathrm{h}}", 0.0),
        ("LUMO is 0.05 Ha, so I boxed the HOMO: \\boxed{-0.2482}", 0.0),
        (r"\boxed{0.2482}", 0.4964),
        ("It cannot be computed by hand.", None),
        ("-0.2482 kg", None),
    ],
)
def test_energies_are_converted_to_hartree(text: str, error: float | None) -> None:
    score = score_reply("PP", "strict", -0.2482, text)
    assert score.value is None if error is None else score.value == pytest.approx(error, abs=2e-5)


# The values are those that the authors' scripts (@ d08a15f8) give for these replies.
OFFICIAL = [
    (ACETIC, "right", 1.0),
    (f"The product is {ACETIC}.", "right", 1.0),
    (f"Sure. It is {ACETIC}", "right", 1.0),
    (f"{ETHANOL} and {ACETIC}", "invalid", 0.0),
    (f"<SELFIES>{ACETIC}</SELFIES>", "right", 1.0),
    ("CC(=O)O", "wrong", 1.0),
    ("I do not know.", "wrong", 1.0),
    ("[C][C][Foo]", "invalid", 0.0),
    ("", "unanswered", 0.0),
]


@pytest.mark.parametrize(("text", "verdict", "valid"), OFFICIAL)
def test_molecules_are_scored_as_by_the_authors(text: str, verdict: str, valid: float) -> None:
    score = score_reply("MG", "official", ACETIC, text)
    assert (score.verdict, score.parts["valid"]) == (verdict, valid)


def test_metrics_of_the_authors_are_computed_over_valid_answers() -> None:
    suite = mol_instructions.BENCHMARK.suite("MG", "official")
    texts = [ACETIC, ETHANOL, "[C][C][Foo]", "[O]"]
    points = []
    for number, text in enumerate(texts):
        score = score_reply("MG", "official", ACETIC, text)
        points.append(
            Point(str(number), 0, "", "", score.verdict, score.value, score.answer, ACETIC, 0, score.parts)
        )
    values = {metric.name: metric.of(points) for metric in suite.metrics}
    assert values["exact_of_valid"] == pytest.approx(1 / 3)
    assert values["exact_match"] == pytest.approx(1 / 4)
    assert values["validity"] == pytest.approx(3 / 4)
    assert values["levenshtein_of_valid"] == pytest.approx(3.3333, abs=1e-4)
    assert values["bleu_of_valid"] == pytest.approx(0.34305, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("-0.2482", "-0.2482"),
        # with a full stop after them, the decimals are read as an integer
        ("The energy is -0.2482.", "2482.0"),
        ("-0.2482 Hartree", None),
        ("x 1.5.25", "5.25"),
        ("-0.2482 </s>", "-0.2482"),
    ],
)
def test_energies_are_read_as_by_the_authors(text: str, answer: str | None) -> None:
    assert score_reply("PP", "official", -0.25, text).answer == answer


# The values are those that OpenCompass' evaluators (0.5.4) give for these replies, divided by 100.
OPENCOMPASS = [
    (f"<SELFIES>{ACETIC}</SELFIES>", 1.0),
    (f"<SELFIES>{ETHANOL}</SELFIES> no: <SELFIES> {ACETIC} </SELFIES>", 1.0),
    (f"<SELFIES>{ETHANOL}</SELFIES>", 0.1818),
    (ACETIC, 0.0),  # without tags the gold SELFIES is read as SMILES
    ("<SMILES>CC(=O)O</SMILES>", 0.0),
    ("<SELFIES>CC(=O)O</SELFIES>", 0.0),
    ("", 0.0),
]


@pytest.mark.parametrize(("text", "value"), OPENCOMPASS)
def test_molecules_are_scored_as_by_opencompass(text: str, value: float) -> None:
    assert score_reply("MG", "intern-s1", ACETIC, text).value == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\boxed{-0.2}", 0.05),
        (r"\boxed{0.1} then \boxed{-0.25}", 0.0),
        ("<NUMBER> -0.25 </NUMBER>", 0.0),
        (r"\boxed{-0.25\text{ Ha}}", 0.25),  # not read because of the unit, and counted as 0 hartree
        (r"\boxed{-2.5e-1}", 0.25),
        ("-0.25", 0.25),
        (r"\boxed{-6.8}", 6.55),
    ],
)
def test_energies_are_scored_as_by_opencompass(text: str, value: float) -> None:
    assert score_reply("PP", "intern-s1", -0.25, text).value == pytest.approx(value)


class FakeCard:
    """The attributes of a card that an aggregate uses."""

    def __init__(self, value: float) -> None:
        self.run = "run"
        self.config = SimpleNamespace(suite="mol-instructions")
        self.headline = Estimate(
            metric="m", group="", value=value, low=value, high=value, worst=None, best=None, n=9, clusters=9,
            unit="fraction", better="higher", method="", headline=True,
        )  # fmt: skip


def test_the_mean_of_six_tasks_is_higher_without_energies_than_with_energies_in_electronvolts() -> None:
    unanswered = {name: FakeCard(0.0) for name in TASKS} | {"PP": FakeCard(0.15)}
    in_electronvolts = unanswered | {"PP": FakeCard(6.5)}
    assert aggregate("intern-s1", unanswered)["value"] == pytest.approx(0.95 / 6)
    assert aggregate("intern-s1", in_electronvolts)["value"] == 0.0
    assert aggregate("strict", unanswered) is None


def test_a_system_turn_without_fallback_role_becomes_a_system_message() -> None:
    from evals.prompts.upstream import NO_FALLBACK, fill_template

    system, user = fill_template(
        ((NO_FALLBACK, "Be exact."), ("HUMAN", "Q: {input}")), {"input": "{output}", "output": ""}
    )
    assert (system.role, user.role) == ("system", "user")


# --- data


def rows() -> list[dict[str, object]]:
    return [
        {"instruction": "Name the HOMO energy.", "input": "[C]", "output": "-0.3877", "metadata": {"split": "test"}},
        {"instruction": "Name the LUMO energy.", "input": "[C]", "output": "0.1171", "metadata": "{'task': 'x', 'split': 'test'}"},
        {"instruction": "Name the HOMO-LUMO gap.", "input": "[C]", "output": "0.5", "metadata": {"split": "train"}},
    ]  # fmt: skip


def test_only_the_test_rows_of_the_hubs_archive_are_read(tmp_path: Path) -> None:
    path = tmp_path / "Molecule-oriented_Instructions.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("Molecule-oriented_Instructions/property_prediction.json", json.dumps(rows()))
    first, second = samples(Data(suite="mol-instructions", local=path), "PP")
    assert (first.target, first.group, second.group) == (-0.3877, "HOMO", "LUMO")
    assert first.cluster == second.cluster == "[C]"


def test_files_of_opencompass_are_read(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "<SELFIES> [C] </SELFIES>"}]
    (tmp_path / "retrosynthesis.jsonl").write_text(json.dumps({"id_ddm": 1, "dialogs": turns}) + "\n")
    (sample,) = samples(Data(suite="mol-instructions", local=tmp_path), "RS")
    assert sample.target == "[C]"


@pytest.mark.parametrize(
    "row",
    [{"instruction": "?", "input": "[C]", "output": "high"}, {"question": "?"}],
    ids=["gold answer", "columns"],
)
def test_invalid_rows_are_reported_in_one_line(tmp_path: Path, row: dict[str, str]) -> None:
    (tmp_path / "property_prediction.jsonl").write_text(json.dumps(row) + "\n")
    with raises(DataError):
        list(samples(Data(suite="mol-instructions", local=tmp_path), "PP"))


def test_the_bundled_samples_equal_the_output_of_the_script() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "tools.make_samples_selfies", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    assert all(len(list(samples(BUNDLED, variant))) == 12 for variant in TASKS)


@table(
    "piece",
    ["[C]", "[=Branch1][C]", "[Branch1][Ring1]", "[", "[C", "SELFIES:", "<SELFIES>", "<SELFIES>[C]", "[C].", "SMILES: C\n", "9", "[C] [O]\n"],
)  # fmt: skip
def test_hostile_replies_are_read_in_bounded_time(piece: str) -> None:
    text = piece * (65_536 // len(piece))
    assert_cpu_time(2, lambda: rewrite_selfies(text))
    for protocol in ("strict", "official", "intern-s1"):
        assert score_reply("MG", protocol, ACETIC, text).verdict != "right"


def test_the_suite_has_one_variant_per_task() -> None:
    assert [suite.variant for suite in load.suite("mol-instructions", "official")] == list(TASKS)
