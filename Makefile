# Two commands on a fresh machine: `make demo` and `make test`. They make `.venv` and install what is needed.

PYTHON ?= python3
VENV   := .venv
PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check
JOBS   ?= 2
# one thread a process: the tests run in $(JOBS) processes
ONE    := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
PYTEST := $(ONE) $(VENV)/bin/python -m pytest -n $(JOBS) --dist worksteal -q

.PHONY: demo test test-extras test-oldest lint types doctest docs clean setup
.DEFAULT_GOAL := demo

setup: $(VENV)/.ready

# torch first: installed alone, under the constraints, it stays the build that was chosen
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "socicnn needs Python 3.11 to 3.13; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip
	$(PIP) install --quiet -c constraints.txt torch
	$(PIP) install --quiet -c constraints.txt -e '.[test,lint]'
	touch $@

demo: setup
	$(VENV)/bin/socicnn demo

test: setup
	$(PYTEST) tests

# every extra in the same environment (lpcf, which clashes, in one of its own), and no test may be skipped
test-extras: $(VENV)/.extras $(VENV)-pcf/.ready
	$(PYTEST) tests -m extra --no-skips

$(VENV)/.extras: $(VENV)/.ready
	$(PIP) install --quiet -c constraints.txt -e '.[test-extras]'
	touch $@

$(VENV)-pcf/.ready: constraints-pcf.txt
	$(PYTHON) -m venv $(VENV)-pcf
	$(VENV)-pcf/bin/python -m pip --disable-pip-version-check install --quiet -r constraints-pcf.txt
	touch $@

# the tests that meet other packages, with the oldest versions that pyproject.toml allows, in an environment of its own
OLDEST := $(wildcard tests/socicnn/test_*.py) $(addprefix tests/socicnn/,conic/solvers conic/export cvxpy_atom frozen importers nn training) \
	tests/socicnn_cli tests/verify/test_equivalence.py tests/decision/test_deciding.py
test-oldest: $(VENV)-oldest/.ready
	$(ONE) $(VENV)-oldest/bin/python -m pytest -n $(JOBS) --dist worksteal -q $(OLDEST)

# --no-compile: half of the time goes into bytecode of parts that no test loads
$(VENV)-oldest/.ready: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip --disable-pip-version-check install --quiet --no-compile -c constraints-oldest.txt torch
	$(VENV)-oldest/bin/python -m pip --disable-pip-version-check install --quiet --no-compile -c constraints-oldest.txt -e '.[test]'
	touch $@

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: setup
	$(VENV)/bin/mypy

doctest: setup
	$(ONE) $(VENV)/bin/python -m pytest -q -p no:cacheprovider --doctest-modules socicnn verify decision socicnn_cli experiments/baselines

# the site, in build/docs: doctests and the examples of docs/gallery run, a warning is an error
docs: doctest $(VENV)/.docs
	$(ONE) $(VENV)/bin/sphinx-build -W --keep-going -q -b html docs build/docs
	@echo "open build/docs/index.html"

$(VENV)/.docs: $(VENV)/.ready
	$(PIP) install --quiet -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-pcf $(VENV)-oldest build dist *.egg-info docs/api docs/auto_gallery .pytest_cache .mypy_cache .ruff_cache .hypothesis
