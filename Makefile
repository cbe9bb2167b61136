# Shortcuts for people. Everything real is in the tasks (`.venv/bin/invoke --list`) and sessions (noxfile.py).
# ARGS go through: make build-all ARGS="--image lambda-embedding --force"

PYTHON ?= python3
BIN := .venv/bin
TASKS := build-all build-base build-lambda plan why report audit verify check deploy status outputs gc smoke watch tag push pull login \
  stable lock config init ignore phases phase1 phase2 phase3

.DEFAULT_GOAL := help
.PHONY: help setup test lint types package docs build bench faults engine-up engine-down lint-images clean $(TASKS)

help: ## this list
	@echo "make build-all | test | bench | faults | setup | clean, and each task:"
	@echo "$(TASKS)" | fold -s -w 78 | sed 's/^/  /'
	@echo "ARGS go through: make plan ARGS=--json, make why ARGS=lambda-embedding"

setup: .venv/.ready ## the environment alone

$(TASKS): .venv/.ready
	@$(BIN)/invoke $@ $(ARGS)

engine-up engine-down: .venv/.ready
	@$(BIN)/invoke $(subst -,.,$@) $(ARGS)

lint-images: .venv/.ready ## invoke lint: make's own lint is that of the code
	@$(BIN)/invoke lint $(ARGS)

test: .venv/.ready ## all that must pass: tests (real engine included), lint, types, package
	@$(BIN)/nox --parallel 2 $(ARGS)

lint types package docs build bench faults: .venv/.ready
	@$(BIN)/nox --session $@ -- $(ARGS)

# Debian keeps ensurepip in a package of its own.
.venv/.ready: pyproject.toml
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "installing python3-venv, which $(PYTHON) lacks"; \
	  apt-get update -qq && apt-get install -qq --yes python3-venv >/dev/null; }
	@echo "setting up .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . 'nox[uv]>=2026.10'
	@touch $@

clean: ## all that can be made again, but the images and the cache folder
	rm -rf .venv .nox .lamina dist .cache .mypy_cache .pytest_cache .ruff_cache
