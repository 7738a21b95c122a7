noinst_LIBRARIES += src/copy/libcopy.a
src_copy_libcopy_a_SOURCES = src/copy/copy.h src/copy/message.h src/copy/message.c src/copy/place.h \
	src/copy/place.c src/copy/walk.c src/copy/data.h src/copy/data.c src/copy/write.h \
	src/copy/write.c src/copy/entry.c

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-copy
tests_fuzz_fuzz_copy_SOURCES = tests/fuzz/fuzz-copy.c
tests_fuzz_fuzz_copy_LDADD = src/copy/libcopy.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS)
tests_fuzz_fuzz_copy_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
