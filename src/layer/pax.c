/* pax - writes one tar member header: ustar, with a PAX header in front where ustar is too small.
 */
#include "layer/pax.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct ustar {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[6], version[2], uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct ustar) == 512, "a tar block");

void pax_record(struct pax *p, const char *key, const void *value, size_t n)
{
    size_t base = strlen(key) + n + 3, len = base + 1; /* space, '=', newline */

    while (snprintf(NULL, 0, "%zu", len) + (int)base != (int)len)
        len++;
    str_addf(&p->records, "%zu %s=", len, key);
    str_addn(&p->records, value, n);
    str_addc(&p->records, '\n');
}

/* Octal with leading zeros and a NUL; what does not fit is cut: a PAX record holds it. */
static void octal(char *field, size_t size, uint64_t v)
{
    field[--size] = '\0';
    while (size > 0) {
        field[--size] = (char)('0' + (v & 7));
        v >>= 3;
    }
}

static void fill(struct ustar *h, const struct pax *p, char type, uint64_t size)
{
    unsigned sum = 0;

    memset(h, 0, sizeof(*h));
    octal(h->mode, sizeof(h->mode), p->mode);
    octal(h->uid, sizeof(h->uid), p->uid);
    octal(h->gid, sizeof(h->gid), p->gid);
    octal(h->size, sizeof(h->size), size);
    octal(h->mtime, sizeof(h->mtime), p->mtime.tv_sec < 0 ? 0 : (uint64_t)p->mtime.tv_sec);
    h->type = type;
    memcpy(h->magic, "ustar", 6);
    memcpy(h->version, "00", 2);
    octal(h->major, sizeof(h->major), p->dev_major);
    octal(h->minor, sizeof(h->minor), p->dev_minor);
    memcpy(h->name, p->path, strnlen(p->path, sizeof(h->name)));
    if (p->link)
        memcpy(h->link, p->link, strnlen(p->link, sizeof(h->link)));
    memset(h->checksum, ' ', sizeof(h->checksum));
    for (size_t i = 0; i < sizeof(*h); i++)
        sum += ((const unsigned char *)h)[i];
    octal(h->checksum, 7, sum);
}

static int plain(const char *s)
{
    size_t n = strlen(s);

    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] >= 0x80)
            return 0;
    return n <= 100;
}

static void record_number(struct pax *p, const char *key, uint64_t v)
{
    char text[24];

    pax_record(p, key, text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, v));
}

/* Seconds and, without trailing zeros, nanoseconds; negative times are floored in timespec. */
static void record_time(struct pax *p)
{
    int64_t s = p->mtime.tv_sec;
    long ns = p->mtime.tv_nsec;
    const char *sign = "";
    char text[48];
    size_t n;

    if (s >= 0 && s < (int64_t)1 << 33 && ns == 0)
        return;
    if (s < 0) {
        sign = "-";
        s = -s;
        if (ns > 0) {
            s--;
            ns = 1000000000 - ns;
        }
    }
    n = (size_t)snprintf(text, sizeof(text), "%s%" PRId64 ".%09ld", sign, s, ns);
    while (text[n - 1] == '0')
        n--;
    if (text[n - 1] == '.')
        n--;
    pax_record(p, "mtime", text, n);
}

int pax_write(struct pax *p, struct out *o, struct err *e)
{
    struct ustar h;
    int r = 0;

    if (!plain(p->path))
        pax_record(p, "path", p->path, strlen(p->path));
    if (p->link && !plain(p->link))
        pax_record(p, "linkpath", p->link, strlen(p->link));
    if (p->size >= (uint64_t)1 << 33)
        record_number(p, "size", p->size);
    if (p->uid >= 1 << 21)
        record_number(p, "uid", p->uid);
    if (p->gid >= 1 << 21)
        record_number(p, "gid", p->gid);
    record_time(p);
    if (p->records.len > 0) {
        struct pax x = {.path = "PaxHeaders/x", .mode = 0644};
        fill(&h, &x, 'x', p->records.len);
        r = out_write(o, &h, sizeof(h), e);
        if (r == 0)
            r = out_write(o, p->records.s, p->records.len, e);
        if (r == 0)
            r = out_zeros(o, (512 - p->records.len % 512) % 512, e);
        str_reset(&p->records);
    }
    fill(&h, p, p->type, p->size);
    return r < 0 ? r : out_write(o, &h, sizeof(h), e);
}

void pax_true_owner(struct pax *p, const char *value, size_t n)
{
    char text[44];
    unsigned uid, gid;

    if (n == 0 || n >= sizeof(text))
        return;
    memcpy(text, value, n);
    text[n] = '\0';
    if (sscanf(text, "%10u:%10u", &uid, &gid) != 2)
        return;
    /* Whoever may write to the file can have made the note, and nothing may run as somebody by
     * that. A layer's own file has lost these bits when its owner was squashed. */
    if (p->uid == 0 && uid != 0) {
        p->uid = uid;
        p->mode &= ~(unsigned)S_ISUID;
    }
    if (p->gid == 0 && gid != 0) {
        p->gid = gid;
        p->mode &= ~(unsigned)(p->type == '5' ? 0 : S_ISGID);
    }
}
