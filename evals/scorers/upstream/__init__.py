"""Scoring rules of other harnesses and of the benchmarks' authors, as published, with their known defects."""
