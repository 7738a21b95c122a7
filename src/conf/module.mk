noinst_LIBRARIES += src/conf/libconf.a
src_conf_libconf_a_SOURCES = src/conf/conf.h src/conf/conf.c src/conf/room.c src/conf/runroot.h src/conf/runroot.c
# They know where things are installed: configured anew with another --prefix they are made anew.
src/conf/conf.$(OBJEXT) src/quadlet/load.$(OBJEXT) src/cli/linger.$(OBJEXT): Makefile

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-conf
TESTS += tests/unit/test-conf
tests_unit_test_conf_SOURCES = tests/unit/test-conf.c
tests_unit_test_conf_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_conf_LDADD = src/conf/libconf.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
endif
