"""One benchmark per file: `BENCHMARK`, a table of variants and protocols. What lists show of all is `index.json`."""
