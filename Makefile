# `make` prints the comments after ## beside the targets and variables.
ARGS ?=#         ## options: make train ARGS="model=conv latent_dim=16", make test ARGS="-m slow"
RUN ?=#          ## make explore RUN=outputs/runs/RUN: a run; none: the newest
ROW ?=#          ## make results ROW="minutes_3 burda": the rows to repeat; none: print those that are complete
PYTHON ?=#       ## the Python that .venv is made with: PYTHON=python3.12; else the newest of 3.11 to 3.13 that is there
TORCH_INDEX ?=#  ## TORCH_INDEX=https://download.pytorch.org/whl/cpu: PyTorch without CUDA, 1 GB instead of 6
LOCK ?=#         ## LOCK=1: the versions of requirements.lock instead of the newest that pyproject.toml allows

BIN := .venv/bin
READY := .venv/.ready$(if $(LOCK),-locked)
PIP := $(BIN)/python -m pip install --quiet $(if $(LOCK),--constraint requirements.lock)
# A pyenv shim may be there without its Python, and Debian's python3 without the package python3-venv.
CANDIDATES = $(or $(PYTHON),python3.13 python3.12 python3.11 python3)
FITS := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
VERSION := -c 'import sys; print(sys.version_info[:2])'

.PHONY: help train explore test faults bench results docs audit lock hooks format clean FORCE

help:  ## this list
	@echo 'make TARGET VARIABLE=VALUE ...    the first time, train, test and what follows set up .venv'
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile
	@echo
	@awk -F ' [?]=.*## ' '/^[A-Z_]+ [?]=.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

train: $(READY)  ## train, with the options in ARGS: by default two minutes, on images of a package
	$(BIN)/python -m src.train $(ARGS)

explore: $(READY)  ## write a page in which the model of a run can be played with, and open it
	@run=$(or $(RUN),"$$(ls -td outputs/runs/*/ 2>/dev/null | head -n 1)"); \
	[ -n "$$run" ] || { echo 'there is no run in outputs/runs: make train' >&2; exit 1; }; \
	$(BIN)/python -m src.apply run="$${run%/}" task=explore $(ARGS) && \
	$(BIN)/python -m webbrowser "file://$$(cd "$$run" && pwd)/tasks/explore/latest/explorer.html"

test: $(READY)  ## lint, check types and test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

faults: $(READY)  ## kill, fill the disk and damage files at every point: 25 minutes, Linux
	$(BIN)/python -m pytest -m "slow or not slow" --hypothesis-profile=long tests/faults $(ARGS)

bench: $(READY)  ## measure how fast it trains, beside a bare loop and its peers: half an hour
	$(PIP) -e '.[bench]'
	$(BIN)/python -m benchmarks.train $(ARGS)

results: $(READY)  ## repeat rows of docs/results.md: train, evaluate on the test images, print
	$(BIN)/python -m benchmarks.results $(ROW) $(ARGS)

docs: $(READY)  ## build the site of the documentation into site/
	$(PIP) -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict $(ARGS)

audit: $(READY)  ## list known vulnerabilities of the installed packages
	$(PIP) 'pip-audit>=2.9,<3'
	$(BIN)/pip-audit --local --skip-editable $(ARGS)

lock: $(READY)  ## renew requirements.lock: the newest versions that pyproject.toml allows
	$(PIP) 'uv>=0.9,<1'
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade --quiet \
		--no-annotate --custom-compile-command 'make lock' --output-file requirements.lock $(ARGS)

hooks: $(READY)  ## have git lint and check types before a commit, and the rules of the code before a push
	$(PIP) 'pre-commit>=4,<5'
	$(BIN)/pre-commit install

format: $(READY)  ## lay the code out, and correct what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove .venv
	rm -rf .venv *.egg-info

# .venv stays, whatever newer Python there is, unless PYTHON asks for another or its own Python is gone.
$(READY): pyproject.toml $(if $(LOCK),requirements.lock)
	@$(if $(PYTHON),[ "$$($(BIN)/python $(VERSION) 2>&1)" = "$$($(PYTHON) $(VERSION) 2>/dev/null)" ] &&) \
	$(BIN)/python -c 'import pip; $(FITS)' 2>/dev/null || { \
		for python in $(CANDIDATES); do \
			if $$python -c '$(FITS)' 2>/dev/null; then \
				echo "$$python -m venv --clear .venv"; exec $$python -m venv --clear .venv; \
			fi; \
		done; \
		echo 'no Python 3.11 to 3.13 with venv and pip (tried: $(CANDIDATES)): make PYTHON=/path/to/python3.12' >&2; \
		exit 1; \
	}
	$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e '.[dev]'
	touch $@

ifneq ($(wildcard $(READY)),)
ifneq ($(shell $(BIN)/python $(VERSION) 2>/dev/null || echo gone),$(shell $(or $(PYTHON),$(BIN)/python) $(VERSION) 2>/dev/null))
$(READY): FORCE
endif
endif
