#include "security/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "base/strv.h"

/* Index is the number of linux/capability.h; new ones are appended by the kernel, never moved. */
static const char *const names[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

#define BIT(c) (UINT64_C(1) << (c))

/* The seven that real images cannot start without; default adds the four that package managers
 * and chroot users need, minimal keeps the three that the project's mission names. */
#define MASK_MINIMAL (BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_KILL) | BIT(CAP_CHOWN))
#define MASK_HARDENED                                                                              \
    (MASK_MINIMAL | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_SETGID) | BIT(CAP_SETUID))
#define MASK_DEFAULT                                                                               \
    (MASK_HARDENED | BIT(CAP_FSETID) | BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) | BIT(CAP_SYS_CHROOT))

int cap_parse(const char *name)
{
    if (strncasecmp(name, "CAP_", 4) == 0)
        name += 4;
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        if (strcasecmp(name, names[i] + 4) == 0)
            return (int)i;
    }
    return -EINVAL;
}

const char *cap_name(int cap)
{
    return cap >= 0 && (size_t)cap < N_ELEMENTS(names) ? names[cap] : NULL;
}

int cap_last(void)
{
    /* The kernel answers EINVAL for a number it does not know: the same fact as cap_last_cap in
     * procfs, but available where no trustworthy /proc is mounted. */
    int last = 0, beyond = 63;
    while (beyond - last > 1) {
        int middle = (last + beyond) / 2;
        if (prctl(PR_CAPBSET_READ, middle, 0, 0, 0) >= 0)
            last = middle;
        else
            beyond = middle;
    }
    return last;
}

static uint64_t mask_of_kernel(void)
{
    return (BIT(cap_last()) << 1) - 1;
}

int cap_profile(const char *name, uint64_t *ret_mask, struct err *e)
{
    if (streq(name, "default"))
        *ret_mask = MASK_DEFAULT;
    else if (streq(name, "hardened"))
        *ret_mask = MASK_HARDENED;
    else if (streq(name, "minimal"))
        *ret_mask = MASK_MINIMAL;
    else
        return err_msg(e, EINVAL,
                       "security profile %s: unknown (there are default, hardened, minimal)", name);
    return 0;
}

static bool is_all(const char *name)
{
    return strcasecmp(name, "ALL") == 0 || strcasecmp(name, "CAP_ALL") == 0;
}

/* The names of one option as a mask and whether ALL is among them. */
static int read_option(const char *option, char *const *list, uint64_t *ret_mask, bool *ret_all,
                       struct err *e)
{
    uint64_t mask = 0, known = mask_of_kernel();
    bool all = false;

    for (; list && *list; list++) {
        if (is_all(*list)) {
            all = true;
            continue;
        }
        int cap = cap_parse(*list);
        if (cap < 0)
            return err_msg(e, EINVAL, "%s %s: unknown capability", option, *list);
        if (!(BIT(cap) & known))
            return err_msg(e, EINVAL, "%s %s: this kernel does not have that capability", option,
                           *list);
        mask |= BIT(cap);
    }
    *ret_mask = mask;
    *ret_all = all;
    return 0;
}

int cap_adjust(uint64_t *mask, char *const *add, char *const *drop, struct err *e)
{
    uint64_t plus = 0, minus = 0;
    bool plus_all = false, minus_all = false;

    int r = read_option("--cap-add", add, &plus, &plus_all, e);
    if (r < 0)
        return r;
    r = read_option("--cap-drop", drop, &minus, &minus_all, e);
    if (r < 0)
        return r;
    /* Both wishes at once have no order on the command line that means anything. */
    if (plus_all && minus_all)
        return err_msg(e, EINVAL, "--cap-add ALL and --cap-drop ALL contradict each other");
    for (int i = 0; i < 64; i++) {
        if (plus & minus & BIT(i))
            return err_msg(e, EINVAL, "%s is both in --cap-add and in --cap-drop", cap_name(i));
    }

    uint64_t base = plus_all ? mask_of_kernel() : minus_all ? 0 : *mask;
    *mask = (base & ~minus) | plus;
    return 0;
}

void cap_mask_to_spec(uint64_t mask, struct spec_caps **ret)
{
    struct spec_caps *c = xcalloc(1, sizeof(*c));
    for (int i = 0; i < 64; i++) {
        const char *name = (mask & BIT(i)) ? cap_name(i) : NULL;
        if (!name)
            continue;
        strv_add(&c->bounding, name);
        strv_add(&c->effective, name);
        strv_add(&c->permitted, name);
    }
    if (*ret) {
        struct spec_caps *old = *ret;
        strv_free(old->bounding);
        strv_free(old->effective);
        strv_free(old->inheritable);
        strv_free(old->permitted);
        strv_free(old->ambient);
        json_decref(old->extra);
        free(old);
    }
    *ret = c;
}

int cap_list_to_mask(char *const *list, uint64_t *ret, struct err *e)
{
    uint64_t mask = 0;
    for (; list && *list; list++) {
        int cap = cap_parse(*list);
        if (cap < 0)
            return err_msg(e, EINVAL, "capability %s: unknown", *list);
        mask |= BIT(cap);
    }
    *ret = mask;
    return 0;
}

uint64_t cap_known(char *const *list)
{
    uint64_t mask = 0;
    for (; list && *list; list++) {
        int cap = str_after(*list, "CAP_") ? cap_parse(*list) : -1;
        if (cap >= 0)
            mask |= BIT(cap);
    }
    return mask;
}

int cap_apply_bounding(const struct spec_caps *c, struct err *e)
{
    uint64_t keep = cap_known(c->bounding);
    for (int i = 0, last = cap_last(); i <= last; i++) {
        if (keep & BIT(i))
            continue;
        /* Dropping what is gone already needs CAP_SETPCAP all the same: then that it is gone. */
        if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 && prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
            return err_set(e, errno, "drop %s from the bounding set", cap_name(i));
    }
    /* The change of uid that follows would clear the permitted set; cap_apply_sets ends this. */
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return err_set(e, errno, "keep capabilities over the change of user");
    return 0;
}

static int set_ambient(uint64_t mask, struct err *e)
{
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return err_set(e, errno, "clear the ambient capabilities");
    for (int i = 0; i < 64; i++) {
        if ((mask & BIT(i)) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
            return err_set(e, errno, "raise ambient %s", cap_name(i));
    }
    return 0;
}

/* What we may give: what we have. */
static int mask_of_ours(uint64_t *ret, struct err *e)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data) < 0)
        return err_set(e, errno, "read our capabilities");
    *ret = data[0].permitted | (uint64_t)data[1].permitted << 32;
    return 0;
}

int cap_missing(const struct spec_caps *c, uint64_t *ret_refused, uint64_t *ret_ambient,
                struct err *e)
{
    uint64_t permitted = cap_known(c->permitted), ours = 0;
    uint64_t inheritable = cap_known(c->inheritable), ambient = cap_known(c->ambient);
    int r = mask_of_ours(&ours, e);
    *ret_refused = permitted & ~ours;
    *ret_ambient = ambient & ~(permitted & inheritable);
    return r;
}

int cap_apply_sets(const struct spec_caps *c, struct err *e)
{
    uint64_t ours = 0, known = mask_of_kernel();
    uint64_t effective = cap_known(c->effective), permitted = cap_known(c->permitted);
    uint64_t inheritable = cap_known(c->inheritable), ambient = cap_known(c->ambient) & known;
    int r = mask_of_ours(&ours, e);
    if (r < 0)
        return r;
    ours &= known;
    permitted &= ours;
    effective &= ours;
    inheritable &= ours;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++) {
        data[i].effective = (uint32_t)(effective >> (32 * i));
        data[i].permitted = (uint32_t)(permitted >> (32 * i));
        data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
    }
    if (syscall(SYS_capset, &head, data) < 0)
        return err_set(e, errno, "set the capabilities");
    r = set_ambient(ambient & permitted & inheritable, e);
    if (r < 0)
        return r;
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
        return err_set(e, errno, "end keeping capabilities");
    return 0;
}
