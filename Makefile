# `make run` and `make test` do all set-up themselves: Python 3.11-3.13, make and a package index are enough.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do if $$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13))' 2>/dev/null; then echo $$p; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test setup lint bench chaos cluster-test soak scale clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "spyhop needs Python 3.11, 3.12 or 3.13 on PATH"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev,oracles]'
	touch $(STAMP)

run: setup
	$(BIN)/spyhop run --paper --hours 0.15 --speed 10 --symbols BTCUSDT,ETHUSDT
	$(BIN)/spyhop report --paper

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# one thread for linear algebra: on a small machine several wait for each other most of the time
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

bench: setup
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@for name in decode replay detectors latency verdicts memory wire rows faults commit outage supervisor paper lag_meter leadlag sweep; do $(BIN)/python -m benchmarks.$$name || exit 1; done

# faults of the venues, one after the other, a short soak, then a thousand sessions whose processes are killed
chaos: setup
	$(BIN)/python -m pytest -m storm
	$(BIN)/python -m benchmarks.chaos

# a session on three machines made of namespaces, of which everything is killed or cut off: root, half an hour
cluster-test: setup
	@bash tests/deploy/hosts.sh needs
	$(BIN)/python -m pytest -m cluster -x tests/deploy

# a day of market time with random faults, about twenty minutes
soak: setup
	$(BIN)/python -m benchmarks.soak

# how far it scales, a session soaked for an hour, a sweep beside a session: about two hours, alone on the machine
scale: setup
	$(BIN)/python -m benchmarks.scale --write docs/scale.md
	$(BIN)/python -m benchmarks.cluster_soak
	$(BIN)/python -m benchmarks.beside_sweep

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
