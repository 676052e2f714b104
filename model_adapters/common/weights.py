"""A checkpoint loaded through transformers, and batched generation with it. All calls block."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from evals.errors import Context, ModelError, Rejected, UsageError
from evals.model_adapters.common.logs import cause
from evals.types import Likelihood, Prompt, Reply, Sampling, Text, Usage


class PendingCall(NamedTuple):
    """A call waiting for its batch."""

    text: str
    """Prompt rendered by the chat template."""
    images: list[Any]
    sampling: Sampling
    length: int
    """Number of tokens in the text; an image counts as its placeholder."""
    reply: asyncio.Future[Reply]

    @property
    def batch_key(self) -> tuple[Any, ...]:
        """Return the settings that all calls of a batch must share."""
        names = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "stop")
        return (*(getattr(self.sampling, name) for name in names), bool(self.images))


class Checkpoint(Struct):
    """A checkpoint in memory."""

    model: Any
    processor: Any
    tokenizer: Any
    """Used only in the thread that computes batches."""
    counting_tokenizer: Any
    """Copy of the tokenizer for the event loop's thread. Fast tokenizers store their padding settings: counting tokens with
    the tokenizer of a running batch would disable its padding (ValueError) or fail (RuntimeError: Already borrowed)."""
    context: int
    takes_images: bool

    @property
    def eos_tokens(self) -> set[int | None]:
        """Return the tokens that end a generation; they include None if the checkpoint defines none."""
        eos = self.model.generation_config.eos_token_id
        return set(eos if isinstance(eos, list) else [eos])


def load(source: str, *, trusted: bool) -> Checkpoint:
    """Load a checkpoint onto the best device; raises UsageError with a one-line message."""
    import torch
    import transformers

    location, options = source, dict[str, Any]()
    if is_gguf(source):
        folder, _, name = source.rpartition("/")
        location, options = folder or ".", {"gguf_file": name}
    try:
        config = transformers.AutoConfig.from_pretrained(location, trust_remote_code=trusted, **options)
        processor_class = transformers.AutoTokenizer if options else transformers.AutoProcessor
        processor = processor_class.from_pretrained(location, trust_remote_code=trusted, **options)
        model_class = getattr(transformers, auto_class(config, trusted=trusted))
        has_multiple_gpus = torch.cuda.device_count() > 1
        if has_multiple_gpus:
            options = options | {"device_map": "auto"}
        model = model_class.from_pretrained(location, dtype="auto", trust_remote_code=trusted, **options)
        model = model.eval() if has_multiple_gpus else model.eval().to(best_device(torch))
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        raise UsageError(f"hf:{source}: {cause(f'{type(error).__name__}: {error}')}") from None
    tokenizer = getattr(processor, "tokenizer", processor)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    text_config = config.get_text_config()
    return Checkpoint(
        model=model,
        processor=processor,
        tokenizer=tokenizer,
        counting_tokenizer=copy.deepcopy(tokenizer),
        context=int(getattr(text_config, "max_position_embeddings", None) or 1 << 20),
        takes_images=hasattr(processor, "image_processor"),
    )


def is_gguf(source: str) -> bool:
    """Return whether a checkpoint is a GGUF file (llama.cpp's format), which transformers dequantises."""
    return source.endswith(".gguf")


def auto_class(config: Any, *, trusted: bool) -> str:
    """Return the name of the Auto class: from the checkpoint's `auto_map` if its code is trusted, else by its model type.

    Text models known to transformers use the causal class, all others the class for images and text.
    """
    from transformers.models.auto import modeling_auto

    mapped = [name for name in (getattr(config, "auto_map", None) or {}) if name.startswith("AutoModel")]
    multimodal = "AutoModelForImageTextToText"
    if trusted and mapped:
        return str(min(mapped, key=lambda name: (name == "AutoModel", name != multimodal, name)))
    if config.model_type in modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return multimodal
    is_text_model = config.model_type in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return "AutoModelForCausalLM" if is_text_model else multimodal


def best_device(torch: Any) -> str:
    """Return the device on which models run fastest: CUDA, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def render(checkpoint: Checkpoint, prompt: Prompt, images: list[Any], variables: dict[str, Any]) -> str:
    """Render a prompt with the chat template, without the images if the model does not accept any.

    `variables`: additional template variables.
    """
    remaining_images = iter(images)
    conversation = []
    for message in prompt.messages:
        parts = [
            {"type": "text", "text": part.text}
            if isinstance(part, Text)
            else {"type": "image", "image": next(remaining_images)}
            for part in message.parts
        ]
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        conversation.append({"role": message.role, "content": parts if checkpoint.takes_images else text})
    return str(
        checkpoint.processor.apply_chat_template(
            conversation, **{"add_generation_prompt": True, **variables}, tokenize=False
        )
    )


def token_count(checkpoint: Checkpoint, text: str) -> int:
    """Return the number of tokens in a rendered prompt; an image counts as its placeholder."""
    return len(checkpoint.counting_tokenizer(text, add_special_tokens=False)["input_ids"])


def require_fit(length: int, context: int) -> None:
    """Raise Context if a prompt leaves no room for a reply."""
    if length >= context:
        raise Context(
            f"the prompt has {length} tokens, which leaves no room for a reply in a context of {context}"
        )


def generate(checkpoint: Checkpoint, batch: Sequence[PendingCall], *, name: str) -> list[Reply | ModelError]:
    """Generate the replies of one batch; a batch that exceeds memory or context is split in half."""
    import torch

    started = time.perf_counter()
    try:
        rows, lengths = _generate_tokens(checkpoint, batch)
    except (torch.OutOfMemoryError, Context) as error:
        if len(batch) == 1:
            if isinstance(error, Context):
                return [error]
            return [ModelError(f"out of memory for a prompt of {batch[0].length} tokens")]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        half = len(batch) // 2
        return [
            *generate(checkpoint, batch[:half], name=name),
            *generate(checkpoint, batch[half:], name=name),
        ]
    seconds = time.perf_counter() - started
    return [
        _make_reply(checkpoint, pending, tokens, length, seconds=seconds, name=name)
        for pending, tokens, length in zip(batch, rows, lengths, strict=True)
    ]


def _generate_tokens(
    checkpoint: Checkpoint, batch: Sequence[PendingCall]
) -> tuple[list[list[int]], list[int]]:
    """Return the generated tokens and the length of the prompt for each call; raises Context if a prompt leaves no room."""
    import torch

    images = {"images": [pending.images for pending in batch]} if batch[0].images else {}
    inputs = checkpoint.processor(
        text=[pending.text for pending in batch],
        **images,
        padding=True,
        return_tensors="pt",
        add_special_tokens=False,
    ).to(checkpoint.model.device)
    for name, value in inputs.items():
        if value.is_floating_point():  # pixel values are float32
            inputs[name] = value.to(checkpoint.model.dtype)
    sampling = batch[0].sampling
    lengths = [int(n) for n in inputs["attention_mask"].sum(dim=1)]
    require_fit(max(lengths), checkpoint.context)
    max_new_tokens = checkpoint.context - min(lengths)
    width = inputs["input_ids"].shape[1]
    stops = {"stop_strings": list(sampling.stop), "tokenizer": checkpoint.tokenizer} if sampling.stop else {}
    with torch.inference_mode():
        output = checkpoint.model.generate(
            **inputs, **stops, do_sample=False, num_beams=1,
            temperature=None, top_p=None, top_k=None,
            max_new_tokens=min(sampling.max_tokens or max_new_tokens, max_new_tokens),
            pad_token_id=checkpoint.tokenizer.pad_token_id,
            logits_processor=_logits_processors([pending.sampling for pending in batch], checkpoint.model.device),
        )  # fmt: skip
    return [row[width:].tolist() for row in output], lengths


def _logits_processors(samplings: Sequence[Sampling], device: Any) -> Any:
    """Return logits processors that turn greedy decoding into sampling: the warpers, then Gumbel noise with a seed per row.

    By the Gumbel-max trick, argmax(logits + noise) is a sample of the softmax. A row's reply does not depend on its batch.
    """
    import torch
    from transformers import LogitsProcessor, LogitsProcessorList
    from transformers.generation import (
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    sampling = samplings[0]
    if not sampling.temperature:  # greedy decoding, the default if no temperature is set
        return LogitsProcessorList()

    class Gumbel(LogitsProcessor):  # type: ignore[misc] # transformers is not installed when types are checked
        def __init__(self) -> None:
            self.generators = [torch.Generator("cpu").manual_seed(s.seed or 0) for s in samplings]

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            noise = torch.stack([torch.rand(scores.shape[1], generator=g) for g in self.generators])
            # clamped to keep both logarithms finite
            return scores.float() - torch.log(-torch.log(noise.clamp(1e-20, 1 - 1e-7))).to(device)

    processors = LogitsProcessorList([TemperatureLogitsWarper(float(sampling.temperature))])
    if sampling.top_k:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p is not None and sampling.top_p < 1.0:
        processors.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        processors.append(MinPLogitsWarper(sampling.min_p))
    processors.append(Gumbel())
    return processors


def _make_reply(
    checkpoint: Checkpoint, pending: PendingCall, tokens: list[int], length: int, *, seconds: float, name: str
) -> Reply:
    from evals.extract import split_reasoning

    # a batch is computed until its shortest prompt fills the context
    tokens = tokens[: checkpoint.context - length]
    eos_position = next((n for n, token in enumerate(tokens) if token in checkpoint.eos_tokens), None)
    reply_tokens = tokens[: eos_position + 1 if eos_position is not None else len(tokens)]
    text = checkpoint.tokenizer.decode(reply_tokens, skip_special_tokens=True)
    text = text.rstrip("\ufffd")  # an incomplete character at the end, which servers omit too
    stops = pending.sampling.stop
    end = min((position for stop in stops if (position := text.find(stop)) >= 0), default=None)
    text, reasoning, unclosed = split_reasoning(text if end is None else text[:end])
    truncated = unclosed or (eos_position is None and end is None)
    return Reply(
        text=text,
        reasoning=reasoning,
        stop="length" if truncated else "stop",
        usage=Usage(input=length, output=len(reply_tokens)),
        seconds=seconds,
        model=name,
    )


def likelihoods(checkpoint: Checkpoint, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
    """Return the likelihoods of continuations of a prompt; see `LogProbs.logprobs`. Raises Rejected or Context."""
    import torch

    stripped_prompt = prompt.rstrip()
    if not stripped_prompt:
        raise Rejected("likelihoods need a prompt: the first token of a text has no likelihood")
    start = len(checkpoint.tokenizer(stripped_prompt)["input_ids"])
    results = []
    for text in continuations:
        ids = checkpoint.tokenizer(prompt + text, return_tensors="pt")["input_ids"].to(
            checkpoint.model.device
        )
        if ids.shape[1] > checkpoint.context:
            raise Context(
                f"prompt and continuation have {ids.shape[1]} tokens, but the context has {checkpoint.context}"
            )
        continuation_tokens = ids[0, start:]
        if not len(continuation_tokens):
            raise Rejected(f"{text!r} adds no token to this prompt")
        with torch.inference_mode():
            logits = checkpoint.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        log_probs = torch.log_softmax(logits[0, start - 1 : -1].float(), dim=-1)
        values = log_probs.gather(1, continuation_tokens[:, None])[:, 0]
        greedy = bool((values >= log_probs.max(dim=-1).values).all())
        results.append(
            Likelihood(logprob=float(values.sum()), tokens=len(continuation_tokens), greedy=greedy)
        )
    return tuple(results)
