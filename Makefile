# Two commands do everything on a fresh machine, virtual environment included: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

OUTCOMES := .coordspec/outcomes.json
TESTED := pyproject.toml $(shell find src cli contracts openspec tests -type f -not -path '*/__pycache__/*')

.PHONY: demo demo-quick test lint gate docs bench nightly nightly-lowest nightly-newest nightly-pythons flaky clean

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

# The tests on the lower bounds of pyproject.toml, and on the newest of everything but torch: a plain newest torch is a
# CUDA build of several GB. Each in an environment of its own; the newest one is made anew every time.
nightly-lowest: node_modules/.ready
	$(MAKE) .venv-lowest/.lowest VENV=.venv-lowest
	.venv-lowest/bin/python -m pytest -n auto

nightly-newest: node_modules/.ready
	rm -rf .venv-newest
	$(MAKE) .venv-newest/.newest VENV=.venv-newest
	.venv-newest/bin/python -m pytest -n auto

# The tests that train nothing, on the other versions of Python; `make test PYTHON=python3.12 VENV=.venv-3.12` runs all,
# with whatever torch the index has for that Python. CI is unset: what needs torch is skipped here, which CI forbids.
PYTHONS ?= python3.12 python3.13
nightly-pythons: node_modules/.ready
	set -e; for python in $(PYTHONS); do \
	  $(MAKE) .venv-$$python/.test VENV=.venv-$$python PYTHON=$$python; \
	  env -u CI .venv-$$python/bin/python -m pytest -n auto; \
	done

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

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.lowest: pyproject.toml constraints-lowest.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e '.[dev]'
	@touch $@

$(VENV)/.newest: pyproject.toml constraints.txt | $(BIN)/python
	grep '^torch==' constraints.txt > $(VENV)/torch.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(VENV)/torch.txt -e '.[dev]'
	@touch $@

# The OpenSpec command line that package.json pins, for the tests and the gate.
node_modules/.ready: package.json package-lock.json
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' \
	  && npm --version > /dev/null \
	  || { echo 'the specs are checked with OpenSpec, which needs Node.js 20.19 or later and npm: https://nodejs.org' >&2; exit 1; }
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

clean:
	rm -rf $(VENV) .venv-lowest .venv-newest .venv-python3.* node_modules .coordspec build dist demo-out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
