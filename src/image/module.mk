# Images on disk, reading side: links neither archive nor crypto.
noinst_LIBRARIES += src/image/libimage.a
src_image_libimage_a_SOURCES = src/image/store.h src/image/store.c src/image/find.c \
	src/image/rows.h src/image/rows.c src/image/ref.h src/image/ref.c src/image/config.c src/image/layers.c \
	src/image/index.h src/image/index.c src/image/scan.c \
	src/image/others.h src/image/others.c src/image/trees.h src/image/trees.c src/image/pin.h src/image/pin.c

if ENABLE_TESTS
image_test_libs = src/image/libimage.a src/conf/libconf.a src/userns/libuserns.a \
	src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test-image-ref tests/unit/test-image-config tests/unit/test-store
TESTS += tests/unit/test-image-ref tests/unit/test-image-config tests/unit/test-store
tests_unit_test_image_ref_SOURCES = tests/unit/test-image-ref.c
tests_unit_test_image_ref_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_image_ref_LDADD = $(image_test_libs)
tests_unit_test_image_config_SOURCES = tests/unit/test-image-config.c
tests_unit_test_image_config_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_image_config_LDADD = $(image_test_libs)
tests_unit_test_store_SOURCES = tests/unit/test-store.c
tests_unit_test_store_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_store_LDADD = $(image_test_libs)
endif
