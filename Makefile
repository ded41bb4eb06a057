# Everything a user or a contributor runs; each target installs what it needs into .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
# Most tests wait for processes of their own: more run at once than there are cores.
TESTERS ?= 3
APP := service:create_app()
# Its notices are about itself; what is wrong with the docs are warnings, and fail.
SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.DEFAULT_GOAL := help
.PHONY: help run run-postgres stress scorecard observe test mutation check format docs lock clean

help: ## List the targets.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Guard needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: $(STAMP) ## Start the service on embedded DuckDB (GUARD_DATABASE_URL to change the file).
	@mkdir -p data
	@GUARD_DATABASE_URL=$${GUARD_DATABASE_URL:-duckdb:///data/warriors.duckdb} \
	  exec $(BIN)/gunicorn -c gunicorn_config.py '$(APP)'

run-postgres: $(STAMP) ## Start the service on PostgreSQL (GUARD_DATABASE_URL, or a server of its own).
	@if [ -n "$$GUARD_DATABASE_URL" ]; then exec $(BIN)/gunicorn -c gunicorn_config.py '$(APP)'; fi; \
	  mkdir -p data && exec $(BIN)/python -m service.demo_postgres --data data/postgres \
	    -- $(BIN)/gunicorn -c gunicorn_config.py '$(APP)'

stress: $(STAMP) ## Replay the incident against both databases.
	$(BIN)/python -m stress incident --backend duckdb --out stress-results
	$(BIN)/python -m stress incident --backend postgres --out stress-results

scorecard: $(STAMP) ## Run every claim in its short form and tell which are met (15 minutes).
	@$(BIN)/python -m stress scorecard --date "$$(date -u +%F)"

observe: $(STAMP) ## Watch the service under the incident's load in Prometheus (needs the system's).
	@$(BIN)/python -m stress observe

# Hundreds of processes import the same modules: compiled once, wherever the user's shell forbids that.
test: export PYTHONDONTWRITEBYTECODE =
test: $(STAMP) ## Run every test with coverage.
	$(BIN)/coverage erase
	$(BIN)/pytest -n $(TESTERS) --dist loadfile --cov --cov-report=

	$(BIN)/coverage report
	$(BIN)/coverage report --include='guard/core/*' --fail-under=100

mutation: $(STAMP) ## Break the core in every small way and see whether its tests notice (minutes).
	$(BIN)/python -m stress mutation-score --run

check: $(STAMP) ## Lint, types, import rules, drift of generated files.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m guard docs --check
	$(BIN)/python -m dashboards --check
	$(BIN)/python -m stress scorecard --readme --check
	$(SITE) --site-dir .site-check && rm -rf .site-check
	$(BIN)/hadolint --failure-threshold style deploy/Dockerfile
	$(BIN)/yamllint --strict --config-file deploy/.yamllint.yaml deploy

format: $(STAMP) ## Format the code and mend what the linter can mend.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## Write the docs' generated parts and the dashboards; build guides and API into site/.
	$(BIN)/python -m guard docs
	$(BIN)/python -m dashboards
	$(BIN)/python -m stress scorecard --readme
	$(SITE)

lock: ## Resolve the locked versions anew from the bounds in pyproject.toml.
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev \
	  --generate-hashes --no-strip-extras --no-emit-index-url --no-annotate --no-header \
	  --output-file requirements.lock pyproject.toml

clean: ## Remove what was installed and made here, but no data.
	rm -rf site .venv mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
