noinst_LIBRARIES += src/network/libnetwork.a
src_network_libnetwork_a_SOURCES = src/network/network.h src/network/drivers-priv.h src/network/driver.c
src_network_libnetwork_a_SOURCES += src/network/run.h src/network/session.h src/network/run.c \
	src/network/process.c src/network/session.c src/network/session-priv.h src/network/guard.c
src_network_libnetwork_a_SOURCES += src/network/slirp.c src/network/slirp-options.c src/network/slirp-options.h
src_network_libnetwork_a_SOURCES += src/network/bridge.c src/network/bridge-notice.c src/network/bridge.h
src_network_libnetwork_a_SOURCES += src/network/host.c src/network/join.c src/network/none.c
src_network_libnetwork_a_SOURCES += src/network/pasta.c src/network/holder.h src/network/holder.c \
	src/network/options.h src/network/options.c
src_network_libnetwork_a_SOURCES += src/network/publish.c src/network/publish.h src/network/publish-wire.c src/network/taken.c \
	src/network/published.c
src_network_libnetwork_a_SOURCES += src/network/plan.h src/network/plan.c
src_network_libnetwork_a_SOURCES += src/network/resolv.h src/network/resolv.c
src_network_libnetwork_a_SOURCES += src/network/store.h src/network/store-priv.h src/network/store.c \
	src/network/subnet.c

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-network
TESTS += tests/unit/test-network
tests_unit_test_network_SOURCES = tests/unit/test-network.c
tests_unit_test_network_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_network_LDADD = src/network/libnetwork.a src/userns/libuserns.a \
	src/conf/libconf.a src/spec/libspec.a src/net/libnet.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-resolv
TESTS += tests/unit/test-resolv
tests_unit_test_resolv_SOURCES = tests/unit/test-resolv.c tests/unit/unit.h
tests_unit_test_resolv_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_resolv_LDADD = src/network/libnetwork.a src/conf/libconf.a \
	src/net/libnet.a src/userns/libuserns.a src/spec/libspec.a src/sys/libsys.a \
	src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-network-store
TESTS += tests/unit/test-network-store
tests_unit_test_network_store_SOURCES = tests/unit/test-network-store.c tests/unit/unit.h
tests_unit_test_network_store_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_network_store_LDADD = src/network/libnetwork.a src/conf/libconf.a \
	src/net/libnet.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
endif

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-publish
TESTS += tests/unit/test-publish
tests_unit_test_publish_SOURCES = tests/unit/test-publish.c tests/unit/unit.h
tests_unit_test_publish_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_publish_LDADD = src/network/libnetwork.a src/net/libnet.a src/sys/libsys.a \
	src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
endif
src_network_libnetwork_a_SOURCES += src/network/user.c src/network/user-manager.c \
	src/network/user-priv.h src/network/user.h

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-network-plan
TESTS += tests/unit/test-network-plan
tests_unit_test_network_plan_SOURCES = tests/unit/test-network-plan.c tests/unit/unit.h
tests_unit_test_network_plan_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_network_plan_LDADD = src/network/libnetwork.a src/conf/libconf.a \
	src/userns/libuserns.a src/spec/libspec.a src/net/libnet.a src/sys/libsys.a \
	src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
endif

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-network
tests_fuzz_fuzz_network_SOURCES = tests/fuzz/fuzz-network.c
tests_fuzz_fuzz_network_LDADD = src/network/libnetwork.a src/conf/libconf.a \
	src/userns/libuserns.a src/spec/libspec.a src/net/libnet.a src/sys/libsys.a \
	src/base/libbase.a $(JANSSON_LIBS)
tests_fuzz_fuzz_network_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
EXTRA_DIST += tests/fuzz/corpus/network/joins tests/fuzz/corpus/network/slirp \
	tests/fuzz/corpus/network/resolv tests/fuzz/corpus/network/hosts
