# make demo: from a fresh checkout to a trained network, offline. make test: the whole suite.
# Needs nothing but Python 3.11 or newer and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AUDIT := .venv-audit
JOBS ?= 2

SAMPLE ?= 1000
SEED ?= 0

.PHONY: demo test coverage mutants check audit format docs schemas results clean help

help:
	@echo "make demo     install into .venv and train the built-in default"
	@echo "make test     the whole suite        make check    lint, format, types and imports"
	@echo "make audit    asks PyPI for known vulnerabilities of what is installed (needs the network)"
	@echo "make coverage the suite again, with the branches that it runs, by package"
	@echo "make mutants  puts $(SAMPLE) faults into the code, one at a time, and says which the tests see"
	@echo "              MODULE=data/cache: all faults of one module, MODULE=all: of all; SAMPLE=2000 SEED=1"
	@echo "make schemas  writes docs/schemas: the JSON schema of each command's --json"
	@echo "make docs     write docs/cli.md and the stubs of the Python functions from the options"
	@echo "make results  run the experiments of docs/results.md (needs NNKIT_DATA; takes long)"

# Each stamp is newer than pyproject.toml when the environment holds what it asks for.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/nnkit train

# One thread per worker: two workers with two threads each would fight over two cores.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not serial" --durations 15
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m serial

# Subprocesses and workers each write a file of their own; combined, they are the coverage of the suite.
# Tests that take times may fail where every branch is counted: make test says whether they pass.
coverage: $(VENV)/.installed-dev
	rm -f .coverage .coverage.*
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -n $(JOBS) --dist loadfile -m "not serial"
	-OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -m serial
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage json --quiet
	PYTHONPATH=tests $(BIN)/python -m mutation coverage

# What was tried is kept in mutants/: the same command goes on where it was stopped.
mutants: $(VENV)/.installed-dev
	PYTHONPATH=tests $(BIN)/python -m mutation \
		$(if $(MODULE),module $(MODULE),sample --size $(SAMPLE) --seed $(SEED)) --jobs $(JOBS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# pip-audit in an environment of its own, made when it is asked for: not in .venv, not in CI.
$(AUDIT)/bin/pip-audit:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet pip-audit

audit: $(VENV)/.installed-dev $(AUDIT)/bin/pip-audit
	PIPAPI_PYTHON_LOCATION=$(BIN)/python $(AUDIT)/bin/pip-audit --local --skip-editable

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schemas: $(VENV)/.installed
	$(BIN)/python -m nnkit.results.schemas docs/schemas

docs: $(VENV)/.installed
	$(BIN)/python docs/write_cli.py
	$(BIN)/python docs/write_stubs.py

results: $(VENV)/.installed
	for file in examples/*.toml; do $(BIN)/nnkit train --config $$file --threads 1 || exit 1; done

clean:
	rm -rf $(VENV) $(AUDIT) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* coverage.json
