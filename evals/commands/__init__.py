"""The commands, a file per group; `evals/cli.py` lists them."""
