# Everything runs from .venv, which scripts/bootstrap makes with any Python >= 3.12 it finds.

python := .venv/bin/python
manage := $(python) manage.py

.DEFAULT_GOAL := help
.PHONY: bench mutants help demo run test check lint lock clean environment

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: environment ## Send two brands' campaigns through a fake carrier, then serve the admin (ONCE=1, PORT=8000)
	@exec env -u DATABASE_URL -u REDIS_URL CARILLON_DATA="$(CURDIR)/.carillon/demo" \
	  PUBLIC_URL=http://127.0.0.1:$(or $(PORT),8000) \
	  FAKE_CARRIER_URL=http://127.0.0.1:$(or $(CARRIER_PORT),8100) \
	  $(manage) demo $(if $(filter-out 0,$(ONCE)),--once)

run: environment ## Serve the web, the ticker and the workers (DATABASE_URL and REDIS_URL, or embedded)
	@exec $(manage) serve $(if $(PORT),--port $(PORT))

test: environment ## Run every test in parallel (ARGS="-k stop -x")
	@exec $(python) -m pytest -n auto $(ARGS)

chaos: environment ## Kill processes and cut wires, ten minutes (RUNS=n random runs, SEED=n repeats one)
	@exec env CHAOS=long RUNS="$(RUNS)" SEED="$(SEED)" $(python) -m pytest -m chaos -n 4 \
	  tests/chaos$(if $(SEED),/test_random.py) $(ARGS)

mutants: environment ## Change the rules' code in every way and count what no test notices, minutes (docs/compliance.md)
	@exec nice -n 15 .venv/bin/mutmut run && .venv/bin/mutmut results

check: lint test ## Do all that CI does: format, lint, types, imports, migrations, Dockerfile, tests

lint: environment
	$(python) -m ruff format --check .
	$(python) -m ruff check .
	$(python) -m mypy
	.venv/bin/lint-imports --no-logo
	$(manage) makemigrations --check --dry-run
	.venv/bin/hadolint Dockerfile

bench: environment ## Measure the loop with a stub provider (ROWS="single bulk" RUNS=5)
	@RUNS="$(RUNS)" $(python) -m benchmarks $(ROWS)

lock: environment ## Recompile the hashed requirements (UPGRADE=1 takes newer releases)
	$(call compile,requirements.in,requirements.txt)
	$(call compile,requirements.in requirements-dev.in,requirements-dev.txt)

compile = .venv/bin/uv pip compile -q --universal --generate-hashes --python-version 3.12 \
	--no-emit-index-url --no-header $(if $(UPGRADE),--upgrade) $(1) -o $(2)

clean: ## Remove .venv, the embedded servers' data and the caches
	@if [ -f .carillon/postgresql/postmaster.pid ] \
	  && kill -0 "$$(head -n 1 .carillon/postgresql/postmaster.pid)" 2>/dev/null; then \
	  echo "PostgreSQL still runs in .carillon: stop what uses it first." >&2; exit 1; fi
	rm -rf .venv .carillon staticfiles .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	  .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

environment:
	@scripts/bootstrap
