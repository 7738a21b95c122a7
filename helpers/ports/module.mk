# Static: its pages are few, and nothing is looked up when a container starts.
pkglibexec_PROGRAMS += rootlet-ports
rootlet_ports_SOURCES = helpers/ports/main.c helpers/ports/control.c helpers/ports/loop.c helpers/ports/pipe.c \
	helpers/ports/space.c helpers/ports/tcp.c helpers/ports/udp.c helpers/ports/ports.h
rootlet_ports_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
rootlet_ports_CFLAGS = $(AM_CFLAGS)
rootlet_ports_LDADD = src/net/libnet.a src/sys/libsys.a src/base/libbase.a
if !ENABLE_SANITIZERS
rootlet_ports_LDFLAGS = $(AM_LDFLAGS) -static-pie
endif
