# Every target may be run again at any time; `make setup` takes under a second when nothing changed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/stamps
REGO := $(wildcard policies examples/fleet-repo/policies)
# Containers often forbid bytecode beside the source: every start of a command would compile all that it imports, and tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE
# Tests wait for processes more than they compute: twice as many workers as a small machine has cores. JOBS=0 is for a debugger.
JOBS ?= 4

.PHONY: help setup demo fuzz packages prometheus test test-clocks test-copies test-hosts test-history test-hostile test-recovery test-relay test-renewals test-storms test-browser test-conformance test-faults test-mutations test-fencing test-rollouts test-simulated lint format bench lock

help: ## Say what there is to run
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

setup: $(STAMPS)/project $(STAMPS)/opa ## Make .venv from the lock file and put OPA in place

# Without its stamp a venv was interrupted, or made by hand: making it again mends the one and leaves the other as it is.
$(STAMPS)/venv:
	@echo "setup: making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "setup: Python 3.11 or later is needed; say which one with make PYTHON=...")'
	@$(PYTHON) -m venv .venv
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/lock: requirements.lock $(STAMPS)/venv
	@echo "setup: installing what requirements.lock names"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@touch $@

$(STAMPS)/project: pyproject.toml $(STAMPS)/lock
	@echo "setup: installing ordain itself, editable"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Remembers the path; a cache that was emptied since is filled again.
$(STAMPS)/opa: $(if $(wildcard $(shell cat $(STAMPS)/opa 2>/dev/null || echo absent)),,absent-opa) $(STAMPS)/project
	@echo "setup: looking for OPA, or building it (up to a minute)"
	@$(BIN)/python -m reconciler.opa.program > $@.new
	@mv $@.new $@
	@echo "setup: OPA is $$(cat $@)"

.PHONY: absent-opa
absent-opa:

demo: setup ## Watch a commit reach three agents, a bad one be refused, and a process run; KEEP=1 leaves it running
	@$(BIN)/python examples/demo.py $(if $(KEEP),--keep)

# Built before any test waits for it; where it can't be, the tests say so.
.PHONY: s3
s3: setup
	@$(BIN)/python -m tests.s3_server > /dev/null

# The gate that asks Prometheus is tried with a real one where there is one; what Debian packages is unpacked, and nothing is installed.
prometheus: ## Unpack Prometheus for the test of its gate (Debian and Ubuntu)
	@into=$${ORDAIN_CACHE:-$$HOME/.cache/ordain}/prometheus; made=$$(mktemp -d); \
	  cd "$$made" && apt-get -qq download prometheus && dpkg-deb -x prometheus_*.deb . \
	  && mkdir -p "$$into" && cp usr/bin/prometheus "$$into/" && rm -r "$$made" && echo "$$into/prometheus"

test: setup s3 ## Run all tests and print the coverage figure
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadgroup --cov --cov-report term

# A mount namespace of its own lets the tests of full disks mount small ones; where users may not have one, they say so.
test-faults: setup ## Fill disks, then kill everything KILLS times (1,000) while commits keep coming; SEED=n repeats a run
	@own=; if unshare --map-root-user --mount true 2>/dev/null; then own="unshare --map-root-user --mount"; fi; \
	  $$own $(BIN)/python -m pytest -m slow tests/faults tests/e2e/test_crashes.py
	@$(BIN)/python -m tests.faults.campaign --kills $(or $(KILLS),1000) $(if $(SEED),--seed $(SEED))

fuzz: setup ## Fuzz all that reads what strangers wrote, TIME seconds each (20); TARGETS="wire journal" for some of it
	@$(BIN)/python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("atheris") is None)' \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[fuzz]' \
	  || echo "fuzz: atheris can't be installed here"
	@$(BIN)/python -m tests.fuzz --seconds $(or $(TIME),20) $(TARGETS)

test-hostile: setup ## Run every hostile manifest, tree and archive of the table, each in a process of its own, measured
	@$(BIN)/python -m pytest tests/integration/test_hostile_inputs.py -m "slow or not slow" -v

packages: setup ## Make the agent's packages in dist/; INTERPRETER=directory brings another Python along, ONLY="deb,tar" makes some
	@$(BIN)/python -m deploy agent --out dist $(if $(INTERPRETER),--interpreter $(INTERPRETER)) $(if $(ONLY),--only $(ONLY))

test-hosts: setup ## As root on Debian: packages, systemd and package managers on systems made for it, a quarter of an hour
	@$(BIN)/python -m pytest tests/hosts -m slow -v

test-browser: setup ## Look at the pages that ordain writes in a real Chromium: no error, no request, no word cut off
	@$(BIN)/python -m pytest -m slow tests/browser

test-relay: setup ## A site behind a relay, with real processes: its server is killed and comes back; half a minute
	@$(BIN)/python -m pytest tests/e2e/test_relay.py -m "slow or not slow" -v

test-recovery: setup ## Lose a registry, then a whole disk, and move one to PostgreSQL and back, under agents that run; two minutes
	@$(BIN)/python -m pytest tests/e2e/test_backup.py -m "slow or not slow" -v

ROLLOUTS := rollouts power_loss leaking_update cut_network fix_in_an_incident authority_in_stages
test-rollouts: setup ## Releases that hurt real hosts, lost power and cut lines: held, taken back, healed; eight minutes, ONLY=leaks for some
	@$(BIN)/python -m pytest $(ROLLOUTS:%=tests/e2e/test_%.py) -m "slow or not slow" --numprocesses 2 --dist loadgroup -v $(if $(ONLY),-k "$(ONLY)")

test-renewals: setup ## Hosts whose certificates live for seconds, under load for ORDAIN_TEST_SECONDS (600), and 200 whose authority changes
	@$(BIN)/python -m pytest tests/e2e/test_renewals.py tests/integration/test_authority_change.py -m "slow or not slow" -s -v

test-storms: setup ## A tenant's reports stay as fast while another's hosts report, watch and enrol without a pause; three minutes
	@$(BIN)/python -m pytest tests/e2e/test_storms.py -m "slow or not slow" -s -v

test-clocks: setup ## Hosts and a server whose clocks are wrong by a day are named, and go on once they are set right; a minute
	@$(BIN)/python -m pytest tests/e2e/test_wrong_clocks.py -m "slow or not slow" -v

test-copies: setup s3 ## Several copies of both zones on PostgreSQL and a bucket: restarted, killed, their disks lost; five minutes
	@$(BIN)/python -m pytest tests/e2e/test_copies.py tests/e2e/test_object_store.py -m "slow or not slow" -v

test-fencing: setup ## Stop, wake and kill two reconcile and two serve for ten minutes (ORDAIN_TEST_SECONDS): no host sees two orders
	@$(BIN)/python -m pytest tests/integration/test_fencing.py tests/e2e/test_fenced_zones.py -m "slow or not slow" -s -v

test-simulated: setup ## Replay a thousand rollouts by dice; `python -m tests.simulator.replays N` runs one of them again
	@$(BIN)/python -m pytest tests/unit/test_replays.py -m "slow or not slow" -s -q

test-simulator: setup ## Hundreds of hosts in one process against a real ordain up; `python -m tests.simulator --agents 1000` for one run that tells
	@$(BIN)/python -m pytest tests/integration/test_simulator.py -m "slow or not slow" -v

test-history: setup ## Live through a year of a fleet repository day by day, and hold every refusal to what was read and kept
	@$(BIN)/python -m pytest tests/integration/test_history_golden.py -m "slow or not slow"

test-conformance: setup ## Run the public TUF conformance suite against the agent's own client
	@$(BIN)/python -m tests.conformance --numprocesses $(JOBS)

lint: setup ## Check style, types, imports and policies; changes nothing
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --quiet --check --diff .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo
	@if [ -n "$(REGO)" ]; then opa=$$(cat $(STAMPS)/opa); \
	  "$$opa" fmt --diff --fail $(REGO); \
	  "$$opa" check --strict --capabilities policies/capabilities.json policies; fi

test-mutations: setup ## List conditions of rules that could be wrong without a test failing
	@ORDAIN_OPA="$$(cat $(STAMPS)/opa)" $(BIN)/python -m tests.policy_mutants

format: setup ## Rewrite Python and Rego the way lint wants them
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@if [ -n "$(REGO)" ]; then "$$(cat $(STAMPS)/opa)" fmt --write $(REGO); fi

bench: setup ## Measure what benchmarks/README.md describes, half an hour; NAME="check commit" for some of it
	@$(BIN)/python -m benchmarks $(NAME)

# pip-compile in an environment of its own; hashes only, so the file says nothing of where packages came from.
lock: $(STAMPS)/venv ## Rewrite requirements.lock from pyproject.toml; UPGRADE=1 takes the newest versions
	@$(PYTHON) -m venv .venv/pip-tools
	@.venv/pip-tools/bin/python -m pip install --quiet --disable-pip-version-check pip-tools
	@.venv/pip-tools/bin/pip-compile --quiet --extra reconciler --extra hsm --extra dev --generate-hashes --strip-extras --allow-unsafe --no-header \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host $(if $(UPGRADE),--upgrade) --output-file requirements.lock pyproject.toml
