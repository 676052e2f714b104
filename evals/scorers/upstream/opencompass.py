r"""OpenCompass' rules for SMolInstruct, with their known defects (opencompass 0.5.4, datasets/smolinstruct.py).

They produced the column "SmolInstruct" of the Intern-S1 tables. Known defects, each covered by a test:

* names and SMILES are compared as strings, so `OCC` is not `CCO` (`Strings`);
* a formula is read up to its first invalid character, so `C6H6xyz` is C6H6; brackets are invalid (`Elements`);
* the "RMSE" is a mean absolute error, and a reply without a readable number counts as a prediction of 0 (`Errors`); a number
  with a plus sign, an exponent, a unit or a Unicode minus is not readable;
* without tags the whole reply is the answer, and RDKit reads it up to its first space: "I think so" is hydrogen iodide, and
  an empty answer is the empty molecule (`Similarity`);
* syntheses are scored by similarity, never by equality.

Each pattern below accepts the same texts as upstream's, in linear time. Tasks are abbreviated as in `llm4chem`, with the
prefixes NC (name conversion) and PP (property prediction); MC: molecule captioning.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from msgspec import Struct

from evals.scorers.molecule_forms import UsesRdkit, rdkit
from evals.scorers.outcomes import binary_score, no_answer, unanswered_verdict
from evals.scorers.text import meteor, tokenize
from evals.scorers.upstream.llm4chem import element_counts
from evals.types import Prompt, Reply, Sample, Score, Verdict

_OPENING_TAG = re.compile(r"<(MOLFORMULA|SMILES|IUPAC)>")
_REAGENT_PHRASES = (
    "reactants and reagents are:\n```\n",
    "reactants and reagents:\n```\n",
    "Reactants and Reagents:**\n```\n",
    "Reactants and Reagents SMILES:**\n```\n",
    "Reactants and Reagents:**  \n`",
)
TAGGED_NUMBER = re.compile(r"(?:<NUMBER>|\\boxed\{)\s*+(-?(?:\d++(?:\.\d++)?|\.\d++))\s*+(?:</NUMBER>|\})")
_YES_NO_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\\boxed\{\s*(yes|no)\s*\}",
        r"[Th]he\s+answer\s+is\s*(?:[.:'\"“‘’\-]+\s*)?(yes|no)",
        r"answer:\s*(yes|no)\b",
        r"\*\*answer:\*\*\s*(yes|no)\b",
        r"\*\*answer\*\*:\s*(yes|no)\b",
        r"<BOOLEAN>\s*(yes|no)\s*</BOOLEAN>",
        r"\A(yes|no)[.?!]?\Z",
        r"<\|begin_of_box\|>\s*(yes|no)\s*<\|end_of_box\|>",
    )
)


def last_chemistry_tag(text: str) -> str:
    """Return the content of the last chemistry tag; without tags, the line after one of five phrases, else the text."""
    content = None
    position = 0
    ends: dict[str, int] = {}
    while opening := _OPENING_TAG.search(text, position):
        close = f"</{opening[1]}>"
        if ends.get(close, 0) < opening.end():
            end = text.find(close, opening.end())
            ends[close] = end if end >= 0 else len(text) + 1
        if ends[close] <= len(text):
            content, position = text[opening.end() : ends[close]].strip(), ends[close] + len(close)
        else:
            position = opening.end()
    if content is not None:
        return content
    for phrase in _REAGENT_PHRASES:
        if phrase in text:
            return text.split(phrase)[-1].split("\n")[0]
    return text


def first_number(text: str) -> float | None:
    """Return the first number that is the whole content of a `<NUMBER>` tag or a box."""
    match = TAGGED_NUMBER.search(text)
    return float(match[1]) if match else None


def yes_no(text: str) -> str | None:
    """Return the yes or no of the first pattern that matches, else the one at the beginning or the end of the reply."""
    text = text.rpartition("</think>")[2].strip()
    for pattern in _YES_NO_PATTERNS:
        if match := pattern.search(text):
            return match[1].lower()
    text = text.lower()
    for word in ("yes", "no"):
        if text.startswith(word) or text.endswith(word):
            return word
    return None


def _verdict(reply: Reply, *, right: bool, stated: bool) -> Verdict:
    return "right" if right else "wrong" if stated else unanswered_verdict(reply)


class Elements(Struct, frozen=True):
    """Scores 1 for equal element counts (NC-I2F, NC-S2F)."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer = last_chemistry_tag(reply.text)
        answer_counts = element_counts(answer) if answer else None
        if answer_counts is None:
            verdict: Verdict = "invalid" if answer else unanswered_verdict(reply)
            return Score(
                value=0.0, verdict=verdict, answer=answer[:200] or None, why="upstream reads no formula"
            )
        right = answer_counts == element_counts(str(sample.target).strip())
        return binary_score(right=right, answer=answer[:200])


class Strings(Struct, frozen=True):
    """Scores 1 for the same string (NC-I2S, NC-S2I)."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer = last_chemistry_tag(reply.text).strip()
        right = answer == str(sample.target).strip()
        why = "" if right else "not the same string"
        verdict = _verdict(reply, right=right, stated=bool(answer))
        return Score(value=float(right), verdict=verdict, answer=answer[:2000] or None, why=why)


class Errors(Struct, frozen=True):
    """Scores the absolute error; a missing number counts as a prediction of 0 (PP-ESOL, PP-Lipo)."""

    def read(self, text: str) -> float | None:
        """Return the number that upstream reads."""
        return first_number(text)

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        stated = self.read(reply.text)
        value = abs((stated or 0.0) - float(str(sample.target)))
        if stated is None:
            return no_answer(reply, "no number that upstream reads: counted as 0", value=value)
        return Score(value=value, verdict="graded", answer=f"{stated!r}")


class YesNo(Struct, frozen=True):
    """Scores 1 for the right yes or no (PP-BBBP, PP-ClinTox, PP-HIV, PP-SIDER)."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer = yes_no(reply.text)
        right = answer == str(sample.target).lower()
        return Score(
            value=float(right), verdict=_verdict(reply, right=right, stated=answer is not None), answer=answer
        )


class Similarity(UsesRdkit, frozen=True):
    """Scores the Tanimoto similarity of Morgan fingerprints (radius 2, 2,048 bits); 0 if invalid (MG, FS, RS)."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer, parse = last_chemistry_tag(reply.text), rdkit().Chem.MolFromSmiles
        mol, gold = parse(answer), parse(str(sample.target).strip())
        why = "RDKit cannot read the answer" if mol is None else "RDKit cannot read the gold answer"
        return score_similarity(reply, answer, mol=mol, gold=gold, why_invalid=why)


def score_similarity(reply: Reply, answer: str, *, mol: Any, gold: Any, why_invalid: str) -> Score:
    """Score an RDKit molecule by its similarity to the gold one; an answer is invalid if either could not be parsed."""
    if mol is None or gold is None:
        verdict: Verdict = "invalid" if answer.strip() else unanswered_verdict(reply)
        return Score(
            value=0.0, verdict=verdict, answer=answer[:200] or None, why=why_invalid, parts={"valid": 0.0}
        )
    rd = rdkit()
    fingerprint = rd.morgan_2048.GetFingerprint
    value = float(rd.DataStructs.TanimotoSimilarity(fingerprint(mol), fingerprint(gold)))
    return Score(value=value, verdict="graded", answer=answer[:2000], parts={"valid": 1.0})


class Meteor(Struct, frozen=True):
    """Scores METEOR on space-separated tokens against the data set's whole output sentence (MC)."""

    synonyms: bool = True
    heavy: ClassVar[bool] = True

    def warm(self) -> None:
        """Import nltk and read WordNet."""
        meteor(["warm"], ["warm"], synonyms=self.synonyms)

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        gold = str(sample.meta.get("output") or sample.target)
        answer_tokens, gold_tokens = tokenize(reply.text, "blanks"), tokenize(gold, "blanks")
        if not answer_tokens:
            return no_answer(reply, "no text")
        value = meteor(answer_tokens, gold_tokens, synonyms=self.synonyms)
        name = "meteor" if self.synonyms else "meteor_without_synonyms"
        is_same = answer_tokens == gold_tokens
        return Score(
            value=1.0 if is_same else value,
            verdict="right" if is_same else "graded",
            answer=reply.text.strip()[:500],
            parts={name: value},
        )
