"""Six tiny checkpoints for merging: a base with the architecture of InternVL or Qwen2-VL, and five experts close to it.

    ENGINE_PYTHON -m tests.support.tiny_experts FOLDER internvl|qwen2-vl

An expert differs from the base only in the matrices of its language model, as after fine-tuning with a frozen vision tower.
 Needs transformers and torch.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.support import tiny_checkpoint

EXPERTS = ("ocr", "vqa", "geometry", "chart", "grounding")
TEMPLATE = tiny_checkpoint.TEMPLATE.replace("<IMG_CONTEXT>", "<|vision_start|><|image_pad|><|vision_end|>")
VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def qwen2_vl(folder: Path) -> None:
    """Write a checkpoint with the architecture of Qwen2-VL."""
    import torch
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    words = tiny_checkpoint.tokenizer(tiny_checkpoint.CORPUS.read_text(encoding="utf-8"))
    words.add_tokens(list(VISION), special_tokens=True)
    words.chat_template = TEMPLATE
    ids = {name: words.convert_tokens_to_ids(name) for name in VISION}
    text = {
        "vocab_size": len(words), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "max_position_embeddings": tiny_checkpoint.CONTEXT, "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
        "bos_token_id": None, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id,
    }  # fmt: skip
    config = Qwen2VLConfig(
        text_config=text,
        vision_config={"depth": 1, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2},
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen2VLForConditionalGeneration(config).float()
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)
    side = {"shortest_edge": 28 * 28, "longest_edge": 56 * 56}
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=side), tokenizer=words,
        video_processor=Qwen2VLVideoProcessor(size=side), chat_template=TEMPLATE,
    )  # fmt: skip
    processor.save_pretrained(folder)
    words.save_pretrained(folder)


def experts(base: Path) -> None:
    """Write the experts beside the base."""
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(base / "model.safetensors")
    for number, name in enumerate(EXPERTS):
        generator = torch.Generator().manual_seed(number)
        folder = base.with_name(name)
        shutil.copytree(base, folder)
        tuned = dict(tensors)
        for key, value in tensors.items():
            if value.dim() == 2 and "vis" not in key and "embed" not in key and "lm_head" not in key:
                tuned[key] = value + 0.03 * torch.randn(value.shape, generator=generator)
        save_file(tuned, folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    place, kind = Path(sys.argv[1]), sys.argv[2]
    (qwen2_vl if kind == "qwen2-vl" else tiny_checkpoint.make)(place / "base")
    experts(place / "base")
