# Two commands do everything on a fresh machine, virtual environment included: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

OUTCOMES := .coordspec/outcomes.json
TESTED := pyproject.toml $(shell find src cli contracts openspec tests -type f -not -path '*/__pycache__/*')

.PHONY: demo demo-quick test lint gate docs bench nightly flaky clean

demo: $(VENV)/.train
	$(BIN)/python tools/demo.py

# The demo's first act, which trains nothing: the base install is enough.
demo-quick: $(VENV)/.base
	$(BIN)/python tools/demo.py --quick

test: $(VENV)/.dev node_modules/.ready
	$(BIN)/python -m pytest -n auto
	$(BIN)/coordspec gate

# The gate alone. The tests are run first if anything is newer than the outcomes of their last run.
gate: $(OUTCOMES) | $(VENV)/.dev node_modules/.ready
	$(BIN)/coordspec gate

$(OUTCOMES): $(TESTED) | $(VENV)/.dev node_modules/.ready
	$(BIN)/python -m pytest -n auto

nightly: $(VENV)/.dev node_modules/.ready
	$(BIN)/python -m pytest -n auto -m nightly

# Tests of pages, terminals and signals, ten times: on a busy machine and in odd surroundings. Hours on a small machine.
ROUNDS ?= 10
flaky: $(VENV)/.dev node_modules/.ready
	$(BIN)/python tools/flaky.py --rounds $(ROUNDS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_page_tests.py
	$(BIN)/python tools/generate_docs.py --check

docs: $(VENV)/.dev
	$(BIN)/python tools/generate_docs.py

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/bench_validate.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("coordspec needs Python 3.11 or later; set PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.train: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[eval,train]'
	@touch $@ $(VENV)/.base

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.train $(VENV)/.base

# The OpenSpec command line that package.json pins, for the tests and the gate.
node_modules/.ready: package.json package-lock.json
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' \
	  && npm --version > /dev/null \
	  || { echo 'the specs are checked with OpenSpec, which needs Node.js 20.19 or later and npm: https://nodejs.org' >&2; exit 1; }
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

clean:
	rm -rf $(VENV) node_modules .coordspec build dist demo-out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
