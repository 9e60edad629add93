# One verb for each chore. Everything runs in .venv, which `make setup` makes.
.PHONY: setup test lint fix types docs bench bench-batch

setup:
	@sh setup.sh

test: setup
	.venv/bin/pytest

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: setup
	.venv/bin/mypy

fix: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

docs: setup
	.venv/bin/python examples/make_pictures.py

bench: setup
	.venv/bin/python tests/bench.py

bench-batch: setup
	.venv/bin/python tests/bench_batch.py
