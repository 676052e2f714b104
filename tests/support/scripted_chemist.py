"""A scripted chemist for the dashboard's tests: `scripted:call=tests.support.scripted_chemist:answer`. Right forms, often wrong molecules."""

from __future__ import annotations

from evals.prompts import plain_text
from evals.types import Prompt


def answer(prompt: Prompt) -> str:
    """A molecule, a formula, a name, a number or yes, in the tags that the question asks for."""
    asked = plain_text(prompt.messages[-1].parts)
    for tag, said in (
        ("SMILES", "CC(=O)Oc1ccccc1C(=O)OC"),
        ("MOLFORMULA", "C9H8O4"),
        ("IUPAC", "methyl 2-acetyloxybenzoate"),
    ):
        if f"<{tag}>" in asked or tag.lower() in asked.lower():
            return f"By the groups it must be <{tag}> {said} </{tag}>"
    return "<NUMBER> -1.5 </NUMBER>" if "solub" in asked.lower() else "<BOOLEAN> Yes </BOOLEAN>"
