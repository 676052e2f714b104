"""Altair figures of tables. Nothing here reads files or draws on a page."""
