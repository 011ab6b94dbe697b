# `make demo` runs the main job, `make test` the tests; both install what they need into .venv.
PYTHON ?= python3
APT_INSTALL := env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help demo test lint schemas apertium clean
help:  ## show this help
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/embedded apertium  ## build the sample set in 12 languages
	.venv/bin/mldata build --source en_prefs --targets 12 --out sets/en_prefs

test: .venv/dev apertium lint  ## everything that CI checks
	.venv/bin/python -m pytest

lint: .venv/dev  ## style and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

schemas: .venv/dev  ## write schemas/ from the code
	.venv/bin/python -m mldata.json_schemas

apertium: .venv/embedded  ## Debian's translation packages (GPL), through apt
	@packages="$$(.venv/bin/python -c 'from mldata.translate.apertium import PACKAGES; print(PACKAGES)')"; \
	if dpkg -s $$packages >/dev/null 2>&1; then :; \
	elif command -v apt-get >/dev/null; then \
	  $(SUDO) apt-get update -qq && \
	  $(SUDO) $(APT_INSTALL) $$packages >/dev/null; \
	else echo "no apt-get here: Apertium's languages will be missing, see 'mldata languages'"; fi

.venv/embedded: pyproject.toml
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) $(APT_INSTALL) python3-venv >/dev/null; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check -e '.[embedded]'
	@touch $@

.venv/dev: .venv/embedded
	.venv/bin/python -m pip install -q --disable-pip-version-check -e '.[embedded,dev]'
	@touch $@

clean:  ## remove what was installed and built
	rm -rf .venv sets .mypy_cache .ruff_cache .pytest_cache .hypothesis
