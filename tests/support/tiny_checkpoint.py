"""A checkpoint of Intern-S1's architecture with random weights: InternVL's vision encoder on a Qwen3 mixture of experts.

    ENGINE_PYTHON tests/support/tiny_checkpoint.py FOLDER

It has 160 thousand parameters; tokenizer and chat template are created here. Real servers load it by the same classes as
Intern-S1. Needs transformers and torch, so it runs in the environment `vllm` (`tools/environments.py`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "<video>",
)
IMAGE = 56
"""Pixels of an image's side: 4 x 4 patches of 14, which the pixel shuffle reduces to 4 tokens."""
CONTEXT = 2048
CORPUS = Path(__file__).resolve().parents[2] / "LICENSE"
"""The text on which the tokenizer is trained: a file that does not change, since the replies depend on it."""
TEMPLATE = """
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{%- if message['content'] is string %}
{{ message['content'] }}
{%- else %}
{% for part in message['content'] -%}
{%- if part['type'] in ('image', 'image_url') -%}<IMG_CONTEXT>
{% elif 'text' in part -%}{{ part['text'] }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking -%}
<think>

</think>

{% endif -%}
{%- endif -%}
""".strip()


def tokenizer(corpus: str) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE of some 500 tokens; every byte has one, so nothing is unknown."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=list(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    raw.train_from_iterator(corpus.splitlines(), trainer)
    words = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=CONTEXT,
        chat_template=TEMPLATE,
        extra_special_tokens={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    )
    words.add_tokens(["<think>", "</think>"])  # not special: they must remain visible in replies
    return words


def make(folder: Path, *, seed: int = 0) -> None:
    """Write config, weights, tokenizer and processor; the same seed gives the same bytes."""
    import torch
    from transformers import (
        GenerationConfig,
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
        Qwen3MoeConfig,
    )

    words = tokenizer(CORPUS.read_text(encoding="utf-8"))
    text = Qwen3MoeConfig(
        vocab_size=len(words), hidden_size=64, intermediate_size=128, moe_intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=32, num_experts=4, num_experts_per_tok=2,
        max_position_embeddings=CONTEXT, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
        bos_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    config = InternVLConfig(
        text_config=text.to_dict(),
        vision_config={
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1,
            "image_size": [IMAGE, IMAGE], "patch_size": [14, 14],
        },
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = InternVLForConditionalGeneration(config).float()
    for name, weight in model.named_parameters():
        if weight.dim() > 1:  # a wide distribution, so that greedy decoding has no near-ties
            torch.nn.init.normal_(weight, std=0.5 if "lm_head" in name else 0.2)
    model.generation_config = GenerationConfig(
        eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id
    )
    model.save_pretrained(folder)
    side = {"height": IMAGE, "width": IMAGE}
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=side, max_patches=1, crop_to_patches=False),
        video_processor=InternVLVideoProcessor(size=side),
        tokenizer=words, image_seq_length=4, chat_template=TEMPLATE,
    )  # fmt: skip
    processor.save_pretrained(folder)
    words.save_pretrained(folder)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    make(target)
    print(json.dumps({"folder": str(target), "bytes": sum(path.stat().st_size for path in target.iterdir())}))
