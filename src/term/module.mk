noinst_LIBRARIES += src/term/libterm.a
src_term_libterm_a_SOURCES = src/term/term.h src/term/term.c src/term/detach.c \
	src/term/relay.h src/term/relay.c src/term/session.h src/term/session.c

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-term
TESTS += tests/unit/test-term
tests_unit_test_term_SOURCES = tests/unit/test-term.c
tests_unit_test_term_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_term_LDADD = src/term/libterm.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
endif
