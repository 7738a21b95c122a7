/* build_volumes - what the user, the image and other containers want mounted where. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "cli/build.h"
#include "events/events.h"
#include "mounts/mounts.h"
#include "volume/volume.h"

struct want {
    const char *source, *destination, *options;
    bool anonymous;
};

/* name: of a volume, or NULL for a bind. */
static void record_volume(struct build *b, const struct want *w, const char *name,
                          const char *source)
{
    struct ctr_record *r = b->rec;
    r->volumes = xrealloc(r->volumes, (r->n_volumes + 1) * sizeof(*r->volumes));
    r->volumes[r->n_volumes++] = (struct ctr_volume){
        .name = name ? xstrdup(name) : NULL,
        .source = xstrdup(source),
        .destination = xstrdup(w->destination),
        .mode = xstrdup(w->options),
        .type = xstrdup(name ? "volume" : "bind"),
        .anonymous = w->anonymous,
    };
}

static bool is_taken(const struct build *b, const char *destination)
{
    for (size_t i = 0; i < b->rec->n_volumes; i++)
        if (streq(b->rec->volumes[i].destination, destination))
            return true;
    return false;
}

/* One option of -v or --mount to the OCI words; unknown ones are refused by name. */
static int mount_option(const char *o, struct str *out, struct err *e)
{
    static const struct {
        const char *from, *to; /* "": accepted, means nothing here */
    } known[] = {
        {"ro", "ro,rro"},
        {"readonly", "ro,rro"},
        {"readonly=true", "ro,rro"},
        {"ro=true", "ro,rro"},
        {"rw", "rw"},
        {"z", ""},
        {"Z", ""},
        {"nocopy", ""},
        {"copy", ""},
        {"cached", ""},
        {"delegated", ""},
        {"consistent", ""},
        {"exec", "exec"},
        {"noexec", "noexec"},
        {"suid", "suid"},
        {"nosuid", "nosuid"},
        {"dev", "dev"},
        {"nodev", "nodev"},
        {"rbind", "rbind"},
        {"bind", "bind"},
        {"private", "private"},
        {"rprivate", "rprivate"},
        {"slave", "slave"},
        {"rslave", "rslave"},
        {"shared", "shared"},
        {"rshared", "rshared"},
        {"nosymfollow", "nosymfollow"},
    };
    for (size_t i = 0; i < N_ELEMENTS(known); i++) {
        if (!streq(o, known[i].from))
            continue;
        if (*known[i].to)
            str_addf(out, ",%s", known[i].to);
        return 0;
    }
    return err_hint(e, err_msg(e, EINVAL, "unknown mount option \"%s\"", o),
                    "for example ro, rw, noexec, nosuid, nodev, rslave");
}

static bool has_propagation(const char *options)
{
    static const char *const words[] = {"private", "slave", "shared"};
    for (size_t i = 0; i < N_ELEMENTS(words); i++)
        if (strstr(options, words[i]))
            return true;
    return false;
}

/* The list "ro,noexec" as OCI options of a bind. */
static int bind_options(const char *list, struct str *out, struct err *e)
{
    scoped_strv char **words = strv_split(list, ",", false);
    for (char **w = words; w && *w; w++) {
        int r = mount_option(*w, out, e);
        if (r < 0)
            return r;
    }
    if (!strstr(out->s, "bind")) {
        scoped_free char *rest = xstrdup(out->s);
        str_reset(out);
        str_addf(out, "rbind%s", rest);
    } else if (out->s[0] == ',') {
        memmove(out->s, out->s + 1, out->len);
        out->len--;
    }
    if (!has_propagation(out->s))
        str_add(out, ",rprivate");
    return 0;
}

static int check_destination(const char *d, struct err *e)
{
    scoped_free char *clean = d && *d == '/' ? path_clean(d) : NULL;
    if (!clean || streq(clean, "/"))
        return err_msg(e, EINVAL, "mount destination \"%s\" is not an absolute path below /",
                       d ? d : "");
    return 0;
}

static void keep_lock(struct build *b, int lock)
{
    b->locks = xrealloc(b->locks, (b->n_locks + 1) * sizeof(*b->locks));
    b->locks[b->n_locks++] = lock;
}

/* Opens it, makes it if need be, and keeps it from being removed meanwhile. */
static int use_volume(struct build *b, const struct want *w, struct volume *ret, struct err *e)
{
    int lock = -1, begun = -1;
    int r = w->anonymous ? volume_begin(b->conf, w->source, &begun, e) : 0;
    if (begun >= 0)
        keep_lock(b, begun);
    if (r == 0)
        r = volume_use(b->conf, w->source, w->anonymous, ret, &lock, e);
    if (w->anonymous && r <= 0)
        volume_keep(b->conf, w->source); /* there already, or not at all */
    if (r < 0)
        return r;
    keep_lock(b, lock);
    if (r == 0)
        return 0;
    if (w->anonymous)
        strv_add(&b->made_volumes, w->source);
    event_named(b->conf, "volume", "create", ret->name, ret->name);
    return 0;
}

/* Of --opt type=tmpfs or o=bind: the mount that its options describe. */
static int mount_special(struct build *b, const struct want *w, const struct volume *v,
                         const char *options, struct err *e)
{
    const char *o = strv_env_get(v->options, "o"), *device = strv_env_get(v->options, "device");
    if (streq(volume_kind(v), "tmpfs")) {
        const char *read_only = strstr(options, ",ro") || str_after(options, "ro") ? ",ro" : "";
        scoped_free char *text =
            xasprintf("nosuid,nodev,mode=1777%s%s%s", o && *o ? "," : "", o ? o : "", read_only);
        spec_add_mount(b->spec, w->destination, "tmpfs", "tmpfs", text);
        return 0;
    }
    scoped_free char *source = realpath(device, NULL);
    if (!source)
        return err_set(e, errno, "volume %s: device %s", v->name, device);
    scoped_strv char **words = o ? strv_split(o, ",", false) : NULL;
    scoped_free char *text =
        xasprintf("%s%s," MOUNT_SOURCE_IS_REAL, options, strv_has(words, "ro") ? ",ro,rro" : "");
    spec_add_mount(b->spec, w->destination, "bind", source, text);
    return 0;
}

static int add_named(struct build *b, const struct want *w, struct err *e)
{
    scoped_volume struct volume v = {0};
    int r = use_volume(b, w, &v, e);
    scoped_str struct str o = STR_INIT;
    if (r == 0)
        r = bind_options(w->options, &o, e);
    if (r < 0)
        return r;
    spec_remove_mount(b->spec, w->destination);
    if (volume_kind(&v))
        r = mount_special(b, w, &v, o.s, e);
    else
        spec_add_mount(b->spec, w->destination, "bind", v.path, o.s);
    if (r == 0)
        record_volume(b, w, w->source, v.path);
    return r;
}

static int add_bind(struct build *b, const struct want *w, struct err *e)
{
    struct stat st;
    scoped_free char *source = realpath(w->source, NULL);
    if (!source || stat(source, &st) < 0)
        return err_hint(e, err_set(e, errno, "bind source %s", w->source),
                        "create it first: mkdir -p %s (a name without a slash is a volume)",
                        w->source);
    scoped_str struct str o = STR_INIT;
    int r = bind_options(w->options, &o, e);
    if (r < 0)
        return r;
    str_add(&o, "," MOUNT_SOURCE_IS_REAL);
    spec_remove_mount(b->spec, w->destination);
    spec_add_mount(b->spec, w->destination, "bind", source, o.s);
    record_volume(b, w, NULL, source);
    return 0;
}

static int add_want(struct build *b, const struct want *w, struct err *e)
{
    int r = check_destination(w->destination, e);
    if (r < 0)
        return r;
    if (w->source[0] == '/' || w->source[0] == '.' || w->source[0] == '~')
        return add_bind(b, w, e);
    return add_named(b, w, e);
}

static int add_anonymous(struct build *b, const char *destination, const char *options,
                         struct err *e)
{
    char name[ID_LEN + 1];
    id_random(name);
    struct want w = {name, destination, options, true};
    int r = check_destination(destination, e);
    return r < 0 ? r : add_named(b, &w, e);
}

/* "-v [SRC:]DST[:OPTIONS]" */
static int add_volume_flag(struct build *b, const char *text, struct err *e)
{
    scoped_strv char **p = strv_split(text, ":", true);
    size_t n = strv_len(p);
    int r;
    if (n == 1)
        r = add_anonymous(b, p[0], "", e);
    else if (n > 3 || !*p[0] || !*p[1])
        r = err_msg(e, EINVAL, "not [SOURCE:]DIR[:OPTIONS]");
    else
        r = add_want(b, &(struct want){p[0], p[1], n == 3 ? p[2] : "", false}, e);
    return r < 0 ? err_add(e, r, "--volume %s", text) : 0;
}

struct mount_flag {
    char *type, *source, *destination;
    struct str options, tmpfs;
};

static void mount_flag_release(struct mount_flag *m)
{
    free(m->type);
    free(m->source);
    free(m->destination);
    str_release(&m->options);
    str_release(&m->tmpfs);
}

static void set_text(char **member, const char *value)
{
    free(*member);
    *member = xstrdup(value);
}

static int mount_flag_word(struct mount_flag *m, const char *w, struct err *e)
{
    const char *v;
    if ((v = str_after(w, "type=")))
        set_text(&m->type, v);
    else if ((v = str_after(w, "source=")) || (v = str_after(w, "src=")))
        set_text(&m->source, v);
    else if ((v = str_after(w, "destination=")) || (v = str_after(w, "dst=")) ||
             (v = str_after(w, "target=")))
        set_text(&m->destination, v);
    else if ((v = str_after(w, "tmpfs-size=")))
        str_addf(&m->tmpfs, ",size=%s", v);
    else if ((v = str_after(w, "tmpfs-mode=")))
        str_addf(&m->tmpfs, ",mode=%s", v);
    else if ((v = str_after(w, "bind-propagation=")))
        str_addf(&m->options, "%s,", v);
    else if (streq(w, "readonly=false") || streq(w, "ro=false"))
        return 0;
    else if (strchr(w, '=') && !str_ends(w, "=true"))
        return err_hint(e, err_msg(e, EINVAL, "unknown key in \"%s\"", w),
                        "known: type, source, destination, readonly, bind-propagation, "
                        "tmpfs-size, tmpfs-mode");
    else
        str_addf(&m->options, "%s,", w);
    return 0;
}

static int add_mount_tmpfs(struct build *b, const struct mount_flag *m, struct err *e)
{
    int r = check_destination(m->destination, e);
    if (r < 0)
        return r;
    scoped_strv char **words = strv_split(m->options.s, ",", false);
    scoped_free char *extra = strv_join(words, ",");
    scoped_free char *o =
        xasprintf("nosuid,nodev%s%s%s", m->tmpfs.s, extra && *extra ? "," : "", extra ? extra : "");
    spec_remove_mount(b->spec, m->destination);
    spec_add_mount(b->spec, m->destination, "tmpfs", "tmpfs", o);
    return 0;
}

static int add_mount_flag(struct build *b, const char *text, struct err *e)
{
    struct mount_flag m SCOPED(mount_flag_release) = {.options = STR_INIT, .tmpfs = STR_INIT};
    scoped_strv char **words = strv_split(text, ",", false);
    int r = 0;
    for (char **w = words; r == 0 && w && *w; w++)
        r = mount_flag_word(&m, *w, e);
    const char *type = m.type ? m.type : "volume";
    if (r == 0 && !m.destination)
        r = err_msg(e, EINVAL, "no destination=");
    if (r < 0)
        return err_add(e, r, "--mount %s", text);
    if (streq(type, "tmpfs"))
        r = add_mount_tmpfs(b, &m, e);
    else if (streq(type, "volume") && !m.source)
        r = add_anonymous(b, m.destination, m.options.s, e);
    else if (streq(type, "volume") || (streq(type, "bind") && m.source))
        r = add_want(b, &(struct want){m.source, m.destination, m.options.s, false}, e);
    else if (streq(type, "bind"))
        r = err_msg(e, EINVAL, "a bind needs source=");
    else
        r = err_hint(e, err_msg(e, EINVAL, "unknown type %s", type), "known: bind, volume, tmpfs");
    return r < 0 ? err_add(e, r, "--mount %s", text) : 0;
}

static int add_from_container(struct build *b, const char *text, struct err *e)
{
    scoped_container struct container c = {.dir_fd = -1};
    const char *colon = strchr(text, ':');
    scoped_free char *ref = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
    int r = container_open(b->conf, ref, &c, e);
    for (size_t i = 0; r == 0 && i < c.rec.n_volumes; i++) {
        const struct ctr_volume *v = &c.rec.volumes[i];
        if (is_taken(b, v->destination))
            continue;
        r = add_want(b,
                     &(struct want){v->name ? v->name : v->source, v->destination,
                                    colon     ? colon + 1
                                    : v->mode ? v->mode
                                              : "",
                                    v->anonymous},
                     e);
    }
    return r < 0 ? err_add(e, r, "--volumes-from %s", text) : 0;
}

/* --image-volume: what the image declares and nothing else stands at. */
static int add_image_volumes(struct build *b, struct err *e)
{
    const char *kind = b->o->image_volume;
    bool tmpfs = streq(kind, "tmpfs");
    if (streq(kind, "ignore"))
        return 0;
    if (kind && !tmpfs && !streq(kind, "anonymous") && !streq(kind, "bind"))
        return err_hint(e, err_msg(e, EINVAL, "--image-volume %s: unknown kind", kind),
                        "known: anonymous, tmpfs, ignore");
    int r = 0;
    for (char **v = b->image ? b->image->volumes : NULL; r == 0 && v && *v; v++)
        if (!is_taken(b, *v))
            r = tmpfs ? build_tmpfs_flag(b, *v, e) : add_anonymous(b, *v, "", e);
    return r;
}

/* --raw-mount, of rootlet-build: TYPE, SOURCE, DESTINATION, OPTIONS, a line each. */
static int add_raw_mounts(struct build *b, struct err *e)
{
    for (char **v = b->o->raw_mount; v && *v; v++) {
        scoped_strv char **w = strv_split(*v, "\n", true);
        if (strv_len(w) != 4)
            return err_msg(e, EINVAL, "--raw-mount: not four lines");
        int r = check_destination(w[2], e);
        if (r < 0)
            return r;
        spec_remove_mount(b->spec, w[2]);
        spec_add_mount(b->spec, w[2], w[0], w[1], w[3]);
    }
    return 0;
}

int build_volumes(struct build *b, struct err *e)
{
    int r = 0;
    for (char **v = b->o->volume; r == 0 && v && *v; v++)
        r = add_volume_flag(b, *v, e);
    for (char **v = b->o->mount; r == 0 && v && *v; v++)
        r = add_mount_flag(b, *v, e);
    for (char **v = b->o->volumes_from; r == 0 && v && *v; v++)
        r = add_from_container(b, *v, e);
    r = r < 0 ? r : add_raw_mounts(b, e);
    return r < 0 ? r : add_image_volumes(b, e);
}
