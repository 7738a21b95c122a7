noinst_LIBRARIES += src/format/libformat.a
src_format_libformat_a_SOURCES = src/format/format.h src/format/format-priv.h src/format/parse.c \
	src/format/call.c src/format/eval.c src/format/rows.c src/format/clean.c

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-format
TESTS += tests/unit/test-format
tests_unit_test_format_SOURCES = tests/unit/test-format.c
tests_unit_test_format_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_format_LDADD = src/format/libformat.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
endif
