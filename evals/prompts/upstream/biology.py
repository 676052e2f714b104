"""OpenCompass' prompts for Biology-Instructions: the turns of its config, and the hints that its loader appends to questions."""

from __future__ import annotations

import ast
from functools import cache

from evals.errors import DataError
from evals.prompts.upstream import Row, UpstreamPrompts, wheel
from evals.prompts.upstream.wheel import OPENCOMPASS
from evals.types import Prompt, Sample

LOADER, LOADER_CLASS = "opencompass/datasets/biodata.py", "BiodataTaskDataset"


@cache
def hints() -> dict[str, str]:
    """Return the loader's hints by answer format; the hint for `dict` ends before the list of keys. Raises DataError."""
    tree = ast.parse(wheel.read(OPENCOMPASS, LOADER))
    definition = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == LOADER_CLASS), None)
    hints_by_form: dict[str, str] = {}
    for node in ast.walk(definition) if definition else ():
        match node:
            case ast.Assign(targets=[ast.Name(id="hint_dict")], value=ast.Dict() as value):
                hints_by_form |= ast.literal_eval(value)
            case ast.BinOp(
                left=ast.BinOp(right=ast.Constant(value=str(first))), right=ast.Constant(value=str(second))
            ) if second.endswith("{"):
                hints_by_form["dict"] = first + second
    return hints_by_form


def _columns(sample: Sample, prompt: Prompt, question: str) -> Row:
    form = str(sample.meta.get("form", "cls"))
    if form == "dict":
        keys = ", ".join(f'"{key}": xx' for key in sample.meta["keys"])
        question_with_hint = f"{question}{hints()['dict']}{keys}}}"
    else:
        hint = hints().get(form)
        if hint is None:
            raise DataError(f"{OPENCOMPASS.package}: {LOADER} has no hint for the answer format {form!r:.80}")
        question_with_hint = f"{question}\n{hint}"
    return {"prompt": question_with_hint, "ground_truth": ""}


PROMPTS = UpstreamPrompts(
    file="biodata/biodata_task_gen.py",
    prompt_path="biodata_infer_cfg.prompt_template.template",
    columns=_columns,
    gold_column="ground_truth",
)
