/* Images that lie in files: OCI layouts and archives, docker archives, skopeo's directories. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "events/events.h"
#include "image/ref.h"
#include "imagetool/allow.h"
#include "imagetool/imagetool.h"
#include "imagetool/ingest.h"
#include "imagetool/plan.h"
#include "imagetool/pull.h"

static const char *const transports[] = {"oci-archive", "oci", "docker-archive", "dir"};

void pull_place_release(struct pull_place *p)
{
    free(p->path);
    free(p->which);
    *p = (struct pull_place){0};
}

/* Transports of others; what to do instead. */
static int foreign(const char *text, struct err *e)
{
    static const char *const names[][2] = {
        {"docker-daemon:", "docker save IMAGE | rootlet load"},
        {"containers-storage:", "podman save IMAGE | rootlet load"},
        {"ostree:", NULL},
        {"sif:", NULL},
        {"http://", "name the image without http://, with --tls-verify=false"},
        {"https://", "name the image without https://"},
    };

    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        if (!str_after(text, names[i][0]))
            continue;
        err_msg(e, ENOTSUP, "%s is no transport of rootlet", names[i][0]);
        if (names[i][1])
            err_hint(e, -ENOTSUP, "%s", names[i][1]);
        return -ENOTSUP;
    }
    return 0;
}

int pull_place_parse(const char *text, struct pull_place *ret, const char **ret_name, struct err *e)
{
    *ret_name = str_after(text, "docker://");
    if (*ret_name)
        return 1;
    for (size_t i = 0; i < N_ELEMENTS(transports); i++) {
        const char *rest = str_after(text, transports[i]);
        if (!rest || *rest != ':')
            continue;
        /* "dir" has no names, and a path may hold colons there. */
        const char *colon = streq(transports[i], "dir") ? NULL : strchr(++rest, ':');
        if (streq(transports[i], "dir"))
            rest++;
        *ret = (struct pull_place){.transport = transports[i],
                                   .path = colon ? xstrndup(rest, (size_t)(colon - rest))
                                                 : xstrdup(rest),
                                   .which = colon ? xstrdup(colon + 1) : NULL};
        if (ret->path[0])
            return 1;
        pull_place_release(ret);
        return err_msg(e, EINVAL, "%s names no file", text);
    }
    return foreign(text, e);
}

void pull_warn_platform(const struct pull *p, const struct image_plan *plan)
{
    const struct image_config *c = &plan->parsed;

    if ((c->os && !streq(c->os, p->platform.os)) ||
        (c->architecture && c->architecture[0] &&
         !streq(c->architecture, p->platform.architecture)))
        log_warn("image %.19s is for %s/%s, %s %s/%s", plan->id, c->os ? c->os : "?",
                 c->architecture ? c->architecture : "?",
                 p->platform_given ? "asked for was" : "this machine is", p->platform.os,
                 p->platform.architecture);
}

static bool has_name(const struct image_plan *p, const char *which)
{
    SCOPED(image_ref_release) struct image_ref ref = {0};
    struct err ignored = ERR_INIT;
    bool whole = image_ref_parse_local(which, &ref, &ignored) == 0;

    for (size_t i = 0; i < p->n_names; i++)
        if (streq(p->names[i].tag, which) ||
            (whole && streq(p->names[i].name, ref.name) && streq(p->names[i].tag, ref.tag)))
            return true;
    return false;
}

static int choose(const struct plan_list *list, const char *which, struct image_plan **ret,
                  struct err *e)
{
    for (size_t i = 0; which && i < list->n; i++)
        if (has_name(&list->v[i], which)) {
            *ret = &list->v[i];
            return 0;
        }
    if (which)
        return err_msg(e, ENOENT, "there is no image %s in it", which);
    if (list->n != 1)
        return err_hint(e, err_msg(e, EINVAL, "there are %zu images in it", list->n),
                        "add :NAME, or bring them all by rootlet load");
    *ret = &list->v[0];
    return 0;
}

/* podman's rule: without a name inside it is called as its path. */
static int name_by_path(struct image_plan *p, const char *path)
{
    scoped_free char *low = xasprintf("localhost/%s", path + strspn(path, "./"));
    struct err why = ERR_INIT;

    if (p->n_names)
        return 0;
    if (plan_add_name(p, low, &why) < 0)
        log_warn("the image gets no name: %s", why.msg);
    return 0;
}

static int bring(const struct pull *p, struct ingest *in, const struct pull_place *place,
                 struct image_plan *plan, struct err *e)
{
    int r;

    pull_warn_platform(p, plan);
    name_by_path(plan, place->path);
    r = ingest_layers(in, plan->layers, plan->n_layers, e);
    r = r < 0 ? r : ingest_image(in, plan, e);
    r = r < 0 ? r : ingest_commit(in, e);
    if (r < 0)
        return r;
    scoped_free char *name = plan->n_names ? image_ref_text(&plan->names[0]) : NULL;
    event_named(p->conf, "image", "pull", image_digest_hex(plan->id), name);
    printf("%s\n", image_digest_hex(plan->id));
    return 0;
}

int pull_local(const struct pull *p, const struct pull_place *place, struct err *e)
{
    SCOPED(ingest_close) struct ingest in = INGEST_INIT;
    struct bundle b = {.fd = -1};
    struct plan_list list = {0};
    struct image_plan *plan = NULL;
    int r = ingest_open(p->conf, p->quiet, &in, e);
    in.squash_ids = p->squash_ids;

    platform_want(&p->platform);
    r = r < 0 ? r : bundle_open(place->path, in.stage_fd, &b, e);
    if (r == 0) {
        b.flat = streq(place->transport, "dir");
        r = plan_read(&b, place->transport, &list, e);
    }
    if (r == 0) {
        r = choose(&list, place->which, &plan, e);
        r = r < 0 ? r : allow_local(p->policy_file, place->transport, &b, place->path, plan, e);
        r = r == 0 ? bring(p, &in, place, plan, e) : r;
        if (r < 0)
            err_add(e, r, "%s", place->path);
    }
    plan_list_release(&list);
    bundle_release(&b);
    return r;
}
