/* translate - a file becomes a service: its keys are checked, its own section becomes commands, and
 * the rest is passed on. */
#include <errno.h>

#include "base/opt.h"
#include "quadlet/keys.h"
#include "quadlet/words.h"

#define UNIT_NAME_MAX 255

static const char *const passed_on[] = {"Unit", "Service", "Install", "Quadlet", NULL};

static const struct key *find_key(enum quadlet_kind kind, const char *name)
{
    const struct key *k = keys_of(kind);
    while (k->name && !streq(k->name, name))
        k++;
    return k->name ? k : NULL;
}

static void unknown_key(struct job *j, const struct unit_line *at)
{
    scoped_free const char **names = NULL;
    size_t n = 0;
    for (const struct key *k = keys_of(j->file->kind); k->name; k++) {
        names = xrealloc(names, (n + 2) * sizeof(*names));
        names[n++] = k->name;
        names[n] = NULL;
    }
    const char *close = opt_suggest(at->key, names);
    quadlet_problem(j->file, QUADLET_ERROR, at, "unknown key of [%s]",
                    quadlet_section(j->file->kind));
    if (close)
        quadlet_hint(j->file, "did you mean %s=?", close);
    else
        quadlet_hint(j->file, "'rootlet quadlet keys %s' lists the keys",
                     quadlet_kind_name(j->file->kind));
}

static void check_keys(struct job *j)
{
    for (size_t i = 0; j->own && i < j->own->n; i++) {
        const struct unit_line *at = &j->own->lines[i];
        const struct key *k = find_key(j->file->kind, at->key);
        if (!k) {
            unknown_key(j, at);
        } else if (k->how == KEY_REFUSED && at->value[0]) {
            quadlet_problem(j->file, QUADLET_ERROR, at, "rootlet has nothing for it");
            quadlet_hint(j->file, "%s", k->option);
        } else if (k->later && at->value[0]) {
            quadlet_problem(j->file, QUADLET_LATER, at, "comes with a later version");
            quadlet_hint(j->file, "%s", k->later);
        } else if (k->how == KEY_NOTHING && at->value[0]) {
            quadlet_problem(j->file, QUADLET_NOTE, at, "does nothing yet");
            quadlet_hint(j->file, "%s", k->option);
        }
    }
    const struct unit_section *common = unit_section(&j->file->unit, "Quadlet");
    for (size_t i = 0; common && i < common->n; i++)
        if (!streq(common->lines[i].key, "DefaultDependencies"))
            quadlet_problem(j->file, QUADLET_ERROR, &common->lines[i], "unknown key of [Quadlet]");
}

/* Sections that nobody reads are a mistake, mostly: [Contaner]. */
static void check_sections(struct job *j)
{
    const char *own = quadlet_section(j->file->kind);
    const char *const words[] = {own, "Unit", "Service", "Install", "Quadlet", NULL};
    const struct unit *u = &j->file->unit;
    for (size_t i = 0; i < u->n; i++) {
        const struct unit_section *s = &u->sections[i];
        if (streq(s->name, own) || strv_has((char *const *)(uintptr_t)passed_on, s->name) ||
            str_after(s->name, "X-"))
            continue;
        const char *close = opt_suggest(s->name, words);
        quadlet_problem(j->file, QUADLET_NOTE, NULL, "%s:%u: nothing reads the section [%s]",
                        s->file, s->line, s->name);
        if (close)
            quadlet_hint(j->file, "did you mean [%s]?", close);
    }
    if (!j->own && j->file->kind != QUADLET_VOLUME && j->file->kind != QUADLET_NETWORK &&
        j->file->kind != QUADLET_POD)
        quadlet_problem(j->file, QUADLET_ERROR, NULL, "%s: there is no section [%s]", j->file->path,
                        own);
}

bool quadlet_is_unit_name(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= UNIT_NAME_MAX && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@") ==
               n;
}

/* Directories have any letter in their names, but a line of a unit ends where a line ends. */
static bool is_one_line(const char *path)
{
    for (size_t n; *path; path += n) {
        n = words_utf8(path);
        if (n == 0 || (unsigned char)*path < ' ' || *path == 0x7f)
            return false;
    }
    return true;
}

static void check_name(struct job *j)
{
    if (!is_one_line(j->file->path))
        quadlet_problem(j->file, QUADLET_ERROR, NULL, "%s: a control character is in its path",
                        j->file->name);
    scoped_free char *service = quadlet_service_name(j->file);
    if (quadlet_is_unit_name(service) && strcspn(service, "@") > 0)
        return;
    quadlet_problem(j->file, QUADLET_ERROR, job_line(j, "ServiceName"),
                    "\"%s\" is no name of a unit", service);
    quadlet_hint(j->file, "letters, digits and : - _ . \\ are allowed");
}

static void check_refused(struct job *j)
{
    if (j->file->kind == QUADLET_KUBE) {
        quadlet_problem(j->file, QUADLET_ERROR, NULL, "%s: .kube files are not supported",
                        j->file->path);
        quadlet_hint(j->file, "write a .pod file and a .container file for each container of it");
    } else if (j->file->kind == QUADLET_ARTIFACT) {
        quadlet_problem(j->file, QUADLET_ERROR, NULL, "%s: .artifact files are not supported",
                        j->file->path);
        quadlet_hint(j->file, "Volume= mounts files of the host");
    }
}

/* After=db.container means db.service. */
static void add_dependencies(struct job *j, struct str *out, const struct unit_line *at)
{
    scoped_strv char **words = NULL;
    enum quadlet_kind kind;
    bool changed = false;
    words_split(at->value, WORDS_PLAIN, &words, NULL);
    for (char **w = words; w && *w; w++) {
        if (!quadlet_kind_of(*w, &kind))
            continue;
        const struct quadlet_file *f = quadlet_find(j->set, *w);
        if (!f) {
            quadlet_problem(j->file, QUADLET_ERROR, at, "there is no file %s", *w);
            return;
        }
        free(*w);
        *w = quadlet_service_name(f);
        if (!quadlet_is_unit_name(*w))
            quadlet_problem(j->file, QUADLET_ERROR, at, "%s has no name for its service", f->name);
        changed = true;
    }
    scoped_free char *joined = strv_join(words, " ");
    str_addf(out, "%s=%s\n", at->key, changed ? joined : at->value);
}

static void print_unit_section(struct job *j, struct str *out)
{
    static const char *const keys[] = {"After",
                                       "Before",
                                       "BindsTo",
                                       "Conflicts",
                                       "OnFailure",
                                       "OnSuccess",
                                       "PartOf",
                                       "PropagatesReloadTo",
                                       "PropagatesStopTo",
                                       "ReloadPropagatedFrom",
                                       "Requires",
                                       "Requisite",
                                       "StopPropagatedFrom",
                                       "Upholds",
                                       "Wants",
                                       NULL};
    const struct unit_section *s = unit_section(&j->file->unit, "Unit");
    str_add(out, "[Unit]\n");
    for (size_t i = 0; s && i < s->n; i++) {
        const struct unit_line *l = &s->lines[i];
        if (strv_has((char *const *)(uintptr_t)keys, l->key))
            add_dependencies(j, out, l);
        else
            str_addf(out, "%s=%s\n", l->key, l->value);
    }
    scoped_free char *path = words_literal(j->file->path, false);
    str_addf(out, "SourcePath=%s\n%s\n", path, j->unit.s);
}

static void print(struct job *j, struct str *out)
{
    const struct unit *u = &j->file->unit;
    str_add(out,
            "# Made by rootlet from the file that SourcePath= names; changes here are lost.\n");
    print_unit_section(j, out);
    str_add(out, "[Service]\n");
    for (size_t i = 0; j->service_in && i < j->service_in->n; i++)
        str_addf(out, "%s=%s\n", j->service_in->lines[i].key, j->service_in->lines[i].value);
    str_add(out, j->service.s);
    for (size_t i = 0; i < u->n; i++) {
        const char *name = u->sections[i].name;
        if (!streq(name, "Install") && !str_after(name, "X-"))
            continue;
        str_addc(out, '\n');
        unit_print(&u->sections[i], out);
    }
}

static void check_service(struct job *j)
{
    static const char *const foreign[] = {"User", "Group", "DynamicUser"};
    if (unit_last(j->service_in, "ExecStart")) {
        quadlet_problem(j->file, QUADLET_ERROR, unit_last(j->service_in, "ExecStart"),
                        "the service's command is made by rootlet");
        quadlet_hint(j->file, "Exec= in [Container] is the container's command");
    }
    for (size_t i = 0; i < N_ELEMENTS(foreign); i++)
        if (unit_last(j->service_in, foreign[i])) {
            quadlet_problem(j->file, QUADLET_NOTE, unit_last(j->service_in, foreign[i]),
                            "a user's service runs as that user");
            quadlet_hint(j->file, "User= and UserNS= in [Container] are about the container");
        }
}

int quadlet_translate(const struct quadlet_set *s, struct quadlet_file *f, struct str *out)
{
    static void (*const makers[QUADLET_N_KINDS])(struct job *) = {
        [QUADLET_CONTAINER] = translate_container, [QUADLET_VOLUME] = translate_volume,
        [QUADLET_NETWORK] = translate_network,     [QUADLET_POD] = translate_pod,
        [QUADLET_IMAGE] = translate_image,         [QUADLET_BUILD] = translate_build,
    };
    struct job j = {.set = s, .file = f, .unit = STR_INIT, .service = STR_INIT};
    scoped_str struct str text = STR_INIT;
    j.own = unit_section(&f->unit, quadlet_section(f->kind));
    j.service_in = unit_section(&f->unit, "Service");
    if (quadlet_worst(f) < (int)QUADLET_ERROR) {
        check_refused(&j);
        check_name(&j);
    }
    if (quadlet_worst(f) < (int)QUADLET_ERROR) {
        check_sections(&j);
        check_keys(&j);
        check_service(&j);
        makers[f->kind](&j);
        print(&j, &text);
    }
    str_release(&j.unit);
    str_release(&j.service);
    if (quadlet_worst(f) >= (int)QUADLET_ERROR)
        return -EINVAL;
    str_addn(out, text.s, text.len);
    return 0;
}

void quadlet_failing_unit(const struct quadlet_set *s, const struct quadlet_file *f,
                          struct str *out)
{
    scoped_free char *path = words_literal(f->path, false), *arg = words_literal(f->path, true);
    scoped_free char *program = words_literal(s->program, true);
    const struct unit_section *install = unit_section(&f->unit, "Install");
    bool clean = is_one_line(f->path);
    str_addf(out,
             "# Made by rootlet: the file that SourcePath= names has errors.\n"
             "[Unit]\nDescription=%%N cannot be started: its file has errors\n"
             "%s%s%s\n[Service]\nType=oneshot\nSyslogIdentifier=%%N\nExecStart=",
             clean ? "SourcePath=" : "", clean ? path : "", clean ? "\n" : "");
    words_quote(out, program);
    str_add(out, " quadlet check --fail ");
    words_quote(out, arg);
    str_addc(out, '\n');
    if (install) {
        str_addc(out, '\n');
        unit_print(install, out);
    }
}

static void add_links(struct quadlet_file *f, char ***list, const char *key, const char *dir,
                      const char *service)
{
    const struct unit_section *install = unit_section(&f->unit, "Install");
    scoped_free const struct unit_line **all = unit_all(install, key);
    for (size_t i = 0; all[i]; i++) {
        scoped_strv char **words = NULL;
        words_split(all[i]->value, WORDS_PLAIN, &words, NULL);
        for (char **w = words; w && *w; w++) {
            if (!quadlet_is_unit_name(*w)) {
                quadlet_problem(f, QUADLET_NOTE, all[i], "\"%s\" is no unit, so it is left out",
                                *w);
                continue;
            }
            strv_addf(list, "%s%s%s", *w, dir, dir[0] ? service : "");
        }
    }
}

char **quadlet_links(struct quadlet_file *f)
{
    scoped_free char *unit = quadlet_service_name(f), *instance = NULL;
    scoped_strv char **links = NULL;
    char **pairs = NULL;
    const char *service = unit, *at = strchr(unit, '@');
    if (!quadlet_is_unit_name(unit))
        return NULL;
    add_links(f, &links, "Alias", "", service);
    if (at && at[1] == '.') {
        const char *def = unit_value(unit_section(&f->unit, "Install"), "DefaultInstance");
        instance = xasprintf("%.*s%s.service", (int)(at + 1 - unit), unit, def ? def : "");
        service = def && quadlet_is_unit_name(instance) ? instance : NULL;
    }
    if (service) {
        add_links(f, &links, "WantedBy", ".wants/", service);
        add_links(f, &links, "RequiredBy", ".requires/", service);
        add_links(f, &links, "UpheldBy", ".upholds/", service);
    }
    for (char **l = links; l && *l; l++) {
        if (streq(*l, unit))
            continue;
        strv_add(&pairs, *l);
        strv_addf(&pairs, "%s%s", strchr(*l, '/') ? "../" : "", unit);
    }
    return pairs;
}
