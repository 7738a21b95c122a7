noinst_LIBRARIES += src/volume/libvolume.a
src_volume_libvolume_a_SOURCES = src/volume/volume.h src/volume/volume-priv.h \
	src/volume/volume.c src/volume/list.c src/volume/options.c
