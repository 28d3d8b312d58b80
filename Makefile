# Each target installs what it needs and no more: `make test` after `make demo` adds what the tests want beside it.
SHELL := /bin/bash
.NOTPARALLEL:
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
MANIFEST := dbt_project/target/manifest.json
DBT_SOURCES := $(shell find dbt_project -type f \( -name '*.sql' -o -name '*.yml' -o -name '*.md' \) -not -path '*/target/*')

# In the order of the folders: files of one dear test each would else come last, and one core wait for the other.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The extras of pyproject.toml, one stamp each; what they bring and add to the disk is said before pip starts.
PLATFORM := $(addprefix .venv/.has-,runner market-data research platform)
TOOLS := $(PLATFORM) .venv/.has-tuning .venv/.has-s3 .venv/.has-dev
EVERYTHING := $(TOOLS) .venv/.has-deep
about_runner := runner and venue (NumPy, ONNX Runtime, FastAPI), 0.2 GB
about_market-data := market data (ccxt, DuckDB, pandas, Arrow, Great Expectations), 0.5 GB
about_research := models (scikit-learn, XGBoost, LightGBM, ONNX, Numba), 0.4 GB
about_platform := platform (Dagster, dbt, MLflow), 0.3 GB
about_s3 := a lake in an object store (s3fs), 0.1 GB
about_dev := tests and checks (pytest, ruff, pyright, moto, a PostgreSQL), 0.7 GB
about_tuning := searches (Optuna), 5 MB
about_deep := deep models (torch, pytorch-forecasting, shap), 0.9 GB and more with CUDA
LEAST_FREE_MB := 3072

export DAGSTER_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help demo up test test-all check bench manifest install s3 tuning deep docs clean
help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(MANIFEST)  ## run the whole flow headless; RECORDED=<folder> plays real markets
	@$(BIN)/tidegate demo $(if $(RECORDED),--recorded $(RECORDED))

up: $(MANIFEST)  ## Dagster :3000, MLflow :5000, runner :8800, venue :8900; Ctrl-C stops all
	@$(BIN)/tidegate up

test: $(TOOLS) $(MANIFEST)  ## the tests, on two cores
	$(PYTEST) -m 'not slow' $(PYTEST_ARGS)

test-all: $(TOOLS) $(MANIFEST)  ## the tests and the exhaustive ones too
	$(PYTEST) $(PYTEST_ARGS)

check: $(TOOLS) $(MANIFEST)  ## lint, types, import contracts, definitions, SQL
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/dg check defs
	$(BIN)/dagster definitions validate -w workspace.yaml
	$(BIN)/python -m orchestration.resources.dbt_project

bench: $(TOOLS) $(MANIFEST)  ## speed, side by side with a peer in the same run
	$(BIN)/python -m benchmarks

docs: $(MANIFEST)  ## regenerate docs/assets.md, docs/tables.md and docs/features.md from the code
	$(BIN)/python -m orchestration.reference.generate docs

manifest: $(PLATFORM)  ## parse the dbt project, where it was edited since
	@$(BIN)/python -m orchestration.resources.dbt_project
	@touch $(MANIFEST)
install: $(EVERYTHING)  ## make .venv with every package, also those of make test and make deep
s3: $(PLATFORM) .venv/.has-s3  ## add what a lake in an object store needs
tuning: $(PLATFORM) .venv/.has-tuning  ## add what `tidegate tune` and `tidegate study` need
deep: $(PLATFORM) .venv/.has-deep  ## add torch, pytorch-forecasting and shap

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 not found: install it, or run make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v == (3, 11) else f"Python: found {v[0]}.{v[1]}, expected 3.11; run make PYTHON=/path/to/python3.11")'
	@free=$$(df -Pm . | awk 'NR == 2 { print $$4 }'); test $$free -ge $(LEAST_FREE_MB) || \
		{ echo "disk: found $$free MB free in $(CURDIR), expected $(LEAST_FREE_MB) for the packages and a demo; free some, or clone elsewhere"; exit 1; }
	@echo "First time here: packages go into .venv, in groups (for a demo four: 0.4 GB to download, 1.4 GB on disk, two minutes of one core)"
	$(PYTHON) -m venv .venv

# pip's own lines shrink to one per group that shows which package it is at; its errors come as they are. Bytecode is
# left to the first import: of all packages it is another 0.36 GB, and the demo imports a part of them. So it must be
# written there, whatever the shell says: else each of the processes to come compiles some thousand modules again.
unexport PYTHONDONTWRITEBYTECODE
.venv/.has-%: pyproject.toml constraints.txt | .venv/bin/python
	@printf '%s\n' "installing $(about_$*)"
	@set -o pipefail; began=$$SECONDS; PYTHONUNBUFFERED=1 $(BIN)/python -m pip install --no-compile --disable-pip-version-check --progress-bar off \
		-c constraints.txt $(if $(filter runner,$*),-e .,'tidegate[$*]') | { n=0; while read -r word name _; do case $$word in \
		Collecting) n=$$((n + 1)); printf '\r\033[K  %3d  %s' $$n "$${name%%[<>=!~;]*}";; \
		Installing) test "$$name" != collected || printf '\r\033[K  %3d packages there, unpacking' $$n;; esac; done; printf '\r\033[K'; }; \
		echo "  done in $$((SECONDS - began)) s"
	@touch $@

$(MANIFEST): $(PLATFORM) $(DBT_SOURCES)
	@echo "parsing the dbt project"
	@$(BIN)/python -m orchestration.resources.dbt_project
	@touch $@

clean:  ## remove state and build outputs, keep .venv
	rm -rf .tidegate out build dbt_project/target *.egg-info
