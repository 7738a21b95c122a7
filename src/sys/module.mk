noinst_LIBRARIES += src/sys/libsys.a
src_sys_libsys_a_SOURCES = \
	src/sys/clone.c src/sys/clone.h \
	src/sys/mountfd.c src/sys/mountfd.h \
	src/sys/netdev.c src/sys/netdev.h \
	src/sys/netlink.c src/sys/netlink.h \
	src/sys/netns.c src/sys/netns.h \
	src/sys/nft.c src/sys/nft-port.c src/sys/nft-port.h src/sys/nft-read.c src/sys/nft-rule.c src/sys/nft.h \
	src/sys/procfs.c src/sys/procfs.h \
	src/sys/rtnl.c src/sys/rtnl-ip.c src/sys/rtnl.h \
	src/sys/sandbox.c src/sys/sandbox.h \
	src/sys/sock.c src/sys/sock.h \
	src/sys/tap.c src/sys/tap.h

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-sys
TESTS += tests/unit/test-sys
tests_unit_test_sys_SOURCES = tests/unit/test-sys.c tests/unit/unit.h
tests_unit_test_sys_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_sys_LDADD = src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-rtnl
TESTS += tests/unit/test-rtnl
tests_unit_test_rtnl_SOURCES = tests/unit/test-rtnl.c tests/unit/unit.h
tests_unit_test_rtnl_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_rtnl_LDADD = src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-sandbox
TESTS += tests/unit/test-sandbox
tests_unit_test_sandbox_SOURCES = tests/unit/test-sandbox.c tests/unit/unit.h
tests_unit_test_sandbox_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_sandbox_LDADD = src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-nft
TESTS += tests/unit/test-nft
tests_unit_test_nft_SOURCES = tests/unit/test-nft.c tests/unit/unit.h
tests_unit_test_nft_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_nft_LDADD = src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
endif

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-netlink
tests_fuzz_fuzz_netlink_SOURCES = tests/fuzz/fuzz-netlink.c
tests_fuzz_fuzz_netlink_LDADD = src/sys/libsys.a src/base/libbase.a
tests_fuzz_fuzz_netlink_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
