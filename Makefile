# Everything happens in .venv; nothing global is touched. `make` alone prints the help.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Errors only: pip warns about whatever package sources a machine may have.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
UV_VERSION := 0.13.8

# A stamp says "this environment holds what these files ask for". It is remade when a lock
# or pyproject.toml is newer, so a second make does nothing before the work starts.
RUNTIME := $(VENV)/.stamp-runtime
DEV := $(VENV)/.stamp-dev
# The package itself, editable. Its build backend comes from the lock, not from the network.
EDITABLE = $(PIP_INSTALL) --no-deps --no-build-isolation --editable .

SCALE ?= 4
BENCH ?= --quick
CARD ?=
# Processes that test; each may hold the networks, which is why there are four at most.
WORKERS ?= logical
# All but torch, which from the index is a build for CUDA of 5 GB.
LOCKED_EXTRAS := pillow server postgres redis
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup test test-tools check format bench scorecard upscale lock wheel clean serve picture-named

help: ## this list
	@echo "superres: enlarge photographs. Targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "The interpreter can be chosen once, before .venv exists: make setup PYTHON=python3.12"

setup: $(RUNTIME) ## create .venv with the locked dependencies and the command .venv/bin/superres

# Where test-tools puts what is of Node.
test: export PATH := $(CURDIR)/$(VENV)/node/node_modules/.bin:$(PATH)
test: $(DEV) ## run the tests; ARGS="-k tiles" passes on to pytest, WORKERS=0 tests in one process
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile $(ARGS)

test-tools: $(DEV) ## install what some tests need beside Python: chromium, curl, strace, packages of Node
	@scripts/test_tools.sh

check: $(DEV) ## the gate: format, lint, types (strict), import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(DEV) ## rewrite the code in the house style and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV) ## measure speed and memory against peers; BENCH="" for the long form
	$(BIN)/python -m bench $(BENCH)

scorecard: $(DEV) ## measure quality, speed and memory against peers, renew docs/scorecard and the README's tables; CARD=--quick for a look
	$(BIN)/python -m bench.scorecard $(CARD)

upscale: picture-named $(RUNTIME) ## enlarge one picture: make upscale IMAGE=photo.jpg [SCALE=4] [ARGS="-m photo"]
	$(BIN)/superres upscale "$(IMAGE)" --scale $(SCALE) $(ARGS)

picture-named:
	@test -n '$(IMAGE)' || { echo "Say which picture: make upscale IMAGE=photo.jpg" >&2; exit 2; }

lock: $(RUNTIME) ## renew requirements/*.txt after a change of pyproject.toml; ARGS=--upgrade takes newer versions
	$(PIP_INSTALL) uv==$(UV_VERSION)
	$(LOCK) $(addprefix --extra ,$(LOCKED_EXTRAS)) --group dev --output-file requirements/dev.txt pyproject.toml
	$(LOCK) --constraint requirements/dev.txt --extra server --output-file requirements/runtime.txt pyproject.toml
	$(LOCK) --constraint requirements/dev.txt --output-file requirements/build.txt --group build

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" $(ARGS)

wheel: $(DEV) ## build the wheel and the source archive into dist/
	$(BIN)/python -m build --no-isolation --outdir dist .

clean: ## remove .venv, build results and caches
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +

serve: $(RUNTIME) ## run the service on http://127.0.0.1:8000; ARGS="--port 9000" passes on to superres serve
	@$(BIN)/superres serve $(ARGS)

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no '$(PYTHON)' here. Install Python 3.11, 3.12 or 3.13, or name it: make setup PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "superres needs Python 3.11, 3.12 or 3.13, but '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name another: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements/runtime.txt requirements/build.txt pyproject.toml | $(BIN)/python
	@echo "Installing what superres needs into $(VENV) (once) ..."
	@$(PIP_INSTALL) --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(EDITABLE)
	@touch $@
	@echo "Done: $(BIN)/superres"

$(DEV): requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "Installing what superres and its development need into $(VENV) (once) ..."
	@$(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@$(EDITABLE)
	@touch $(RUNTIME) $@
