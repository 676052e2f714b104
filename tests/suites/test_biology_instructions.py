"""Biology-Instructions: OpenCompass' rules with figures of its own evaluators, and the mended reading beside them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
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
from tests.support.paths import ROOT
from tests.support.tables import table
from tests.support.wheels import FOLDER

KEYS = ("ON", "OFF", "ON_OFF")
SWITCH = json.dumps({"ON": 0.5, "OFF": 0.1, "ON_OFF": 0.4})
BUNDLED = Data(suite="biology-instructions", sample=True)


def judged(
    task: str, protocol: str, target: str | float, text: str, *, keys: Sequence[str] = (), stop: str = "stop"
) -> Score:
    (scorer,) = biology_instructions.BENCHMARK.suite(task, protocol).scorers.values()
    sample = Sample(id="1", target=target, meta={"keys": list(keys)} if keys else {})
    score = scorer(sample, Prompt(), Reply(text=text, stop=stop))
    assert isinstance(score, Score)
    return score


def points(task: str, protocol: str, pairs: Sequence[tuple[str | float, str]]) -> list[Point]:
    scores = [(target, judged(task, protocol, target, text)) for target, text in pairs]
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
def test_yes_or_no(text: str, official: str, strict: str) -> None:
    assert judged("DNA-cpd", "official", "yes", text).verdict == official
    assert judged("DNA-cpd", "strict", "yes", text).verdict == strict


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
def test_families(text: str, official: str, strict: str) -> None:
    assert judged("RNA-NoncodingRNAFamily", "official", "tRNA", text).verdict == official
    assert judged("RNA-NoncodingRNAFamily", "strict", "tRNA", text).verdict == strict


@pytest.mark.parametrize(
    ("text", "label"),
    [(r"\boxed{5.8S rRNA}", "5_8S_rRNA"), (r"\boxed{5S\_rRNA}", "5S_rRNA"), (r"\boxed{H/ACA-box}", "HACA-box"),
     ("Answer: Intron_gpII", "Intron_gpII"), (r"\boxed{Intron_gpI}", "Intron_gpI")],
)  # fmt: skip
def test_labels_in_other_clothes(text: str, label: str) -> None:
    assert judged("RNA-NoncodingRNAFamily", "strict", label, text).verdict == "right"


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
def test_modifications(text: str, official: float, strict: float) -> None:
    for protocol, value in (("official", official), ("strict", strict)):
        assert judged("RNA-Modification", protocol, "m6A,Psi", text).value == pytest.approx(value)


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
def test_enzymes(text: str, official: float, strict: float) -> None:
    for protocol, value in (("official", official), ("strict", strict)):
        assert judged("Protein-FunctionEC", protocol, "EC1.1.1.1", text).value == pytest.approx(value)


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
def test_numbers(task: str, text: str, official: float | None, strict: float | None) -> None:
    assert judged(task, "official", 0.5, text).parts.get("stated_0") == official
    assert judged(task, "strict", 0.5, text).parts.get("stated_0") == strict


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
def test_numbers_by_key(text: str, official: int, strict: int) -> None:
    for protocol, count in (("official", official), ("strict", strict)):
        score = judged("RNA-ProgrammableRNASwitches", protocol, SWITCH, text, keys=KEYS)
        assert sum(name.startswith("stated") for name in score.parts) == count


def test_an_answer_at_the_cut_is_not_read() -> None:
    for task, target, text in [
        ("Protein-Stability", 0.5, "The stability is 0.5"),
        ("RNA-NoncodingRNAFamily", "tRNA", "The family is tRNA"),
        ("Protein-FunctionEC", "EC1.1.1.1", "The EC number is 1.1.1.1"),
    ]:
        assert judged(task, "strict", target, text, stop="length").verdict == "truncated", task


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
    assert judged(task, "strict", NO_ANSWER[task][0], text).verdict == "unanswered"


# --- metrics: the figures are those of OpenCompass' evaluators (0.5.4)


def test_an_unread_label_is_the_opposite_one_upstream_and_none_under_strict() -> None:
    half = [("yes", r"\boxed{yes}"), ("no", r"\boxed{no}"), ("yes", "?"), ("no", "?")]
    silent = [(target, "?") for target, _ in half]
    assert labels.mcc(points("DNA-cpd", "official", half)) == pytest.approx(0.0)
    assert labels.mcc(points("DNA-cpd", "official", silent)) == pytest.approx(-1.0)
    assert labels.mcc_with_silence(points("DNA-cpd", "strict", half)) == pytest.approx(0.4472, abs=1e-4)
    assert labels.mcc_with_silence(points("DNA-cpd", "strict", silent)) == 0.0
    right = [(target, f"\\boxed{{{target}}}") for target, _ in half]
    assert labels.mcc_with_silence(points("DNA-cpd", "strict", right)) == pytest.approx(1.0)


GOLD = np.array([[1.0], [2.0], [3.0], [4.0]])


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def test_correlations() -> None:
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
        with pytest.raises(ValueError, match=r"constant|large"):
            Correlation("pearson").of(GOLD, stated)


def test_the_mixed_score() -> None:
    gold = column(10, 20, 50, 90)
    assert Mixed(default=0.0).of(gold, column(10, 20, 50, 90)) == pytest.approx(1.0)
    assert Mixed(default=0.0).of(gold, column(12, 40, 50, 5000)) == pytest.approx(0.5925)
    nothing = np.full((4, 1), np.nan)
    assert Mixed(default=0.0).of(gold, nothing) == pytest.approx(
        0.4791667, abs=1e-6
    )  # silence is 0 %, which is in range
    assert Mixed().of(gold, nothing) == 0.0


def test_an_empty_set_of_modifications_is_all_of_them_upstream() -> None:
    pairs = [("m6A", r"\boxed{m6A}"), ("Psi", "?"), ("none", r"\boxed{none}")]
    assert LabelAuc()(points("RNA-Modification", "official", pairs)) == pytest.approx(0.83333, abs=1e-5)
    assert LabelAuc()(points("RNA-Modification", "strict", pairs)) == pytest.approx(0.83333, abs=1e-5)
    lone = [("m6A", "?"), ("Psi", r"\boxed{m6A}")]
    assert LabelAuc()(points("RNA-Modification", "official", lone)) == pytest.approx(0.25)
    assert LabelAuc()(points("RNA-Modification", "strict", lone)) == pytest.approx(0.25)


def test_fmax_adds_predictions_one_by_one() -> None:
    gold = np.eye(3, 5)
    assert fmax(gold, gold) == pytest.approx(1.0)
    assert fmax(np.zeros((3, 5)), gold) > 0  # nothing predicted, and yet more than 0
    assert fmax(np.roll(gold, 1, axis=1), gold) < 0.6
    rule = Fmax(lambda: ("1.1.1.1", "2.7.1.1"), enzymes)
    pairs = [("EC1.1.1.1", r"\boxed{EC1.1.1.1, EC9.9.9.9}"), ("EC2.7.1.1", r"\boxed{EC2.7.1.1}")]
    assert rule(points("Protein-FunctionEC", "official", pairs)) == pytest.approx(1.0)  # 9.9.9.9 is free


def test_resampled_statistics_are_those_of_the_rows() -> None:
    made = points("Protein-Stability", "official", [(0.1 * i, f"\\boxed{{{(i * 7) % 5}}}") for i in range(9)])
    names = ["EC1.1.1.1", "EC2.7.1.1", "EC3.1.1.1"]
    some = [(names[i % 3], f"\\boxed{{{names[i * i % 3]}}}") for i in range(9)]
    enzymes_made = points("Protein-FunctionEC", "official", some)
    rule = Fmax(lambda: ("1.1.1.1", "2.7.1.1", "3.1.1.1"), enzymes)
    assert rule.over([[point] for point in enzymes_made])(np.arange(9)) == pytest.approx(rule(enzymes_made))
    for statistic in (Correlation("spearman"), Mixed(default=0.0)):
        of = statistic.over([[point] for point in made])
        assert of(np.arange(9)) == pytest.approx(statistic(made))
        drawn = np.array([0, 0, 3, 4, 8, 8, 8, 2, 1])
        assert of(drawn) == pytest.approx(statistic([made[i] for i in sorted(drawn)]))


def test_boxes_and_braces_as_upstream_reads_them() -> None:
    assert last_box(r"\boxed{a} \boxed{\text{b\_c} {d}}") == "b_c {d}"
    assert last_box(r"\boxed{{{a}}}") is None
    assert last_box(r"\boxed{}") is None
    assert parse_numbers("{'ON': 1, 'OFF': 2}", KEYS) is None
    assert parse_numbers("{" + "[" * 1500 + "}", ("a",)) is None


def test_the_mean_of_all_tasks() -> None:
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


def test_upstreams_prompt_holds_question_hint_and_system_turn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = {f"{FOLDER}biodata/biodata_task_gen.py": CONFIG, "opencompass/datasets/biodata.py": LOADER}
    wheels.install(monkeypatch, tmp_path, files)
    upstream_biology.hints.cache_clear()
    ends = {
        "DNA-cpd": "\nSay yes or no in a box.",
        "Protein-Stability": "\nA number.",
        "RNA-Modification": "\nSome names.",
        "DNA-enhancer_activity": 'As JSON like {"hk": xx, "dev": xx}',
    }
    for task, end in ends.items():
        sample = next(iter(samples(BUNDLED, task)))
        question = plain_text(sample.question)
        prompter = upstream_biology.PROMPTS.prompter(lambda sample, repeat: Prompt())
        system, user = prompter(sample, 0).messages
        assert (system.role, plain_text(system.parts)) == ("system", "You test.")
        assert (user.role, plain_text(user.parts)) == ("user", question + end)
    with pytest.raises(DataError, match="no hint for the answer format 'Function EC'"):
        prompter(next(iter(samples(BUNDLED, "Protein-FunctionEC"))), 0)
    upstream_biology.hints.cache_clear()
    _turns.cache_clear()


def test_the_list_of_enzymes_is_read_from_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    enzyme_labels.cache_clear()
    with pytest.raises(ValueError, match="not on this machine"):
        Fmax(enzyme_labels, enzymes)(points("Protein-FunctionEC", "official", [("EC1.1.1.1", "?")]))
    source = "class E:\n    def __init__(self):\n        self.ec_labels = ['1.1.1.1', '2.7.1.1']\n"
    wheels.install(monkeypatch, tmp_path, {"opencompass/datasets/biodata.py": source})
    assert enzyme_labels() == ("1.1.1.1", "2.7.1.1")
    enzyme_labels.cache_clear()


def row(gold: object) -> str:
    return (
        json.dumps({"prompt": "?", "ground_truth": gold, "meta_data": {"ans_type": "cls", "task": "x"}})
        + "\n"
    )


def test_an_archive_with_a_folder_is_read(tmp_path: Path) -> None:
    path = tmp_path / "biology-instruction-fixed.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("biology-instruction-fixed/DNA-cpd.jsonl", row("negative"))
    (sample,) = samples(Data(suite="biology-instructions", local=path), "DNA-cpd")
    assert sample.target == "no"


@pytest.mark.parametrize(
    ("task", "gold", "complaint"),
    [
        ("DNA-cpd", "perhaps", "row 1: the gold answer 'perhaps' is neither yes nor no"),
        ("Protein-Stability", "high", "row 1: the gold answer 'high' is not a number"),
        ("DNA-enhancer_activity", {"hk": None}, "row 1: the gold answer .* is not a number"),
    ],
)
def test_bad_gold_answers_are_one_line(tmp_path: Path, task: str, gold: object, complaint: str) -> None:
    (tmp_path / f"{task}.jsonl").write_text(row(gold))
    with pytest.raises(DataError, match=complaint):
        list(samples(Data(suite="biology-instructions", local=tmp_path), task))


def test_without_data_one_line_says_where_they_are() -> None:
    done = evals("check", "biology-instructions:DNA-cpd")
    assert done.status != 0
    assert "its data are not on the hub; pass OpenCompass' folder or archive" in done.err + done.out


def test_the_bundled_items_are_what_the_script_computes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.make_samples_biology", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "pump",
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
def test_hostile_replies_are_read_in_bounded_time(pump: str) -> None:
    text = pump * (65_536 // len(pump))
    for task, target, keys in [
        ("DNA-cpd", "yes", ()), ("RNA-NoncodingRNAFamily", "tRNA", ()), ("RNA-Modification", "Um", ()), ("Protein-FunctionEC", "EC2.7.1.1", ()),
        ("Protein-Stability", 0.5, ()), ("RNA-ProgrammableRNASwitches", SWITCH, KEYS),
    ]:  # fmt: skip
        for protocol in ("strict", "official"):
            begin = time.process_time()
            score = judged(task, protocol, target, text, keys=keys)
            assert time.process_time() - begin < 2, (task, protocol)
            assert score.verdict != "right"
