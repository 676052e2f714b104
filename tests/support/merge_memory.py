"""Peak memory of merging, in a process of its own: prints JSON with bytes above what imports take.

TORCH_PYTHON tests/support/merge_memory.py FOLDER make SIDE TENSORS EXPERTS     checkpoints of SIDE x SIDE matrices
TORCH_PYTHON tests/support/merge_memory.py FOLDER METHOD EXPERTS                merges them
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def make(place: Path, side: int, tensors: int, experts: int) -> None:
    """Write a base and experts in bfloat16."""
    import torch
    from safetensors.torch import save_file

    for number, name in enumerate(("base", *(f"e{n}" for n in range(experts)))):
        folder = place / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"model_type": "tiny"}')
        (folder / "tokenizer_config.json").write_text('{"chat_template": "x"}')
        made = {}
        for index in range(tensors):
            base = torch.randn(side, side, generator=torch.Generator().manual_seed(index))
            near = torch.randn(side, side, generator=torch.Generator().manual_seed(1000 * number + index))
            made[f"layers.{index}.weight"] = (base + 0.02 * near * bool(number)).bfloat16()
        save_file(made, folder / "model.safetensors")


def peak() -> int:
    """Return the process's largest resident set so far, in bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def merge(place: Path, method: str, experts: int) -> None:
    """Merge, and print what it took."""
    import torch
    from safetensors.torch import load_file

    from evals.merging import build

    torch.randn(64, 64) @ torch.randn(64, 64)  # loads the kernels
    torch.linalg.svd(torch.randn(8, 8))
    load_file(place / "base" / "model.safetensors")
    listed = "\n".join(f'e{n} = "./e{n}"' for n in range(experts))
    path = place / f"{method}.toml"
    path.write_text(f'method = "{method}"\nbase = "./base"\n[experts]\n{listed}\n')
    plan = build.Plan(path)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak()
    began = time.perf_counter()
    build.make(plan, out=place / f"out-{method}", say=lambda _: None)
    seconds = time.perf_counter() - began
    largest = max(entry.count for entry in plan.base.entries.values()) * 4
    print(json.dumps({"above": peak() - before, "largest": largest, "experts": experts, "seconds": seconds}))


if __name__ == "__main__":
    folder, what, *numbers = sys.argv[1:]
    if what == "make":
        make(Path(folder), *map(int, numbers))
    else:
        merge(Path(folder), what, int(numbers[0]))
