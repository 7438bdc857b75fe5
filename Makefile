# platefleet. `make run` and `make test` do all the set-up themselves; `make help` lists the rest.
SHELL := /bin/bash
PY := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help setup run test check fix evaluate faults lock doctor clean docs

help:  ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
	@for file in bench/[a-z]*.py; do name=$${file#bench/}; printf 'bench-%s\t%s\n' "$${name%.py}" "$$(sed -n '1s/^\"*//p' "$$file")"; done | expand -t 16

setup:  ## make .venv with the locked packages, verified by hash (the other targets call it)
	@.ci/setup

run: setup  ## the demo: four simulated dash cams, live (PLATEFLEET_DEMO_EXIT=1 ends after the drive)
	@exec $(PY) -m fleet up --source sim

# each process has a Kafka of its own, and now and then a Ray: about 4 GB
TESTS_AT_ONCE ?= 2

test: setup check  ## checks and the whole test suite with the real Kafka, Ray, Faust and chDB
	@$(PY) -m pytest -m "not faults" -n $(TESTS_AT_ONCE) --dist loadfile

check: setup  ## ruff, mypy, and whether the exported schemas are up to date
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m schemas.export --check

fix: setup  ## format the code, and mend what ruff can mend
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

evaluate: setup  ## accuracy on real photographs (../shared/data), val split; SPLIT=test is logged
	@$(PY) -m fleet evaluate --split $(or $(SPLIT),val) --purpose "$(or $(PURPOSE),make evaluate)" --baseline

faults: setup  ## kill, cut and flood the running system, then compare with the truth
	@$(PY) -m pytest -m faults

bench-%: setup
	@$(PY) -m bench.$*

docs: setup  ## write the generated pages anew: schemas, docs/settings.md, docs/topics.md
	@$(PY) -m schemas.export
	@$(PY) -m fleet.settings_page docs/settings.md
	@$(PY) -m schemas.topics_page docs/topics.md

lock: setup  ## resolve the dependencies anew and write the lock files, hashes and all
	@printf 'pip\nuv\n' | $(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate - -o requirements-bootstrap.lock
	@$(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --extra dev pyproject.toml -o requirements-dev.lock
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links -c requirements-dev.lock pyproject.toml -o requirements.lock

doctor: setup  ## what is wrong with this machine's set-up, and how to mend it
	@$(PY) -m fleet doctor

clean:  ## remove .venv and caches; the data folder stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
