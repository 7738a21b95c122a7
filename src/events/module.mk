noinst_LIBRARIES += src/events/libevents.a
src_events_libevents_a_SOURCES = src/events/events.h src/events/write.c src/events/read.c \
	src/events/filter.c

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-events
TESTS += tests/unit/test-events
tests_unit_test_events_SOURCES = tests/unit/test-events.c
tests_unit_test_events_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_events_LDADD = src/events/libevents.a src/cgroup/libcgroup.a src/conf/libconf.a \
	src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
endif
