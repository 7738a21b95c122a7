# Tests beyond the unit tests, which their modules list: checks on the tree itself, the commands
# (pytest), the demo.
#
#   make check                          everything
#   make check TESTS=tests/unit/test-str    some unit tests or checks only
#   make check-unit, make check-cli     one of the two
#   make check-cli PYTEST_ARGS="-k run" some of the commands' tests
#   make check-systemd, check-guest     those that run in the test beds (tests/vm)
TEST_EXTENSIONS = .sh .py
SH_LOG_COMPILER = sh
PY_LOG_COMPILER = $(PYTHON)
LOG_COMPILER = $(PYTHON) $(top_srcdir)/tests/unit-runner
# Children that are forked into namespaces end by _exit; what they print of errors is kept by the
# log files that tests/run-pytest sets up.
AM_TESTS_ENVIRONMENT = \
	PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE; \
	UBSAN_OPTIONS=$${UBSAN_OPTIONS-print_stacktrace=1}; export UBSAN_OPTIONS;

TREE_CHECKS = tests/check-size.sh tests/check-layering.sh tests/check-man.py tests/check-rows.py
TESTS += $(TREE_CHECKS)
EXTRA_DIST += $(TREE_CHECKS) tests/size-exceptions.txt tests/rows.txt tests/rows-by-review.txt \
	tests/packages.sh tests/packages.txt tests/demo.sh tests/e2e.sh tests/run-pytest tests/unit-runner \
	tests/pytest.ini tests/conftest.py tests/count.py tests/run-tidy tests/tidy.h tests/run-cppcheck \
	tests/cppcheck.h tests/cppcheck.txt .clang-tidy .clang-format .ci/run

# The programs as they lie in the build directory: tests and the demo copy them to where another
# user can run them.
PYTEST_ARGS =
check-local:
	@if test "$(origin TESTS)" = "command line"; then \
		echo "only $(TESTS): tests of the commands are left out"; \
	else \
		$(MAKE) $(AM_MAKEFLAGS) check-cli; \
	fi
check-unit: all
	@$(MAKE) -s $(AM_MAKEFLAGS) $(check_PROGRAMS)
	@$(MAKE) $(AM_MAKEFLAGS) check-TESTS
check-cli: all
	@$(MAKE) -s $(AM_MAKEFLAGS) $(check_PROGRAMS)
	@SRCDIR='$(abs_top_srcdir)' BUILDDIR='$(abs_top_builddir)' PYTHON='$(PYTHON)' MAKE='$(MAKE)' \
	SANITIZERS='$(SANITIZERS)' sh $(top_srcdir)/tests/run-pytest $(PYTEST_ARGS)
CLEANFILES += tests-cli.xml
# The validation programs of the OCI runtime tools, which tests/oci/test_conformance.py runs.
oci-suite:
	@sh $(top_srcdir)/tests/oci/conformance/build '$(abs_top_builddir)/tests/oci-suite'
check-rows:
	@$(PYTHON) $(top_srcdir)/tests/check-rows.py $(top_srcdir)
# What needs a systemd, and what needs a whole machine (tests/vm/README.md). VM_SUITE=bookworm: there.
check-systemd: all
	@SRCDIR='$(abs_top_srcdir)' BUILDDIR='$(abs_top_builddir)' $(top_srcdir)/tests/vm/native-tests $(PYTEST_ARGS)
check-guest: all
	@SRCDIR='$(abs_top_srcdir)' BUILDDIR='$(abs_top_builddir)' $(top_srcdir)/tests/vm/run-tests $(PYTEST_ARGS)
# Kills commands at POINTS system calls of each (all: a big number; 0.2 s each), and looks at what is
# left (tests/crash/README.md); lets FAULTS system calls fail (all: every one; 0.1 s each); does ADDS_UP
# times the execs and runs of which nothing may stay; then cuts the power of a machine that writes, CUTS
# times (20 s each). Each can be 0.
POINTS = 100
FAULTS = 5000
ADDS_UP = 33
CUTS = 50
CRASH_TESTS = SRCDIR='$(abs_top_srcdir)' BUILDDIR='$(abs_top_builddir)' PYTHON='$(PYTHON)' \
	SANITIZERS='$(SANITIZERS)' sh $(top_srcdir)/tests/run-pytest
check-crash: all
	@$(MAKE) -s $(AM_MAKEFLAGS) $(check_PROGRAMS)
	@rm -f tests-crash.txt
	@test '$(POINTS)' = 0 || ROOTLET_CRASH_POINTS='$(POINTS)' $(CRASH_TESTS) tests/crash --dist load \
		$(PYTEST_ARGS); status=$$?; test ! -e tests-crash.txt || { cat tests-crash.txt; \
		awk -F '[:,]' '{ kills += $$3; bad += $$4; n++ } \
		END { print n " commands: " kills + 0 " kills, " bad + 0 " with a bad end" }' tests-crash.txt; }; \
		exit $$status
	@test '$(FAULTS)' = 0 || FAULTS='$(FAULTS)' $(CRASH_TESTS) tests/cli/test_faults.py
	@test '$(ADDS_UP)' = 0 || ADDS_UP='$(ADDS_UP)' $(CRASH_TESTS) tests/cli/test_adds_up.py
	@test '$(CUTS)' = 0 || SRCDIR='$(abs_top_srcdir)' BUILDDIR='$(abs_top_builddir)' $(top_srcdir)/tests/vm/power-cuts $(CUTS)
# A shell there: make guest-shell, make guest-shell BED=--native
BED =
guest-shell: all
	@SRCDIR='$(abs_top_srcdir)' BUILDDIR='$(abs_top_builddir)' $(top_srcdir)/tests/vm/shell $(BED)
demo: all
	@sh $(top_srcdir)/tests/demo.sh '$(abs_top_builddir)'
# A web server in a container, from its image to its removal.
e2e: all
	@sh $(top_srcdir)/tests/e2e.sh '$(abs_top_builddir)'
.PHONY: e2e check-unit check-cli check-rows check-systemd check-guest check-crash guest-shell oci-suite demo

# What the containers of tests/oci/differential.py run.
check_PROGRAMS += tests/oci/differential/probe
tests_oci_differential_probe_SOURCES = tests/oci/differential/probe.c
tests_oci_differential_probe_CFLAGS = $(WARN_CFLAGS) -fPIE
tests_oci_differential_probe_LDFLAGS = -static-pie

# Lets system calls fail: tests/cli/test_faults.py.
check_PROGRAMS += tests/crash/inject
tests_crash_inject_SOURCES = tests/crash/inject.c
tests_crash_inject_CFLAGS = $(WARN_CFLAGS)
# What tests/crash/test_kill.py runs commands under.
check_PROGRAMS += tests/crash/crash-trace
tests_crash_crash_trace_SOURCES = tests/crash/crash-trace.c

include $(top_srcdir)/tests/bench/module.mk

# Whole folders, so that a new test is not forgotten.
dist-hook:
	cd $(top_srcdir) && find tests/cli tests/net tests/registry tests/crash tests/oci tests/cve tests/clients tests/fuzz tests/vm -name __pycache__ -prune -o -type f -print | \
		while read -r file; do \
			mkdir -p "$(abs_top_builddir)/$(distdir)/$$(dirname "$$file")" && \
			cp -p "$$file" "$(abs_top_builddir)/$(distdir)/$$file" || exit 1; \
		done
