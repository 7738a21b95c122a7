noinst_LIBRARIES += src/image/libimage.a
src_image_libimage_a_SOURCES = src/image/store.h 
