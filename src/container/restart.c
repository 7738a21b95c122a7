/* restart - see restart.h. */
#include "container/restart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* docker's figures: the time between two starts doubles, from the first to the second; who has run
 * for the third begins anew. */
#define FIRST_MS 100
#define LAST_MS 60000
#define SETTLED_NS (10 * INT64_C(1000000000))

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

bool restart_by_policy(const char *policy, int32_t retries, int32_t count, int32_t exit_code)
{
    if (streq(policy, "always") || streq(policy, "unless-stopped"))
        return true;
    if (!streq(policy, "on-failure") || exit_code == 0)
        return false;
    return retries <= 0 || count < retries;
}

uint32_t restart_delay(uint32_t before_ms, int64_t ran_ns)
{
    if (before_ms == 0 || ran_ns >= SETTLED_NS)
        return FIRST_MS;
    return before_ms >= LAST_MS / 2 ? LAST_MS : before_ms * 2;
}

bool restart_at_boot(const char *policy, const struct ctr_state *s, const char *boot_id)
{
    bool unless = streq(policy, "unless-stopped");
    if ((!unless && !streq(policy, "always")) || s->status == CTR_CREATED ||
        s->status == CTR_DEAD || ctr_state_alive(s))
        return false;
    return !s->user_stopped || (!unless && !streq(s->boot_id, boot_id));
}
