noinst_LIBRARIES += src/quadlet/libquadlet.a
src_quadlet_libquadlet_a_SOURCES = src/quadlet/quadlet.h src/quadlet/keys.h src/quadlet/keys.c \
	src/quadlet/unit.h src/quadlet/unit.c src/quadlet/words.h src/quadlet/words.c \
	src/quadlet/set.c src/quadlet/job.c src/quadlet/source.c src/quadlet/translate.c \
	src/quadlet/container.c src/quadlet/oneshot.c \
	src/quadlet/load.h src/quadlet/load.c

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-quadlet
TESTS += tests/unit/test-quadlet
tests_unit_test_quadlet_SOURCES = tests/unit/test-quadlet.c tests/unit/unit.h
tests_unit_test_quadlet_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_quadlet_LDADD = src/quadlet/libquadlet.a src/net/libnet.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
endif

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-quadlet
tests_fuzz_fuzz_quadlet_SOURCES = tests/fuzz/fuzz-quadlet.c
tests_fuzz_fuzz_quadlet_LDADD = src/quadlet/libquadlet.a src/net/libnet.a src/base/libbase.a $(JANSSON_LIBS)
tests_fuzz_fuzz_quadlet_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
