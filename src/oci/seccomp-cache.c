/* seccomp-cache - ROOT/=seccomp/HASH/{key,program}; no id has a "=" in it. An entry counts only
 * when its key is the same to the byte, so that the hash has to find entries, not to prove them. */
#include "oci/seccomp-cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/str.h"
#include "oci/oci.h"

#define DIRECTORY "=seccomp"
#define KEY_MAX_BYTES (1u << 20)
#define ENTRIES_MAX 64

char *seccomp_cache_key(const char *section, const char *compiler)
{
    struct utsname u = {0};
    struct stat st = {0};
    uname(&u);
    (void)!stat(compiler, &st);
    return xasprintf("%s\n%s %s\n%s %jd %jd.%09ld\n%s", PACKAGE_VERSION, u.release, u.machine,
                     compiler, (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec,
                     st.st_mtim.tv_nsec, section);
}

/* FNV-1a. */
static void entry_name(const char *key, char ret[static 17])
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 0x100000001b3u;
    snprintf(ret, 17, "%016" PRIx64, hash);
}

static int open_cache(bool make)
{
    scoped_fd int root = open(oci_settings()->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -1;
    if (make)
        (void)!mkdirat(root, DIRECTORY, 0700);
    return openat(root, DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int seccomp_cache_take(const char *key, int dir_fd, const char *name)
{
    char entry[17];
    scoped_free char *kept = NULL;
    entry_name(key, entry);
    scoped_fd int cache = open_cache(false);
    scoped_fd int dir =
        cache < 0 ? -1 : openat(cache, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 || fs_read(dir, "key", KEY_MAX_BYTES, &kept, NULL) < 0 || !streq(kept, key))
        return 0;
    return linkat(dir, "program", dir_fd, name, 0) == 0;
}

/* They are found again at the price of a compilation: when there are many, all go. */
static void make_room(int cache)
{
    size_t n = 0;
    int fd = openat(cache, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
    while (d && readdir(d))
        n++;
    if (!d || n < ENTRIES_MAX)
        return;
    rewinddir(d);
    for (struct dirent *de; (de = readdir(d));)
        if (de->d_name[0] != '.')
            (void)!fs_remove_tree(cache, de->d_name, NULL);
}

static int fill(int cache, const char *temp, const char *key, int dir_fd, const char *name)
{
    if (mkdirat(cache, temp, 0700) < 0)
        return -errno;
    scoped_fd int dir = openat(cache, temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    scoped_fd int file =
        dir < 0 ? -1 : openat(dir, "key", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 || linkat(dir_fd, name, dir, "program", 0) < 0)
        return -errno;
    return fs_write_all(file, key, strlen(key));
}

void seccomp_cache_keep(const char *key, int dir_fd, const char *name)
{
    char entry[17], hex[17];
    if (strlen(key) > KEY_MAX_BYTES)
        return;
    entry_name(key, entry);
    scoped_fd int cache = open_cache(true);
    if (cache < 0)
        return;
    make_room(cache);
    id_random_hex(hex, 16);
    scoped_free char *temp = xasprintf("new-%s", hex);
    int r = fill(cache, temp, key, dir_fd, name);
    if (r == 0 && renameat(cache, temp, cache, entry) == 0)
        return;
    /* Another one was quicker; or another key has the same hash: the newer one stays. */
    if (r == 0) {
        (void)!fs_remove_tree(cache, entry, NULL);
        if (renameat(cache, temp, cache, entry) == 0)
            return;
    }
    (void)!fs_remove_tree(cache, temp, NULL);
}
