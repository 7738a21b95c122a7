/* rootlet-scope - makes, changes and ends systemd scopes for the runtime that has started it.
 *
 *   rootlet-scope --user|--system
 *
 * Standard input is a SEQPACKET socket. Each packet is a request:
 *
 *   {"op": "start", "unit": "x.scope", "properties": [["NAME", "SIGNATURE", VALUE], ...], "pid": N}
 *           a descriptor of the process may ride along
 *   {"op": "session", as "start", "replace": true}: see session_make
 *   {"op": "attach", "unit": ..., "below": "/GROUP", "pid": N}
 *   {"op": "set", "unit": ..., "properties": [...]}
 *   {"op": "stop", "unit": ...}
 *
 * and is answered by a struct err, empty when it went well. Ends with the socket. It connects
 * before it reads: that is done while the runtime does other things. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "helpers/scope/scope.h"
#include "sys/clone.h"
#include "sys/sock.h"

#define REQUEST_MAX 65536

static int serve(struct manager *m, const char *text, size_t size, int pidfd, struct err *e)
{
    scoped_json json_t *request = json_parse(text, size, REQUEST_MAX, "request", e);
    if (!request)
        return -EINVAL;
    const char *op = json_string_value(json_object_get(request, "op"));
    const char *unit = json_string_value(json_object_get(request, "unit"));
    const json_t *properties = json_object_get(request, "properties");
    if (!unit || !op)
        return err_msg(e, EINVAL, "request: no operation or no unit");
    const struct scope_request q = {
        .unit = unit,
        .properties = properties,
        .pid = (unsigned)json_integer_value(json_object_get(request, "pid")),
        .pidfd = sd_bus_can_send(m->bus, 'h') > 0 ? pidfd : -1,
        .replace = json_is_true(json_object_get(request, "replace")),
    };
    if (streq(op, "start"))
        return manager_start(m, &q, e);
    if (streq(op, "session"))
        return session_make(m, &q, e);
    if (streq(op, "attach"))
        return manager_attach(m, unit, json_string_value(json_object_get(request, "below")),
                              (unsigned)json_integer_value(json_object_get(request, "pid")), e);
    if (streq(op, "set"))
        return manager_set(m, unit, properties, e);
    if (streq(op, "stop"))
        return manager_stop(m, unit, e);
    return err_msg(e, EINVAL, "request: operation %s is unknown", op);
}

int main(int argc, char **argv)
{
    if (argc != 2 || !(streq(argv[1], "--user") || streq(argv[1], "--system"))) {
        fprintf(stderr, "rootlet-scope is started by other programs of rootlet\n");
        return 2;
    }
    sys_close_from(3, 0); /* what the runtime keeps for a payload */
    static char text[REQUEST_MAX];
    struct manager m = {.user = streq(argv[1], "--user")};
    struct err no_manager = ERR_INIT;
    manager_open(&m, &no_manager);
    for (;;) {
        int fds[SOCK_MAX_FDS];
        struct err e = ERR_INIT;
        ssize_t n = sock_recv(0, text, sizeof(text), fds);
        if (n <= 0)
            break;
        if (!m.bus)
            manager_await(&m, &no_manager);
        if (!m.bus)
            e = no_manager;
        else if (serve(&m, text, (size_t)n, fds[0], &e) == 0)
            err_clear(&e);
        for (size_t i = 0; i < SOCK_MAX_FDS; i++)
            fd_close(&fds[i]);
        if (sock_send(0, &e, sizeof(e), NULL, 0) < 0)
            break;
    }
    exit(0); /* every call has had its answer: nothing is left to send */
}
