# Two commands do everything on a fresh machine, virtual environment included: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint docs bench nightly clean

demo: $(VENV)/.base
	$(BIN)/python tools/demo.py demo-out

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m "not nightly"

nightly: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m nightly

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
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

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.base

clean:
	rm -rf $(VENV) build dist demo-out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
