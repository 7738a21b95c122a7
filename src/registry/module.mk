# Registries: names, credentials, signatures; transport and client. Only rootlet-registry links it:
# libcurl loads thirty other libraries.
noinst_LIBRARIES += src/registry/libregistry.a
src_registry_libregistry_a_SOURCES = src/registry/toml.h src/registry/toml-priv.h \
	src/registry/toml.c src/registry/toml-string.c \
	src/registry/conf.h src/registry/conf-priv.h src/registry/conf.c src/registry/conf-read.c \
	src/registry/certs.c $(registry_creds) $(registry_policy) $(registry_transport)
registry_policy = src/registry/policy.h src/registry/policy-priv.h src/registry/policy.c \
	src/registry/policy-parse.c src/registry/policy-match.c src/registry/sigstore.c \
	src/registry/sigstore-verify.c
registry_creds = src/registry/creds.h src/registry/creds-priv.h src/registry/creds.c \
	src/registry/creds-text.c src/registry/creds-helper.c src/registry/creds-store.c \
	src/registry/base64.c
registry_transport = src/registry/http.h src/registry/challenge.h src/registry/token.h \
	src/registry/client.h src/registry/location.c src/registry/challenge.c src/registry/ranges.c \
	src/registry/token.c src/registry/http.c src/registry/http-priv.h src/registry/http-transfer.c \
	src/registry/client-priv.h src/registry/client.c src/registry/call.c src/registry/manifest.c \
	src/registry/fetch.c src/registry/blob.c src/registry/upload.c src/registry/lists.c
src_registry_libregistry_a_CFLAGS = $(AM_CFLAGS) $(CURL_CFLAGS) $(CRYPTO_CFLAGS)

registry_libs = src/registry/libregistry.a src/image/libimage.a src/conf/libconf.a \
	src/userns/libuserns.a src/sys/libsys.a src/base/libbase.a $(CRYPTO_LIBS) $(JANSSON_LIBS)

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-registry-conf tests/unit/test-creds tests/unit/test-policy
TESTS += tests/unit/test-registry-conf tests/unit/test-creds tests/unit/test-policy
tests_unit_test_policy_SOURCES = tests/unit/test-policy.c
tests_unit_test_policy_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_policy_LDADD = $(registry_libs) $(UNIT_LIBS)
tests_unit_test_creds_SOURCES = tests/unit/test-creds.c
tests_unit_test_creds_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_creds_LDADD = $(registry_libs) $(UNIT_LIBS)
tests_unit_test_registry_conf_SOURCES = tests/unit/test-registry-conf.c
tests_unit_test_registry_conf_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_registry_conf_LDADD = $(registry_libs) $(UNIT_LIBS)
endif

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-registries-conf tests/fuzz/fuzz-creds tests/fuzz/fuzz-policy
tests_fuzz_fuzz_registries_conf_SOURCES = tests/fuzz/fuzz-registries-conf.c
tests_fuzz_fuzz_registries_conf_LDADD = $(registry_libs)
tests_fuzz_fuzz_registries_conf_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_creds_SOURCES = tests/fuzz/fuzz-creds.c
tests_fuzz_fuzz_creds_LDADD = $(registry_libs)
tests_fuzz_fuzz_creds_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_policy_SOURCES = tests/fuzz/fuzz-policy.c
tests_fuzz_fuzz_policy_LDADD = $(registry_libs)
tests_fuzz_fuzz_policy_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
EXTRA_DIST += tests/fuzz/corpus/registries-conf/aliases \
	tests/fuzz/corpus/registries-conf/mirrors \
	tests/fuzz/corpus/registries-conf/toml \
	tests/fuzz/corpus/registries-conf/version1 \
	tests/fuzz/corpus/creds/auth.json \
	tests/fuzz/corpus/creds/base64 \
	tests/fuzz/corpus/creds/config.json \
	tests/fuzz/corpus/policy/identities \
	tests/fuzz/corpus/policy/manifest \
	tests/fuzz/corpus/policy/payload \
	tests/fuzz/corpus/policy/policy.json \
	tests/fuzz/corpus/policy/referrers

# What a program that speaks to registries links, behind its own archives.
REGISTRY_CLIENT_LIBS = src/registry/libregistry.a src/image/libimage.a $(LAYER_LDADD) src/conf/libconf.a \
	src/base/libbase.a $(CURL_LIBS)

if ENABLE_TESTS
check_PROGRAMS += tests/tools/registry-tool
tests_tools_registry_tool_SOURCES = tests/tools/registry-tool.c
tests_tools_registry_tool_LDADD = $(REGISTRY_CLIENT_LIBS)

check_PROGRAMS += tests/unit/test-http
TESTS += tests/unit/test-http
tests_unit_test_http_SOURCES = tests/unit/test-http.c tests/unit/unit.h
tests_unit_test_http_CFLAGS = $(UNIT_CFLAGS) $(CURL_CFLAGS)
tests_unit_test_http_LDADD = $(REGISTRY_CLIENT_LIBS) $(UNIT_LIBS)
endif

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-challenge tests/fuzz/fuzz-location tests/fuzz/fuzz-ranges \
	tests/fuzz/fuzz-answers
tests_fuzz_fuzz_challenge_SOURCES = tests/fuzz/fuzz-challenge.c
tests_fuzz_fuzz_challenge_LDADD = $(REGISTRY_CLIENT_LIBS)
tests_fuzz_fuzz_challenge_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_location_SOURCES = tests/fuzz/fuzz-location.c
tests_fuzz_fuzz_location_LDADD = $(REGISTRY_CLIENT_LIBS)
tests_fuzz_fuzz_location_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_ranges_SOURCES = tests/fuzz/fuzz-ranges.c
tests_fuzz_fuzz_ranges_LDADD = $(REGISTRY_CLIENT_LIBS)
tests_fuzz_fuzz_ranges_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_answers_SOURCES = tests/fuzz/fuzz-answers.c
tests_fuzz_fuzz_answers_LDADD = $(REGISTRY_CLIENT_LIBS)
tests_fuzz_fuzz_answers_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
EXTRA_DIST += tests/fuzz/corpus/challenge/bearer tests/fuzz/corpus/challenge/basic \
	tests/fuzz/corpus/challenge/several tests/fuzz/corpus/location/absolute \
	tests/fuzz/corpus/location/relative tests/fuzz/corpus/location/link \
	tests/fuzz/corpus/ranges/content tests/fuzz/corpus/ranges/date tests/fuzz/corpus/ranges/upload \
	tests/fuzz/corpus/answers/token tests/fuzz/corpus/answers/tags tests/fuzz/corpus/answers/search
