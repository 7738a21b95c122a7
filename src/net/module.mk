# What comes from outside as text or bytes about networks, parsed: no system calls.
noinst_LIBRARIES += src/net/libnet.a
src_net_libnet_a_SOURCES = \
	src/net/addr.c src/net/addr.h src/net/bridge-answer.h \
	src/net/dns.c src/net/dns.h \
	src/net/egress.c src/net/egress.h \
	src/net/frame.c src/net/frame.h \
	src/net/ipam.c src/net/ipam.h \
	src/net/ports.c src/net/ports.h \
	src/net/wire.h

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-dns
TESTS += tests/unit/test-dns
tests_unit_test_dns_SOURCES = tests/unit/test-dns.c tests/unit/unit.h
tests_unit_test_dns_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_dns_LDADD = src/net/libnet.a src/base/libbase.a $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-ipam
TESTS += tests/unit/test-ipam
tests_unit_test_ipam_SOURCES = tests/unit/test-ipam.c tests/unit/unit.h
tests_unit_test_ipam_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_ipam_LDADD = src/net/libnet.a src/base/libbase.a $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-addr
TESTS += tests/unit/test-addr
tests_unit_test_addr_SOURCES = tests/unit/test-addr.c tests/unit/unit.h
tests_unit_test_addr_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_addr_LDADD = src/net/libnet.a src/base/libbase.a $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-egress
TESTS += tests/unit/test-egress
tests_unit_test_egress_SOURCES = tests/unit/test-egress.c tests/unit/unit.h
tests_unit_test_egress_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_egress_LDADD = src/net/libnet.a src/base/libbase.a $(UNIT_LIBS)
endif

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-egress
tests_fuzz_fuzz_egress_SOURCES = tests/fuzz/fuzz-egress.c
tests_fuzz_fuzz_egress_LDADD = src/net/libnet.a src/base/libbase.a
tests_fuzz_fuzz_egress_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

noinst_PROGRAMS += tests/fuzz/fuzz-addr
tests_fuzz_fuzz_addr_SOURCES = tests/fuzz/fuzz-addr.c
tests_fuzz_fuzz_addr_LDADD = src/net/libnet.a src/base/libbase.a
tests_fuzz_fuzz_addr_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

noinst_PROGRAMS += tests/fuzz/fuzz-dns
tests_fuzz_fuzz_dns_SOURCES = tests/fuzz/fuzz-dns.c
tests_fuzz_fuzz_dns_LDADD = src/net/libnet.a src/base/libbase.a
tests_fuzz_fuzz_dns_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
EXTRA_DIST += tests/fuzz/corpus/dns/query tests/fuzz/corpus/dns/alias tests/fuzz/corpus/dns/loop
EXTRA_DIST += tests/fuzz/corpus/addr/v4 tests/fuzz/corpus/addr/v6 tests/fuzz/corpus/addr/mac

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-net-ports
TESTS += tests/unit/test-net-ports
tests_unit_test_net_ports_SOURCES = tests/unit/test-net-ports.c tests/unit/unit.h
tests_unit_test_net_ports_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_net_ports_LDADD = src/net/libnet.a src/base/libbase.a $(UNIT_LIBS)
endif

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-ports
tests_fuzz_fuzz_ports_SOURCES = tests/fuzz/fuzz-ports.c
tests_fuzz_fuzz_ports_LDADD = src/net/libnet.a src/base/libbase.a
tests_fuzz_fuzz_ports_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
