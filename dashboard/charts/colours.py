"""Colours of all pages, for light and dark themes; colour-blind readers can distinguish them."""

from __future__ import annotations

from collections.abc import Sequence

LIGHT = ("#0072b2", "#d55e00", "#008e66", "#b0518d", "#a67c00", "#2f8fc4", "#5c5c5c", "#7a4dbf")
DARK = ("#56b4e9", "#f08a3c", "#2fbf95", "#e08fc4", "#e8c13a", "#a9cdf0", "#b5b5b5", "#b79aee")
"""Okabe and Ito's eight colours, adjusted to a contrast of 3:1 with the background, as in `theme.toml`."""

WRONG_LIGHT = ("#f3b183", "#e99557", "#de7c30", "#b04b00", "#f7c9a9", "#c96a1f", "#8f3d00")
WRONG_DARK = ("#8a4a17", "#a85c20", "#c76f2b", "#ffb67d", "#6e3a10", "#e0914f", "#ffd0a8")
"""Shades of one colour for the kinds of wrong answers."""

VERDICT_ORDER = ("right", "graded", "wrong", "invalid", "unanswered", "refused", "truncated", "failed")
"""Order of verdicts in figures, from best to worst."""


def palette(*, dark: bool) -> tuple[str, ...]:
    """Return the colours for categories."""
    return DARK if dark else LIGHT


def verdict_colours(*, dark: bool) -> dict[str, str]:
    """Return the colour of each verdict."""
    blue, orange, green, pink, yellow, sky, grey, violet = palette(dark=dark)
    return dict(zip(VERDICT_ORDER, (green, sky, orange, pink, yellow, violet, blue, grey), strict=True))


def ink(*, dark: bool) -> str:
    """Return the colour of lines and text."""
    return "#e6eaf0" if dark else "#1c2330"


def outcome_colours(outcomes: Sequence[str], *, dark: bool) -> dict[str, str]:
    """Return the colour of each outcome; kinds of wrong answers are shades of one colour."""
    by_verdict = verdict_colours(dark=dark)
    shades = iter(WRONG_DARK if dark else WRONG_LIGHT)
    fixed = {"infrastructure": by_verdict["failed"], "absent": "#4a5260" if dark else "#c9ced6"}
    return {
        outcome: fixed.get(outcome) or (next(shades) if outcome.startswith("wrong:") else by_verdict[outcome])
        for outcome in outcomes
    }
