noinst_LIBRARIES += src/base/libbase.a
src_base_libbase_a_SOURCES = src/base/err.h src/base/fs.h src/base/id.h src/base/jfield.h src/base/lock.h src/base/log.h src/base/loop.h src/base/opt.h src/base/path.h src/base/proc.h src/base/scoped.h src/base/str.h src/base/strv.h src/base/timefmt.h 
src_base_libbase_a_SOURCES += src/base/json.c src/base/jfield.c src/base/jfield-emit.c
