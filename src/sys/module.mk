noinst_LIBRARIES += src/sys/libsys.a
src_sys_libsys_a_SOURCES = src/sys/clone.h src/sys/mountfd.h src/sys/procfs.h src/sys/sock.h 
