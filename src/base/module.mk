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
	src/base/scoped.c src/base/scoped.h \
	src/base/signal.c \
	src/base/str.c src/base/str.h \
	src/base/strv.c src/base/strv.h \
	src/base/timefmt.c src/base/timefmt.h
src_base_libbase_a_SOURCES += src/base/json.c src/base/jfield.c src/base/jfield-emit.c src/base/jfield.h
