"""Verifiable instructions such as a number of words, no comma or a title (IFEval, Zhou et al., arXiv 2311.07911).

There are two sets of rules for the 25 types of instruction. `OFFICIAL` implements lm-evaluation-harness 0.4.13
(`lm_eval/tasks/ifeval/instructions.py`, derived from google-research/instruction_following_eval) with its known defects:
a text whose language cannot be detected passes, `***bold italics***` count as two highlights, a Markdown link as a
placeholder, a keyword may be part of a longer word, and a postscript may be in mid-sentence. `CORRECTED` replaces the rules
whose verdicts a careful reader would reject. Both seed langdetect, whose results are random in upstream's code, and count the
stated sign in `keywords:letter_frequency`, where upstream replaces a sign such as `!` by a random letter.

Upstream's loose metrics try eight versions of a reply: whole, without its first line, its last, or both; each also without
asterisks. An empty reply follows no instruction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

from msgspec import Struct

from evals.errors import DataError, install_command
from evals.extract.visible import visible
from evals.report.metrics import mean_value
from evals.report.part_mean import PartMean
from evals.types import Metric, Point, Prompt, Reply, Sample, Score, Verdict

Arguments = Mapping[str, Any]
Rule = Callable[[str, Arguments], bool]
"""(reply, arguments of the instruction) -> whether the reply follows it."""
RELATIONS = {"less than": int.__lt__, "at least": int.__ge__}
SENTENCE_COUNT = "length_constraints:number_sentences"
_CONSTRAINED_RESPONSES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def _satisfies_relation(count: int, arguments: Arguments, relation_key: str, threshold_key: str) -> bool:
    return RELATIONS[arguments[relation_key]](count, int(arguments[threshold_key]))


def _detect_language(text: str) -> str:
    """Return the ISO 639-1 code of a text's language; empty if it cannot be detected."""
    import langdetect

    langdetect.DetectorFactory.seed = 0
    try:
        return str(langdetect.detect(text))
    except langdetect.LangDetectException:
        return ""


@lru_cache(1)
def _sentence_tokenizer() -> Any:
    from nltk.tokenize import PunktTokenizer

    return PunktTokenizer("english")


def _count_capital_words(text: str) -> int:
    """Return the number of words in capitals; splitting the text into sentences first would only affect full stops."""
    from nltk.tokenize import word_tokenize

    return sum(word.isupper() for word in word_tokenize(text, preserve_line=True))


def _has_required_paragraphs(text: str, arguments: Arguments) -> bool:
    has_text = [bool(paragraph.strip()) for paragraph in re.split(r"\s?\*\*\*\s?", text)]
    return all(has_text[1:-1]) and sum(has_text) == int(arguments["num_paragraphs"])


def _has_required_first_word(text: str, arguments: Arguments) -> bool:
    """Return whether the nth paragraph begins with the required word, and the number of paragraphs is as required."""
    paragraphs = text.split("\n\n")
    count, nth = sum(bool(paragraph.strip()) for paragraph in paragraphs), int(arguments["nth_paragraph"])
    if nth > count or not (words := paragraphs[nth - 1].split()):
        return False
    first_word = re.split(r"[.,?!'\"]", words[0].lstrip("'").lstrip('"'), maxsplit=1)[0].lower()
    return count == int(arguments["num_paragraphs"]) and first_word == str(arguments["first_word"]).lower()


def _count_highlights(text: str) -> int:
    single = (match.strip("*").strip() for match in re.findall(r"\*[^\n\*]*\*", text))
    double = (match[2:-2].strip() for match in re.findall(r"\*\*[^\n\*]*\*\*", text))
    return sum(map(bool, single)) + sum(map(bool, double))


def _has_sections(text: str, arguments: Arguments) -> bool:
    headings = re.findall(r"\s?" + str(arguments["section_spliter"]).strip() + r"\s?\d+\s?", text)
    return len(headings) >= int(arguments["num_sections"])


def _has_postscript(text: str, arguments: Arguments) -> bool:
    marker = str(arguments["postscript_marker"]).strip()
    marker_patterns = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return re.search(marker_patterns.get(marker, marker.lower()), text.lower()) is not None


def _is_json(text: str, arguments: Arguments) -> bool:
    inner = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        inner = inner.removeprefix(fence)
    try:
        json.loads(inner.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _has_two_responses(text: str, arguments: Arguments) -> bool:
    parts = [part.strip() for part in text.split("******")]
    responses = [part for part in parts if part]
    return all(parts[1:-1]) and len(responses) == 2 and responses[0] != responses[1]


def _has_letter_frequency(text: str, arguments: Arguments) -> bool:
    return _satisfies_relation(
        text.lower().count(str(arguments["letter"]).strip().lower()),
        arguments,
        "let_relation",
        "let_frequency",
    )


def _as_words(value: Any) -> list[str]:
    return [str(word) for word in value] if isinstance(value, list | tuple) else [str(value)]


def _count_matches(pattern: str, text: str) -> int:
    return len(re.findall(pattern, text, flags=re.IGNORECASE))


OFFICIAL: dict[str, Rule] = {
    "keywords:existence": lambda text, args: all(
        _count_matches(word, text) for word in _as_words(args["keywords"])
    ),
    "keywords:frequency": lambda text, args: _satisfies_relation(
        _count_matches(str(args["keyword"]).strip(), text), args, "relation", "frequency"
    ),
    "keywords:forbidden_words": lambda text, args: (
        not any(_count_matches(rf"\b{word}\b", text) for word in _as_words(args["forbidden_words"]))
    ),
    "keywords:letter_frequency": _has_letter_frequency,
    "language:response_language": lambda text, args: _detect_language(text) in ("", args["language"]),
    SENTENCE_COUNT: lambda text, args: _satisfies_relation(
        len(_sentence_tokenizer().tokenize(text)), args, "relation", "num_sentences"
    ),
    "length_constraints:number_paragraphs": _has_required_paragraphs,
    "length_constraints:number_words": lambda text, args: _satisfies_relation(
        len(re.findall(r"\w+", text)), args, "relation", "num_words"
    ),
    "length_constraints:nth_paragraph_first_word": _has_required_first_word,
    "detectable_content:number_placeholders": lambda text, args: (
        len(re.findall(r"\[.*?\]", text)) >= int(args["num_placeholders"])
    ),
    "detectable_content:postscript": _has_postscript,
    "detectable_format:number_bullet_lists": lambda text, args: (
        len(re.findall(r"^\s*\*[^\*].*$", text, re.MULTILINE))
        + len(re.findall(r"^\s*-.*$", text, re.MULTILINE))
        == int(args["num_bullets"])
    ),
    "detectable_format:constrained_response": lambda text, args: any(
        option in text for option in _CONSTRAINED_RESPONSES
    ),
    "detectable_format:number_highlighted_sections": lambda text, args: (
        _count_highlights(text) >= int(args["num_highlights"])
    ),
    "detectable_format:multiple_sections": _has_sections,
    "detectable_format:json_format": _is_json,
    "detectable_format:title": lambda text, args: any(
        title.lstrip("<").rstrip(">").strip() for title in re.findall(r"<<[^\n]+>>", text)
    ),
    "combination:two_responses": _has_two_responses,
    "combination:repeat_prompt": lambda text, args: (
        text.strip().lower().startswith(str(args["prompt_to_repeat"]).strip().lower())
    ),
    "startend:end_checker": lambda text, args: (
        text.strip().strip('"').lower().endswith(str(args["end_phrase"]).strip().lower())
    ),
    "change_case:capital_word_frequency": lambda text, args: _satisfies_relation(
        _count_capital_words(text), args, "capital_relation", "capital_frequency"
    ),
    "change_case:english_capital": lambda text, args: text.isupper() and _detect_language(text) in ("", "en"),
    "change_case:english_lowercase": lambda text, args: (
        text.islower() and _detect_language(text) in ("", "en")
    ),
    "punctuation:no_comma": lambda text, args: "," not in text,
    "startend:quotation": lambda text, args: (
        (stripped := text.strip())[:1] == stripped[-1:] == '"' and len(stripped) > 1
    ),
}
"""Instruction type -> upstream's rule, in which keywords, markers and section names are regular expressions."""


def _count_whole_word(word: str, text: str) -> int:
    return _count_matches(rf"(?<!\w){re.escape(word.strip())}(?!\w)", text)


def _is_quoted(text: str, arguments: Arguments) -> bool:
    stripped = text.strip()
    return len(stripped) > 1 and (stripped[0] + stripped[-1]) in ('""', "“”", "„“", "«»", "「」")


CORRECTED: dict[str, Rule] = OFFICIAL | {
    "keywords:existence": lambda text, args: all(
        _count_whole_word(word, text) for word in _as_words(args["keywords"])
    ),
    "keywords:frequency": lambda text, args: _satisfies_relation(
        _count_whole_word(str(args["keyword"]), text), args, "relation", "frequency"
    ),
    "keywords:forbidden_words": lambda text, args: (
        not any(_count_whole_word(word, text) for word in _as_words(args["forbidden_words"]))
    ),
    "language:response_language": lambda text, args: _detect_language(text) == args["language"],
    "detectable_content:number_placeholders": lambda text, args: (
        len(re.findall(r"\[[^\[\]\n]+\](?![(\[])", text)) >= int(args["num_placeholders"])
    ),
    "detectable_content:postscript": lambda text, args: any(
        line.lstrip("*_ ").lower().startswith(str(args["postscript_marker"]).strip().lower().rstrip("."))
        for line in text.splitlines()
    ),
    "detectable_format:number_bullet_lists": lambda text, args: (
        len(re.findall(r"^[ \t]*[*\-+•][ \t]+\S", text, re.MULTILINE)) == int(args["num_bullets"])
    ),
    "detectable_format:number_highlighted_sections": lambda text, args: (
        len(re.findall(r"(?<!\*)(\*{1,3})(?![\s*])[^\n*]*[^\s*]\1(?!\*)", text))
        >= int(args["num_highlights"])
    ),
    "change_case:english_capital": lambda text, args: (
        text.isupper() and _detect_language(text.lower()) == "en"
    ),
    "change_case:english_lowercase": lambda text, args: text.islower() and _detect_language(text) == "en",
    "punctuation:no_comma": lambda text, args: not re.search("[,，、]", text),
    "startend:quotation": _is_quoted,
}
"""Instruction type -> the rule with upstream's defects corrected."""
REQUIRED_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "keywords:existence": ("keywords",),
    "keywords:frequency": ("keyword", "frequency", "relation"),
    "keywords:forbidden_words": ("forbidden_words",),
    "keywords:letter_frequency": ("letter", "let_frequency", "let_relation"),
    "language:response_language": ("language",),
    SENTENCE_COUNT: ("num_sentences", "relation"),
    "length_constraints:number_paragraphs": ("num_paragraphs",),
    "length_constraints:number_words": ("num_words", "relation"),
    "length_constraints:nth_paragraph_first_word": ("num_paragraphs", "nth_paragraph", "first_word"),
    "detectable_content:number_placeholders": ("num_placeholders",),
    "detectable_content:postscript": ("postscript_marker",),
    "detectable_format:number_bullet_lists": ("num_bullets",),
    "detectable_format:number_highlighted_sections": ("num_highlights",),
    "detectable_format:multiple_sections": ("section_spliter", "num_sections"),
    "combination:repeat_prompt": ("prompt_to_repeat",),
    "startend:end_checker": ("end_phrase",),
    "change_case:capital_word_frequency": ("capital_frequency", "capital_relation"),
}
"""Instruction type -> the arguments that its rule requires, if any. Upstream replaces a missing one with a random value."""


def checked_arguments(instructions: Sequence[str], arguments: Sequence[Arguments]) -> list[dict[str, Any]]:
    """Return the non-empty arguments of each instruction; raises DataError for an instruction that cannot be checked."""
    if len(instructions) != len(arguments):
        raise DataError(
            f"the numbers of instructions ({len(instructions)}) and of sets of arguments ({len(arguments)}) differ"
        )
    checked = []
    for name, raw_arguments in zip(instructions, arguments, strict=True):
        if name not in OFFICIAL:
            raise DataError(f"no rule for the instruction {name!r}; known: {', '.join(sorted(OFFICIAL))}")
        non_empty = {key: value for key, value in raw_arguments.items() if value}
        for key in REQUIRED_ARGUMENTS.get(name, ()):
            if key not in non_empty:
                raise DataError(f"{name} lacks the argument {key!r}")
            if key.endswith("relation") and non_empty[key] not in RELATIONS:
                raise DataError(f"{name}: {key} is {non_empty[key]!r}, not one of {', '.join(RELATIONS)}")
        if name == SENTENCE_COUNT:
            _require_sentence_data()
        checked.append(non_empty)
    return checked


def loose_variants(text: str) -> Iterable[str]:
    """Yield the eight versions of a reply; an instruction counts as loosely followed if any of them follows it."""
    lines = text.split("\n")
    for version in (
        text,
        "\n".join(lines[1:]).strip(),
        "\n".join(lines[:-1]).strip(),
        "\n".join(lines[1:-1]).strip(),
    ):
        yield version
        yield version.replace("*", "")


class Instructions(Struct, frozen=True):
    """Scores 1 if a reply follows every instruction of its sample; `Sample.meta` contains `instructions` and `arguments`.

    Parts: the number of `instructions`, how many are `followed` and `followed_loose`, and `loose`, 1 if all are followed
    loosely.
    """

    rules: Literal["official", "mended"] = "official"
    """Set of rules: `mended`, the former name of `CORRECTED`, is kept because it occurs in run cards."""
    heavy: ClassVar[bool] = True

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        rules = OFFICIAL if self.rules == "official" else CORRECTED
        visible_text = visible(reply.text)
        text = visible_text.text.strip("\n") if visible_text.text.strip() else ""
        names, arguments = sample.meta["instructions"], sample.meta["arguments"]
        pairs = [(rules[name], rule_arguments) for name, rule_arguments in zip(names, arguments, strict=True)]
        strict = [bool(text.strip()) and rule(text, rule_arguments) for rule, rule_arguments in pairs]
        loose = [
            followed
            or any(version.strip() and rule(version, rule_arguments) for version in loose_variants(text))
            for followed, (rule, rule_arguments) in zip(strict, pairs, strict=True)
        ]
        missed = [name for name, followed in zip(names, strict, strict=True) if not followed]
        return Score(
            value=float(not missed),
            verdict=_verdict(reply, text, right=not missed, truncated=visible_text.truncated),
            answer=f"{sum(strict)} of {len(strict)}",
            why=f"not followed: {', '.join(missed)}" if missed else "",
            parts={
                "instructions": len(strict),
                "followed": sum(strict),
                "followed_loose": sum(loose),
                "loose": float(all(loose)),
            },
        )


def _verdict(reply: Reply, text: str, *, right: bool, truncated: bool) -> Verdict:
    if right:
        return "right"
    if reply.stop == "filter":
        return "refused"
    if truncated or reply.stop == "length":
        return "truncated"
    return "wrong" if text else "unanswered"


def missing_packages() -> str:
    """Return which packages are missing and how to install them; empty if both are installed."""
    missing = [name for name in ("langdetect", "nltk") if find_spec(name) is None]
    return f"ifeval needs {' and '.join(missing)}: {install_command('instructions')}" if missing else ""


def _require_sentence_data() -> None:
    from nltk.data import find

    try:
        find("tokenizers/punkt_tab/english")
    except LookupError:
        raise DataError(
            f"{SENTENCE_COUNT} needs nltk's sentence data: `python -m nltk.downloader punkt_tab`, or NLTK_DATA=FOLDER"
        ) from None


class FollowedShare(Struct, frozen=True):
    """The share of the instructions of all samples that are followed."""

    part: str
    """Score part with the number of followed instructions."""

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the share; raises ValueError if there are no instructions."""
        total = sum(point.parts.get("instructions", 0.0) for point in points)
        if not total:
            raise ValueError("there are no instructions")
        return sum(point.parts.get(self.part, 0.0) for point in points) / total


METRICS = (
    Metric(name="prompt_strict", of=mean_value, headline=True),
    Metric(name="instruction_strict", of=FollowedShare("followed"), pool="whole"),
    Metric(name="prompt_loose", of=PartMean("loose", absent=0.0)),
    Metric(name="instruction_loose", of=FollowedShare("followed_loose"), pool="whole"),
)
