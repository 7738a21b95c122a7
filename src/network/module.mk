noinst_LIBRARIES += src/network/libnetwork.a
src_network_libnetwork_a_SOURCES = src/network/network.h src/network/drivers-priv.h \
	src/network/driver.c src/network/host.c src/network/join.c src/network/none.c
