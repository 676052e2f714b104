"""Runs on disk: the store, its file formats, the card."""
