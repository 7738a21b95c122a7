/* platform - OS/ARCH/VARIANT as images name it, and the arguments made of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/str.h"
#include "base/strv.h"
#include "build/expand.h"

static const struct {
    const char *from, *arch, *variant;
} archs[] = {
    {"x86_64", "amd64", ""},  {"x86-64", "amd64", ""}, {"i386", "386", ""},
    {"i486", "386", ""},      {"i586", "386", ""},     {"i686", "386", ""},
    {"aarch64", "arm64", ""}, {"armhf", "arm", "v7"},  {"armel", "arm", "v6"},
    {"armv7l", "arm", "v7"},  {"armv6l", "arm", "v6"}, {"armv8l", "arm", "v7"},
};

static int set_part(char *dst, size_t size, const char *text)
{
    for (const char *s = text; *s; s++)
        if (!(*s >= 'a' && *s <= 'z') && !(*s >= '0' && *s <= '9') && !strchr("_-.", *s))
            return -EINVAL;
    return *text && (size_t)snprintf(dst, size, "%s", text) < size ? 0 : -EINVAL;
}

static int set_arch(struct build_platform *p, const char *arch, const char *variant)
{
    for (size_t i = 0; i < N_ELEMENTS(archs); i++)
        if (streq(arch, archs[i].from)) {
            arch = archs[i].arch;
            variant = variant ? variant : archs[i].variant;
            break;
        }
    if (variant && streq(arch, "arm64") && streq(variant, "v8"))
        variant = ""; /* what arm64 is anyway */
    if (variant && streq(arch, "amd64") && streq(variant, "v1"))
        variant = "";
    if (streq(arch, "arm") && (!variant || !*variant))
        variant = "v7";
    int r = set_part(p->arch, sizeof(p->arch), arch);
    if (r == 0 && variant && *variant)
        r = set_part(p->variant, sizeof(p->variant), variant);
    return r;
}

int build_platform_parse(const char *text, struct build_platform *ret, struct err *e)
{
    struct utsname u;
    uname(&u);
    struct build_platform p = {.os = "linux"};
    scoped_strv char **parts = strv_split(text ? text : "linux", "/", true);
    size_t n = strv_len(parts);
    /* One word may be a system or a machine. */
    bool machine = n == 1 && !streq(parts[0], "linux");
    int r = n < 1 || n > 3 ? -EINVAL : 0;
    if (r == 0 && !machine)
        r = set_part(p.os, sizeof(p.os), parts[0]);
    if (r == 0)
        r = set_arch(&p,
                     machine ? parts[0]
                     : n > 1 ? parts[1]
                             : u.machine,
                     n > 2 ? parts[2] : NULL);
    if (r < 0)
        return err_hint(e, err_msg(e, EINVAL, "platform \"%s\": not valid", text ? text : ""),
                        "OS/ARCH[/VARIANT], as linux/arm64");
    *ret = p;
    return 0;
}

void build_platform_text(const struct build_platform *p, char ret[static 100])
{
    snprintf(ret, 100, "%s/%s%s%s", p->os, p->arch, *p->variant ? "/" : "", p->variant);
}

const char *build_platform_arg(const struct build_platform *build,
                               const struct build_platform *target, const char *name,
                               char ret[static 100])
{
    const char *part = str_after(name, "TARGET");
    const struct build_platform *p = part ? target : build;
    if (!part)
        part = str_after(name, "BUILD");
    if (!part)
        return NULL;
    if (streq(part, "PLATFORM"))
        build_platform_text(p, ret);
    else if (streq(part, "OS"))
        snprintf(ret, 100, "%s", p->os);
    else if (streq(part, "ARCH"))
        snprintf(ret, 100, "%s", p->arch);
    else if (streq(part, "VARIANT"))
        snprintf(ret, 100, "%s", p->variant);
    else
        return NULL;
    return ret;
}

bool build_is_proxy_arg(const char *name)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "ftp_proxy", "no_proxy",
                                        "all_proxy"};
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        char upper[32];
        size_t n = strlen(names[i]);
        for (size_t c = 0; c <= n; c++)
            upper[c] =
                names[i][c] >= 'a' && names[i][c] <= 'z' ? (char)(names[i][c] - 32) : names[i][c];
        if (streq(name, names[i]) || streq(name, upper))
            return true;
    }
    return false;
}
