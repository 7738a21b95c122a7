/* seccomp - linux.seccomp of the configuration, compiled by rootlet-seccomp, which alone links
 * libseccomp. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "conf/conf.h"
#include "oci/oci.h"
#include "oci/seccomp-cache.h"

#define PROGRAM "seccomp.bpf"
#define COMPILE_MS 30000

/* A text as a file in memory, for the compiler's stdin. */
static int text_fd(const char *text, struct err *e)
{
    scoped_fd int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "make a file for the profile");
    int r = fs_write_all(fd, text, strlen(text));
    if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return err_set(e, r < 0 ? -r : errno, "write the profile");
    return take_fd(&fd);
}

static int compile(const struct oci_container *c, char *program, const char *text, struct err *e)
{
    scoped_fd int in = text_fd(text, e);
    if (in < 0)
        return in;
    scoped_strv char **argv = NULL;
    strv_add(&argv, program);
    strv_add(&argv, "compile");
    strv_addf(&argv, "--output=%s/%s/" PROGRAM, oci_settings()->root, c->id);
    strv_add(&argv, "-");
    /* On its stdout are warnings: of system calls that this machine does not know, mostly. */
    const struct proc_cmd cmd = {.argv = argv,
                                 .stdin_fd = in,
                                 .stdout_fd = oci_settings()->debug ? STDERR_FILENO : -1,
                                 .timeout_ms = COMPILE_MS};
    int r = proc_run(&cmd, e);
    return r > 0 ? -EINVAL : r;
}

int oci_seccomp_compile(const struct oci_container *c, const struct spec *spec,
                        struct seccomp_prog *ret, struct err *e)
{
    const struct spec_seccomp *section = spec->linux_->seccomp;
    if (!section)
        return 0;
    scoped_json json_t *j = spec_seccomp_emit(section);
    scoped_free char *text = json_text(j, false);
    scoped_free char *libexec = conf_libexec();
    scoped_free char *program = path_join(libexec, "rootlet-seccomp");
    scoped_free char *key = seccomp_cache_key(text, program);
    if (!seccomp_cache_take(key, c->dir_fd, PROGRAM)) {
        int r = compile(c, program, text, e);
        if (r < 0)
            return err_add(e, r, "linux.seccomp");
        if (!section->listener_path) /* its metadata are of one container */
            seccomp_cache_keep(key, c->dir_fd, PROGRAM);
    }
    return oci_seccomp_open(c, spec, ret, e);
}

int oci_seccomp_open(const struct oci_container *c, const struct spec *spec,
                     struct seccomp_prog *ret, struct err *e)
{
    if (!spec->linux_->seccomp)
        return 0;
    int r = seccomp_read(c->dir_fd, PROGRAM, ret, e);
    return r < 0 ? err_add(e, r, "linux.seccomp") : 1;
}
