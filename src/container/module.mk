noinst_LIBRARIES += src/container/libcontainer.a
src_container_libcontainer_a_SOURCES = src/container/container.h src/container/container-priv.h \
	src/container/proto.h src/container/client.h src/container/record.c src/container/scan.c \
	src/container/names.c src/container/find.c src/container/derive.c src/container/create.c \
	src/container/remove.c src/container/proto.c src/container/client.c src/container/attach.c \
	src/container/spawn.c
