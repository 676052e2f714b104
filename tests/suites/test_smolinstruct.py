"""SMolInstruct: its data in every supported layout, its three protocols case by case, and the mean over 14 tasks."""

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
from tests.support.error_messages import raises
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
def test_rules_score_replies_as_in_the_table(case):
    (scorer,) = suite(case["task"], case["protocol"]).scorers.values()
    score = scorer(Sample(id="1", target=case["target"]), Prompt(), Reply(text=case["text"]))
    assert score.value == pytest.approx(case["value"]), score
    assert case.get("verdict") in (None, score.verdict)


@table("protocol", smolinstruct.BENCHMARK.protocol_names)
@table("variant", VARIANTS)
def test_ideal_replies_to_the_bundled_samples_get_full_marks(variant, protocol):
    result = check(*load.suite(f"smolinstruct:{variant}", protocol), BUNDLED)
    assert result.samples >= 12
    assert result.faults == ()


@table("protocol", ["strict", "official", "intern-s1~"])
@table("variant", VARIANTS)
def test_every_suite_has_one_headline_and_a_prompt_with_the_question(variant, protocol):
    (variant_suite,) = load.suite(f"smolinstruct:{variant}", protocol)
    assert sum(metric.headline for metric in variant_suite.metrics) == 1
    sample = next(iter(samples(BUNDLED, variant)))
    (message,) = variant_suite.prompter(BUNDLED)(sample, 0).messages
    assert sample.question[0].text in message.parts[0].text
    assert (message.parts[0].text == sample.question[0].text) == (protocol == "official")


def test_the_fourteen_tasks_have_the_row_count_of_the_test_split():
    assert len(VARIANTS) == 14
    assert sum(task.rows for task in TASKS.values()) == 33_061


def test_the_bundled_samples_equal_the_output_of_the_script():
    command = [sys.executable, "-m", "tools.make_samples_chemistry", "--check"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr


VARIANT_OF_HEADING = {
    "IUPAC to Molecular Formula": "NC-I2F", "IUPAC to SMILES": "NC-I2S", "SMILES to Molecular Formula": "NC-S2F",
    "SMILES to IUPAC": "NC-S2I", "ESOL": "PP-ESOL", "LIPO": "PP-Lipo", "BBBP": "PP-BBBP", "Clintox": "PP-ClinTox",
    "HIV": "PP-HIV", "SIDER": "PP-SIDER", "Molecule Captioning": "MC", "Molecule Generation": "MG",
    "Forward Synthesis": "FS", "Retrosynthesis": "RS",
}  # fmt: skip


def authors_examples(shared):
    path = shared / "data/smolinstruct_examples/llm4chem_readme_examples.jsonl"
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        variant = VARIANT_OF_HEADING[row["heading"].rpartition(" - ")[2]]
        tag = TASKS[variant].tag
        output = row["response"]
        raw = output.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0].strip() if tag else output
        yield variant, {"sample_id": str(number), "input": row["query"], "output": output, "raw_output": raw}


@pytest.mark.parametrize("protocol", smolinstruct.BENCHMARK.protocol_names)
def test_the_authors_own_examples_get_full_marks(shared, tmp_path, protocol):
    """The 14 examples are those of LLM4Chem's README, one per task; the recorded response is the reply."""
    examples = dict(authors_examples(shared))
    assert set(examples) == set(TASKS)
    for variant, row in examples.items():
        path = tmp_path / f"{TASKS[variant].name}.jsonl"
        path.write_text(json.dumps(row))
        data = Data(suite="smolinstruct", local=tmp_path)
        (variant_suite,) = load.suite(f"smolinstruct:{variant}", protocol)
        assert check(variant_suite, data).faults == ()
        (sample,) = samples(data, variant)
        (scorer,) = variant_suite.scorers.values()
        score = scorer(sample, Prompt(), Reply(text=row["output"]))
        assert score.value == (0.0 if TASKS[variant].kind == "number" else 1.0), variant


# --- the archive on the hub

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


def archive_files():
    yield from ((name, json.dumps(value)) for name, value in TREE.items())
    yield from ((name, "".join(json.dumps(row) + "\n" for row in rows)) for name, rows in LINES.items())


@pytest.fixture(params=["zip", "zip in a folder of the mirror", "zip with one top folder", "unpacked"])
def archive(request, tmp_path):
    if request.param == "unpacked":
        for name, text in archive_files():
            (tmp_path / "smolinstruct" / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "smolinstruct" / "data" / name).write_text(text)
        return Data(suite="smolinstruct", local=tmp_path)
    in_mirror = request.param == "zip in a folder of the mirror"
    path = tmp_path / "smolinstruct" / "data.zip" if in_mirror else tmp_path / "data.zip"
    path.parent.mkdir(exist_ok=True)
    with ZipFile(path, "w") as file:
        for name, text in archive_files():
            file.writestr(f"data/{name}" if request.param == "zip with one top folder" else name, text)
        file.writestr("__MACOSX/raw/._x", "")
    return Data(suite="smolinstruct", local=tmp_path if in_mirror else path)


def test_the_archive_is_read_as_the_loading_script_reads_it(archive):
    first, second, third = checked_samples(suite("RS"), archive)
    assert first.id == "retrosynthesis.test.1.None"
    assert first.question[0].text == "Make <SMILES> CNC </SMILES> ."
    assert first.target == "CN;CI"
    assert second.question[0].text == "<SMILES> CCOC(C)=O </SMILES> from what?"
    assert (second.meta["also"], third.meta["also"]) == (["CCO.CC(=O)O"], ["CCO.CC(=O)Cl"])
    assert (first.cluster, second.cluster) == ("", "CCOC(C)=O")


def test_samples_of_side_effects_are_distinguished_by_their_target(archive):
    heart, ear = checked_samples(suite("PP-SIDER"), archive)
    assert (heart.id, heart.target, heart.group) == ("property_prediction-sider.test.0.heart", "yes", "heart")
    assert (ear.target, ear.group, ear.cluster) == ("no", "ear", "CCO")
    assert "also" not in ear.meta


def test_the_pinned_archive_must_have_the_expected_number_of_rows(archive, monkeypatch):
    root = read_archive(archive).root
    monkeypatch.setattr("evals.data.smolinstruct.download_archive", lambda *_: root)
    with raises(DataError):
        list(samples(Data(suite="smolinstruct"), "RS"))


def test_a_task_missing_from_the_archive_is_named(archive):
    with raises(DataError):
        list(samples(archive, "FS"))


def test_a_corrupt_archive_is_reported_in_one_line(tmp_path):
    (tmp_path / "data.zip").write_bytes(b"PK nonsense")
    with raises(DataError):
        list(samples(Data(suite="smolinstruct", local=tmp_path / "data.zip"), "FS"))


def test_without_huggingface_hub_the_message_names_the_alternatives(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with raises(DataError):
        list(samples(Data(suite="smolinstruct"), "FS"))


def test_a_mirror_with_one_file_for_all_tasks_is_read(tmp_path):
    folder = tmp_path / "smolinstruct"
    folder.mkdir()
    rows = [
        {"sample_id": str(i), "raw_output": "CCO", "task": task.name}
        for i, task in enumerate(TASKS.values())
        if task.kind != "number"
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (sample,) = checked_samples(suite("FS"), Data(suite="smolinstruct", local=tmp_path))
    assert (sample.target, sample.question) == ("CCO", ())


def test_a_gold_answer_that_is_not_a_number_is_reported(tmp_path):
    path = tmp_path / "property_prediction-esol.jsonl"
    path.write_text('{"sample_id": "1", "raw_output": "high"}\n')
    with raises(DataError):
        list(samples(Data(suite="smolinstruct", local=path), "PP-ESOL"))


# --- the mean over the tasks

PUBLISHED = dict(
    zip(
        VARIANTS,
        (86.33, 1.17, 71.40, 5.68, 0.76, 0.81, 83.76, 40.97, 55.86, 65.80, 0.21, 58.93, 72.48, 44.76),
        strict=True,
    )
)
"""Scores of Qwen3 in InternLM/Intern-S1, issue 36 (2026-03-09)."""


def card(name, value, *, low=None, high=None):
    estimate = Estimate(
        metric="x", group="", value=value, low=low, high=high, worst=None, best=None, n=1, clusters=1,
        unit="fraction", better="higher", method="", headline=True,
    )  # fmt: skip
    return SimpleNamespace(run=f"run-{name}", headline=estimate, config=SimpleNamespace(suite=name))


def as_fraction(name, value):
    return value if name in ("PP-ESOL", "PP-Lipo", "MC") else value / 100


def test_the_fourteen_published_scores_average_50_19():
    mean = aggregate(
        "intern-s1", {name: card(name, as_fraction(name, value)) for name, value in PUBLISHED.items()}
    )
    assert mean["value"] * 100 == pytest.approx(50.19, abs=0.005)
    assert mean["missing"] == []
    assert len(mean["runs"]) == 14
    assert mean["low"] is None


def test_with_a_task_missing_there_is_no_mean():
    mean = aggregate("intern-s1", {name: card(name, 0.5) for name in VARIANTS[:-1]})
    assert mean["value"] is None
    assert mean["missing"] == ["RS"]


def test_the_mean_has_an_interval_if_all_tasks_have_one():
    mean = aggregate("intern-s1", {name: card(name, 0.5, low=0.4, high=0.6) for name in VARIANTS})
    # the half-widths of tasks on the same items are added: four of names, two of descriptions, two of reactions;
    # `aggregate` divides the errors of ESOL by 2 and those of Lipo by 1.2
    half_widths = [0.1] * 4 + [0.1 / 2, 0.1 / 1.2] + [0.4, 0.2, 0.2]
    assert mean["high"] - mean["value"] == pytest.approx(
        sum(width * width for width in half_widths) ** 0.5 / 14
    )


def test_large_errors_count_as_zero_in_the_mean():
    mean = aggregate(
        "intern-s1", {name: card(name, 9.0 if name.startswith("PP-") else 0.0) for name in VARIANTS}
    )
    assert mean["value"] == pytest.approx(4 * 9.0 / 14)


@pytest.mark.parametrize("protocol", ["strict", "official"])
def test_other_protocols_have_no_mean(protocol):
    assert aggregate(protocol, {}) is None


# --- metrics that are not means of scores


def metric_function(variant, protocol, name):
    return next(m.of for m in suite(variant, protocol).metrics if m.name == name)


def score_points(variant, protocol, pairs):
    (scorer,) = suite(variant, protocol).scorers.values()
    points = []
    for i, (target, text) in enumerate(pairs):
        score = scorer(Sample(id=str(i), target=target), Prompt(), Reply(text=text))
        points.append(
            Point(str(i), 0, "", "", score.verdict, score.value, score.answer, target, 0, score.parts)
        )
    return points


def test_rmse_excludes_unanswered_samples():
    points = score_points(
        "PP-ESOL", "official", [(0.0, "<NUMBER> 3 </NUMBER>"), (0.0, "<NUMBER> 4 </NUMBER>"), (0.0, "?")]
    )
    assert metric_function("PP-ESOL", "official", "rmse")(points) == pytest.approx(12.5**0.5)
    assert metric_function("PP-ESOL", "official", "answered")(points) == pytest.approx(2 / 3)
    with raises(ValueError):
        metric_function("PP-ESOL", "official", "rmse")(points[2:])


def test_missing_numbers_are_imputed_by_the_training_mean_or_the_largest_error(tmp_path):
    task = "property_prediction-esol"
    with ZipFile(tmp_path / "data.zip", "w") as file:
        split = {"template_name": "plain", "samples": [{"idx": i, "template_id": 0} for i in range(2)]}
        file.writestr(f"sample/instruction_tuning/test/{task}.json", json.dumps(split))
        file.writestr(f"template/plain/{task}.json", '[{"input": "<INPUT>", "output": "<OUTPUT>"}]')
        file.writestr(f"core_tag/{task}.json", '{"input": [null, null], "output": ["<NUMBER>", "</NUMBER>"]}')
        file.writestr(
            f"raw/test/{task}.jsonl", '{"input": "C", "output": "1.0"}\n{"input": "CC", "output": "2.0"}\n'
        )
        file.writestr(
            f"raw/train/{task}.jsonl", "".join(f'{{"input": "C", "output": "{x}"}}\n' for x in (-4, 1, 6))
        )
    esol = suite("PP-ESOL")
    (scorer,) = esol.scorers.values()
    items = list(checked_samples(esol, Data(suite="smolinstruct", local=tmp_path / "data.zip")))
    replies = (Reply(text="\\boxed{4}"), Reply(text="no idea"))
    scores = [scorer(sample, Prompt(), reply) for sample, reply in zip(items, replies, strict=True)]
    points = [
        Point(sample.id, 0, "", "", score.verdict, score.value, score.answer, sample.target, 0, score.parts)
        for sample, score in zip(items, scores, strict=True)
    ]
    assert metric_function("PP-ESOL", "strict", "rmse")(points) == 3.0
    assert metric_function("PP-ESOL", "strict", "rmse_imputed")(points) == pytest.approx(((9 + 1) / 2) ** 0.5)
    assert metric_function("PP-ESOL", "strict", "rmse_worst")(points) == pytest.approx(((9 + 36) / 2) ** 0.5)
    with raises(ValueError):
        metric_function("PP-ESOL", "official", "rmse_worst")([])


def test_opencompass_scores_unparsed_replies_as_0_in_the_mean_absolute_error():
    points = score_points("PP-ESOL", "intern-s1", [(0.0, "\\boxed{3}"), (-5.0, "?")])
    assert metric_function("PP-ESOL", "intern-s1", "mae_unread_as_0")(points) == 4.0


def test_similarity_is_averaged_over_valid_or_over_all_answers():
    pairs = [("CCO", "<SMILES> CCO </SMILES>"), ("CCO", "<SMILES> C(C)(C)(C)(C)C </SMILES>")]
    official, strict, intern_s1 = (
        score_points("MG", protocol, pairs) for protocol in ("official", "strict", "intern-s1")
    )
    assert metric_function("MG", "official", "morgan_of_valid")(official) == 1.0
    assert metric_function("MG", "official", "validity")(official) == 0.5
    assert metric_function("MG", "strict", "morgan")(strict) == 0.5
    assert metric_function("MG", "strict", "morgan_of_valid")(strict) == 1.0
    assert metric_function("MG", "intern-s1", "morgan_bits")(intern_s1) == 0.5


def test_subset_and_intersection_count_partly_right_reactants():
    pairs = [("CCO.CN", "<SMILES> CCO </SMILES>"), ("CCO.CN", "<SMILES> CCO.CC </SMILES>"), ("CCO.CN", "?")]
    points = score_points("RS", "official", pairs)
    assert metric_function("RS", "official", "subset")(points) == pytest.approx(1 / 3)
    assert metric_function("RS", "official", "intersection")(points) == pytest.approx(2 / 3)


def test_mcc_and_f1_of_the_authors_exclude_invalid_answers():
    yes, no = "<BOOLEAN> Yes </BOOLEAN>", "<BOOLEAN> No </BOOLEAN>"
    pairs = [("yes", yes), ("no", no), ("yes", no), ("no", yes), ("yes", yes), ("no", "perhaps")]
    official = score_points("PP-HIV", "official", pairs)
    assert metric_function("PP-HIV", "official", "accuracy")(official) == 0.5
    assert metric_function("PP-HIV", "official", "f1")(official) == pytest.approx(2 / 3)
    assert metric_function("PP-HIV", "official", "mcc")(official) == pytest.approx(1 / 6)
