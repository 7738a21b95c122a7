/* digest - content digests ("sha256:HEX") by libcrypto: incremental, compared, parsed. */
#include "layer/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

struct digest {
    EVP_MD_CTX *ctx;
    const char *name; /* of algorithms[] */
    size_t bytes;
};

static const struct algorithm {
    const char *name;
    size_t bytes;
} algorithms[] = {{"sha256", 32}, {"sha512", 64}, {"sha384", 48}};

/* The algorithm of "sha256" or "sha256:...", NULL when it is none of ours. */
static const struct algorithm *algorithm_find(const char *text)
{
    size_t len = strcspn(text, ":");

    for (size_t i = 0; i < N_ELEMENTS(algorithms); i++)
        if (strlen(algorithms[i].name) == len && strncmp(algorithms[i].name, text, len) == 0)
            return &algorithms[i];
    return NULL;
}

int digest_new(const char *algorithm, struct digest **ret, struct err *e)
{
    const struct algorithm *a = algorithm_find(algorithm ? algorithm : "sha256");
    struct digest *d;

    if (!a)
        return err_msg(e, ENOTSUP, "digest algorithm of \"%.80s\" is not supported", algorithm);
    d = xcalloc(1, sizeof(*d));
    d->name = a->name;
    d->bytes = a->bytes;
    d->ctx = EVP_MD_CTX_new();
    if (!d->ctx || EVP_DigestInit_ex(d->ctx, EVP_get_digestbyname(a->name), NULL) != 1) {
        digest_free(d);
        return err_msg(e, EIO, "libcrypto cannot compute %s", a->name);
    }
    *ret = d;
    return 0;
}

void digest_free(struct digest *d)
{
    if (!d)
        return;
    EVP_MD_CTX_free(d->ctx);
    free(d);
}

int digest_add(struct digest *d, const void *data, size_t n)
{
    return EVP_DigestUpdate(d->ctx, data, n) == 1 ? 0 : -EIO;
}

int digest_end(struct digest *d, char ret[static DIGEST_TEXT_MAX])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    size_t at;

    if (EVP_DigestFinal_ex(d->ctx, raw, &n) != 1 || n != d->bytes)
        return -EIO;
    at = (size_t)snprintf(ret, DIGEST_TEXT_MAX, "%s:", d->name);
    for (unsigned i = 0; i < n; i++) {
        ret[at++] = hex[raw[i] >> 4];
        ret[at++] = hex[raw[i] & 15];
    }
    ret[at] = '\0';
    return 0;
}

int digest_parse(const char *text, const char **ret_hex, struct err *e)
{
    const struct algorithm *a = algorithm_find(text);
    const char *digits = strchr(text, ':');

    if (!digits)
        return err_msg(e, EINVAL, "digest \"%.160s\": want ALGORITHM:HEX", text);
    if (!a)
        return err_msg(e, EINVAL, "digest \"%.160s\": the algorithm is not supported", text);
    digits++;
    if (strlen(digits) != 2 * a->bytes || strspn(digits, "0123456789abcdef") != 2 * a->bytes)
        return err_msg(e, EINVAL, "digest \"%.160s\": want %zu lower-case hexadecimal digits", text,
                       2 * a->bytes);
    if (ret_hex)
        *ret_hex = digits;
    return 0;
}

bool digest_equal(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

int digest_data(const void *data, size_t n, char ret[static DIGEST_TEXT_MAX])
{
    SCOPED(digest_scoped) struct digest *d = NULL;
    int r = digest_new(NULL, &d, NULL);

    if (r == 0)
        r = digest_add(d, data, n);
    return r < 0 ? r : digest_end(d, ret);
}

static int digest_of_fd(const char *algorithm, int fd, size_t max, char ret[static DIGEST_TEXT_MAX],
                        struct err *e)
{
    SCOPED(digest_scoped) struct digest *d = NULL;
    scoped_free char *buf = xmalloc(1 << 17);
    size_t total = 0;
    int r = digest_new(algorithm, &d, e);

    while (r == 0) {
        ssize_t n = read(fd, buf, 1 << 17);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno, "read for a digest");
        if (n == 0)
            break;
        total += (size_t)n;
        if (total > max)
            return err_msg(e, EFBIG, "more than %zu bytes", max);
        r = digest_add(d, buf, (size_t)n);
    }
    return r < 0 ? r : digest_end(d, ret);
}

int digest_fd(int fd, size_t max, char ret[static DIGEST_TEXT_MAX], struct err *e)
{
    return digest_of_fd(NULL, fd, max, ret, e);
}

int digest_fd_as(const char *algorithm, int fd, char ret[static DIGEST_TEXT_MAX], struct err *e)
{
    return digest_of_fd(algorithm, fd, SIZE_MAX, ret, e);
}
