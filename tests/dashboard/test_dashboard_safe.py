"""Foreign text as Markdown: it shows as it stands, whatever it is; of formulas only mathematics is set."""

from __future__ import annotations

import html
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from evals.dashboard.foreign import formulas
from evals.dashboard.foreign import text as safe
from tests.support.hostile import ATTACKS
from tests.support.tables import table

PLAIN = {"paragraph_open", "paragraph_close", "inline", "text", "hardbreak"}


def kinds(markdown: str) -> set[str]:
    """What a Markdown parser makes of a text, with everything switched on."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    return {token.type for block in tokens for token in (block, *(block.children or ()))}


def read_back(markdown: str) -> str:
    return html.unescape(markdown).replace(safe.JOINER, "").replace("\u00a0", " ")


@table("text", ATTACKS.values(), ids=ATTACKS)
def test_no_attack_is_more_than_text(text: str) -> None:
    found = safe.markdown(text)
    assert kinds(found) <= PLAIN
    assert "$" not in found
    assert not re.search(r"https?:|www\.|:\w+:|@", found)
    assert kinds(safe.label(text)) <= PLAIN
    assert (
        kinds(safe.lines_to_markdown([[(line, True), (line, False)] for line in text.split("\n")], "orange"))
        <= PLAIN
    )


@given(st.text())
def test_any_text_shows_as_it_stands(text: str) -> None:
    seen = safe.literal(text.replace("\n", ""))
    assert read_back(seen) == read_back(safe.visible(text.replace("\n", "")))
    assert not set(seen) & set("<>[]()*_`~|$\\:@{}!\"'")


@given(st.text(alphabet="ab $\\[]()`#-*\n<>!:0123456789|&\t"))
def test_only_text_and_formulas_come_of_any_text(text: str) -> None:
    found = safe.markdown(text)
    without = re.sub(r"\$\$\n[^$]*\n\$\$|\$[^$]*\$", "", found)
    assert kinds(without) <= PLAIN


def test_lines_indents_and_empty_lines_stay() -> None:
    assert read_back(safe.markdown("a\n  b\n\n\nc")) == "a\\\n  b\n\nc"


def test_no_break_is_left_at_the_end() -> None:
    for end in ("\n", "\n ", " \n\n", "\u00a0"):
        assert safe.markdown(f"a{end}") == "a"
        assert safe.lines_to_markdown([[(line, False)] for line in f"a{end}".split("\n")], "orange") == "a"


@pytest.mark.parametrize(
    ("text", "shown"),
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
def test_formulas_are_set_where_they_are_formulas(text: str, shown: str) -> None:
    assert re.sub(r"\n{2,}", "\n\n", safe.markdown(text)).strip("\n") == shown


@table(
    "formula",
    [
        r"\href{x}{y}", r"\includegraphics{x}", r"\url{x}", r"\htmlId{a}{b}", r"\rule{1em}{1em}", r"\def\a{b}", r"\a",
        r"\raisebox{1em}{x}", r"\hspace{1em}", r"\kern1em", r"\color{red}x", r"\fcolorbox{red}{blue}{x}", r"\llap{x}",
        r"x\\[99em]y", r"x\\ [99em]y", r"\begin{CD}A\end{CD}", r"\begin{ align}\end{align}", r"\begin  {x}", "{", "}{", r"\left(",
        "x % y", "a#b", "\\", "a\x00b", "a\u202eb", "{" * 25 + "}" * 25, "x" * 1501, "", r"\char`a", r"\let\frac\href",
    ],
)  # fmt: skip
def test_a_formula_that_does_more_than_mathematics_is_text(formula: str) -> None:
    assert formulas.safe_latex(formula) is None


@pytest.mark.parametrize(
    "formula",
    [
        r"\frac{1}{2}\,\mathrm{kg\,m^{-3}}", r"\left\{ x \mid x > 0 \right\}", r"\sqrt[3]{x}_{\text{max}}", "a < b & c",
        r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"50\%\text{ of }x", r"\Delta_\mathrm{r}H^\circ",
    ],
)  # fmt: skip
def test_mathematics_is_set(formula: str) -> None:
    assert formulas.safe_latex(formula) == formula


def test_what_cannot_be_seen_is_made_visible() -> None:
    assert (
        safe.visible("a\u202eb\x1b\x9b\u200b\ufeff\ud800\U000e0041")
        == "a⟨U+202E⟩b⟨U+001B⟩⟨U+009B⟩⟨U+200B⟩⟨U+FEFF⟩⟨U+D800⟩⟨U+E0041⟩"
    )
    assert safe.visible("é 中 \u00a0\n\tx") == "é 中  \n\tx"


def test_five_megabytes_are_cut_at_once_and_say_so() -> None:
    text = "0123456789" * 500_000
    began = time.process_time()
    shown, left_out, _ = safe.shorten(text)
    markdown = safe.markdown(shown)
    assert time.process_time() - began < 1
    assert left_out == 5_000_000 - safe.MAX_CHARS
    assert f"{left_out:,} characters omitted" in read_back(markdown)
    assert shown.startswith("0123456789")
    assert shown.endswith("0123456789")


@pytest.mark.parametrize(
    ("text", "read", "shown"),
    [
        ("It is B.", "B", "It is :blue-background[B]."),
        ("a\r\nIt is\r\nB", "is\r\nB", "a\\\nIt :blue-background[is]\\\n:blue-background[B]"),
        ("So $x = 2$.", "2", "So :blue-background[$x = 2$]."),
        ("So $$x = 2$$", "2", "So :blue-background[$\\displaystyle x = 2$]"),
        ("](x) :red[B]", ":red[B]", "](x) :blue-background[:red[B]]"),
    ],
)
def test_what_was_read_is_marked(text: str, read: str, shown: str) -> None:
    start = text.index(read)
    assert read_back(safe.markdown(text, mark=(start, start + len(read)))) == shown


@given(st.text(alphabet="ab $\\[]()`#-*\n\r<>!:0123456789|&\t"), st.integers(0, 40), st.integers(0, 40))
def test_a_mark_lets_nothing_through(text: str, start: int, length: int) -> None:
    found = (
        safe.markdown(text, mark=(start, start + length)).replace(":blue-background[", "").replace("]", "")
    )
    without = re.sub(r"\$\$\n[^$]*\n\$\$|\$[^$]*\$", "", found)
    assert kinds(without) <= PLAIN


def test_a_mark_moves_with_a_text_that_is_cut() -> None:
    text = "x" * 30_000 + " ANSWER: B"
    short = safe.shorten(text, mark=(len(text) - 1, len(text)))
    assert short.mark is not None
    assert short.text[slice(*short.mark)] == "B"
    assert safe.shorten(text, mark=(20_000, 20_001)).mark is None
    near = safe.excerpt(text, (len(text) - 1, len(text)))
    assert near.mark is not None
    assert near.text[slice(*near.mark)] == "B"
    assert len(near.text) < 400


def test_formulas_are_counted_and_a_text_full_of_dollars_is_quick() -> None:
    assert sum(bool(piece.mode) for piece in formulas.split_formulas("$x$ " * 1000)) == formulas.MAX_FORMULAS
    began = time.process_time()
    safe.markdown("$ x" * 8_000)
    safe.markdown("\\[" * 12_000)
    safe.markdown("$$" + "x" * 24_000)
    assert time.process_time() - began < 2


def test_a_label_is_one_short_line() -> None:
    assert read_back(safe.label("a\n b\t" + "x" * 500)) == "a b " + "x" * 115 + "…"
