noinst_LIBRARIES += src/mounts/libmounts.a
src_mounts_libmounts_a_SOURCES = \
	src/mounts/mounts.h src/mounts/mounts-priv.h src/mounts/tree.h src/mounts/tree-priv.h \
	src/mounts/bind.c src/mounts/cgroup.c src/mounts/copyup.c src/mounts/dev.c src/mounts/idmap.c \
	src/mounts/live.c src/mounts/mask.c src/mounts/new.c \
	src/mounts/options.c src/mounts/pivot.c src/mounts/root.c src/mounts/target.c src/mounts/tree.c \
	src/mounts/tree-attr.c src/mounts/tree-file.c

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-mount-options
TESTS += tests/unit/test-mount-options
tests_unit_test_mount_options_SOURCES = tests/unit/test-mount-options.c
tests_unit_test_mount_options_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_mount_options_LDADD = src/mounts/libmounts.a src/sys/libsys.a src/base/libbase.a \
	$(JANSSON_LIBS) $(UNIT_LIBS)
endif
