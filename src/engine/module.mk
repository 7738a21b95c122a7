noinst_LIBRARIES += src/engine/libengine.a
src_engine_libengine_a_SOURCES = src/engine/engine.h src/engine/engine-priv.h src/engine/parts-priv.h src/engine/user.h src/engine/agent.c \
	src/engine/child.c src/engine/chroot.c src/engine/command.c src/engine/console.c src/engine/credentials.c src/engine/detach.c \
	src/engine/engine.c \
	src/engine/exec.c src/engine/hooks.c src/engine/joiner.c src/engine/live.c src/engine/message.c src/engine/numa.c \
	src/engine/parent.c src/engine/process.c src/engine/protect.c src/engine/sched.c \
	src/engine/stages.c src/engine/user.c

# What a program links that runs containers, highest layer first.
ENGINE_LIBS = src/engine/libengine.a src/storage/libstorage.a src/network/libnetwork.a src/net/libnet.a \
	src/cgroup/libcgroup.a src/mounts/libmounts.a src/userns/libuserns.a src/security/libsecurity.a \
	src/conf/libconf.a src/spec/libspec.a src/net/libnet.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS)

if ENABLE_TESTS
check_PROGRAMS += tests/tools/engine-tool
tests_tools_engine_tool_SOURCES = tests/tools/engine-tool.c
tests_tools_engine_tool_LDADD = $(ENGINE_LIBS)

check_PROGRAMS += tests/unit/test-user tests/unit/test-engine
TESTS += tests/unit/test-user tests/unit/test-engine
tests_unit_test_user_SOURCES = tests/unit/test-user.c
tests_unit_test_user_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_user_LDADD = $(ENGINE_LIBS) $(UNIT_LIBS)
tests_unit_test_engine_SOURCES = tests/unit/test-engine.c
tests_unit_test_engine_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_engine_LDADD = $(ENGINE_LIBS) $(UNIT_LIBS)
endif
