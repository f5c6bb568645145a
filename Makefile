# Everything a person types: `make serve` on a fresh machine, `make test`, `make lint`. Nothing needs root.

VENV := .venv
BIN := $(VENV)/bin
# The newest Python here that is at least 3.11; set PYTHON to choose another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$python >/dev/null && $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& echo $$python && break; done)
# flake8-async's rules that ruff does not have (not ASYNC128, which does not see a task_status passed on).
# Only where anything is async: that is two files in five, and it takes a minute less.
TRIO := ASYNC101,ASYNC102,ASYNC103,ASYNC104,ASYNC113,ASYNC118,ASYNC121,ASYNC123,ASYNC900
PYTEST := $(BIN)/pytest --color=no
SHORT := -m "not soak and not conformance"

# Compiled modules, made in place and out of sight of git; of other sources than those that are here, they go.
COMPILED := build/.compiled
SOURCES = $(shell find parkeeper -name '*.py') pyproject.toml

.PHONY: serve test lint format compiled fastest pure fresh soak conformance bench servers clean

serve: $(VENV)/.serve fresh
	$(BIN)/parkeeper serve

# Three at a time on two cores: most tests wait most of the time.
test: $(VENV)/.develop servers fresh
	$(PYTEST) -n 3 --dist loadfile $(SHORT) || { \
	  echo "Once more, alone, what failed beside others on two cores (real servers have real deadlines):"; \
	  $(PYTEST) --last-failed --last-failed-no-failures none $(SHORT); }

# The same kinds of tests at length: about two hours. SOAK_KILLS (300), SOAK_SEEDS (200) and SOAK_SECONDS (1800, of
# mixed load on each store) make it shorter or longer.
soak: $(VENV)/.develop servers fastest
	$(PYTEST) -m soak --log-cli-level=WARNING

# ZooKeeper itself beside parkeeper, with generated scripts (most of it is waiting, hence the processes), then kazoo's
# own suite on every store: about an hour. tests/conformance/oracle/test_oracle.py says how to make it shorter.
conformance: $(VENV)/.develop servers fastest
	$(PYTEST) -m conformance tests/conformance/oracle -n 4 --dist worksteal
	$(PYTEST) -m conformance --ignore tests/conformance/oracle

# What is to be reached, beside ZooKeeper; tests/bench/README.md says what can be chosen.
bench: $(VENV)/.develop servers fastest
	PYTHONPATH=. $(BIN)/python -m tests.bench.table

lint: $(VENV)/.develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/flake8 --select $(TRIO) $$(grep -rl --include='*.py' 'async ' parkeeper tests examples)
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/pytest -q --color=no tests/test_house.py

format: $(VENV)/.develop
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The hot path in C, by mypyc (pyproject.toml says which modules): needs a C compiler and Python's headers, and a minute
# or two. What runs from this folder then runs it, the tests too; `make pure` goes back.
compiled: $(COMPILED)

$(COMPILED): $(SOURCES) | $(VENV)/.serve
	$(MAKE) -s pure
	mkdir -p $(@D) && touch $@.begun
	HATCH_BUILD_HOOKS_ENABLE=1 $(BIN)/python -m pip install -q --editable . --no-deps
	mv $@.begun $@  # with its time: what was saved meanwhile is newer

fastest: $(VENV)/.serve
	@$(MAKE) -s compiled || { $(MAKE) -s pure; echo "Could not compile: this is plain Python"; }

pure:
	rm -f $(COMPILED)
	for library in $(wildcard *__mypyc.*.so); do rm -f $$library $(VENV)/lib/python*/site-packages/$$library; done
	find parkeeper -name '*.so' -delete

fresh:
	@test ! -e $(COMPILED) || test -z "$$(find $(SOURCES) -newer $(COMPILED))" || { \
	  echo "The compiled modules are older than their source: plain Python again (make compiled makes them anew)"; \
	  $(MAKE) -s pure; }

# etcd, Consul and ZooKeeper for the tests, into .servers/; what this machine can't have is named, and skipped.
servers: $(VENV)/.develop
	$(BIN)/python tests/tools/fetch_servers.py

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "parkeeper needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade "pip>=25.1"  # the first that knows --group

$(VENV)/.serve: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --editable .
	touch $@

$(VENV)/.develop: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --editable . --group test --group lint
	touch $@ $(VENV)/.serve

clean: pure
	rm -rf $(VENV) .servers .pytest_cache .hypothesis .mypy_cache .ruff_cache build dist
