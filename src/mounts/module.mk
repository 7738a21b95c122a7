noinst_LIBRARIES += src/mounts/libmounts.a
src_mounts_libmounts_a_SOURCES = src/mounts/mounts.h 
