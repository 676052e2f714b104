"""Biology-Instructions: OpenCompass' rules with scores of its own evaluators, `strict`, prompts and data."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from evals.data import Data
from evals.data.biology import TASKS, samples
from evals.errors import DataError
from evals.prompts import plain_text
from evals.prompts.upstream import _turns
from evals.prompts.upstream import biology as upstream_biology
from evals.scorers import labels
from evals.scorers.correlations import Correlation, Fmax, LabelAuc, Mixed, fmax
from evals.scorers.upstream.biology import enzyme_labels, enzymes, last_box, parse_numbers
from evals.suites import biology_instructions
from evals.suites.biology_instructions import aggregate
from evals.types import Point, Prompt, Reply, Sample, Score
from tests.support import wheels
from tests.support.command import evals
from tests.support.cpu_time import assert_cpu_time
from tests.support.error_messages import raises
from tests.support.paths import ROOT
from tests.support.tables import table
from tests.support.wheels import FOLDER

KEYS = ("ON", "OFF", "ON_OFF")
SWITCH = json.dumps({"ON": 0.5, "OFF": 0.1, "ON_OFF": 0.4})
BUNDLED = Data(suite="biology-instructions", sample=True)


def score_reply(
    task: str, protocol: str, target: str | float, text: str, *, keys: Sequence[str] = (), stop: str = "stop"
) -> Score:
    (scorer,) = biology_instructions.BENCHMARK.suite(task, protocol).scorers.values()
    sample = Sample(id="1", target=target, meta={"keys": list(keys)} if keys else {})
    score = scorer(sample, Prompt(), Reply(text=text, stop=stop))
    assert isinstance(score, Score)
    return score


def score_points(task: str, protocol: str, pairs: Sequence[tuple[str | float, str]]) -> list[Point]:
    scores = [(target, score_reply(task, protocol, target, text)) for target, text in pairs]
    return [
        Point(str(i), 0, "", "", score.verdict, score.value, score.answer, target, 0, score.parts)
        for i, (target, score) in enumerate(scores)
    ]


# --- replies


@table(
    ("text", "official", "strict"),
    [
        (r"\boxed{yes}", "right", "right"),
        (r"\boxed{Positive}", "right", "right"),
        (r"\boxed{\text{Yes}}", "right", "right"),
        (r"\boxed{no} first, then \boxed{yes}", "right", "right"),
        (r"\boxed{Yes.}", "unanswered", "right"),
        (r"\boxed{Yes, it is}", "unanswered", "right"),
        ("**Yes**, it does.", "unanswered", "right"),
        ("Therefore, the answer is **yes**.", "unanswered", "right"),
        ("**Answer:** Positive", "unanswered", "right"),
        ("<answer>yes</answer>", "unanswered", "right"),
        ("There is nothing against it, so yes.", "unanswered", "right"),
        ("No, it does not.", "unanswered", "wrong"),
        ("Prediction: negative", "unanswered", "wrong"),
        (r"\boxed{\textbf{no}}", "unanswered", "wrong"),
        ("Yes.\n\nWait, that is wrong. \\boxed{no}", "wrong", "wrong"),
        (r"Positive regulation is seen. \boxed{no}", "wrong", "wrong"),
        ("I cannot tell.", "unanswered", "unanswered"),
        ("It is not positive.", "unanswered", "unanswered"),
        ("A positive control was used.", "unanswered", "unanswered"),
        (r"\boxed{yes or no}", "unanswered", "unanswered"),
        ("", "unanswered", "unanswered"),
    ],
)
def test_yes_or_no_is_read(text: str, official: str, strict: str) -> None:
    assert score_reply("DNA-cpd", "official", "yes", text).verdict == official
    assert score_reply("DNA-cpd", "strict", "yes", text).verdict == strict


@pytest.mark.parametrize(
    ("text", "official", "strict"),
    [
        (r"\boxed{tRNA}", "right", "right"),
        (r"\boxed{TRNA}", "right", "right"),
        (r"\boxed{tRNA.}", "wrong", "right"),
        ("The family is tRNA, not miRNA.", "unanswered", "right"),
        ("**tRNA**", "unanswered", "right"),
        (r"\boxed{5S rRNA}", "wrong", "wrong"),
        ("It could be tRNA or miRNA.", "unanswered", "unanswered"),
        ("It is not a tRNA.", "unanswered", "unanswered"),
        (r"\boxed{A}", "wrong", "unanswered"),
    ],
)
def test_rna_families_are_read(text: str, official: str, strict: str) -> None:
    assert score_reply("RNA-NoncodingRNAFamily", "official", "tRNA", text).verdict == official
    assert score_reply("RNA-NoncodingRNAFamily", "strict", "tRNA", text).verdict == strict


@pytest.mark.parametrize(
    ("text", "label"),
    [(r"\boxed{5.8S rRNA}", "5_8S_rRNA"), (r"\boxed{5S\_rRNA}", "5S_rRNA"), (r"\boxed{H/ACA-box}", "HACA-box"),
     ("Answer: Intron_gpII", "Intron_gpII"), (r"\boxed{Intron_gpI}", "Intron_gpI")],
)  # fmt: skip
def test_labels_are_read_in_other_spellings(text: str, label: str) -> None:
    assert score_reply("RNA-NoncodingRNAFamily", "strict", label, text).verdict == "right"


@pytest.mark.parametrize(
    ("text", "official", "strict"),
    [
        (r"\boxed{m6A, Psi}", 1.0, 1.0),
        (r"\boxed{m6A}", 2 / 3, 2 / 3),
        (r"\boxed{m6Am}", 0.0, 0.0),
        ("The modifications are **m6A** and **Psi**.", 0.0, 1.0),
        ("It is m6A, not Psi.", 0.0, 2 / 3),
        (r"\boxed{none, m6A}", 0.5, 0.0),
        ("I am not sure.", 0.0, 0.0),
        (r"\boxed{}", 0.0, 0.0),
    ],
)
def test_rna_modifications_are_read(text: str, official: float, strict: float) -> None:
    for protocol, value in (("official", official), ("strict", strict)):
        assert score_reply("RNA-Modification", protocol, "m6A,Psi", text).value == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "official", "strict"),
    [
        (r"\boxed{EC1.1.1.1}", 1.0, 1.0),
        (r"\boxed{1.1.1.1, EC 2.7.1.1}", 2 / 3, 2 / 3),
        ("The EC number is EC 1.1.1.1.", 0.0, 1.0),
        ("It is EC 2.7.1.1, not EC 1.1.1.1.", 0.0, 0.0),
        (r"\boxed{EC1.1.1.-}", 0.0, 0.0),
        ("I cannot tell.", 0.0, 0.0),
    ],
)
def test_enzyme_numbers_are_read(text: str, official: float, strict: float) -> None:
    for protocol, value in (("official", official), ("strict", strict)):
        assert score_reply("Protein-FunctionEC", protocol, "EC1.1.1.1", text).value == pytest.approx(value)


@pytest.mark.parametrize(
    ("task", "text", "official", "strict"),
    [
        ("Protein-Stability", r"\boxed{0.5}", 0.5, 0.5),
        ("Protein-Stability", r"\boxed{0.1} then \boxed{.5}", 0.5, 0.5),
        ("Protein-Stability", r"\boxed{+0.5}", None, 0.5),
        ("Protein-Stability", r"\boxed{5e-1}", None, 0.5),
        ("Protein-Stability", r"\boxed{-0.5}".replace("-", "\u2212"), None, -0.5),
        ("Protein-Stability", "It is about 0.5.", None, 0.5),
        ("Protein-Stability", "I cannot predict it.", None, None),
        ("Protein-Stability", r"\boxed{1e300}", None, None),
        ("Protein-Thermostability", "It melts at 50 °C.", None, 50.0),
        ("RNA-Isoform", r"\boxed{45\%}", None, 0.45),
        ("Multi_sequence-sirnaEfficiency", r"\boxed{45\%}", None, 45.0),
    ],
)
def test_numbers_are_read(task: str, text: str, official: float | None, strict: float | None) -> None:
    assert score_reply(task, "official", 0.5, text).parts.get("stated_0") == official
    assert score_reply(task, "strict", 0.5, text).parts.get("stated_0") == strict


@pytest.mark.parametrize(
    ("text", "official", "strict"),
    [
        (f"\\boxed{{{SWITCH}}}", 3, 3),
        (f"```json\n{SWITCH}\n```", 3, 3),
        ("{'ON': 0.5, 'OFF': '0.1', 'ON_OFF': 'high'}", 2, 2),
        ('{"on": 0.5, "off": 0.1, "on_off": 0.4}', 0, 3),
        ("**ON** = 0.5\n**OFF** = 0.1\n**ON_OFF** = 0.4", 0, 3),
        ("ON: 0.5", 0, 1),
        (f"{SWITCH} and so on {{...}}", 0, 3),
        ("I cannot predict it.", 0, 0),
    ],
)
def test_numbers_are_read_by_key(text: str, official: int, strict: int) -> None:
    for protocol, count in (("official", official), ("strict", strict)):
        score = score_reply("RNA-ProgrammableRNASwitches", protocol, SWITCH, text, keys=KEYS)
        assert sum(name.startswith("stated") for name in score.parts) == count


def test_an_answer_at_the_end_of_a_truncated_reply_is_not_read() -> None:
    for task, target, text in [
        ("Protein-Stability", 0.5, "The stability is 0.5"),
        ("RNA-NoncodingRNAFamily", "tRNA", "The family is tRNA"),
        ("Protein-FunctionEC", "EC1.1.1.1", "The EC number is 1.1.1.1"),
    ]:
        assert score_reply(task, "strict", target, text, stop="length").verdict == "truncated", task


NO_ANSWER = {
    "RNA-NoncodingRNAFamily": ("tRNA", (
        "I considered tRNA and rejected it.", "A tRNA would end in CCA, this one doesn't.", "tRNA is unlikely.", "This is no tRNA.",
        "Without more data, tRNA cannot be ruled out.", "The sequence is too short for a tRNA.", "Is it a tRNA?", "tRNA? No.",
        "I can't say whether it's tRNA.", "Options: leader, tRNA, miRNA.", "Answer: not tRNA",
    )),
    "RNA-Modification": ("m6A", (
        "m6A is absent.", "There is no m6A here.", "Is m6A present? I cannot tell.", "Without m6A.", "m6A: no", "- m6A: no\n- m5C: yes",
        "m6A would need a DRACH motif, which is missing.", "I am not sure; perhaps um.",
    )),
    "Protein-FunctionEC": ("EC1.1.1.1", (
        "It lacks the motif of EC 1.1.1.1.", "EC 1.1.1.1 can be excluded.", "The format is EC1.1.1.1; I do not know.",
        "e.g. EC 1.1.1.1 has this form, but I cannot tell.", "Not EC 1.1.1.1.",
    )),
    "DNA-cpd": ("yes", (
        "It might be positive.", "Prediction: positive or negative?", "If the answer is positive, then it binds; I cannot tell.",
        "The label positive would need a TATA box, which is missing.",
    )),
    "Protein-Stability": (0.5, ("Step 1: consider 0.5. I cannot compute it.", "I'd need 0.5 ml of sample.", "See 2 of 3 references.")),
}  # fmt: skip


@table(("task", "text"), [(task, text) for task, (_, texts) in NO_ANSWER.items() for text in texts])
def test_a_reply_without_an_answer_is_not_credited(task: str, text: str) -> None:
    assert score_reply(task, "strict", NO_ANSWER[task][0], text).verdict == "unanswered"


# --- metrics: the values are those of OpenCompass' evaluators (0.5.4)


def test_an_unparsed_label_counts_as_the_opposite_label_under_official_and_as_no_label_under_strict() -> None:
    half_answered = [("yes", r"\boxed{yes}"), ("no", r"\boxed{no}"), ("yes", "?"), ("no", "?")]
    unanswered = [(target, "?") for target, _ in half_answered]
    assert labels.mcc(score_points("DNA-cpd", "official", half_answered)) == pytest.approx(0.0)
    assert labels.mcc(score_points("DNA-cpd", "official", unanswered)) == pytest.approx(-1.0)
    assert labels.mcc_with_silence(score_points("DNA-cpd", "strict", half_answered)) == pytest.approx(
        0.4472, abs=1e-4
    )
    assert labels.mcc_with_silence(score_points("DNA-cpd", "strict", unanswered)) == 0.0
    right = [(target, f"\\boxed{{{target}}}") for target, _ in half_answered]
    assert labels.mcc_with_silence(score_points("DNA-cpd", "strict", right)) == pytest.approx(1.0)


GOLD = np.array([[1.0], [2.0], [3.0], [4.0]])


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def test_correlations_are_computed_as_upstream_computes_them() -> None:
    nan = float("nan")
    assert Correlation("pearson").of(GOLD, column(1, 2, 3, 5)) == pytest.approx(0.98270, abs=1e-5)
    assert Correlation("spearman").of(GOLD, column(1, 3, 2, 4)) == pytest.approx(0.8)
    assert Correlation("spearman").of(GOLD, column(1, 1, 2, 2)) == pytest.approx(0.89443, abs=1e-5)
    assert Correlation("spearman").of(GOLD, column(1, 2, nan, 4)) == pytest.approx(0.75)
    assert Correlation("r2").of(GOLD, column(4, 3, 2, 1)) == pytest.approx(1.0)
    assert Correlation("r2", signed=True).of(GOLD, column(4, 3, 2, 1)) == pytest.approx(-1.0)
    assert Correlation("pearson").of(GOLD, column(nan, nan, nan, nan)) == 0.0
    assert Correlation("pearson", constant=0.0).of(GOLD, column(1, 1, 1, 1)) == 0.0
    for stated in (column(1, 1, 1, 1), column(1e300, -1e300, 0, 0)):
        with raises(ValueError):
            Correlation("pearson").of(GOLD, stated)


def test_the_mixed_score_is_computed_as_upstream_computes_it() -> None:
    gold = column(10, 20, 50, 90)
    assert Mixed(default=0.0).of(gold, column(10, 20, 50, 90)) == pytest.approx(1.0)
    assert Mixed(default=0.0).of(gold, column(12, 40, 50, 5000)) == pytest.approx(0.5925)
    unanswered = np.full((4, 1), np.nan)
    # without an answer, the default of 0 % is used, which is within the range from 0 to 30
    assert Mixed(default=0.0).of(gold, unanswered) == pytest.approx(0.4791667, abs=1e-6)
    assert Mixed().of(gold, unanswered) == 0.0


def test_an_unparsed_set_of_modifications_has_the_same_auc_under_official_and_strict() -> None:
    pairs = [("m6A", r"\boxed{m6A}"), ("Psi", "?"), ("none", r"\boxed{none}")]
    assert LabelAuc()(score_points("RNA-Modification", "official", pairs)) == pytest.approx(0.83333, abs=1e-5)
    assert LabelAuc()(score_points("RNA-Modification", "strict", pairs)) == pytest.approx(0.83333, abs=1e-5)
    without_none = [("m6A", "?"), ("Psi", r"\boxed{m6A}")]
    assert LabelAuc()(score_points("RNA-Modification", "official", without_none)) == pytest.approx(0.25)
    assert LabelAuc()(score_points("RNA-Modification", "strict", without_none)) == pytest.approx(0.25)


def test_fmax_adds_predictions_one_by_one() -> None:
    gold = np.eye(3, 5)
    assert fmax(gold, gold) == pytest.approx(1.0)
    assert fmax(np.zeros((3, 5)), gold) > 0  # more than 0 although nothing is predicted
    assert fmax(np.roll(gold, 1, axis=1), gold) < 0.6
    rule = Fmax(lambda: ("1.1.1.1", "2.7.1.1"), enzymes)
    pairs = [("EC1.1.1.1", r"\boxed{EC1.1.1.1, EC9.9.9.9}"), ("EC2.7.1.1", r"\boxed{EC2.7.1.1}")]
    # 9.9.9.9 is not in the list and is ignored
    assert rule(score_points("Protein-FunctionEC", "official", pairs)) == pytest.approx(1.0)


def test_statistics_of_resampled_indices_equal_those_of_the_selected_points() -> None:
    stability_points = score_points(
        "Protein-Stability", "official", [(0.1 * i, f"\\boxed{{{(i * 7) % 5}}}") for i in range(9)]
    )
    names = ["EC1.1.1.1", "EC2.7.1.1", "EC3.1.1.1"]
    pairs = [(names[i % 3], f"\\boxed{{{names[i * i % 3]}}}") for i in range(9)]
    enzyme_points = score_points("Protein-FunctionEC", "official", pairs)
    rule = Fmax(lambda: ("1.1.1.1", "2.7.1.1", "3.1.1.1"), enzymes)
    assert rule.over([[point] for point in enzyme_points])(np.arange(9)) == pytest.approx(rule(enzyme_points))
    for statistic in (Correlation("spearman"), Mixed(default=0.0)):
        of_indices = statistic.over([[point] for point in stability_points])
        assert of_indices(np.arange(9)) == pytest.approx(statistic(stability_points))
        indices = np.array([0, 0, 3, 4, 8, 8, 8, 2, 1])
        resampled = [stability_points[i] for i in sorted(indices)]
        assert of_indices(indices) == pytest.approx(statistic(resampled))


def test_boxes_and_numbers_in_braces_are_read_as_upstream_reads_them() -> None:
    assert last_box(r"\boxed{a} \boxed{\text{b\_c} {d}}") == "b_c {d}"
    assert last_box(r"\boxed{{{a}}}") is None
    assert last_box(r"\boxed{}") is None
    assert parse_numbers("{'ON': 1, 'OFF': 2}", KEYS) is None
    assert parse_numbers("{" + "[" * 1500 + "}", ("a",)) is None


def test_only_official_has_a_mean_over_the_21_tasks() -> None:
    assert aggregate("strict", {}) is None
    assert aggregate("official", {}) is not None
    assert len(TASKS) == 21


# --- prompts and data


LOADER = """
class BiodataTaskDataset:
    def load(path):
        hint_dict = {'cls': 'Say yes or no ' 'in a box.', 'number': 'A number.', 'Modification Prediction': 'Some names.'}
        for ins in data:
            if ins['ans_type'] == 'dict':
                new['prompt'] = (ins['prompt'] + 'As JSON' + ' like {')
"""
CONFIG = """
tasks = {'MCC': ['DNA-cpd']}
for metric, task in tasks.items():
    biodata_infer_cfg = dict(prompt_template=dict(type=PromptTemplate, template=dict(round=[
        dict(role='SYSTEM', prompt='You test.'), dict(role='HUMAN', prompt=f'{{prompt}}')])))
    if metric == 'MCC':
        biodata_eval_cfg = dict(evaluator=dict(type=BiodataMCCEvaluator))
"""


def test_upstreams_prompt_contains_question_hint_and_system_turn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = {f"{FOLDER}biodata/biodata_task_gen.py": CONFIG, "opencompass/datasets/biodata.py": LOADER}
    wheels.install(monkeypatch, tmp_path, files)
    upstream_biology.hints.cache_clear()
    hints = {
        "DNA-cpd": "\nSay yes or no in a box.",
        "Protein-Stability": "\nA number.",
        "RNA-Modification": "\nSome names.",
        "DNA-enhancer_activity": 'As JSON like {"hk": xx, "dev": xx}',
    }
    for task, hint in hints.items():
        sample = next(iter(samples(BUNDLED, task)))
        question = plain_text(sample.question)
        prompter = upstream_biology.PROMPTS.prompter(lambda sample, repeat: Prompt())
        system, user = prompter(sample, 0).messages
        assert (system.role, plain_text(system.parts)) == ("system", "You test.")
        assert (user.role, plain_text(user.parts)) == ("user", question + hint)
    with raises(DataError):
        prompter(next(iter(samples(BUNDLED, "Protein-FunctionEC"))), 0)
    upstream_biology.hints.cache_clear()
    _turns.cache_clear()


def test_the_list_of_enzymes_is_read_from_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    enzyme_labels.cache_clear()
    with raises(ValueError):
        Fmax(enzyme_labels, enzymes)(score_points("Protein-FunctionEC", "official", [("EC1.1.1.1", "?")]))
    source = "class E:\n    def __init__(self):\n        self.ec_labels = ['1.1.1.1', '2.7.1.1']\n"
    wheels.install(monkeypatch, tmp_path, {"opencompass/datasets/biodata.py": source})
    assert enzyme_labels() == ("1.1.1.1", "2.7.1.1")
    enzyme_labels.cache_clear()


def json_line(gold: object) -> str:
    return (
        json.dumps({"prompt": "?", "ground_truth": gold, "meta_data": {"ans_type": "cls", "task": "x"}})
        + "\n"
    )


def test_an_archive_with_a_top_level_folder_is_read(tmp_path: Path) -> None:
    path = tmp_path / "biology-instruction-fixed.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("biology-instruction-fixed/DNA-cpd.jsonl", json_line("negative"))
    (sample,) = samples(Data(suite="biology-instructions", local=path), "DNA-cpd")
    assert sample.target == "no"


@pytest.mark.parametrize(
    ("task", "gold"),
    [("DNA-cpd", "perhaps"), ("Protein-Stability", "high"), ("DNA-enhancer_activity", {"hk": None})],
    ids=["neither yes nor no", "not a number", "not two numbers"],
)
def test_invalid_gold_answers_are_reported_in_one_line(tmp_path: Path, task: str, gold: object) -> None:
    (tmp_path / f"{task}.jsonl").write_text(json_line(gold))
    with raises(DataError):
        list(samples(Data(suite="biology-instructions", local=tmp_path), task))


def test_without_data_the_message_says_how_to_obtain_them() -> None:
    evals("check", "biology-instructions:DNA-cpd").assert_usage_error()


def test_the_bundled_samples_equal_the_output_of_the_script() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "tools.make_samples_biology", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize(
    "piece",
    [
        "\\boxed{",
        "\\boxed{{}",
        "{",
        "{'ON':",
        "ON: ",
        "1.1.1.",
        "9",
        "m6A,",
        "yes or no ",
        "answer: positive or ",
        "EC ",
    ],
)
def test_hostile_replies_are_read_in_bounded_time(piece: str) -> None:
    text = piece * (65_536 // len(piece))
    for task, target, keys in [
        ("DNA-cpd", "yes", ()), ("RNA-NoncodingRNAFamily", "tRNA", ()), ("RNA-Modification", "Um", ()), ("Protein-FunctionEC", "EC2.7.1.1", ()),
        ("Protein-Stability", 0.5, ()), ("RNA-ProgrammableRNASwitches", SWITCH, KEYS),
    ]:  # fmt: skip
        for protocol in ("strict", "official"):
            score_text = partial(score_reply, task, protocol, target, text, keys=keys)
            score = assert_cpu_time(2, score_text, (task, protocol))
            assert score.verdict != "right"
