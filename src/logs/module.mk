noinst_LIBRARIES += src/logs/liblogs.a
src_logs_liblogs_a_SOURCES = src/logs/logs.h src/logs/logs-priv.h src/logs/driver.c \
	src/logs/file.c src/logs/k8s-file.c src/logs/json-file.c src/logs/reader.c src/logs/passthrough.c \
	src/logs/journald.c src/logs/journald-read.c

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-logs
TESTS += tests/unit/test-logs
tests_unit_test_logs_SOURCES = tests/unit/test-logs.c
tests_unit_test_logs_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_logs_LDADD = src/logs/liblogs.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
endif
