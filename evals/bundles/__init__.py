"""Bundles: pack a run into one file, and verify it."""
