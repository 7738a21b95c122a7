/* seccomp-run - runs a command under a built-in profile, or a compiled file, without a container:
 * seccomp-run default|minimal|nested|FILE COMMAND [ARG...] */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "security/caps.h"
#include "security/seccomp.h"

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    struct seccomp_prog p;
    uint64_t caps = 0;

    if (argc < 3) {
        fprintf(stderr, "usage: seccomp-run PROFILE COMMAND [ARG...]\n");
        return 2;
    }
    int r = cap_profile("default", &caps, &e);
    if (r == 0 && seccomp_builtin(argv[1], caps, &p) < 0)
        r = seccomp_read(AT_FDCWD, argv[1], &p, &e);
    if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        r = err_set(&e, errno, "no_new_privs");
    if (r == 0)
        r = seccomp_prog_load(&p, &e);
    if (r == 0) {
        execvp(argv[2], argv + 2);
        err_set(&e, errno, "exec %s", argv[2]);
    }
    fprintf(stderr, "seccomp-run: %s\n", e.msg);
    return 125;
}
