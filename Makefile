# Two commands do all the set-up: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: help env demo test lint screenshots clean

help:
	@echo "make demo   make the environment, segment unseen nuclei with the included model, then train one"
	@echo "make test   make the environment, check the code and run every test"
	@echo "make clean  remove the environment and the demo's results"

env:
	@$(PYTHON) .ci/make_env.py $(VENV)

demo: env
	@$(BIN)/python -m napari_utanet.demo

lint: env
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: lint
	@$(BIN)/python -m pytest

screenshots: env
	@$(BIN)/python docs/make_screenshots.py

clean:
	rm -rf $(VENV) demo
