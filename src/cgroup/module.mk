noinst_LIBRARIES += src/cgroup/libcgroup.a
src_cgroup_libcgroup_a_SOURCES = src/cgroup/cgroup.h src/cgroup/driver.h src/cgroup/cgroup-priv.h \
	src/cgroup/resources.h src/cgroup/fields.h src/cgroup/apply.c src/cgroup/cgroup.c src/cgroup/cgroupfs.c src/cgroup/dir.c \
	src/cgroup/driver.c src/cgroup/fields.c src/cgroup/resources.c src/cgroup/tasks.c
