# The only privileged program: static, and only what it needs of our own code, compiled once more
# (without sanitizers, whose run time a static program cannot have).
pkglibexec_PROGRAMS += rootlet-net-helper
NET_HELPER_PURE = helpers/net-helper/policy.c helpers/net-helper/request.c
rootlet_net_helper_SOURCES = $(NET_HELPER_PURE) \
	helpers/net-helper/flows.c helpers/net-helper/forward.c helpers/net-helper/identity.c \
	helpers/net-helper/main.c helpers/net-helper/net-helper.h helpers/net-helper/rules.c \
	helpers/net-helper/rules.h helpers/net-helper/slots.c helpers/net-helper/tables.c \
	src/base/err.c src/base/parse.c src/net/addr.c src/sys/netlink.c src/sys/nft.c src/sys/nft-port.c src/sys/nft-read.c \
	src/sys/nft-rule.c src/sys/rtnl.c src/sys/rtnl-ip.c src/sys/sandbox.c
rootlet_net_helper_CPPFLAGS = -include config.h -I$(top_srcdir)/src -I$(top_srcdir) \
	-DSYSCONFDIR='"$(sysconfdir)"' -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
rootlet_net_helper_CFLAGS = $(WARN_CFLAGS) $(STATIC_CFLAGS)
rootlet_net_helper_LDFLAGS = -static-pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack \
	-Wl,-z,separate-code -Wl,--gc-sections
# Installing gives no privilege: that is the administrator's or the package's to do.
install-exec-hook:
	@echo "rootlet-net-helper was installed without its capability; for --network bridge, as root:"
	@echo "    setcap cap_net_admin+ep $(pkglibexecdir)/rootlet-net-helper    (see rootlet-net-helper(8))"

if ENABLE_FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-net-helper
tests_fuzz_fuzz_net_helper_SOURCES = tests/fuzz/fuzz-net-helper.c $(NET_HELPER_PURE)
tests_fuzz_fuzz_net_helper_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
tests_fuzz_fuzz_net_helper_LDADD = src/net/libnet.a src/base/libbase.a
tests_fuzz_fuzz_net_helper_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
EXTRA_DIST += tests/fuzz/corpus/net-helper/policy tests/fuzz/corpus/net-helper/add
