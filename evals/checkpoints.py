"""Estimated memory of a checkpoint: weights from its index or its files, key-value cache from its configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from evals import disk, harness_environments
from evals.profiles import local_folder

INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".gguf", ".pt")
CONFIGURATION_FILES = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
)  # fmt: skip
CACHE_TOKENS = 32_768
"""Maximum number of tokens for which the cache is estimated, unless the caller states a context."""
CACHE_BYTES = 2
"""Bytes per number in the cache; engines use 16 bits by default."""
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Size(Struct, frozen=True):
    """Estimated memory, in 1e9 bytes."""

    weights: float
    cache: float = 0.0
    """Key-value cache of one sequence of `tokens` tokens; 0: unknown."""
    tokens: int = 0

    @property
    def total(self) -> float:
        """Return the sum of weights and cache, without activations, CUDA graphs etc."""
        return self.weights + self.cache


def checkpoint_folder(model: str) -> Path | None:
    """Return the folder of a checkpoint, given by path or in the hub's cache; None if it is not on this machine."""
    if (folder := local_folder(model)) is not None:
        return folder
    home = Path(os.environ.get("HF_HOME") or harness_environments.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{model.replace('/', '--')}"
    try:
        revision = (cache / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    snapshot = cache / "snapshots" / revision
    return snapshot if snapshot.is_dir() else None


def changed_ns(model: str) -> int:
    """Return when a local checkpoint last changed, in ns since the epoch; 0 for a hub id."""
    if (path := local_folder(model)) is None or not path.exists():
        return 0
    files = (file for file in (path.iterdir() if path.is_dir() else [path]) if file.is_file())
    relevant = (file for file in files if file.suffix in WEIGHT_SUFFIXES or file.name in CONFIGURATION_FILES)
    return max((file.stat().st_mtime_ns for file in relevant), default=0)


def estimate_size(folder: Path, *, context: int | None = None) -> Size | None:
    """Estimate the memory of a checkpoint with the cache of one sequence of `context` tokens; None if unknown."""
    weight_bytes = _weight_bytes(folder)
    if not weight_bytes:
        return None
    config = _read_json(folder / "config.json")
    text_config = config.get("text_config") or config.get("llm_config") or config
    if not isinstance(text_config, dict):
        text_config = {}
    max_context = _positive_integer(text_config, "max_position_embeddings") or CACHE_TOKENS
    tokens = context or min(max_context, CACHE_TOKENS)
    bytes_per_token = _cache_bytes_per_token(text_config)
    return Size(weight_bytes / 1e9, bytes_per_token * tokens / 1e9, tokens if bytes_per_token else 0)


def _weight_bytes(folder: Path) -> int:
    for name in INDEX_FILES:
        metadata = _read_json(folder / name).get("metadata", {})
        total = metadata.get("total_size") if isinstance(metadata, dict) else None
        if isinstance(total, int | float) and total > 0:
            return int(total)
    try:
        sizes = {
            suffix: sum(file.stat().st_size for file in folder.iterdir() if file.suffix == suffix)
            for suffix in WEIGHT_SUFFIXES
        }
    except OSError:
        return 0
    return next((total_bytes for total_bytes in sizes.values() if total_bytes), 0)


def _cache_bytes_per_token(config: Mapping[str, Any]) -> int:
    layers, heads = (
        _positive_integer(config, "num_hidden_layers"),
        _positive_integer(config, "num_attention_heads"),
    )
    if latent := _positive_integer(config, "kv_lora_rank"):  # DeepSeek's MLA: one vector for all heads
        return CACHE_BYTES * layers * (latent + _positive_integer(config, "qk_rope_head_dim"))
    kv_heads = _positive_integer(config, "num_key_value_heads") or heads
    head_dim = _positive_integer(config, "head_dim") or (
        _positive_integer(config, "hidden_size") // heads if heads else 0
    )
    return 2 * CACHE_BYTES * layers * kv_heads * head_dim


def _positive_integer(config: Mapping[str, Any], name: str) -> int:
    """Return a positive integer from a configuration; 0 if it is missing or invalid."""
    value = config.get(name)
    return value if type(value) is int and value > 0 else 0


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if it cannot be read."""
    try:
        return _decode(disk.read_small(path))
    except (OSError, ValueError, RecursionError):
        return {}
