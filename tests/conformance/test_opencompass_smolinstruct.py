"""Scores of protocol `intern-s1` agree with OpenCompass' own on about 500 variants of gold answers of SMolInstruct.

OpenCompass' evaluators run as in `evals audit --with opencompass`, in the same environment; METEOR also needs nltk's
WordNet (NLTK_DATA).
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
REPLIES_PER_TASK = 36
KNOWN_DIFFERENCES = {
    "a formula of more than about 900 symbols": "upstream exceeds the recursion limit and scores invalid; ours counts the elements",
    "a caption of more than 2,000 tokens": "ours is truncated there; upstream's score is about 0",
    "METEOR without WordNet": "upstream fails; ours reports meteor_without_synonyms",
}
"""Kind of reply -> why our score rightly differs; no such reply is among the variants below."""


def in_tag(tag, text):
    return f"<{tag}> {text} </{tag}>" if tag else text


def rerooted_smiles(gold, rng):
    from rdkit import Chem

    mol = Chem.MolFromSmiles(gold.replace(";", "."))
    return (
        gold
        if mol is None
        else Chem.MolToSmiles(
            mol, doRandom=False, canonical=False, rootedAtAtom=rng.randrange(mol.GetNumAtoms())
        )
        if "." not in gold
        else Chem.MolToSmiles(mol)
    )


def variants(task, gold, rng):
    """Yield replies derived from a gold answer: right answers in other formats, wrong answers similar to it, and nonsense."""
    tag = task.tag
    yield in_tag(tag, gold)
    yield gold
    yield f"Sure! {in_tag(tag, gold)} I hope this helps."
    yield in_tag(tag, gold).replace(" ", "")
    yield f"{in_tag(tag, 'C')} no, rather {in_tag(tag, gold)}"
    yield f"{in_tag(tag, gold)} no, rather {in_tag(tag, 'C')}"
    yield f"<{tag}> {gold}" if tag else gold[: len(gold) // 2]
    yield in_tag(tag.lower(), gold)
    yield ""
    yield "I think so"
    yield "I do not know."
    length = rng.randrange(1, max(2, len(gold)))
    yield in_tag(tag, gold[:length])
    yield in_tag(tag, gold[::-1])
    yield in_tag(tag, gold.upper())
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
            yield in_tag(tag, rerooted_smiles(gold, rng))
        yield in_tag(tag, gold + ".O")
        yield in_tag(tag, gold.replace("@", ""))
        yield in_tag(tag, gold + " is it")
    if task.kind == "formula":
        yield in_tag(tag, gold + "xyz")
        yield in_tag(tag, gold + "+")
        yield in_tag(tag, f"({gold})2")
        yield in_tag(tag, gold.replace("2", "₂"))
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
            yield in_tag(tag, text)
    if task.kind == "boolean":
        for text in ("yes", "NO", "Yes.", "No!", "Not at all", "a piano", "It may be yes or no", "**Answer**: Yes", "**Answer:** no",
                     "the answer is - no", "The answer is\n\nYes", "Yes\n", "no\nYes", "<|begin_of_box|>Yes<|end_of_box|>", "hhe answer is yes"):  # fmt: skip
            yield text
    if task.kind == "caption":
        words = gold.split()
        rng.shuffle(words)
        yield " ".join(words)
        yield gold.lower()
        yield gold.replace("molecule", "compound")
        yield f"{gold} {gold}"


def replies(name):
    """Return (gold sentence, sample, reply) for some replies to one task, the same on every machine."""
    task, rng = TASKS[name], Random(name)
    data = Data(suite="smolinstruct", sample=True)
    outputs = {row["sample_id"]: row["output"] for row in rows(data, task.name, task.rows)}
    triples = [
        (outputs[sample.id], sample, text)
        for sample in samples(data, name)
        for text in variants(
            task, str(sample.target).title() if task.kind == "boolean" else str(sample.target), rng
        )
    ]
    rng.shuffle(triples)
    return triples[:REPLIES_PER_TASK]


@pytest.fixture(scope="module")
def replies_by_task():
    return {name: replies(name) for name in TASKS}


def upstream_verdicts(name, triples):
    """Return OpenCompass' verdicts, which use the output sentences of the data set as gold answers."""
    rule = find_rule("opencompass", f"smolinstruct:{name}", None)
    return score_replies(
        rule, [RecordedReply(text, {"gold": output}) for output, _, text in triples], PYTHON
    ).verdicts


def our_scores(name, triples):
    (scorer,) = BENCHMARK.suite(name, "intern-s1").scorers.values()
    with Pool(1) as pool:
        return [
            pool.call(
                scorer, Sample(id="1", target=sample.target, meta=sample.meta), Prompt(), Reply(text=text)
            )
            for _, sample, text in triples
        ]


@pytest.mark.parametrize("name", TASKS)
def test_our_scores_equal_those_of_opencompass(name, replies_by_task):
    verdicts = upstream_verdicts(name, replies_by_task[name])
    if any("LookupError" in verdict.why for verdict in verdicts):
        pytest.skip("NOT TESTED AGAINST OPENCOMPASS: METEOR needs nltk's WordNet in both environments")
    scores = our_scores(name, replies_by_task[name])
    our_values = [score.parts.get("meteor", 0.0) if name == "MC" else score.value for score in scores]
    differences = [
        f"{text!r} for {sample.target!r}: {ours} instead of {theirs.score}"
        for ours, theirs, (_, sample, text) in zip(our_values, verdicts, replies_by_task[name], strict=True)
        if theirs.score is None or ours != pytest.approx(theirs.score, abs=1e-9)
    ]
    assert not differences, "\n".join(differences)


def test_at_least_500_replies_are_compared(replies_by_task):
    assert sum(map(len, replies_by_task.values())) == 14 * REPLIES_PER_TASK >= 500
