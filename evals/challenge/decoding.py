"""How the tokens of a run's replies were sampled, according to its card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from evals.errors import UsageError
from evals.records.card import Config
from evals.seams import Decoding
from evals.types import Sampling

LLAMA_CPP_DEFAULTS = Sampling(temperature=0.8, top_k=40, top_p=0.95, min_p=0.05)
"""Defaults of llama.cpp (`common_params_sampling` in common/common.h), which applies the temperature last."""
GREEDY_BELOW = 1e-5
"""Temperatures below this are greedy, as in vLLM (`_SAMPLING_EPS` in vllm/v1/sample)."""
NEUTRAL_VALUES: Mapping[str, Any] = {
    "presence_penalty": 0, "frequency_penalty": 0, "repetition_penalty": 1, "repeat_penalty": 1, "n": 1,
    "logit_bias": {}, "ignore_eos": False, "min_tokens": 0, "use_beam_search": False, "typical_p": 1,
}  # fmt: skip
"""Request fields that affect sampling, each with the value at which it has no effect."""
WITHOUT_EFFECT = frozenset(
    {"max_completion_tokens", "stream", "user", "include_reasoning", "skip_special_tokens"}
)
"""Request fields that do not affect sampling, whatever their value."""
SAMPLING_FIELDS = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "seed", "stop")
"""Request fields that, if the user sent them, override the fields of `Sampling` with the same names."""
TEMPLATE_ARGUMENTS = frozenset(
    {
        "chat_template", "tokenize", "add_generation_prompt", "continue_final_message", "tools", "messages", "conversation",
        "documents", "self", "padding", "truncation", "max_length", "return_tensors", "return_dict",
        "return_assistant_tokens_mask", "tokenizer_kwargs", "processor_kwargs", "load_audio_from_video", "sampling_rate",
        "load_audio_backend",
    }
)  # fmt: skip
"""Parameters of `apply_chat_template` in transformers: a card must not set them as if they were template variables."""


def sampling_of(config: Config) -> Sampling:
    """Return the sampling parameters after applying the extra request fields; raises UsageError for an unsupported field."""
    sampling, fields = config.sampling, dict(config.sampling.extra)
    template = fields.pop("chat_template_kwargs", {})
    if not isinstance(template, dict):
        raise UsageError("the request field chat_template_kwargs is not an object")
    for name, value in template.items():
        if name in TEMPLATE_ARGUMENTS or not isinstance(value, str | int | float | None):
            raise UsageError(f"the request field chat_template_kwargs.{name} is not supported")
    values = {name: fields.pop(name) for name in SAMPLING_FIELDS if name in fields}
    for name, value in fields.items():
        if name not in WITHOUT_EFFECT and not (name in NEUTRAL_VALUES and value == NEUTRAL_VALUES[name]):
            raise UsageError(f"the request field {name} may affect sampling in a way that cannot be computed")
    for name in ("temperature", "top_p", "top_k", "min_p"):
        value = values.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"the request field {name} is not a number")
    stop = values.pop("stop", sampling.stop)
    stop = (stop,) if isinstance(stop, str) else stop or ()
    if not isinstance(stop, list | tuple) or not all(isinstance(text, str) for text in stop):
        raise UsageError("the request field stop is not a list of strings")
    extra = {"chat_template_kwargs": template} if template else {}
    return structs.replace(sampling, **values, stop=tuple(stop), extra=extra)


def decoding_of(config: Config, sampling: Sampling) -> Decoding:
    """Return how tokens were sampled; raises UsageError if the card does not record this, or if a value is out of range."""
    adapter = config.model.partition(":")[0]
    if adapter == "smollm2":
        sampling = _with_defaults(sampling, LLAMA_CPP_DEFAULTS)
    elif adapter == "hf":
        sampling = _with_defaults(sampling, Sampling(temperature=0.0))
    if sampling.temperature is None:
        raise UsageError(
            "the temperature is not recorded: the server's default was used, or the replies were imported"
        )
    decoding = Decoding(
        temperature=max(float(sampling.temperature), 0.0),
        top_k=max(int(sampling.top_k or 0), 0),
        top_p=1.0 if sampling.top_p is None else float(sampling.top_p),
        min_p=sampling.min_p or 0.0,
        temperature_last=adapter == "smollm2",
    )
    if not (decoding.temperature <= 100 and 0 < decoding.top_p <= 1 and 0 <= decoding.min_p < 1):
        values = f"temperature {decoding.temperature:g}, top_p {decoding.top_p:g}, min_p {decoding.min_p:g}"
        raise UsageError(f"one of these settings is out of range: {values}")
    if decoding.temperature < GREEDY_BELOW:
        return Decoding(0.0)
    return decoding


def unrecorded_settings(config: Config, sampling: Sampling) -> str:
    """Return the names of the settings (top_p, top_k) that a server may have set itself, as a phrase; empty if there are none.

    vLLM, for example, reads defaults from `generation_config.json`, and a card does not record them.
    """
    if config.model.partition(":")[0] in ("hf", "smollm2") or not sampling.temperature:
        return ""
    return " and ".join(name for name in ("top_p", "top_k") if getattr(sampling, name) is None)


def _with_defaults(sampling: Sampling, defaults: Sampling) -> Sampling:
    values = {
        name: getattr(defaults, name)
        for name in ("temperature", "top_k", "top_p", "min_p")
        if getattr(sampling, name) is None
    }
    return structs.replace(sampling, **values)
