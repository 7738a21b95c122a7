noinst_LIBRARIES += src/logs/liblogs.a
src_logs_liblogs_a_SOURCES = src/logs/logs.h src/logs/logs-priv.h src/logs/driver.c \
	src/logs/k8s-file.c src/logs/reader.c
