noinst_LIBRARIES += src/cgroup/libcgroup.a
src_cgroup_libcgroup_a_SOURCES = src/cgroup/cgroup.h src/cgroup/driver.h src/cgroup/cgroup-priv.h \
	src/cgroup/resources.h src/cgroup/fields.h src/cgroup/apply.c src/cgroup/cgroup.c src/cgroup/choose.c src/cgroup/place.c src/cgroup/place.h \
	src/cgroup/session.c src/cgroup/session.h src/cgroup/session-priv.h src/cgroup/session-scope.c src/cgroup/scope-helper.c src/cgroup/scope-helper.h src/cgroup/cgroupfs.c src/cgroup/devices.h src/cgroup/devices.c src/cgroup/dir.c \
	src/cgroup/driver.c src/cgroup/fields.c src/cgroup/gvariant.c src/cgroup/gvariant.h \
	src/cgroup/systemd.c src/cgroup/systemd-unit.c src/cgroup/systemd-unit.h src/cgroup/resources.c src/cgroup/stats.c src/cgroup/tasks.c
src_cgroup_libcgroup_a_SOURCES += src/cgroup/meter.h src/cgroup/meter.c src/cgroup/pressure.h src/cgroup/pressure.c

CGROUP_TEST_LIBS = src/cgroup/libcgroup.a src/conf/libconf.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-cgroup-plan
TESTS += tests/unit/test-cgroup-plan
tests_unit_test_cgroup_plan_SOURCES = tests/unit/test-cgroup-plan.c
tests_unit_test_cgroup_plan_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_cgroup_plan_LDADD = $(CGROUP_TEST_LIBS) -lm
check_PROGRAMS += tests/unit/test-cgroup
TESTS += tests/unit/test-cgroup
tests_unit_test_cgroup_SOURCES = tests/unit/test-cgroup.c tests/unit/cgroup-mount.h
tests_unit_test_cgroup_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_cgroup_LDADD = $(CGROUP_TEST_LIBS)
check_PROGRAMS += tests/unit/test-cgroup-session
TESTS += tests/unit/test-cgroup-session
tests_unit_test_cgroup_session_SOURCES = tests/unit/test-cgroup-session.c tests/unit/cgroup-mount.h
tests_unit_test_cgroup_session_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_cgroup_session_LDADD = $(CGROUP_TEST_LIBS)
check_PROGRAMS += tests/unit/test-cgroup-devices
TESTS += tests/unit/test-cgroup-devices
tests_unit_test_cgroup_devices_SOURCES = tests/unit/test-cgroup-devices.c tests/unit/cgroup-mount.h
tests_unit_test_cgroup_devices_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_cgroup_devices_LDADD = $(CGROUP_TEST_LIBS)
check_PROGRAMS += tests/unit/test-systemd-unit
TESTS += tests/unit/test-systemd-unit
tests_unit_test_systemd_unit_SOURCES = tests/unit/test-systemd-unit.c
tests_unit_test_systemd_unit_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_systemd_unit_LDADD = $(CGROUP_TEST_LIBS)
endif

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-unit
tests_fuzz_fuzz_unit_SOURCES = tests/fuzz/fuzz-unit.c
tests_fuzz_fuzz_unit_LDADD = src/cgroup/libcgroup.a src/conf/libconf.a src/sys/libsys.a \
	src/base/libbase.a $(JANSSON_LIBS)
tests_fuzz_fuzz_unit_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/fuzz-resources
tests_fuzz_fuzz_resources_SOURCES = tests/fuzz/fuzz-resources.c
tests_fuzz_fuzz_resources_LDADD = src/cgroup/libcgroup.a src/conf/libconf.a src/sys/libsys.a \
	src/base/libbase.a $(JANSSON_LIBS)
tests_fuzz_fuzz_resources_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
