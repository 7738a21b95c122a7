noinst_LIBRARIES += src/mounts/libmounts.a
src_mounts_libmounts_a_SOURCES = \
	src/mounts/mounts.h src/mounts/mounts-priv.h src/mounts/tree.h src/mounts/tree-priv.h \
	src/mounts/bind.c src/mounts/copyup.c src/mounts/dev.c src/mounts/mask.c src/mounts/new.c \
	src/mounts/options.c src/mounts/root.c src/mounts/target.c src/mounts/tree.c \
	src/mounts/tree-attr.c src/mounts/tree-file.c
