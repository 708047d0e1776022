# Each target is enough alone on a fresh clone: it makes .venv, installs into it what it needs, and runs. All that is
# needed beforehand is Python 3.11 or later with its venv module, and the package index. A C compiler is made use
# of where there is one. What is installed is installed again only when the sources have changed.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
PYTEST_ARGS ?=
BENCH_ARGS ?=
GUARD_ARGS ?=
FUZZ_SECONDS ?= 60
FUZZ_ARGS ?=
TORTURE_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
EXTRAS := test,craft,wireshark,zstd,yaml
SOURCES := $(shell find vxtool -name '*.py' -o -name '*.pyi' -o -name '*.json' -o -name '*.toml' -o -name py.typed -o -name '*.[ch]') \
    pyproject.toml setup.py README.md LICENSE

NATIVE_C := $(wildcard vxtool/packet/native/*.c vxtool/engine/native/*.c vxtool/listing/native/*.c)
NATIVE_TESTS := $(wildcard tests/packet/native/test_*.c tests/engine/native/test_*.c tests/summary/native/test_*.c)
NATIVE_INCLUDES := -Ivxtool/packet/native -Ivxtool/engine/native -Ivxtool/listing/native
WARNINGS := -std=c11 -Wall -Wextra -Werror
SANITIZERS := -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

.PHONY: help demo docs test bench guard torture lint types native-warnings native-test fuzz memcheck tidy analyzer \
    clean sources-listed
.DELETE_ON_ERROR:

help:
	@echo 'make demo             install vxtool into $(VENV) and analyze a sample capture'
	@echo 'make docs             write the pages of findings and fields and the manual page in docs anew'
	@echo 'make test             install vxtool with all extras and run the tests (PYTEST_ARGS are passed on)'
	@echo 'make bench            install vxtool with all extras and measure it beside its peers (BENCH_ARGS are passed on)'
	@echo 'make guard            count the instructions that the C engine takes for a record, and compare (needs valgrind)'
	@echo 'make torture          try broken and hostile input by the million: hours, two processes (TORTURE_ARGS are passed on)'
	@echo 'make lint             ruff, and clang-format where it is installed'
	@echo 'make types            mypy --strict'
	@echo 'make native-warnings  compile all C with warnings as errors (CC chooses the compiler)'
	@echo 'make native-test      run the tests of the C core under address and undefined-behaviour sanitizers'
	@echo 'make fuzz             run each fuzzer for FUZZ_SECONDS (60), or those that FUZZ_ARGS name (needs clang)'
	@echo 'make memcheck         run the tests under valgrind: half an hour (MEMCHECK_ARGS names some)'
	@echo 'make tidy             clang-tidy over all C'
	@echo 'make analyzer         the static analyzer of gcc over all C'
	@echo 'make clean            remove what these have made'

# The note comes before the output, so that the output's last line stays last.
define ENGINE_NOTE
	@$(BIN)/python -I -c 'import vxtool._native' 2>/dev/null || \
	    echo 'note: the pure-Python engine runs; the C engine needs a C compiler and the Python headers to be built'
endef

demo: $(VENV)/installed
	$(ENGINE_NOTE)
	@$(BIN)/vxtool analyze captures/vxlan.pcap --cluster captures/cluster/ciliumendpoints.txt \
	    --cluster captures/cluster/ciliumnodes.json --links captures/vxlan.links.json

docs: $(VENV)/installed
	@$(BIN)/vxtool explain --format markdown > docs/findings.md
	@$(BIN)/vxtool fields --format markdown > docs/fields.md
	@$(BIN)/python -I -m vxtool.cli.manual > docs/vxtool.1

# Not `python -m pytest`, and no search path of the user's: the tests are to see the package that was installed.
test: $(VENV)/installed-for-test $(VENV)/junit-10.xsd
	$(ENGINE_NOTE)
	@env -u PYTHONPATH $(BIN)/pytest $(PYTEST_ARGS)

# With --quick in BENCH_ARGS it takes about a minute on an idle machine; benchmarks/README.md says what the peers need.
bench: $(VENV)/installed-for-test
	$(ENGINE_NOTE)
	@env -u PYTHONPATH $(BIN)/python -m benchmarks $(BENCH_ARGS)

# Needs no environment: the engine is built as a program of its own. GUARD_ARGS=--record writes down what it takes now.
guard:
	@test -n '$(PYTHON)' || { echo 'vxtool needs Python 3.11 or later: none was found; name one by PYTHON=...' >&2; exit 1; }
	@$(PYTHON) -m benchmarks.guard $(GUARD_ARGS)

# What is done is kept in build/torture, so that it goes on where it was stopped; docs/torture.md is what came of it.
torture: $(VENV)/installed-for-test
	@PYTHONPATH=tests $(BIN)/python -P -m torture $(TORTURE_ARGS)

lint: $(VENV)/installed-for-development
	$(BIN)/ruff check .
	@if command -v clang-format >/dev/null; then \
	    clang-format --dry-run --Werror $$(find vxtool tests benchmarks -name '*.[ch]') && echo 'clang-format: no difference'; \
	else echo 'note: clang-format is not installed, the layout of the C is not checked'; fi

types: $(VENV)/installed-for-development
	$(BIN)/mypy

# The binding sees what setup.py lets it see: the stable ABI of Python 3.11.
native-warnings: $(VENV)/tools
	@for source in $(NATIVE_C); do \
	    echo "$(CC) $(WARNINGS) $$source"; \
	    $(CC) $(WARNINGS) -O2 $(NATIVE_INCLUDES) -c $$source -o /dev/null || exit 1; done
	@include=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))'); \
	for source in vxtool/binding/*.c; do \
	    echo "$(CC) $(WARNINGS) $$source"; \
	    $(CC) $(WARNINGS) -O2 -DPy_LIMITED_API=0x030B0000 -Ivxtool/binding $(NATIVE_INCLUDES) -isystem $$include \
	        -c $$source -o /dev/null || exit 1; done

# A test may include a source to see its inside (or to make its allocations fail); it is linked with all others.
native-test:
	@mkdir -p build/native
	@for test in $(NATIVE_TESTS); do \
	    program=build/native/$$(basename $$test .c); rest=; \
	    for source in $(NATIVE_C); do \
	        grep -q "^#include \"$$(basename $$source)\"" $$test || rest="$$rest $$source"; done; \
	    $(CC) $(WARNINGS) $(SANITIZERS) $(NATIVE_INCLUDES) $$test $$rest -o $$program || exit 1; \
	    echo "$$program"; $$program || exit 1; done
	@CC='$(CC)' PYTHONPATH=tests $(PYTHON) -P -m fuzz.run --replay

# What each source is compiled with, the binding as setup.py lets it see the stable ABI of Python 3.11.
ANALYZED := $(NATIVE_C) $(wildcard vxtool/binding/*.c)
define ANALYZED_FLAGS
-std=c11 -DPy_LIMITED_API=0x030B0000 -Ivxtool/binding $(NATIVE_INCLUDES) \
    -isystem $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')
endef

# .clang-tidy says which checks are left out, and why.
tidy: $(VENV)/tools
	@clang-tidy --quiet $(ANALYZED) -- $(ANALYZED_FLAGS) 2>/dev/null && echo 'clang-tidy: nothing to say'

analyzer: $(VENV)/tools
	@for source in $(ANALYZED); do \
	    gcc $(ANALYZED_FLAGS) -O2 -fanalyzer -fdiagnostics-path-format=none -Werror -c $$source -o /dev/null || exit 1; done; \
	    echo 'gcc -fanalyzer: nothing to say'

# All tests, of each the first case: half an hour. With MEMCHECK_ARGS only those that they name.
memcheck: $(VENV)/installed-for-test
	@mkdir -p build/memcheck
	@for test in $(NATIVE_TESTS); do \
	    program=build/memcheck/$$(basename $$test .c); rest=; \
	    for source in $(NATIVE_C); do \
	        grep -q "^#include \"$$(basename $$source)\"" $$test || rest="$$rest $$source"; done; \
	    $(CC) $(WARNINGS) -g -O1 $(NATIVE_INCLUDES) $$test $$rest -o $$program || exit 1; \
	    echo "$$program"; valgrind --quiet --error-exitcode=9 --leak-check=full $$program || exit 1; done
	@PYTHONPATH=tests $(BIN)/python -P -m fuzz.memcheck $(MEMCHECK_ARGS)

# Both twins of the engine run in one process, so the fuzzers need no more than what the tests do, and atheris.
fuzz: $(VENV)/installed-for-fuzz
	@PYTHONPATH=tests $(BIN)/python -P -m fuzz.run --seconds $(FUZZ_SECONDS) $(FUZZ_ARGS)

clean:
	rm -rf $(VENV) build vxtool.egg-info

# setuptools stands in the environment itself, so that installing again builds without fetching it again.
$(VENV)/tools:
	@test -n '$(PYTHON)' || { echo 'vxtool needs Python 3.11 or later: none was found; name one by PYTHON=...' >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install 'setuptools>=77'
	@touch $@

# The list of sources, written anew only when it changes: so a source that was removed counts as a change too.
$(VENV)/sources: sources-listed $(VENV)/tools
	@echo $(SOURCES) | cmp -s - $@ || echo $(SOURCES) > $@

# Left-overs of an earlier build would be installed along with what is there now.
define INSTALL
	@rm -rf build/lib* build/bdist*
	@$(PIP) install --no-build-isolation $(1)
endef

$(VENV)/installed: $(SOURCES) $(VENV)/sources
	$(call INSTALL,.)
	@touch $@

$(VENV)/installed-for-test: $(SOURCES) $(VENV)/sources
	$(call INSTALL,'.[$(EXTRAS)]')
	@touch $(VENV)/installed $@

# The schema of JUnit reports that Jenkins publishes: the sources of pytest have it along, nothing that is installed has.
$(VENV)/junit-10.xsd: $(VENV)/tools
	@mkdir -p build/schema
	@{ $(PIP) download --no-deps --no-binary pytest --dest build/schema pytest==8.4.2 && tar -xzOf \
	    build/schema/pytest-8.4.2.tar.gz pytest-8.4.2/testing/example_scripts/junit-10.xsd > $@; } || \
	    { rm -f $@; echo 'note: the schema of JUnit reports could not be fetched, its test is left out' >&2; }

$(VENV)/installed-for-fuzz: $(VENV)/installed-for-test
	$(call INSTALL,'.[fuzz]')
	@touch $@

$(VENV)/installed-for-development: pyproject.toml $(VENV)/tools
	$(call INSTALL,'.[dev]')
	@touch $@
