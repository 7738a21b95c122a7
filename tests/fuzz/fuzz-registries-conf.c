/* Any bytes as registries.conf, and behind a line of "%%%" as names to look up in it: no crash;
 * TOML that is read is JSON; a short name stands for names that are their own; what a name leads to
 * is a host and a repository, the registry itself last, and nothing below a blocked prefix. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "registry/conf-priv.h"
#include "registry/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
    if (!ok)
        abort();
}

static void check_place(const struct registry_conf *c, const struct image_ref *ref,
                        enum registry_access access)
{
    SCOPED(registry_place_release) struct registry_place p = {0};
    scoped_free char *text = image_ref_text(ref);
    struct err e = ERR_INIT;
    size_t n = 0;
    const struct conf_entry *entry = registry_conf_match(c, text, &n);
    must(n <= strlen(text) && (entry != NULL) == (n > 0));
    int r = registry_conf_place(c, ref, access, &p, &e);
    must(r == 0 ? p.n > 0 : e.msg[0] != '\0');
    must(!entry || !entry->blocked || r < 0);
    for (size_t i = 0; i < p.n; i++) {
        must(*p.v[i].host && !strchr(p.v[i].host, '/') && *p.v[i].path);
        must(p.v[i].mirror == (i + 1 < p.n));
    }
    must(access == REGISTRY_PULL || p.n <= 1);
}

static void check_name(const struct registry_conf *c, const char *text)
{
    scoped_strv char **list = NULL;
    struct err e = ERR_INIT;
    if (registry_conf_candidates(c, text, &list, &e) < 0) {
        must(e.msg[0] != '\0');
        return;
    }
    for (char **p = list; p && *p; p++) {
        SCOPED(image_ref_release) struct image_ref ref = {0};
        must(image_ref_parse(*p, &ref, &e) == 0);
        scoped_free char *again = image_ref_text(&ref);
        must(streq(again, *p));
        check_place(c, &ref, REGISTRY_PULL);
        check_place(c, &ref, REGISTRY_PUSH);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scoped_registry_conf struct registry_conf *c = xcalloc(1, sizeof(*c));
    struct err e = ERR_INIT;
    scoped_free char *text = xmalloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    char *rest = memmem(text, size, "%%%\n", 4);
    size_t len = rest ? (size_t)(rest - text) : size;
    scoped_free char *conf = xmalloc(len + 1);
    memcpy(conf, text, len);
    conf[len] = '\0';
    log_max = LOG_LEVEL_ERROR;
    scoped_json json_t *doc = toml_parse(conf, len, "f", &e);
    must(doc || str_after(e.msg, "f:"));
    if (doc) {
        scoped_free char *json = json_text(doc, false);
        must(json != NULL);
    }
    if (registry_conf_read_text(c, conf, len, "f", &e) < 0)
        must(e.msg[0] != '\0');
    check_name(c, "busybox");
    check_name(c, "a.b/c@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    scoped_strv char **names = rest ? strv_split(rest + 4, "\n", false) : NULL;
    for (char **p = names; p && *p; p++)
        check_name(c, *p);
    return 0;
}
