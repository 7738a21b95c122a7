noinst_LIBRARIES += src/term/libterm.a
src_term_libterm_a_SOURCES = src/term/term.h src/term/term.c src/term/detach.c
