/* detach - the keys that leave an attached container running. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "term/term.h"

/* The byte that a key sends, or -1. */
static int key_code(const char *key)
{
    const char *c = str_after(key, "ctrl-");
    if (!c)
        return key[0] > ' ' && key[0] < 0x7f && !key[1] ? key[0] : -1;
    if (!c[0] || c[1])
        return -1;
    if (c[0] >= 'a' && c[0] <= 'z')
        return c[0] - 'a' + 1;
    return strchr("@[\\]^_", c[0]) ? c[0] & 0x1f : -1;
}

int detach_keys_parse(const char *text, struct detach_keys *ret, struct err *e)
{
    struct detach_keys k = {.n = 0};
    scoped_strv char **keys = strv_split(text ? text : "", ",", false);
    for (char **key = keys; key && *key; key++) {
        int code = key_code(*key);
        if (code < 0) {
            int r = err_msg(e, EINVAL, "detach keys \"%s\": \"%s\" is not a key", text, *key);
            return err_hint(e, r, "keys are single characters or ctrl-X, as in ctrl-p,ctrl-q");
        }
        if (k.n == DETACH_KEYS_MAX)
            return err_msg(e, EINVAL, "detach keys \"%s\": more than %d", text, DETACH_KEYS_MAX);
        k.seq[k.n++] = (unsigned char)code;
    }
    *ret = k;
    return 0;
}

/* After a mismatch: the longest end of what is held that is a beginning of the sequence with this
 * byte behind it. Returns how many held bytes that gives up. */
static size_t give_up(const struct detach_keys *k, unsigned char c)
{
    for (size_t drop = 1; drop <= k->matched; drop++) {
        size_t rest = k->matched - drop;
        if (memcmp(k->seq, k->seq + drop, rest) == 0 && k->seq[rest] == c)
            return drop;
    }
    return k->matched;
}

bool detach_keys_feed(struct detach_keys *k, const unsigned char *in, size_t n, unsigned char *out,
                      size_t *ret_n)
{
    size_t done = 0;
    for (size_t i = 0; i < n; i++) {
        if (k->n && in[i] != k->seq[k->matched] && k->matched) {
            size_t drop = give_up(k, in[i]);
            memcpy(out + done, k->seq, drop);
            done += drop;
            k->matched -= drop;
        }
        if (!k->n || in[i] != k->seq[k->matched]) {
            out[done++] = in[i];
            continue;
        }
        if (++k->matched == k->n) {
            k->matched = 0;
            *ret_n = done;
            return true;
        }
    }
    *ret_n = done;
    return false;
}
