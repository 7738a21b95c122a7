/* main - the program rootlet-build, and the only place of it that prints errors. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strv.h"
#include "build/build.h"
#include "build/prune.h"

#define scoped_conf SCOPED(conf_release)

/* --- WHAT HOLDS FOR THE WHOLE BUILD --- */

static int read_arg_file(struct build *b, const char *path, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, path, 1u << 20, &text, e);
    if (n < 0)
        return err_add(e, (int)n, "--build-arg-file %s", path);
    scoped_strv char **lines = strv_split(text, "\n", false);
    for (char **l = lines; l && *l; l++)
        if (**l != '#' && strchr(*l, '='))
            strv_env_set(&b->given, *l);
    return 0;
}

/* The later word wins, the command line over files. */
static int read_args(struct build *b, struct err *e)
{
    int r = 0;
    for (char **f = b->o->build_arg_files; r == 0 && f && *f; f++)
        r = read_arg_file(b, *f, e);
    for (char **a = b->o->build_args; r == 0 && a && *a; a++) {
        const char *value = strchr(*a, '=') ? NULL : getenv(*a);
        scoped_free char *pair = value ? xasprintf("%s=%s", *a, value) : xstrdup(*a);
        if (strchr(pair, '='))
            strv_env_set(&b->given, pair);
    }
    return r;
}

static int read_epoch(struct build *b, struct err *e)
{
    const char *text = b->o->timestamp ? b->o->timestamp : b->o->epoch;
    const char *name = b->o->timestamp ? "--timestamp" : "--source-date-epoch";
    b->epoch = -1;
    if (!text) {
        text = getenv("SOURCE_DATE_EPOCH");
        name = "SOURCE_DATE_EPOCH";
    }
    if (!text || !*text)
        return 0;
    if (parse_i64(text, &b->epoch) < 0 || b->epoch < 0 || b->epoch > 253402300799)
        return err_msg(e, EINVAL, "%s %s: not seconds since 1970", name, text);
    return 0;
}

static int read_platform(struct build *b, struct err *e)
{
    const struct build_opts *o = b->o;
    int r = build_platform_parse(NULL, &b->host, e);
    r = r < 0 ? r : build_platform_parse(o->platform, &b->platform, e);
    if (r < 0)
        return err_add(e, r, "--platform");
    if (!o->os && !o->arch && !o->variant)
        return 0;
    scoped_free char *text =
        xasprintf("%s/%s%s%s", o->os ? o->os : b->platform.os, o->arch ? o->arch : b->platform.arch,
                  o->variant ? "/" : "", o->variant ? o->variant : "");
    return build_platform_parse(text, &b->platform, e);
}

static int open_log(const struct build_opts *o, struct err *e)
{
    if (!o->logfile)
        return 0;
    scoped_fd int fd = open(o->logfile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
        return err_set(e, errno, "--logfile %s", o->logfile);
    return 0;
}

static int prepare(struct build *b, const char *where, struct err *e)
{
    scoped_free char *unpack = NULL;
    int r = read_args(b, e);
    r = r < 0 ? r : read_epoch(b, e);
    r = r < 0 ? r : read_platform(b, e);
    r = r < 0 ? r : child_init(e);
    r = r < 0 ? r : scratch_open(b, e);
    r = r < 0 ? r : scratch_pin(b, e);
    if (r < 0)
        return r;
    unpack = scratch_dir(b, e);
    scoped_fd int scratch = unpack ? open(unpack, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (scratch < 0)
        return err_set(e, errno, "open %s", b->scratch);
    const struct context_options c = {.where = where,
                                      .containerfile = b->o->file,
                                      .ignorefile = b->o->ignorefile,
                                      .scratch_fd = scratch,
                                      .stdin_fd = STDIN_FILENO};
    return context_open(&c, &b->context, e);
}

static void warn(struct build *b)
{
    scoped_strv char **left = NULL;
    for (char **n = b->file->notes; n && *n; n++)
        if (b->out)
            fprintf(stderr, "note: %s\n", *n);
    for (char **g = b->given; g && *g; g++) {
        scoped_free char *name = xstrndup(*g, strcspn(*g, "="));
        if (!strv_has(b->used, name) && !build_is_proxy_arg(name))
            strv_add(&left, name);
    }
    scoped_free char *list = left ? strv_join(left, " ") : NULL;
    if (list && b->out)
        fprintf(stderr, "[Warning] one or more build args were not consumed: [%s]\n", list);
}

static int run(struct build *b, const char *where, struct err *e)
{
    struct stage *target;
    int r = prepare(b, where, e);
    r = r < 0 ? r
              : bfile_parse(b->context->name, b->context->containerfile,
                            b->context->containerfile_len, &b->file, e);
    r = r < 0 ? r : stages_find(b, e);
    r = r < 0 ? r : stages_globals(b, e);
    r = r < 0 ? r : stage_target(b, &target, e);
    r = r < 0 ? r : stage_run(b, target, e);
    r = r < 0 ? r : finish(b, target, e);
    if (r == 0)
        warn(b);
    return r;
}

static void release(struct build *b)
{
    scratch_close(b);
    for (size_t i = 0; i < b->n_stages; i++)
        state_release(&b->stages[i].st);
    free(b->stages);
    if (b->file)
        bfile_free(b->file);
    if (b->context)
        context_close(b->context);
    strv_free(b->globals);
    strv_free(b->given);
    strv_free(b->used);
    strv_free(b->containers);
    strv_free(b->pinned);
    store_pin_close(&b->pin);
}

static int build_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct build_opts *o = opts;
    scoped_conf struct conf conf = {0};
    (void)cmd;
    struct build b = {
        .conf = &conf,
        .o = o,
        .scratch_fd = -1,
        .pin = STORE_PIN_INIT,
        .docker = streq(o->format, "docker"),
    };
    int r = build_opts_check(o, e);
    r = r < 0 ? r : open_log(o, e);
    r = r < 0 ? r : conf_load(NULL, &conf, e);
    if (r == 0) {
        b.out = o->quiet ? NULL : stdout;
        r = run(&b, args[0] ? args[0] : ".", e);
        release(&b);
    }
    strv_free(o->pass);
    return r < 0 ? err_add(e, r, "build") : r;
}

static const char *const build_aliases[] = {"image build", "buildx build", "builder build", NULL};
static const char *const prune_aliases[] = {"buildx prune", NULL};

static const struct cmd build_cmd = {
    .name = "build",
    .args = "[CONTEXT]",
    .summary = "Build an image from a Containerfile or Dockerfile",
    .opts = build_table,
    .opts_size = sizeof(struct build_opts),
    .max_args = 1,
    .run = build_command,
    .aliases = build_aliases,
    .details =
        "CONTEXT is a directory (here, if none is named), a tar on standard input (-), or the URL "
        "of a tar. Each RUN is a container of its own, with what rootlet run gives one.",
    .examples = "rootlet build -t mine .\n"
                "rootlet build -t mine --build-arg VERSION=3 --target test dir\n"
                "rootlet build --secret id=key,src=key.pem -f Dockerfile.ci .",
};

static const struct cmd prune_cmd = {
    .name = "builder prune",
    .summary = "Remove the build cache: steps that no image is, and cache mounts",
    .opts = prune_table,
    .opts_size = sizeof(struct prune_opts),
    .run = prune_command,
    .aliases = prune_aliases,
    .examples = "rootlet builder prune -f",
};

static const struct cmd *const commands[] = {&build_cmd, &prune_cmd, NULL};

static void print_err(const struct err *e)
{
    char text[4 * sizeof(e->msg)];
    struct err more = *e;
    struct conf c = {0};
    if (conf_load(NULL, &c, NULL) == 0)
        conf_hint_room(&c, &more);
    conf_release(&c);
    fflush(stdout);
    fprintf(stderr, "%s %s\n", log_error_word(), err_escape(text, sizeof(text), e->msg));
    if (more.hint[0])
        fprintf(stderr, "%s %s\n", log_hint_word(), err_escape(text, sizeof(text), more.hint));
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    (void)argc;
    setlocale(LC_CTYPE, "C.UTF-8");
    if (argv[1] && streq(argv[1], "help") && argv[2] && streq(argv[2], "--dump")) {
        scoped_str struct str out = STR_INIT;
        cmd_dump(commands, &out);
        fputs(out.s, stdout);
        return 0;
    }
    int r = cmd_dispatch("rootlet", commands, argv + 1, &e);
    if (r >= 0 && fflush(stdout) != 0)
        r = err_set(&e, errno, "write to standard output");
    if (r >= 0)
        return r;
    print_err(&e);
    return e.exit_status ? e.exit_status : 125;
}
