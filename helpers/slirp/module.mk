# The only program that links libslirp (and, through it, glib).
SLIRP_SOURCES = helpers/slirp/control.c helpers/slirp/device.c helpers/slirp/gate.c helpers/slirp/options.c \
	helpers/slirp/flows.c helpers/slirp/sockets.c helpers/slirp/stack.c helpers/slirp/slirp.h helpers/slirp/calls.h
if HAVE_SLIRP
pkglibexec_PROGRAMS += rootlet-slirp
rootlet_slirp_SOURCES = helpers/slirp/main.c $(SLIRP_SOURCES)
rootlet_slirp_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
rootlet_slirp_CFLAGS = $(AM_CFLAGS) $(SLIRP_CFLAGS)
# libslirp shall find ours.
rootlet_slirp_LDFLAGS = $(AM_LDFLAGS) -Wl,--export-dynamic-symbol=if_nametoindex \
	-Wl,--export-dynamic-symbol=sendto -Wl,--export-dynamic-symbol=recvfrom
rootlet_slirp_LDADD = src/net/libnet.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(SLIRP_LIBS)

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-slirp
tests_fuzz_fuzz_slirp_SOURCES = tests/fuzz/fuzz-slirp.c $(SLIRP_SOURCES)
tests_fuzz_fuzz_slirp_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
tests_fuzz_fuzz_slirp_CFLAGS = $(AM_CFLAGS) $(SLIRP_CFLAGS)
tests_fuzz_fuzz_slirp_LDADD = src/net/libnet.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS) $(SLIRP_LIBS)
tests_fuzz_fuzz_slirp_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
endif
EXTRA_DIST += helpers/slirp/main.c $(SLIRP_SOURCES)
