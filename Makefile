# Everything a developer does with this tree. Each target does its own set-up in .venv and needs only
# Python 3.11+, a Rust toolchain, a C++ compiler and make. Nothing is installed outside .venv and native/target.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PORT ?= 8000
DATA ?= data/demo
SECONDS ?= 10
MODEL_VERSION ?= 1
MODEL_EVENTS ?= 1000000
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
CARGO := cargo
MANIFEST := --manifest-path native/Cargo.toml

NATIVE := $(shell find native -name target -prune -o \( -name '*.rs' -o -name 'Cargo.*' \) -print)

# pip and uv ask no questions, and uv never fetches an interpreter of its own.
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

# Lock files are followed to the byte: every artefact must have a hash that stands in the file.
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r

# Tests of the crate embed Python, so they are built against, and find, the library of this environment's interpreter.
CARGO_PYTHON = PYO3_PYTHON="$(CURDIR)/$(BIN)/python" \
	LD_LIBRARY_PATH="$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')$${LD_LIBRARY_PATH:+:$$LD_LIBRARY_PATH}"

.PHONY: help setup demo model test lint lint-python lint-rust test-rust test-python fmt bench wheel lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

setup: $(STAMP)-dev $(STAMP)-native ## install everything, tools for development included

demo: $(STAMP)-runtime $(STAMP)-native ## serve the demo shop on PORT (8000) until stopped
	@exec $(BIN)/rtp demo --port $(PORT) --data $(DATA)

test: setup ## the quality gate: format, lint, types, every test; the one that CI runs
	@$(MAKE) --no-print-directory lint-python
	@$(MAKE) --no-print-directory lint-rust
	@$(MAKE) --no-print-directory test-rust
	@$(MAKE) --no-print-directory test-python

lint: ## format, lint and types only
	@$(MAKE) --no-print-directory lint-python
	@$(MAKE) --no-print-directory lint-rust

lint-python: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest rtp_monolith._native

lint-rust: setup
	$(CARGO) fmt $(MANIFEST) --check
	$(CARGO_PYTHON) $(CARGO) clippy $(MANIFEST) --locked --all-targets -- -D warnings

test-rust: setup
	$(CARGO_PYTHON) $(CARGO) test $(MANIFEST) --locked --quiet

test-python: setup
	$(BIN)/python -m pytest $(PYTEST_ARGS)

fmt: setup ## rewrite sources to the house format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(CARGO) fmt $(MANIFEST)

bench: $(STAMP)-runtime $(STAMP)-native ## measure lists, ingestion and visibility, each beside its floor (SECONDS=10)
	@$(BIN)/rtp bench all --seconds $(SECONDS) --json

# The bundle is made beside its place and takes it whole, so a run that fails leaves the old one.
model: setup ## train the demo shop's bundle anew into models/demo-shop/MODEL_VERSION (1): minutes
	rm -rf data/model/shop data/model/shard
	$(BIN)/rtp generate shop --out data/model/shop --events $(MODEL_EVENTS) --blind-home
	$(BIN)/rtp import items data/model/shop/items.jsonl --data data/model/shard
	$(BIN)/rtp import events data/model/shop/events.jsonl --data data/model/shard
	rm -rf data/model/out/demo-shop/$(MODEL_VERSION)
	$(BIN)/rtp train --data data/model/shard --out data/model/out --name demo-shop --version $(MODEL_VERSION) \
		--config rtp_monolith/demo/shop.toml --seed 0 --threads 1
	mkdir -p models/demo-shop
	rm -rf models/demo-shop/$(MODEL_VERSION)
	mv data/model/out/demo-shop/$(MODEL_VERSION) models/demo-shop/$(MODEL_VERSION)

wheel: $(STAMP)-runtime ## build a wheel into dist/
	$(BIN)/maturin build --release --locked --out dist

# Resolution starts from the present locks; `make lock UPGRADE=--upgrade` looks for newer versions. No lock names an
# address, so the same files work with any mirror.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(UPGRADE)

lock: $(STAMP)-build ## resolve the lock files again (UPGRADE=--upgrade for newer versions)
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --all-extras --group dev -c requirements/build.txt -c requirements/runtime.txt \
		-o requirements/dev.txt

clean: ## remove what was built; data/ stays
	rm -rf $(VENV) native/target dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f rtp_monolith/_native*.so
	find rtp_monolith tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up, one stamp per step -------------------------------------------------------------------------------------

$(STAMP)-build: requirements/build.txt
	@for python in $(PYTHON) python3 python3.11 python3.12 python3.13 python3.14; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then echo 'rtp needs Python 3.11 or newer on PATH (or make PYTHON=/path/to/python)' >&2; exit 1; fi; \
	if ! command -v $(CARGO) >/dev/null; then echo 'rtp needs a Rust toolchain (cargo) on PATH' >&2; exit 1; fi; \
	echo "environment: $$("$$found" --version) in $(VENV)"; \
	"$$found" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/build.txt
	@touch $@

$(STAMP)-runtime: requirements/runtime.txt $(STAMP)-build
	@echo 'packages: $<'
	@$(INSTALL) $<
	@touch $@

$(STAMP)-dev: requirements/dev.txt $(STAMP)-runtime
	@echo 'packages: $<'
	@$(INSTALL) $<
	@touch $@

# An editable install: Python files are read from the tree, the native module is built into the package.
# Every requirement is installed already, so uv has nothing to look up.
$(STAMP)-native: $(NATIVE) pyproject.toml $(STAMP)-runtime
	@echo 'native module: release build'
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" PATH="$(CURDIR)/$(BIN):$$PATH" UV_OFFLINE=1 \
		$(BIN)/maturin develop --release --locked --uv
	@touch $@
