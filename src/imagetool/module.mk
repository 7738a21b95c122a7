# The program that writes the image store. Its parts are an archive, so that tests link them.
noinst_LIBRARIES += src/imagetool/libimagetool.a
src_imagetool_libimagetool_a_SOURCES = src/imagetool/imagetool.h src/imagetool/commands.c \
	src/imagetool/tarindex.h src/imagetool/tarindex.c \
	src/imagetool/bundle.h src/imagetool/bundle.c \
	src/imagetool/manifest.h src/imagetool/manifest.c src/imagetool/platform.c \
	src/imagetool/plan.h src/imagetool/plan.c src/imagetool/plan-docker.c \
	src/imagetool/plan-legacy.c src/imagetool/plan-made.c src/imagetool/plan-oci.c \
	src/imagetool/idmap.h src/imagetool/idmap.c src/imagetool/gc.h src/imagetool/gc.c src/imagetool/gc-trees.c \
	src/imagetool/ingest.h src/imagetool/ingest.c src/imagetool/ingest-layers.c src/imagetool/ingest-other.c \
	src/imagetool/dirs.h src/imagetool/dirs.c src/imagetool/dirs-tree.c \
	src/imagetool/refs.h src/imagetool/refs.c src/imagetool/sink.h src/imagetool/sink.c \
	src/imagetool/change.h src/imagetool/change.c src/imagetool/output.h src/imagetool/output.c \
	src/imagetool/cmd-load.c src/imagetool/cmd-import.c src/imagetool/cmd-save.c \
	src/imagetool/cmd-tag.c src/imagetool/cmd-rm.c src/imagetool/cmd-inspect.c \
	src/imagetool/cmd-adopt.c src/imagetool/plan-store.c src/imagetool/check.h src/imagetool/cmd-check.c \
	src/imagetool/check-repair.c src/imagetool/compare.h src/imagetool/compare.c src/imagetool/cmd-prune.c src/imagetool/cmd-tar.c \
	src/imagetool/cmd-volume.c src/imagetool/merge.c src/imagetool/merge.h \
	src/imagetool/cmd-build.c src/imagetool/cmd-commit.c src/imagetool/cmd-export.c \
	src/imagetool/request.h src/imagetool/request.c \
	src/imagetool/progress.h src/imagetool/progress.c src/imagetool/part.h src/imagetool/part.c \
	src/imagetool/fetch.h src/imagetool/fetch-priv.h src/imagetool/fetch.c \
	src/imagetool/fetch-item.c src/imagetool/remote.h src/imagetool/remote.c \
	src/imagetool/cmd-pull.c src/imagetool/pull.h src/imagetool/pull-local.c \
	src/imagetool/pull-registry.c \
	src/imagetool/transfer.h src/imagetool/transfer.c src/imagetool/transfer-archive.c \
	src/imagetool/transfer-blobs.c src/imagetool/transfer-file.c \
	src/imagetool/transfer-manifest.h src/imagetool/transfer-manifest.c \
	src/imagetool/transfer-registry.c src/imagetool/transfer-store.c \
	src/imagetool/transfer-stream.c src/imagetool/cmd-push.c src/imagetool/cmd-copy.c \
	src/imagetool/cmd-manifest.c \
	src/imagetool/ask.h src/imagetool/ask.c src/imagetool/cmd-login.c \
	src/imagetool/allow.h src/imagetool/allow.c \
	src/imagetool/cmd-search.c
src_imagetool_libimagetool_a_CFLAGS = $(AM_CFLAGS) $(ARCHIVE_CFLAGS) $(CRYPTO_CFLAGS)

imagetool_libs = src/imagetool/libimagetool.a src/format/libformat.a src/image/libimage.a src/events/libevents.a src/volume/libvolume.a src/layer/liblayer.a src/copy/libcopy.a \
	src/mounts/libmounts.a src/userns/libuserns.a src/conf/libconf.a src/sys/libsys.a src/base/libbase.a \
	$(ARCHIVE_LIBS) $(CRYPTO_LIBS) $(ZLIB_LIBS) $(ZSTD_LIBS) $(ISAL_LIBS) $(SECCOMP_LIBS) \
	$(JANSSON_LIBS) -lpthread

pkglibexec_PROGRAMS += rootlet-image rootlet-registry
rootlet_image_SOURCES = src/imagetool/main.c
# Of the registries only the signature policy, which needs no libcurl.
rootlet_image_LDADD = src/imagetool/libimagetool.a src/registry/libregistry.a $(imagetool_libs)
# The same with another table of commands: its part of the archive needs libcurl.
rootlet_registry_SOURCES = src/imagetool/main.c src/imagetool/commands-registry.c \
	src/imagetool/cmd-http.c
rootlet_registry_LDADD = src/imagetool/libimagetool.a src/registry/libregistry.a $(imagetool_libs) $(CURL_LIBS)

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-image
tests_fuzz_fuzz_image_SOURCES = tests/fuzz/fuzz-image.c
tests_fuzz_fuzz_image_LDADD = $(imagetool_libs)
tests_fuzz_fuzz_image_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
# The same source, each with the kinds of input that it takes.
noinst_PROGRAMS += tests/fuzz/fuzz-manifest tests/fuzz/fuzz-index tests/fuzz/fuzz-config \
	tests/fuzz/fuzz-reference
tests_fuzz_fuzz_manifest_SOURCES = tests/fuzz/fuzz-image.c
tests_fuzz_fuzz_manifest_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_KINDS='"mx"'
tests_fuzz_fuzz_manifest_LDADD = $(imagetool_libs)
tests_fuzz_fuzz_manifest_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_index_SOURCES = tests/fuzz/fuzz-image.c
tests_fuzz_fuzz_index_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_KINDS='"mx"'
tests_fuzz_fuzz_index_LDADD = $(imagetool_libs)
tests_fuzz_fuzz_index_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz-image.c
tests_fuzz_fuzz_config_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_KINDS='"c"'
tests_fuzz_fuzz_config_LDADD = $(imagetool_libs)
tests_fuzz_fuzz_config_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_reference_SOURCES = tests/fuzz/fuzz-image.c
tests_fuzz_fuzz_reference_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_KINDS='"r"'
tests_fuzz_fuzz_reference_LDADD = $(imagetool_libs)
tests_fuzz_fuzz_reference_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
EXTRA_DIST += tests/fuzz/corpus/manifest/image tests/fuzz/corpus/manifest/carried-on \
	tests/fuzz/corpus/manifest/docker \
	tests/fuzz/corpus/index/platforms tests/fuzz/corpus/index/carried-on \
	tests/fuzz/corpus/config/config tests/fuzz/corpus/reference/reference \
	tests/fuzz/corpus/reference/short tests/fuzz/corpus/reference/tag \
	tests/fuzz/corpus/image/change tests/fuzz/corpus/image/tar-pax tests/fuzz/corpus/image/tar-gnu

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-image-manifest
TESTS += tests/unit/test-image-manifest
tests_unit_test_image_manifest_SOURCES = tests/unit/test-image-manifest.c
tests_unit_test_image_manifest_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_image_manifest_LDADD = $(imagetool_libs) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-transfer
TESTS += tests/unit/test-transfer
tests_unit_test_transfer_SOURCES = tests/unit/test-transfer.c
tests_unit_test_transfer_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_transfer_LDADD = $(imagetool_libs) $(UNIT_LIBS)
endif
