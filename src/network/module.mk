noinst_LIBRARIES += src/network/libnetwork.a
src_network_libnetwork_a_SOURCES = src/network/network.h 
