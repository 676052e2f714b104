"""Comparisons, ranks, gates and their plans, repeatability reports, and checks of published numbers."""
