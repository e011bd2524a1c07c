# Four commands: make demo, make test, make sweep, make proof. All work on a bare machine with python3, make
# and git.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
SWEEP ?=
BIN = $(VENV)/bin
SOURCES = edge convert benchmarks tests

PYTEST = $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test sweep proof lint clean

demo: $(VENV)/.box
	$(BIN)/edge demo --out build/demo

test: lint
	$(PYTEST) $(if $(SWEEP),-m 'sweep or not sweep') --junitxml=build/test.xml

# What make test leaves out: long searches, whole benchmark runs. make test SWEEP=1 runs everything at once.
sweep: $(VENV)/.dev
	$(PYTEST) -m sweep --junitxml=build/sweep.xml

# Every claim of docs/privacy.md, shown: the attack suite with its sweeps, deliberate breaks, experiments.
# Some need root and Debian's strace, e2fsprogs, iproute2 and age; what cannot be shown is said.
proof: $(VENV)/.dev
	$(BIN)/python -m tests.privacy.proof --html build/proof.html --json build/proof.json $(PROOF)

lint: $(VENV)/.dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The packages of the box: no TensorFlow, no compiler, nothing for development.
$(VENV)/.box: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet .
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.box

clean:
	rm -rf $(VENV) build dist
