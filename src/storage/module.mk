noinst_LIBRARIES += src/storage/libstorage.a
src_storage_libstorage_a_SOURCES = \
	src/storage/storage.h src/storage/storage-priv.h \
	src/storage/choose.c src/storage/confine.c src/storage/copy.c src/storage/create.c src/storage/dir.c \
	src/storage/diff.h src/storage/diff-priv.h \
	src/storage/diff.c src/storage/diff-lower.c src/storage/driver.c src/storage/fuse.c src/storage/ids.c src/storage/overlay.c src/storage/probe.c \
	src/storage/remove.c src/storage/shift.c src/storage/volume.c
src_storage_libstorage_a_SOURCES += src/storage/measure.c src/storage/progress.c src/storage/remover.c src/storage/server.c
if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-storage
TESTS += tests/unit/test-storage
tests_unit_test_storage_SOURCES = tests/unit/test-storage.c
tests_unit_test_storage_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_storage_LDADD = src/storage/libstorage.a src/mounts/libmounts.a \
	src/userns/libuserns.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/tools/mounts-tool
tests_tools_mounts_tool_SOURCES = tests/tools/mounts-tool.c
tests_tools_mounts_tool_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=probe_data_only
tests_tools_mounts_tool_LDADD = src/storage/libstorage.a src/mounts/libmounts.a \
	src/userns/libuserns.a src/spec/libspec.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS)
endif
