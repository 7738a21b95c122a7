#include "imagetool/request.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/jfield.h"
#include "base/str.h"
#include "image/rows.h"

#define REQUEST_MAX (16u << 20)

static int inherited(const char *text, int *ret, struct err *e)
{
    uint32_t n;
    if (streq(text, "-"))
        return 0;
    if (parse_u32(text, &n) < 0 || n > 65535)
        return err_msg(e, EINVAL, "%s is no descriptor", text);
    *ret = (int)n;
    return fcntl(*ret, F_SETFD, FD_CLOEXEC) < 0 ? err_set(e, errno, "descriptor %s", text) : 0;
}

static int read_document(int fd, json_t **ret, struct err *e)
{
    scoped_free char *text = NULL;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_set(e, errno, "read the request");
    ssize_t n = fs_read_fd(fd, REQUEST_MAX, &text, e);
    if (n < 0)
        return (int)n;
    *ret = json_parse(text, (size_t)n, REQUEST_MAX, "request", e);
    return *ret ? 0 : -EINVAL;
}

int request_read(char **args, struct request *ret, struct err *e)
{
    struct request r = REQUEST_INIT;
    scoped_fd int doc = -1;
    int *const fds[] = {&doc, &r.tree, &r.list, &r.hold, &r.userns};
    int q = 0;
    for (size_t i = 0; q == 0 && i < N_ELEMENTS(fds) && args[i]; i++)
        q = inherited(args[i], fds[i], e);
    if (q == 0)
        q = read_document(doc, &r.doc, e);
    if (q == 0 && json_object_get(r.doc, "map")) /* else there is no tree */
        q = jfield_parse(json_object_get(r.doc, "map"), store_idmap_fields, "map", &r.map, e);
    if (q < 0) {
        request_release(&r);
        return q;
    }
    *ret = r;
    return 0;
}

void request_release(struct request *r)
{
    json_decref(r->doc);
    fd_close(&r->tree);
    fd_close(&r->list);
    fd_close(&r->hold);
    fd_close(&r->userns);
    userns_map_release(&r->map);
    *r = (struct request)REQUEST_INIT;
}

const char *request_text(const struct request *r, const char *key)
{
    return json_string_value(json_object_get(r->doc, key));
}

struct layer_pack request_pack(const struct request *r)
{
    struct layer_pack p = LAYER_PACK_INIT;
    p.dir_fd = r->tree;
    p.list_fd = r->list;
    p.flags = (unsigned)json_integer_value(json_object_get(r->doc, "flags"));
    return p;
}

void request_let_go(struct request *r)
{
    char byte;
    if (r->hold < 0)
        return;
    shutdown(r->hold, SHUT_WR);
    while (recv(r->hold, &byte, 1, 0) < 0 && errno == EINTR)
        ;
    fd_close(&r->hold);
}
