"""A model whose next character depends only on the previous one: `bigram:SEED`; in `bigram:SEED~0.2` the logits are perturbed.

It generates replies and computes the likelihoods of given replies, so challenges can be tested without torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals import plugins
from evals.errors import ModelError, Rejected
from evals.seams import Decoding, TokenLikelihoods
from evals.types import Prompt, Reply, Sampling, Usage

ALPHABET = "abcdefghijklmnopqrstuvwxyz "
END = len(ALPHABET)
START = END


class Bigram:
    accepts: frozenset[str] = frozenset()
    slots: int | None = None

    def __init__(self, rest: str) -> None:
        self.name = rest
        seed, _, perturbation = rest.partition("~")
        self.logits = self._table(int(seed)) + float(perturbation or 0) * self._table(int(seed) + 1)

    @staticmethod
    def _table(seed: int) -> Any:
        table = np.random.default_rng(seed).normal(scale=2.0, size=(END + 1, END + 1))
        table[:, END] -= 2.0
        return table

    def probabilities(self, previous: int, temperature: float) -> Any:
        """Return the probability of each next character."""
        logits = self.logits[previous] / temperature
        weights = np.exp(logits - logits.max())
        return weights / weights.sum()

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        rng = np.random.default_rng(sampling.seed)
        tokens: list[int] = []
        last = START
        while len(tokens) < (sampling.max_tokens or 60) and (last != END or not tokens):
            p = self.probabilities(last, sampling.temperature or 1.0)
            last = int(rng.choice(END + 1, p=p)) if sampling.temperature else int(p.argmax())
            tokens.append(last)
        ended = tokens[-1] == END
        text = "".join(ALPHABET[token] for token in tokens[: -1 if ended else None])
        return Reply(
            text=text,
            stop="stop" if ended else "length",
            usage=Usage(output=len(tokens)),
            seconds=1.0,
            model=self.name,
        )

    def backend(self) -> str:
        return "bigram 1"

    async def reply_likelihoods(
        self, exchanges: Sequence[tuple[Prompt, Reply]], sampling: Sampling, decoding: Decoding
    ) -> Sequence[TokenLikelihoods | ModelError]:
        return [self._likelihoods(reply, decoding) for _, reply in exchanges]

    def _likelihoods(self, reply: Reply, decoding: Decoding) -> TokenLikelihoods | ModelError:
        if set(reply.text) - set(ALPHABET):
            return Rejected("it has characters that are not tokens")
        tokens = [ALPHABET.index(character) for character in reply.text]
        tokens += [END] if reply.stop == "stop" else []
        rows = [
            self._token_values(previous, token, decoding)
            for previous, token in zip([START, *tokens], tokens, strict=False)
        ]
        return TokenLikelihoods(*np.array(rows).T, recorded_tokens=reply.usage.output)  # type: ignore[misc]

    def _token_values(self, previous: int, token: int, decoding: Decoding) -> tuple[float, ...]:
        """Return the first five fields of `TokenLikelihoods` for a token."""
        logprobs = np.log(self.probabilities(previous, 1.0))
        likelier = logprobs > logprobs[token]
        logprob_rank_gap = (logprobs[token], likelier.sum() + 1, logprobs.max() - logprobs[token])
        if not decoding.temperature:
            return (*logprob_rank_gap, float(likelier.any()), float(not likelier.any()))
        p = self.probabilities(previous, decoding.temperature)
        return (*logprob_rank_gap, p[likelier].sum(), p[token])

    async def close(self) -> None:
        pass


def model(rest: str) -> Bigram:
    return Bigram(rest)


@contextmanager
def install(folder: Path) -> Iterator[None]:
    """Register the adapter `bigram:`, as an installed package would."""
    info = folder / "bigram" / "bigram-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bigram\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{plugins.ADAPTERS}]\nbigram = tests.support.bigram\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(info.parent)
        invalidate_caches()
        plugins.origins.cache_clear()
        yield
    plugins.origins.cache_clear()
