"""OpenCompass' prompts for Biology-Instructions: its configuration's turns, and the hints that its loader appends to a question."""

from __future__ import annotations

import ast
from functools import cache

from evals.errors import DataError
from evals.prompts.upstream import Row, UpstreamPrompts, wheel
from evals.prompts.upstream.wheel import OPENCOMPASS
from evals.types import Prompt, Sample

LOADER, CLASS = "opencompass/datasets/biodata.py", "BiodataTaskDataset"


@cache
def hints() -> dict[str, str]:
    """Return the loader's hints by form of answer; `dict`: what stands before the keys. Raises DataError."""
    tree = ast.parse(wheel.read(OPENCOMPASS, LOADER))
    loader = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == CLASS), None)
    hints_by_form: dict[str, str] = {}
    for node in ast.walk(loader) if loader else ():
        match node:
            case ast.Assign(targets=[ast.Name(id="hint_dict")], value=ast.Dict() as value):
                hints_by_form |= ast.literal_eval(value)
            case ast.BinOp(
                left=ast.BinOp(right=ast.Constant(value=str(first))), right=ast.Constant(value=str(second))
            ) if second.endswith("{"):
                hints_by_form["dict"] = first + second
    if not {"cls", "number", "dict"} <= hints_by_form.keys():
        raise DataError(f"{OPENCOMPASS.package}: {LOADER} has no hints that can be read")
    return hints_by_form


def _row(sample: Sample, prompt: Prompt, question: str) -> Row:
    """Return the columns of upstream's loader."""
    form = str(sample.meta.get("form", "cls"))
    if form == "dict":
        keys = ", ".join(f'"{key}": xx' for key in sample.meta["keys"])
        asked = f"{question}{hints()['dict']}{keys}}}"
    else:
        hint = hints().get(form)
        if hint is None:
            raise DataError(f"{OPENCOMPASS.package}: {LOADER} has no hint for answers of {form!r:.80}")
        asked = f"{question}\n{hint}"
    return {"prompt": asked, "ground_truth": ""}


PROMPTS = UpstreamPrompts(
    file="biodata/biodata_task_gen.py",
    asks="biodata_infer_cfg.prompt_template.template",
    row=_row,
    gold="ground_truth",
)
