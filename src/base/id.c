/* id - randomness from getrandom(2) only. */
#include "base/id.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/scoped.h"

/* One draw for all needs: getrandom(2) gives up to 256 bytes without interruption. */
static void random_bytes(void *buf, size_t n)
{
    unsigned char *p = buf;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            abort(); /* a predictable identifier would be worse */
        p += got;
        n -= (size_t)got;
    }
}

void id_random_hex(char *ret, size_t digits)
{
    unsigned char bytes[ID_LEN / 2];
    size_t at = 0;
    while (at < digits) {
        size_t n = (digits - at + 1) / 2;
        if (n > sizeof(bytes))
            n = sizeof(bytes);
        random_bytes(bytes, n);
        for (size_t i = 0; i < 2 * n && at < digits; i++)
            ret[at++] = "0123456789abcdef"[i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4];
    }
    ret[digits] = '\0';
}

void id_random(char ret[static ID_LEN + 1])
{
    id_random_hex(ret, ID_LEN);
}

bool id_is_hex(const char *s)
{
    size_t n = strspn(s, "0123456789abcdef");
    return n >= 1 && n <= ID_LEN && s[n] == '\0';
}

void id_random_name(char *buf, size_t size)
{
    static const char *const adjectives[] = {
        "able",   "agile",  "amber",  "ample",  "bold",   "brave",   "breezy", "bright",
        "brisk",  "busy",   "calm",   "candid", "clever", "cosy",    "crisp",  "daring",
        "dapper", "deft",   "eager",  "early",  "fair",   "fancy",   "fleet",  "fond",
        "frank",  "fresh",  "gentle", "glad",   "golden", "grand",   "happy",  "hardy",
        "hasty",  "jolly",  "keen",   "kind",   "lively", "loyal",   "lucid",  "merry",
        "mellow", "modest", "neat",   "nimble", "noble",  "patient", "placid", "plucky",
        "polite", "prime",  "proud",  "quick",  "quiet",  "ready",   "rustic", "serene",
        "silent", "sleek",  "snug",   "steady", "sunny",  "tidy",    "vivid",  "witty",
    };
    static const char *const nouns[] = {
        "acorn",  "alder",   "aspen",   "badger", "beaver", "birch",   "bison",   "bramble",
        "brook",  "cedar",   "clover",  "condor", "crane",  "curlew",  "cypress", "daisy",
        "dingo",  "dolphin", "ermine",  "falcon", "fern",   "ferret",  "finch",   "fjord",
        "gecko",  "gibbon",  "ginkgo",  "hazel",  "heron",  "hickory", "ibex",    "iris",
        "jackal", "juniper", "kestrel", "koala",  "larch",  "lemur",   "linden",  "lotus",
        "lynx",   "magpie",  "maple",   "marmot", "meadow", "moose",   "nettle",  "newt",
        "oak",    "ocelot",  "orchid",  "osprey", "otter",  "panda",   "pebble",  "plover",
        "puffin", "raven",   "robin",   "sable",  "sorrel", "spruce",  "tapir",   "willow",
    };
    _Static_assert(N_ELEMENTS(adjectives) == 64 && N_ELEMENTS(nouns) == 64,
                   "six bits choose evenly");
    uint8_t pick[2];
    random_bytes(pick, sizeof(pick));
    snprintf(buf, size, "%s_%s", adjectives[pick[0] % 64], nouns[pick[1] % 64]);
}

bool id_name_valid(const char *s)
{
#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    size_t n = strspn(s, ALNUM "_.-");
    return n >= 1 && n <= 128 && s[n] == '\0' && strspn(s, ALNUM) > 0;
#undef ALNUM
}

void id_uuid(const char *id, char ret[static 37])
{
    char hex[33];
    size_t n = strnlen(id, 32);
    memset(hex, '0', 32);
    memcpy(hex, id, n);
    hex[32] = '\0';
    hex[12] = '4'; /* version */
    const char *digits = "0123456789abcdef", *at = strchr(digits, hex[16]);
    hex[16] = digits[8 + (at ? (at - digits) & 3 : 0)]; /* variant 10xx */
    snprintf(ret, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}
