# rootlet-build: Containerfile to image. Its parts are an archive, so that tests link them.
noinst_LIBRARIES += src/build/libbuild.a
src_build_libbuild_a_SOURCES = \
	src/build/chmod.c \
	src/build/chmod.h \
	src/build/context.c \
	src/build/context.h \
	src/build/copy-priv.h \
	src/build/copy.c \
	src/build/copy.h \
	src/build/expand-ins.c \
	src/build/expand.c \
	src/build/expand.h \
	src/build/fetch.c \
	src/build/fetch.h \
	src/build/file.c \
	src/build/file.h \
	src/build/glob.c \
	src/build/glob.h \
	src/build/ignore.c \
	src/build/ignore.h \
	src/build/ins.c \
	src/build/mask.c \
	src/build/mask.h \
	src/build/owner.c \
	src/build/owner.h \
	src/build/pack-out.c \
	src/build/pack-tar.c \
	src/build/pack.c \
	src/build/pack.h \
	src/build/parse.c \
	src/build/parse.h \
	src/build/pattern.c \
	src/build/pattern.h \
	src/build/place.c \
	src/build/place.h \
	src/build/platform.c \
	src/build/select.c \
	src/build/untar-priv.h \
	src/build/untar-worker.c \
	src/build/untar.c \
	src/build/untar.h \
	src/build/walk.c \
	src/build/words.c
src_build_libbuild_a_CFLAGS = $(AM_CFLAGS) $(ARCHIVE_CFLAGS) $(CRYPTO_CFLAGS)

build_libs = src/build/libbuild.a src/engine/libengine.a src/conf/libconf.a $(LAYER_LDADD)

if ENABLE_TESTS
check_PROGRAMS += tests/tools/build-tool
tests_tools_build_tool_SOURCES = tests/tools/build-tool.c
tests_tools_build_tool_LDADD = $(build_libs)

check_PROGRAMS += tests/unit/test-build-file
TESTS += tests/unit/test-build-file
tests_unit_test_build_file_SOURCES = tests/unit/test-build-file.c tests/unit/unit.h
tests_unit_test_build_file_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_build_file_LDADD = $(build_libs) $(UNIT_LIBS)
endif

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-build
tests_fuzz_fuzz_build_SOURCES = tests/fuzz/fuzz-build.c
tests_fuzz_fuzz_build_LDADD = $(build_libs)
tests_fuzz_fuzz_build_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
EXTRA_DIST += tests/fuzz/corpus/build/chmod \
	tests/fuzz/corpus/build/file \
	tests/fuzz/corpus/build/ignore \
	tests/fuzz/corpus/build/pattern \
	tests/fuzz/corpus/build/platform \
	tests/fuzz/corpus/build/stars \
	tests/fuzz/corpus/build/tick \
	tests/fuzz/corpus/build/word

# The program: what runs the file.
pkglibexec_PROGRAMS += rootlet-build
rootlet_build_SOURCES = src/build/build.h src/build/cache.c src/build/child.c src/build/copystep.c \
	src/build/finish.c src/build/lower.c src/build/main.c src/build/mount-cache.c \
	src/build/mount-priv.h src/build/mount-secret.c src/build/mount.c \
	src/build/options.c src/build/options.h src/build/prune.c src/build/prune.h src/build/run.c \
	src/build/scratch.c src/build/stage.c src/build/state.c src/build/step.c
rootlet_build_CFLAGS = $(AM_CFLAGS) $(ARCHIVE_CFLAGS) $(CRYPTO_CFLAGS)
rootlet_build_LDADD = src/build/libbuild.a src/engine/libengine.a src/container/libcontainer.a src/volume/libvolume.a \
	src/cgroup/libcgroup.a src/storage/libstorage.a src/mounts/libmounts.a src/network/libnetwork.a \
	src/security/libsecurity.a src/term/libterm.a src/events/libevents.a src/image/libimage.a src/layer/liblayer.a \
	src/userns/libuserns.a src/conf/libconf.a src/spec/libspec.a src/net/libnet.a src/sys/libsys.a \
	src/base/libbase.a $(ARCHIVE_LIBS) $(CRYPTO_LIBS) $(ZLIB_LIBS) $(ZSTD_LIBS) $(ISAL_LIBS) \
	$(SECCOMP_LIBS) $(JANSSON_LIBS) -lpthread
