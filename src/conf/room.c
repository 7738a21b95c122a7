/* room - where there is none left, said in numbers. */
#include <errno.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "base/timefmt.h"
#include "conf/conf.h"

/* What of a file system is left, in thousandths: of bytes or of files, whichever is less. -1: not
 * known.
 */
static int left(const char *path, struct statvfs *ret)
{
    if (!path || statvfs(path, ret) < 0 || ret->f_blocks == 0)
        return -1;
    uint64_t bytes = (uint64_t)ret->f_bavail * 1000 / ret->f_blocks;
    uint64_t files = ret->f_files ? (uint64_t)ret->f_favail * 1000 / ret->f_files : 1000;
    return (int)(bytes < files ? bytes : files);
}

static void hint_disk(const struct conf *c, struct err *e)
{
    struct statvfs root = {0}, run = {0};
    int of_root = left(c->root, &root), of_run = left(c->run_root, &run);
    bool is_run = of_run >= 0 && (of_root < 0 || of_run < of_root);
    const struct statvfs *v = is_run ? &run : &root;
    const char *path = is_run ? c->run_root : c->root;
    char free_text[32], size_text[32];
    if (of_root < 0 && of_run < 0)
        return;
    size_human((uint64_t)v->f_bavail * v->f_frsize, free_text, sizeof(free_text));
    size_human((uint64_t)v->f_blocks * v->f_frsize, size_text, sizeof(size_text));
    if (e->errnum == EDQUOT)
        err_hint(e, 0, "a quota is used up; on the file system of %s %s of %s are free", path,
                 free_text, size_text);
    else if (v->f_files && v->f_favail == 0)
        err_hint(e, 0, "the file system of %s has no files (inodes) left; %s of %s are free", path,
                 free_text, size_text);
    else
        err_hint(e, 0, "on the file system of %s %s of %s are free", path, free_text, size_text);
}

void conf_hint_room(const struct conf *c, struct err *e)
{
    struct rlimit files;
    if (e->errnum == ENOSPC || e->errnum == EDQUOT)
        hint_disk(c, e);
    else if (e->errnum == EMFILE && getrlimit(RLIMIT_NOFILE, &files) == 0)
        err_hint(e, 0, "a process may have %llu open files here (ulimit -n)",
                 (unsigned long long)files.rlim_cur);
    else if (e->errnum == EFBIG && getrlimit(RLIMIT_FSIZE, &files) == 0 &&
             files.rlim_cur != RLIM_INFINITY)
        err_hint(e, 0, "a file may have %llu bytes here (ulimit -f)",
                 (unsigned long long)files.rlim_cur);
}
