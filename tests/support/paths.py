"""Folders of a checkout."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
CASES = TESTS / "cases"
SAMPLES = ROOT / "suites" / "samples"
