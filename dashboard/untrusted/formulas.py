r"""Find the formulas in untrusted text that are safe to typeset: all their commands are known to be harmless.

>>> [piece.mode for piece in split_formulas(r"So $E = mc^2$ and $\href{http://evil.example}{x}$.")]
['', 'inline', '']

In KaTeX, which typesets formulas, a formula could cover the page (`\rule`, `\raisebox`), load a URL (`\href`,
`\includegraphics`), set an element's id (`\htmlId`) or take a long time (`\def`). Therefore only the commands and
environments listed below are allowed. Formulas with other commands or unbalanced braces are shown as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_FORMULA_CHARS = 1_500
"""Maximum length of a formula."""
MAX_FORMULAS = 300
"""Maximum number of typeset formulas per text; each takes the browser about a millisecond."""
MAX_DEPTH = 24
"""Maximum nesting of braces."""


class Piece(NamedTuple):
    """A piece of text."""

    text: str
    mode: str
    """`inline` or `display` for a formula to typeset; empty for text."""
    start: int = 0
    """Start in the source, with the delimiters of a formula."""
    end: int = 0


_FORMULA = re.compile(
    r"""\$\$(?P<d1>[^$`]{1,1500}?)\$\$
    |\\\[(?P<d2>[^$`]{1,1500}?)\\\]
    |\\\((?P<i1>[^$`\n]{1,1500}?)\\\)
    |(?<![\\$\w])\$(?P<i2>[^\s$`](?:[^$`\n]{0,1500}?[^\s$`\\])?)\$(?![\d$])""",
    re.VERBOSE,
)
"""A formula in TeX delimiters. A single dollar sign opens one only if no space follows it, and closes one only if no space
precedes it and no digit follows it, as in Pandoc.
"""


def split_formulas(text: str) -> Iterator[Piece]:
    """Yield the formulas in a text that are safe to typeset, and the text between them."""
    end = count = 0
    for match in _FORMULA.finditer(text):
        group, body = next((name, value) for name, value in match.groupdict().items() if value)
        formula = safe_latex(body)
        if formula is None or count >= MAX_FORMULAS:
            continue
        count += 1
        yield Piece(text[end : match.start()], "", end, match.start())
        yield Piece(formula, "display" if group.startswith("d") else "inline", *match.span())
        end = match.end()
    yield Piece(text[end:], "", end, len(text))


def safe_latex(formula: str) -> str | None:
    r"""Return a formula on one line if it is safe to typeset, else None.

    >>> safe_latex(r"\frac{1}{2}\, x^2"), safe_latex(r"\rule{9em}{9em}")
    ('\\frac{1}{2}\\, x^2', None)
    """
    line = " ".join(formula.split())
    tokens = re.findall(r"\\(?:[A-Za-z]+\*?|.)?|.", line)
    if not 0 < len(line) <= MAX_FORMULA_CHARS or not line.isprintable() or not _is_balanced(tokens):
        return None
    if set(tokens) & {"$", "`", "%", "#"}:  # would end the formula, or hide the rest of it
        return None
    if any(token[0] == "\\" and token[1:] not in COMMANDS for token in tokens):
        return None
    if re.search(r"\\\\\s*\[", line):  # row spacing of any size
        return None
    names = re.findall(r"\\(?:begin|end)\{([^{}]*)\}", line)
    if len(names) != tokens.count(r"\begin") + tokens.count(r"\end") or not set(names) <= ENVIRONMENTS:
        return None
    return re.sub(r"\{(?:align|gather|equation)\*?\}", "{aligned}", line)


def _is_balanced(tokens: list[str]) -> bool:
    depth = 0
    for token in tokens:
        depth += {"{": 1, "}": -1}.get(token, 0)
        if not 0 <= depth <= MAX_DEPTH:
            return False
    return depth == 0 and tokens.count(r"\left") == tokens.count(r"\right")


_ENVIRONMENTS = """
    matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix cases rcases aligned gathered split array
    align align* gather gather* equation equation*
"""
_COMMANDS = """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa varkappa lambda mu nu xi omicron pi
    varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi omega digamma Gamma Delta Theta Lambda Xi Pi Sigma
    Upsilon Phi Psi Omega aleph beth hbar hslash ell wp Re Im imath jmath partial nabla infty eth angle measuredangle
    degree circ prime backprime emptyset varnothing forall exists nexists neg lnot top bot complement
    frac dfrac tfrac cfrac sqrt binom dbinom tbinom over choose atop overline underline overbrace underbrace overset
    underset stackrel widehat widetilde overrightarrow overleftarrow hat tilde bar vec dot ddot dddot acute grave breve
    check mathring cancel bcancel xcancel boxed not
    sum prod coprod int iint iiint oint bigcup bigcap bigvee bigwedge bigoplus bigotimes biguplus bigsqcup limits nolimits
    lim limsup liminf max min sup inf arg det dim exp gcd hom ker ln lg log Pr sin cos tan cot sec csc sinh cosh tanh coth
    arcsin arccos arctan deg mod bmod pmod pod operatorname operatorname*
    times div cdot cdots ldots dots dotsc dotsb dotsm dotsi vdots ddots pm mp ast star bullet oplus ominus otimes oslash
    odot dagger ddagger amalg wr setminus smallsetminus cup cap uplus sqcup sqcap vee wedge lor land triangle
    triangleleft triangleright bigtriangleup bigtriangledown diamond Diamond Box square blacksquare checkmark
    leq le leqslant geq ge geqslant neq ne ll gg lll ggg lesssim gtrsim prec succ preceq succeq sim simeq approx approxeq
    cong equiv doteq propto asymp perp parallel mid nmid nparallel in notin ni subset supset subseteq supseteq subsetneq
    supsetneq sqsubset sqsupset sqsubseteq sqsupseteq vdash dashv models vDash therefore because colon lt gt
    to gets rightarrow leftarrow leftrightarrow Rightarrow Leftarrow Leftrightarrow longrightarrow longleftarrow
    longleftrightarrow Longrightarrow Longleftarrow Longleftrightarrow implies impliedby iff mapsto longmapsto uparrow
    downarrow updownarrow Uparrow Downarrow nearrow searrow swarrow nwarrow hookrightarrow hookleftarrow
    rightharpoonup rightharpoondown leftharpoonup leftharpoondown rightleftharpoons leftrightharpoons xrightarrow
    xleftarrow xrightleftharpoons
    left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr lfloor rfloor lceil rceil langle
    rangle lvert rvert lVert rVert vert Vert lbrace rbrace lbrack rbrack backslash
    text textbf textit textrm textsf texttt textnormal mathrm mathbf mathit mathsf mathtt mathbb mathcal mathfrak mathscr
    boldsymbol bm bf it rm mathnormal displaystyle textstyle scriptstyle pmb
    quad qquad enspace thinspace begin end hline nonumber notag substack
"""
ENVIRONMENTS = frozenset(_ENVIRONMENTS.split())
COMMANDS = frozenset(_COMMANDS.split()) | frozenset("\\,;:!|{}_%&#>' SP")
"""Permitted KaTeX commands, without the backslash; they take no length, URL or name."""
