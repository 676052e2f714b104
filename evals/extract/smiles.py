r"""Recognise SMILES among the tokens of a reply, and parse the molecule or set of molecules of a short statement.

>>> parse_molecule("`OCC` (ethanol)"), parse_molecule_set("CC(=O)Cl + NCc1ccccc1")
('OCC', 'CC(=O)Cl.NCc1ccccc1')

RDKit reads the "I" of "I think" as hydrogen iodide and ignores the text after a space; only tokens that look like SMILES
as a whole are therefore accepted. `evals.extract.molecules` finds the statement of the answer in a reply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

from evals.extract.lazy_pattern import lazy_pattern

Side: TypeAlias = Literal["", "reactants", "products"]
"""The requested side of a reaction; empty: a reaction is not an answer."""
MAX_TOKEN_CHARS = 5_000
"""Maximum length of a token in characters."""
_MAX_LINE_CHARS = 2_000
"""Maximum length of a line of a list in characters."""

_SMILES = lazy_pattern(
    r"""(?:\[[^\[\]\s"]{1,60}\]             # an atom in brackets
        |Cl|Br|[BCNOPSFI]|[bcnops]|\*      # the organic subset
        |->|<-                             # bonds from a donor to a metal
        |[-=\#$:/\\~.()]                   # bonds, branches, dot
        |%\d\d|%\(\d{1,5}\)|\d)+""",
    re.VERBOSE,
)
_ORGANIC_ATOMS = lazy_pattern(r"(?:Cl|Br|[BCNOPSFI])+")
_AMBIGUOUS = "NO NOS ON IN SO CO OK IF OF BOSS SON SOON COIN COINS ICON ICONS BIN BINS SPIN NOON POP PCC"
ENGLISH_WORDS = frozenset(_AMBIGUOUS.split())
"""English words that are also SMILES; read only if marked as an answer."""


def looks_like_smiles(token: str) -> bool:
    """Return whether a token consists of SMILES characters, with as many closing as opening round brackets."""
    return bool(_SMILES.fullmatch(token)) and token.count("(") == token.count(")")


def smiles_with_dummies(content: str) -> str | None:
    """Return a delimited text that is SMILES with a dummy atom `*`, which is emphasis outside of delimiters; else None."""
    token = content.strip()
    return token if "*" in token and "**" not in token and looks_like_smiles(token) else None


def smiles_fault(text: str) -> str:
    """Return why a string does not look like SMILES."""
    if re.search(r"\s", text.strip()):
        return "it contains several words"
    if text.count("[") != text.count("]"):
        return "a square bracket is not closed"
    prefix = _SMILES.match(text)
    end = prefix.end() if prefix else 0
    if end < len(text):
        return f"unexpected {text[end]!r} at character {end + 1}"
    return (
        "a bracket is not closed"
        if text.count("(") > text.count(")")
        else "a closing bracket has no opening one"
    )


def can_only_be_smiles(token: str) -> bool:
    """Return whether an unmarked token is SMILES and cannot be an English word, a number or a formula."""
    if (
        not looks_like_smiles(token)
        or token.upper() in ENGLISH_WORDS
        or token.startswith(("-", "/", ".", "=", "("))
    ):
        return False
    letters = sum(c.isalpha() for c in token)
    if letters == len(token):
        return "CC" in token and _ORGANIC_ATOMS.fullmatch(token) is not None  # excludes I, NON, COS
    if letters < 3 or re.fullmatch(r"[A-Z]?[a-z]+[-./][A-Za-z]+", token):
        return False
    return any(c.isupper() or c in "=#" for c in token) or bool(re.match(r"[cnops]1?[cnops(\d]*\d", token))


# --- tokens and statements


_DELIMITERS = "`*\"'“”‘’<>{}$「」| \t\r\n"
_LATEX_WRAPPED = lazy_pattern(
    r"\\(?:text|mathrm|texttt|ce|mathtt|verb|textbf|mathbf)\s*[{|]([^{}|]{0,5000})[}|]"
)
_FENCE = lazy_pattern(r"```[A-Za-z]*\s*\n?|```")
_REMARK = lazy_pattern(
    r"(?<=\S)\s+\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)|（[^（）\n]{0,500}）|\([^()\n]{0,200}[\u4e00-\u9fff][^()\n]{0,200}(?:\([^()\n]{0,80}\)[^()\n]{0,80})?\)"
)
"""A remark in brackets after a molecule and a space, in full-width brackets, or in Chinese."""
_LIST_NUMBER = lazy_pattern(r"(?:^|(?<=\s))(?:(?:\(?\d{1,2}[.):]|[-•–*])\s+|[①-⑳]\s*)", re.MULTILINE)
_CONNECTIVE = lazy_pattern(
    r"\s*(?:[;,，；、\n]|\s[+&.]\s|\s(?:and|plus|with|和|与|及)\s|(?<=\S)\s?\+\s|(?<=[^\s\[\]>])\+(?=[A-Z\[]))\s*(?:and\s+)?"
)
_CJK = lazy_pattern(r"[\u3000-\u30ff\u3400-\u9fff\uff01-\uff20\uff3b-\uff40\uff5b-\uff65]+")
_REACTION = lazy_pattern(r"[^>]*+(?:(?<=-)>[^>]*+)*>[^>]*+>.*+", re.DOTALL)
"""`reactants>agents>products`; the `>` of a bond `->` is not a separator."""
_ARROW = lazy_pattern(r"\s*(?:\s(?:>>|->|-->|=>|→|⟶|⇒|⟹|⇌|\\(?:long)?rightarrow|\\to)\s|→|⟶)\s*")


def strip_token(token: str) -> str:
    """Return a token without quotes, emphasis, enclosing brackets and final punctuation."""
    token = token.strip(_DELIMITERS).rstrip(".,;:!?。，；").strip(_DELIMITERS)
    if r"\]" in token:  # brackets that were escaped for Markdown
        token = token.replace(r"\[", "[").replace(r"\]", "]")
    return token[1:-1].strip(_DELIMITERS) if token.startswith("(") and _ENCLOSED.fullmatch(token) else token


_ENCLOSED = lazy_pattern(r"\((?:[^()]|\((?:[^()]|\([^()]*+\))*+\))*+\)")


def tokens_of(text: str) -> Iterator[str]:
    """Yield the tokens of a text, stripped; Chinese characters separate tokens like spaces."""
    return filter(None, map(strip_token, _CJK.sub(" ", text).split()))


def can_be_smiles(token: str) -> bool:
    """Return whether a token can be SMILES if it is marked as an answer."""
    return (
        len(token) <= MAX_TOKEN_CHARS
        and looks_like_smiles(token)
        and any(c.isalpha() or c == "*" for c in token)
    )


def _without_markup(text: str) -> str:
    if _STRINGS.fullmatch(text.strip()):
        text = text.strip()[1:-1]
    return _FENCE.sub("\n", _LATEX_WRAPPED.sub(r" \1 ", text))


def reaction_side(text: str, side: Side) -> str:
    """Return the requested side of a reaction; other text is returned unchanged."""
    if ">" in text and len(text.split()) == 1 and _REACTION.fullmatch(text.strip()):
        parts = re.split(r"(?<!-)>", text.strip(), maxsplit=2)
        if not side or len(parts) < 3:
            return text
        left, agents, right = parts
        return (right if side == "products" else ".".join(filter(None, (left, agents)))) or text
    if side and len(parts := _ARROW.split(text)) == 2 and all(parts):
        counts = [len(unmistakable_smiles(part)) for part in parts]
        is_retrosynthetic = re.search("[⟹⇒]", text) is not None and counts[1] > counts[0]
        return parts[1 if (side == "products") != is_retrosynthetic else 0]
    return text


def parse_whole(text: str) -> str | None:
    """Read a text that is a single molecule, possibly with a label, a remark or line breaks; None for any other text."""
    text = _REMARK.sub("", _without_markup(text)).strip()
    text = strip_token(_COMPONENT_LABEL.sub("", text) if ":" in text else text)
    lines = [strip_token(line) for line in text.split("\n")]
    joined = "".join(lines) if len(lines) > 1 and all(map(looks_like_smiles, lines)) else text
    return joined if can_be_smiles(joined) else None


def parse_molecule(text: str) -> str | None:
    """Read the only molecule in a statement that is marked as an answer; None if there is none, or several."""
    text = _REMARK.sub("", _without_markup(text))
    if can_be_smiles(token := strip_token(text)):
        return token
    first = _FIRST_TOKEN.match(text)
    if first and can_be_smiles(token := strip_token(first[1])) and token.upper() not in ENGLISH_WORDS:
        return token
    tokens = unmistakable_smiles(text)
    return tokens[0] if len(tokens) == 1 else None


def unmistakable_smiles(text: str) -> list[str]:
    """Return the distinct tokens in the text that can only be SMILES."""
    return list(dict.fromkeys(token for token in tokens_of(text) if can_only_be_smiles(token)))


def parse_molecule_set(text: str, side: Side = "") -> str | None:
    """Read the set of molecules in a statement, joined by dots; None if the statement has other content.

    Components may be joined by signs or words on one line, or be listed: numbered, bulleted, labelled, or in a table.
    """
    text = strip_token(_without_markup(text))
    is_equation = side == "products" and _ARROW.search(text) is not None
    text = reaction_side(text, side)
    if _DOUBT.search(text) or len(_OPTION_LABEL.findall(text)) > 1:
        return None
    has_by_product = side == "products" and BY_PRODUCT.search(text) is not None
    unlabelled = _COMPONENT_LABEL.sub(r"\1", _LIST_NUMBER.sub("\n", _REMARK.sub("", text)))
    pieces = [piece for part in _CONNECTIVE.split(_CJK.sub("\n", unlabelled)) if (piece := strip_token(part))]
    if pieces and not has_by_product and all(map(can_be_smiles, pieces)):
        if is_equation:
            pieces = [piece for piece in pieces if piece not in _SMALL_BY_PRODUCTS] or pieces
        return ".".join(pieces)
    if pieces and not has_by_product and (named := _named_molecules(pieces)):
        return named
    lines = [line for line in text.splitlines() if line.strip() and not _TABLE_RULE.fullmatch(line)]
    lines = [line for line in lines if not _BRACKETED_LINE.fullmatch(line) or unmistakable_smiles(line)]
    if len(lines) < 2:
        return _bracket_contents(text)
    components = [parse_component(line, side) for line in lines]
    if components[0] is None and (_HEADING.fullmatch(lines[0]) or "|" in lines[0]):
        del components[0]
    return ".".join(filter(None, components)) or None if None not in components else None


_NAMED = lazy_pattern(
    r"(?:[A-Za-z\d(),'-]{1,40}\s){0,2}[A-Za-z\d(),'-]{0,40}(?:acid|ol|ane|ene|yne|ine|ide|one|ate|nal|aldehyde|ether|ester|water|ammonia)(?:\s+(?P<smiles>[^\sa-z]\S*))?"
)
"""A chemical name, possibly with the SMILES after it."""


def _named_molecules(pieces: list[str]) -> str | None:
    """Read "acetic acid CC(=O)O, ethanol CCO" or "acetic acid, CC(=O)O, and ethanol, CCO": a name before each molecule."""
    names, molecules = 0, []
    for piece in pieces:
        named = None if can_be_smiles(piece) else _NAMED.fullmatch(piece)
        if named is None and not can_be_smiles(piece):
            return None
        names += named is not None
        molecule = named["smiles"] if named else piece
        if molecule:
            molecules.append(strip_token(molecule))
    is_complete = len(molecules) == names > 1 and all(map(can_be_smiles, molecules))
    return ".".join(molecules) if is_complete else None


def _bracket_contents(text: str) -> str | None:
    """Read "acetyl chloride (CC(=O)Cl) and benzylamine (NCc1ccccc1)": the contents of the outermost brackets.

    The content of a single bracket is read after a name that ends the text with it: "ethyl acetate (CCOC(C)=O)".
    """
    contents, depth, begin = [], 0, 0
    for position, char in enumerate(text[:_MAX_LINE_CHARS]):
        if char == "(":
            if depth == 0:
                begin = position
            depth += 1
        elif char == ")" and depth:
            depth -= 1
            if depth == 0 and text[max(0, begin - 1)].isspace():
                contents.append(strip_token(text[begin + 1 : position]))
    if len(contents) == 1 and not (text.endswith(")") and _NAMED.fullmatch(text[: text.find(" (")])):
        return None
    return ".".join(contents) if contents and all(map(can_be_smiles, contents)) else None


def parse_component(line: str, side: Side = "") -> str | None:
    """Read the molecule on one line of a list or table; empty if it is on the other side of the reaction, None if there is none."""
    if len(line) > _MAX_LINE_CHARS:
        return None
    if label := _LINE_LABEL.match(line):
        if any(other.search(label[0]) for other in _OTHER_SIDE_LABELS[side]):
            return ""
        if _REMARK_LABEL.search(label[0]):
            return None
        if side and _CONDITION_LABEL.search(label[0]) and not unmistakable_smiles(line[label.end() :]):
            return ""
    line = line.strip()
    number = _LIST_NUMBER.match(line)
    line = line[number.end() :] if number else line
    if "|" in line:
        cells = [cell for cell in map(strip_token, line.strip("| ").split("|")) if can_be_smiles(cell)]
        return cells[0] if len(cells) == 1 else None
    without_remarks = _REMARK.sub("", line)
    for candidate in (without_remarks, line):
        spans = map(strip_token, (code or bold for code, bold in _EMPHASIS.findall(candidate)))
        if marked := dict.fromkeys(filter(can_be_smiles, spans)):
            return ".".join(marked)
    inner_label = _LINE_LABEL.match(without_remarks)
    content = without_remarks[inner_label.end() :] if inner_label else without_remarks
    molecules = [strip_token(piece) for piece in _CONNECTIVE.split(content.strip())]
    if all(map(can_be_smiles, molecules)):
        return ".".join(molecules)
    first = _FIRST_TOKEN.match(content)
    if first and can_be_smiles(token := strip_token(first[1])):
        return token
    for candidate in (content, line) if label or number else ():
        if len(tokens := unmistakable_smiles(candidate)) == 1:
            return tokens[0]
    in_remarks = [value for remark in _REMARK.findall(line) if (value := parse_whole(remark.strip()[1:-1]))]
    return in_remarks[0] if len(in_remarks) == 1 else None


_STRINGS = lazy_pattern(r"\[\s*\"[^\"\n]+\"(?:\s*,\s*\"[^\"\n]+\")*\s*\]")
"""A list of strings in JSON."""
_COMPONENT_LABEL = lazy_pattern(
    r"(^|[\n,;])\s*[*_]{0,3}(?:[A-Za-z][A-Za-z /()-]{1,38}[A-Za-z)](?:\s\d{1,2}|\s[A-H])?|[A-Z]|[\u4e00-\u9fff]{1,12}\s?[\dA-H一二三四]?)[*_]{0,3}\s*[:：][*_]{0,3}(?=\s|\S*[\u4e00-\u9fff]|[A-Za-z\[`])",
    re.MULTILINE,
)
"""A label before a component, as in "Acid chloride: CC(=O)Cl" or "反应物1：CCO" ("reactant 1: CCO")."""
_LINE_LABEL = lazy_pattern(
    r"\s*(?:[-•–*+]\s+|\(?\d{1,2}[.):、]\s*|[①-⑳]\s*)?[*_]{0,3}[^:：\n`]{1,80}[:：][*_]{0,3}\s*"
)
_HEADING = lazy_pattern(r"[^\n]{1,120}[:：][*_]{0,3}\s*")
_TABLE_RULE = lazy_pattern(r"[\s|:+=-]+")
_BRACKETED_LINE = lazy_pattern(r"\s*\([^\n]*\)\s*")
_EMPHASIS = lazy_pattern(r"`([^`\n]{1,5000})`|\*\*([^*\n]{1,5000})\*\*")
_OPTION_LABEL = lazy_pattern(
    r"^\W{0,5}(?:option|route|method|approach|alternative|possibility|candidate|pathway|方案|路线|方法)\s?(?:\d|[A-D一二三]\b)[^\n:：]{0,40}[:：]",
    re.IGNORECASE | re.MULTILINE,
)
"""Labels of alternative sets of molecules, only one of which can be the answer."""
_DOUBT = lazy_pattern(r"若|如果|假设|不是|可能(?!的)|错|或")
"""Chinese for "if", "suppose", "is not", "perhaps", "wrong" and "or"."""
_FIRST_TOKEN = lazy_pattern(r"\s*[*_`]{0,3}([^\s`]++)[*_`]{0,3}(?:\s*\Z|\s+[-–—=:(（|]|(?<=[,;:])\s)")
_REMARK_LABEL = lazy_pattern(
    r"\b(?:mechanism|explanation|notes?|reason\w*|rationale|justification|comments?|analysis|check)\b|机理|解释|说明|理由|分析",
    re.IGNORECASE,
)
"""Labels of lines that comment on a reaction."""
_CONDITION_LABEL = lazy_pattern(
    r"\b(?:catalysts?|ligands?|bases?|solvents?|additives?|conditions?|temperature|time|yield)\b|催化剂|配体|碱|溶剂|条件|温度",
    re.IGNORECASE,
)
"""Labels of reaction conditions, which need not be molecules."""
_SMALL_BY_PRODUCTS = frozenset(
    (
        "O",
        "[H]O[H]",
        "[H][H]",
        "N#N",
        "N",
        "F",
        "Cl",
        "Br",
        "I",
        "[Cl-]",
        "[Br-]",
        "[I-]",
        "O=C=O",
        "C(=O)=O",
        "O=S=O",
        "[C-]#[O+]",
    )
)
"""Molecules that balance an equation, and are no answer beside a larger product of it."""
BY_PRODUCT = lazy_pattern(
    r"by[-_ ]?products?|minor|side[ _-]?products?|\b(?:loss|elimination|release)\sof(?![^\n:→]*[:→])|\b(?:is|are)\s(?:also\s)?(?:lost|released|eliminated|expelled)\b|\b(?:losing|eliminating|releasing|expelling)\b|副产物|次要",
    re.IGNORECASE,
)
_PRODUCT = lazy_pattern(r"products?\b|产物", re.IGNORECASE)
_REACTANT = lazy_pattern(
    r"\b(?:reactants?|reagents?|precursors?|starting|substrates?|intermediates?|catalysts?|solvents?|bases?|conditions?)\b|反应物|原料|试剂|催化剂|溶剂|底物|中间体",
    re.IGNORECASE,
)
_OTHER_SIDE_LABELS: dict[Side, tuple[re.Pattern[str], ...]] = {
    "": (),
    "products": (BY_PRODUCT, _REACTANT),
    "reactants": (_PRODUCT,),
}
"""Requested side -> labels of molecules that do not belong to it."""
