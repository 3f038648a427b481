# Push Portal. `make` alone lists what there is.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: help
help: ## list the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- use it ---------------------------------------------------------------------------------------------------------

.PHONY: run
run: .venv/.installed-run ## install what is needed and start everything (DEMO=0: without demo data)
	@exec $(BIN)/portal up $(ARGS)

.venv/.installed-%: requirements/%.txt requirements/install pyproject.toml
	@PYTHON="$(PYTHON)" requirements/install $*

# --- work on it -----------------------------------------------------------------------------------------------------

.PHONY: setup
setup: .venv/.installed-dev ## the environment with all that tests and checks need

.PHONY: peers
peers: setup ## the Debian packages that tests use and that no wheel carries (as root; otherwise says what is missing)
	@$(BIN)/python -m tests.services install

.PHONY: test
test: peers ## all tests against real parts: databases, Redis, SMTP, a browser (ARGS=… goes to pytest)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not alone and not long" $(ARGS)
	$(BIN)/python -m pytest -m "alone and not long" $(ARGS) || [ $$? = 5 ] # 5: no test of this kind was asked for

.PHONY: check
check: setup ## format, lint, types, import rules and structural tests: what CI asks before the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/contract

.PHONY: fix
fix: setup ## format and repair what the linter can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: faults
faults: peers ## the long fault tests: hundreds of kills of real processes (KILLS=300)
	PORTAL_FAULT_KILLS=$${KILLS:-300} $(BIN)/python -m pytest tests/faults -m "long or not long" --timeout=7200 $(ARGS)

.PHONY: bench
bench: peers .venv/.installed-bench ## the benchmarks: prints a table and writes benchmarks/results/<date>.json
	$(BIN)/python -m benchmarks $(ARGS)

# --- what is made from code -----------------------------------------------------------------------------------------

.PHONY: docs
docs: setup ## write the generated pages: settings, states, API
	$(BIN)/python docs/generate.py

.PHONY: openapi
openapi: docs ## write docs/openapi.json (with the other generated pages)

.PHONY: migration
migration: setup ## a new migration from the models (NAME="what it does")
	@test -n "$(NAME)" || { echo 'Say what it does: make migration NAME="add weights to routes"'; exit 2; }
	$(BIN)/python -m migrations.new "$(NAME)"

.PHONY: lock
lock: setup ## resolve the dependencies anew into requirements/*.txt, with hashes and without any index address
	$(BIN)/python -m pip install --quiet uv
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile -q pyproject.toml --group build $(LOCK_OPTIONS) \
	    -o requirements/run.txt
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile -q pyproject.toml --group dev -c requirements/run.txt \
	    $(LOCK_OPTIONS) -o requirements/dev.txt
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile -q pyproject.toml --group bench -c requirements/dev.txt \
	    $(LOCK_OPTIONS) -o requirements/bench.txt
LOCK_OPTIONS := --generate-hashes --no-emit-index-url --no-emit-find-links --universal --python-version 3.11 $(UPGRADE)

.PHONY: clean
clean: ## remove the environment and every cache; data stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
