r"""Score answers with several boxes by the share of right boxes, or by whether every gold part is present.

`Precision` is the metric of PHYSICS's authors and VLMEvalKit (evaluation.py, utils/physic.py): the share of the boxes in a
reply that equal any gold part. Its known defects: one right part out of five gets full marks, and without `distinct` (added
by VLMEvalKit on 2026-03-19) a repeated right box counts several times. Boxes are read to any depth; upstream's pattern
truncates content that is nested deeper than three levels.

`Parts` corrects this: boxes and gold parts are matched one to one, in any order unless they are labelled ("(b) ...", or a
left-hand side that only one gold part has), and every part must be present. If there are more boxes than parts, only the
last ones count, so that listing guesses does not help. A single answer may also be stated in a line, sentence, tag or JSON, or
be the equation or quantity with which a reply ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, cast

from msgspec import Struct, structs

from evals.errors import ScorerError
from evals.extract.free_text import stated_text
from evals.extract.parts import (
    equation_sides,
    innermost_boxes,
    outermost_boxes,
    split_answers,
    split_part_name,
    without_layout,
)
from evals.extract.visible import visible
from evals.report.part_mean import PartMean
from evals.scorers.judge.judge import question_of, template
from evals.scorers.judge.judged import Judged
from evals.scorers.outcomes import binary_score, no_answer, partial_score
from evals.scorers.physics import Comparer, same_spelling, spelled
from evals.types import Failure, Judgement, Metric, Prompt, Reply, Sample, Score

MAX_CHARS = 100_000
"""Number of characters at the end of a reply that are read."""
MAX_BOXES = 32
"""Maximum number of boxes that a rule or a judge compares."""
_UNBOXED_FORMS = ("line", "sentence", "tag", "json")
"""Forms in which a single answer may be stated without a box."""
_LAST_FORMULA = re.compile(r"\$([^$]+)\$\W*\Z")
_FORMULA_OR_QUANTITY = re.compile(r"[=\\]|\A\s*[-−]?[\d.]+\s?\S")
"""What a single answer in another form without a box contains: an equation, LaTeX, or a number with its unit."""


class BoxMatching(NamedTuple):
    """Matches between the boxes of a reply and the gold parts, found by a rule; both are numbered from 0."""

    matches: dict[int, int]
    """Box -> the gold part that it equals."""
    different: frozenset[tuple[int, int]] = frozenset()
    """Pairs of box and gold part that certainly differ."""


class Precision(Struct, frozen=True):
    """Scores the share of a reply's boxes that equal a gold part; runs in a worker with a deadline."""

    heavy: ClassVar[bool] = True
    same: Comparer
    distinct: bool = False
    """Whether a repeated box counts only once."""

    def __repr__(self) -> str:
        return f"Precision({self.same.__name__}, distinct={self.distinct})"

    def warm(self) -> None:
        """Import slow dependencies, once per worker."""
        self.same("1 + x", "x + 1")

    def boxes(self, text: str, golds: Sequence[str]) -> list[str]:
        """Return the contents of the boxes to compare."""
        contents = outermost_boxes(text[-MAX_CHARS:])
        return list(dict.fromkeys(contents)) if self.distinct else contents

    def compare(self, boxes: Sequence[str], golds: Sequence[str]) -> BoxMatching:
        """Match each box with the first gold part that it equals; the cheap comparison of spellings comes first."""
        matches: dict[int, int] = {}
        for comparer in (spelled, self.same):
            for b, box in enumerate(boxes[:MAX_BOXES]):
                equal = (g for g, gold in enumerate(golds) if comparer(gold, box) == "same")
                if b not in matches and (first_equal := next(equal, None)) is not None:
                    matches[b] = first_equal
        return BoxMatching(matches)

    def undecided_pairs(
        self, boxes: Sequence[str], golds: Sequence[str], by_rule: BoxMatching
    ) -> list[tuple[int, int]]:
        """Return the pairs that a judge must still compare: every unmatched box with every gold part."""
        unmatched = (b for b in range(min(len(boxes), MAX_BOXES)) if b not in by_rule.matches)
        return [(b, g) for b in unmatched for g in range(len(golds))]

    def is_settled(self, matches: dict[int, int], box: int, gold: int) -> bool:
        """Return whether a pair needs no further comparison."""
        return box in matches

    def score(self, reply: Reply, boxes: Sequence[str], golds: Sequence[str], matching: BoxMatching) -> Score:
        """Return the score for the matched boxes."""
        if not boxes:
            return no_answer(reply, "no box", parts={"share": 0.0})
        value = len(matching.matches) / len(boxes)
        return partial_score(
            value,
            answer="; ".join(boxes)[:500],
            why=f"{len(matching.matches)} of {len(boxes)} boxes",
            suspect=len(boxes) > MAX_BOXES,
            parts=_encode(matching, golds),
        )

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply by the rule only."""
        golds = sample.targets
        boxes = [] if reply.stop == "filter" else self.boxes(reply.text, golds)
        return self.score(reply, boxes, golds, self.compare(boxes, golds))


class Parts(Precision, frozen=True):
    """Scores 1 if every gold part has its own box, else 0; `share` in `Score.parts` is the share of matched gold parts."""

    def __repr__(self) -> str:
        return f"Parts({self.same.__name__})"

    def boxes(self, text: str, golds: Sequence[str]) -> list[str]:
        """Return up to one text per gold part: the last boxes, the items of a list in the last box, or an unboxed answer."""
        contents, count = innermost_boxes(visible(text[-MAX_CHARS:]).text), len(golds)
        if not contents and count == 1 and (stated := stated_text(text)):
            formula = _LAST_FORMULA.search(stated.value[0])
            answer = formula[1] if formula else stated.value[0].replace("$", "")
            return [answer] if stated.form in _UNBOXED_FORMS or _FORMULA_OR_QUANTITY.search(answer) else []
        if contents and count > 1 and len(items := split_answers(contents[-1], count)) == count:
            return items
        contents = contents[-MAX_BOXES - count :]
        while len(contents) > count:  # drop boxes that are repeated later, then the earliest
            repeated = (
                n
                for n, box in enumerate(contents)
                if any(same_spelling(box, following) for following in contents[n + 1 :])
            )
            del contents[next(repeated, 0)]
        return contents

    def compare(self, boxes: Sequence[str], golds: Sequence[str]) -> BoxMatching:
        """Return a maximum one-to-one matching of boxes and parts."""
        comparisons = {
            (b, g): self.same(split_part_name(golds[g])[1], split_part_name(boxes[b])[1])
            for b, g in allowed_pairs(boxes, golds)
        }
        matches = maximum_matching(
            len(boxes), {pair for pair, comparison in comparisons.items() if comparison == "same"}
        )
        return BoxMatching(
            matches, frozenset(pair for pair, comparison in comparisons.items() if comparison == "different")
        )

    def undecided_pairs(
        self, boxes: Sequence[str], golds: Sequence[str], by_rule: BoxMatching
    ) -> list[tuple[int, int]]:
        """Return the pairs that the rule leaves undecided, boxes and parts at the same position first."""
        pairs = [
            (b, g)
            for b, g in allowed_pairs(boxes, golds)
            if not self.is_settled(by_rule.matches, b, g) and (b, g) not in by_rule.different
        ]
        return sorted(pairs, key=lambda pair: (abs(pair[0] - pair[1]), pair))

    def is_settled(self, matches: dict[int, int], box: int, gold: int) -> bool:
        """Return whether a pair needs no further comparison."""
        return box in matches or gold in matches.values()

    def score(self, reply: Reply, boxes: Sequence[str], golds: Sequence[str], matching: BoxMatching) -> Score:
        """Return the score for the matched boxes."""
        if not boxes:
            return no_answer(reply, "no box", parts={"share": 0.0})
        right = len(matching.matches) == len(golds)
        return binary_score(
            right=right,
            answer="; ".join(boxes)[:500],
            why=f"{len(matching.matches)} of {len(golds)} parts",
            parts=_encode(matching, golds),
        )


def _encode(matching: BoxMatching, golds: Sequence[str]) -> dict[str, float]:
    """Encode a matching as score parts: "box 1" is the number of its gold part, "box 1 not 2" is 1 if they differ."""
    matches = {f"box {box + 1}": gold + 1.0 for box, gold in sorted(matching.matches.items())}
    differences = {f"box {box + 1} not {gold + 1}": 1.0 for box, gold in sorted(matching.different)}
    return {"share": len(set(matching.matches.values())) / len(golds), **matches, **differences}


def _decode(score: Score) -> BoxMatching:
    """Decode the score parts that `_encode` returned."""
    entries = [(key.split(" "), value) for key, value in score.parts.items() if key.startswith("box ")]
    matches = {int(words[1]) - 1: int(value) - 1 for words, value in entries if len(words) == 2}
    different = frozenset((int(words[1]) - 1, int(words[3]) - 1) for words, _ in entries if len(words) == 4)
    return BoxMatching(matches, different)


def allowed_pairs(boxes: Sequence[str], golds: Sequence[str]) -> list[tuple[int, int]]:
    """Return the pairs of box and gold part that labels allow: "(b)" only part b, "v =" only the one part with that left side."""
    gold_sides = [_left_hand_side(gold) for gold in golds]
    gold_letters = [split_part_name(gold)[0] for gold in golds]
    box_letters = [split_part_name(box)[0] for box in boxes]
    if not all(gold_letters):
        gold_letters = [chr(ord("a") + g) for g in range(len(golds))]
        if sorted(box_letters) != gold_letters:  # letters are labels only if each has one box
            box_letters = [""] * len(boxes)
    pairs = []
    for b, box in enumerate(boxes):
        side = _left_hand_side(split_part_name(box)[1])
        required = side if gold_sides.count(side) == 1 else ""
        pairs += [
            (b, g)
            for g in range(len(golds))
            if (not box_letters[b] or box_letters[b] == gold_letters[g])
            and (not required or gold_sides[g] == required)
        ]
    return pairs


def _left_hand_side(text: str) -> str:
    sides = equation_sides(split_part_name(text)[1])
    return without_layout(sides[0]).replace(" ", "") if len(sides) > 1 else ""


def maximum_matching(box_count: int, pairs: set[tuple[int, int]]) -> dict[int, int]:
    """Return a maximum matching of boxes to gold parts (augmenting paths)."""
    owner: dict[int, int] = {}

    def assign(box: int, tried: set[int]) -> bool:
        for b, gold in sorted(pairs):
            if b == box and gold not in tried:
                tried.add(gold)
                if gold not in owner or assign(owner[gold], tried):
                    owner[gold] = box
                    return True
        return False

    for box in range(box_count):
        assign(box, set())
    return {box: gold for gold, box in owner.items()}


class JudgedBoxes(Judged, frozen=True, kw_only=True):
    """Compares boxes by a rule, and asks a judge about each pair of box and gold part that the rule leaves undecided."""

    template_name: str = "equivalence"

    async def judge_after(
        self,
        sample: Sample,
        prompt: Prompt,
        reply: Reply,
        first: Score | Failure,
        earlier: Score | Failure | None,
    ) -> Score:
        """Call the judge after the rule; if the rule failed, for instance because of a timeout, spellings are compared instead.

        Raises Waiting if pairs are undecided and there is no judge, Unreadable if the judge's reply has no verdict.
        """
        rule, golds = cast("Precision", self.rule), sample.targets
        boxes = [] if reply.stop == "filter" else rule.boxes(reply.text, golds)
        fallback = structs.replace(rule, same=spelled)
        by_rule = _decode(first) if isinstance(first, Score) else fallback.compare(boxes, golds)
        question, judge_template = question_of(sample, prompt), template(self.template_name)
        matches, judgements = dict(by_rule.matches), list[Judgement]()
        for box, gold in rule.undecided_pairs(boxes, golds, by_rule):
            if not rule.is_settled(matches, box, gold):
                verdict, judgement = await self.ask(
                    judge_template, question, golds[gold], boxes[box], earlier
                )
                judgements.append(judgement)
                if verdict == "A":
                    matches[box] = gold
        score = rule.score(reply, boxes, golds, by_rule._replace(matches=matches))
        if not judgements and score.verdict == "right" and self.is_audited(sample):
            return await self._audit(score, question, boxes, golds, earlier)
        return structs.replace(score, judged=tuple(judgements))

    async def _audit(
        self,
        score: Score,
        question: str,
        boxes: Sequence[str],
        golds: Sequence[str],
        earlier: Score | Failure | None,
    ) -> Score:
        """Let the judge check the rule's matches; this changes no score and is skipped without a judge."""
        verdicts, judge_template = [], template(self.template_name)
        try:
            for box, gold in _decode(score).matches.items():
                verdicts.append(await self.ask(judge_template, question, golds[gold], boxes[box], earlier))
        except ScorerError:
            return score  # the verdicts were only needed for the audit
        agreed = all(verdict == "A" for verdict, _ in verdicts)
        parts = {**score.parts, "rule": 1.0, "judge": float(agreed)}
        return structs.replace(score, parts=parts, suspect=not agreed, judged=tuple(j for _, j in verdicts))


PARTS_RIGHT = Metric(name="parts_right", of=PartMean("share"))
"""Mean share of the gold parts that a reply contains."""
