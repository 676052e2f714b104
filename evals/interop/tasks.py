"""What a benchmark is called elsewhere, and which suite of ours it is."""

from __future__ import annotations

from evals import load

KNOWN = (
    ("mmlu_pro", "mmlu-pro"),
    ("mmlu-pro", "mmlu-pro"),
    ("mmlupro", "mmlu-pro"),
    ("gpqa_main", "gpqa:main"),
    ("gpqa:main", "gpqa:main"),
    ("gpqa:mc", "gpqa:main"),
    ("gpqa_extended", "gpqa:extended"),
    ("gpqa:extended", "gpqa:extended"),
    ("gpqa", "gpqa:diamond"),
    ("aime2024", "aime:2024"),
    ("aime24", "aime:2024"),
    ("aime_2024", "aime:2024"),
    ("aime2025", "aime:2025"),
    ("aime25", "aime:2025"),
    ("aime_2025", "aime:2025"),
    ("chembench4k", "chembench:4k"),
    ("chembench", "chembench:lamalab"),
    ("mmstar", "mmstar"),
    ("mm_star", "mmstar"),
    ("mathvista", "mathvista"),
    ("math_vista", "mathvista"),
    ("mathvision_mini", "mathvision:testmini"),
    ("mathvision", "mathvision:test"),
    ("math_vision", "mathvision:test"),
    ("mmmu_pro_v", "mmmu:pro-vision"),
    ("mmmu_pro_10c", "mmmu:pro-standard"),
    ("mmmu_pro_standard", "mmmu:pro-standard"),
    ("mmmu_dev_val", "mmmu"),
    ("mmmu_val", "mmmu"),
    ("microvqa", "microvqa"),
    ("micro_vqa", "microvqa"),
    ("chartbench", "chartbench:test"),
    ("physics", "physics"),
    ("msearthmcq", "msearth"),
    ("xlrs-bench", "xlrs"),
    ("sfe-zh", "sfe:zh"),
    ("sfe", "sfe:en"),
)
"""Beginning of a task's name elsewhere -> suite; the first that fits."""


def suite_of(task: str) -> str | None:
    """Give the suite that a task's name stands for elsewhere; None where it is none that we know."""
    plain = task.lower()
    known = set(load.suite_names())
    return next(
        (suite for start, suite in KNOWN if plain.startswith(start) and suite.partition(":")[0] in known),
        None,
    )
