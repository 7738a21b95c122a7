/* Any bytes as a unit file, as two of them that refer to each other, or as a drop-in: no crash, and
 * a service that comes of them is a unit again, line by line what was meant. Row B42. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "quadlet/quadlet.h"
#include "quadlet/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
    if (!ok)
        abort();
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* Printed again it is the same but for comments and the order of sections: no value has left its
 * line, none goes on in the next one. */
static void check_unit(const struct str *text)
{
    struct unit u SCOPED(unit_release) = {0};
    struct err e = ERR_INIT;
    scoped_str struct str again = STR_INIT;
    must(!memchr(text->s, '\0', text->len));
    must(unit_parse(&u, "made", text->s, text->len, &e) == 0);
    size_t lines = 0, all = 0;
    for (size_t i = 0; i < u.n; i++) {
        unit_print(&u.sections[i], &again);
        lines += u.sections[i].n;
    }
    for (const char *line = text->s; *line; line = strchr(line, '\n') + 1)
        all += *line != '#' && *line != '[' && *line != '\n';
    must(lines == all);
    must(count_lines(again.s) == lines + u.n);
    const struct unit_section *service = unit_section(&u, "Service");
    must(service && unit_value(service, "ExecStart"));
    scoped_strv char **words = NULL;
    must(words_split(unit_value(service, "ExecStart"), WORDS_EXEC, &words, &e) == 0);
    must(words && (words[0][0] == '/'));
}

static void check_links(struct quadlet_file *f)
{
    scoped_strv char **links = quadlet_links(f);
    for (char **l = links; l && *l; l += 2) {
        must(l[1] != NULL);
        const char *slash = strchr(l[0], '/');
        must(l[0][0] != '/' && l[0][0] != '.' && !strstr(l[0], ".."));
        must(!slash || !strchr(slash + 1, '/'));
        must(quadlet_is_unit_name(slash ? slash + 1 : l[0]));
    }
}

static void check_file(const struct quadlet_set *s, struct quadlet_file *f)
{
    scoped_str struct str out = STR_INIT, failing = STR_INIT;
    scoped_free char *service = quadlet_service_name(f), *resource = quadlet_resource_name(f);
    if (quadlet_translate(s, f, &out) == 0) {
        must(quadlet_is_unit_name(service) && quadlet_worst(f) < (int)QUADLET_ERROR);
        check_unit(&out);
    } else {
        must(out.len == 0 && quadlet_worst(f) == (int)QUADLET_ERROR);
    }
    quadlet_failing_unit(s, f, &failing);
    check_unit(&failing);
    check_links(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"/d/a.container", "/d/a.volume",    "/d/a.network",
                                        "/d/a.pod",       "/d/a.image",     "/d/a.build",
                                        "/d/a.kube",      "/d/a@.container"};
    struct quadlet_set s SCOPED(quadlet_set_release) = {.program = "/usr/bin/rootlet"};
    if (size == 0)
        return 0;
    /* A line of "%%%" parts the file from its drop-in. */
    const char *text = (const char *)data + 1;
    size_t len = size - 1;
    const char *rest = len ? memmem(text, len, "%%%\n", 4) : NULL;
    size_t first = rest ? (size_t)(rest - text) : len;
    char *copy = xmalloc(len + 1);
    memcpy(copy, text, len);
    struct quadlet_file *f = quadlet_add(&s, names[data[0] % 8], copy, first);
    if (rest)
        quadlet_add_drop_in(f, "/d/a.d/x.conf", copy + first + 4, len - first - 4);
    free(copy);
    quadlet_add(&s, "/d/b.volume", "", 0);
    quadlet_add(&s, "/d/b.pod", "", 0);
    quadlet_add(&s, "/d/b.image", "[Image]\nImage=i\n", 16);
    quadlet_add(&s, "/d/b.container", "[Container]\nImage=i\nPod=a.pod\n", 30);
    check_file(&s, f);
    return 0;
}
