# `make demo` and `make test` are all a newcomer needs; `make help` lists the rest.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
ARCH ?= amd64
RELEASE ?= trixie
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.PHONY: help demo test check lint types judges unit debian fuzz faults pictures docs figures wheel wheelhouse deb lock clean system-run system-test

help: ## this list
	@sed -nE 's/^([a-z]+):.*## /  \1\t/p' Makefile | expand -t 14

demo: system-run $(VENV)/.run ## broker, platform, one sentinel and simulated people; Ctrl-C stops it all
	@$(BIN)/edge-agent demo $(DEMO)

test: system-test $(VENV)/.dev ## installs what the tests need and runs every check
	@$(MAKE) --no-print-directory check

check: lint types judges unit

lint: ## style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: ## static types
	$(BIN)/mypy

judges: ## shellcheck, lintian, AsyncAPI's parser, Redocly; installs axe-core for the tests
	@sh .ci/judges/run

unit: ## tests with coverage; most of their time is waiting, so four processes share two cores
	$(BIN)/pytest -q --numprocesses 4 --dist loadfile --cov --cov-report=term:skip-covered

debian: ## demo and tests on a fresh Debian 13 made by debootstrap, half an hour; RELEASE=noble for Ubuntu; root
	sh .ci/debian $(RELEASE)

fuzz: $(VENV)/.dev ## a million damaged inputs for every parser of the drivers, a quarter of an hour
	$(BIN)/python -m bench.parsers --inputs 1000000

faults: system-test $(VENV)/.dev ## the fault suite in its long form, an hour or two
	FAULT_ROUNDS=100 DIRECTORY_HISTORIES=10000 $(BIN)/pytest -q --timeout 14400 --hypothesis-seed=$$(date +%s) tests/faults tests/sync/edge/test_directory.py

pictures: system-test $(VENV)/.dev ## docs/pictures/ from the running demo, two minutes
	$(BIN)/python -m bench.pictures

docs: $(VENV)/.run ## docs/cli.md from the commands
	$(BIN)/python -m bench.cli_reference

figures: $(VENV)/.dev ## the figures of docs/architecture.md: files a folder, longest file and function, circles
	$(BIN)/python -m tests.test_layering

wheel: $(VENV)/.dev ## the package, in dist/
	$(BIN)/python -m build

wheelhouse: $(VENV)/.dev ## what a box installs offline, in dist/; ARCH=arm64 for the other kind of box
	sh .ci/wheelhouse $(BIN)/python $(ARCH) dist/wheelhouse-$(ARCH)

deb: wheelhouse ## a Debian package of it, in dist/
	sh .ci/deb $(ARCH) dist/wheelhouse-$(ARCH) dist

lock: ## resolve the lock files again (needs uv)
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) pyproject.toml --extra recognition --constraint requirements.lock --output-file requirements-recognition.lock
	$(COMPILE) --group dev --constraint requirements-recognition.lock --output-file requirements-dev.lock

clean: ## remove everything that was built or installed here, and what runs of the tests left in the machine
	@$(if $(PYTHON),$(PYTHON) -B -m tests.leftovers)
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* *.egg-info
	find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment; `.run` holds what the product and its extra need, `.dev` the tools on top of it.
$(VENV)/.run: pyproject.toml requirements-recognition.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes --requirement requirements-recognition.lock
	$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	$(INSTALL) --require-hashes --requirement requirements-dev.lock
	@touch $@

system-run:
	@sh .ci/system-packages run

system-test:
	@sh .ci/system-packages test
