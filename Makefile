# Each target sets up what it needs: a virtual environment, the packages, the dbt manifest.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
MANIFEST := dbt_project/target/manifest.json
DBT_SOURCES := $(shell find dbt_project -type f \( -name '*.sql' -o -name '*.yml' -o -name '*.md' \) -not -path '*/target/*')

PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

export DAGSTER_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help demo up test test-all check bench manifest install docs clean
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(MANIFEST)  ## run the whole flow headless; RECORDED=<folder> plays real markets
	$(BIN)/tidegate demo $(if $(RECORDED),--recorded $(RECORDED))

up: $(MANIFEST)  ## Dagster :3000, MLflow :5000, runner :8800, venue :8900; Ctrl-C stops all
	$(BIN)/tidegate up

test: $(MANIFEST)  ## the tests, on two cores
	$(PYTEST) -m 'not slow' $(PYTEST_ARGS)

test-all: $(MANIFEST)  ## the tests and the exhaustive ones too
	$(PYTEST) $(PYTEST_ARGS)

check: $(MANIFEST)  ## lint, types, import contracts, definitions, SQL
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/dg check defs
	$(BIN)/dagster definitions validate -w workspace.yaml
	$(BIN)/dbt parse --quiet --project-dir dbt_project --profiles-dir dbt_project

bench: $(MANIFEST)  ## speed, side by side with a peer in the same run
	$(BIN)/python -m benchmarks

docs: $(MANIFEST)  ## regenerate docs/assets.md, docs/tables.md and docs/features.md from the code
	$(BIN)/python -m orchestration.reference.generate docs

manifest: $(MANIFEST)  ## parse the dbt project
install: $(INSTALLED)  ## make .venv and install the pinned packages

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 not found: install it, or run make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v == (3, 11) else f"Python: found {v[0]}.{v[1]}, expected 3.11; run make PYTHON=/path/to/python3.11")'
	@echo "Installing about 250 pinned packages into .venv (2 to 5 minutes the first time)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[platform,s3,deep,dev]'
	@touch $@

$(MANIFEST): $(INSTALLED) $(DBT_SOURCES)
	$(BIN)/dbt parse --quiet --project-dir dbt_project --profiles-dir dbt_project
	@touch $@

clean:  ## remove state and build outputs, keep .venv
	rm -rf .tidegate out build dbt_project/target *.egg-info
