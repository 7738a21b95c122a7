/* Any bytes as auth.json: no crash, no helper whose name is a path, credentials that are whole, and
 * what is found is found again in what would be written. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "registry/creds-priv.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
    if (!ok)
        abort();
}

/* Helpers that the bytes name must not be there. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    setenv("PATH", "/nonexistent", 1);
    log_max = LOG_LEVEL_ERROR;
    return 0;
}

static void check_found(const struct registry_creds *c)
{
    SCOPED(registry_creds_release) struct registry_creds again = {0};
    struct err e = ERR_INIT;
    must(c->identity_token || (c->username && c->password));
    if (c->identity_token || strchr(c->username, ':'))
        return;
    scoped_json json_t *entry = creds_encode(c);
    must(creds_decode(entry, "again", &again, &e) == (*c->username ? 1 : -22));
    must(!*c->username ||
         (streq(again.username, c->username) && streq(again.password, c->password)));
}

static void look_up(json_t *doc, const char *host, const char *repository)
{
    SCOPED(registry_creds_release) struct registry_creds c = {0};
    struct err e = ERR_INIT;
    int r = creds_find_in("f", doc, host, repository, &c, &e);
    must(r >= 0 || e.msg[0]);
    if (r == 1)
        check_found(&c);
    else
        must(!c.username && !c.password && !c.identity_token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    size_t n = 0;
    scoped_free char *text = xmalloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    scoped_free char *plain = base64_decode(text, &n);
    if (plain) {
        scoped_free char *coded = base64_encode(plain, n);
        scoped_free char *again = base64_decode(coded, &n);
        must(again && memcmp(plain, again, n) == 0);
    }
    scoped_json json_t *doc = json_parse(text, size, CREDS_MAX_BYTES, "f", &e);
    if (!doc)
        return 0;
    look_up(doc, "reg.example", "team/app");
    look_up(doc, "docker.io", "library/busybox");
    look_up(doc, "localhost:5000", NULL);
    return 0;
}
