"""Generators and checkers that developers run: `python -m tools.NAME`."""
