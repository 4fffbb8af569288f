# make         builds the guest image, build/guest.elf; with CHECK=1 build/checked.elf, which
#              verifies its run queues at every unlock (make run CHECK=1 boots that one)
# make run     boots it on four CPUs and judges the run
# make test    runs the whole test suite on all CPUs; ARGS="-k name" passes options on to pytest
# make mutate  changes the guest, one known mistake at a time, and shows which rule notices it
# make coverage  shows which lines of the guest all standard boots execute
# make lint    checks Python (ruff, mypy --strict) and assembly
# make clean   removes what the build made
#
# Each of them first installs what is missing (harness/setup.sh).

PYTHON := .venv/bin/python
# Processes that run tests: 0 runs them in one, in order.
JOBS ?= $(if $(findstring -k,$(ARGS))$(findstring tests/,$(ARGS)),0,auto)

.PHONY: all run test lint clean setup mutate coverage
.DEFAULT_GOAL := all

setup:
	@sh harness/setup.sh

all: setup
	@$(PYTHON) -m harness.toolchain.build $(if $(CHECK),-D CHECK=1 -o build/checked.elf)

run: all
	@$(PYTHON) -m harness.cli run --smp 4 $(if $(CHECK),--checked) $(ARGS)

test: all
	@$(PYTHON) -m pytest -n $(JOBS) $(ARGS)

mutate: all
	@$(PYTHON) -m harness.cli mutate --sample $(ARGS)

coverage: all
	@$(PYTHON) -m harness.cli coverage --at-least 95 $(ARGS)

lint: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m harness.toolchain.lint guest tests

clean:
	rm -rf build
