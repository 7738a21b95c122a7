bin_PROGRAMS += rootlet-oci
rootlet_oci_SOURCES = src/oci/main.c src/oci/oci.h src/oci/log.c src/oci/record.c src/oci/record.h \
	src/oci/directory.c src/oci/config.c src/oci/config.h \
	src/oci/launch.c src/oci/launch.h src/oci/notify.c src/oci/notify.h src/oci/seccomp.c src/oci/seccomp-cache.c src/oci/seccomp-cache.h \
	src/oci/console.h src/oci/console.c \
	src/oci/cmd-checkpoint.c \
	src/oci/cmd-create.c \
	src/oci/cmd-delete.c \
	src/oci/cmd-events.c \
	src/oci/cmd-exec.c \
	src/oci/cmd-features.c \
	src/oci/cmd-kill.c \
	src/oci/cmd-list.c \
	src/oci/cmd-mounts.c \
	src/oci/cmd-pause.c \
	src/oci/cmd-ps.c \
	src/oci/cmd-spec.c \
	src/oci/cmd-start.c \
	src/oci/cmd-state.c \
	src/oci/cmd-update.c
rootlet_oci_LDFLAGS = $(AM_LDFLAGS) $(STATIC_LDFLAGS)
rootlet_oci_LDADD = src/engine/libengine.a src/cgroup/libcgroup.a src/network/libnetwork.a src/net/libnet.a \
	src/storage/libstorage.a src/mounts/libmounts.a src/security/libsecurity.a src/term/libterm.a \
	src/userns/libuserns.a src/conf/libconf.a src/spec/libspec.a src/net/libnet.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS)
