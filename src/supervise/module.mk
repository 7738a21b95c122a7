pkglibexec_PROGRAMS += rootlet-supervise
rootlet_supervise_SOURCES = src/supervise/supervise.h src/supervise/main.c src/supervise/start.c src/supervise/start.h src/supervise/table.c src/supervise/table.h src/supervise/adopt.c \
	src/supervise/events.c src/supervise/peers.c src/supervise/stdio.c src/supervise/state.c \
	src/supervise/finish.c src/supervise/group.c src/supervise/group.h src/supervise/join.c src/supervise/join.h src/supervise/shm.c \
	src/supervise/journal.c src/supervise/net.c src/supervise/served.c \
	src/supervise/restart.c src/supervise/unit.c src/supervise/unit.h src/supervise/notify.c \
	src/supervise/notify.h src/supervise/notify-filter.c src/supervise/credentials.c
rootlet_supervise_SOURCES += src/supervise/watch.h src/supervise/oom.c src/supervise/pressure.c
rootlet_supervise_SOURCES += src/supervise/health.c src/supervise/health.h src/supervise/check.c
rootlet_supervise_LDFLAGS = $(AM_LDFLAGS) $(STATIC_LDFLAGS)
rootlet_supervise_LDADD = $(SUPERVISE_LIBS)
SUPERVISE_LIBS = src/container/libcontainer.a src/volume/libvolume.a src/engine/libengine.a \
	src/storage/libstorage.a src/network/libnetwork.a src/net/libnet.a src/cgroup/libcgroup.a src/logs/liblogs.a src/events/libevents.a \
	src/term/libterm.a src/mounts/libmounts.a src/security/libsecurity.a \
	src/userns/libuserns.a src/conf/libconf.a src/spec/libspec.a src/net/libnet.a src/sys/libsys.a \
	src/base/libbase.a $(JANSSON_LIBS)

if ENABLE_TESTS
check_PROGRAMS += tests/tools/supervise-tool
tests_tools_supervise_tool_SOURCES = tests/tools/supervise-tool.c
tests_tools_supervise_tool_LDADD = $(SUPERVISE_LIBS)
check_PROGRAMS += tests/unit/test-supervise-table
TESTS += tests/unit/test-supervise-table
tests_unit_test_supervise_table_SOURCES = tests/unit/test-supervise-table.c src/supervise/table.c
tests_unit_test_supervise_table_CPPFLAGS = $(AM_CPPFLAGS) -DSRCDIR='"$(abs_top_srcdir)"'
tests_unit_test_supervise_table_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_supervise_table_LDADD = src/base/libbase.a $(UNIT_LIBS)
endif

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-notify
tests_fuzz_fuzz_notify_SOURCES = tests/fuzz/fuzz-notify.c src/supervise/notify-filter.c
tests_fuzz_fuzz_notify_LDADD = src/base/libbase.a
tests_fuzz_fuzz_notify_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
