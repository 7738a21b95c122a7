noinst_LIBRARIES += src/userns/libuserns.a
src_userns_libuserns_a_SOURCES = src/userns/userns.h src/userns/subid.h src/userns/subid.c \
	src/userns/map.c src/userns/write.c src/userns/run.c
src_userns_libuserns_a_SOURCES += src/userns/enter.c

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-userns
TESTS += tests/unit/test-userns
tests_unit_test_userns_SOURCES = tests/unit/test-userns.c
tests_unit_test_userns_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_userns_LDADD = src/userns/libuserns.a src/sys/libsys.a src/base/libbase.a \
	$(JANSSON_LIBS) $(UNIT_LIBS)
endif
