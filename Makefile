# Every target sets itself up: a virtual environment with pinned versions, and what it needs in it.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

.PHONY: help install demo web test long fuzz check lint types imports wheel release docs bench proto clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.developer: $(VENV)/.installed
	$(PIP) -e '.[dev,dask,geo,keras,openvino,parquet,slide,torch,view,xarray]'
	$(PIP) --no-deps timm torchvision transformers tokenizers regex
	@touch $@

install: $(VENV)/.installed  ## the package alone, in .venv

demo: $(VENV)/.installed  ## find the digits on the packaged page
	$(BIN)/fullconv demo -o demo

# The viewer's page, from TypeScript; only what makes or tests it needs Node.js (20 or newer). `make check PAGE=` does without.
PAGE = src/fullconv/viewer/page/page.js
$(PAGE): $(wildcard web/*.* web/src/*.ts)
	cd web && npm ci --silent --no-audit --no-fund --ignore-scripts && npm run --silent build

web: $(PAGE)  ## the viewer's page, for `fullconv view` in a source checkout

# Two processes, which take each other's tests when theirs are done; `make test JOBS=0` runs them in one, where a debugger works.
JOBS ?= 2
test: $(VENV)/.developer  ## the tests (JOBS=2 processes)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not long"

long: $(VENV)/.developer $(PAGE)  ## tests that take long: more families of networks, more random ones
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m long

# Damaged files for every reader and random networks for the cast: the same cases on every machine, on two processors at most eight minutes in all.
fuzz: $(VENV)/.developer  ## a minute of every fuzzer (hours by hand: python -m fuzz TARGET --seconds 3600 --seed 7)
	$(BIN)/python -m fuzz all --cases 150 --seconds 60 --budget 420 --jobs 2

check: $(VENV)/.developer lint types imports test long fuzz demo wheel docs  ## what CI runs

lint: $(VENV)/.developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.developer
	$(BIN)/mypy

imports: $(VENV)/.developer
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

# The wheel alone, in an environment of its own, must run the demo.
wheel: $(VENV)/.developer $(PAGE)
	rm -rf .wheel-check dist
	$(PIP) build
	$(BIN)/python -m build --quiet --wheel --outdir dist
	$(PYTHON) -m venv .wheel-check
	.wheel-check/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt dist/*.whl
	cd .wheel-check && bin/fullconv demo -o demo-output
	[ -z "$(PAGE)" ] || (cd .wheel-check && bin/python -c "import fullconv, pathlib as p; assert (p.Path(fullconv.__file__).parent / 'viewer/page/page.js').is_file()")
	rm -rf .wheel-check

# What is uploaded: both archives, each installed and tried by itself.
release: check  ## sdist and wheel, checked, in dist/
	rm -rf dist .release-check
	$(PIP) build twine
	$(BIN)/python -m build --quiet --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv .release-check
	.release-check/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt dist/*.tar.gz
	cd .release-check && bin/fullconv demo -o demo-output && bin/fullconv --version
	rm -rf .release-check

# Strict: a dead link or anchor, a page without a place in the navigation, or one that asks other machines for something ends it.
docs: $(VENV)/.developer  ## the documentation as pages, in build/docs
	$(PIP) -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 PATH=$(abspath $(BIN)):$$PATH $(BIN)/mkdocs build --strict --quiet
	@echo build/docs/index.html

bench: $(VENV)/.developer  ## CaffeNet against crops and peers (see benchmarks/README.md)
	$(PIP) -e '.[bench]'
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python -m benchmarks.caffenet

proto:  ## compile Caffe's schema (needs protoc 3.20 or newer)
	cd src && protoc --python_out=. fullconv/formats/caffe/proto/caffe.proto

clean:
	rm -rf $(VENV) .wheel-check dist build demo web/node_modules src/fullconv/viewer/page
