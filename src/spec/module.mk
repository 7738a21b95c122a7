noinst_LIBRARIES += src/spec/libspec.a
src_spec_libspec_a_SOURCES = src/spec/spec.h src/spec/tables.h src/spec/tables.c src/spec/spec.c \
	src/spec/build.c src/spec/default.c src/spec/validate.c src/spec/validate-mounts.c \
	src/spec/validate-linux.c src/spec/validate-seccomp.c src/spec/validate-raw.c
