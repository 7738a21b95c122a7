noinst_LIBRARIES += src/cgroup/libcgroup.a
src_cgroup_libcgroup_a_SOURCES = src/cgroup/cgroup.h src/cgroup/driver.h src/cgroup/cgroup.c
