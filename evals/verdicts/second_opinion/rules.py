"""The scoring rules of other harnesses (peers) for our suites: where they are, and the columns that they read.

Option letters follow the order of the prompt. Sources: lm_eval 0.4.13, opencompass 0.5.4 and SciEvalKit @ 0817251a.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from evals.errors import UnknownName, UsageError
from evals.types import Prompt, Sample

DocBuilder = Callable[[Sample, Prompt], dict[str, Any]]

PEERS = {"lm-eval": "lm_eval", "opencompass": "opencompass", "scieval": "scieval"}
"""Peer -> its Python package."""


class Rule(Struct, frozen=True, kw_only=True):
    """A peer's scoring rule for one suite."""

    peer: str
    name: str
    """`task,filter` or, without a filter, `task,metric` (lm-eval); the configuration (OpenCompass); the rule (SciEvalKit)."""
    suite: str
    """Our name, with the variant."""
    spec: dict[str, Any]
    """Location of the rule in the peer's code: see `of_*.py` beside this module."""
    build_doc: DocBuilder
    """(sample, prompt) -> the columns that the rule reads."""
    scale: float = 1.0
    """Factor that converts the peer's score to our unit."""
    part: str = ""
    """The part of our score that is compared with the peer's; empty: the score's value."""


def rules(peer: str, suite: str) -> list[Rule]:
    """Return a peer's rules for a suite, the default one first."""
    return [rule for rule in _rules_of_peer(peer) if rule.suite == suite]


def find_rule(peer: str, suite: str, name: str | None) -> Rule:
    """Return a peer's rule for a suite by its name, or the default one; raises UsageError if there is none."""
    candidates = rules(peer, suite)
    if not candidates:
        suites = dict.fromkeys(rule.suite for rule in _rules_of_peer(peer))
        raise UsageError(f"{peer} has no rule for {suite}; it has rules for {', '.join(suites)}")
    by_name = {rule.name: rule for rule in candidates}
    if name is not None and name not in by_name:
        raise UnknownName(f"rule of {peer} for {suite}", name, list(by_name))
    return by_name[name] if name is not None else candidates[0]


def _rules_of_peer(peer: str) -> Iterator[Rule]:
    return {"lm-eval": _lm_eval_rules, "opencompass": _opencompass_rules, "scieval": _scieval_rules}[peer]()


# --- lm-eval: a task's file, a filter, a metric


def _lm_eval_rules() -> Iterator[Rule]:
    def rule(
        suite: str, path: str, build_doc: DocBuilder, metric: str, filter_name: str = "none", name: str = ""
    ) -> Rule:
        task = name or path.rpartition("/")[2].removesuffix(".yaml")
        criterion = filter_name if filter_name != "none" else metric
        spec = {"path": path, "filter": filter_name, "metric": metric}
        return Rule(peer="lm-eval", name=f"{task},{criterion}", suite=suite, spec=spec, build_doc=build_doc)

    # MMLU-Pro's 14 subjects share one template, as do MMMU's subjects: a rule is read from the configuration of one
    yield rule(
        "mmlu-pro", "mmlu_pro/mmlu_pro_math.yaml", _mmlu_pro_doc, "exact_match", "custom-extract", "mmlu_pro"
    )
    for variant in ("diamond", "main", "extended"):
        for prompt_style, file_suffix in (
            ("cot_zeroshot", "cot_zeroshot"),
            ("cot_n_shot", "cot_n_shot"),
            ("generative", "generative_n_shot"),
        ):
            path = f"gpqa/{prompt_style}/gpqa_{variant}_{file_suffix}.yaml"
            for filter_name in ("flexible-extract", "strict-match"):
                yield rule(f"gpqa:{variant}", path, _gpqa_doc, "exact_match", filter_name)
    yield rule("aime:2024", "aime/aime24.yaml", _aime_doc, "exact_match")
    yield rule("aime:2025", "aime/aime25.yaml", _aime_doc, "exact_match")
    yield rule("mmmu", "mmmu/mmmu_math.yaml", _mmmu_doc, "acc", name="mmmu_val")
    for variant in ("human", "augmented"):
        for metric in ("relaxed_accuracy", "exact_match", "anywhere_accuracy"):
            yield rule(f"chartqa:{variant}", "chartqa/chartqa.yaml", _chartqa_doc, metric)


def _shown_options(sample: Sample, prompt: Prompt) -> list[str]:
    """Return the options in the order of the prompt."""
    order = prompt.order if prompt.order is not None else range(len(sample.choices))
    return [sample.choices[index] for index in order]


def _shown_letter(sample: Sample, prompt: Prompt) -> str:
    return prompt.shown_letter(str(sample.target))


def _mmlu_pro_doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
    gold = _shown_letter(sample, prompt)
    options = _shown_options(sample, prompt)
    return {"question": "", "options": options, "answer": gold, "category": sample.group}


def _gpqa_doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
    options = _shown_options(sample, prompt)
    choice_columns = {f"choice{number}": option for number, option in enumerate(options, 1)}
    answer = f"({_shown_letter(sample, prompt)})"
    return {"Question": "", "choices": options, "answer": answer, **choice_columns}


def _aime_doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
    gold = str(sample.target)
    return {"Problem": "", "problem": "", "Answer": gold, "answer": gold}


def _mmmu_doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
    open_ended = not sample.choices
    gold = list(sample.target) if isinstance(sample.target, tuple) else sample.target
    return {
        "question": "",
        "question_type": "open" if open_ended else "multiple-choice",
        "options": repr(_shown_options(sample, prompt)),  # Python notation, as in the hub's data set
        "answer": str(gold) if open_ended else _shown_letter(sample, prompt),
    }


def _chartqa_doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
    return {"query": "", "label": [str(sample.target)]}


# --- OpenCompass: a configuration, the list in it, the abbreviation of a data set

SMOLINSTRUCT = (
    ("nc_0shot_instruct", "nc_0shot_instruct_datasets", {
        "NC-I2F": "MOLFORMULA", "NC-S2F": "MOLFORMULA", "NC-I2S": "SMILES", "NC-S2I": "IUPAC",
    }),
    ("rmse_0shot_instruct", "pp_rmse_0shot_instruct_datasets", {"PP-ESOL": "NUMBER", "PP-Lipo": "NUMBER"}),
    ("pp_acc_0_shot_instruct", "pp_acc_datasets_0shot_instruct", {
        "PP-BBBP": "BOOLEAN", "PP-ClinTox": "BOOLEAN", "PP-HIV": "BOOLEAN", "PP-SIDER": "BOOLEAN",
    }),
    ("fts_0shot_instruct", "fts_0shot_instruct_datasets", {"MG": "SMILES", "FS": "SMILES", "RS": "SMILES"}),
    ("meteor_0shot_instruct", "meteor_0shot_instruct_datasets", {"MC": ""}),
)  # fmt: skip
"""Configurations, the list in each, and its tasks with the tag around their gold answers (none for captions)."""
PERCENT_TASKS = ("MG", "FS", "RS")
"""Tasks that OpenCompass scores from 0 to 100."""


def _opencompass_rules() -> Iterator[Rule]:
    """Yield the rules. `abbr`: the data set from which a rule is read; if several are scored alike, it stands for all."""

    def rule(
        suite: str, config: str, list_name: str, abbr: str, build_doc: DocBuilder, **options: Any
    ) -> Rule:
        spec = {"config": config, "list": list_name, "abbr": abbr}
        name = config.rpartition(".")[2]
        return Rule(peer="opencompass", name=name, suite=suite, spec=spec, build_doc=build_doc, **options)

    for name, build_doc in (
        ("mmlu_pro_0shot_cot_gen_08c1de", _gold_letter_doc),
        ("mmlu_pro_gen_cdbebf", _gold_letter_doc),
        ("mmlu_pro_few_shot_gen_bfaf90", _gold_option_doc),
    ):
        yield rule("mmlu-pro", f"mmlu_pro.{name}", "mmlu_pro_datasets", "mmlu_pro_math", build_doc)
    for variant in ("diamond", "main", "extended"):
        for name in ("gpqa_openai_simple_evals_gen_5aeece", "gpqa_0shot_nocot_gen_772ea0", "gpqa_gen_4baadb"):
            yield rule(f"gpqa:{variant}", f"gpqa.{name}", "gpqa_datasets", "GPQA_diamond", _gold_letter_doc)
    for name in ("aime2024_gen_17d799", "aime2024_gen_6e39a4"):
        yield rule("aime:2024", f"aime2024.{name}", "aime2024_datasets", "aime2024", _gold_doc)
    name = "aime2025_cascade_eval_gen_5e9f4f"
    yield rule("aime:2025", f"aime2025.{name}", "aime2025_datasets", "aime2025", _gold_doc)
    config = "ChemBench.ChemBench_gen_a9f753"
    yield rule("chembench:4k", config, "chembench_datasets", "ChemBench_Name_Conversion", _gold_letter_doc)
    for task in ("steels", "expt_gap", "expt_is_metal", "glass"):
        config = "matbench.matbench_gen_f71840"
        yield rule(f"matbench:{task}", config, "matbench_datasets", f"matbench_{task}", _material_doc)
    yield from _smolinstruct_rules(rule)


def _smolinstruct_rules(rule: Callable[..., Rule]) -> Iterator[Rule]:
    for config, list_name, tasks in SMOLINSTRUCT:
        for task, tag in tasks.items():
            yield rule(
                f"smolinstruct:{task}", f"SmolInstruct.smolinstruct_{config}", list_name, f"{task}-0shot-instruct",
                _tagged_gold_doc(tag) if tag else _caption_doc, scale=0.01 if task in PERCENT_TASKS else 1.0,
                part="" if tag else "meteor",
            )  # fmt: skip


def _gold_doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
    return {"gold": str(sample.target)}


def _gold_letter_doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
    return {"gold": _shown_letter(sample, prompt)}


def _gold_option_doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
    gold = _shown_letter(sample, prompt)
    return {"gold": f"{gold}. {_shown_options(sample, prompt)[ord(gold) - ord('A')]}"}


def _material_doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
    return {"gold": sample.target == "yes" if isinstance(sample.target, str) else sample.target}


def _tagged_gold_doc(tag: str) -> DocBuilder:
    """Return a builder that wraps the gold answer in tags, as in the data set's output."""

    def doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
        gold = str(sample.target)
        return {"gold": f"<{tag}> {gold.title() if tag == 'BOOLEAN' else gold} </{tag}>"}

    return doc


def _caption_doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
    return {"gold": str(sample.meta.get("output", sample.target))}


# --- SciEvalKit: one of the rules in of_scieval.py

SINGLE_OPTION_SUITES = ("microvqa", "mmstar", "msearth")
"""Suites of questions with one right option that SciEvalKit also has."""


def _scieval_rules() -> Iterator[Rule]:
    def rule(name: str, suite: str, build_doc: DocBuilder) -> Rule:
        return Rule(peer="scieval", name=name, suite=suite, spec={"rule": name}, build_doc=build_doc)

    yield rule("trqa", "trqa", _right_letters_doc)
    yield rule("proteinlmbench", "proteinlmbench", _option_number_doc)
    for suite in SINGLE_OPTION_SUITES:
        yield rule("options", suite, _lettered_options_doc)


def _right_letters_doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
    return {"answer": ", ".join(sorted(map(prompt.shown_letter, sample.targets)))}


def _option_number_doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
    return {"answer": f"option {ord(_shown_letter(sample, prompt)) - ord('A') + 1}"}


def _lettered_options_doc(sample: Sample, prompt: Prompt) -> dict[str, Any]:
    options = _shown_options(sample, prompt)
    choices = {chr(ord("A") + n): text for n, text in enumerate(options)}
    return {"answer": _shown_letter(sample, prompt), "choices": choices}
