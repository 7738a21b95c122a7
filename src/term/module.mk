noinst_LIBRARIES += src/term/libterm.a
src_term_libterm_a_SOURCES = 
