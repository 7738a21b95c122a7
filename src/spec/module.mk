noinst_LIBRARIES += src/spec/libspec.a
src_spec_libspec_a_SOURCES = src/spec/spec.h 
