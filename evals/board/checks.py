"""Checks of a verified run against the board's rules and against the other entries.

Each check yields messages. An entry with a message from `..._refusals` (broken rules, tampering) is refused; one with a
message from `..._doubts` (implausible results) is held until a maintainer accepts it.

Copied replies are recognised by hashes, without storing texts. Short replies often coincide, so only those of at least
`MIN_LONG_CHARACTERS` are compared one by one: two models do not write 200 identical characters by chance, unless a template
prescribes them. Runs with short replies are compared as a whole: a copy has the same answer to every item, including many
wrong ones.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice

from msgspec import Struct, field

from evals.board.policy import SuiteRule
from evals.board.results import EntryResult, Fingerprint, SuiteResult
from evals.board.submission import unsuitable_text
from evals.data.errata import Errata
from evals.records.card import Card
from evals.records.store import fingerprint as config_fingerprint
from evals.suite import Suite
from evals.types import Record, Reply, Sample, Score

MIN_GOLD_CHARACTERS = 40
"""Minimum length of a gold answer that no model repeats verbatim by chance."""
MIN_GOLD_COPIES = 10
MIN_GOLD_SHARE = 0.5
"""Gold answers count as copied if at least this number and this share of the long ones appear verbatim in the replies."""
MIN_FAULTY_ITEMS = 4
"""Minimum number of items with a wrong gold answer, all answered with it, to conclude that the gold answers were known."""
MIN_CEILING_ITEMS = 50
"""Minimum number of items for which a value above the ceiling is implausible."""
MIN_REPEATED_REPLIES = 20
"""Minimum number of long replies in later repeats, all equal to the first, to conclude that they were not sampled."""
MIN_LONG_CHARACTERS = 200
MAX_HASHED_REPLIES = 1024
"""Maximum number of long replies to hash: those with the lowest hashes of sample and repeat, the same in all entries."""
MIN_COPIED_SHARE = 0.02
MIN_COPIED_REPLIES = 5
"""Replies count as copied if at least this share and this number of the long ones are identical."""
MIN_WRONG_ANSWERS = 20
"""Minimum number of wrong answers in each of two runs; if there are fewer, equal answers do not count as copied."""
_GENERATED_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")
"""Id of a run that its user did not name (`records.store.new_id`); its end is the fingerprint of the configuration."""


class Counts(Struct):
    """What the checks need to know about the replies, from one pass over a run's records."""

    gold_copies: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    """Sample with a long gold answer -> whether each of its replies contains that answer verbatim."""
    faulty_gold_matches: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    """Sample with a gold answer known to be wrong -> whether each of its replies agrees with it."""
    overlong_replies: int = 0
    """Replies with more output tokens than the card's max_tokens."""
    later_replies: int = 0
    """Long replies in the second and later repeats."""
    identical_later_replies: int = 0
    """Long replies in later repeats that equal the reply in the first."""


def count(
    records: Iterable[Record], samples: Mapping[str, Sample], errata: Errata, max_tokens: int | None
) -> Counts:
    """Return the counts of a run's records; `max_tokens`: the limit that the card states."""
    counts, first_replies = Counts(), dict[str, int]()
    for record in records:
        reply, sample = record.outcome, samples[record.sample]
        if not isinstance(reply, Reply):
            continue
        counts.overlong_replies += max_tokens is not None and (reply.usage.output or 0) > max_tokens
        if isinstance(sample.target, str) and len(sample.target) >= MIN_GOLD_CHARACTERS:
            counts.gold_copies[sample.id].append(sample.target in reply.text)
        if (erratum := errata.of(sample)) is not None and erratum.kind == "gold":
            score = next(iter(record.scores.values()), None)
            counts.faulty_gold_matches[sample.id].append(isinstance(score, Score) and score.value == 1.0)
        if len(reply.text) >= MIN_LONG_CHARACTERS:
            if record.repeat == 0:
                first_replies[record.sample] = hash(reply.text)
            elif record.sample in first_replies:
                counts.later_replies += 1
                counts.identical_later_replies += first_replies[record.sample] == hash(reply.text)
    return counts


def judge_of(card: Card) -> str:
    """Return the judge model of a run, as its server names it if that is known; empty if there was no judge."""
    return (card.judge.served or card.judge.model) if card.judge is not None else card.config.judge


def rule_refusals(card: Card, rule: SuiteRule, suite: Suite) -> Iterator[str]:
    """Yield a message for each rule of the board that a run breaks."""
    config = card.config
    if card.origin != "run" and not rule.imports:
        yield f"it is not an original run ({card.origin}); the board accepts only runs made by evals run"
    if card.data == "sample" and not rule.data_sha256:
        yield "it ran on the built-in samples, not on the suite's data"
    has_same_seed = rule.limit is None or config.seed == rule.seed
    if config.sample_ids or config.limit != rule.limit or not has_same_seed:
        subset = "all items" if rule.limit is None else f"{rule.limit} items chosen with seed {rule.seed}"
        yield f"it covers another subset; the board requires {subset}"
    if suite.gated and not card.gated:
        yield "the suite is gated, but the bundle contains its texts"
    if _GENERATED_ID.fullmatch(card.run) and card.run.rpartition("-")[2] != config_fingerprint(config):
        yield f"the run's id {card.run} does not belong to its configuration: the card was edited, or comes from another version of science-evals"
    if rule.data_sha256 and config.data_sha256 != rule.data_sha256:
        yield f"its data hash to {config.data_sha256[:16]}; the board uses {rule.data_sha256[:16]}"
    if config.repeats < rule.minimum_repeats:
        yield f"the number of repeats is {config.repeats}; the board requires {rule.minimum_repeats}"
    if card.coverage < rule.minimum_coverage:
        yield f"coverage is {card.coverage:.3f}; the board requires {rule.minimum_coverage:g}"
    if card.truncated > rule.maximum_truncated * max(card.expected, 1):
        yield f"{card.truncated} of {card.expected} replies are truncated; the board allows a share of {rule.maximum_truncated:g}"
    if rule.temperature is not None and config.sampling.temperature != rule.temperature:
        yield f"temperature is {config.sampling.temperature}; the board requires {rule.temperature:g}"
    if (judge := judge_of(card)) != rule.judge:
        yield f"the judge is {judge or 'none'}; the board requires {rule.judge or 'none'}"
    if config.system or config.words:
        yield "its prompts are not the suite's own"
    if any(finding.fault for finding in card.health):
        yield f"health: {'; '.join(finding.message for finding in card.health if finding.fault)}"
    for name, text in (("model", card.model), ("served", card.served), ("judge", judge)):
        if why := unsuitable_text(text):
            yield f"the card's {name} {why}"


def sampling_refusals(card: Card, counts: Counts) -> Iterator[str]:
    """Yield evidence that replies were not sampled as the card states."""
    if counts.overlong_replies:
        limit = card.config.sampling.max_tokens
        yield f"replies longer than the card's max_tokens ({limit}): {counts.overlong_replies}"
    is_sampled = (card.config.sampling.temperature or 0.0) > 0
    if (
        is_sampled
        and counts.later_replies >= MIN_REPEATED_REPLIES
        and counts.identical_later_replies == counts.later_replies
    ):
        yield (
            f"all {counts.later_replies} repeated replies are identical to the first, at a temperature of "
            f"{card.config.sampling.temperature:g}"
        )


def leak_refusals(counts: Counts) -> Iterator[str]:
    """Yield evidence that the gold answers were known; repeats of an item are one piece of evidence."""
    items = len(counts.gold_copies)
    copied = sum(2 * sum(copies) > len(copies) for copies in counts.gold_copies.values())
    if copied >= max(MIN_GOLD_COPIES, MIN_GOLD_SHARE * items):
        yield f"most replies to {copied} of {items} items with a long gold answer contain it verbatim"
    faulty = counts.faulty_gold_matches.values()
    if len(faulty) >= MIN_FAULTY_ITEMS and all(map(all, faulty)):
        yield f"all replies to the {len(faulty)} items whose gold answer is known to be wrong agree with the gold answer"


def plausibility_doubts(result: SuiteResult, rule: SuiteRule, others: Sequence[EntryResult]) -> Iterator[str]:
    """Yield the reasons why a result is implausible. `others`: published entries of other models."""
    headline = result.headline
    if headline is None or headline.value is None:
        yield "it has no headline"
        return
    if (
        headline.unit == "fraction"
        and headline.better == "higher"
        and headline.n >= MIN_CEILING_ITEMS
        and headline.value > rule.ceiling
    ):
        yield f"{headline.metric} is {headline.value:.3f}, above the plausible maximum of {rule.ceiling:g}"
    other_values = [
        other_headline.value
        for other in others
        for suite in other.suites
        if suite.label == result.label
        and (other_headline := suite.headline) is not None
        and other_headline.value is not None
    ]
    if not other_values:
        return
    is_higher_better = headline.better == "higher"
    gain = headline.value - max(other_values) if is_higher_better else min(other_values) - headline.value
    if gain > rule.plausible_gain:
        yield f"{headline.metric} is better than the best entry's by {gain:.3f}, more than the plausible maximum of {rule.plausible_gain:g}"


def comparison_refusals(
    result: SuiteResult, others: Sequence[EntryResult], of_other_models: Sequence[EntryResult]
) -> Iterator[str]:
    """Yield a refusal for each earlier entry with the same run, with other data, or from which the run appears to be copied."""
    for other in others:
        # an equal id does not suffice: two runs may begin in the same second
        if any(
            result.bundle_sha256 == suite.bundle_sha256
            or (result.run, result.fingerprint.answers) == (suite.run, suite.fingerprint.answers)
            for suite in other.suites
        ):
            yield f"run {result.run} is already part of {other.entry}"
    same_suite = [(other, suite) for other in others for suite in other.suites if suite.label == result.label]
    published = ((o.entry, s.data_sha256) for o, s in same_suite if o.status == "accepted")
    differing = ((entry, digest) for entry, digest in published if digest != result.data_sha256)
    for entry, digest in islice(differing, 1):
        yield f"its data hash to {result.data_sha256[:16]}, those of {entry} to {digest[:16]}"
    for other, suite in same_suite:
        if other in of_other_models and (why := copy_evidence(result.fingerprint, suite.fingerprint)):
            yield f"copied from {other.entry}: {why}"


def _hash(text: str, digits: int) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def fingerprint(records: Iterable[Record]) -> Fingerprint:
    """Return the fingerprint of a run's records."""
    answers: list[str] = []
    long_replies: list[tuple[str, str]] = []
    wrong = 0
    for record in records:
        score = next(iter(record.scores.values()), None)
        if not isinstance(record.outcome, Reply) or not isinstance(score, Score):
            continue
        answers.append(f"{record.sample}\t{record.repeat}\t{score.answer}\t{score.value}")
        wrong += score.verdict != "right" and score.value != 1.0
        text = " ".join(record.outcome.text.split())
        if len(text) >= MIN_LONG_CHARACTERS:
            long_replies.append((_hash(f"{record.sample}\t{record.repeat}", 12), _hash(text, 16)))
    long_replies.sort()
    return Fingerprint(
        answers=_hash("\n".join(sorted(answers)), 64),
        wrong=wrong,
        long_replies=dict(long_replies[:MAX_HASHED_REPLIES]),
    )


def copy_evidence(first: Fingerprint, second: Fingerprint) -> str:
    """Return why the replies of one run appear to be copied from another; empty if they do not."""
    common = first.long_replies.keys() & second.long_replies.keys()
    identical = sum(first.long_replies[key] == second.long_replies[key] for key in common)
    if identical >= max(MIN_COPIED_REPLIES, MIN_COPIED_SHARE * len(common)):
        return f"{identical} of {len(common)} long replies are identical"
    if first.answers == second.answers and min(first.wrong, second.wrong) >= MIN_WRONG_ANSWERS:
        return f"all answers are identical, including {first.wrong} wrong ones"
    return ""
