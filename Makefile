# Start with `make demo` and `make test`; `make help` lists all targets.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
ARCH ?= amd64
RELEASE ?= trixie
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.PHONY: help demo test check lint types judges unit debian fuzz faults pictures docs licences figures wheel wheelhouse deb lock clean system-run system-test

help: ## list the targets
	@sed -nE 's/^([a-z]+):.*## /  \1\t/p' Makefile | expand -t 14

demo: system-run $(VENV)/.run ## run broker, platform, one sentinel and simulated people; Ctrl-C stops them
	@$(BIN)/edge-agent demo $(DEMO)

test: system-test $(VENV)/.dev ## install what the tests need and run all checks
	@$(MAKE) --no-print-directory check

check: lint types judges unit

lint: ## check formatting and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: ## check static types
	$(BIN)/mypy

judges: ## run shellcheck, lintian, AsyncAPI parser and Redocly; install axe-core for the tests
	@sh .ci/judges/run

unit: ## run the tests with coverage, in six processes because they mostly wait
	$(BIN)/pytest -q --numprocesses 6 --dist loadfile --cov --cov-report=term:skip-covered

debian: ## run demo and tests on a fresh Debian 13 (debootstrap, root), 30 min; RELEASE=noble for Ubuntu
	sh .ci/debian $(RELEASE)

fuzz: $(VENV)/.dev ## feed a million damaged inputs to every parser of the drivers, 15 min
	$(BIN)/python -m bench.parsers --inputs 1000000

faults: system-test $(VENV)/.dev ## run the long form of the fault suite, 1 to 2 h
	FAULT_ROUNDS=100 DIRECTORY_HISTORIES=10000 $(BIN)/pytest -q --timeout 14400 --hypothesis-seed=$$(date +%s) tests/faults tests/sync/edge/test_directory.py

pictures: system-test $(VENV)/.dev ## take the pictures in docs/pictures/ from the running demo, two minutes
	$(BIN)/python -m bench.pictures

docs: $(VENV)/.run ## write docs/cli.md from the commands
	$(BIN)/python -m bench.cli_reference

licences: $(VENV)/.dev ## write docs/licences.md: every shipped part with its licence
	$(BIN)/python -m bench.licences

figures: $(VENV)/.dev ## compute the figures in docs/architecture.md: sizes of folders, files and functions; circles
	$(BIN)/python -m tests.test_layering

wheel: $(VENV)/.dev ## build the Python package in dist/
	$(BIN)/python -m build

wheelhouse: $(VENV)/.dev ## build the offline installation of a box in dist/; ARCH=amd64 (default) or arm64
	sh .ci/wheelhouse $(BIN)/python $(ARCH) dist/wheelhouse-$(ARCH)

deb: wheelhouse ## build a Debian package of the wheelhouse in dist/
	sh .ci/deb $(ARCH) dist/wheelhouse-$(ARCH) dist

lock: ## resolve the lock files again (needs uv)
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) pyproject.toml --extra recognition --constraint requirements.lock --output-file requirements-recognition.lock
	$(COMPILE) --group dev --constraint requirements-recognition.lock --output-file requirements-dev.lock

clean: ## remove all build results, the environment, and remains of test runs
	@$(if $(PYTHON),$(PYTHON) -B -m tests.leftovers)
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* *.egg-info
	find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment: `.run` marks the dependencies of the product and its extra, `.dev` also the development tools.
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
