"""One benchmark per file: `BENCHMARK`, a table of variants and protocols. `index.json` is what `evals list suites` reads."""
