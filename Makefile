# Everything runs from .venv, which `make setup` builds from the locked, hashed requirements.
# Variables: ARGS (passed on), PYTHON (the interpreter to build .venv with), PROCESSES (that run the tests; 0 for none).

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
PROCESSES ?= 2
PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))

.DEFAULT_GOAL := help
.PHONY: help setup test check audit fuzz demo bench bench-detection chaos schemas lock clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Build .venv with everything, so that .venv/bin/midwatch runs.
	@:

$(STAMP): requirements-dev.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "Midwatch needs Python 3.11 or later, and none was found. Install one, or name it: make setup PYTHON=/path/to/python3" >&2; exit 1; fi
	@[ -x $(BIN)/python ] || { echo "Building $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing the locked requirements (a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

test: $(STAMP) ## Run the tests; with Java and Maven, or redis-server, also against the real ones. ARGS go to pytest.
	@$(BIN)/python -m pytest --numprocesses $(PROCESSES) $(ARGS)

FUZZ ?= 30

fuzz: $(STAMP) ## Spoilt records and requests, FUZZ=30 times as many as in the tests.
	@MIDWATCH_FUZZ=$(FUZZ) $(BIN)/python -m pytest tests/unit/adapters/test_adapters_fuzz.py tests/unit/test_http_fuzz.py $(ARGS)

check: $(STAMP) ## Lint, types, import directions, and the audit of what is locked.
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports > $(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }
	@echo "check: lint, types and imports are clean"
	@$(BIN)/python -m tests.support.audit

audit: $(STAMP) ## Known vulnerabilities in what is locked, licences of what is shipped. ARGS="--json" for a program.
	@$(BIN)/python -m tests.support.audit $(ARGS)

demo: $(STAMP) ## The whole engine on embedded Kafka and Redis: incidents, verdicts. ARGS="--headless" checks them and exits.
	@$(BIN)/midwatch demo $(ARGS)

bench: $(STAMP) ## The whole job beside Faust, Quix Streams, Bytewax and by hand, in ten minutes. ARGS="--rounds 1" is quicker.
	@$(BIN)/python -m benchmarks.throughput --workers $(ARGS)

chaos: $(STAMP) ## Break everything under load and recount, in about ten minutes. ARGS="--long" before a release; ARGS=--help.
	@$(BIN)/python -m benchmarks.chaos $(ARGS)

bench-detection: $(STAMP) ## How well the detectors find what they should, against their goals.
	@$(BIN)/python -m benchmarks.detection $(ARGS)

schemas: $(STAMP) ## Write the JSON Schemas, the AsyncAPI document and the example configuration again.
	@$(BIN)/midwatch schemas export schemas > /dev/null
	@$(BIN)/midwatch check-config --example > midwatch.example.toml

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
	--custom-compile-command "make lock" $(LOCK_ARGS)

lock: $(STAMP) ## Resolve the requirements again; LOCK_ARGS="--upgrade" takes newer versions.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(COMPILE) pyproject.toml -o requirements.lock
	@$(COMPILE) -c requirements.lock pyproject.toml --group dev -o requirements-dev.lock
	@$(COMPILE) -c requirements-dev.lock --group build -o requirements-build.lock
	@$(COMPILE) benchmarks/peers.in -o benchmarks/peers.lock

clean: ## Remove .venv and every cache.
	@rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist
