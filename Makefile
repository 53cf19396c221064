# `make demo`: a running, verified server in a disposable box. `make test`: everything that must pass.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEMO := $(BIN)/mlops-install -F .demo/ssh_config

.PHONY: demo demo-down test lint unit e2e chaos bench lock clean

demo: $(READY)
	@mkdir -p .demo
	$(BIN)/mlops-install box up demo
	@$(BIN)/mlops-install box ssh-config demo > .demo/ssh_config
	$(BIN)/mlops-install apply -F .demo/ssh_config demo --yes

demo-down: $(READY)
	$(BIN)/mlops-install box down demo
	@rm -rf .demo

test: lint unit e2e

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/pytest -q -n 2 --dist loadscope tests/unit

# What a machine cannot run is skipped with its reason; under CI=true that is a failure.
e2e: $(READY)
	$(BIN)/pytest -v -rs --durations=25 -n 2 --dist loadscope tests/e2e

# Twenty interruptions at random moments; takes the better part of an hour.
chaos: $(READY)
	CHAOS_ROUNDS=$${CHAOS_ROUNDS:-20} $(BIN)/pytest -v -s tests/e2e/test_interrupted.py

bench: $(READY)
	$(BIN)/python benchmarks/run.py

# Newest versions of the development tools; the locks of what goes onto servers: scripts/lock-airflow.
lock: $(READY)
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --extra dev pyproject.toml -o requirements-dev.txt

clean:
	rm -rf .venv .demo dist build .mypy_cache .ruff_cache .pytest_cache

$(READY): requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
