"""Untrusted text as Markdown: any text is shown literally, and only harmless formulas are typeset."""

from __future__ import annotations

import html
import re
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from evals.dashboard.untrusted import formulas
from evals.dashboard.untrusted import text as untrusted_text
from tests.support.cpu_time import assert_cpu_time
from tests.support.hostile import ATTACKS
from tests.support.tables import table

PLAIN_TOKENS = {"paragraph_open", "paragraph_close", "inline", "text", "hardbreak"}


def token_types(markdown: str) -> set[str]:
    """Return the types of tokens that a CommonMark parser with HTML, tables and strikethrough finds in a text."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    return {token.type for block in tokens for token in (block, *(block.children or ()))}


def rendered_text(markdown: str) -> str:
    return html.unescape(markdown).replace(untrusted_text.JOINER, "").replace("\u00a0", " ")


@table("text", ATTACKS.values(), ids=ATTACKS)
def test_attacks_become_plain_text(text: str) -> None:
    markdown = untrusted_text.markdown(text)
    assert token_types(markdown) <= PLAIN_TOKENS
    assert "$" not in markdown
    assert not re.search(r"https?:|www\.|:\w+:|@", markdown)
    assert token_types(untrusted_text.label(text)) <= PLAIN_TOKENS
    assert (
        token_types(
            untrusted_text.lines_to_markdown(
                [[(line, True), (line, False)] for line in text.split("\n")], "orange"
            )
        )
        <= PLAIN_TOKENS
    )


@given(st.text())
def test_any_text_is_shown_literally(text: str) -> None:
    markdown = untrusted_text.literal(text.replace("\n", ""))
    assert rendered_text(markdown) == rendered_text(
        untrusted_text.visible(text.replace("\n", "").expandtabs(4))
    )
    assert not set(markdown) & set("<>[]()*_`~|$\\:@{}!\"'")


@given(st.text(alphabet="ab $\\[]()`#-*\n<>!:0123456789|&\t"))
def test_any_text_becomes_plain_text_and_formulas(text: str) -> None:
    markdown = untrusted_text.markdown(text)
    without_formulas = re.sub(r"\$\$\n[^$]*\n\$\$|\$[^$]*\$", "", markdown)
    assert token_types(without_formulas) <= PLAIN_TOKENS


def test_lines_indentation_and_blank_lines_are_kept() -> None:
    assert rendered_text(untrusted_text.markdown("a\n  b\n\n\nc")) == "a\\\n  b\n\nc"


def test_trailing_line_breaks_are_removed() -> None:
    for ending in ("\n", "\n ", " \n\n", "\u00a0"):
        assert untrusted_text.markdown(f"a{ending}") == "a"
        assert (
            untrusted_text.lines_to_markdown([[(line, False)] for line in f"a{ending}".split("\n")], "orange")
            == "a"
        )


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("It is $x^2$.", "It is $x^2$&#46;"),
        (r"It is \(x^2\)\nor", r"It is $x^2$&#92;nor"),
        (r"so \[ \frac{a}{b} \] holds", "so\n\n$$\n\\frac{a}{b}\n$$\n\nholds"),
        ("$$\na\n+ b\n$$", "$$\na + b\n$$"),
        (
            r"$$\begin{align*}a&=b\\c&=d\end{align*}$$",
            "$$\n" + r"\begin{aligned}a&=b\\c&=d\end{aligned}" + "\n$$",
        ),
        ("$a$\nb", "$a$\\\nb"),
        ("costs $5 and $10", "costs &#36;5 and &#36;10"),
        (r"100\% of $x$", "100&#92;&#37; of $x$"),
    ],
)
def test_formulas_are_typeset_and_other_dollar_signs_are_escaped(text: str, markdown: str) -> None:
    assert re.sub(r"\n{2,}", "\n\n", untrusted_text.markdown(text)).strip("\n") == markdown


@table(
    "formula",
    [
        r"\href{x}{y}", r"\includegraphics{x}", r"\url{x}", r"\htmlId{a}{b}", r"\rule{1em}{1em}", r"\def\a{b}", r"\a",
        r"\raisebox{1em}{x}", r"\hspace{1em}", r"\kern1em", r"\color{red}x", r"\fcolorbox{red}{blue}{x}", r"\llap{x}",
        r"x\\[99em]y", r"x\\ [99em]y", r"\begin{CD}A\end{CD}", r"\begin{ align}\end{align}", r"\begin  {x}", "{", "}{", r"\left(",
        "x % y", "a#b", "\\", "a\x00b", "a\u202eb", "{" * 25 + "}" * 25, "x" * 1501, "", r"\char`a", r"\let\frac\href",
    ],
)  # fmt: skip
def test_formulas_that_are_not_plain_mathematics_are_rejected(formula: str) -> None:
    assert formulas.safe_latex(formula) is None


@pytest.mark.parametrize(
    "formula",
    [
        r"\frac{1}{2}\,\mathrm{kg\,m^{-3}}", r"\left\{ x \mid x > 0 \right\}", r"\sqrt[3]{x}_{\text{max}}", "a < b & c",
        r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"50\%\text{ of }x", r"\Delta_\mathrm{r}H^\circ",
    ],
)  # fmt: skip
def test_mathematical_formulas_are_typeset_unchanged(formula: str) -> None:
    assert formulas.safe_latex(formula) == formula


def test_invisible_characters_are_shown_as_code_points() -> None:
    assert (
        untrusted_text.visible("a\u202eb\x1b\x9b\u200b\ufeff\ud800\U000e0041")
        == "a⟨U+202E⟩b⟨U+001B⟩⟨U+009B⟩⟨U+200B⟩⟨U+FEFF⟩⟨U+D800⟩⟨U+E0041⟩"
    )
    assert untrusted_text.visible("é 中 \u00a0\n\tx") == "é 中  \n\tx"


def test_five_megabytes_are_shortened_within_a_second_with_a_note() -> None:
    text = "0123456789" * 500_000
    shortened, omitted, _ = assert_cpu_time(0.5, lambda: untrusted_text.shorten(text))
    markdown = assert_cpu_time(0.5, lambda: untrusted_text.markdown(shortened))
    assert omitted == 5_000_000 - untrusted_text.MAX_CHARS
    assert f"{omitted:,} characters omitted" in rendered_text(markdown)
    assert shortened.startswith("0123456789")
    assert shortened.endswith("0123456789")


@pytest.mark.parametrize(
    ("text", "answer", "highlighted"),
    [
        ("It is B.", "B", "It is :blue-background[B]."),
        ("a\r\nIt is\r\nB", "is\r\nB", "a\\\nIt :blue-background[is]\\\n:blue-background[B]"),
        ("So $x = 2$.", "2", "So :blue-background[$x = 2$]."),
        ("So $$x = 2$$", "2", "So :blue-background[$\\displaystyle x = 2$]"),
        ("](x) :red[B]", ":red[B]", "](x) :blue-background[:red[B]]"),
        ("A:\n\tB", "\tB", "A:\\\n:blue-background[    B]"),
    ],
)
def test_the_extracted_answer_is_highlighted(text: str, answer: str, highlighted: str) -> None:
    start = text.index(answer)
    assert rendered_text(untrusted_text.markdown(text, mark=(start, start + len(answer)))) == highlighted


@given(st.text(alphabet="ab $\\[]()`#-*\n\r<>!:0123456789|&\t"), st.integers(0, 40), st.integers(0, 40))
@example("\t0", 0, 1)
def test_highlighting_lets_no_markup_through(text: str, start: int, length: int) -> None:
    markdown = (
        untrusted_text.markdown(text, mark=(start, start + length))
        .replace(":blue-background[", "")
        .replace("]", "")
    )
    without_formulas = re.sub(r"\$\$\n[^$]*\n\$\$|\$[^$]*\$", "", markdown)
    assert token_types(without_formulas) <= PLAIN_TOKENS


def test_the_highlight_moves_with_a_shortened_text() -> None:
    text = "x" * 30_000 + " ANSWER: B"
    shortened = untrusted_text.shorten(text, mark=(len(text) - 1, len(text)))
    assert shortened.mark is not None
    assert shortened.text[slice(*shortened.mark)] == "B"
    assert untrusted_text.shorten(text, mark=(20_000, 20_001)).mark is None
    excerpt = untrusted_text.excerpt(text, (len(text) - 1, len(text)))
    assert excerpt.mark is not None
    assert excerpt.text[slice(*excerpt.mark)] == "B"
    assert len(excerpt.text) < 400


def test_the_number_of_formulas_is_limited_and_many_dollar_signs_take_little_time() -> None:
    assert sum(bool(piece.mode) for piece in formulas.split_formulas("$x$ " * 1000)) == formulas.MAX_FORMULAS
    for text in ("$ x" * 8_000, "\\[" * 12_000, "$$" + "x" * 24_000):
        assert_cpu_time(0.7, partial(untrusted_text.markdown, text))


def test_a_label_is_one_short_line() -> None:
    assert rendered_text(untrusted_text.label("a\n b\t" + "x" * 500)) == "a b " + "x" * 115 + "…"
