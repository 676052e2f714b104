"""Task names of other harnesses and the suites they correspond to."""

from __future__ import annotations

from evals import load

TASK_PREFIXES = {
    "-": "mmlu_prox gpqa-fr mmmu_pro mmmu_test",
    "mmlu-pro": "mmlu_pro mmlu-pro mmlupro",
    "gpqa:main": "gpqa_main gpqa:main gpqa:mc",
    "gpqa:extended": "gpqa_extended gpqa:extended",
    "gpqa:diamond": "gpqa",
    "aime:2024": "aime2024 aime24 aime_2024",
    "aime:2025": "aime2025 aime25 aime_2025",
    "chembench:4k": "chembench4k chembench_",
    "chembench:lamalab": "chembench",
    "mmstar": "mmstar mm_star",
    "mathvista": "mathvista math_vista",
    "mathvision:testmini": "mathvision_mini",
    "mathvision:test": "mathvision math_vision",
    "mmmu:pro-vision": "mmmu_pro_v mmmu_pro:vision",
    "mmmu:pro-standard": "mmmu_pro_10c mmmu_pro_standard mmmu_pro:standard-10",
    "mmmu": "mmmu",
    "microvqa": "microvqa micro_vqa",
    "chartbench:test": "chartbench",
    "chartqapro": "chartqapro",
    "chartqa:human": "chartqa_human",
    "chartqa:augmented": "chartqa_augmented",
    "chartqa": "chartqa",
    "trqa": "trqa",
    "sgi-bench:deep-research": "sgi-deepresearch",
    "sgi-bench:reasoning": "sgi-experimental-reasoning",
    "proteinlmbench": "proteinlmbench",
    "physics": "physics",
    "msearth": "msearth",
    "xlrs": "xlrs",
    "sfe:zh": "sfe-zh",
    "sfe:en": "sfe",
}
"""Suite -> prefixes of names of its tasks; the longest that matches decides; `-`: none of our suites."""
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
    matches = [
        (len(prefix), suite)
        for suite, prefixes in TASK_PREFIXES.items()
        for prefix in prefixes.split()
        if name.startswith(prefix)
    ]
    suite = max(matches, default=(0, "-"))[1]
    return suite if suite.partition(":")[0] in load.suite_names() else None
