"""Task names of other harnesses and the suites they correspond to."""

from __future__ import annotations

from evals import load

SUITE_BY_PREFIX = (
    ("mmlu_prox", "-"),
    ("mmlu_pro", "mmlu-pro"),
    ("mmlu-pro", "mmlu-pro"),
    ("mmlupro", "mmlu-pro"),
    ("gpqa_main", "gpqa:main"),
    ("gpqa:main", "gpqa:main"),
    ("gpqa:mc", "gpqa:main"),
    ("gpqa_extended", "gpqa:extended"),
    ("gpqa:extended", "gpqa:extended"),
    ("gpqa-fr", "-"),
    ("gpqa", "gpqa:diamond"),
    ("aime2024", "aime:2024"),
    ("aime24", "aime:2024"),
    ("aime_2024", "aime:2024"),
    ("aime2025", "aime:2025"),
    ("aime25", "aime:2025"),
    ("aime_2025", "aime:2025"),
    ("chembench4k", "chembench:4k"),
    ("chembench_", "chembench:4k"),
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
    ("mmmu_pro:standard-10", "mmmu:pro-standard"),
    ("mmmu_pro:vision", "mmmu:pro-vision"),
    ("mmmu_pro", "-"),
    ("mmmu_test", "-"),
    ("mmmu", "mmmu"),
    ("microvqa", "microvqa"),
    ("micro_vqa", "microvqa"),
    ("chartbench", "chartbench:test"),
    ("chartqapro", "chartqapro"),
    ("chartqa_human", "chartqa:human"),
    ("chartqa_augmented", "chartqa:augmented"),
    ("chartqa", "chartqa"),
    ("trqa", "trqa"),
    ("sgi-deepresearch", "sgi-bench:deep-research"),
    ("sgi-experimental-reasoning", "sgi-bench:reasoning"),
    ("proteinlmbench", "proteinlmbench"),
    ("physics", "physics"),
    ("msearth", "msearth"),
    ("xlrs", "xlrs"),
    ("sfe-zh", "sfe:zh"),
    ("sfe", "sfe:en"),
)
"""Prefix of a task's name -> suite; the first match decides; `-`: none of our suites."""
STRIPPED_PREFIXES = ("leaderboard_", "inspect_evals/", "lighteval|", "custom|", "extended|")
"""Prefixes that are stripped first: those of the Open LLM Leaderboard's tasks in lm-eval and of task packages."""


SUITE_BY_INFIX = {
    "-0shot-instruct": "smolinstruct",
    "-selfies": "mol-instructions",
    "-sample_1k": "biology-instructions",
}
"""Text within a task's name in OpenCompass -> suite; the part before it is the variant."""


def suite_of(task: str) -> str | None:
    """Return the suite that corresponds to a task; None if there is none."""
    name = task.lower()
    for prefix in STRIPPED_PREFIXES:
        name = name.removeprefix(prefix)
    if name.startswith("matbench_"):
        return f"matbench:{name.removeprefix('matbench_')}"
    for infix, suite in SUITE_BY_INFIX.items():
        if infix in name:
            return f"{suite}:{task.partition(infix)[0]}"
    suite = next((suite for prefix, suite in SUITE_BY_PREFIX if name.startswith(prefix)), "-")
    return suite if suite.partition(":")[0] in load.suite_names() else None
