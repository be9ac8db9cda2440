# Every target sets up what it needs, and is quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One thread a process: the tests run side by side.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
# pyright looks for packages where the first python on the path does.
ACTIVE := PATH="$(CURDIR)/$(BIN):$$PATH"
JOBS ?= 2
# MXNet 1.9.1, to compare with: never a dependency. How many times the usual number of cases: TIMES=20.
MXNET := .venv-mxnet
MXNET_PYTHON ?= $(PYTHON)
TIMES ?= 1
# NVIDIA DALI, to compare loading with: make .venv-dali/.installed, or the benchmark says that it is skipped.
DALI := .venv-dali
# The SageMaker SDK 3, to hold the adapters to it: never a dependency.
SDK := .venv-sdk
OUT ?= out/demo

.DEFAULT_GOAL := help
# How long to fuzz, all targets together.
SECONDS ?= 600
.PHONY: help demo test conformance sdk fuzz check format bench docs clean

help:  ## Show what there is
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: $(VENV)/.library  ## Draw made-up birds, train, host, test, improve by mirrored images, compare (about 6 minutes)
	$(BIN)/birdsod demo --out $(OUT) --overwrite

test: $(VENV)/.tools  ## Run every example of the reference and every test, with branch coverage
	$(ONE_THREAD) $(BIN)/pytest --quiet --hypothesis-seed=0 --doctest-modules birdsod
	$(ONE_THREAD) $(BIN)/pytest --numprocesses $(JOBS) --dist worksteal --cov --cov-report=term $(TESTS)

conformance: $(VENV)/.tools $(MXNET)/.installed  ## Compare record files and detectors with the real MXNet 1.9.1, both ways (needs Python 3.11)
	BIRDSOD_MXNET=$(CURDIR)/$(MXNET)/bin/python BIRDSOD_CONFORMANCE=$(TIMES) $(ONE_THREAD) \
	  $(BIN)/pytest --quiet --timeout 0 tests/conformance

sdk: $(VENV)/.tools $(SDK)/.installed  ## Hold the adapters to the real SageMaker SDK 3 (an environment of 1 GB)
	BIRDSOD_SDK=$(CURDIR)/$(SDK)/bin/python $(BIN)/pytest --quiet tests/sdk

fuzz: $(VENV)/.fuzz  ## Fuzz the readers, guided by coverage, for SECONDS (600); Linux
	$(BIN)/python fuzz --seconds $(SECONDS) --out out/fuzz

check: $(VENV)/.tools  ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(ACTIVE) pyright
	$(ACTIVE) pyright --verifytypes birdsod --ignoreexternal

format: $(VENV)/.tools  ## Put the code into form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.tools  ## Run every benchmark; each leaves out/bench/NAME.json
	mkdir -p out/bench
	set -e; for script in benchmarks/[a-z]*.py; do \
	  $(BIN)/python $$script --json out/bench/$$(basename $$script .py).json; done
	$(BIN)/python benchmarks/recordio --json out/bench/recordio.json
	$(BIN)/python benchmarks/recordio/loading.py --json out/bench/loading.json

docs: $(VENV)/.docs  ## Build the manual into site/
	$(BIN)/sphinx-build --fail-on-warning --keep-going -q docs site

clean:  ## Remove what the other targets made
	rm -rf $(VENV) .venv-* out site build dist .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11, 4) else \
	  "birdsod needs Python 3.11.4 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip

$(VENV)/.library: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]'
	@touch $@

$(VENV)/.tools: $(VENV)/.library
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev
	@touch $@

$(VENV)/.docs: $(VENV)/.library
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group docs
	@touch $@

$(VENV)/.fuzz: $(VENV)/.library
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group fuzz
	@touch $@

$(MXNET)/.installed: tests/conformance/requirements.txt
	@$(MXNET_PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else \
	  "MXNet 1.9.1 runs beside birdsod on Python 3.11 only, this is " + sys.version.split()[0] + \
	  ": make conformance MXNET_PYTHON=python3.11")'
	$(MXNET_PYTHON) -m venv $(MXNET)
	$(MXNET)/bin/python -m pip install --quiet --requirement $<
	$(MXNET)/bin/python -W ignore -c 'import mxnet, cv2'
	@touch $@

$(SDK)/.installed: tests/sdk/requirements.txt
	$(PYTHON) -m venv $(SDK)
	$(SDK)/bin/python -m pip install --quiet --requirement $<
	@touch $@

$(DALI)/.installed: benchmarks/recordio/dali.txt
	$(PYTHON) -m venv $(DALI)
	$(DALI)/bin/python -m pip install --quiet --requirement $<
	@touch $@
