# The one command surface of MediConnect. `make run` and `make test` need Python >= 3.11 and make, nothing else.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-slow lint format docs bench load lock clean

VENV := .venv
BIN := $(VENV)/bin
# A Python of your choice: make run PYTHON=/opt/python3.13/bin/python3
PYTHON ?=
# More arguments for pytest, the benchmark or the loader: make test ARGS="-k search"
ARGS ?=
# Test processes, each with a PostgreSQL of its own.
JOBS ?= 2

SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
PROJECT := $(PIP) install --quiet --no-deps --no-build-isolation --editable .
# A module's tests stay together: they share a server and its database.
PYTEST := $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadfile
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(UPGRADE)

help:  ## list the commands
	@echo "MediConnect: a FHIR R4 server. Commands:"
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '%-18s %s\n' "$$name" "$$text"; done

run: $(VENV)/run.stamp  ## start the server (settings: MEDICONNECT_... in the environment, docs/settings.md)
	@exec $(BIN)/mediconnect serve

test: $(VENV)/dev.stamp  ## run the tests, without the slow ones (ARGS="-k word", JOBS=auto)
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(VENV)/dev.stamp  ## run the slow tests
	$(PYTEST) -m slow $(ARGS)

lint: $(VENV)/dev.stamp  ## check format, rules and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/dev.stamp  ## put the code into its format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/dev.stamp  ## check the documentation against the code: links, settings, decisions, docstrings
	$(BIN)/python -m pytest -q tests/repository/test_docs.py tests/repository/test_settings_documented.py

bench: $(VENV)/dev.stamp  ## measure (ARGS: what; docs/performance.md)
	$(BIN)/python -m bench $(ARGS)

load: $(VENV)/run.stamp  ## load FHIR files or folders (FILES="...", ARGS="--workers 4")
	@test -n "$(FILES)" || { echo 'make load needs FILES="path ...": bundles, resources or NDJSON, also .gz' >&2; exit 2; }
	$(BIN)/mediconnect load $(ARGS) $(FILES)

lock: $(VENV)/dev.stamp  ## write the lock files anew from pyproject.toml (UPGRADE=--upgrade takes newer versions)
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --group build -o requirements-build.lock
	$(COMPILE) pyproject.toml --group dev --constraint requirements.lock --constraint requirements-build.lock -o requirements-dev.lock

clean:  ## remove the virtual environment, caches and builds; data stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@found=; for candidate in $(PYTHON) python3 python3.13 python3.14 python3.12 python3.11 python; do \
		if "$$candidate" -c '$(SUITABLE)' >/dev/null 2>&1; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "MediConnect needs Python 3.11, 3.12, 3.13 or 3.14 with its venv module, and none was found." >&2; \
		echo "Debian and Ubuntu: apt install python3 python3-venv. Elsewhere: make run PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	echo "==> virtual environment in $(VENV) with $$("$$found" --version)"; \
	rm -f $(VENV)/*.stamp; "$$found" -m venv $(VENV)

# A stamp is younger than the lock it was installed from, so an unchanged lock costs nothing.
$(VENV)/run.stamp: requirements.lock requirements-build.lock pyproject.toml | $(BIN)/python
	@echo "==> installing the locked packages (first time: about a minute)"
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(BIN)/python -m ensurepip
	@$(PIP) install --require-hashes -r requirements.lock -r requirements-build.lock
	@echo "==> installing MediConnect"
	@$(PROJECT)
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "==> installing the locked packages for development (first time: one or two minutes)"
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(BIN)/python -m ensurepip
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@echo "==> installing MediConnect"
	@$(PROJECT)
	@touch $@
