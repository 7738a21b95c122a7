noinst_LIBRARIES += src/container/libcontainer.a
src_container_libcontainer_a_SOURCES = src/container/container.h src/container/proto.h 
