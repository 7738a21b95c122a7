noinst_LIBRARIES += src/sys/libsys.a
src_sys_libsys_a_SOURCES = \
	src/sys/clone.c src/sys/clone.h \
	src/sys/mountfd.c src/sys/mountfd.h \
	src/sys/procfs.c src/sys/procfs.h \
	src/sys/sock.c src/sys/sock.h
