r"""Extract letters by SUPERChem's rule, including its known defects.

Source: open-compass/VLMEvalKit @ e8e78f05, dataset/superchem.py (`_parse_boxed_answer`, `_score_multiple_choice_answer`). The
text between the last `\boxed{` and the next closing brace, without backslashes, braces and the strings "text", "math",
"bf" and "rm", must consist of the right letters: `\boxed{A, C}`, `\boxed{A. Benzene}` and `\boxed{\mathsf{A}}` are wrong. The authors' code
(catalystforyou/SUPERChem_eval @ 8c0eb792) differs in one case: it accepts `AA` for A and C.
"""

from __future__ import annotations

from collections.abc import Sequence

from evals.extract.visible import visible

_BOX = r"\boxed{"
_IGNORED = ("\\", "{", "}", "text", "math", "bf", "rm")
_NO_OPTION = "?"


def letters_superchem(text: str, options: Sequence[str]) -> tuple[str, ...] | None:
    """Return every character of the last box, in capitals, followed by `?` if one occurs twice; None if no box is closed."""
    content, position, visible_text = None, 0, visible(text).text
    while (begin := visible_text.find(_BOX, position)) >= 0:
        end = visible_text.find("}", begin + len(_BOX) + 1)
        if end < 0:
            break
        content, position = visible_text[begin + len(_BOX) : end].strip(), end + 1
    if content is None:
        return None
    for ignored in _IGNORED:
        content = content.replace(ignored, "")
    characters = tuple(content.strip().upper())
    return characters if len(set(characters)) == len(characters) else (*characters, _NO_OPTION)
