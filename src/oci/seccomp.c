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

#define PROGRAM "seccomp.bpf"
#define COMPILE_MS 30000

/* The section as a file in memory, for the compiler's stdin. */
static int section_fd(const struct spec_seccomp *section, struct err *e)
{
    scoped_json json_t *j = spec_seccomp_emit(section);
    scoped_free char *text = json_text(j, false);
    scoped_fd int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "make a file for the profile");
    int r = fs_write_all(fd, text, strlen(text));
    if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return err_set(e, r < 0 ? -r : errno, "write the profile");
    return take_fd(&fd);
}

int oci_seccomp_compile(const struct oci_container *c, const struct spec *spec,
                        struct seccomp_prog *ret, struct err *e)
{
    const struct spec_seccomp *section = spec->linux_->seccomp;
    if (!section)
        return 0;
    scoped_fd int in = section_fd(section, e);
    if (in < 0)
        return err_add(e, in, "linux.seccomp");
    scoped_free char *libexec = conf_libexec();
    scoped_free char *program = path_join(libexec, "rootlet-seccomp");
    scoped_strv char **argv = NULL;
    strv_add(&argv, program);
    strv_add(&argv, "compile");
    strv_addf(&argv, "--output=%s/%s/" PROGRAM, oci_settings()->root, c->id);
    strv_add(&argv, "-");
    const struct proc_cmd cmd = {
        .argv = argv, .stdin_fd = in, .stdout_fd = STDERR_FILENO, .timeout_ms = COMPILE_MS};
    int r = proc_run(&cmd, e);
    if (r != 0)
        return err_add(e, r < 0 ? r : -EINVAL, "linux.seccomp");
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
