# SPDX-License-Identifier: GPL-3.0-or-later
# `make help` lists what there is. Everything that is needed is set up on the first call (Debian
# packages, two virtual environments with pinned wheels); stamps, kept beside what they vouch for,
# make later calls quick.
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

STAMPS := build/stamps
PY := .venv/bin/python
ARGS ?=

# What the extension is made of: a change of one of these builds it again.
CORE := $(wildcard csrc/*.txt csrc/*.py csrc/*/*.[ch]) setup.py salt_ext/defaults.yaml
SHIPPED = $(CORE) $(PACKAGE) $(shell find salt_ext states packaging -type f \
	! -path '*/__pycache__/*' ! -name '*.so')
PACKAGE := setup.py pyproject.toml salt_ext/__init__.py

## Everyday:

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^## / { print substr($$0, 4) } \
		/^[a-z][a-z-]*:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: install ## the formula as dom0 would run it, against the embedded qubesd
	@if [ -x tools/demo ]; then PATH="$(CURDIR)/.venv/bin:$$PATH" tools/demo $(ARGS); \
	else echo "tools/demo is not there yet"; exit 1; fi

.PHONY: check
check: gates unit sanitize thread valgrind fuzz-briefly pytest docs ## every test but the slow beds
	@echo "make check: everything passed"

.PHONY: lint
lint: setup ## formatting, static analysis of C and Python
	@tools/lint

.PHONY: format
format: setup ## writes C and Python as lint wants them
	@tools/lint format

.PHONY: install
install: setup core .venv/.installed .venv-3008/.installed ## .venv and .venv-3008, editable

## Tests, one by one:

.PHONY: gates
gates: setup ## the quick part of lint: formatting, ruff, layers, calls
	@tools/lint quick

.PHONY: unit
unit: setup ## C unit tests, built with gcc and with clang
	@tools/ctests gcc
	@tools/ctests clang

.PHONY: sanitize
sanitize: setup ## C unit tests under ASan and UBSan, forking and not
	@tools/ctests asan

.PHONY: valgrind
valgrind: setup ## C unit tests under valgrind
	@tools/ctests valgrind

.PHONY: thread
thread: setup ## C unit tests under TSan
	@tools/ctests tsan

.PHONY: pytest
pytest: install $(STAMPS)/apt-beds ## the Python tests; ARGS="-k word" to choose
	@$(PY) -m pytest -q $(ARGS)

.PHONY: beds
beds: install $(STAMPS)/apt-beds ## the slow beds: chroots with real packages, package builds
	@$(PY) -m pytest -q -m slow_bed $(ARGS)

.PHONY: fuzz-briefly
fuzz-briefly: setup
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-4} FUZZ_SEED=$${FUZZ_SEED:-1} tools/fuzz

.PHONY: fuzz
fuzz: setup ## every fuzzer for FUZZ_SECONDS (20; in check 4), from its seeds
	@tools/fuzz

.PHONY: bench
bench: install ## benchmarks
	@tools/bench $(ARGS)

.PHONY: soak
soak: install ## hours: all faults, kills, allocations, leaks; ARGS=60 bounds it to minutes
	@tools/soak $(ARGS)

## What is shipped:

.PHONY: srv
srv: build/srv/_modules/_qvm_gpu_core.abi3.so ## build/srv: the tree for file_roots, nothing needed but libc

.PHONY: wheel
wheel: install $(STAMPS)/wheel ## dist/: one abi3 wheel, checked, and an sdist

.PHONY: package
package: srv ## dist/: the RPM for dom0 and the Debian package
	@tools/package

.PHONY: docs
docs: install .venv/.docs ## build/docs: the documentation's site, warnings as errors
	@.venv/bin/sphinx-build -q -E -W --keep-going docs build/docs

.PHONY: clean
clean: ## removes what was built; the environments and the beds' chroots stay
	@[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name beds -exec rm -rf {} +
	@rm -rf dist *.egg-info salt_ext/_core*.so

.PHONY: distclean
distclean: clean ## removes those, too
	@rm -rf .venv .venv-3008 build

# ---- setting up -----------------------------------------------------------------------------

.PHONY: setup core
setup: $(STAMPS)/apt .venv/.filled .venv-3008/.filled

$(STAMPS):
	@mkdir -p $@

$(STAMPS)/apt: tools/apt-packages.txt | $(STAMPS)
	@tools/apt-install $<
	@touch $@

$(STAMPS)/apt-beds: tests/beds/packages.txt $(STAMPS)/apt
	@tools/apt-install $<
	@touch $@

.venv/.filled: requirements/build.txt requirements/salt-3006.txt requirements/tests.txt \
		tools/venv $(STAMPS)/apt
	@tools/venv .venv $(filter %.txt,$^)
	@touch $@

.venv-3008/.filled: requirements/build.txt requirements/salt-3008.txt tools/venv $(STAMPS)/apt
	@tools/venv .venv-3008 $(filter %.txt,$^)
	@touch $@

.venv/.docs .venv/.release: .venv/.%: requirements/%.txt .venv/.filled
	@.venv/bin/pip install -qq -r $<
	@touch $@

# Both environments import salt_ext/ in place, with the one extension in it. That one comes first:
# a compiler's words are short, and pip's about a failed compiler long.
.venv/.installed: $(PACKAGE) .venv/.filled | $(STAMPS)/core
	@.venv/bin/pip install -qq --no-build-isolation --no-deps -e .
	@touch $@

.venv-3008/.installed: $(PACKAGE) .venv-3008/.filled .venv/.installed
	@.venv-3008/bin/pip install -qq --no-build-isolation --no-deps -e .
	@touch $@

core: $(STAMPS)/core
$(STAMPS)/core: $(CORE) .venv/.filled | $(STAMPS)
	@$(PY) setup.py -q build_ext --inplace
	@touch $@

# Position-independent archives for what carries its libraries with it.
$(STAMPS)/static: tools/static-libs csrc/cflags-static.txt csrc/cflags-release.txt .venv/.filled
	@tools/static-libs build/static
	@touch $@

build/srv/_modules/_qvm_gpu_core.abi3.so: $(SHIPPED) tools/srv $(STAMPS)/static
	@tools/srv

ifeq ($(wildcard dist/saltext*.whl),)
.PHONY: $(STAMPS)/wheel
endif
$(STAMPS)/wheel: $(SHIPPED) tools/wheel $(STAMPS)/static .venv/.release
	@tools/wheel
	@touch $@
