noinst_LIBRARIES += src/security/libsecurity.a
src_security_libsecurity_a_SOURCES = \
	src/security/bpf.c src/security/bpf.h \
	src/security/builtin.c src/security/builtin.h \
	src/security/caps.c src/security/caps.h \
	src/security/limits.c src/security/limits.h \
	src/security/filter.c src/security/filter.h src/security/lsm.c src/security/lsm.h \
	src/security/secopt.c src/security/secopt.h \
	src/security/seccomp.c src/security/seccomp.h \
	src/security/why.c src/security/why-learn.c src/security/why.h

# What needs libseccomp: the build tool, rootlet-seccomp and tests. It has its own copy of bpf.o,
# because the generator must exist before libsecurity.a can.
noinst_LIBRARIES += src/security/libprofile.a
src_security_libprofile_a_SOURCES = \
	src/security/profile.c src/security/profile.h \
	src/security/profile-compile.c
src_security_libprofile_a_CFLAGS = $(AM_CFLAGS) $(SECCOMP_CFLAGS)

noinst_PROGRAMS += src/security/gen-seccomp
src_security_gen_seccomp_SOURCES = src/security/gen-seccomp.c src/security/bpf.c src/security/caps.c
src_security_gen_seccomp_CFLAGS = $(AM_CFLAGS) $(SECCOMP_CFLAGS)
src_security_gen_seccomp_LDADD = src/security/libprofile.a src/base/libbase.a $(SECCOMP_LIBS) $(JANSSON_LIBS)

SECCOMP_PROFILES = $(top_srcdir)/data/seccomp/default.json $(top_srcdir)/data/seccomp/minimal.json
src/security/builtin.$(OBJEXT): src/security/builtin.inc
src/security/builtin.inc: src/security/gen-seccomp$(EXEEXT) $(SECCOMP_PROFILES)
	$(AM_V_GEN)src/security/gen-seccomp$(EXEEXT) $(SECCOMP_PROFILES) >$@.tmp && mv $@.tmp $@
src/security/rootlet_seccomp-builtin-text.$(OBJEXT): src/security/builtin-text.inc
src/security/builtin-text.inc: src/security/gen-seccomp$(EXEEXT) $(SECCOMP_PROFILES)
	$(AM_V_GEN)src/security/gen-seccomp$(EXEEXT) --text $(SECCOMP_PROFILES) >$@.tmp && mv $@.tmp $@
CLEANFILES += src/security/builtin.inc src/security/builtin.inc.tmp \
	src/security/builtin-text.inc src/security/builtin-text.inc.tmp

pkglibexec_PROGRAMS += rootlet-seccomp
rootlet_seccomp_SOURCES = src/security/tool.c src/security/builtin-text.c
rootlet_seccomp_CFLAGS = $(AM_CFLAGS) $(SECCOMP_CFLAGS)
rootlet_seccomp_LDADD = src/security/libprofile.a src/security/libsecurity.a src/base/libbase.a \
	$(SECCOMP_LIBS) $(JANSSON_LIBS)

EXTRA_DIST += data/seccomp/default.json data/seccomp/minimal.json
seccompdir = $(pkgdatadir)/seccomp
dist_seccomp_DATA = data/seccomp/default.json data/seccomp/minimal.json

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-seccomp
TESTS += tests/unit/test-seccomp
tests_unit_test_seccomp_SOURCES = tests/unit/test-seccomp.c
tests_unit_test_seccomp_CPPFLAGS = $(AM_CPPFLAGS) -DSRCDIR='"$(abs_top_srcdir)"'
tests_unit_test_seccomp_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_seccomp_LDADD = src/security/libprofile.a src/security/libsecurity.a src/base/libbase.a \
	$(SECCOMP_LIBS) $(JANSSON_LIBS) $(UNIT_LIBS)

# Programs that tests run: the probe inside containers, hence static and without sanitizers.
check_PROGRAMS += tests/tools/seccomp-probe tests/tools/seccomp-run
tests_tools_seccomp_probe_SOURCES = tests/tools/seccomp-probe.c
tests_tools_seccomp_probe_CFLAGS = $(WARN_CFLAGS) -fPIE
tests_tools_seccomp_probe_LDFLAGS = -static-pie
tests_tools_seccomp_run_SOURCES = tests/tools/seccomp-run.c
tests_tools_seccomp_run_LDADD = src/security/libsecurity.a src/base/libbase.a $(JANSSON_LIBS)

check_PROGRAMS += tests/unit/test-caps
TESTS += tests/unit/test-caps
tests_unit_test_caps_SOURCES = tests/unit/test-caps.c
tests_unit_test_caps_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_caps_LDADD = src/security/libsecurity.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-limits
TESTS += tests/unit/test-limits
tests_unit_test_limits_SOURCES = tests/unit/test-limits.c
tests_unit_test_limits_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_limits_LDADD = src/security/libsecurity.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-secopt
TESTS += tests/unit/test-secopt
tests_unit_test_secopt_SOURCES = tests/unit/test-secopt.c
tests_unit_test_secopt_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_secopt_LDADD = src/security/libsecurity.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-why
TESTS += tests/unit/test-why
tests_unit_test_why_SOURCES = tests/unit/test-why.c
tests_unit_test_why_CPPFLAGS = $(AM_CPPFLAGS) -DSRCDIR='"$(abs_top_srcdir)"'
tests_unit_test_why_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_why_LDADD = src/security/libprofile.a src/security/libsecurity.a src/sys/libsys.a src/base/libbase.a \
	$(SECCOMP_LIBS) $(JANSSON_LIBS) $(UNIT_LIBS)
endif

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-seccomp
tests_fuzz_fuzz_seccomp_SOURCES = tests/fuzz/fuzz-seccomp.c
tests_fuzz_fuzz_seccomp_LDADD = src/security/libprofile.a src/security/libsecurity.a src/base/libbase.a \
	$(SECCOMP_LIBS) $(JANSSON_LIBS)
tests_fuzz_fuzz_seccomp_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/fuzz-runtime
tests_fuzz_fuzz_runtime_SOURCES = tests/fuzz/fuzz-runtime.c
tests_fuzz_fuzz_runtime_LDADD = src/cgroup/libcgroup.a src/mounts/libmounts.a src/conf/libconf.a \
	src/security/libprofile.a src/security/libsecurity.a src/spec/libspec.a src/sys/libsys.a src/base/libbase.a \
	$(SECCOMP_LIBS) $(JANSSON_LIBS)
tests_fuzz_fuzz_runtime_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
EXTRA_DIST += tests/fuzz/corpus/seccomp/docker tests/fuzz/corpus/seccomp/oci \
	tests/fuzz/corpus/runtime/process tests/fuzz/corpus/runtime/seccomp \
	tests/fuzz/corpus/runtime/resources tests/fuzz/corpus/runtime/mount
