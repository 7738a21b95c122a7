/* gen-seccomp - build tool: compiles the built-in profiles and writes them as C to stdout.
 *
 * usage: gen-seccomp [--text] default.json minimal.json
 *
 * With --text it writes the profiles' own texts, which rootlet-seccomp carries.
 * Each profile is compiled for the capability masks that occur: none and CAP_SYS_CHROOT (which is
 * what the profile cares about in rootlet's three capability sets), each with one further
 * capability, and all of them. Other masks are compiled by rootlet-seccomp when they are asked for.
 * Equal programs are written once. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "security/profile.h"
#include "security/seccomp.h"

#define MAX_PROGS 128

struct program {
    char *profile; /* "default" */
    uint64_t mentioned, caps;
    struct seccomp_prog prog;
    size_t same_as; /* index of the first with the same content */
};

struct generator {
    struct program v[MAX_PROGS];
    size_t n;
};

static int add(struct generator *g, const struct profile *p, const char *name, uint64_t caps,
               struct err *e)
{
    struct profile_target t = {.caps = caps, .kernel = "5.13"};
    struct program *q = &g->v[g->n];

    for (size_t i = 0; i < g->n; i++) {
        if (streq(g->v[i].profile, name) && g->v[i].caps == caps)
            return 0;
    }
    if (g->n == MAX_PROGS)
        return err_msg(e, E2BIG, "more than %d programs", MAX_PROGS);
    int r = profile_compile(p, &t, &q->prog, e);
    if (r < 0)
        return r;
    q->profile = xstrdup(name);
    q->mentioned = profile_mentions(p);
    q->caps = caps;
    q->same_as = g->n++;
    for (size_t i = 0; i < q->same_as; i++) {
        const struct seccomp_prog *old = &g->v[i].prog;
        if (old->n == q->prog.n &&
            memcmp(old->insns, q->prog.insns, old->n * sizeof(struct sock_filter)) == 0)
            q->same_as = i;
    }
    return 0;
}

/* One literal a line: C11 promises 4095 characters of a literal, compilers give more. */
static int print_text(const char *path, struct err *e)
{
    scoped_free char *text = NULL, *name = xstrdup(path_name(path));
    ssize_t len = fs_read(AT_FDCWD, path, PROFILE_MAX_BYTES, &text, e);
    if (len < 0)
        return (int)len;
    name[strcspn(name, ".")] = '\0';
    printf("    {\"%s\",\n     \"", name);
    for (const char *p = text; *p; p++) {
        if (*p == '\n')
            printf("\\n\"\n     \"");
        else if (*p == '"' || *p == '\\')
            printf("\\%c", *p);
        else
            putchar(*p);
    }
    printf("\"},\n");
    return 0;
}

static int print_texts(char **paths, struct err *e)
{
    printf("/* Written by gen-seccomp from data/seccomp. */\n"
           "const struct seccomp_text seccomp_texts[] = {\n");
    for (; *paths; paths++) {
        int r = print_text(*paths, e);
        if (r < 0)
            return r;
    }
    printf("    {0},\n};\n");
    return 0;
}

static int add_profile(struct generator *g, const char *path, struct err *e)
{
    scoped_profile struct profile p = {0};
    scoped_strv char **warnings = NULL;
    scoped_free char *text = NULL, *name = xstrdup(path_name(path));
    ssize_t len = fs_read(AT_FDCWD, path, PROFILE_MAX_BYTES, &text, e);
    if (len < 0)
        return (int)len;
    scoped_json json_t *doc = json_parse(text, (size_t)len, PROFILE_MAX_BYTES, path, e);
    int r = doc ? profile_parse(doc, &p, &warnings, e) : -EINVAL;
    if (r < 0)
        return err_add(e, r, "%s", path);
    if (warnings) /* our own lists must be right to the letter */
        return err_msg(e, EINVAL, "%s: %s", path, warnings[0]);

    name[strcspn(name, ".")] = '\0';
    uint64_t mentioned = profile_mentions(&p);
    const uint64_t bases[] = {0, (UINT64_C(1) << CAP_SYS_CHROOT) & mentioned};
    for (size_t i = 0; i < N_ELEMENTS(bases) && r == 0; i++) {
        r = add(g, &p, name, bases[i], e);
        for (int cap = 0; cap < 64 && r == 0; cap++) {
            if (mentioned & (UINT64_C(1) << cap))
                r = add(g, &p, name, bases[i] | (UINT64_C(1) << cap), e);
        }
    }
    return r < 0 ? err_add(e, r, "%s", path) : add(g, &p, name, mentioned, e);
}

static void print_programs(const struct generator *g)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct sock_filter *f = g->v[i].prog.insns;
        if (g->v[i].same_as != i)
            continue;
        printf("static const struct sock_filter prog_%zu[] = {\n", i);
        for (size_t k = 0; k < g->v[i].prog.n; k++)
            printf("    {0x%02x, %u, %u, 0x%x},\n", f[k].code, f[k].jt, f[k].jf, f[k].k);
        printf("};\n");
    }
    printf("const struct seccomp_builtin seccomp_builtins[] = {\n");
    for (size_t i = 0; i < g->n; i++)
        printf("    {\"%s\", 0x%llx, 0x%llx, prog_%zu, %zu},\n", g->v[i].profile,
               (unsigned long long)g->v[i].mentioned, (unsigned long long)g->v[i].caps,
               g->v[i].same_as, g->v[i].prog.n);
    printf("    {0},\n};\n");
    printf("const uint32_t seccomp_builtin_arch = 0x%xU;\n", seccomp_arch_native());
}

/* libseccomp's names, and for numbers that it is too old for, ours. */
static void print_names(void)
{
    printf("const char *const seccomp_names[] = {\n");
    int n = 0;
    for (int nr = 0; nr < 1024; nr++) {
        scoped_free char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
        const char *known = name ? name : profile_newer_name(nr);
        if (known) {
            printf("    [%d] = \"%s\",\n", nr, known);
            n = nr + 1;
        }
    }
    printf("};\nconst size_t seccomp_n_names = %d;\n", n);
}

static int print_compiled(char **paths, struct err *e)
{
    static struct generator g;
    int r = 0;
    for (; *paths && r == 0; paths++)
        r = add_profile(&g, *paths, e);
    if (r == 0) {
        printf("/* Written by gen-seccomp from data/seccomp. */\n");
        print_programs(&g);
        print_names();
    }
    for (size_t i = 0; i < g.n; i++) {
        free(g.v[i].profile);
        free(g.v[i].prog.insns);
    }
    return r;
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    bool text = argc > 1 && streq(argv[1], "--text");
    int r = text ? print_texts(argv + 2, &e) : print_compiled(argv + 1, &e);
    if (r < 0)
        fprintf(stderr, "gen-seccomp: %s\n", e.msg);
    return r < 0 || fflush(stdout) != 0;
}
