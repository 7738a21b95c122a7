# The program that writes the image store. Its parts are an archive, so that tests link them.
noinst_LIBRARIES += src/imagetool/libimagetool.a
src_imagetool_libimagetool_a_SOURCES = src/imagetool/imagetool.h src/imagetool/commands.c \
	src/imagetool/tarindex.h src/imagetool/tarindex.c \
	src/imagetool/bundle.h src/imagetool/bundle.c \
	src/imagetool/manifest.h src/imagetool/manifest.c src/imagetool/platform.c \
	src/imagetool/plan.h src/imagetool/plan.c src/imagetool/plan-docker.c \
	src/imagetool/plan-legacy.c src/imagetool/plan-oci.c \
	src/imagetool/idmap.h src/imagetool/idmap.c src/imagetool/gc.h src/imagetool/gc.c \
	src/imagetool/ingest.h src/imagetool/ingest.c src/imagetool/ingest-layers.c \
	src/imagetool/refs.h src/imagetool/refs.c src/imagetool/sink.h src/imagetool/sink.c \
	src/imagetool/change.h src/imagetool/change.c src/imagetool/output.h src/imagetool/output.c \
	src/imagetool/cmd-load.c src/imagetool/cmd-import.c src/imagetool/cmd-save.c \
	src/imagetool/cmd-tag.c src/imagetool/cmd-rm.c src/imagetool/cmd-inspect.c \
	src/imagetool/cmd-check.c src/imagetool/cmd-prune.c src/imagetool/cmd-tar.c \
	src/imagetool/cmd-volume.c src/imagetool/merge.c src/imagetool/merge.h \
	src/imagetool/cmd-commit.c src/imagetool/cmd-export.c \
	src/imagetool/request.h src/imagetool/request.c
src_imagetool_libimagetool_a_CFLAGS = $(AM_CFLAGS) $(ARCHIVE_CFLAGS) $(CRYPTO_CFLAGS)

imagetool_libs = src/imagetool/libimagetool.a src/format/libformat.a src/image/libimage.a src/events/libevents.a src/volume/libvolume.a src/layer/liblayer.a src/copy/libcopy.a \
	src/userns/libuserns.a src/conf/libconf.a src/sys/libsys.a src/base/libbase.a \
	$(ARCHIVE_LIBS) $(CRYPTO_LIBS) $(ZLIB_LIBS) $(ZSTD_LIBS) $(ISAL_LIBS) $(SECCOMP_LIBS) \
	$(JANSSON_LIBS) -lpthread

pkglibexec_PROGRAMS += rootlet-image
rootlet_image_SOURCES = src/imagetool/main.c
rootlet_image_LDADD = $(imagetool_libs)

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-image
tests_fuzz_fuzz_image_SOURCES = tests/fuzz/fuzz-image.c
tests_fuzz_fuzz_image_LDADD = $(imagetool_libs)
tests_fuzz_fuzz_image_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
EXTRA_DIST += tests/fuzz/corpus/image/manifest tests/fuzz/corpus/image/index \
	tests/fuzz/corpus/image/config tests/fuzz/corpus/image/reference \
	tests/fuzz/corpus/image/change tests/fuzz/corpus/image/tar-pax tests/fuzz/corpus/image/tar-gnu

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-image-manifest
TESTS += tests/unit/test-image-manifest
tests_unit_test_image_manifest_SOURCES = tests/unit/test-image-manifest.c
tests_unit_test_image_manifest_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_image_manifest_LDADD = $(imagetool_libs) $(UNIT_LIBS)
endif
