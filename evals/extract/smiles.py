r"""Molecules in a reply, written as SMILES: the one that it states, or the set of them.

>>> molecule("The product is <SMILES> OCC </SMILES>.")
'OCC'
>>> molecules("Reactants:\n1. CC(=O)Cl (acetyl chloride)\n2. NCc1ccccc1 (benzylamine)")
'CC(=O)Cl.NCc1ccccc1'

RDKit reads the "I" of "I think" as hydrogen iodide and ignores what follows a blank, so nothing counts here that
does not look like SMILES as a whole token. Places, the strongest first: tags, a box, a JSON field, what follows a label
("SMILES:", "the answer is"), code, a reply that is nothing else, a token that can only be SMILES. Of the strongest kind
the last one stated counts. A tag that holds something else is returned as it is: the answer is then invalid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

from evals.extract.later import later
from evals.extract.tags import boxes

Side: TypeAlias = Literal["", "reactants", "products"]
"""Which side of a reaction is wanted; empty: a reaction is no answer."""
LONGEST = 5_000
"""Characters of one token."""
TAIL = 50_000
"""Without a tag, a molecule is looked for in so many last characters of a reply."""
_LABELS = 40
"""Labels that are looked at, from the end of a reply."""

_TOKEN = later(
    r"""(?:\[[^\[\]\s]{1,60}\]              # an atom in brackets
        |Cl|Br|[BCNOPSFI]|[bcnops]|\*      # the organic subset
        |->|<-                             # bonds from a donor to a metal
        |[-=\#$:/\\~.()]                   # bonds, branches, dot
        |%\d\d|%\(\d{1,5}\)|\d)+""",
    re.VERBOSE,
)
_WORDS = frozenset(
    "NO NOS ON IN SO CO OK IF OF BOSS SON SOON COIN COINS ICON ICONS BIN BINS SPIN NOON POP".split()  # noqa: SIM905
)
"""English that is also SMILES; believed only where it is marked as an answer."""


def looks_like_smiles(token: str) -> bool:
    """Whether the whole token has the characters of SMILES, its brackets closed."""
    return bool(_TOKEN.fullmatch(token)) and token.count("(") == token.count(")")


def odd_part(text: str) -> str:
    """Say what keeps a text from being SMILES."""
    if re.search(r"\s", text.strip()):
        return "it has several words"
    if text.count("[") != text.count("]"):
        return "a square bracket is not closed"
    found = _TOKEN.match(text)
    end = found.end() if found else 0
    if end < len(text):
        return f"{text[end]!r} at character {end + 1} is not part of it"
    return (
        "a bracket is not closed"
        if text.count("(") > text.count(")")
        else "a bracket is closed that was not opened"
    )


def can_only_be_smiles(token: str) -> bool:
    """Believe an unmarked token only where no English word, number or formula is written so."""
    if not looks_like_smiles(token) or token.upper() in _WORDS or token.startswith(("-", "/", ".", "=", "(")):
        return False
    letters = sum(c.isalpha() for c in token)
    if letters == len(token):
        return "CC" in token and token.isupper()  # not I, not NON, not COS
    if letters < 3 or re.fullmatch(r"[A-Z]?[a-z]+[-./][A-Za-z]+", token):
        return False
    return any(c.isupper() or c in "=#" for c in token) or bool(re.match(r"[cnops]1?[cnops(\d]*\d", token))


# --- pieces of text


_EDGES = "`*\"'“”‘’<>{}$「」 \t\r\n"
_WRAPPED = later(r"\\(?:text|mathrm|texttt|ce|mathtt|verb|textbf|mathbf)\s*[{|]([^{}|]{0,5000})[}|]")
_FENCE = later(r"```[A-Za-z]*\s*\n?|```")
_REMARK = later(r"(?<=\S)\s+\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)|（[^（）\n]{0,500}）")
"""A remark in brackets behind a molecule: there is a blank before it, or it is written in full-width brackets."""
_NUMBERED = later(r"(?:^|(?<=\s))(?:\(?\d{1,2}[.):]|[-•–*])\s+", re.MULTILINE)
_CONNECTIVE = later(
    r"\s*(?:[;,，；、\n]|\s[+&.]\s|\s(?:and|plus|with|和|与|及)\s|(?<=\S)\s?\+\s|(?<=[^\s\[\]>])\+(?=[A-Z\[]))\s*(?:and\s+)?"
)
_CJK = later(r"[\u3000-\u303f\u3400-\u9fff\uff01-\uff20\uff3b-\uff40\uff5b-\uff65]+")
_ARROW = later(r"\s*(?:\s(?:->|-->|=>|→|⟶|⇒|\\(?:long)?rightarrow|\\to)\s|→|⟶)\s*")


def _bare(token: str) -> str:
    """Strip quotes, emphasis and the sentence's punctuation."""
    token = token.strip(_EDGES).rstrip(".,;:!?。，；").strip(_EDGES)
    if r"\]" in token:  # brackets that were escaped for Markdown
        token = token.replace(r"\[", "[").replace(r"\]", "]")
    return token[1:-1] if token.startswith("(") and token.endswith(")") and token.count("(") == 1 else token


def _tokens(text: str) -> Iterator[str]:
    """Yield the words of a text, Chinese text being a blank."""
    return filter(None, map(_bare, _CJK.sub(" ", text).split()))


def _is_marked(token: str) -> bool:
    return len(token) <= LONGEST and looks_like_smiles(token) and any(c.isalpha() or c == "*" for c in token)


def _plain(text: str) -> str:
    return _FENCE.sub("\n", _WRAPPED.sub(r" \1 ", text))


def _reaction(text: str, side: Side) -> str:
    """Take the wanted side of a reaction; the text itself where it is none."""
    if ">" in text and re.fullmatch(r"[^\s>]*(?:<-[^\s>]*|->[^\s>]*)*>[^\s>]*>\S*", text.strip()):
        left, agents, right = re.split(r"(?<!-)>", text.strip(), maxsplit=2)
        wanted = right if side == "products" else ".".join(filter(None, (left, agents))) if side else text
        return wanted or text
    if side and len(parts := _ARROW.split(text)) == 2 and all(parts):
        return parts[1 if side == "products" else 0]
    return text


def whole(text: str) -> str | None:
    """Read a text that is one molecule and nothing else, perhaps with its label, a remark or line breaks in it."""
    text = _REMARK.sub("", _plain(text)).strip()
    text = _bare(_LABELLED.sub("", text) if ":" in text else text)
    lines = text.split("\n")
    joined = (
        "".join(map(_bare, lines))
        if len(lines) > 1 and all(map(looks_like_smiles, map(_bare, lines)))
        else text
    )
    return joined if _is_marked(joined) else None


def one_of(text: str) -> str | None:
    """Read the one molecule of a statement that is marked as an answer; None where none stands in it."""
    text = _REMARK.sub("", _plain(text))
    if _is_marked(bare := _bare(text)):
        return bare
    found = list(dict.fromkeys(token for token in _tokens(text) if can_only_be_smiles(token)))
    return found[0] if len(found) == 1 else None


def set_of(text: str, side: Side = "") -> str | None:
    """Read the set of molecules of a statement, its components joined by dots; None where there is anything else."""
    text = _reaction(_plain(text).strip(_EDGES), side)
    text = _NUMBERED.sub("\n", _REMARK.sub("", text))
    text = _LABELLED.sub(lambda match: match[1], text)
    pieces = [piece for part in _CONNECTIVE.split(_CJK.sub("\n", text)) if (piece := _bare(part))]
    return ".".join(pieces) if pieces and all(map(_is_marked, pieces)) else None


_LABELLED = later(
    r"(^|[\n,;])\s*[*_]{0,3}(?:[A-Za-z][A-Za-z /()-]{1,38}[A-Za-z)](?:\s\d)?|[A-Z])[*_]{0,3}\s*[:：][*_]{0,3}(?=\s)",
    re.MULTILINE,
)
"""A label before a component, as in "Acid chloride: CC(=O)Cl"."""


# --- places


class _Place(NamedTuple):
    text: str
    start: int
    end: int


_SMILES_TAG = later(r"<(/?)\s*SMILES\s*>", re.IGNORECASE)
_ANSWER_TAG = later(r"[<\[](/?)\s*(?:final[ _]?)?(?:answer|ans)\s*[>\]]", re.IGNORECASE)
_FIELD = later(
    r'"(?:[A-Za-z_ ]{0,30}smiles|answer|final_answer|products?|reactants?|result)"\s*:\s*(?:"([^"\n]{1,5000})"|\[([^\[\]\n]{1,5000})\])',
    re.IGNORECASE,
)
_LABEL = later(
    r"(?:(?:canonical|isomeric|final|correct|the)[ \t]+){0,3}"
    r"(?:\bSMILES\b(?:[ \t]+(?:string|notation|representation|code))?|\b(?:final[ \t]+)?answer\b|\b(?:major[ \t]+|main[ \t]+)?products?\b"
    r"|\b(?:reactants?|reagents?|precursors?|starting[ \t]+materials?|structure|molecule)(?:[ \t]+(?:and|or|/|&)[ \t]+(?:reactants?|reagents?))?\b"
    r"|答案|产物|反应物|结构式?)"
    r"(?P<of>[^\n:：=.。]{0,80}?)[*_\"'`)\]]{0,3}\s*"
    r"(?P<mark>[:：=]|\b(?:is|are|was|has|should[ \t]+be|would[ \t]+be|must[ \t]+be)\b|为|是)[*_]{0,3}[:：]?",
    re.IGNORECASE,
)
_BYPRODUCT = later(r"by-?products?|minor|side[ -]?products?|副产物|次要", re.IGNORECASE)
_MAIN = later(r"\b(?:major|main|desired|target|principal)\b|主要?产物", re.IGNORECASE)
_NOT = later(r"(?:\bnot\b|\bn't\b|isn't|instead of|rather than|不是)[^\n.]{0,30}$", re.IGNORECASE)
_CODE = later(r"```[A-Za-z]*[ \t]*\n?([^`]{1,5000})```|(?<!`)`([^`\n]{1,5000})`(?!`)")
_EITHER = later(r"\S\s+or\s+\S|或者?", re.IGNORECASE)
_JOINS = later(
    r"\s*(?:[+.,;&，、]|and|plus|和|与|\d{1,2}[.)]|[-*•]|\([^()\n]{0,80}\)|[A-Z][\w ()-]{0,40}:|\s)*\s*",
    re.IGNORECASE,
)


def molecule(text: str) -> str | None:
    """Read the molecule that a reply states; None where it states none.

    Returns what stands in the place of the answer even where it is no molecule (verdict `invalid`).
    """
    return _read(text, "", several=False)


def molecules(text: str, side: Side = "") -> str | None:
    """Read the set of molecules that a reply states, joined by dots, or one `side` of a stated reaction."""
    return _read(text, side, several=True)


def _read(text: str, side: Side, *, several: bool) -> str | None:
    for marks in (_SMILES_TAG, _ANSWER_TAG):
        if (found := _tagged(text, marks, side, several=several)) is not None:
            return found
    tail = text[-TAIL:]
    read = partial(set_of, side=side) if several else partial(_one, side=side)
    for places in (_boxes(tail), _fields(tail), _labels(tail, several=several)):
        for place in reversed(places):
            if (answer := read(place.text)) is not None:
                return answer
    return _unmarked(tail, side, several=several)


def _one(text: str, side: Side) -> str | None:
    return one_of(_reaction(text, side))


def _spans(text: str, marks: re.Pattern[str]) -> list[_Place]:
    """List what stands between an opening tag and the next closing one; a second opening tag starts anew.

    A tag that is never closed counts to the end of its line if nothing but that line follows it.
    """
    found: list[_Place] = []
    begin = inside = -1
    for mark in marks.finditer(text):
        if not mark[1] and (begin < 0 or text[inside : mark.start()].strip() or marks is _SMILES_TAG):
            if begin >= 0 and marks is _ANSWER_TAG:  # [ANSWER]...[ANSWER]
                found.append(_Place(text[inside : mark.start()].strip(), begin, mark.end()))
                begin = -1
                continue
            begin, inside = mark.start(), mark.end()
        elif begin >= 0:
            found.append(_Place(text[inside : mark.start()].strip(), begin, mark.end()))
            begin = -1
    if begin >= 0 and "\n" not in (rest := text[inside:].strip()) and rest:
        found.append(_Place(rest, begin, len(text)))
    return [place for place in found if place.text]


def _tagged(text: str, marks: re.Pattern[str], side: Side, *, several: bool) -> str | None:
    places = _main_ones(text, _spans(text, marks))
    if not places:
        return None
    if not several:
        said = _reaction(places[-1].text, side)
        return (whole if marks is _SMILES_TAG else one_of)(said) or said.replace(";", ".")
    group = _last_group(text, places, side)
    read = [set_of(place.text, side) or _bare(place.text) for place in group]
    return ".".join(dict.fromkeys(read) if len(group) > 1 else read)


def _last_group(text: str, places: list[_Place], side: Side) -> list[_Place]:
    """Take the last place, and those before it with nothing but signs, numbers and remarks between: one set."""
    group = [places[-1]]
    for place in reversed(places[:-1]):
        between = text[place.end : group[0].start]
        apart = len(between) > 200 or (side == "products" and "\n" in between)
        if apart or not _JOINS.fullmatch(between):
            break
        group.insert(0, place)
    return group


def _main_ones(text: str, places: list[_Place]) -> list[_Place]:
    """Leave by-products out, and all but the main product where one is called so."""
    if len(places) < 2:
        return places
    starts = [0, *(place.end for place in places)]
    lines = [
        (
            text[max(after, p.start - 80) : p.start].rpartition("\n")[2],
            re.match(r"(?:\s*[-–—(（][^\n<)）]{0,40})?", text[p.end : p.end + 50])[0],  # type: ignore[index]
        )
        for p, after in zip(places, starts, strict=False)
    ]
    kept = [
        p for p, (before, after) in zip(places, lines, strict=True) if not _BYPRODUCT.search(before + after)
    ]
    main = [
        p
        for p, (before, after) in zip(places, lines, strict=True)
        if _MAIN.search(before + after) and p in kept
    ]
    return main or kept or places


def _boxes(text: str) -> list[_Place]:
    return [_Place(content, start, end) for start, end, content in boxes(text)]


def _fields(text: str) -> list[_Place]:
    return [
        _Place(
            (field[2] or "").replace('"', "") or field[1].replace("\\\\", "\\"), field.start(), field.end()
        )
        for field in _FIELD.finditer(text)
    ]


def _labels(text: str, *, several: bool) -> list[_Place]:
    """List what follows each label: the rest of its line; if that is empty, the block of lines after it."""
    places = []
    for label in [*_LABEL.finditer(text)][-_LABELS:]:
        before = text[max(0, label.start() - 40) : label.start()]
        own = (before[-14:] + label[0]).rpartition("\n")[2]
        if _NOT.search(before) or _BYPRODUCT.search(own) or re.match(r"\s*\d", label["of"]):
            continue
        rest = text[label.end() : label.end() + LONGEST]
        line = rest.partition("\n")[0]
        if line.strip(" *_`:："):
            said = _head(line, label["mark"], several=several)
            if (
                several
                and (listed := rest[len(line) :]).startswith("\n")
                and re.match(r"\n\s*(?:[-•*+]|\d{1,2}[.)])\s", listed)
                and not set_of(line)
            ):
                said = _block(rest)
        else:
            said = _block(rest[len(line) + 1 :]) if several else _first_line(rest[len(line) + 1 :])
        places.append(_Place(said, label.start(), label.end()))
    return _main_ones(text, places) if len(places) > 1 else places


def _head(line: str, mark: str, *, several: bool) -> str:
    """Take what a label states out of the rest of its line: the sentence, and of code within it the first span."""
    spans = [span for span in re.findall(r"`([^`\n]+)`", line) if several and _is_marked(span)]
    if len(spans) > 1 and not re.search(r"\bwhere\b|:\s", line.split(spans[0], 1)[1]):
        return ".".join(spans)
    if code := re.search(r"`([^`\n]+)`", line):
        return code[1] if not line[: code.start()].strip(" *_") or mark not in ":：=" else line
    return re.split(
        r"[。；]|(?<=\S)\.\s|\.\*{0,2}$|,\s(?:which|where|i\.e\.|so|because)\b|\s[–—]\s", line, maxsplit=1
    )[0]


def _first_line(text: str) -> str:
    lines = (line for line in _FENCE.sub("\n", text[:LONGEST]).splitlines() if line.strip())
    return next(lines, "")


def _block(text: str) -> str:
    """Take the lines of a list or of a block of code; they end at an empty line after the first."""
    body = _FENCE.sub("\n", text[:LONGEST]).lstrip("\n ")
    return body.split("\n\n", 1)[0]


def _unmarked(text: str, side: Side, *, several: bool) -> str | None:
    """Read code spans, a reply that is nothing but the answer, or the tokens of prose that can only be SMILES."""
    spans = [
        _Place(next(filter(None, match.groups())).strip(), match.start(), match.end())
        for match in _CODE.finditer(text)
    ]
    read = partial(set_of, side=side) if several else partial(_one, side=side)
    marked = [
        place._replace(text=answer) for place in _main_ones(text, spans) if (answer := read(place.text))
    ]
    apart = [
        place
        for n, place in enumerate(marked)
        if not any(place.text in other.text != place.text for other in marked[:n])
    ]
    if apart:  # what is a piece of an earlier one explains it
        group = _last_group(text, apart, side) if several else apart[-1:]
        between = text[group[0].start : group[-1].end]
        arrow = side and _ARROW.search(between)
        return set_of(between, side) if arrow else ".".join(place.text for place in group)
    reply = _REMARK.sub("", text.strip()).strip()
    bare = _bare(_reaction(reply, side))
    if looks_like_smiles(bare) and bare.upper() not in _WORDS:
        return bare
    if several and (listed := set_of(reply, side)) and listed.upper() not in _WORDS:
        return listed
    last = text.rstrip().rpartition("\n")[2]
    if last.endswith(("?", "？")):
        return None
    prose = _REMARK.sub("", _plain(text))
    believed = [token for token in _tokens(prose) if can_only_be_smiles(token)]
    if not believed or (len(set(believed)) > 1 and _EITHER.search(prose[-LONGEST:])):
        return None
    return believed[-1]
