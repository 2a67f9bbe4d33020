# What a contributor types; README's two commands need no make.
PYTHON = .venv/bin/python

.PHONY: install fast lint test all lesson index
install:
	python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e ".[dev]"

fast: lint
	OMP_NUM_THREADS=1 .venv/bin/pytest -q -p no:nbval -o addopts="--strict-markers" -n 2 tests/decoding tests/test_bpe.py tests/test_toy.py tests/test_house.py

lint:
	.venv/bin/ruff check . && .venv/bin/ruff format --check .

test:
	.venv/bin/pytest

all:
	bash .ci/run

lesson:
	$(PYTHON) -m gpt2lessons execute notebooks/$(NN)_*.ipynb

index:
	$(PYTHON) -m gpt2lessons index
