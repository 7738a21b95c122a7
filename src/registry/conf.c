/* conf - see conf.h. */
#include "registry/conf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "registry/conf-priv.h"

#define DEFAULT_REGISTRY "docker.io"

void registry_conf_free(struct registry_conf *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->entries_n; i++)
        conf_entry_release(&c->entries[i]);
    free(c->entries);
    strv_free(c->search);
    free(c->search_file);
    strv_free(c->aliases);
    free(c);
}

void registry_place_release(struct registry_place *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->v[i].host);
        free(p->v[i].path);
    }
    free(p->v);
    *p = (struct registry_place){0};
}

char *const *registry_conf_search_list(const struct registry_conf *c)
{
    static const char *const standard[] = {DEFAULT_REGISTRY, NULL};
    static const char *const none[] = {NULL};
    if (!c->search_given)
        return (char *const *)(uintptr_t)standard;
    return c->search ? c->search : (char *const *)(uintptr_t)none;
}

/* HOST/NAME and what text says behind its name. */
static char *with_name(const char *full, const struct image_ref *ref)
{
    return xasprintf("%s%s%s%s%s", full, ref->tag ? ":" : "", ref->tag ? ref->tag : "",
                     ref->digest ? "@" : "", ref->digest ? ref->digest : "");
}

/* Checks it and writes it in full: with "library/" and ":latest". */
static int add_candidate(const char *text, char ***ret, struct err *e)
{
    SCOPED(image_ref_release) struct image_ref ref = {0};
    int r = image_ref_parse(text, &ref, e);
    if (r < 0)
        return r;
    scoped_free char *full = image_ref_text(&ref);
    if (!strv_has(*ret, full))
        strv_add(ret, full);
    return 0;
}

int registry_conf_candidates(const struct registry_conf *c, const char *text, char ***ret,
                             struct err *e)
{
    SCOPED(image_ref_release) struct image_ref ref = {0};
    scoped_strv char **list = NULL;
    bool is_short = false;
    int r = image_ref_split(text, &ref, &is_short, e);
    if (r < 0)
        return r;
    const char *alias = is_short ? strv_env_get(c->aliases, ref.name) : NULL;
    if (!is_short) {
        r = add_candidate(text, &list, e);
    } else if (alias && *alias) {
        scoped_free char *full = with_name(alias, &ref);
        r = add_candidate(full, &list, e);
    } else {
        char *const *search = registry_conf_search_list(c);
        for (size_t i = 0; r == 0 && search[i]; i++) {
            scoped_free char *name = xasprintf("%s/%s", search[i], ref.name);
            scoped_free char *full = with_name(name, &ref);
            r = add_candidate(full, &list, e);
        }
    }
    if (r < 0)
        return r;
    *ret = take_ptr(list);
    return 0;
}

/* One of several by its number, from the terminal. NULL: no terminal, or no answer. */
static const char *ask(const char *text, char *const *candidates)
{
    char line[32] = "";
    uint32_t n = 0;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return NULL;
    fprintf(stderr, "Which image is meant by \"%s\"?\n", text);
    for (size_t i = 0; candidates[i]; i++)
        fprintf(stderr, "  %zu  %s\n", i + 1, candidates[i]);
    fputs("Number: ", stderr);
    if (!fgets(line, sizeof(line), stdin))
        return NULL;
    line[strcspn(line, "\r\n")] = '\0';
    if (parse_u32(line, &n) < 0 || n < 1 || n > strv_len(candidates))
        return NULL;
    return candidates[n - 1];
}

int registry_conf_resolve(const struct registry_conf *c, const char *text, struct image_ref *ret,
                          struct err *e)
{
    scoped_strv char **list = NULL;
    int r = registry_conf_candidates(c, text, &list, e);
    if (r < 0)
        return r;
    if (strv_len(list) == 1)
        return image_ref_parse(list[0], ret, e);
    if (!list || !list[0])
        return err_hint(e,
                        err_msg(e, ENOENT, "%s: a short name, but %s allows no registry for those",
                                text, c->search_file),
                        "name the registry too: docker.io/%s", text);
    const char *chosen = ask(text, list);
    if (chosen)
        return image_ref_parse(chosen, ret, e);
    scoped_free char *all = strv_join(list, ", ");
    return err_hint(e,
                    err_msg(e, ENOTUNIQ, "%s is a short name, and could be any of %s", text, all),
                    "write the one that is meant in full");
}

/* How much of text "*.example.com[/PATH]" is: any host below the domain, whatever its port. */
static size_t wildcard_length(const char *text, const char *prefix)
{
    const char *domain = prefix + 1;
    size_t domain_n = strcspn(domain, "/"), host = strcspn(text, "/");
    size_t name = strchr(domain, ':') ? host : strcspn(text, ":/");
    if (name <= domain_n || memcmp(text + name - domain_n, domain, domain_n) != 0)
        return 0;
    if (!domain[domain_n])
        return name;
    size_t path_n = strlen(domain + domain_n);
    return strncmp(text + host, domain + domain_n, path_n) == 0 ? host + path_n : 0;
}

/* How much of text the entry's prefix is; 0: it does not fit. Behind it a part of the name must
 * end. A colon behind a host alone begins its port, which makes it another host, to be trusted or
 * sent elsewhere by an entry of its own; but a host that is blocked is so at all its ports. */
static size_t prefix_length(const char *text, const struct conf_entry *entry)
{
    const char *prefix = entry->prefix;
    size_t end = strlen(prefix);
    bool wildcard = prefix[0] == '*';
    if (wildcard)
        end = wildcard_length(text, prefix);
    else if (strncmp(text, prefix, end) != 0)
        return 0;
    bool colon = wildcard || entry->blocked || strchr(prefix, '/');
    bool fits = !text[end] || text[end] == '/' || (colon && strchr(":@", text[end]));
    return fits ? end : 0;
}

const struct conf_entry *registry_conf_match(const struct registry_conf *c, const char *text,
                                             size_t *ret_len)
{
    const struct conf_entry *best = NULL;
    *ret_len = 0;
    for (size_t i = 0; i < c->entries_n; i++) {
        size_t n = prefix_length(text, &c->entries[i]);
        if (n > *ret_len) {
            best = &c->entries[i];
            *ret_len = n;
        }
    }
    return best;
}

/* The endpoint of a reference as text. */
static int add_endpoint(struct registry_place *p, const char *text, bool insecure, struct err *e)
{
    SCOPED(image_ref_release) struct image_ref ref = {0};
    bool is_short = false;
    int r = image_ref_split(text, &ref, &is_short, e);
    if (r == 0 && is_short) /* "registry/x" would become docker.io/registry/x */
        r = err_msg(e, EINVAL, "\"%.*s\" is not the name of a host: want a dot or a port in it",
                    (int)strcspn(text, "/"), text);
    image_ref_release(&ref);
    r = r < 0 ? r : image_ref_parse(text, &ref, e);
    if (r < 0)
        return err_add(e, r, "the place it is at");
    size_t host = strcspn(ref.name, "/");
    p->v = xrealloc(p->v, (p->n + 1) * sizeof(*p->v));
    p->v[p->n++] = (struct registry_endpoint){
        .host = xstrndup(ref.name, host),
        .path = xstrdup(ref.name[host] ? ref.name + host + 1 : ""),
        .insecure = insecure,
    };
    return 0;
}

static bool mirror_fits(const struct conf_entry *entry, const struct conf_mirror *m,
                        const struct image_ref *ref)
{
    if (entry->digest_only || m->pull == PULL_DIGEST_ONLY)
        return ref->digest != NULL;
    return m->pull == PULL_ALL || !ref->digest;
}

static int add_mirrors(struct registry_place *p, const struct conf_entry *entry,
                       const struct image_ref *ref, const char *rest, struct err *e)
{
    for (size_t i = 0; i < entry->mirrors_n; i++) {
        const struct conf_mirror *m = &entry->mirrors[i];
        if (!mirror_fits(entry, m, ref))
            continue;
        scoped_free char *text = xasprintf("%s%s", m->location, rest);
        int r = add_endpoint(p, text, m->insecure, e);
        if (r < 0)
            return err_add(e, r, "mirror %s of %s", m->location, entry->prefix);
        p->v[p->n - 1].mirror = true;
    }
    return 0;
}

int registry_conf_place(const struct registry_conf *c, const struct image_ref *ref,
                        enum registry_access access, struct registry_place *ret, struct err *e)
{
    SCOPED(registry_place_release) struct registry_place p = {0};
    scoped_free char *text = image_ref_text(ref);
    size_t n = 0;
    const struct conf_entry *entry = registry_conf_match(c, text, &n);
    int r = 0;
    if (entry && entry->blocked)
        return err_msg(e, EPERM, "%s: registry %s is blocked by %s", text, entry->prefix,
                       entry->file);
    if (entry && access == REGISTRY_PULL)
        r = add_mirrors(&p, entry, ref, text + n, e);
    bool moved = entry && entry->location;
    scoped_free char *there = moved ? xasprintf("%s%s", entry->location, text + n) : xstrdup(text);
    r = r < 0 ? r : add_endpoint(&p, there, entry && entry->insecure, e);
    if (r < 0)
        return err_add(e, r, "%s", text);
    *ret = p;
    p = (struct registry_place){0};
    return 0;
}

bool registry_conf_insecure(const struct registry_conf *c, const char *host)
{
    size_t n = 0;
    const struct conf_entry *entry = registry_conf_match(c, host, &n);
    return entry && entry->insecure;
}
