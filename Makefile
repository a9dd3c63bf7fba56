# make train ARGS="model=conv latent_dim=16"     set up .venv once, then train
# make test                                     set up .venv once, then lint, check types and test
# make faults                                   kill, fill the disk and damage files at every point: 25 minutes, Linux
# make bench                                    how fast it trains, beside a bare loop and its peers: half an hour
# make docs                                     the documentation as a site in site/, to be read offline
# make audit                                    known vulnerabilities of the installed packages
# TORCH_INDEX=https://download.pytorch.org/whl/cpu make ...     PyTorch without CUDA, 1 GB instead of 6
PYTHON ?= python3.11
TORCH_INDEX ?=
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready

.PHONY: train test faults bench docs audit format clean

train: $(READY)
	$(BIN)/python -m src.train $(ARGS)

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -n 2 $(ARGS)

faults: $(READY)
	$(BIN)/python -m pytest -m "slow or not slow" --hypothesis-profile=long tests/faults $(ARGS)

bench: $(READY)
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	$(BIN)/python -m benchmarks.train $(ARGS)

docs: $(READY)
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict $(ARGS)

audit: $(READY)
	$(BIN)/python -m pip install --quiet 'pip-audit>=2.9,<3'
	$(BIN)/pip-audit --local --skip-editable $(ARGS)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e '.[dev]'
	touch $@

clean:
	rm -rf .venv *.egg-info
