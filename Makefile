# `make demo`: a running, verified server in a disposable box. `make test`: everything that must pass.
PYTHON ?= python3
BIN := .venv/bin
RUNTIME := .venv/.runtime
READY := .venv/.ready
INSTALL := $(BIN)/python scripts/pip-install

.PHONY: demo demo-box demo-down test quick lint unit tools e2e attacks chaos upgrade-test faults bench lock clean uninstall-test versions-test lived-in-test vm-test

# The box is made while the virtual environment is filled: all that it needs is Python itself.
demo:
	@$(MAKE) --no-print-directory -j2 demo-box $(RUNTIME)
	$(BIN)/mlops-install apply -F .demo/ssh_config demo --yes

demo-box: | $(BIN)/pip
	@mkdir -p .demo
	PYTHONPATH=installer $(BIN)/python -m mlops_install.box demo > .demo/ssh_config

demo-down: $(RUNTIME)
	$(BIN)/mlops-install box down demo
	@rm -rf .demo

test: lint unit tools e2e

# What needs no box and waits for no other program.
quick: lint unit

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/pytest -q -n 2 --dist loadscope --durations=25 tests/unit

# conda-lock, uv, builds and trainings for real; no box either.
tools: $(READY)
	$(BIN)/pytest -q -n 2 --dist loadscope --durations=25 tests/tools

# What a machine cannot run is skipped with its reason; under CI=true that is a failure.
e2e: $(READY)
	$(BIN)/pytest -v -rs -n 3 --dist loadscope tests/e2e $(ATTACKS:%=--ignore=%) --ignore=tests/e2e/test_lived_in.py

# The long series of attacks: packages, commits, logins and pages, root and postgres; and real security updates.
ATTACKS := $(patsubst %,tests/e2e/test_walls_%.py,builds commits logins root secrets) tests/e2e/test_updates.py
attacks: $(READY)
	$(BIN)/pytest -v -rs -n 2 --dist loadscope $(ATTACKS)

# Twenty interruptions at random moments; takes the better part of an hour.
chaos: $(READY)
	CHAOS_ROUNDS=$${CHAOS_ROUNDS:-20} $(BIN)/pytest -v -s tests/e2e/test_interrupted.py

# Every pair of versions under load; about 15 minutes.
upgrade-test: $(READY)
	UPGRADES=all $(BIN)/pytest -v -s -rs tests/e2e/test_upgrade.py

# Every fault in an upgrade that changes the database; about half an hour.
faults: $(READY)
	FAULTS=all $(BIN)/pytest -v -s -rs tests/e2e/test_upgrade.py -k "leads_back or nothing_is_stopped"

# The comparison before and after an uninstall, on both systems; `make e2e` runs it on Debian 13.
uninstall-test: $(READY)
	UNINSTALL_SYSTEMS=debian-12,debian-13 $(BIN)/pytest -v -s tests/e2e/test_uninstall.py

# A server on which somebody works already, on both systems; about ten minutes.
lived-in-test: $(READY)
	$(BIN)/pytest -v -s -n 2 --dist loadscope tests/e2e/test_lived_in.py

# Every older version of Airflow on a fresh server; `make test` has the oldest one.
versions-test: $(READY)
	AIRFLOW_VERSIONS="3.1.8 3.2.2 3.3.1" $(BIN)/pytest -v -rs tests/e2e/test_older.py

# The Vagrantfile on a real virtual machine; the better part of an hour without KVM (VM_KVM=1).
vm-test: $(READY)
	$(BIN)/python tests/vagrant/vm.py

# docs/performance.md, in half an hour; single sections and their raw figures: benchmarks/run.py --help
bench: $(READY)
	$(BIN)/python benchmarks/run.py

# Newest versions of the development tools; the locks of what goes onto servers: scripts/lock-airflow.
LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-header pyproject.toml --extra checkout
lock: $(READY)
	$(LOCK) --extra dev -o requirements-dev.txt
	$(LOCK) -c requirements-dev.txt --no-annotate -o requirements.txt

clean:
	rm -rf .venv .demo .bench dist build .mypy_cache .ruff_cache .pytest_cache

$(BIN)/pip:
	$(PYTHON) -m venv .venv

# What the program needs; the development tools come on top of it.
$(RUNTIME): requirements.txt pyproject.toml | $(BIN)/pip
	$(INSTALL) --require-hashes -r requirements.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# Tests start many processes, so everything is compiled once. The demo starts two, and does not wait.
$(READY): requirements-dev.txt $(RUNTIME)
	UV_COMPILE_BYTECODE=1 $(INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@
