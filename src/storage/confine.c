/* confine - what fuse-overlayfs may do with files: read the layers, change the container's upper
 * and work directories, and run from the host's system directories. Requests of a hostile container
 * that it gets wrong end there, and not in the user's home. By landlock(7), so it costs no mounts;
 * kernels without it go without. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "storage/storage-priv.h"

/* The numbers are spelt out since older headers lack the later ones. */
struct rules {
    uint64_t fs, net, scoped;
};
struct __attribute__((packed)) beneath {
    uint64_t allowed;
    int32_t fd;
};
#define LL_EXECUTE (1U << 0)
#define LL_READ_FILE (1U << 2)
#define LL_READ_DIR (1U << 3)
#define LL_ALL_ABI2 ((1U << 14) - 1) /* up to REFER */
#define LL_TRUNCATE (1U << 14)       /* ABI 3 */
#define LL_IOCTL_DEV (1U << 15)      /* ABI 5 */

static uint64_t handled(long abi)
{
    return LL_ALL_ABI2 | (abi >= 3 ? LL_TRUNCATE : 0) | (abi >= 5 ? LL_IOCTL_DEV : 0);
}

static long abi_here(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* VERSION */);
}

static void allow_system(int set)
{
    static const char *const run[] = {"/usr", "/bin", "/lib", "/lib64", "/nix/store", "/gnu/store"};
    static const char *const read[] = {"/etc/ld.so.cache", "/proc/self",
                                       "/proc/sys/kernel/overflowuid",
                                       "/proc/sys/kernel/overflowgid"};
    for (size_t i = 0; i < N_ELEMENTS(run) + N_ELEMENTS(read); i++) {
        bool is_run = i < N_ELEMENTS(run);
        scoped_fd int fd = open(is_run ? run[i] : read[i - N_ELEMENTS(run)], O_PATH | O_CLOEXEC);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
            continue; /* not on this host */
        struct beneath rule = {.fd = fd, .allowed = LL_READ_FILE | (is_run ? LL_EXECUTE : 0)};
        rule.allowed |= S_ISDIR(st.st_mode) ? LL_READ_DIR : 0;
        (void)!syscall(SYS_landlock_add_rule, set, 1 /* PATH_BENEATH */, &rule, 0);
    }
}

/* Renames between directories need REFER, which ABI 1 always refuses. */
int confine_begin(void)
{
    long abi = abi_here();
    struct rules rules = {.fs = handled(abi), .net = 3, .scoped = 3};
    if (abi < 2)
        return -1;
    int set = (int)syscall(SYS_landlock_create_ruleset, &rules,
                           abi >= 6   ? 24
                           : abi >= 4 ? 16
                                      : 8,
                           0);
    if (set >= 0)
        allow_system(set);
    return set;
}

int confine_allow(int set, int dir, bool change)
{
    struct beneath rule = {.fd = dir, .allowed = LL_READ_FILE | LL_READ_DIR};
    if (set < 0)
        return 0;
    if (change)
        rule.allowed = handled(abi_here()) & ~(uint64_t)(LL_EXECUTE | LL_IOCTL_DEV);
    return (int)syscall(SYS_landlock_add_rule, set, 1 /* PATH_BENEATH */, &rule, 0);
}

int confine_end(int set)
{
    if (set < 0)
        return 0;
    int r = (int)syscall(SYS_landlock_restrict_self, set, 0);
    close(set);
    return r;
}
