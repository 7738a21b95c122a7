# The only program that links libsystemd.
if HAVE_SYSTEMD
pkglibexec_PROGRAMS += rootlet-scope
rootlet_scope_SOURCES = helpers/scope/main.c helpers/scope/manager.c helpers/scope/properties.c helpers/scope/session.c \
	helpers/scope/scope.h
rootlet_scope_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
rootlet_scope_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
rootlet_scope_LDADD = src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(SYSTEMD_LIBS)
endif
EXTRA_DIST += helpers/scope/main.c helpers/scope/manager.c helpers/scope/properties.c helpers/scope/session.c \
	helpers/scope/scope.h
