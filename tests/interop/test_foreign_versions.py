"""Files of other versions of the tools are imported: lighteval before 0.10, ChemBench up to 0.3.0, early HELM.

Complete folders of OpenCompass and VLMEvalKit are imported, too. The tests write the files in the formats that the source
code of the tools writes.
"""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from evals.interop.matching import Finder
from evals.interop.tasks import suite_of
from evals.records import store
from evals.types import Reply, Sample, Text
from tests.support.command import evals
from tests.support.lazy import lazy
from tests.support.paths import ROOT, TESTS
from tests.support.tables import table

openpyxl = lazy("openpyxl")

SAMPLES = ROOT / "suites" / "samples"
FOREIGN = TESTS / "foreign"


def sample_rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(row) for row in (SAMPLES / path).read_text().splitlines()]


ITEMS = sample_rows("mmlu_pro/test.jsonl")[:4]
WRONG_LETTERS = ["B" if item["answer"] == "A" else "A" for item in ITEMS]


def write_json(path: Path, content: Any, *, lines: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in content) if lines else json.dumps(content))
    return path


def import_run(*arguments: object, results: Path) -> store.Run:
    outcome = evals("import", *arguments, "--sample", "--results", results)
    assert outcome.status == 0, outcome.err
    (run,) = store.runs(results)
    return run


def replies(run: store.Run) -> dict[tuple[str, int], str | None]:
    return {
        (record.sample, record.repeat): record.outcome.text if isinstance(record.outcome, Reply) else None
        for record in run.records()
    }


def upstream_scores(run: store.Run) -> list[float | None]:
    rows = [json.loads(row) for row in (run.path / "theirs.jsonl").read_text().splitlines()]
    return [row.get("score") for row in rows]


def counts(run: store.Run) -> dict[str, int]:
    return {name: n for name, n in run.card.counts.items() if n and name != "absent"}


def prompt(item: dict[str, Any]) -> str:
    options = "\n".join(f"{chr(65 + i)}. {text}" for i, text in enumerate(item["options"]))
    return f"Answer this.\n\nQ: {item['question']}\n{options}"


# --- lm-eval -------------------------------------------------------------------------------------------------------


def lm_eval_rows() -> list[dict[str, Any]]:
    return [
        {
            "doc_id": n, "doc": item, "target": item["answer"], "arguments": [[prompt(item), {"until": ["Q:"]}]],
            "resps": [[f"The answer is ({letter})."]], "filtered_resps": [letter], "exact_match": float("nan") if n == 3 else 1.0,
            "metrics": ["exact_match"],
        }
        for n, (item, letter) in enumerate(zip(ITEMS, [ITEMS[0]["answer"], *WRONG_LETTERS[1:]], strict=True))
    ]  # fmt: skip


LM_EVAL_RESULTS: dict[str, Any] = {
    "results": {
        "mmlu_pro_math": {"exact_match,none": 0.25, "exact_match_stderr,none": float("nan")},
        "mmlu_pro": {"exact_match,none": 0.5},
    },
    "group_subtasks": {"mmlu_pro": ["mmlu_pro_math"]},
    "configs": {"mmlu_pro_math": {"generation_kwargs": {"temperature": 0.0, "max_gen_toks": 64}}, "math": {}},
    "versions": {"mmlu_pro_math": 1.0},
    "n-shot": {},
    "model_name": "lab/m-7b",
    "config": {"model": "hf", "model_args": "pretrained=lab/m-7b,dtype=bfloat16"},
}


def test_lm_eval_scores_of_a_task_and_its_group_are_noted_and_nan_is_no_score(tmp_path: Path) -> None:
    stamp = "2026-01-01T00-00-00"
    write_json(tmp_path / "out" / f"results_{stamp}.json", LM_EVAL_RESULTS)
    write_json(tmp_path / "out" / f"samples_mmlu_pro_math_{stamp}.jsonl", lm_eval_rows(), lines=True)
    run = import_run(tmp_path / "out", "--protocol", "official", results=tmp_path / "r")
    assert (run.card.model, counts(run)) == ("lab/m-7b", {"right": 1, "wrong": 3})
    assert upstream_scores(run) == [1.0, 1.0, 1.0, None]
    assert (run.card.config.sampling.temperature, run.card.config.sampling.max_tokens) == (0.0, 64)
    assert "lm-eval states mmlu_pro_math exact_match,none 0.25" in run.card.notes
    # the score of the group, which is the one that is usually published
    assert "lm-eval states mmlu_pro exact_match,none 0.5" in run.card.notes


def test_files_of_lm_eval_before_0_4_3_are_a_usage_error(tmp_path: Path) -> None:
    write_json(tmp_path / "out" / "results.json", LM_EVAL_RESULTS)
    write_json(tmp_path / "out" / "pretrained__lab__m-7b_mmlu_pro_math.jsonl", lm_eval_rows())
    evals("import", "lm-eval", tmp_path / "out", "--sample", "--results", tmp_path / "r").assert_usage_error()


def test_sample_files_of_the_open_llm_leaderboard_are_imported_despite_their_suffix_json(
    tmp_path: Path,
) -> None:
    name = "samples_leaderboard_mmlu_pro_2024-06-16T19-10-04.926831.json"
    resps = [
        [[str(-float(letter != item["answer"])), "False"]] for item in ITEMS[:1] for letter in "ABCDEFGHIJ"
    ]
    row = lm_eval_rows()[0] | {"resps": resps, "acc": 1.0, "metrics": ["acc"]}
    write_json(tmp_path / name, [row])
    run = import_run(tmp_path / name, "--model", "m", results=tmp_path / "r")
    assert (counts(run), upstream_scores(run)) == ({"right": 1}, [1.0])


def test_tasks_without_a_suite_and_tasks_with_other_questions_are_left_out_with_a_message(
    tmp_path: Path,
) -> None:
    stamp = "2026-01-01T00-00-00"
    for task, rows in {
        "mmlu_pro": lm_eval_rows(),
        "winogrande": lm_eval_rows(),
        "aime25": [lm_eval_rows()[0] | {"doc": {"problem": "Another one?"}, "arguments": []}],
    }.items():
        write_json(tmp_path / "out" / f"samples_{task}_{stamp}.jsonl", rows, lines=True)
    outcome = evals("import", tmp_path / "out", "--model", "m", "--sample", "--results", tmp_path / "r")
    assert [run.card.config.suite for run in store.runs(tmp_path / "r")] == ["mmlu-pro"]
    assert "left out: winogrande" in outcome.err
    assert "none of its replies matches a sample of aime:2025" in outcome.err


# --- lighteval -----------------------------------------------------------------------------------------------------


def test_flat_columns_of_lighteval_before_0_10_are_imported(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    predictions = [f"ANSWER: {ITEMS[0]['answer']}", f"ANSWER: {WRONG_LETTERS[1]}", ""]
    rows = [
        {
            "example": prompt(item), "full_prompt": prompt(item), "predictions": [text], "choices": list("ABCD"),
            "metrics": {"extractive_match": float(n == 0)}, "cont_tokens": [[1]] if text else [[]],
            "instruction": "", "gold_index": [0],
        }
        for n, (item, text) in enumerate(zip(ITEMS, predictions, strict=False))
    ]  # fmt: skip
    folder = tmp_path / "details" / "lab" / "m" / "2025-01-01T00-00-00.0"
    folder.mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist(rows), folder / "details_lighteval|mmlu_pro|0_2025-01-01T00-00-00.0.parquet"
    )
    run = import_run(tmp_path, results=tmp_path / "r")
    assert (run.card.model, counts(run)) == ("lab/m", {"right": 1, "wrong": 1, "failed:imported": 1})
    assert upstream_scores(run) == [1.0, 0.0, None]


def test_python_literals_written_by_lighteval_before_0_6_are_a_usage_error(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = {"example": "q", "full_prompt": "q", "predictions": "['ANSWER: A']", "metrics": "{'acc': 1.0}"}
    path = tmp_path / "details_leaderboard|mmlu_pro|5_2024-01-01T00-00-00.0.parquet"
    pq.write_table(pa.Table.from_pylist([row]), path)
    evals("import", path, "--model", "m", "--sample", "--results", tmp_path / "r").assert_usage_error()


def test_likelihoods_of_older_lighteval_become_the_most_likely_letter(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    letters = [f" {chr(65 + i)}" for i in range(len(ITEMS[0]["options"]))]
    values = [-float(letter.strip() != ITEMS[0]["answer"]) for letter in letters]
    row = {
        "example": prompt(ITEMS[0]), "full_prompt": prompt(ITEMS[0]), "predictions": values, "choices": letters,
        "metrics": {"acc": 1.0},
    }  # fmt: skip
    path = tmp_path / "details_leaderboard|mmlu_pro|5_2025-01-01T00-00-00.0.parquet"
    pq.write_table(pa.Table.from_pylist([row]), path)
    run = import_run(path, "--model", "m", results=tmp_path / "r")
    assert (counts(run), upstream_scores(run)) == ({"right": 1}, [1.0])


# --- OpenCompass ---------------------------------------------------------------------------------------------------


def prediction(item: dict[str, Any], text: Any) -> dict[str, Any]:
    return {"origin_prompt": prompt(item), "prediction": text, "gold": item["answer"]}


def test_opencompass_copies_of_a_data_set_become_repeats_with_their_upstream_scores(tmp_path: Path) -> None:
    root = tmp_path / "20260102_030405"
    texts = [f"ANSWER: {item['answer']}" for item in ITEMS[:2]] + [
        f"ANSWER: {letter}" for letter in WRONG_LETTERS[:2]
    ]
    rows = {str(n): prediction(ITEMS[n % 2], text) for n, text in enumerate(texts)}
    write_json(root / "predictions" / "lab" / "m-api" / "mmlu_pro_math.json", rows)
    details = [
        {"example_abbr": f"mmlu_pro_math_{n}", "pred": ["X", "Y"], "correct": [True, False]} for n in (0, 1)
    ]
    scores = {"accuracy (2 runs average)": 50.0, "G-Pass@2_0.5": 0.0, "details": details}
    write_json(root / "results" / "lab" / "m-api" / "mmlu_pro_math.json", scores)
    (root / "configs").mkdir()
    (root / "configs" / "20260102_030405.py").write_text(
        "models=[dict(abbr='lab/m-api', max_out_len=4096, type='opencompass.models.OpenAISDK', temperature=0.6)]"
    )
    run = import_run(tmp_path, results=tmp_path / "r")
    assert (run.card.model, counts(run), run.card.config.repeats) == (
        "lab/m-api",
        {"right": 2, "wrong": 2},
        2,
    )
    assert upstream_scores(run) == [1.0, 1.0, 0.0, 0.0]
    assert "opencompass states mmlu_pro_math accuracy (2 runs average) 50" in run.card.notes
    assert (run.card.config.sampling.max_tokens, run.card.config.sampling.temperature) == (4096, 0.6)


def test_opencompass_judge_verdicts_are_read_by_letter_and_assigned_by_number(tmp_path: Path) -> None:
    texts = [f"ANSWER: {ITEMS[0]['answer']}", f"ANSWER: {WRONG_LETTERS[1]}"]
    write_json(
        tmp_path / "predictions" / "m" / "mmlu_pro.json",
        {str(n): prediction(ITEMS[n], t) for n, t in enumerate(texts)},
    )
    details = {
        "1": {"origin_prompt": "Judge", "prediction": "B", "gold": "x"},
        "0": {"prediction": "A", "gold": "y"},
    }
    write_json(tmp_path / "results" / "m" / "mmlu_pro.json", {"accuracy": 50.0, "details": details})
    run = import_run(tmp_path, results=tmp_path / "r")
    assert (counts(run), upstream_scores(run)) == ({"right": 1, "wrong": 1}, [1.0, 0.0])


def test_two_opencompass_runs_of_a_data_set_stay_separate_and_partial_files_are_read(tmp_path: Path) -> None:
    for name in ("20260101_000000", "20260102_000000"):
        rows = {"0": prediction(ITEMS[0], f"ANSWER: {ITEMS[0]['answer']}")}
        write_json(tmp_path / name / "predictions" / "m" / "mmlu_pro.json", rows)
    lines = [
        {"idx": "0", **prediction(ITEMS[0], "ANSWER: A")},
        {"idx": "1", **prediction(ITEMS[1], "ANSWER: A")},
    ]
    write_json(tmp_path / "20260102_000000" / "predictions" / "m" / "tmp_mmlu_pro.jsonl", lines, lines=True)
    write_json(tmp_path / "20260103_000000" / "predictions" / "m" / "tmp_mmlu_pro.jsonl", lines, lines=True)
    evals("import", tmp_path, "--sample", "--results", tmp_path / "r")
    assert sorted(len(replies(run)) for run in store.runs(tmp_path / "r")) == [1, 1, 2]


def test_opencompass_perplexities_become_the_chosen_label(tmp_path: Path) -> None:
    first, second = ITEMS[:2]
    rows: dict[str, Any] = {
        "0": {"label: A": {"testing input": prompt(first), "PPL": 2.0}, "prediction": first["answer"]},
        "1": {"origin_prompt": prompt(second), "prediction": {second["answer"]: 0.5, WRONG_LETTERS[1]: 0.9}},
        "2": {"prompt": prompt(ITEMS[2]), "prediction": [0.1, 0.9], "pred_label": ITEMS[2]["answer_index"]},
    }
    path = write_json(tmp_path / "predictions" / "m" / "mmlu_pro.json", rows)
    assert counts(import_run(path, results=tmp_path / "r")) == {"right": 3}


# --- VLMEvalKit ----------------------------------------------------------------------------------------------------


def write_workbook(path: Path, *rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


def test_a_vlmevalkit_folder_with_links_verdicts_scores_and_empty_cells_is_imported(tmp_path: Path) -> None:
    items = sample_rows("mmstar/items.jsonl")[:4]
    model = tmp_path / "lab-m"
    run_folder = model / "T20260101_G0123abcd"
    texts = [f"Well._x000D_\n{items[0]['answer']}", None, "Failed to obtain answer: <class 'E'> x", None]
    reasoning = [None, None, None, "Hm."]
    header = ["index", "question", "answer", "prediction", "thinking"]
    rows = [
        [i["index"], i["question"], i["answer"], t, r]
        for i, t, r in zip(items, texts, reasoning, strict=True)
    ]
    write_workbook(run_folder / "lab-m_MMStar.xlsx", header, *rows)
    write_workbook(
        run_folder / "lab-m_MMStar_exact_matching_result.xlsx",
        ["index", "hit"],
        *([i["index"], 1] for i in items),
    )
    with (run_folder / "lab-m_MMStar_acc.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["split", "Overall", "math"], ["none", 0.625, 1.0]])
    (model / "lab-m_MMStar.xlsx").symlink_to(run_folder / "lab-m_MMStar.xlsx")
    run = import_run(tmp_path, results=tmp_path / "r")
    assert (run.card.model, counts(run)) == ("lab-m", {"right": 1, "unanswered": 1, "failed:imported": 2})
    assert replies(run)[str(items[0]["index"]), 0] == f"Well.\r\n{items[0]['answer']}"
    assert "vlmevalkit states MMStar none Overall acc 0.625" in run.card.notes
    assert upstream_scores(run) == [1.0] * 4


def test_the_official_mathvista_rule_compares_the_answer_extracted_by_the_judge(
    tmp_path: Path,
) -> None:
    (item,) = sample_rows("mathvista/items.jsonl")[:1]
    row = {"index": item["pid"], "question": item["question"], "prediction": "It is what it is."}
    write_json(tmp_path / "m_MathVista_MINI.json", [row])
    write_json(tmp_path / "m_MathVista_MINI_gpt-4o-mini.json", [row | {"res": item["answer"], "log": ""}])
    scores = [{"Task&Skill": "Overall", "tot": 1, "hit": 1, "acc": 100.0}]
    write_json(tmp_path / "m_MathVista_MINI_gpt-4o-mini_score.json", scores)
    run = import_run(tmp_path, "--protocol", "official", results=tmp_path / "r")
    assert counts(run) == {"right": 1}
    assert "vlmevalkit states MathVista_MINI Overall score 100" in run.card.notes


# --- ChemBench, HELM -----------------------------------------------------------------------------------------------


def test_every_chembench_model_becomes_a_run_with_both_stated_scores_and_options_mapped_back(
    tmp_path: Path,
) -> None:
    task = next(
        row
        for row in (sample["task"] for sample in sample_rows("chembench/lamalab/tasks.jsonl"))
        if row["examples"][0].get("target_scores")
    )
    scores = task["examples"][0]["target_scores"]
    options = list(json.loads(scores) if isinstance(scores, str) else scores)[::-1]
    values = json.loads(scores) if isinstance(scores, str) else scores
    right = ",".join(chr(65 + i) for i, option in enumerate(options) if values[option])
    shown_options = "\n".join(f"{chr(65 + i)}. {option}" for i, option in enumerate(options))
    text = f"Question: {task['examples'][0]['input']}\n\nOptions:\n{shown_options}"
    result = {"completion": f"[ANSWER]{right}[/ANSWER]", "metrics": {"all_correct": 1}, "example_index": 0}
    report = {
        "uuid": task["uuid"], "name": "x", "preferred_score": "mcg", "results": [result],
        "prompts": {"batch": [{"messages": [{"role": "user", "content": text}]}]},
    }  # fmt: skip
    for model, score in (("m_1", 0.75), ("m_2", 0.5)):
        write_json(
            tmp_path / "reports" / model / "Organic_report.json", {"topic": "Organic", "results": [report]}
        )
        write_json(
            tmp_path / "reports" / model / "summary.json",
            {"overall_score": score, "benchmark_score": score / 2},
        )
    evals("import", tmp_path / "reports", "--sample", "--results", tmp_path / "r")
    runs = {run.card.model: run for run in store.runs(tmp_path / "r")}
    assert sorted(runs) == ["m_1", "m_2"]
    assert counts(runs["m_1"]) == {"right": 1}
    assert "chembench states score over completed questions 0.75" in runs["m_1"].card.notes
    assert "chembench states score over the whole benchmark 0.25" in runs["m_2"].card.notes
    write_json(tmp_path / "older" / "m" / "reports" / f"{'0' * 8}-0000-0000-0000-{'0' * 12}" / "x.json", [
        {"name": task["uuid"], "prompt": text, "output": {"text": result["completion"]}, "metrics": {"hamming": 0.0}}
    ])  # fmt: skip
    run = import_run(tmp_path / "older", results=tmp_path / "s")
    assert (run.card.model, counts(run), upstream_scores(run)) == ("m", {"right": 1}, [1.0])


def test_inputs_stored_as_plain_text_by_early_helm_are_imported(tmp_path: Path) -> None:
    (path,) = (FOREIGN / "helm").rglob("gpqa*/scenario_state.json")
    state = json.loads(path.read_text())
    for request_state in state["request_states"]:
        request_state["instance"]["input"] = request_state["instance"]["input"]["text"]
    write_json(tmp_path / "gpqa:subset=gpqa_diamond" / "scenario_state.json", state)
    run = import_run(tmp_path, "--suite", "gpqa:diamond", results=tmp_path / "r")
    assert counts(run) == {"right": 6, "wrong": 2, "truncated": 1, "failed:imported": 3}


# --- archives, names, options --------------------------------------------------------------------------------------


def test_a_zip_archive_of_a_folder_is_imported_like_the_folder(tmp_path: Path) -> None:
    root = FOREIGN / "opencompass" / "20260101_000000"
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        for file in root.rglob("*.json"):
            archive.write(file, f"20260101_000000/{file.relative_to(root)}")
    run = import_run(tmp_path / "run.zip", results=tmp_path / "r")
    assert (run.card.origin, run.card.source) == ("import opencompass", "run.zip")
    assert counts(run) == {"right": 9, "wrong": 2, "unanswered": 2, "failed:imported": 3}


@pytest.mark.parametrize(
    ("name", "content"),
    [("../evil.json", b"{}"), ("a.json", b" " * (80 << 20))],
    ids=["path", "bomb"],
)
def test_a_hostile_archive_is_a_usage_error(name: str, content: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b.json", b"{}")
        archive.writestr(name, content)
    evals("import", tmp_path / "x.zip", "--sample", "--results", tmp_path / "r").assert_usage_error()
    assert not (tmp_path / "evil.json").exists()


@table(
    ("task", "suite"),
    [
        ("leaderboard_gpqa_extended", "gpqa:extended"), ("leaderboard_mmlu_pro", "mmlu-pro"), ("mmlu_prox_de", None),
        ("ChemBench_Name_Conversion", "chembench:4k"), ("chembench", "chembench:lamalab"), ("gpqa-fr", None),
        ("mmmu_pro:vision", "mmmu:pro-vision"), ("mmmu_pro:standard-4", None), ("MMMU_DEV_VAL", "mmmu"),
        ("mmmu_multiple_choice", "mmmu"), ("matbench_expt_gap", "matbench:expt_gap"), ("aime2024-run3", "aime:2024"),
        ("MG-selfies", "mol-instructions:MG"), ("RNA-Modification-sample_1k", "biology-instructions:RNA-Modification"),
        ("PP-ESOL-0shot-instruct", "smolinstruct:PP-ESOL"), ("ChartQA_TEST", "chartqa"), ("winogrande", None),
    ],
)  # fmt: skip
def test_task_names_of_other_tools_are_mapped_to_suites(task: str, suite: str | None) -> None:
    assert suite_of(task) == suite


def test_shown_options_that_a_harness_shortened_are_recognised() -> None:
    choices = ("An acid [strong]", "A  base [weak]", "Salt", "Water")
    finder = Finder([Sample(id="a", question=(Text("Which?"),), target="A", choices=choices)])
    assert finder.option_order("a", ["Salt", "A base", "An acid", "Water"]) == (2, 1, 0, 3)
    assert finder.option_order("a", ["Salt", "Water", "An acid", "A basis, reworded"]) == (2, 3, 0, 1)
    assert finder.option_order("a", ["Salt", "Water", "x", "y"]) is None
