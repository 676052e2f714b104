"""Evidence that gold answers were known: items count once, however many repeats a run has."""

from __future__ import annotations

from collections.abc import Iterator

from evals.board import checks
from evals.data.errata import NO_ERRATA, Errata, Erratum
from evals.types import Record, Sample
from tests.support import toy

LONG_GOLD = "the gradient of the concentration drives the flux across it"


def records(items: int, repeats: int, *, text: str, value: float = 1.0) -> Iterator[Record]:
    """Yield records with the same reply to every item."""
    for item in range(items):
        for repeat in range(repeats):
            yield toy.record(f"q{item:03}", repeat, text=text, value=value)


def refusals(
    replies: Iterator[Record], items: int, *, target: str = "A", errata: Errata = NO_ERRATA
) -> list[str]:
    samples = {f"q{item:03}": Sample(id=f"q{item:03}", target=target) for item in range(items)}
    return list(checks.leak_refusals(checks.count(replies, samples, errata, None)))


def errata_of_wrong_gold(items: int) -> Errata:
    return Errata("1", {f"q{item:03}": Erratum("gold", "B") for item in range(items)})


def test_agreement_with_four_wrong_gold_answers_is_evidence() -> None:
    (refusal,) = refusals(records(4, 1, text="A"), 4, errata=errata_of_wrong_gold(4))
    assert (
        refusal
        == "all replies to the 4 items whose gold answer is known to be wrong agree with the gold answer"
    )


def test_repeats_of_one_item_with_a_wrong_gold_answer_are_not_evidence() -> None:
    assert refusals(records(1, 16, text="A"), 1, errata=errata_of_wrong_gold(1)) == []


def test_one_disagreement_with_a_wrong_gold_answer_refutes_the_evidence() -> None:
    *replies, _ = records(4, 2, text="A")
    replies.append(toy.record("q003", 1, text="B", value=0.0))
    assert refusals(iter(replies), 4, errata=errata_of_wrong_gold(4)) == []


def test_long_gold_answers_in_most_replies_are_evidence() -> None:
    (refusal,) = refusals(records(10, 2, text=f"It is known that {LONG_GOLD}."), 10, target=LONG_GOLD)
    assert refusal == "most replies to 10 of 10 items with a long gold answer contain it verbatim"


def test_repeats_of_few_items_with_a_long_gold_answer_are_not_evidence() -> None:
    assert refusals(records(9, 16, text=LONG_GOLD), 9, target=LONG_GOLD) == []
