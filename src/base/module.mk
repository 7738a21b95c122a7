noinst_LIBRARIES += src/base/libbase.a
src_base_libbase_a_SOURCES = \
	src/base/cmd.c src/base/cmd-help.c \
	src/base/err.c src/base/err.h \
	src/base/fs.c src/base/fs.h src/base/fs-tree.c \
	src/base/id.c src/base/id.h \
	src/base/lock.c src/base/lock.h \
	src/base/log.c src/base/log.h \
	src/base/loop.c src/base/loop.h \
	src/base/opt.c src/base/opt.h src/base/opt-internal.h src/base/suggest.c \
	src/base/parse.c \
	src/base/path.c src/base/path.h \
	src/base/proc.c src/base/proc.h src/base/proc-run.c \
	src/base/prune.c src/base/prune.h \
	src/base/scoped.c src/base/scoped.h \
	src/base/signal.c \
	src/base/str.c src/base/str.h \
	src/base/strv.c src/base/strv.h \
	src/base/timefmt.c src/base/timefmt.h
src_base_libbase_a_SOURCES += src/base/json.c src/base/jfield.c src/base/jfield-emit.c src/base/jfield.h

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-err
TESTS += tests/unit/test-err
tests_unit_test_err_SOURCES = tests/unit/test-err.c tests/unit/unit.h
tests_unit_test_err_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_err_LDADD = src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-str
TESTS += tests/unit/test-str
tests_unit_test_str_SOURCES = tests/unit/test-str.c tests/unit/unit.h
tests_unit_test_str_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_str_LDADD = src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-path
TESTS += tests/unit/test-path
tests_unit_test_path_SOURCES = tests/unit/test-path.c tests/unit/unit.h
tests_unit_test_path_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_path_LDADD = src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-fs
TESTS += tests/unit/test-fs
tests_unit_test_fs_SOURCES = tests/unit/test-fs.c tests/unit/unit.h
tests_unit_test_fs_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_fs_LDADD = src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-proc
TESTS += tests/unit/test-proc
tests_unit_test_proc_SOURCES = tests/unit/test-proc.c tests/unit/unit.h
tests_unit_test_proc_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_proc_LDADD = src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-time
TESTS += tests/unit/test-time
tests_unit_test_time_SOURCES = tests/unit/test-time.c tests/unit/unit.h
tests_unit_test_time_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_time_LDADD = src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-opt
TESTS += tests/unit/test-opt
tests_unit_test_opt_SOURCES = tests/unit/test-opt.c tests/unit/unit.h
tests_unit_test_opt_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_opt_LDADD = src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test-loop
TESTS += tests/unit/test-loop
tests_unit_test_loop_SOURCES = tests/unit/test-loop.c tests/unit/unit.h
tests_unit_test_loop_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_loop_LDADD = src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
endif
