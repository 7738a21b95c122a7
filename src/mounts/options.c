/* options - the words of an OCI mount's option list. */
#include <errno.h>
#include <stddef.h>

#include "base/str.h"
#include "base/strv.h"
#include "mounts/mounts-priv.h"

#define REC 1   /* the recursive form: "rro" */
#define CLEAR 2 /* the attribute is taken away */

static const struct attr_word {
    const char *word;
    uint64_t attr;
    unsigned flags;
} attr_words[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", MOUNT_ATTR_RDONLY, CLEAR},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", MOUNT_ATTR_NOSUID, CLEAR},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", MOUNT_ATTR_NODEV, CLEAR},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", MOUNT_ATTR_NOEXEC, CLEAR},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", MOUNT_ATTR_NODIRATIME, CLEAR},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", MOUNT_ATTR_NOSYMFOLLOW, CLEAR},
    {"rro", MOUNT_ATTR_RDONLY, REC},
    {"rrw", MOUNT_ATTR_RDONLY, REC | CLEAR},
    {"rnosuid", MOUNT_ATTR_NOSUID, REC},
    {"rsuid", MOUNT_ATTR_NOSUID, REC | CLEAR},
    {"rnodev", MOUNT_ATTR_NODEV, REC},
    {"rdev", MOUNT_ATTR_NODEV, REC | CLEAR},
    {"rnoexec", MOUNT_ATTR_NOEXEC, REC},
    {"rexec", MOUNT_ATTR_NOEXEC, REC | CLEAR},
    {"rnodiratime", MOUNT_ATTR_NODIRATIME, REC},
    {"rdiratime", MOUNT_ATTR_NODIRATIME, REC | CLEAR},
    {"rnosymfollow", MOUNT_ATTR_NOSYMFOLLOW, REC},
    {"rsymfollow", MOUNT_ATTR_NOSYMFOLLOW, REC | CLEAR},
};

/* Access times are one field of three values, not three bits: setting one clears the field. */
static const struct attr_word atime_words[] = {
    {"relatime", MOUNT_ATTR_RELATIME, 0},
    {"norelatime", MOUNT_ATTR_STRICTATIME, 0},
    {"atime", MOUNT_ATTR_RELATIME, 0},
    {"noatime", MOUNT_ATTR_NOATIME, 0},
    {"strictatime", MOUNT_ATTR_STRICTATIME, 0},
    {"nostrictatime", MOUNT_ATTR_RELATIME, 0},
    {"rrelatime", MOUNT_ATTR_RELATIME, REC},
    {"rnorelatime", MOUNT_ATTR_STRICTATIME, REC},
    {"ratime", MOUNT_ATTR_RELATIME, REC},
    {"rnoatime", MOUNT_ATTR_NOATIME, REC},
    {"rstrictatime", MOUNT_ATTR_STRICTATIME, REC},
    {"rnostrictatime", MOUNT_ATTR_RELATIME, REC},
};

static const struct {
    const char *word;
    uint64_t flags;
} propagation_words[] = {
    {"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC},
    {"slave", MS_SLAVE},           {"rslave", MS_SLAVE | MS_REC},
    {"shared", MS_SHARED},         {"rshared", MS_SHARED | MS_REC},
    {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
};

#define FLAG(m) offsetof(struct mount_options, m)
static const struct flag_word {
    const char *word;
    size_t flag, more; /* members that it sets; more 0: one only */
} flag_words[] = {
    {"bind", FLAG(bind), 0},
    {"rbind", FLAG(recursive), FLAG(bind)},
    {"remount", FLAG(remount), 0},
    {"tmpcopyup", FLAG(tmpcopyup), 0},
    {"copy-symlink", FLAG(copy_symlink), 0},
    {MOUNT_SOURCE_IS_REAL, FLAG(source_is_real), 0},
    {"idmap", FLAG(idmap), 0},
    {"ridmap", FLAG(ridmap), FLAG(idmap)},
};

/* Options of the superblock that every file system has, fsconfig(2): they go with its own. */
static const char *const superblock_words[] = {"sync", "dirsync", "lazytime", "nolazytime"};

/* Words of mount(8) that say what is so anyway, or that the mount API has no use for. */
static const char *const ignored_words[] = {
    "defaults", "silent",     "loud",     "nomand",      "mand",
    "async",    "noiversion", "iversion", "newinstance", "notmpcopyup",
};

static void attr_apply(struct mount_options *o, const struct attr_word *w)
{
    uint64_t *set = w->flags & REC ? &o->rec_attr_set : &o->attr_set;
    uint64_t *clear = w->flags & REC ? &o->rec_attr_clear : &o->attr_clear;
    /* The last word wins. */
    if (w->flags & CLEAR) {
        *set &= ~w->attr;
        *clear |= w->attr;
    } else {
        *clear &= ~w->attr;
        *set |= w->attr;
    }
}

static void atime_apply(struct mount_options *o, const struct attr_word *w)
{
    uint64_t *set = w->flags & REC ? &o->rec_attr_set : &o->attr_set;
    uint64_t *clear = w->flags & REC ? &o->rec_attr_clear : &o->attr_clear;
    *set = (*set & ~(uint64_t)MOUNT_ATTR__ATIME) | w->attr;
    *clear |= MOUNT_ATTR__ATIME;
}

static bool parse_attr(const char *word, struct mount_options *o)
{
    for (size_t i = 0; i < N_ELEMENTS(attr_words); i++) {
        if (streq(word, attr_words[i].word)) {
            attr_apply(o, &attr_words[i]);
            return true;
        }
    }
    for (size_t i = 0; i < N_ELEMENTS(atime_words); i++) {
        if (streq(word, atime_words[i].word)) {
            atime_apply(o, &atime_words[i]);
            return true;
        }
    }
    return false;
}

/* "idmap=uids=0-1-10#10-11-10;gids=@0-0-65536", as podman hands it through for crun. */
static bool parse_idmap(const char *word, struct mount_options *o)
{
    const char *plain = str_after(word, "idmap="), *recursive = str_after(word, "ridmap=");
    if (!plain && !recursive)
        return false;
    free(o->idmap_text);
    o->idmap_text = xstrdup(plain ? plain : recursive);
    o->idmap = true;
    o->ridmap = recursive != NULL;
    return true;
}

static bool parse_flag(const char *word, struct mount_options *o)
{
    for (size_t i = 0; i < N_ELEMENTS(flag_words); i++) {
        const struct flag_word *w = &flag_words[i];
        if (!streq(word, w->word))
            continue;
        *(bool *)((char *)o + w->flag) = true;
        if (w->more)
            *(bool *)((char *)o + w->more) = true;
        return true;
    }
    return false;
}

/* Several apply one after another: "slave,shared" receives from its master and passes on to peers.
 * mount_namespaces(7) */
static int parse_propagation(const char *word, struct mount_options *o, struct err *e)
{
    for (size_t i = 0; i < N_ELEMENTS(propagation_words); i++) {
        uint64_t flags = propagation_words[i].flags;
        if (!streq(word, propagation_words[i].word))
            continue;
        if (!o->propagation || o->propagation == flags)
            o->propagation = flags;
        else if (!o->propagation_then || o->propagation_then == flags)
            o->propagation_then = flags;
        else
            return err_msg(e, EINVAL, "option \"%s\": there are two propagations already", word);
        return 1;
    }
    return 0;
}

static bool is_ignored(const char *word)
{
    for (size_t i = 0; i < N_ELEMENTS(ignored_words); i++) {
        if (streq(word, ignored_words[i]))
            return true;
    }
    return false;
}

int mount_options_parse(char *const *options, struct mount_options *ret, struct err *e)
{
    scoped_mount_options struct mount_options o = {0};
    scoped_str struct str data = STR_INIT;
    for (size_t i = 0; options && options[i]; i++) {
        const char *word = options[i];
        if (!word[0])
            continue;
        int r = parse_propagation(word, &o, e);
        if (r < 0)
            return r;
        if (r > 0 || parse_attr(word, &o) || parse_flag(word, &o) || parse_idmap(word, &o) ||
            is_ignored(word))
            continue;
        if (data.len > 0)
            str_addc(&data, ',');
        str_add(&data, word);
    }
    if (data.len > 0)
        o.data = str_detach(&data);
    *ret = o;
    o.data = o.idmap_text = NULL;
    return 0;
}

void mount_options_release(struct mount_options *o)
{
    free(o->data);
    free(o->idmap_text);
    o->data = o->idmap_text = NULL;
}

char **mount_option_words(void)
{
    char **v = NULL;
    for (size_t i = 0; i < N_ELEMENTS(attr_words); i++)
        strv_add(&v, attr_words[i].word);
    for (size_t i = 0; i < N_ELEMENTS(atime_words); i++)
        strv_add(&v, atime_words[i].word);
    for (size_t i = 0; i < N_ELEMENTS(propagation_words); i++)
        strv_add(&v, propagation_words[i].word);
    for (size_t i = 0; i < N_ELEMENTS(flag_words); i++)
        if (!str_after(flag_words[i].word, "x-"))
            strv_add(&v, flag_words[i].word);
    for (size_t i = 0; i < N_ELEMENTS(superblock_words); i++)
        strv_add(&v, superblock_words[i]);
    for (size_t i = 0; i < N_ELEMENTS(ignored_words); i++)
        strv_add(&v, ignored_words[i]);
    strv_sort(v);
    return v;
}
