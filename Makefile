# deepcolor: `make demo` and `make test` are the two commands; each installs what it needs, once.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := demo
TEST_WORKERS ?= 2
ROUNDS ?= 100
FAULTS_ARGS ?= --jobs 2
COMPOSE := docker compose --env-file docker/stack.env --file docker/compose.yaml

.PHONY: help install demo test faults check format docs documents site site-check bench constraints clean up down stack stack-down stack-status

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create .venv and install deepcolor into it

# Debian splits ensurepip out of Python (package python3-venv); the system's pip can fill the environment in its place.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: deepcolor needs Python 3.11 or newer; got $$($(PYTHON) --version 2>&1). Install it, or name another one: make PYTHON=python3.12" >&2; exit 2; }
	@if [ -x $(BIN)/pip ]; then :; \
	elif $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(VENV); \
	elif $(PYTHON) -c 'import venv, pip' 2>/dev/null; then $(PYTHON) -m venv --without-pip $(VENV) && \
	  $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; \
	else echo "error: $(PYTHON) has no venv module. Install it (Debian: apt install python3-venv) and run make again" >&2; exit 2; fi
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED) ## The whole pipeline on drawn pictures, into ./demo (minutes; needs no photos)
	$(BIN)/deepcolor demo --workspace $(DEMO)

# One thread a test process: several of them share the cores already. In their order, the files that take longest come
# early; sorted by their number of tests, they would come last, one after the other on one core.
test: $(INSTALLED) ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

faults: $(INSTALLED) ## Hurt sweeps at random and check what is left; ROUNDS=100 (an hour and a half on two cores)
	$(BIN)/python -m tests.faults.rounds --rounds $(ROUNDS) $(FAULTS_ARGS)

check: $(INSTALLED) ## ruff, mypy --strict, import contracts, generated documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m deepcolor.config.reference --check docs/sweep-files.md

format: $(INSTALLED) ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: documents site ## Write the documents that are generated, and build the site of the documentation

site: $(INSTALLED) ## Build the documentation as a site into build/site/; every warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

site-check: site ## Open the site's pages in Chromium: how accessible they are, and whether they fit a phone
	$(BIN)/python -m website.accessibility

documents: $(INSTALLED) ## Write the documents that are generated from code and recorded results
	$(BIN)/python -m deepcolor.config.reference --write docs/sweep-files.md
	$(BIN)/python -m tests.data.picture_layouts docs/pictures.md
	$(BIN)/python -m tests.data.picture_profiles docs/pictures.md
	$(BIN)/python benchmarks/suite.py --document

bench: $(INSTALLED) ## Run the benchmarks and record their results; BENCH='driver stages' for some, QUICK=1 to try them
	$(BIN)/python benchmarks/suite.py $(if $(QUICK),--quick) $(BENCH) $(if $(ARGS),-- $(ARGS))

docker/stack.env:
	cp docker/stack.env.example $@

up: docker/stack.env ## A team's stack in containers: database, MLflow, scheduler, workers, service; GPU=1 for its GPUs
	docker/secrets.sh docker/stack.env
	$(COMPOSE) $(if $(GPU),--profile gpu) up --build --detach --wait

down: docker/stack.env ## Stop the containers; volumes stay
	$(COMPOSE) --profile gpu down

stack: docker/stack.env $(INSTALLED) ## The same stack as processes of this machine (PostgreSQL must be installed)
	$(BIN)/python docker/stack.py up

stack-down: docker/stack.env ## Stop those
	$(BIN)/python docker/stack.py down

stack-status: docker/stack.env ## What of them runs, and where
	$(BIN)/python docker/stack.py status

constraints: $(INSTALLED) ## Rewrite constraints.txt from what is installed now
	@{ sed -n '/^#/p' constraints.txt; \
	  $(BIN)/python -m pip freeze --all --exclude-editable --exclude pip | LC_ALL=C sort -f; } > $(VENV)/constraints.new
	@mv $(VENV)/constraints.new constraints.txt && touch $(INSTALLED)

clean: ## Remove .venv, caches and the demo's workspace; studies/ and mlruns/ stay
	rm -rf $(VENV) $(DEMO) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find deepcolor tests benchmarks website -name __pycache__ -type d -prune -exec rm -rf {} +
