# Two commands for most people: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Variables you may set:
#   PYTHON           the interpreter to build the environment from (3.11 or newer)
#   TORCH_INDEX_URL  a package index that offers CPU-only torch: torch is then taken from there, and the
#                    several GB of CUDA libraries that Linux wheels bring are not downloaded
#   PIP_ARGS         further arguments for pip, for example a proxy or a mirror
#   ENGINE           what builds images: docker or podman
#   IMAGE_PREFIX     put before the images' names, for example registry.example.com/video/
#   IMAGE_TAG        the images' tag; the version of this tree unless you say otherwise
#   PLAYGROUND       the folder of a throwaway cluster's files; must not exist yet
#   WORKERS          how many processes run the tests: each may start a cluster, about 1 GB
#   IMAGE_ARGS       further arguments for the build, for example --build-arg BASE_IMAGE=...; see Dockerfile
PYTHON ?= python3
TORCH_INDEX_URL ?=
PIP_ARGS ?=
ENGINE ?= $(if $(shell command -v docker),docker,podman)
IMAGE_PREFIX ?=
IMAGE_TAG ?= $(shell sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml)
IMAGE_ARGS ?=
WORKERS ?= 2
PLAYGROUND ?= out/playground

VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/pip --disable-pip-version-check install --quiet $(PIP_ARGS) -c constraints.txt

.PHONY: help setup demo testbed test test-unit check crds chart constraints image playground e2e-kind clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo; sed -n '/^# Variables/,/^$$/s/^# //p' $(MAKEFILE_LIST)

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) -V 2>&1); Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@if [ -n "$(TORCH_INDEX_URL)" ]; then \
	  $(BIN)/pip --disable-pip-version-check install --quiet --index-url "$(TORCH_INDEX_URL)" "$$(grep -E '^torch==' constraints.txt)"; fi
	@touch $@

# The environment of people who run videos, and the larger one of people who change the code.
$(VENV)/.local: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing the local mode (first time: a few minutes; on Linux 6 GB, mostly CUDA libraries: see make help)"
	$(PIP) -e '.[local]'
	@touch $@

$(VENV)/.dev: $(VENV)/.local
	$(PIP) -e '.[dev]'
	@touch $@

setup: $(VENV)/.dev ## install everything into .venv

demo: $(VENV)/.local ## a manifest becomes a video in out/, on this machine
	$(BIN)/wan run examples/tiny.yaml

# Programs of the control plane that the end-to-end tests run on; the folder is keyed by what they are built from.
testbed: $(VENV)/.dev ## build the test bed's control plane (once: some minutes)
	$(BIN)/python -m tests.controlplane.build

test: testbed ## every test
	$(PYTEST)

test-unit: $(VENV)/.dev ## the tests that take a moment
	$(PYTEST) -m 'not slow'

check: $(VENV)/.dev ## lint, format, types, import law, what is generated, the shape of the folders, the chart
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m wan_core.api.crd --check
	$(BIN)/python -m charts.readme --check
	$(BIN)/pytest tests/test_layout.py
	$(BIN)/python -m tests.charts.lint

crds: $(VENV)/.dev ## write crds/, and the chart's copy, from the models in wan_core.api
	$(BIN)/python -m wan_core.api.crd --write
	cp crds/*.yaml charts/wan-operator/files/

chart: $(VENV)/.dev ## write the chart's README from the comments of its values
	$(BIN)/python -m charts.readme

constraints: $(VENV)/.dev ## pin the newest versions that fit together, and those of the chart's checker
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --no-annotate --no-header \
	  --custom-compile-command 'make constraints' pyproject.toml -o constraints.txt
	echo checkov | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate --no-header \
	  - -o tests/charts/checkov.txt

image: ## build both images: wan-operator and wan-runner
	$(call build-image,operator)
	$(call build-image,runner)

define build-image
$(ENGINE) build --target $(1) --tag $(IMAGE_PREFIX)wan-$(1):$(IMAGE_TAG) \
	  --build-arg REVISION=$(shell git rev-parse --short HEAD 2>/dev/null) $(IMAGE_ARGS) .
endef

playground: $(VENV)/.dev ## a throwaway cluster on this machine, to try docs/guides/install.md on
	$(BIN)/python -m tests.controlplane.playground $(PLAYGROUND)

e2e-kind: $(VENV)/.dev ## the tests on a cluster, on one made by kind: needs docker and kind
	tests/image/kind.sh

clean: ## remove what was built here
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
