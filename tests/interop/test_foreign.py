"""Files of other harnesses become runs: recordings as they were published, the rest hand-made in the documented shape.

Real: ChemBench reports, MathVista and MATH-Vision outputs, lm-eval's format by our own export. Hand-made after the
documents of their makers: OpenCompass, VLMEvalKit.
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


def imported(*words: object, results: Path) -> Any:
    done = evals("import", *words, "--results", results, "--json")
    assert done.status == 0, done.err
    (run,) = done.json["runs"]
    return run


# --- real recordings -----------------------------------------------------------------------------------------------


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
def test_recordings_import_by_their_looks_with_the_published_counts(
    path: str, right: int, origin: str, shared: Path, mirror: Path, tmp_path: Path
) -> None:
    words = (shared / "data" / path, "--data", mirror, "--protocol", "official")
    run = imported(*words, results=tmp_path)
    assert (run["counts"]["right"], run["origin"]) == (right, origin)


@pytest.mark.slow
def test_replies_judged_by_another_gold_answer_are_named(shared: Path, mirror: Path, tmp_path: Path) -> None:
    path = shared / "data" / "mmlu_pro" / "outputs" / "model_outputs_gemini-1.5-flash-002_5shots.zip"
    done = evals("import", path, "--data", mirror, "--protocol", "official", "--results", tmp_path)
    assert "30 records scored against a gold answer that differs from ours" in done.err
    (run,) = store.runs(tmp_path)
    assert run.card.model == "gemini-1.5-flash-002"
    stated = [json.loads(row) for row in (run.path / "theirs.jsonl").read_text().splitlines()]
    assert sum(bool(row.get("gold")) for row in stated) == 30
    assert sum(row["score"] or 0.0 for row in stated) == 7699  # .6409 of 12,012
    items = evals("audit", run.card.run, "--results", tmp_path, "--json").json["items"]
    assert [item["their_why"].startswith("their gold answer is") for item in items].count(False) == 0


def test_a_folder_of_mmlu_pro_subjects_and_a_null_that_upstream_draws(tmp_path: Path) -> None:
    folder = tmp_path / "some-model"
    folder.mkdir()
    rows = [
        item | {"pred": pred, "model_outputs": said}
        for item, pred, said in zip(ITEMS, ("A", None, "B"), ("ANSWER: A", "Well.", None), strict=False)
    ]
    (folder / "math_result.json").write_text(json.dumps(rows))
    (folder / "summary.json").write_text('{"total": {"corr": 1.0, "wrong": 2.0, "acc": 0.3333}}')
    run = imported(folder, "--sample", results=tmp_path / "r")
    assert run["model"] == "some-model"
    assert "mmlu-pro states mmlu_pro accuracy (random letter if none was parsed) 0.3333" in run["notes"]
    assert (run["counts"]["unanswered"], run["counts"]["absent"]) == (1, len(ITEMS) - 3)
    stated = [
        json.loads(row)
        for row in (store.runs(tmp_path / "r")[0].path / "theirs.jsonl").read_text().splitlines()
    ]
    assert [row.get("score") for row in stated] == [float(ITEMS[0]["answer"] == "A"), None, None]


def test_a_zip_archive_of_subjects_and_one_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "model_outputs_a-model_5shots.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(("out/math_result.json", "out/law_result.json")):
            archive.writestr(name, json.dumps([ITEMS[number] | {"pred": "A", "generated_text": "ANSWER: A"}]))
        archive.writestr("out/law_summary.json", "{}")
    run = imported(path, "--sample", results=tmp_path / "r")
    assert (run["model"], run["counts"]["absent"]) == ("a-model", len(ITEMS) - 2)
    for form, said in (("mmmu", "contains 3 files, not one"), ("mmlu-pro", "none of its replies")):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            for name in ("../a.json", "b.json", "c.txt"):
                archive.writestr(name, "[]")
        done = evals(
            "import", form, tmp_path / "x.zip", "--suite", "mmlu-pro", "--sample", "--results", tmp_path / "s"
        )
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert said in done.err
    assert not (tmp_path / "a.json").exists()


def test_a_bundle_of_ours_is_no_foreign_file_and_a_broken_archive_is_one_line(ran: Path) -> None:
    assert evals("bundle", "one", ran / "b.zip", "--results", ran / "r").status == 0
    done = evals("import", ran / "b.zip", "--sample", "--results", ran / "s")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert f"is a science-evals bundle; use evals bundle verify {ran / 'b.zip'}" in done.err
    (ran / "broken.zip").write_bytes((ran / "b.zip").read_bytes()[:1000])
    done = evals("import", ran / "broken.zip", "--sample", "--results", ran / "s")
    assert (done.status, done.err.count("\n")) == (2, 1)


# --- lm-eval -------------------------------------------------------------------------------------------------------


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    said = tmp_path / "said.json"
    said.write_text(json.dumps(["I think. ANSWER: B", "ANSWER: A", "I cannot say", ""]))
    words = (
        "mmlu-pro",
        "--sample",
        "-m",
        f"scripted:list={said}",
        "--repeats",
        2,
        "--run",
        "one",
        "--temperature",
        0.7,
    )
    assert evals("run", *words, "--results", tmp_path / "r").status == 0
    return tmp_path


def test_a_round_trip_through_lm_eval_loses_nothing_that_it_can_hold(ran: Path) -> None:
    assert evals("export", "lm-eval", "one", "--out", ran / "out", "--results", ran / "r").status == 0
    run = imported(ran / "out" / "scripted", "--sample", results=ran / "again")
    before = store.find_one(ran / "r", "one")
    after = store.find_one(ran / "again", run["run"])
    assert run["counts"] == before.card.counts
    assert [e.value for e in after.card.estimates] == [e.value for e in before.card.estimates]
    assert after.card.config.sampling == before.card.config.sampling
    held = {
        (r.sample, r.repeat): (
            r.outcome.text,
            r.outcome.reasoning,
            r.outcome.usage,
            r.outcome.seconds,
            r.prompt.order,
        )
        for r in before.records()
    }
    assert held == {
        (r.sample, r.repeat): (
            r.outcome.text,
            r.outcome.reasoning,
            r.outcome.usage,
            r.outcome.seconds,
            r.prompt.order,
        )
        for r in after.records()
    }


def lm_eval_line(item: dict[str, Any], number: int, resps: Any, **more: Any) -> dict[str, Any]:
    asked = f"Question: {item['question']}\nOptions:\n" + "\n".join(
        f"{chr(65 + i)}. {option}" for i, option in enumerate(item["options"])
    )
    return {
        "doc_id": number, "doc": {"question": item["question"].upper(), "options": item["options"]}, "target": "X",
        "arguments": {"gen_args_0": {"arg_0": asked, "arg_1": {}}}, "resps": resps, "filtered_resps": ["B"],
        "filter": "custom-extract", "metrics": ["exact_match"], "exact_match": 1.0,
    } | more  # fmt: skip


def test_lm_eval_is_matched_by_the_question_and_shown_order_counts(tmp_path: Path) -> None:
    turned = ITEMS[0] | {"options": ITEMS[0]["options"][::-1]}
    letter = chr(ord("A") + len(turned["options"]) - 1 - ITEMS[0]["answer_index"])
    lines = [
        lm_eval_line(turned, 0, [[f"The answer is ({letter})."]]),
        lm_eval_line(turned, 0, [[f"The answer is ({letter})."]], filter="another"),
        lm_eval_line({"question": "What of it?", "options": ["a"]}, 1, [["A"]]),
    ]
    path = tmp_path / "samples_mmlu_pro_math_2026-01-01T00-00-00.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = evals(
        "import", path, "--sample", "--model", "m", "--protocol", "official", "--results", tmp_path / "r"
    )
    assert "1 record without a matching sample" in done.err
    run = store.runs(tmp_path / "r")[0]
    assert run.card.counts["right"] == 1
    (stated,) = [json.loads(row) for row in (run.path / "theirs.jsonl").read_text().splitlines()]
    assert (stated["score"], stated["answer"]) == (1.0, "B")


def test_likelihoods_are_the_letter_that_they_chose(tmp_path: Path) -> None:
    resps = [[["-3.0", "False"]], [["-0.5", "True"]], [["-9", "False"]]]
    path = tmp_path / "samples_mmlu_pro_2026-01-01T00-00-00.jsonl"
    path.write_text(json.dumps(lm_eval_line(ITEMS[1], 0, resps)) + "\n")
    imported(path, "--sample", "--model", "m", results=tmp_path / "r")
    (record,) = store.runs(tmp_path / "r")[0].records()
    assert record.outcome.text == "ANSWER: B"


# --- hand-made in the documented shape -----------------------------------------------------------------------------


def test_opencompass_predictions_in_parts_with_their_verdicts(tmp_path: Path) -> None:
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
        some = {k: v for k, v in rows.items() if int(k) // 2 == part}
        (folder / f"mmlu_pro_math_{part}.json").write_text(json.dumps(some))
    details = [{"pred": "A", "correct": i != 3} for i in range(4)]
    (results / "mmlu_pro_math.json").write_text(json.dumps({"accuracy": 75.0, "details": details}))
    run = imported(tmp_path / "out", "--sample", results=tmp_path / "r")
    assert (run["counts"]["right"], run["model"]) == (4, "intern-s1-api")
    assert "opencompass states mmlu_pro_math accuracy 75" in run["notes"]
    theirs = (store.runs(tmp_path / "r")[0].path / "theirs.jsonl").read_text().splitlines()
    assert [json.loads(row)["score"] for row in theirs] == [1.0, 1.0, 1.0, 0.0]


def test_vlmevalkit_failed_calls_are_failures_and_a_formula_is_a_text(tmp_path: Path) -> None:
    items = [json.loads(row) for row in (SAMPLES / "mmstar" / "items.jsonl").read_text().splitlines()][:3]
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["index", "question", "answer", "prediction", "hit"])
    said = ["Failed to obtain answer via API.", "=1+1", f"The answer is {items[2]['answer']}"]
    for item, text in zip(items, said, strict=True):
        sheet.append([item["index"], item["question"], item["answer"], text, 0])
    sheet.append([1_000_000 + int(items[0]["index"]), "circular", "A", "A", 1])
    book.save(tmp_path / "m_MMStar.xlsx")
    run = imported(tmp_path / "m_MMStar.xlsx", "--sample", results=tmp_path / "r")
    assert run["model"] == "m"
    assert run["counts"]["failed:imported"] == 1
    texts = [r.outcome.text for r in store.runs(tmp_path / "r")[0].records() if hasattr(r.outcome, "text")]
    assert "=1+1" in texts


def scieval_folder(folder: Path) -> Path:
    """What SciEvalKit leaves of TRQA and ProteinLMBench: replies, its verdicts beside them, its scores."""
    out = folder / "outputs" / "m" / "T20260617_G0817251a"
    out.mkdir(parents=True)
    rows = [json.loads(line) for line in (SAMPLES / "trqa" / "TRQA.jsonl").read_text().splitlines()]
    heads = ("index", "question", "answer", "prediction")
    said = [f"<choice>{row['Answer']}</choice>" for row in rows[:-1]] + ["Failed to obtain answer via API."]
    table = [
        (row.get("index", n), row["Question"], row["Answer"], text)
        for n, (row, text) in enumerate(zip(rows, said, strict=True), 1)
    ]
    tsv = ["\t".join(map(str, line)) for line in (heads, *table)]
    (out / "m_TRQA.tsv").write_text("\n".join(tsv) + "\n")
    hits = [
        f"{line}\t{hit}" for line, hit in zip(tsv, ["hit", "False", *["True"] * (len(rows) - 1)], strict=True)
    ]
    (out / "m_TRQA_judge.tsv").write_text("\n".join(hits) + "\n")
    (out / "m_TRQA_score.csv").write_text("TRQA-Acc(%)\n87.5\n")
    return folder


def test_scieval_s_tables_with_their_verdicts_and_scores(tmp_path: Path) -> None:
    folder = scieval_folder(tmp_path)
    done = evals("import", "scieval", folder, "--sample", "--protocol", "official", "--results", tmp_path / "r", "--json")  # fmt: skip
    assert done.status == 0, done.err
    (run,) = done.json["runs"]
    assert (run["suite"], run["model"]) == ("trqa", "m")
    assert run["counts"]["failed:imported"] == 1
    assert run["counts"]["right"] == sum(run["counts"].values()) - 1
    assert "scieval states TRQA Overall score 87.5" in run["notes"]
    audited = evals("audit", run["run"], "--results", tmp_path / "r", "--json").json
    assert [(item["ours"], item["theirs"]) for item in audited["items"] if item["ours"] == 1.0] == [
        (1.0, 0.0)
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m_TRQA.tsv", "index\tquestion\n1\tWhy?\n", "no column `prediction`"),
        ("m_TRQA.json", "{", "m_TRQA.json"),
        ("m_Other.tsv", "index\tprediction\n1\tA\n", "no <model>_<dataset>.xlsx, .tsv or .json found"),
    ],
)
def test_a_bad_table_of_scieval_is_one_line(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(content)
    done = evals("import", "scieval", tmp_path / "in", "--sample", "--results", tmp_path / "r")
    assert says in done.error_line
    assert not (tmp_path / "r").exists()


def test_a_workbook_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m_MMStar.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"0" * (80 << 20))
    done = evals("import", tmp_path / "m_MMStar.xlsx", "--sample", "--results", tmp_path / "r")
    assert "would unpack to" in done.error_line


def test_pickles_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"cos\nsystem\n(S'touch /tmp/hacked'\ntR.")
    done = evals(
        "import", "vlmevalkit", tmp_path / "x.pkl", "--suite", "mmstar", "--sample", "--results", tmp_path
    )
    assert "pickles are never read" in done.error_line


# --- what bad input gets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", formats.READERS)
@pytest.mark.parametrize(
    "content", [b"", b"{", b"\x00\xff\x00", b'{"a": 1}', b"[[1]]", b"null\n", b"PK\x03\x04"]
)
def test_a_broken_or_foreign_file_is_one_line(form: str, content: bytes, tmp_path: Path) -> None:
    ending = {"vlmevalkit": "tsv", "mathvision": "jsonl", "chembench": "jsonl", "lm-eval": "jsonl"}.get(
        form, "json"
    )
    path = tmp_path / f"samples_x.{ending}"
    path.write_bytes(content)
    done = evals(
        "import", form, path, "--suite", "mmlu-pro", "--sample", "--model", "m", "--results", tmp_path / "r"
    )
    assert done.error_line
    assert not list((tmp_path / "r").glob("**/card.json"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lmeval", "{}"), "did you mean lm-eval"),
        (("{}",), "format not recognized"),
        (("{}/none",), "does not exist"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    named = [word.format(tmp_path / "x") for word in words]
    assert said in evals("import", *named, "--results", tmp_path / "r").error_line


def test_a_task_that_is_no_suite_of_ours_asks_which_one(tmp_path: Path) -> None:
    path = tmp_path / "samples_winogrande_2026-01-01T00-00-00.jsonl"
    path.write_text(json.dumps(lm_eval_line(ITEMS[0], 0, [["A"]])) + "\n")
    done = evals("import", path, "--model", "m", "--results", tmp_path / "r")
    assert "unknown lm-eval task winogrande: name its suite with --suite NAME" in done.error_line


# --- matching ------------------------------------------------------------------------------------------------------


def sample(name: str, question: str, *choices: str) -> Sample:
    return Sample(id=name, question=(Text(question),), target="A", choices=choices)


def test_the_last_question_of_a_prompt_is_the_one_that_is_asked() -> None:
    finder = Finder(
        [sample("a", "What is the capital of France?"), sample("b", "What is the capital of Italy?")]
    )
    prompt = "Q: What is the capital of France?\nA: Paris\n\nQ: what is the  capital of ITALY?\nA:"
    assert finder.by_prompt(prompt) == ["b"]


def test_options_match_if_a_harness_has_removed_their_tags() -> None:
    finder = Finder([sample("a", "Which molecule?", "[START_SMILES]CCO[END_SMILES]", r"\ce{H2O}")])
    assert finder.option_order("a", ["H2O", "CCO"]) == (1, 0)


def test_of_equal_questions_the_options_decide() -> None:
    finder = Finder([sample("a", "Which?", "x", "y"), sample("b", "Which?", "x", "z")])
    assert finder.by_question("which?", ["z", "x"]) == ["b"]
    assert finder.option_order("b", ["z", "x"]) == (1, 0)
    assert finder.option_order("b", ["z", "w"]) is None


@pytest.mark.slow
@given(st.text(max_size=200))
def test_normalised_words_stay_as_they_are(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


# --- audit ---------------------------------------------------------------------------------------------------------


def test_an_audit_lists_every_difference_with_both_answers(tmp_path: Path) -> None:
    golds = [chr(ord("A") + item["answer_index"]) for item in ITEMS[:6]]
    lines = [
        lm_eval_line(item, i, [[f"ANSWER: {gold}"]], exact_match=float(i != 2), filtered_resps=["Z"])
        for i, (item, gold) in enumerate(zip(ITEMS, golds, strict=False))
    ]
    lines[4] |= {"resps": [["ANSWER: none"]], "exact_match": 0.0}
    path = tmp_path / "samples_mmlu_pro_2026-01-01T00-00-00.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = imported(path, "--sample", "--model", "m", results=tmp_path / "r")
    found = evals("audit", run["run"], "--results", tmp_path / "r", "--json").json
    assert (found["n"], found["agreed"], found["only_ours"], found["only_theirs"]) == (6, 5, 1, 0)
    (item,) = found["items"]
    assert (item["id"], item["verdict"], item["theirs"], item["their_answer"]) == (
        str(ITEMS[2]["question_id"]),
        "right",
        0.0,
        "Z",
    )
    assert found["kappa"][0] == pytest.approx(0.5714, abs=1e-3)
    assert found["kappa"][1] <= found["kappa"][0] <= found["kappa"][2]
    assert "5 of 6 agree" in evals("audit", run["run"], "--results", tmp_path / "r").out


def test_a_run_of_our_own_has_nothing_to_audit(ran: Path) -> None:
    assert "has no scores stated by a source" in evals("audit", "one", "--results", ran / "r").error_line


def test_our_verdicts_on_recordings_are_theirs(shared: Path, mirror: Path, tmp_path: Path) -> None:
    words = (shared / "data" / "mathvision" / "outputs" / "Gemini-Pro.jsonl.gz", "--data", mirror)
    run = imported(*words, "--protocol", "official", results=tmp_path)
    found = evals("audit", run["run"], "--results", tmp_path, "--json").json
    assert (found["n"], found["agreed"]) == (3040, 3039)  # one that upstream's own code reads anew
