"""Small numbers spelled out."""

from __future__ import annotations

WORDS = {
    name: float(value)
    for value, name in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
} | {"none": 0.0, "thirty": 30.0, "forty": 40.0, "fifty": 50.0, "hundred": 100.0}
"""In small letters."""
