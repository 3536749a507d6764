# The commands of this project; continuous integration calls the same ones.
# `make demo NAME=value` sets a setting, as the environment does.

.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
DEMO_VENV := .venv-demo
DEMO_STAMP := $(DEMO_VENV)/installed

# The first Python that is new enough. Unversioned first: it is the one its owner chose.
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach p,$(CANDIDATES),$(shell $(p) -c '$(NEW_ENOUGH)' 2>/dev/null && echo $(p))))

PIP_OPTIONS := --quiet --disable-pip-version-check --require-hashes
# Make a virtual environment where there is none of a new enough Python.
define make_venv
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found: install one," \
		"or name it: make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { echo "$(PYTHON) is" \
		"$$($(PYTHON) -V 2>&1), and 3.11 or newer is needed" >&2; exit 1; }
	@test -x $(1)/bin/python && $(1)/bin/python -c '$(NEW_ENOUGH)' 2>/dev/null \
		|| $(PYTHON) -m venv --clear $(1)
endef

# Locks name packages, versions and hashes only, for every Python from 3.11 on; the lock for
# development comes first, the other two take its versions.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --no-strip-extras $(if $(UPGRADE),--upgrade)
EXTRA := import sys, tomllib; \
	project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print("\n".join(project["optional-dependencies"][sys.argv[1]]))
CONTAINER_PYTHON = $(shell sed -n 's/^ARG BASE=python:\([0-9.]*\).*/\1/p' Dockerfile)
CONTAINER_BASE = $(shell sed -n 's/^ARG BASE=\([^@]*\).*/\1/p' Dockerfile)
DOCKER := docker

.PHONY: help install check test test-clients test-replicas test-slow image-test coverage types soak bench demo lock wheels base-digest clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

install: $(STAMP) ## make .venv and install what is locked; costs nothing when nothing changed

$(STAMP): requirements-dev.lock
	$(call make_venv,$(VENV))
	@echo "Installing what requirements-dev.lock names into $(VENV); the first time takes a minute."
	@$(BIN)/python -m pip install $(PIP_OPTIONS) -r requirements-dev.lock
	@touch $@

# What the demo needs, a third of the size: the service's packages and the simulator's.
$(DEMO_STAMP): requirements.lock requirements-simulator.lock
	$(call make_venv,$(DEMO_VENV))
	@echo '*' > $(DEMO_VENV)/.gitignore
	@echo "Installing what the demo needs into $(DEMO_VENV); the first time takes half a minute."
	@$(DEMO_VENV)/bin/python -m pip install $(PIP_OPTIONS) -r requirements.lock \
		-r requirements-simulator.lock
	@touch $@

check: install ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: install ## the tests: unit and end to end
	$(BIN)/pytest -n 2 --ignore=tests/e2e/replicas tests/unit tests/e2e

# Each starts several processes, and some bound how long a reader may wait: one at a time.
test-replicas: install ## several replicas and a real Redis, killed, stopped and cut off
	$(BIN)/pytest tests/e2e/replicas

test-clients: install ## official clients, browsers, examples, documents
	$(BIN)/pytest -n 2 --dist loadfile tests/clients tests/web

# They bound memory: one test at a time.
test-slow: install ## storms, memory, money, slow readers, hostile pictures, dashboard: ten minutes
	$(BIN)/pytest --ignore=tests/slow/test_soak.py tests/slow

image-test: install ## build the container image on a base from Debian, and try it; needs root
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT; \
	tests/image/build.sh "$$folder"; status=$$?; \
	if test $$status = 77; then echo "image-test is SKIPPED: $$(cat "$$folder/reason")"; exit 0; fi; \
	test $$status = 0 && IMAGE_FOLDER="$$folder" $(BIN)/pytest -v -s tests/image

coverage: install ## `make test` with the branch coverage of app/
	$(BIN)/pytest -n 2 --cov --cov-report=term tests/unit tests/e2e

types: install ## write app/web/client.d.ts from the OpenAPI document
	cd tests/web && npm ci --silent
	$(BIN)/python -m tests.web.declarations > client.d.ts.new && mv client.d.ts.new app/web/client.d.ts

soak: install ## memory over twenty thousand searches; minutes
	SOAK_SEARCHES=20000 $(BIN)/pytest -s tests/slow/test_soak.py

bench: install ## measure beside nginx and a plain relay; `python -m bench --help` has the options
	@$(BIN)/python -m bench

demo: $(DEMO_STAMP) ## a search in this terminal, without a key (DEMO_ONCE=1: end after it)
	@$(DEMO_VENV)/bin/python -m demo

lock: install ## write the locks anew (UPGRADE=1: take newer versions)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet "uv>=0.9,<1"
	$(COMPILE) --group dev --all-extras -o requirements-dev.lock pyproject.toml
	$(COMPILE) -c requirements-dev.lock -o requirements.lock pyproject.toml
	@for extra in otel simulator; do $(BIN)/python -c '$(EXTRA)' $$extra \
		| $(COMPILE) -c requirements-dev.lock -o requirements-$$extra.lock - || exit 1; done

wheels: install ## prove that the container's Python needs no compiler for any locked package
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet "uv>=0.9,<1"
	@for machine in x86_64 aarch64; do for lock in requirements requirements-otel requirements-simulator; do \
		aside=$$(mktemp -d) && $(BIN)/uv pip install --quiet --require-hashes --no-build \
			--python-version $(CONTAINER_PYTHON) --python-platform $$machine-manylinux_2_28 \
			--target "$$aside" -r $$lock.lock \
		&& echo "$$lock.lock: wheels for Python $(CONTAINER_PYTHON) on $$machine"; \
		status=$$?; rm -rf "$$aside"; test $$status = 0 || exit 1; done; done

base-digest: ## pin the container's base to the digest that its registry has now
	@digest=$$($(DOCKER) buildx imagetools inspect --format '{{.Manifest.Digest}}' $(CONTAINER_BASE)) \
		&& printf '%s\n' "$$digest" | grep -qx 'sha256:[0-9a-f]\{64\}' \
		|| { echo "no digest of $(CONTAINER_BASE) could be read; the Dockerfile is as it was" >&2; exit 1; } \
		&& sed -i "s|^ARG BASE=.*|ARG BASE=$(CONTAINER_BASE)@$$digest|" Dockerfile \
		&& sed -n 's/^ARG BASE=//p' Dockerfile

clean: ## remove the environments and everything that tools left behind
	rm -rf $(VENV) $(DEMO_VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
