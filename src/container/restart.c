/* restart - the words of --restart. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "container/container.h"

int container_restart_parse(const char *text, char **ret_policy, int32_t *ret_retries,
                            struct err *e)
{
    static const char *const plain[] = {"no", "on-failure", "always", "unless-stopped"};
    const char *number = str_after(text, "on-failure:");
    uint32_t retries = 0;
    if (number && (parse_u32(number, &retries) < 0 || retries > INT32_MAX))
        return err_msg(e, EINVAL, "--restart %s: \"%s\" is no number of retries", text, number);
    for (size_t i = 0; i < N_ELEMENTS(plain); i++) {
        if (!streq(text, plain[i]) && !(number && streq(plain[i], "on-failure")))
            continue;
        *ret_policy = xstrdup(plain[i]);
        *ret_retries = (int32_t)retries;
        return 0;
    }
    const char *colon = strchr(text, ':');
    int r = err_msg(e, EINVAL, "--restart %s: no such policy", text);
    return err_hint(e, r,
                    colon ? "only on-failure takes a number: on-failure:5"
                          : "no, on-failure[:N], always or unless-stopped");
}
