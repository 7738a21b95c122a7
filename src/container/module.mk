noinst_LIBRARIES += src/container/libcontainer.a
src_container_libcontainer_a_SOURCES = src/container/hunt.c src/container/hunt.h src/container/container.h src/container/container-priv.h \
	src/container/proto.h src/container/client.h src/container/record.c src/container/scan.c \
	src/container/names.c src/container/find.c src/container/derive.c src/container/create.c src/container/rename.c \
	src/container/remove.c src/container/proto.c src/container/client.c src/container/attach.c \
	src/container/spawn.c src/container/group.c \
	src/container/journal.c \
	src/container/restart.c src/container/restart.h \
	src/container/root.c src/container/root.h \
	src/container/volumes.c src/container/pod.h src/container/pod.c src/container/procs.h src/container/procs.c

if ENABLE_TESTS
check_PROGRAMS += tests/tools/root-tool
tests_tools_root_tool_SOURCES = tests/tools/root-tool.c
tests_tools_root_tool_LDADD = $(CONTAINER_TEST_LIBS)

CONTAINER_TEST_LIBS = src/container/libcontainer.a src/volume/libvolume.a src/cgroup/libcgroup.a src/storage/libstorage.a \
	src/network/libnetwork.a src/events/libevents.a src/mounts/libmounts.a src/userns/libuserns.a src/conf/libconf.a \
	src/term/libterm.a src/spec/libspec.a src/net/libnet.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) \
	$(UNIT_LIBS)
check_PROGRAMS += tests/unit/test-container tests/unit/test-container-state tests/unit/test-proto \
	tests/unit/test-container-restart
TESTS += tests/unit/test-container tests/unit/test-container-state tests/unit/test-proto \
	tests/unit/test-container-restart
tests_unit_test_container_restart_SOURCES = tests/unit/test-container-restart.c
tests_unit_test_container_restart_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_container_restart_LDADD = $(CONTAINER_TEST_LIBS)
tests_unit_test_container_SOURCES = tests/unit/test-container.c
tests_unit_test_container_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_container_LDADD = $(CONTAINER_TEST_LIBS)
tests_unit_test_container_state_SOURCES = tests/unit/test-container-state.c
tests_unit_test_container_state_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_container_state_LDADD = $(CONTAINER_TEST_LIBS)
tests_unit_test_proto_SOURCES = tests/unit/test-proto.c
tests_unit_test_proto_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_proto_LDADD = $(CONTAINER_TEST_LIBS)
endif
