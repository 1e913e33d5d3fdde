# make demo: see it work, no key needed.   make test: lint, types, every test.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests at once: many of them wait, so more than there are cores.
JOBS ?= 4
AXE := axe-core@4.14.1

.PHONY: demo test bench docs clean
demo: $(VENV)/.runtime
	$(BIN)/market-photos demo

test: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n $(JOBS) --dist worksteal

# Needs Debian's nginx-light, aria2 and curl; a quarter of an hour. QUICK=--quick: two minutes.
bench: $(VENV)/.tests
	$(BIN)/python -m bench $(QUICK)

# Written from market_photos/settings.py; a test tells when it is time.
docs: $(VENV)/.runtime
	$(BIN)/market-photos config --example > config.example.toml
	$(BIN)/market-photos config --markdown > docs/settings.md

clean:
	rm -rf $(VENV) demo-archive .mypy_cache .ruff_cache .pytest_cache

$(VENV)/.runtime: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.tests: $(VENV)/.runtime constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@# For the tests of accessibility, which are skipped without it.
	-@! command -v npm > /dev/null || npm install --silent --no-audit --no-fund --no-save --prefix $(VENV) $(AXE)
	touch $@
