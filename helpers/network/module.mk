pkglibexec_PROGRAMS += rootlet-network
rootlet_network_SOURCES = helpers/network/network.h helpers/network/dns.h helpers/network/main.c \
	helpers/network/member.c helpers/network/rules.c helpers/network/scope.c helpers/network/serve.c \
	helpers/network/space.c helpers/network/uplink.c helpers/network/dnsproc.c helpers/network/names.c helpers/network/peers.c \
	helpers/network/resolv.c helpers/network/server.c helpers/network/tcp.c helpers/network/udp.c
rootlet_network_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
rootlet_network_LDADD = src/net/libnet.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS)
