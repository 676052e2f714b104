"""SMolInstruct: its data from wherever they lie, its three protocols case by case, and the mean over 14 tasks."""

import json
import subprocess
import sys
from types import SimpleNamespace
from zipfile import ZipFile

import pytest

from evals import load
from evals.data import Data
from evals.data.smolinstruct import TASKS, samples
from evals.data.smolinstruct import open_archive as read_archive
from evals.errors import DataError
from evals.suite import check, checked_samples
from evals.suites import smolinstruct
from evals.suites.smolinstruct import aggregate
from evals.types import Estimate, Point, Prompt, Reply, Sample
from tests.support.paths import ROOT, TESTS
from tests.support.tables import table

pytest.importorskip("rdkit", reason="NOT TESTED: the extra `chemistry` is not installed")
CASES = TESTS / "cases" / "smolinstruct_rules.jsonl"
ROWS = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
suite = smolinstruct.BENCHMARK.suite
VARIANTS = tuple(TASKS)
BUNDLED = Data(suite="smolinstruct", sample=True)


@table(
    "case", [pytest.param(row, id=f"{row['protocol']}-{row['task']}-{i}") for i, row in enumerate(ROWS, 1)]
)
def test_rules(case):
    (scorer,) = suite(case["task"], case["protocol"]).scorers.values()
    score = scorer(Sample(id="1", target=case["target"]), Prompt(), Reply(text=case["text"]))
    assert score.value == pytest.approx(case["value"]), score
    assert case.get("verdict") in (None, score.verdict)


@table("protocol", smolinstruct.BENCHMARK.protocol_names)
@table("variant", VARIANTS)
def test_sample_items_score_full_marks(variant, protocol):
    found = check(*load.suite(f"smolinstruct:{variant}", protocol), BUNDLED)
    assert found.samples >= 12
    assert found.faults == ()


@table("protocol", ["strict", "official", "intern-s1~"])
@table("variant", VARIANTS)
def test_one_headline_and_a_prompt_that_asks(variant, protocol):
    (one,) = load.suite(f"smolinstruct:{variant}", protocol)
    assert sum(metric.headline for metric in one.metrics) == 1
    sample = next(iter(samples(BUNDLED, variant)))
    (message,) = one.prompter(BUNDLED)(sample, 0).messages
    assert sample.question[0].text in message.parts[0].text
    assert (message.parts[0].text == sample.question[0].text) == (protocol == "official")


def test_the_tasks_are_those_of_the_test_split():
    assert len(VARIANTS) == 14
    assert sum(task.rows for task in TASKS.values()) == 33_061


def test_the_bundled_items_are_what_the_script_computes():
    command = [sys.executable, "-m", "tools.make_samples_chemistry", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


REAL = {
    "IUPAC to Molecular Formula": "NC-I2F", "IUPAC to SMILES": "NC-I2S", "SMILES to Molecular Formula": "NC-S2F",
    "SMILES to IUPAC": "NC-S2I", "ESOL": "PP-ESOL", "LIPO": "PP-Lipo", "BBBP": "PP-BBBP", "Clintox": "PP-ClinTox",
    "HIV": "PP-HIV", "SIDER": "PP-SIDER", "Molecule Captioning": "MC", "Molecule Generation": "MG",
    "Forward Synthesis": "FS", "Retrosynthesis": "RS",
}  # fmt: skip


def real_examples(shared):
    path = shared / "data/smolinstruct_examples/llm4chem_readme_examples.jsonl"
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        variant = REAL[row["heading"].rpartition(" - ")[2]]
        tag = TASKS[variant].tag
        output = row["response"]
        raw = output.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0].strip() if tag else output
        yield variant, {"sample_id": str(number), "input": row["query"], "output": output, "raw_output": raw}


@pytest.mark.parametrize("protocol", smolinstruct.BENCHMARK.protocol_names)
def test_the_authors_own_examples_score_full_marks(shared, tmp_path, protocol):
    """14 real pairs of LLM4Chem's README, one per task; the recorded response is the reply."""
    found = dict(real_examples(shared))
    assert set(found) == set(TASKS)
    for variant, row in found.items():
        path = tmp_path / f"{TASKS[variant].name}.jsonl"
        path.write_text(json.dumps(row))
        data = Data(suite="smolinstruct", local=tmp_path)
        (one,) = load.suite(f"smolinstruct:{variant}", protocol)
        assert check(one, data).faults == ()
        (sample,) = samples(data, variant)
        (scorer,) = one.scorers.values()
        score = scorer(sample, Prompt(), Reply(text=row["output"]))
        bare_tag_is_read = (variant, protocol) != ("MC", "strict")
        assert score.value == (0.0 if TASKS[variant].kind == "number" else 1.0) or not bare_tag_is_read, (
            variant
        )


# --- the hub's archive

TREE = {
    "sample/instruction_tuning/test/retrosynthesis.json": {
        "task": "retrosynthesis",
        "split": "test",
        "template_name": "plain",
        "samples": [{"idx": 1, "template_id": 0}, {"idx": 0, "template_id": 1}, {"idx": 2, "template_id": 0}],
    },
    "template/plain/retrosynthesis.json": [
        {"input": "Make <INPUT> .", "output": "From <OUTPUT> ."},
        {"input": "<INPUT> from what?", "output": "<OUTPUT>"},
    ],
    "core_tag/retrosynthesis.json": {"input": ["<SMILES>", "</SMILES>"], "output": ["<SMILES>", "</SMILES>"]},
    "sample/instruction_tuning/test/property_prediction-sider.json": {
        "task": "property_prediction-sider",
        "split": "test",
        "template_name": "plain",
        "samples": [
            {"idx": 0, "template_id": 0, "target": "heart"},
            {"idx": 0, "template_id": 0, "target": "ear"},
        ],
    },
    "template/plain/property_prediction-sider.json": [{"input": "Does <INPUT> harm?", "output": "<OUTPUT>"}],
    "core_tag/property_prediction-sider.json": {
        "input": ["<SMILES>", "</SMILES>"],
        "output": ["<BOOLEAN>", "</BOOLEAN>"],
    },
}
LINES = {
    "raw/test/retrosynthesis.jsonl": [
        {"task": "retrosynthesis", "split": "test", "input": "CCOC(C)=O", "output": "CCO.CC(=O)Cl"},
        {"task": "retrosynthesis", "split": "test", "input": "CNC", "output": "CN;CI"},
        {"task": "retrosynthesis", "split": "test", "input": "CCOC(C)=O", "output": "CCO.CC(=O)O"},
    ],
    "raw/test/property_prediction-sider.jsonl": [
        {
            "task": "property_prediction-sider",
            "split": "test",
            "input": "CCO",
            "output": {"heart": "Yes", "ear": "No"},
        }
    ],
}


def contents():
    yield from ((name, json.dumps(value)) for name, value in TREE.items())
    yield from ((name, "".join(json.dumps(row) + "\n" for row in rows)) for name, rows in LINES.items())


@pytest.fixture(params=["zip", "zip in a folder of the mirror", "zip with one top folder", "unpacked"])
def archive(request, tmp_path):
    if request.param == "unpacked":
        for name, text in contents():
            (tmp_path / "smolinstruct" / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "smolinstruct" / "data" / name).write_text(text)
        return Data(suite="smolinstruct", local=tmp_path)
    inner = request.param == "zip in a folder of the mirror"
    path = tmp_path / "smolinstruct" / "data.zip" if inner else tmp_path / "data.zip"
    path.parent.mkdir(exist_ok=True)
    with ZipFile(path, "w") as file:
        for name, text in contents():
            file.writestr(f"data/{name}" if request.param == "zip with one top folder" else name, text)
        file.writestr("__MACOSX/raw/._x", "")
    return Data(suite="smolinstruct", local=tmp_path if inner else path)


def test_the_archive_is_read_as_the_loading_script_reads_it(archive):
    first, second, third = checked_samples(suite("RS"), archive)
    assert first.id == "retrosynthesis.test.1.None"
    assert first.question[0].text == "Make <SMILES> CNC </SMILES> ."
    assert first.target == "CN;CI"
    assert second.question[0].text == "<SMILES> CCOC(C)=O </SMILES> from what?"
    assert (second.meta["also"], third.meta["also"]) == (["CCO.CC(=O)O"], ["CCO.CC(=O)Cl"])
    assert (first.cluster, second.cluster) == ("", "CCOC(C)=O")


def test_side_effects_are_told_apart_by_their_target(archive):
    heart, ear = checked_samples(suite("PP-SIDER"), archive)
    assert (heart.id, heart.target, heart.group) == ("property_prediction-sider.test.0.heart", "yes", "heart")
    assert (ear.target, ear.group, ear.cluster) == ("no", "ear", "CCO")
    assert "also" not in ear.meta


def test_the_pinned_archive_of_the_hub_must_have_its_rows(archive, monkeypatch):
    (root,) = [tree.root for tree in [read_archive(archive)]]
    monkeypatch.setattr("evals.data.smolinstruct.download_archive", lambda *_: root)
    with pytest.raises(DataError, match="has 3 rows of retrosynthesis, expected 4156"):
        list(samples(Data(suite="smolinstruct"), "RS"))


def test_an_archive_without_the_task_says_so(archive):
    with pytest.raises(DataError, match="forward_synthesis"):
        list(samples(archive, "FS"))


def test_a_torn_archive_is_one_line(tmp_path):
    (tmp_path / "data.zip").write_bytes(b"PK nonsense")
    with pytest.raises(DataError, match="cannot read"):
        list(samples(Data(suite="smolinstruct", local=tmp_path / "data.zip"), "FS"))


def test_without_the_hubs_client_the_line_names_the_ways(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DataError, match=r"\[hub\].*--data.*--sample"):
        list(samples(Data(suite="smolinstruct"), "FS"))


def test_a_mirror_of_one_file_for_all_tasks(tmp_path):
    folder = tmp_path / "smolinstruct"
    folder.mkdir()
    rows = [
        {"sample_id": str(i), "raw_output": "CCO", "task": task.name}
        for i, task in enumerate(TASKS.values())
        if task.kind != "number"
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (only,) = checked_samples(suite("FS"), Data(suite="smolinstruct", local=tmp_path))
    assert (only.target, only.question) == ("CCO", ())


def test_a_gold_answer_that_is_no_number_is_a_fault_of_the_data(tmp_path):
    path = tmp_path / "property_prediction-esol.jsonl"
    path.write_text('{"sample_id": "1", "raw_output": "high"}\n')
    with pytest.raises(DataError, match="'high' is not a number"):
        list(samples(Data(suite="smolinstruct", local=path), "PP-ESOL"))


# --- the mean over the tasks

POSTED = dict(
    zip(
        VARIANTS,
        (86.33, 1.17, 71.40, 5.68, 0.76, 0.81, 83.76, 40.97, 55.86, 65.80, 0.21, 58.93, 72.48, 44.76),
        strict=True,
    )
)
"""Qwen3, InternLM/Intern-S1 issue 36 (2026-03-09)."""


def card(name, value, *, low=None, high=None):
    estimate = Estimate(
        metric="x", group="", value=value, low=low, high=high, worst=None, best=None, n=1, clusters=1,
        unit="fraction", better="higher", method="", headline=True,
    )  # fmt: skip
    return SimpleNamespace(run=f"run-{name}", headline=estimate)


def fraction(name, value):
    return value if name in ("PP-ESOL", "PP-Lipo", "MC") else value / 100


def test_the_fourteen_posted_scores_average_50_19():
    found = aggregate(
        "intern-s1", {name: card(name, fraction(name, value)) for name, value in POSTED.items()}
    )
    assert found["value"] * 100 == pytest.approx(50.19, abs=0.005)
    assert found["missing"] == []
    assert len(found["runs"]) == 14
    assert found["low"] is None


def test_with_a_task_missing_there_is_no_mean():
    found = aggregate("intern-s1", {name: card(name, 0.5) for name in VARIANTS[:-1]})
    assert found["value"] is None
    assert found["missing"] == ["RS"]


def test_the_mean_has_an_interval_where_all_tasks_have_one():
    found = aggregate("intern-s1", {name: card(name, 0.5, low=0.4, high=0.6) for name in VARIANTS})
    # four names of the same molecules, two tasks of the same descriptions, two of the same reactions add up
    halves = [0.1] * 4 + [0.1 / 2, 0.1 / 1.2] + [0.4, 0.2, 0.2]
    assert found["high"] - found["value"] == pytest.approx(sum(h * h for h in halves) ** 0.5 / 14)


def test_large_errors_count_as_nothing_and_never_less():
    found = aggregate(
        "intern-s1", {name: card(name, 9.0 if name.startswith("PP-") else 0.0) for name in VARIANTS}
    )
    assert found["value"] == pytest.approx(4 * 9.0 / 14)


@pytest.mark.parametrize("protocol", ["strict", "official"])
def test_other_protocols_define_no_mean(protocol):
    assert aggregate(protocol, {}) is None


# --- metrics that no mean of scores can give


def metric(variant, protocol, name):
    return next(m.of for m in suite(variant, protocol).metrics if m.name == name)


def scored(variant, protocol, pairs):
    one = suite(variant, protocol)
    (scorer,) = one.scorers.values()
    found = []
    for i, (target, text) in enumerate(pairs):
        score = scorer(Sample(id=str(i), target=target), Prompt(), Reply(text=text))
        found.append(
            Point(str(i), 0, "", "", score.verdict, score.value, score.answer, target, 0, score.parts)
        )
    return found


def test_rmse_is_a_root_and_leaves_out_what_is_missing():
    points = scored(
        "PP-ESOL", "official", [(0.0, "<NUMBER> 3 </NUMBER>"), (0.0, "<NUMBER> 4 </NUMBER>"), (0.0, "?")]
    )
    assert metric("PP-ESOL", "official", "rmse")(points) == pytest.approx(12.5**0.5)
    assert metric("PP-ESOL", "official", "answered")(points) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="no"):
        metric("PP-ESOL", "official", "rmse")(points[2:])


def test_missing_numbers_count_as_the_training_mean_or_the_worst(tmp_path):
    task = "property_prediction-esol"
    with ZipFile(tmp_path / "data.zip", "w") as file:
        plan = {"template_name": "plain", "samples": [{"idx": i, "template_id": 0} for i in range(2)]}
        file.writestr(f"sample/instruction_tuning/test/{task}.json", json.dumps(plan))
        file.writestr(f"template/plain/{task}.json", '[{"input": "<INPUT>", "output": "<OUTPUT>"}]')
        file.writestr(f"core_tag/{task}.json", '{"input": [null, null], "output": ["<NUMBER>", "</NUMBER>"]}')
        file.writestr(
            f"raw/test/{task}.jsonl", '{"input": "C", "output": "1.0"}\n{"input": "CC", "output": "2.0"}\n'
        )
        file.writestr(
            f"raw/train/{task}.jsonl", "".join(f'{{"input": "C", "output": "{x}"}}\n' for x in (-4, 1, 6))
        )
    one = suite("PP-ESOL")
    (scorer,) = one.scorers.values()
    found = list(checked_samples(one, Data(suite="smolinstruct", local=tmp_path / "data.zip")))
    replies = (Reply(text="\\boxed{4}"), Reply(text="no idea"))
    scores = [scorer(sample, Prompt(), reply) for sample, reply in zip(found, replies, strict=True)]
    points = [
        Point(s.id, 0, "", "", x.verdict, x.value, x.answer, s.target, 0, x.parts)
        for s, x in zip(found, scores, strict=True)
    ]
    assert metric("PP-ESOL", "strict", "rmse")(points) == 3.0
    assert metric("PP-ESOL", "strict", "rmse_imputed")(points) == pytest.approx(((9 + 1) / 2) ** 0.5)
    assert metric("PP-ESOL", "strict", "rmse_worst")(points) == pytest.approx(((9 + 36) / 2) ** 0.5)
    with pytest.raises(ValueError, match="not known"):
        metric("PP-ESOL", "official", "rmse_worst")([])


def test_opencompass_averages_absolute_errors_and_counts_silence_as_0():
    points = scored("PP-ESOL", "intern-s1", [(0.0, "\\boxed{3}"), (-5.0, "?")])
    assert metric("PP-ESOL", "intern-s1", "mae_unread_as_0")(points) == 4.0


def test_similarity_of_valid_answers_and_of_all():
    pairs = [("CCO", "<SMILES> CCO </SMILES>"), ("CCO", "<SMILES> C(C)(C)(C)(C)C </SMILES>")]
    official, ours, theirs = (scored("MG", p, pairs) for p in ("official", "strict", "intern-s1"))
    assert metric("MG", "official", "morgan_of_valid")(official) == 1.0
    assert metric("MG", "official", "validity")(official) == 0.5
    assert metric("MG", "strict", "morgan")(ours) == 0.5
    assert metric("MG", "strict", "morgan_of_valid")(ours) == 1.0
    assert metric("MG", "intern-s1", "morgan_bits")(theirs) == 0.5


def test_reactants_that_are_a_subset_or_share_one():
    pairs = [("CCO.CN", "<SMILES> CCO </SMILES>"), ("CCO.CN", "<SMILES> CCO.CC </SMILES>"), ("CCO.CN", "?")]
    points = scored("RS", "official", pairs)
    assert metric("RS", "official", "subset")(points) == pytest.approx(1 / 3)
    assert metric("RS", "official", "intersection")(points) == pytest.approx(2 / 3)


def test_mcc_and_f1_of_the_authors_leave_out_invalid_answers():
    yes, no = "<BOOLEAN> Yes </BOOLEAN>", "<BOOLEAN> No </BOOLEAN>"
    pairs = [("yes", yes), ("no", no), ("yes", no), ("no", yes), ("yes", yes), ("no", "perhaps")]
    official = scored("PP-HIV", "official", pairs)
    assert metric("PP-HIV", "official", "accuracy")(official) == 0.5
    assert metric("PP-HIV", "official", "f1")(official) == pytest.approx(2 / 3)
    assert metric("PP-HIV", "official", "mcc")(official) == pytest.approx(1 / 6)
