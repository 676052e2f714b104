"""Tokenizer compression: characters per token by type of text; no model is called.

Intern-S1's paper (arXiv 2508.15763, section 2.2, figure 4) defines the compression ratio as total characters divided by
total tokens, so higher is better; its inverse, tokens per character, is reported too. Both are ratios of sums, with a
bootstrap over strings. `bare` counts the tokens of the string alone; `tagged` puts the string between the tags that
switch tokenizers like Intern-S1's to their scientific vocabularies, and reports the ratio with and without the tags
themselves. The paper's strings are not published; those bundled here are ours, and `--data` accepts others (columns
`domain` and `text`).

Tokenizers like Intern-S1's also detect untagged SMILES, with RDKit if it is installed, so the numbers depend on the
versions of the libraries, which are part of a run's identity (`tokens:` adapter).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from msgspec import structs

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Split
from evals.errors import DataError
from evals.prompts import plain_text, question_prompt
from evals.scorers.tokens import (
    Tokens,
    characters_per_token,
    characters_per_token_inside,
    tokens_per_character,
)
from evals.suite import GREEDY
from evals.types import Message, Metric, Prompt, Sample, Text

STRINGS = Split(hub="", stems=("strings", "compression", "test"))
TAGS = {"smiles": "SMILES", "selfies": "SELFIES", "iupac": "IUPAC", "fasta": "FASTA", "formula": "MOLFORMULA"}
"""Domain -> its tag (transformers PR 39722, tokenization_intern_s1.py @ 05127307)."""
VARIANTS = {
    "smiles": Variant(36, sha256="376d9b70ce1c8b6a6083883c41a58eba223474c3007e79965678fdb46c831412"),
    "selfies": Variant(36, sha256="e5018469c39be2ec3467a708f8b9131dca05520520c071ef16fc3a30a7a450bf"),
    "iupac": Variant(36, sha256="63c1f7714eebd7592599e9bae51cd96455bc00fef97cf76a9d7ec078e1e84208"),
    "fasta": Variant(14, sha256="b03692c26721bef60b1fa15360a7a71e181a0e0de05cb965042bfe5fc2314c2f"),
    "formula": Variant(36, sha256="f52867739027a02e64207fbca507e1a4616850634fb576930bd8e67dcaa7eeef"),
    "cif": Variant(8, sha256="9c736ff93967ffb00da8f5b8c46ac9bb0682f95ab376ce0e435bd46f54f37365"),
    "english": Variant(24, sha256="aa3710a03bd53d188bd4d31880b6d2ab05852324ffd3925ef3eb8d2ca0a1ecdf"),
    "code": Variant(12, sha256="4c80ec7e0072f8e21f12598481992433c503a16174cc903c495c42627f922caa"),
    "series": Variant(12, sha256="8563bf02d93b994bf528681611c16fceaa36f04ad28526e954a28c573a22f72f"),
}
"""Domain -> number and hash of its bundled strings."""


def _samples(data: Data, domain: str) -> Iterator[Sample]:
    source = Data(suite=data.suite, sample=True) if data.origin == "hub" else data
    count = 0
    for position, row in enumerate(source.rows(STRINGS, required=("domain", "text"))):
        text = str(row["text"])
        if row["domain"] != domain or not text:
            continue
        count += 1
        yield Sample(
            id=str(row.get("id") or f"{domain}-{position}"),
            question=(Text(text),),
            target=text,
            group=domain,
        )
    if not count:
        raise DataError(f"compression: no row of the data has the domain {domain!r}")


def _tagged_prompt(tag: str, sample: Sample, repeat: int) -> Prompt:
    """Return two messages whose tokens are counted: the string between its tags, and the tags alone."""
    tagged = f"<{tag}>{plain_text(sample.question)}</{tag}>"
    return Prompt(messages=(Message.user(tagged), Message.user(f"<{tag}></{tag}>")))


_ratio = partial(Metric, pool="whole", unit="characters/token", bounds=None)
METRICS = (
    _ratio(name="characters_per_token", of=characters_per_token, headline=True),
    _ratio(name="tokens_per_character", of=tokens_per_character, unit="tokens/character", better="lower"),
)
RATIO_WITHOUT_TAGS = _ratio(name="characters_per_token_without_tags", of=characters_per_token_inside)
BARE = Protocol(
    prompt=question_prompt,
    scorers={"tokens": Tokens()},
    metrics=METRICS,
    sampling=GREEDY,
    why_unsolvable=lambda sample: "a ratio has no maximum",
)


def _tagged_protocol(domain: str) -> Protocol:
    hint = "use compression:science, whose variants have tags, or the protocol bare"
    return structs.replace(
        BARE,
        prompt=partial(_tagged_prompt, TAGS.get(domain, "")),
        metrics=(*METRICS, RATIO_WITHOUT_TAGS),
        refuses="" if domain in TAGS else f"there is no tag for {domain}: {hint}",
    )


BENCHMARK = Benchmark(
    name="compression",
    title="Tokenizer compression: characters per token by kind of text, without a model call (arXiv 2508.15763, figure 4).",
    variants=VARIANTS,
    sets={"science": tuple(TAGS)},
    samples=_samples,
    protocols={"bare": BARE, "tagged": _tagged_protocol},
    ideal=lambda sample, prompt: '{"tokens": [1]}',
    needs=frozenset({"tokens"}),
    licence="Apache-2.0",
    cite="arXiv 2508.15763",
)
