# The verbs of Samewater. Each line that starts with a verb and ends in a comment is its help.

SAMEWATER_HOME ?= .samewater
jars := $(SAMEWATER_HOME)/jars
poms := $(wildcard conf/maven/pom.xml conf/maven/*/pom.xml)
samewater := .venv/bin/samewater
# Each tier prints its ten slowest tests and how long it took in all.
pytest := .venv/bin/python -m pytest --durations=10
# Only tests/unit uses Hypothesis. Its plugin imports it at the end of any run, which beside threads that parse ended in CPython
# 3.11.2's "AST constructor recursion depth mismatch" instead of the summary.
pytest-servers := $(pytest) -p no:hypothesispytest
rivals := $(SAMEWATER_HOME)/rivals/done.stamp
client := $(SAMEWATER_HOME)/client/done.stamp
ready := $(SAMEWATER_HOME)/system.stamp .venv/project.stamp $(jars)/done.stamp $(client)

# Two tiers at once would share two cores.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: bench soak help install system demo up down status logs restart stop resume rebuild health sql lint reconcile report \
	full-report test test-unit test-sql test-e2e test-faults

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

install: system $(ready) ## install what is missing: system packages, Python packages, jars
	@echo "All is installed."

demo: $(ready) ## the whole story on one day of orders [ORDERS=file.csv MAPPING=file.toml]
	@$(samewater) demo $(if $(ORDERS),--orders "$(ORDERS)") $(if $(MAPPING),--mapping "$(MAPPING)")

up: $(ready) ## start the servers
	@$(samewater) up

down: $(ready) ## stop the servers
	@$(samewater) down

status: $(ready) ## show what each server does
	@$(samewater) status

logs: $(ready) ## print the end of a server's log: NAME=kafka
	@$(samewater) logs $(or $(NAME),$(error say which one: make logs NAME=kafka))

restart: $(ready) ## restart one server: NAME=kafka
	@$(samewater) restart $(or $(NAME),$(error say which one: make restart NAME=kafka))

stop: $(ready) ## stop a streaming run with a savepoint: RUN=...
	@$(samewater) stop $(or $(RUN),$(error say which one: make stop RUN=...; see samewater runs))

resume: $(ready) ## go on with a streaming run: RUN=... [ARGS="--parallelism 2"]
	@$(samewater) resume $(or $(RUN),$(error say which one: make resume RUN=...; see samewater runs)) $(ARGS)

rebuild: $(ready) ## bring the live minutes back into Redis from the log [ARGS="--from 2026-11-11"]
	@$(samewater) rebuild $(ARGS)

health: $(ready) ## say whether all is well, and what to do [ARGS="--format json"]
	@$(samewater) health $(ARGS)

sql: $(ready) ## run a script of sql/client, or open the SQL client [SCRIPT=questions ARGS="--from 2026-11-11"]
	@$(samewater) sql $(SCRIPT) $(ARGS)

reconcile: $(ready) ## check that stream, batch, log and oracle agree [ARGS="--from 2026-11-11"]
	@$(samewater) reconcile $(ARGS)

report: $(ready) ## print the daily report [ARGS="--day 2026-11-11"]
	@$(samewater) report $(ARGS)

full-report: $(ready) ## join a day with the days before it: DAY=2026-11-11 [ARGS="--anyway"]
	@$(samewater) full-report --day $(or $(DAY),$(error say which one: make full-report DAY=2026-11-11)) $(ARGS)

bench: $(ready) $(rivals) ## measure throughput and latency, on servers of its own [ARGS="--orders 8000000 --rounds 1"]
	.venv/bin/python -m tests.bench $(ARGS)

soak: $(ready) ## hold random rounds of all jobs against the oracle, on servers of its own [ROUNDS=30 ARGS="--seed 7"]
	.venv/bin/python -m tests.soak --rounds $(or $(ROUNDS),30) $(ARGS)

test: lint test-unit test-sql test-e2e ## ruff, mypy, and every test but the long stories of faults

test-unit: $(ready) ## tests without servers, in a minute
	$(pytest) -n auto tests/unit

test-sql: $(ready) ## the queries, over a Kafka of their own, in a Flink inside the test's process
	$(pytest-servers) tests/sql

test-e2e: $(ready) $(SAMEWATER_HOME)/tests.stamp ## the main stories, on servers of their own, beside a demo
	$(pytest-servers) tests/e2e

test-faults: $(ready) $(SAMEWATER_HOME)/tests.stamp ## kills, outages, recovery, races: the long stories
	$(pytest-servers) tests/faults

lint: $(ready) ## ruff and mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

system:
	@tools/system-packages.sh

# What is up to date is not done again: each stamp is younger than what it was made from.

$(SAMEWATER_HOME)/system.stamp: tools/system-packages.sh
	@tools/system-packages.sh
	@mkdir -p $(@D) && touch $@

$(SAMEWATER_HOME)/tests.stamp: tools/system-packages.sh
	@tools/system-packages.sh --tests
	@mkdir -p $(@D) && touch $@

.venv/packages.stamp: requirements.lock | $(SAMEWATER_HOME)/system.stamp
	@echo "Installing the Python packages of requirements.lock into .venv (1 GB)."
	@python=$$(tools/system-packages.sh --python) && "$$python" -m venv .venv
	@awk '/^[^ #]/ { uv = /^uv==/ } uv' requirements.lock > .venv/uv.txt
	@.venv/bin/pip install -qq --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@# uv takes a fifth of the time; pip knows the mirror or proxy that was set up for it.
	@.venv/bin/uv pip install -q --compile-bytecode --python .venv/bin/python --build-constraints requirements.lock \
			--require-hashes -r requirements.lock \
		|| .venv/bin/pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(rivals): tests/bench/rivals.lock .venv/packages.stamp
	@echo "Installing DuckDB and Spark for the benchmark into $(@D) (0.6 GB)."
	@.venv/bin/python -m venv $(@D)
	@.venv/bin/uv pip install -q --python $(@D)/bin/python --require-hashes -r tests/bench/rivals.lock
	@touch $@

.venv/project.stamp: pyproject.toml .venv/packages.stamp
	@.venv/bin/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(jars)/done.stamp: $(poms) | $(SAMEWATER_HOME)/system.stamp
	@echo "Fetching the jars that conf/maven names (280 MB the first time)."
	@rm -rf $(jars)
	@mvn -q -B -f conf/maven/pom.xml dependency:copy-dependencies -Djars="$(abspath $(jars))"
	@touch $@

$(client): .venv/packages.stamp $(jars)/done.stamp | .venv/project.stamp
	@echo "Archiving the classes of Flink's client, so that a submission starts faster (110 MB)."
	@.venv/bin/python -m flink_jobs.class_archive
	@touch $@
