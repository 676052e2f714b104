"""Protocol `intern-s1` against OpenCompass itself, on some 500 replies made of corrupted gold answers.

Its evaluators run as in `evals audit --with opencompass`, in the environment that this names; METEOR also needs nltk's
WordNet (NLTK_DATA). Every disagreement must stand in `EXPLAINED`.
"""

from random import Random

import pytest

from evals import harness_environments as environments
from evals.data import Data
from evals.data.smolinstruct import TASKS, rows, samples
from evals.sandbox import Pool
from evals.suites.smolinstruct import BENCHMARK
from evals.types import Prompt, Reply, Sample
from evals.verdicts.second_opinion.opinion import RecordedReply, score_replies
from evals.verdicts.second_opinion.rules import find_rule

pytest.importorskip("rdkit", reason="NOT TESTED: the extra `chemistry` is not installed")
PYTHON = environments.interpreter("opencompass")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON, reason=f"NOT TESTED AGAINST OPENCOMPASS: {environments.install_commands('opencompass')}"
    ),
]
PER_TASK = 36
EXPLAINED = {
    "a formula of more than about 900 symbols": "upstream recurses once a symbol and gives up: invalid; ours counts",
    "a caption of more than 2,000 tokens": "ours is cut there; upstream's score of it is about 0",
    "no answer to METEOR's synonyms": "without WordNet upstream dies; ours names the number meteor_without_synonyms",
}
"""Kinds of replies on which we are right to differ; none is among the corruptions below."""


def wrapped(tag, text):
    return f"<{tag}> {text} </{tag}>" if tag else text


def shuffled_smiles(gold, draw):
    from rdkit import Chem

    mol = Chem.MolFromSmiles(gold.replace(";", "."))
    return (
        gold
        if mol is None
        else Chem.MolToSmiles(
            mol, doRandom=False, canonical=False, rootedAtAtom=draw.randrange(mol.GetNumAtoms())
        )
        if "." not in gold
        else Chem.MolToSmiles(mol)
    )


def corruptions(task, gold, draw):
    """Give replies around a gold answer: right ones in other clothes, near misses, rubbish."""
    tag = task.tag
    yield wrapped(tag, gold)
    yield gold
    yield f"Sure! {wrapped(tag, gold)} I hope this helps."
    yield wrapped(tag, gold).replace(" ", "")
    yield f"{wrapped(tag, 'C')} no, rather {wrapped(tag, gold)}"
    yield f"{wrapped(tag, gold)} no, rather {wrapped(tag, 'C')}"
    yield f"<{tag}> {gold}" if tag else gold[: len(gold) // 2]
    yield wrapped(tag.lower(), gold)
    yield ""
    yield "I think so"
    yield "I do not know."
    cut = draw.randrange(1, max(2, len(gold)))
    yield wrapped(tag, gold[:cut])
    yield wrapped(tag, gold[::-1])
    yield wrapped(tag, gold.upper())
    yield f"```\n{gold}\n```"
    yield f"**Answer:** {gold}"
    yield f"Answer: {gold}"
    yield f"The answer is {gold}."
    yield f'The answer is: "{gold}"'
    yield f"\\boxed{{{gold}}}"
    yield f"<think>hm</think>{gold}"
    yield f"**Reactants and Reagents:**\n```\n{gold}\n```"
    yield f"The reactants and reagents are:\n```\n{gold}\n```\nNote C."
    if task.kind in ("molecule", "molecules"):
        for _ in range(4):
            yield wrapped(tag, shuffled_smiles(gold, draw))
        yield wrapped(tag, gold + ".O")
        yield wrapped(tag, gold.replace("@", ""))
        yield wrapped(tag, gold + " is it")
    if task.kind == "formula":
        yield wrapped(tag, gold + "xyz")
        yield wrapped(tag, gold + "+")
        yield wrapped(tag, f"({gold})2")
        yield wrapped(tag, gold.replace("2", "₂"))
    if task.kind == "number":
        value = float(gold)
        for text in (
            f"{value:+}",
            f"{value:e}",
            f"{value} mol/L",
            f"−{abs(value)}",
            f"{value:.0f}.",
            f".{abs(int(value))}5",
            "0",
        ):
            yield f"\\boxed{{{text}}}"
            yield wrapped(tag, text)
    if task.kind == "boolean":
        for text in ("yes", "NO", "Yes.", "No!", "Not at all", "a piano", "It may be yes or no", "**Answer**: Yes", "**Answer:** no",
                     "the answer is - no", "The answer is\n\nYes", "Yes\n", "no\nYes", "<|begin_of_box|>Yes<|end_of_box|>", "hhe answer is yes"):  # fmt: skip
            yield text
    if task.kind == "caption":
        words = gold.split()
        draw.shuffle(words)
        yield " ".join(words)
        yield gold.lower()
        yield gold.replace("molecule", "compound")
        yield f"{gold} {gold}"


def replies(name):
    """Give (gold sentence, sample, reply) for one task, the same on every machine."""
    task, draw = TASKS[name], Random(name)
    data = Data(suite="smolinstruct", sample=True)
    outputs = {row["sample_id"]: row["output"] for row in rows(data, task.name, task.rows)}
    found = [
        (outputs[sample.id], sample, text)
        for sample in samples(data, name)
        for text in corruptions(
            task, str(sample.target).title() if task.kind == "boolean" else str(sample.target), draw
        )
    ]
    draw.shuffle(found)
    return found[:PER_TASK]


@pytest.fixture(scope="module")
def work():
    return {name: replies(name) for name in TASKS}


def theirs(name, found):
    """Give their verdicts, of the data set's output sentences."""
    rule = find_rule("opencompass", f"smolinstruct:{name}", None)
    return score_replies(
        rule, [RecordedReply(text, {"gold": output}) for output, _, text in found], PYTHON
    ).verdicts


def ours(name, found):
    (scorer,) = BENCHMARK.suite(name, "intern-s1").scorers.values()
    with Pool(1) as pool:
        return [
            pool.call(
                scorer, Sample(id="1", target=sample.target, meta=sample.meta), Prompt(), Reply(text=text)
            )
            for _, sample, text in found
        ]


@pytest.mark.parametrize("name", TASKS)
def test_every_item_agrees(name, work):
    found = theirs(name, work[name])
    if any("LookupError" in one.why for one in found):
        pytest.skip("NOT TESTED AGAINST OPENCOMPASS: METEOR needs nltk's WordNet in both environments")
    scores = ours(name, work[name])
    mine = [score.parts.get("meteor", 0.0) if name == "MC" else score.value for score in scores]
    differ = [
        f"{text!r} for {sample.target!r}: {a} against {b}"
        for a, b, (_, sample, text) in zip(mine, found, work[name], strict=True)
        if b.score is None or a != pytest.approx(b.score, abs=1e-9)
    ]
    assert not differ, "\n".join(differ)


def test_there_are_some_five_hundred(work):
    assert sum(map(len, work.values())) == 14 * PER_TASK >= 500
