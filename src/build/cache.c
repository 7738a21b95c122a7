/* cache - which image a step has made the last time: ROOT/build/cache/KEY, one line, an image's id.
 *
 * A key is a digest of all that a step works on: the configuration so far, its history, the layers
 * below, the instruction, and what it reads. So an entry never becomes wrong, only useless. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/jfield.h"
#include "base/strv.h"
#include "build/build.h"
#include "image/ref.h"
#include "image/rows.h"

static int add_text(struct digest *d, const char *text)
{
    return digest_add(d, text ? text : "", strlen(text ? text : "") + 1);
}

static int add_json(struct digest *d, const json_t *j)
{
    scoped_free char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    return add_text(d, text);
}

static int add_state(struct digest *d, const struct state *st)
{
    static const char *const members[] = {"architecture", "os",     "variant",
                                          "author",       "config", "rootfs"};
    const json_t *one;
    size_t i;
    int r = 0;
    for (i = 0; r == 0 && i < N_ELEMENTS(members); i++)
        r = add_json(d, json_object_get(st->doc, members[i]));
    json_array_foreach(json_object_get(st->doc, "history"), i, one)
    {
        if (r == 0)
            r = add_json(d, json_object_get(one, "created_by"));
    }
    for (char **v = st->dirs; r == 0 && v && *v; v++)
        r = add_text(d, *v);
    return r;
}

int cache_key(struct build *b, const struct state *st, char *const *more,
              char ret[static DIGEST_TEXT_MAX], struct err *e)
{
    SCOPED(digest_scoped) struct digest *d = NULL;
    scoped_free char *time = xasprintf("%lld%s", (long long)b->epoch, b->docker ? " docker" : "");
    int r = digest_new("sha256", &d, e);
    if (r < 0)
        return r;
    r = add_text(d, "rootlet-build 1");
    r = r < 0 ? r : add_text(d, time);
    r = r < 0 ? r : add_state(d, st);
    for (char *const *m = more; r == 0 && m && *m; m++)
        r = add_text(d, *m);
    r = r < 0 ? r : digest_end(d, ret);
    return r < 0 ? err_set(e, -r, "hash the step") : 0;
}

int cache_get(struct build *b, const char *key, struct state *st, struct err *e)
{
    scoped_fd int dir = conf_open_root(b->conf, "build/cache", false, NULL);
    scoped_free char *text = NULL;
    SCOPED(store_image_release) struct store_image row = {0};
    const char *hex = image_digest_hex(key);
    if (b->o->no_cache || dir < 0 || fs_read(dir, hex, 200, &text, NULL) < 0)
        return 0;
    text[strcspn(text, "\n")] = '\0';
    if (image_digest_check(text, NULL) < 0 ||
        store_row_read(b->conf, image_digest_hex(text), &row, NULL) < 0 ||
        state_load(b, text, st, NULL) < 0) {
        unlinkat(dir, hex, 0);
        return 0;
    }
    (void)e;
    return 1;
}

void cache_put(struct build *b, const char *key, const char *id)
{
    scoped_fd int dir = conf_open_root(b->conf, "build/cache", true, NULL);
    scoped_free char *line = xasprintf("%s\n", id);
    if (dir >= 0) /* without it the next build takes longer, that is all */
        fs_write_atomic(dir, image_digest_hex(key), line, strlen(line), 0600, FS_NO_SYNC, NULL);
}
