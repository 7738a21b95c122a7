/* devices - which device nodes a group may open and make: an eBPF program of our own.
 *
 * cgroup v2 has no files for this. A program of type BPF_PROG_TYPE_CGROUP_DEVICE is asked for each
 * open and mknod with (type, access, major, minor); of all that are attached from the root of the
 * hierarchy down to the group, every one must agree. Kernel: bpf.h, cgroup-v2.rst. */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>

#include "cgroup/fields.h"

struct device_prog {
    struct bpf_insn *insns; /* owned */
    size_t n;
    bool allows_all; /* nothing would ever be denied: need not be loaded */
};

/* From the rules in their order: of those that match a device and one kind of access the last one
 * decides; without any it is denied. In front of all stand the nodes that every container has
 * (null, zero, full, random, urandom, tty, console, ptmx, pts, net/tun) and mknod of anything.
 * -EINVAL names the rule. */
int device_prog_build(const struct res_device *rules, size_t n, struct device_prog *ret,
                      struct err *e);
void device_prog_release(struct device_prog *p);
/* The loaded program, owned; or -errno. */
int device_prog_load(const struct device_prog *p, struct err *e);

/* Whether the rules of resources can be made a program. */
int devices_check(const json_t *resources, struct err *e);
/* Gives the group the rules of resources, replacing what we attached before. Without rules all but
 * the nodes above is denied, as far as the kernel can; update without rules changes nothing. */
int devices_apply(const json_t *resources, int dir_fd, bool update, struct err *e);
/* Programs that we have attached to the group itself. */
int devices_attached(int dir_fd);
