noinst_LIBRARIES += src/quadlet/libquadlet.a
src_quadlet_libquadlet_a_SOURCES = src/quadlet/quadlet.h src/quadlet/keys.h src/quadlet/keys.c \
	src/quadlet/unit.h src/quadlet/unit.c src/quadlet/words.h src/quadlet/words.c \
	src/quadlet/set.c src/quadlet/job.c src/quadlet/source.c src/quadlet/translate.c \
	src/quadlet/container.c src/quadlet/oneshot.c \
	src/quadlet/load.h src/quadlet/load.c
