"""A checkpoint in memory: loaded by its own class, asked in batches, through transformers. Blocking calls."""

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


class Asked(NamedTuple):
    """A call that waits for its batch."""

    text: str
    """As the chat template renders it."""
    images: list[Any]
    sampling: Sampling
    length: int
    """Tokens of the text; an image counts as its placeholder."""
    reply: asyncio.Future[Reply]

    @property
    def alike(self) -> tuple[Any, ...]:
        """Only calls that agree in this share a batch."""
        s = self.sampling
        return s.temperature, s.top_p, s.top_k, s.min_p, s.max_tokens, s.stop, bool(self.images)


class Loaded(Struct):
    """A checkpoint in memory."""

    model: Any
    processor: Any
    tokenizer: Any
    """For batches, in their thread."""
    counter: Any
    """A copy for the event loop's thread: a fast tokenizer keeps its padding in itself, so that a count beside a
    batch would switch the batch's padding off (ValueError), or find it taken (RuntimeError: Already borrowed)."""
    context: int
    sees: bool


def load(source: str, *, trusted: bool) -> Loaded:
    """Read a checkpoint onto the best device; raises UsageError, one line."""
    import torch
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=trusted)
        processor = transformers.AutoProcessor.from_pretrained(source, trust_remote_code=trusted)
        loader = getattr(transformers, auto_class(config, trusted=trusted))
        several = torch.cuda.device_count() > 1
        model = loader.from_pretrained(
            source, dtype="auto", trust_remote_code=trusted, **({"device_map": "auto"} if several else {})
        )
        model = model.eval() if several else model.eval().to(_device(torch))
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        raise UsageError(f"hf:{source}: {cause(f'{type(error).__name__}: {error}')}") from None
    tokenizer = getattr(processor, "tokenizer", processor)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    text = config.get_text_config()
    return Loaded(
        model=model,
        processor=processor,
        tokenizer=tokenizer,
        counter=copy.deepcopy(tokenizer),
        context=int(getattr(text, "max_position_embeddings", None) or 1 << 20),
        sees=hasattr(processor, "image_processor"),
    )


def auto_class(config: Any, *, trusted: bool) -> str:
    """Name the Auto class: what the checkpoint's own `auto_map` says, else the one for images and text.

    A text model that transformers knows has no such class and takes the causal one.
    """
    from transformers.models.auto import modeling_auto

    named = [name for name in (getattr(config, "auto_map", None) or {}) if name.startswith("AutoModel")]
    if trusted and named:
        return str(
            min(named, key=lambda name: (name == "AutoModel", name != "AutoModelForImageTextToText", name))
        )
    if config.model_type in modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return "AutoModelForImageTextToText"
    if config.model_type in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return "AutoModelForCausalLM"
    return "AutoModelForImageTextToText"


def _device(torch: Any) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def rendered(loaded: Loaded, prompt: Prompt, images: list[Any], words: dict[str, Any]) -> str:
    """Write a prompt by the chat template; templates of text models take texts alone."""
    left = iter(images)
    conversation = []
    for message in prompt.messages:
        parts = [
            {"type": "text", "text": part.text}
            if isinstance(part, Text)
            else {"type": "image", "image": next(left)}
            for part in message.parts
        ]
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        conversation.append({"role": message.role, "content": parts if loaded.sees else text})
    return str(
        loaded.processor.apply_chat_template(
            conversation, add_generation_prompt=True, tokenize=False, **words
        )
    )


def counted(loaded: Loaded, text: str) -> int:
    """Count the tokens of a rendered prompt; an image counts as its placeholder."""
    return len(loaded.counter(text, add_special_tokens=False)["input_ids"])


def fits(length: int, context: int) -> None:
    """Raise Context where a prompt leaves no room for a reply."""
    if length >= context:
        raise Context(f"the prompt has {length} tokens, and the context is {context}")


def generate(loaded: Loaded, batch: Sequence[Asked], *, name: str) -> list[Reply | ModelError]:
    """Compute one batch; where the memory or the context does not hold it, its halves."""
    import torch

    started = time.perf_counter()
    try:
        rows, lengths = _generated(loaded, batch)
    except (torch.OutOfMemoryError, Context) as error:
        if len(batch) == 1:
            if isinstance(error, Context):
                return [error]
            return [ModelError(f"out of memory at a prompt of {batch[0].length} tokens")]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        half = len(batch) // 2
        return [*generate(loaded, batch[:half], name=name), *generate(loaded, batch[half:], name=name)]
    seconds = time.perf_counter() - started
    return [
        _reply(loaded, asked, tokens, length, seconds=seconds, name=name)
        for asked, tokens, length in zip(batch, rows, lengths, strict=True)
    ]


def _generated(loaded: Loaded, batch: Sequence[Asked]) -> tuple[list[list[int]], list[int]]:
    import torch

    images = {"images": [asked.images for asked in batch]} if batch[0].images else {}
    inputs = loaded.processor(
        text=[asked.text for asked in batch],
        **images,
        padding=True,
        return_tensors="pt",
        add_special_tokens=False,
    ).to(loaded.model.device)
    for name, value in inputs.items():
        if value.is_floating_point():  # pixels come as float32
            inputs[name] = value.to(loaded.model.dtype)
    sampling = batch[0].sampling
    lengths = [int(n) for n in inputs["attention_mask"].sum(dim=1)]
    fits(max(lengths), loaded.context)
    room = loaded.context - min(lengths)
    width = inputs["input_ids"].shape[1]
    stops = {"stop_strings": list(sampling.stop), "tokenizer": loaded.tokenizer} if sampling.stop else {}
    with torch.inference_mode():
        output = loaded.model.generate(
            **inputs, **stops, do_sample=False, num_beams=1,
            temperature=None, top_p=None, top_k=None,
            max_new_tokens=min(sampling.max_tokens or room, room),
            pad_token_id=loaded.tokenizer.pad_token_id,
            logits_processor=_drawing([asked.sampling for asked in batch], loaded.model.device),
        )  # fmt: skip
    return [row[width:].tolist() for row in output], lengths


def _drawing(samplings: Sequence[Sampling], device: Any) -> Any:
    """Return what turns the likeliest token into a drawn one: the makers' warpers, then Gumbel noise of each row's seed.

    So a row is drawn alike whatever shares its batch (Gumbel-max: argmax(logits + noise) is a draw from softmax).
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
    if not sampling.temperature:  # greedy; so is what the server's default would be here
        return LogitsProcessorList()

    class Gumbel(LogitsProcessor):  # type: ignore[misc] # transformers is not where types are checked
        def __init__(self) -> None:
            self.dice = [torch.Generator("cpu").manual_seed(sampling_.seed or 0) for sampling_ in samplings]

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            noise = torch.stack([torch.rand(scores.shape[1], generator=die) for die in self.dice])
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


def _reply(
    loaded: Loaded, asked: Asked, tokens: list[int], length: int, *, seconds: float, name: str
) -> Reply:
    from evals.extract import split_reasoning

    ends = loaded.model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    last = next((n for n, token in enumerate(tokens) if token in ends), None)
    room = loaded.context - length
    own = tokens[: last + 1 if last is not None else len(tokens)][:room]
    text = loaded.tokenizer.decode(own, skip_special_tokens=True)
    text = text.rstrip("\ufffd")  # the first bytes of a character that did not come: servers hold them back
    cut = min((at for stop in asked.sampling.stop if (at := text.find(stop)) >= 0), default=None)
    text, thought, unclosed = split_reasoning(text if cut is None else text[:cut])
    over = unclosed or (last is None and cut is None)
    return Reply(
        text=text,
        reasoning=thought,
        stop="length" if over else "stop",
        usage=Usage(input=length, output=len(own)),
        seconds=seconds,
        model=name,
    )


def likelihoods(loaded: Loaded, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
    """Compute how likely texts follow a prompt; where they begin is the rule of `LogProbs`."""
    import torch

    before = prompt.rstrip()
    if not before:
        raise Rejected("likelihoods need a prompt: the first token of a text has none")
    start = len(loaded.tokenizer(before)["input_ids"])
    results = []
    for text in continuations:
        ids = loaded.tokenizer(prompt + text, return_tensors="pt")["input_ids"].to(loaded.model.device)
        if ids.shape[1] > loaded.context:
            raise Context(f"prompt and continuation have {ids.shape[1]} tokens, the context {loaded.context}")
        own = ids[0, start:]
        if not len(own):
            raise Rejected(f"{text!r} has no token of its own behind this prompt")
        with torch.inference_mode():
            logits = loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[
                0, start - 1 : -1
            ]
        logs = torch.log_softmax(logits.float(), dim=-1)
        values = logs.gather(1, own[:, None])[:, 0]
        greedy = bool((values >= logs.max(dim=-1).values).all())
        results.append(Likelihood(logprob=float(values.sum()), tokens=len(own), greedy=greedy))
    return tuple(results)
