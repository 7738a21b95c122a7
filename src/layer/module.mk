noinst_LIBRARIES += src/layer/liblayer.a
src_layer_liblayer_a_SOURCES = \
	src/layer/compress.c src/layer/compress.h \
	src/layer/create.c \
	src/layer/decompress.c src/layer/decompress.h \
	src/layer/digest.c src/layer/digest.h \
	src/layer/entry.c src/layer/entry.h \
	src/layer/gzip.c src/layer/gzip.h \
	src/layer/implied.c \
	src/layer/job.h \
	src/layer/keeper.c \
	src/layer/layer.h \
	src/layer/links.c src/layer/links.h \
	src/layer/names.c src/layer/names.h \
	src/layer/out.c src/layer/out.h \
	src/layer/pack.c \
	src/layer/pax.c src/layer/pax.h \
	src/layer/rebuild.c \
	src/layer/ring.c src/layer/ring.h \
	src/layer/sandbox.c src/layer/sandbox.h \
	src/layer/select.c src/layer/select.h \
	src/layer/session.c \
	src/layer/sparse.c src/layer/sparse.h \
	src/layer/split.c src/layer/split.h \
	src/layer/tree.c src/layer/tree.h \
	src/layer/unpack.c \
	src/layer/whiteout.c \
	src/layer/xattr.c
src_layer_liblayer_a_CFLAGS = $(AM_CFLAGS) $(ARCHIVE_CFLAGS) $(CRYPTO_CFLAGS) $(ZLIB_CFLAGS) \
	$(ZSTD_CFLAGS) $(SECCOMP_CFLAGS) $(ISAL_CFLAGS)

# What a program that unpacks layers links, behind its own archives.
LAYER_LDADD = src/layer/liblayer.a src/userns/libuserns.a src/sys/libsys.a src/base/libbase.a \
	$(ARCHIVE_LIBS) $(CRYPTO_LIBS) $(ZLIB_LIBS) $(ZSTD_LIBS) $(SECCOMP_LIBS) $(ISAL_LIBS) \
	$(JANSSON_LIBS) -lpthread

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-layer
tests_fuzz_fuzz_layer_SOURCES = tests/fuzz/fuzz-layer.c \
	tests/fuzz/layer-model.c tests/fuzz/layer-model.h
tests_fuzz_fuzz_layer_LDADD = $(LAYER_LDADD)
tests_fuzz_fuzz_layer_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
EXTRA_DIST += tests/fuzz/corpus/layer/kinds tests/fuzz/corpus/layer/odd \
	tests/fuzz/corpus/layer/overlapping-sparse-map tests/fuzz/corpus/layer/owners \
	tests/fuzz/corpus/layer/replaced tests/fuzz/corpus/layer/whiteouts

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-layer-gzip
TESTS += tests/unit/test-layer-gzip
tests_unit_test_layer_gzip_SOURCES = tests/unit/test-layer-gzip.c
tests_unit_test_layer_gzip_CFLAGS = $(UNIT_CFLAGS) $(ZLIB_CFLAGS)
tests_unit_test_layer_gzip_LDADD = $(LAYER_LDADD) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-layer
TESTS += tests/unit/test-layer
tests_unit_test_layer_SOURCES = tests/unit/test-layer.c
tests_unit_test_layer_CFLAGS = $(UNIT_CFLAGS) $(ZLIB_CFLAGS) $(ZSTD_CFLAGS)
tests_unit_test_layer_LDADD = $(LAYER_LDADD) $(UNIT_LIBS)

check_PROGRAMS += tests/tools/layer-tool
tests_tools_layer_tool_SOURCES = tests/tools/layer-tool.c
tests_tools_layer_tool_LDADD = $(LAYER_LDADD)
endif
