"""Statements about several runs: comparisons, ranks, gates and their plans, repeatability, published numbers."""
