# Everything a user or developer types. `make` alone lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Two cores: let pytest use both, each process with one thread, so that they don't fight.
JOBS ?= auto
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

.PHONY: help
help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# torch first and pinned: without a version pip would fetch the newest build and its GPU libraries.
$(READY): setup.cfg pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (once)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch==2.13.0
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.PHONY: setup
setup: $(READY)  ## Make the virtual environment with exact versions

.PHONY: demo
demo: $(READY)  ## Train six runs and their control, then one that beats it: tables and pictures
	@$(BIN)/python run.py -cn demo
	@echo "next, one that beats this control: another reward and a better teacher"
	@$(BIN)/python run.py -cn demo_teacher

.PHONY: test
test: $(READY)  ## Run the tests (a few minutes)
	@$(PYTEST) -m "not slurm and not slow and not browser and not gpu and not hostile"

.PHONY: test-pythons
test-pythons:  ## Run the tests on each Python from 3.10 on that is here (WITH=--without-torch: what needs none)
	@$(PYTHON) tests/pythons.py $(WITH)

.PHONY: test-slow
test-slow: $(READY)  ## Run the slow tests and the ones in a headless browser
	@$(PYTEST) -m "slow or browser"

.PHONY: release-check
release-check: $(READY)  ## Build the wheel, check its metadata and licence, install and use it elsewhere
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_wheel.py

.PHONY: test-hostile
test-hostile: $(READY)  ## Try odd configurations, damaged files, kills (AVATARL_FUZZ=1000, AVATARL_KILLS=50: more)
	@$(PYTEST) -m hostile tests/hostile

.PHONY: test-gpu
test-gpu: $(READY)  ## Run the tests that need a GPU
	@$(BIN)/python -m pytest -m gpu tests/model tests/training

.PHONY: slurm-up
slurm-up: $(READY)  ## Start a real two-node SLURM on this machine (root; installs it when missing)
	@$(BIN)/python tests/slurm/cluster.py up

.PHONY: slurm-down
slurm-down: $(READY)  ## Stop it
	@$(BIN)/python tests/slurm/cluster.py down

.PHONY: test-slurm
test-slurm: slurm-up  ## Run the tests on the two-node SLURM
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slurm tests/slurm; code=$$?; \
		$(BIN)/python tests/slurm/cluster.py down; exit $$code

.PHONY: lint
lint: $(READY)  ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

.PHONY: docs
docs: $(READY)  ## Build the documentation site in build/site; a warning is an error
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs build/site
	@echo "site: build/site/index.html"

.PHONY: findings
findings: $(READY)  ## Draw the pictures of docs/findings.md from the summaries in docs/findings/
	@$(BIN)/python docs/make_findings.py

SWEEPS := record_policy_matched record_policy_matched_long record_policy record_adaptive record_prior \
	record_bandit_alone record_bandit_prior teachers feedback rewards dropping schedules
.PHONY: findings-runs
findings-runs: $(READY)  ## Compute what the findings are made of again (hours), and summarise it
	@for sweep in traps_a traps_b traps_c; \
		do $(BIN)/python run.py -cd tests/origin -cn $$sweep || exit 1; done
	@for sweep in $(SWEEPS); do $(BIN)/python run.py -cn $$sweep || exit 1; done
	@$(BIN)/python docs/make_findings.py --outputs outputs traps_a traps_b traps_c $(SWEEPS)

.PHONY: bench
bench: $(READY)  ## Run every benchmark, quickly; JSON lines
	@for script in $(filter-out benchmarks/harness.py benchmarks/profile_run.py,$(wildcard benchmarks/*.py)); \
		do $(BIN)/python $$script --quick --json || exit 1; done

.PHONY: profile
profile: $(READY)  ## Show where the time of a run goes (RUN="overrides" chooses it)
	@$(BIN)/python benchmarks/profile_run.py $(RUN)

.PHONY: clean
clean:  ## Remove the environment and caches; outputs/ stays
	rm -rf $(VENV) *.egg-info build .pytest_cache .mypy_cache .ruff_cache .hypothesis
