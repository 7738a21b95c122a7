noinst_LIBRARIES += src/spec/libspec.a
src_spec_libspec_a_SOURCES = src/spec/spec.h src/spec/names.h src/spec/tables.h src/spec/tables.c src/spec/spec.c \
	src/spec/build.c src/spec/default.c src/spec/validate.c src/spec/validate-mounts.c \
	src/spec/validate-linux.c src/spec/validate-seccomp.c src/spec/validate-raw.c

SPEC_TEST_LIBS = src/spec/libspec.a src/base/libbase.a $(JANSSON_LIBS)
if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-jfield
TESTS += tests/unit/test-jfield
tests_unit_test_jfield_SOURCES = tests/unit/test-jfield.c
tests_unit_test_jfield_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_jfield_LDADD = src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test-spec
TESTS += tests/unit/test-spec
tests_unit_test_spec_SOURCES = tests/unit/test-spec.c
tests_unit_test_spec_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_spec_LDADD = $(SPEC_TEST_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test-spec-validate
TESTS += tests/unit/test-spec-validate
tests_unit_test_spec_validate_SOURCES = tests/unit/test-spec-validate.c
tests_unit_test_spec_validate_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_spec_validate_LDADD = $(SPEC_TEST_LIBS) $(UNIT_LIBS)
TESTS += tests/check-spec-schema.py
endif

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-spec
tests_fuzz_fuzz_spec_SOURCES = tests/fuzz/fuzz-spec.c
tests_fuzz_fuzz_spec_LDADD = $(SPEC_TEST_LIBS)
tests_fuzz_fuzz_spec_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
EXTRA_DIST += tests/check-spec-schema.py tests/fuzz/corpus/spec/default.json tests/fuzz/corpus/spec/full.json \
	tests/fuzz/corpus/spec/minimal.json tests/fuzz/corpus/spec/wrong.json
