# Two commands do everything: `make sim` and `make test`. Both install what they need; second runs are fast.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Relative paths only: make cannot handle spaces in absolute ones.
STAMPS := .venv/.stamps
RUN := scripts/run.sh
PYTHON_SOURCES := $(shell find agents sim launch config resource ros2_ws/src/palpate_nodes -type f \
    -not -name '*.pyc' -not -path '*/__pycache__/*' -not -path '*.egg-info/*' | grep -v ' ')
INTERFACE_SOURCES := $(shell find ros2_ws/src/palpate_interfaces -type f)

.PHONY: help setup sim test lint clean
help:
	@echo "make sim    set up (first time), then characterise six parts in the simulated cell; ARGS='--parts 10 --seed 3'"
	@echo "make test   set up (first time), then run all tests; ARGS='-k recorder'"
	@echo "make lint   ruff and mypy"
	@echo "make setup  only set up; then: .venv/bin/palpate --help"
	@echo "make clean  remove the environment and all build products (recordings in sessions/ stay)"

$(STAMPS)/env: requirements/core.txt requirements/ros.txt requirements/dev.txt scripts/setup.sh scripts/fix_cmake_exports.py
	scripts/setup.sh env
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/interfaces: $(STAMPS)/env $(INTERFACE_SOURCES)
	scripts/setup.sh interfaces
	@touch $@

$(STAMPS)/python: $(STAMPS)/interfaces package.xml setup.py $(PYTHON_SOURCES)
	scripts/setup.sh python
	@touch $@

setup: $(STAMPS)/python

sim: setup
	$(RUN) palpate sim $(ARGS)

test: setup
	$(RUN) python -m pytest $(ARGS)

lint: setup
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

clean:
	rm -rf .venv build
