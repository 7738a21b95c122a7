/* certs - the directories certs.d of docker and the containers tools. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "registry/conf-priv.h"

void registry_certs_release(struct registry_certs *certs)
{
    strv_free(certs->ca_files);
    free(certs->client_cert);
    free(certs->client_key);
    *certs = (struct registry_certs){0};
}

/* The key NAME.key of the certificate dir/NAME.cert. */
static int take_client(const char *dir, const char *name, struct registry_certs *certs,
                       struct err *e)
{
    scoped_free char *base = xstrndup(name, strlen(name) - strlen(".cert"));
    scoped_free char *key = xasprintf("%s/%s.key", dir, base);
    if (certs->client_cert) /* the first by name, as everywhere */
        return 0;
    if (access(key, F_OK) < 0)
        return err_msg(e, EINVAL, "%s/%s has no key: %s is missing", dir, name, key);
    certs->client_cert = path_join(dir, name);
    certs->client_key = take_ptr(key);
    return 0;
}

/* 1: there is no such directory. */
static int read_certs(const char *dir, struct registry_certs *certs, struct err *e)
{
    scoped_dir DIR *d = opendir(dir);
    scoped_strv char **names = NULL;
    struct dirent *de = NULL;
    int r = 0;
    if (!d)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES
                   ? 1
                   : err_set(e, errno, "open %s", dir);
    while ((de = fs_next_entry(d, &r)))
        strv_add(&names, de->d_name);
    if (r < 0)
        return err_set(e, -r, "read %s", dir);
    strv_sort(names);
    for (char **p = names; r == 0 && p && *p; p++) {
        scoped_free char *path = path_join(dir, *p);
        if (str_ends(*p, ".crt"))
            strv_add(&certs->ca_files, path);
        else if (str_ends(*p, ".cert"))
            r = take_client(dir, *p, certs, e);
    }
    return r;
}

int registry_conf_certs(const char *host, const char *cert_dir, struct registry_certs *ret,
                        struct err *e)
{
    SCOPED(registry_certs_release) struct registry_certs certs = {0};
    scoped_free char *user = registry_user_dir("XDG_CONFIG_HOME", ".config");
    const char *const dirs[] = {user, "/etc/containers", "/etc/docker"};
    int r = cert_dir ? read_certs(cert_dir, &certs, e) : 1;
    if (cert_dir && r == 1)
        return err_msg(e, ENOENT, "%s: no such directory of certificates", cert_dir);
    for (size_t i = 0; r == 1 && i < N_ELEMENTS(dirs); i++) {
        scoped_free char *dir = xasprintf("%s/certs.d/%s", dirs[i], host);
        r = *dirs[i] && !strchr(host, '/') ? read_certs(dir, &certs, e) : 1;
    }
    if (r < 0)
        return r;
    *ret = certs;
    certs = (struct registry_certs){0};
    return 0;
}
