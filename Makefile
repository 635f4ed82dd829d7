# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

# `make demo` and `make test` need nothing but Python: they make .venv themselves.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test stateful check style types licenses proto check-proto fuzz bench features simulate batching same-host microbench profile soak hostile docs docs-serve build clean help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv and install everything that the other targets need

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,demo]'
	@touch $@

demo: $(STAMP) ## Swing up eight pendulums through a policy server, and draw what happened
	$(BIN)/python -m examples.pendulum.demo --output demo-output

test: $(STAMP) ## Run the tests, with branch coverage
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

stateful: $(STAMP) ## Draw programs for the shared state, new ones each time, for half an hour
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -s --timeout=0 tests/test_stateful_*.py $(PYTEST_ARGS)

check: style types licenses check-proto docs ## Run every check that is not a test

style: $(STAMP) ## Check lint rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## Check types strictly
	$(BIN)/mypy --strict praxis_remote tests tools examples benchmarks fuzz soak

licenses: $(STAMP) ## Check that every file says its license
	$(BIN)/pre-commit run check-license-headers --all-files

proto: $(STAMP) ## Compile schema/ into praxis_remote/schema/generated*.py
	$(BIN)/python tools/compile_proto.py

check-proto: $(STAMP) ## Fail if the committed classes are not what schema/ compiles to
	$(BIN)/python tools/compile_proto.py --check

bench: $(STAMP) ## Measure side by side with others for ten minutes; write table and plot of the README
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

features: $(STAMP) ## Measure what TLS, tokens, metrics, spans and the inspect page cost a call
	$(BIN)/python -m benchmarks.features $(BENCH_ARGS)

simulate: $(STAMP) ## Simulate up to 1,000 replicas for some minutes; write the tables and picture of a page
	$(BIN)/python -m benchmarks.simulation $(BENCH_ARGS)

batching: $(STAMP) ## Measure what joining the calls of 8 and 64 clients gains; PyTorch for all of it
	$(BIN)/python -m benchmarks.batching $(BENCH_ARGS)

same-host: $(STAMP) ## Measure what shared memory brings on a UNIX socket
	$(BIN)/python -m benchmarks.same_host $(BENCH_ARGS)

microbench: $(STAMP) ## Measure codec, framing and headers beside the variants that lost
	$(BIN)/python -m benchmarks.micro $(BENCH_ARGS)

fuzz: $(STAMP) ## Throw hostile bytes at readers, server and client for three minutes
	$(BIN)/python -m fuzz $(FUZZ_ARGS)

profile: $(STAMP) ## Show which functions of both sides take the time of a call
	$(BIN)/python -m benchmarks.profiling $(BENCH_ARGS)

soak: $(STAMP) ## Have 256 clients call a server for an hour; fail if anything is wrong or left
	$(BIN)/python -m soak $(SOAK_ARGS)

hostile: $(STAMP) ## Measure what peers that mean harm cost one that does not
	$(BIN)/python -m soak.hostile $(HOSTILE_ARGS)

# Not --quiet, with which warnings are not counted.
docs: $(STAMP) ## Build the documentation into site/; fail for a link that leads nowhere
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(STAMP) ## Show the documentation at http://127.0.0.1:8000, and follow changes
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict --dev-addr 127.0.0.1:8000

build: $(STAMP) ## Build the source distribution and the wheel into dist/
	$(BIN)/uv build --sdist --wheel

clean: ## Remove what the other targets made
	rm -rf $(VENV) .envs dist build site demo-output .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
