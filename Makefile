# What one does in a checkout. Everything happens in .venv, which is made on first use.
#
#   make quickstart   install, then the whole job on the bundled voice: ends in a report
#   make test         the tests, without the slow ones
#   make test-slow    the slow ones
#   make check        format, lint, types
#   make bench        what is measured, against the reference implementation where that is at hand
#   make starter      train the bundled starter voice anew
#   make docs         check what the documentation says about files, links and commands
#   make clean        remove .venv and the caches; results of quickstart and of runs stay

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
# With a terminal to look at, pip shows what it downloads; a log needs no progress.
PIP_FLAGS := --disable-pip-version-check $(if $(CI),--quiet)

.PHONY: quickstart test test-slow check bench starter docs clean
.DELETE_ON_ERROR:

quickstart: $(VENV)/installed-train
	@$(VENV)/bin/retimbre quickstart

# Two processes with a core each: a file of tests stays in one of them, which makes its fixtures once.
test: $(VENV)/installed-dev
	@OMP_NUM_THREADS=1 $(RUN) pytest -n 2 --dist loadfile

test-slow: $(VENV)/installed-dev
	@$(RUN) pytest -m slow

check: $(VENV)/installed-dev
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy

bench: $(VENV)/installed-dev
	@set -e; for script in benchmarks/bench_*.py; do echo "== $$script"; $(VENV)/bin/python "$$script"; done

starter: $(VENV)/installed-dev
	@$(VENV)/bin/python benchmarks/make_starter.py

docs: $(VENV)/installed-dev
	@$(RUN) pytest tests/test_project.py tests/test_docs.py tests/test_docs_words.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is the last thing written: an installation that was interrupted is taken up again.
$(VENV)/installed-%: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Retimbre needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Do: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV): a few minutes the first time"
	@$(RUN) pip install $(PIP_FLAGS) -c constraints.txt -e '.[$(if $(filter dev,$*),train$(COMMA)dev,$*)]'
	@touch $@

COMMA := ,
