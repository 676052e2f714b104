"""Files of other harnesses are imported as runs.

Some files are published recordings: ChemBench reports, outputs of MathVista, MATH-Vision, MMLU-Pro and MMMU. Files of
lm-eval are written by our own export; those of OpenCompass, VLMEvalKit and SciEvalKit are written here as their
documentation describes them.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.interop import formats
from evals.interop.matching import Finder, normalise
from evals.records import store
from evals.types import Sample, Text
from tests.support.command import evals
from tests.support.lazy import lazy
from tests.support.paths import ROOT

openpyxl = lazy("openpyxl")

SAMPLES = ROOT / "suites" / "samples"
ITEMS = [json.loads(row) for row in (SAMPLES / "mmlu_pro" / "test.jsonl").read_text().splitlines()]


def import_run(*arguments: object, results: Path) -> Any:
    outcome = evals("import", *arguments, "--results", results, "--json")
    assert outcome.status == 0, outcome.err
    (run,) = outcome.json["runs"]
    return run


# --- published recordings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "right", "origin"),
    [
        ("chembench/reports/llama3.1-8b-instruct.jsonl.gz", 1311, "import chembench"),
        pytest.param(
            "chembench/reports/gemma-2-9b-it.jsonl.gz", 1336, "import chembench", marks=pytest.mark.slow
        ),
        pytest.param(
            "chembench/reports/random_baseline.jsonl.gz", 736, "import chembench", marks=pytest.mark.slow
        ),
        ("mathvista/outputs/output_bard.json.gz", 348, "import mathvista"),
        pytest.param(
            "mathvista/outputs/output_llava_llama_2_13b.json.gz",
            261,
            "import mathvista",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "mathvista/outputs/output_random_guess.json.gz", 179, "import mathvista", marks=pytest.mark.slow
        ),
        ("mathvision/outputs/Gemini-Pro.jsonl.gz", 538, "import mathvision"),
        pytest.param(
            "mathvision/outputs/Qwen-VL-Max.jsonl.gz", 474, "import mathvision", marks=pytest.mark.slow
        ),
        pytest.param(
            "mmlu_pro/outputs/model_outputs_gemini-1.5-flash-002_5shots.zip",
            7679,
            "import mmlu-pro",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "mmlu_pro/outputs/model_outputs_Mistral-7B-Instruct-v0.2_5shots.zip",
            3632,
            "import mmlu-pro",
            marks=pytest.mark.slow,
        ),
        ("mmmu/example_outputs/llava1.5_13b", 329, "import mmmu"),
        ("mmmu_pro/gpt-4o_standard_10_options__direct.jsonl.gz", 694, "import mmmu"),
        pytest.param("mmmu_pro/gpt-4o_vision_direct.jsonl.gz", 725, "import mmmu", marks=pytest.mark.slow),
    ],
)
def test_formats_of_published_recordings_are_detected_and_scores_match_the_published_ones(
    path: str, right: int, origin: str, shared: Path, mirror: Path, tmp_path: Path
) -> None:
    arguments = (shared / "data" / path, "--data", mirror, "--protocol", "official")
    run = import_run(*arguments, results=tmp_path)
    assert (run["counts"]["right"], run["origin"]) == (right, origin)


@pytest.mark.slow
def test_records_scored_upstream_with_another_gold_answer_are_reported(
    shared: Path, mirror: Path, tmp_path: Path
) -> None:
    path = shared / "data" / "mmlu_pro" / "outputs" / "model_outputs_gemini-1.5-flash-002_5shots.zip"
    outcome = evals("import", path, "--data", mirror, "--protocol", "official", "--results", tmp_path)
    assert "30 records scored against a gold answer that differs from ours" in outcome.err
    (run,) = store.runs(tmp_path)
    assert run.card.model == "gemini-1.5-flash-002"
    upstream_rows = [json.loads(row) for row in (run.path / "theirs.jsonl").read_text().splitlines()]
    assert sum(bool(row.get("gold")) for row in upstream_rows) == 30
    assert sum(row["score"] or 0.0 for row in upstream_rows) == 7699  # .6409 of 12,012
    items = evals("audit", run.card.run, "--results", tmp_path, "--json").json["items"]
    assert [item["their_why"].startswith("their gold answer is") for item in items].count(False) == 0


def test_an_mmlu_pro_folder_is_one_run_and_an_unparsed_answer_has_no_upstream_score(tmp_path: Path) -> None:
    folder = tmp_path / "some-model"
    folder.mkdir()
    rows = [
        item | {"pred": pred, "model_outputs": output}
        for item, pred, output in zip(ITEMS, ("A", None, "B"), ("ANSWER: A", "Well.", None), strict=False)
    ]
    (folder / "math_result.json").write_text(json.dumps(rows))
    (folder / "summary.json").write_text('{"total": {"corr": 1.0, "wrong": 2.0, "acc": 0.3333}}')
    run = import_run(folder, "--sample", results=tmp_path / "r")
    assert run["model"] == "some-model"
    assert "mmlu-pro states mmlu_pro accuracy (random letter if none was parsed) 0.3333" in run["notes"]
    assert (run["counts"]["unanswered"], run["counts"]["absent"]) == (1, len(ITEMS) - 3)
    upstream_rows = [
        json.loads(row)
        for row in (store.runs(tmp_path / "r")[0].path / "theirs.jsonl").read_text().splitlines()
    ]
    assert [row.get("score") for row in upstream_rows] == [float(ITEMS[0]["answer"] == "A"), None, None]


def test_a_zip_archive_of_mmlu_pro_subjects_is_imported_and_other_archives_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "model_outputs_a-model_5shots.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(("out/math_result.json", "out/law_result.json")):
            archive.writestr(name, json.dumps([ITEMS[number] | {"pred": "A", "generated_text": "ANSWER: A"}]))
        archive.writestr("out/law_summary.json", "{}")
    run = import_run(path, "--sample", results=tmp_path / "r")
    assert (run["model"], run["counts"]["absent"]) == ("a-model", len(ITEMS) - 2)
    for form in ("mmmu", "mmlu-pro"):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            for name in ("../a.json", "b.json", "c.txt"):
                archive.writestr(name, "[]")
        outcome = evals(
            "import", form, tmp_path / "x.zip", "--suite", "mmlu-pro", "--sample", "--results", tmp_path / "s"
        )
        outcome.assert_usage_error()
    assert not (tmp_path / "a.json").exists()


def test_importing_a_bundle_or_a_truncated_archive_is_a_usage_error(run_folder: Path) -> None:
    assert evals("bundle", "one", run_folder / "b.zip", "--results", run_folder / "r").status == 0
    evals("import", run_folder / "b.zip", "--sample", "--results", run_folder / "s").assert_usage_error()
    (run_folder / "broken.zip").write_bytes((run_folder / "b.zip").read_bytes()[:1000])
    evals("import", run_folder / "broken.zip", "--sample", "--results", run_folder / "s").assert_usage_error()


# --- lm-eval -------------------------------------------------------------------------------------------------------


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    replies = tmp_path / "replies.json"
    replies.write_text(json.dumps(["I think. ANSWER: B", "ANSWER: A", "I cannot say", ""]))
    arguments = (
        "mmlu-pro",
        "--sample",
        "-m",
        f"scripted:list={replies}",
        "--repeats",
        2,
        "--run",
        "one",
        "--temperature",
        0.7,
    )
    assert evals("run", *arguments, "--results", tmp_path / "r").status == 0
    return tmp_path


def test_a_round_trip_through_the_lm_eval_format_keeps_records_scores_and_sampling(run_folder: Path) -> None:
    assert (
        evals("export", "lm-eval", "one", "--out", run_folder / "out", "--results", run_folder / "r").status
        == 0
    )
    run = import_run(run_folder / "out" / "scripted", "--sample", results=run_folder / "again")
    before = store.find_one(run_folder / "r", "one")
    after = store.find_one(run_folder / "again", run["run"])
    assert run["counts"] == before.card.counts
    assert [e.value for e in after.card.estimates] == [e.value for e in before.card.estimates]
    assert after.card.config.sampling == before.card.config.sampling
    original, reimported = (
        {
            (r.sample, r.repeat): (
                r.outcome.text,
                r.outcome.reasoning,
                r.outcome.usage,
                r.outcome.seconds,
                r.prompt.order,
            )
            for r in stored.records()
        }
        for stored in (before, after)
    )
    assert original == reimported


def lm_eval_line(item: dict[str, Any], number: int, resps: Any, **fields: Any) -> dict[str, Any]:
    prompt = f"Question: {item['question']}\nOptions:\n" + "\n".join(
        f"{chr(65 + i)}. {option}" for i, option in enumerate(item["options"])
    )
    return {
        "doc_id": number, "doc": {"question": item["question"].upper(), "options": item["options"]}, "target": "X",
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {}}}, "resps": resps, "filtered_resps": ["B"],
        "filter": "custom-extract", "metrics": ["exact_match"], "exact_match": 1.0,
    } | fields  # fmt: skip


def test_lm_eval_records_are_matched_by_question_and_letters_follow_the_shown_order(tmp_path: Path) -> None:
    reversed_item = ITEMS[0] | {"options": ITEMS[0]["options"][::-1]}
    letter = chr(ord("A") + len(reversed_item["options"]) - 1 - ITEMS[0]["answer_index"])
    lines = [
        lm_eval_line(reversed_item, 0, [[f"The answer is ({letter})."]]),
        lm_eval_line(reversed_item, 0, [[f"The answer is ({letter})."]], filter="another"),
        lm_eval_line({"question": "What of it?", "options": ["a"]}, 1, [["A"]]),
    ]
    path = tmp_path / "samples_mmlu_pro_math_2026-01-01T00-00-00.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcome = evals(
        "import", path, "--sample", "--model", "m", "--protocol", "official", "--results", tmp_path / "r"
    )
    assert "1 record without a matching sample" in outcome.err
    run = store.runs(tmp_path / "r")[0]
    assert run.card.counts["right"] == 1
    (upstream_row,) = [json.loads(row) for row in (run.path / "theirs.jsonl").read_text().splitlines()]
    assert (upstream_row["score"], upstream_row["answer"]) == (1.0, "B")


def test_likelihoods_become_the_most_likely_letter(tmp_path: Path) -> None:
    resps = [[["-3.0", "False"]], [["-0.5", "True"]], [["-9", "False"]]]
    path = tmp_path / "samples_mmlu_pro_2026-01-01T00-00-00.jsonl"
    path.write_text(json.dumps(lm_eval_line(ITEMS[1], 0, resps)) + "\n")
    import_run(path, "--sample", "--model", "m", results=tmp_path / "r")
    (record,) = store.runs(tmp_path / "r")[0].records()
    assert record.outcome.text == "ANSWER: B"


# --- written here as documented -----------------------------------------------------------------------------------


def test_opencompass_predictions_split_over_files_are_imported_with_upstream_scores(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "predictions" / "intern-s1-api"
    folder.mkdir(parents=True)
    results = tmp_path / "out" / "results" / "intern-s1-api"
    results.mkdir(parents=True)
    rows = {
        str(i): {
            "origin_prompt": [{"role": "HUMAN", "prompt": f"Answer this.\n\nQ: {item['question']}\nA. x"}],
            "prediction": f"ANSWER: {item['answer']}",
            "gold": item["answer"],
        }
        for i, item in enumerate(ITEMS[:4])
    }
    for part in (0, 1):
        part_rows = {k: v for k, v in rows.items() if int(k) // 2 == part}
        (folder / f"mmlu_pro_math_{part}.json").write_text(json.dumps(part_rows))
    details = [{"pred": "A", "correct": i != 3} for i in range(4)]
    (results / "mmlu_pro_math.json").write_text(json.dumps({"accuracy": 75.0, "details": details}))
    run = import_run(tmp_path / "out", "--sample", results=tmp_path / "r")
    assert (run["counts"]["right"], run["model"]) == (4, "intern-s1-api")
    assert "opencompass states mmlu_pro_math accuracy 75" in run["notes"]
    upstream_lines = (store.runs(tmp_path / "r")[0].path / "theirs.jsonl").read_text().splitlines()
    assert [json.loads(row)["score"] for row in upstream_lines] == [1.0, 1.0, 1.0, 0.0]


def test_vlmevalkit_failed_calls_are_failures_and_cells_with_formulas_are_texts(tmp_path: Path) -> None:
    items = [json.loads(row) for row in (SAMPLES / "mmstar" / "items.jsonl").read_text().splitlines()][:3]
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["index", "question", "answer", "prediction", "hit"])
    quoting_reply = f"Failed? 'Failed to obtain answer' is no option. The answer is {items[2]['answer']}"
    predictions = ["Failed to obtain answer via API.", "=1+1", quoting_reply]
    for item, text in zip(items, predictions, strict=True):
        sheet.append([item["index"], item["question"], item["answer"], text, 0])
    sheet.append([1_000_000 + int(items[0]["index"]), "circular", "A", "A", 1])
    book.save(tmp_path / "m_MMStar.xlsx")
    run = import_run(tmp_path / "m_MMStar.xlsx", "--sample", results=tmp_path / "r")
    assert run["model"] == "m"
    assert run["counts"]["failed:imported"] == 1
    texts = [r.outcome.text for r in store.runs(tmp_path / "r")[0].records() if hasattr(r.outcome, "text")]
    assert {"=1+1", quoting_reply} <= set(texts)


def write_scieval_folder(folder: Path) -> Path:
    """Write the files of a SciEvalKit run of TRQA: replies, verdicts and scores."""
    out = folder / "outputs" / "m" / "T20260617_G0817251a"
    out.mkdir(parents=True)
    rows = [json.loads(line) for line in (SAMPLES / "trqa" / "TRQA.jsonl").read_text().splitlines()]
    header = ("index", "question", "answer", "prediction")
    predictions = [f"<choice>{row['Answer']}</choice>" for row in rows[:-1]] + [
        "Failed to obtain answer via API."
    ]
    table = [
        (row.get("index", n), row["Question"], row["Answer"], text)
        for n, (row, text) in enumerate(zip(rows, predictions, strict=True), 1)
    ]
    tsv = ["\t".join(map(str, line)) for line in (header, *table)]
    (out / "m_TRQA.tsv").write_text("\n".join(tsv) + "\n")
    hits = [
        f"{line}\t{hit}" for line, hit in zip(tsv, ["hit", "False", *["True"] * (len(rows) - 1)], strict=True)
    ]
    (out / "m_TRQA_judge.tsv").write_text("\n".join(hits) + "\n")
    (out / "m_TRQA_score.csv").write_text("TRQA-Acc(%)\n87.5\n")
    return folder


def test_scieval_tables_are_imported_with_upstream_verdicts_and_scores(tmp_path: Path) -> None:
    folder = write_scieval_folder(tmp_path)
    outcome = evals("import", "scieval", folder, "--sample", "--protocol", "official", "--results", tmp_path / "r", "--json")  # fmt: skip
    assert outcome.status == 0, outcome.err
    (run,) = outcome.json["runs"]
    assert (run["suite"], run["model"]) == ("trqa", "m")
    assert run["counts"]["failed:imported"] == 1
    assert run["counts"]["right"] == sum(run["counts"].values()) - 1
    assert "scieval states TRQA Overall score 87.5" in run["notes"]
    audit = evals("audit", run["run"], "--results", tmp_path / "r", "--json").json
    assert [(item["ours"], item["theirs"]) for item in audit["items"] if item["ours"] == 1.0] == [(1.0, 0.0)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m_TRQA.tsv", "index\tquestion\n1\tWhy?\n"),
        ("m_TRQA.json", "{"),
        ("m_Other.tsv", "index\tprediction\n1\tA\n"),
    ],
    ids=["no predictions", "not JSON", "unknown data set"],
)
def test_an_invalid_scieval_table_is_a_usage_error(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(content)
    outcome = evals("import", "scieval", tmp_path / "in", "--sample", "--results", tmp_path / "r")
    outcome.assert_usage_error()
    assert not (tmp_path / "r").exists()


def test_a_workbook_that_is_a_zip_bomb_is_rejected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m_MMStar.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"0" * (80 << 20))
    outcome = evals("import", tmp_path / "m_MMStar.xlsx", "--sample", "--results", tmp_path / "r")
    outcome.assert_usage_error()


def test_pickles_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"cos\nsystem\n(S'touch /tmp/hacked'\ntR.")
    outcome = evals(
        "import", "vlmevalkit", tmp_path / "x.pkl", "--suite", "mmstar", "--sample", "--results", tmp_path
    )
    outcome.assert_usage_error()


# --- invalid input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", formats.READERS)
def test_a_broken_or_unrelated_file_is_a_usage_error(form: str, tmp_path: Path) -> None:
    ending = {"vlmevalkit": "tsv", "mathvision": "jsonl", "chembench": "jsonl", "lm-eval": "jsonl"}.get(
        form, "json"
    )
    path = tmp_path / f"samples_x.{ending}"
    for content in (b"", b"{", b"\x00\xff\x00", b'{"a": 1}', b"[[1]]", b"null\n", b"PK\x03\x04"):
        path.write_bytes(content)
        arguments = ("--suite", "mmlu-pro", "--sample", "--model", "m", "--results", tmp_path / "r")
        evals("import", form, path, *arguments).assert_usage_error()
    assert not list((tmp_path / "r").glob("**/card.json"))


@pytest.mark.parametrize(
    "arguments",
    [("lmeval", "{}"), ("{}",), ("{}/none",)],
    ids=["mistyped format", "unknown format", "missing path"],
)
def test_a_mistyped_format_or_path_is_a_usage_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    command = [argument.format(tmp_path / "x") for argument in arguments]
    evals("import", *command, "--results", tmp_path / "r").assert_usage_error()


def test_the_error_for_an_unknown_task_asks_for_the_suite(tmp_path: Path) -> None:
    path = tmp_path / "samples_winogrande_2026-01-01T00-00-00.jsonl"
    path.write_text(json.dumps(lm_eval_line(ITEMS[0], 0, [["A"]])) + "\n")
    outcome = evals("import", path, "--model", "m", "--results", tmp_path / "r")
    outcome.assert_usage_error()


# --- matching ------------------------------------------------------------------------------------------------------


def sample(name: str, question: str, *choices: str) -> Sample:
    return Sample(id=name, question=(Text(question),), target="A", choices=choices)


def test_a_few_shot_prompt_matches_its_last_question() -> None:
    finder = Finder(
        [sample("a", "What is the capital of France?"), sample("b", "What is the capital of Italy?")]
    )
    prompt = "Q: What is the capital of France?\nA: Paris\n\nQ: what is the  capital of ITALY?\nA:"
    assert finder.by_prompt(prompt) == ["b"]


def test_options_match_if_a_harness_has_removed_their_tags() -> None:
    finder = Finder([sample("a", "Which molecule?", "[START_SMILES]CCO[END_SMILES]", r"\ce{H2O}")])
    assert finder.option_order("a", ["H2O", "CCO"]) == (1, 0)


def test_samples_with_equal_questions_are_distinguished_by_their_options() -> None:
    finder = Finder([sample("a", "Which?", "x", "y"), sample("b", "Which?", "x", "z")])
    assert finder.by_question("which?", ["z", "x"]) == ["b"]
    assert finder.option_order("b", ["z", "x"]) == (1, 0)
    assert finder.option_order("b", ["z", "w"]) is None


@pytest.mark.slow
@given(st.text(max_size=200))
def test_normalisation_is_idempotent(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


# --- audit ---------------------------------------------------------------------------------------------------------


def test_an_audit_lists_every_disagreement_with_both_answers(tmp_path: Path) -> None:
    golds = [chr(ord("A") + item["answer_index"]) for item in ITEMS[:6]]
    lines = [
        lm_eval_line(item, i, [[f"ANSWER: {gold}"]], exact_match=float(i != 2), filtered_resps=["Z"])
        for i, (item, gold) in enumerate(zip(ITEMS, golds, strict=False))
    ]
    lines[4] |= {"resps": [["ANSWER: none"]], "exact_match": 0.0}
    path = tmp_path / "samples_mmlu_pro_2026-01-01T00-00-00.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = import_run(path, "--sample", "--model", "m", results=tmp_path / "r")
    audit = evals("audit", run["run"], "--results", tmp_path / "r", "--json").json
    assert (audit["n"], audit["agreed"], audit["only_ours"], audit["only_theirs"]) == (6, 5, 1, 0)
    (item,) = audit["items"]
    assert (item["id"], item["verdict"], item["theirs"], item["their_answer"]) == (
        str(ITEMS[2]["question_id"]),
        "right",
        0.0,
        "Z",
    )
    assert audit["kappa"][0] == pytest.approx(0.5714, abs=1e-3)
    assert audit["kappa"][1] <= audit["kappa"][0] <= audit["kappa"][2]
    assert "5 of 6 agree" in evals("audit", run["run"], "--results", tmp_path / "r").out


def test_auditing_a_run_that_was_not_imported_is_a_usage_error(run_folder: Path) -> None:
    evals("audit", "one", "--results", run_folder / "r").assert_usage_error()


def test_our_verdicts_on_mathvision_recordings_agree_with_upstreams(
    shared: Path, mirror: Path, tmp_path: Path
) -> None:
    arguments = (shared / "data" / "mathvision" / "outputs" / "Gemini-Pro.jsonl.gz", "--data", mirror)
    run = import_run(*arguments, "--protocol", "official", results=tmp_path)
    audit = evals("audit", run["run"], "--results", tmp_path, "--json").json
    # upstream's own code, when it is run again, reads the remaining reply differently
    assert (audit["n"], audit["agreed"]) == (3040, 3039)
