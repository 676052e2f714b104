"""Scoring rules of other harnesses and of the benchmarks' authors, as published, defects included and named."""
