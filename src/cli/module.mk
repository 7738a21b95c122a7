bin_PROGRAMS += rootlet
rootlet_SOURCES = src/cli/main.c src/cli/cli.h src/cli/each.c src/cli/select.c src/cli/select.h src/cli/runopts.c src/cli/runopts.h \
	src/cli/runopts_lines.h src/cli/runopts_limits.c src/cli/runopts_limits.h src/cli/runopts_life.h src/cli/update.c src/cli/inspect.h src/cli/inspect_limits.c \
	src/cli/build.c src/cli/build.h src/cli/build_env.c src/cli/build_process.c \
	src/cli/build_life.c src/cli/linger.c src/cli/linger.h src/cli/healthcheck.c src/cli/build_mounts.c src/cli/build_volumes.c src/cli/build_names.c src/cli/build_network.c src/cli/runopts_network.h src/cli/build_security.c \
	src/cli/build_spec.c src/cli/build_resources.c src/cli/build_hardware.c src/cli/build_limits.h src/cli/build_record.c src/cli/create.c src/cli/create.h src/cli/run.c src/cli/follow.c \
	src/cli/follow.h src/cli/unit.c src/cli/unit.h src/cli/start.c src/cli/stop.c src/cli/wait.c src/cli/pause.c src/cli/rm.c src/cli/requires.c src/cli/requires.h src/cli/runopts_refused.h src/cli/depend.c src/cli/depend.h src/cli/exec.c \
	src/cli/exec_session.c src/cli/exec_session.h src/cli/ps.c src/cli/psfilter.c \
	src/cli/psfilter.h src/cli/filter.c src/cli/filter.h src/cli/inspect.c src/cli/adopt.h src/cli/adopt.c src/cli/images.c src/cli/image_filter.h src/cli/image_filter.c src/cli/logs.c src/cli/events.c src/cli/system.c \
	src/cli/doctor.c src/cli/why.c src/cli/quadlet.c src/cli/quadlet.h \
	src/cli/quadlet_files.c src/cli/quadlet_list.c src/cli/generate.c src/cli/help.c src/cli/later.c src/cli/probes.h src/cli/probes_host.c \
	src/cli/probes_session.c src/cli/users.c src/cli/users.h src/cli/volume.c src/cli/volume_ls.c src/cli/volume_filter.h
rootlet_SOURCES += src/cli/prune.c src/cli/prune.h src/cli/sizes.c src/cli/sizes.h src/cli/df.c src/cli/df_cache.c src/cli/df_verbose.c src/cli/df.h src/cli/reset.c src/cli/unshare.c src/cli/system_prune.c
rootlet_SOURCES += src/cli/stats.c src/cli/stats_set.c src/cli/stats_screen.c src/cli/stats.h src/cli/build_watch.c
rootlet_SOURCES += src/cli/pod.c src/cli/pod.h src/cli/pod_create.c src/cli/pod_ls.c src/cli/pod_member.c src/cli/auto_update.c
rootlet_SOURCES += src/cli/mount.c src/cli/inspect_mounts.c src/cli/inspect_fill.c
rootlet_SOURCES += src/cli/changes.h src/cli/changes.c src/cli/diff.c src/cli/commit.c \
	src/cli/commit_config.c src/cli/commit.h src/cli/export.c src/cli/hand.h src/cli/hand.c
rootlet_SOURCES += src/cli/top.c src/cli/top.h src/cli/top_columns.c src/cli/port.c src/cli/port_change.c
rootlet_SOURCES += src/cli/cp.c src/cli/pull.c src/cli/pull.h
rootlet_SOURCES += src/cli/network.c src/cli/network.h src/cli/network_rm.c src/cli/network_ls.c src/cli/network_connect.c src/cli/network_update.c src/cli/inspect_network.c src/cli/probes_network.c
rootlet_LDFLAGS = $(AM_LDFLAGS) $(STATIC_LDFLAGS)
rootlet_LDADD = src/quadlet/libquadlet.a src/engine/libengine.a src/container/libcontainer.a src/logs/liblogs.a \
	src/image/libimage.a src/volume/libvolume.a src/events/libevents.a src/cgroup/libcgroup.a src/network/libnetwork.a src/net/libnet.a \
	src/storage/libstorage.a src/mounts/libmounts.a src/security/libsecurity.a src/copy/libcopy.a \
	src/term/libterm.a src/userns/libuserns.a src/conf/libconf.a src/format/libformat.a \
	src/spec/libspec.a src/net/libnet.a src/sys/libsys.a src/base/libbase.a $(JANSSON_LIBS)

if ENABLE_TESTS
check_PROGRAMS += tests/unit/test-build-resources
TESTS += tests/unit/test-build-resources
tests_unit_test_build_resources_SOURCES = tests/unit/test-build-resources.c \
	src/cli/build_resources.c src/cli/build_hardware.c src/cli/build_limits.h
tests_unit_test_build_resources_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_build_resources_LDADD = $(CGROUP_TEST_LIBS)
endif
