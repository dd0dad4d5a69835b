# Everything below needs only Python 3.11 to 3.13, make and git. `make` alone lists the targets.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	if $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then echo $$p; break; fi; done)
BIN := .venv/bin
# Bytecode of our own modules is kept too, whatever the shell says: many short processes would each compile them again.
export PYTHONDONTWRITEBYTECODE :=
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
# uv is fetched by pip and does in seconds what takes pip most of a minute; where uv cannot reach the packages, pip goes on.
# Bytecode is made once, here, as pip does: where no process may write it, each start would compile for two seconds.
INSTALL = install() { UV_COMPILE_BYTECODE=1 $(BIN)/uv pip install --quiet --python $(BIN)/python "$$@" || $(BIN)/pip install --quiet "$$@"; }; install
# A file's tests stay together: they share what they have set up. Each process has servers of its own, and waits for them
# a quarter of the time, so there is one more than cores. Files come in the order of tests/conftest.py.
PROCESSES ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 4 ? cores + 1 : 4)))
PYTEST = $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast bench chaos soak fuzz lint format lock docs clean audit sbom

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/dev.stamp ## make .venv with all tools; again only when the locked requirements change

demo: .venv/runtime.stamp ## start everything, play 30 s of card traffic, check the books
	$(BIN)/otb demo $(ARGS)

test: .venv/dev.stamp ## run all tests on real servers (ARGS="-k name" to choose)
	$(PYTEST) $(ARGS)

test-fast: .venv/dev.stamp ## run the tests that need no server
	$(PYTEST) tests/unit tests/property tests/scenarios tests/simulation tests/fuzz $(ARGS)

chaos: .venv/dev.stamp ## hurt everything under load, on 1 broker and on 3, check it, write docs/reliability*.md (ARGS="--seed 7")
	$(BIN)/python -m tests.chaos.campaign --minutes 9 --page docs/reliability.md $(ARGS)
	$(BIN)/python -m tests.chaos.campaign --brokers 3 --minutes 3 --page docs/reliability-brokers.md $(ARGS)

soak: .venv/dev.stamp ## what four hours at 500 messages a second bring, in one, with every fault again and again
	$(BIN)/python -m tests.chaos.campaign --minutes 60 --rate 2000 --page docs/reliability-soak.md $(ARGS)

fuzz: .venv/dev.stamp .venv/fuzz.stamp ## try every decoder with more than a million inputs (ARGS="--inputs 70000")
	$(BIN)/python -m tests.fuzz $(ARGS)

bench: .venv/dev.stamp ## time the pieces of a decision against the stored baseline (ARGS=--instructions counts as well)
	$(BIN)/python -m tests.benchmarks $(ARGS)

lint: .venv/dev.stamp ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev.stamp ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/dev.stamp ## pin requirements and Kafka's jars anew (ARGS=--upgrade: to the newest allowed)
	$(COMPILE) $(ARGS) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) $(ARGS) pyproject.toml --extra dev --extra train -c requirements/runtime.txt -o requirements/dev.txt
	echo uv | $(COMPILE) - -c requirements/dev.txt -o requirements/bootstrap.txt
	echo 'atheris==3.0.*' | $(COMPILE) - -o requirements/fuzz.txt
	$(BIN)/python -m deploy.embedded.lock_jars

audit: .venv/dev.stamp ## known weaknesses of what is locked; needs the network, exit 3 when it cannot look
	$(BIN)/python -m deploy.dependencies audit

sbom: .venv/dev.stamp ## write the bill of materials (CycloneDX JSON) of what is locked
	$(BIN)/python -m deploy.dependencies sbom sbom.json

docs: .venv/dev.stamp ## write the generated tables of README.md and docs/messages.md anew
	$(BIN)/python -m deploy.documentation

clean: ## remove .venv, caches and build output
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/fuzz.stamp: .venv/dev.stamp requirements/fuzz.txt
	@$(INSTALL) --require-hashes -r requirements/fuzz.txt
	@touch $@

.venv/bootstrap.stamp: requirements/bootstrap.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: install one, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "making .venv with $(PYTHON)"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

.venv/runtime.stamp .venv/dev.stamp: .venv/%.stamp: .venv/bootstrap.stamp requirements/%.txt pyproject.toml
	@echo "installing requirements/$*.txt"
	@$(INSTALL) --require-hashes -r requirements/$*.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@
