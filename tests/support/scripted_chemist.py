"""A scripted chemist for the dashboard's tests: `scripted:call=tests.support.scripted_chemist:answer`. Its answers have the requested format, but mostly the wrong content."""

from __future__ import annotations

from evals.prompts import plain_text
from evals.types import Prompt


def answer(prompt: Prompt) -> str:
    """Answer with a molecule, a formula, a name, a number or yes, in the tags that the question asks for."""
    question = plain_text(prompt.messages[-1].parts)
    for tag, content in (
        ("SMILES", "CC(=O)Oc1ccccc1C(=O)OC"),
        ("MOLFORMULA", "C9H8O4"),
        ("IUPAC", "methyl 2-acetyloxybenzoate"),
    ):
        if f"<{tag}>" in question or tag.lower() in question.lower():
            return f"By the groups it must be <{tag}> {content} </{tag}>"
    return "<NUMBER> -1.5 </NUMBER>" if "solub" in question.lower() else "<BOOLEAN> Yes </BOOLEAN>"
