/* Our own binary against being written through /proc/PID/exe (CVE-2019-5736). */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "base/path.h"
#include "base/str.h"
#include "engine/engine-priv.h"
#include "sys/mountfd.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif
/* FUTURE_WRITE does what WRITE does where nobody has it mapped for writing, as here; only that
 * WRITE looks for such mappings, which takes milliseconds: all processors must empty their page
 * lists. */
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE)

/* Ids that are mapped into containers are those of this user and its subordinate ones, all above 0:
 * root of the host is never mapped, and a binary that only root can write is out of reach. Inside a
 * user namespace (a runtime of rootless podman) 0 may be the user: out of reach is what not even
 * its root may write, whose owner is not mapped. */
static bool out_of_reach(int exe, const struct stat *st)
{
    if (st->st_mode & S_IWOTH)
        return false;
    if (userns_is_initial())
        return st->st_uid == 0 && (st->st_gid == 0 || !(st->st_mode & S_IWGRP));
    return !(st->st_mode & S_IWGRP) && st->st_uid != geteuid() &&
           faccessat(exe, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) < 0 && errno == EACCES;
}

/* How much of a program the kernel loads: symbols and debug information lie behind that and would
 * only take memory, for as long as a container lives. */
static off_t loaded_size(int exe, off_t size)
{
    ElfW(Ehdr) head;
    off_t end = 0;
    if (pread(exe, &head, sizeof(head), 0) != sizeof(head) ||
        head.e_phentsize != sizeof(ElfW(Phdr)))
        return size;
    for (unsigned i = 0; i < head.e_phnum; i++) {
        ElfW(Phdr) p;
        if (pread(exe, &p, sizeof(p), (off_t)(head.e_phoff + i * sizeof(p))) != sizeof(p))
            return size;
        if ((off_t)(p.p_offset + p.p_filesz) > end)
            end = (off_t)(p.p_offset + p.p_filesz);
    }
    return end > 0 && end < size ? end : size;
}

static int copy_to_memfd(int exe, off_t size, struct err *e)
{
    scoped_fd int mem = memfd_create("rootlet", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (mem < 0 && errno == EINVAL) /* before Linux 6.3 there was no MFD_EXEC */
        mem = memfd_create("rootlet", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (mem < 0)
        return err_set(e, errno, "make a file in memory");
    off_t at = 0;
    while (at < size) {
        ssize_t n = sendfile(mem, exe, &at, (size_t)(size - at));
        if (n < 0)
            return err_set(e, errno, "copy");
        if (n == 0)
            return err_msg(e, EIO, "copy: the file became shorter");
    }
    fchmod(mem, 0500);
    if (fcntl(mem, F_ADD_SEALS, SEALS | F_SEAL_EXEC) < 0 && fcntl(mem, F_ADD_SEALS, SEALS) < 0)
        return err_set(e, errno, "seal");
    return take_fd(&mem);
}

/* A mount of the one file that is in no mount namespace: read-only for good, since nobody can name
 * it to change that. As /proc/PID/exe leads through it, nothing can be written, and nothing has to
 * be copied. Wants CAP_SYS_ADMIN over our mount namespace; else the caller copies. */
static void execute_readonly(int exe, char **argv)
{
    scoped_fd int mnt = mountfd_clone(exe, "", false, NULL);
    if (mnt >= 0 && mountfd_setattr(mnt, false, MOUNT_ATTR_RDONLY, 0, 0, NULL) == 0)
        syscall(SYS_execveat, mnt, "", argv, environ, AT_EMPTY_PATH);
}

/* Are we the protected one already? Only a memfd has seals, and only ours has all of them; only on
 * a mount that is the file alone, and attached nowhere, our path is "/". */
static bool is_copy(int exe)
{
    char path[2];
    struct statfs fs;
    int seals = fcntl(exe, F_GET_SEALS);
    if (seals >= 0)
        return (seals & SEALS) == SEALS;
    return readlink("/proc/self/exe", path, sizeof(path)) == 1 && path[0] == '/' &&
           fstatfs(exe, &fs) == 0 && fs.f_flags & ST_RDONLY;
}

int engine_protect_self(char **argv, bool from_root, struct err *e)
{
    struct stat st;
    scoped_fd int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (exe < 0 || fstat(exe, &st) < 0)
        return err_set(e, errno, "open our own program");
    if (!from_root && out_of_reach(exe, &st))
        return 0;
    if (is_copy(exe)) {
        const char *original = getenv(ENGINE_EXE_ENV);
        if (original) /* else ps would list us by the name of the copy */
            prctl(PR_SET_NAME, path_name(original));
        return 0;
    }

    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n > 0) {
        path[n] = '\0';
        setenv(ENGINE_EXE_ENV, path, 1); /* the copy's /proc/self/exe names no directory */
    }
    execute_readonly(exe, argv);
    scoped_fd int mem = copy_to_memfd(exe, loaded_size(exe, st.st_size), e);
    if (mem < 0)
        return err_add(e, mem, "protect our own program");
    syscall(SYS_execveat, mem, "", argv, environ, AT_EMPTY_PATH);
    return err_set(e, errno, "execute the protected copy of our program");
}
