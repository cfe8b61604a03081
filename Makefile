# SPDX-License-Identifier: MIT
# Every target needs python3, a C compiler and make. On first use it installs the rest into build/venv-<version>.
#   make test PYTHON=python3.13      another interpreter, with its own venv and extensions beside the others
#   make test ARGS="-k Barrier -x"   ARGS goes to the program that the target runs

PYTHON ?= python3
ARGS ?=
WORKERS ?= 3# processes that run the tests, which mostly wait

VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d%s" % (*sys.version_info[:2], sys.abiflags))' 2>/dev/null)
VENV := build/venv-$(VERSION)
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# pytest on the package in directory $(1). tests/conftest.py checks that it is that one. This runs the script, not
# `python -m pytest`, because the latter would find ./mpfast first.
pytest = MPFAST_EXPECT_DIR="$(CURDIR)$(1)/mpfast" PYTHONPATH="$(CURDIR)$(1)" $(VENV)/bin/pytest

.NOTPARALLEL:
.PHONY: help build bench picture costs counts gate gate-tools history dashboard core asv test stress conformance clients lint format sanitize debug clean

C_SOURCES = $(wildcard mpfast/*/*.h mpfast/core/*/*.h tests/c/*.[ch] bench/c/*.c)

help:
	@echo "make bench      measure how much faster it is than multiprocessing, as a table and a page"
	@echo "make picture    draw docs/speed.svg, the picture of the README, from the last make bench"
	@echo "make costs      measure what mpfast adds to a program's start, its imports and its first process"
	@echo "make counts     compare the system calls and instructions of single operations with a table"
	@echo "make gate       check whether HEAD is slower than BASE=<commit>"
	@echo "make history    measure the commits RANGE=A..B with asv, and keep the results on the branch bench-data"
	@echo "make dashboard  serve the recorded history and the page of the last make bench on 127.0.0.1"
	@echo "make core       measure the queue in C, beside a cache line and memcpy"
	@echo "make asv        run asv on the same suites, for example with ARGS='run HEAD^!', or check them without ARGS"
	@echo "make test       build, then run the test suite"
	@echo "make stress     run long storms of kills, and the models"
	@echo "make conformance   run CPython's own tests on mpfast"
	@echo "make clients    run other people's software, debuggers and daemons for example, with multiprocessing and with mpfast"
	@echo "make lint       build, then check with ruff, mypy, stubtest and clang-format"
	@echo "make format     let clang-format and ruff repair what they can"
	@echo "make sanitize   run the C harnesses under TSan and ASan+UBSan, the test suite under ASan+UBSan"
	@echo "make debug      run the test suite in a build with MPFAST_DEBUG=1"
	@echo "make clean      remove everything that was built"
	@echo "Variables: PYTHON (now $(PYTHON), version $(VERSION)), ARGS"

bench: build
	@$(MAKE) --no-print-directory $(VENV)/.peers || echo "what needs numpy or another project's pools or queues will be skipped"
	@PYTHONPATH="$(CURDIR)" $(PY) bench/run.py $(ARGS)

# The picture of the README, from the data of the last `make bench`.
picture: $(VENV)/.build
	@PYTHONPATH="$(CURDIR)" $(PY) bench/run.py picture $(ARGS)

costs: build
	@PYTHONPATH="$(CURDIR)" $(PY) bench/run.py costs $(ARGS)

# System calls and instructions of single operations, compared with bench/counts/operations.tsv. Exit status 1, which
# make turns into 2, says that there are more.
counts: build
	@PYTHONPATH="$(CURDIR)" $(PY) -m bench.counts $(ARGS)

# Did this change make anything slower? BASE=<commit> is what HEAD=<commit> is compared with. .ci/gate has the exit status.
HEAD ?= HEAD
gate:
	@.ci/gate "$(BASE)" --head "$(HEAD)" $(ARGS)

gate-tools: $(VENV)/.build
	@$(MAKE) --no-print-directory $(VENV)/.peers || echo "what needs numpy will be skipped"
	@echo $(PY)

# Resumable, and Ctrl-C keeps what was measured.
history: $(VENV)/.bench
	@test -n "$(RANGE)" || { echo 'make history wants RANGE=A..B, commits as in git log; RANGE=HEAD^! is the last one'; exit 2; }
	@PYTHONPATH="$(CURDIR)" $(PY) bench/run.py history "$(RANGE)" $(ARGS)

dashboard: $(VENV)/.bench
	@PYTHONPATH="$(CURDIR)" $(PY) bench/run.py dashboard $(ARGS)

# What the queue's core costs in C, as multiples of a cache line's round trip and of memcpy.
core: | build/bench
	@$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -Impfast bench/c/queue.c -o build/bench/queue -pthread
	@build/bench/queue
	@$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -Impfast bench/c/tables.c -o build/bench/tables -pthread
	@build/bench/tables

build/bench:
	@mkdir -p $@

asv: build $(VENV)/.bench
	@$(VENV)/bin/asv $(or $(ARGS),check --python=same)

test: build $(VENV)/.test
	@$(call pytest) -n $(WORKERS) --dist loadgroup $(ARGS)

stress: build $(VENV)/.test
	@$(call pytest) -m stress $(ARGS)

# CPython's own tests of multiprocessing, run on mpfast.
conformance: build
	@PYTHONPATH="$(CURDIR)" $(PY) tests/conformance/run.py $(ARGS)

# Debuggers, tracers, daemons and others, from a wheel in an environment of their own. ARGS=debugpy chooses one,
# ARGS=--suites runs other projects' own tests.
CLIENTS := build/clients-$(VERSION)
clients: build
	@rm -rf $(CLIENTS)/wheel
	@echo "a wheel of it, and the clients"
	@find build -path 'build/lib.*' -name '*.py' -delete # what was renamed must not survive
	@$(PY) -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir $(CLIENTS)/wheel .
	@$(PYTHON) tests/clients/run.py $(CLIENTS)/wheel/*.whl $(CLIENTS) $(ARGS)

# Stubs are compared with the extensions, so these are built first.
lint: build $(VENV)/.dev
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/clang-format --dry-run -Werror $(C_SOURCES)
	@$(VENV)/bin/mypy
	@PYTHONPATH="$(CURDIR)" $(VENV)/bin/stubtest mpfast --concise --mypy-config-file pyproject.toml \
	 --allowlist tests/stubtest.txt

format: $(VENV)/.dev
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/clang-format -i $(C_SOURCES)

sanitize: build $(VENV)/.test
	@$(call pytest) -m sanitize $(ARGS)
	@$(call variant,asan) MPFAST_SANITIZE=address,undefined $(PY) setup.py --quiet build --build-lib build/asan/lib
	@LD_PRELOAD="$$($(CC) -print-file-name=libasan.so)" PYTHONMALLOC=malloc \
	 ASAN_OPTIONS=detect_leaks=0,detect_stack_use_after_return=0,abort_on_error=1,allocator_may_return_null=1,$(ASAN_OPTIONS) \
	 UBSAN_OPTIONS=print_stacktrace=1,$(UBSAN_OPTIONS) \
	 $(call pytest,/build/asan/lib) --ignore tests/c --ignore tests/test_source.py $(ARGS)

debug: $(VENV)/.build $(VENV)/.test
	@$(call variant,debug) MPFAST_DEBUG=1 $(PY) setup.py --quiet build --build-lib build/debug/lib
	@$(call pytest,/build/debug/lib) --ignore tests/c --ignore tests/test_source.py $(ARGS)

clean:
	rm -rf build *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find mpfast -name '*.so' -delete -o -name '*.c' -delete
	find . -name __pycache__ -prune -exec rm -rf {} +

build: $(VENV)/.build
	@echo "mpfast's extensions for Python $(VERSION)"
	@$(PY) setup.py --quiet build_ext --inplace
	@$(PY) -m compileall -q mpfast # else, with PYTHONDONTWRITEBYTECODE, every child would compile anew

# A renamed or removed module must not survive in a copied tree.
variant = echo "mpfast's extensions for Python $(VERSION), $(1)"; mkdir -p build/$(1)/lib; \
	find build/$(1)/lib -name '*.py' -delete;

# .build, .test, .bench, .peers and .dev are lists of requirements in pyproject.toml. They are installed once, and again
# after each change.
define REQUIREMENTS
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))
groups = {"build": project["build-system"]["requires"], **project["project"]["optional-dependencies"]}
print(*[line for line in groups[sys.argv[1]] if not line.startswith("mpfast")], sep="\n")
endef
export REQUIREMENTS

$(VENV)/.%: pyproject.toml | $(VENV)/made
	@echo "$(VENV): the tools of '$*'"
	@$(PY) -c "$$REQUIREMENTS" $* > $(VENV)/$*.txt
	@$(PY) -m pip install --quiet --requirement $(VENV)/$*.txt
	@touch $@

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "mpfast needs Python 3.11 or later: PYTHON=$(PYTHON) is $(or $(VERSION),not a Python that runs)."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments: apt install python3-venv"; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@echo "$(CURDIR)" > "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/mpfast.pth"
	@touch $@
