/* fuzz-ports - specifications of ports: what is understood has a text that says the same. */
#include <errno.h>
#include <stdlib.h>

#include "base/str.h"
#include "net/ports.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct net_port *p)
{
    char text[NET_PORT_TEXT], again_text[NET_PORT_TEXT];
    struct net_port again[2];
    if (p->ctr == 0 || p->count == 0 || p->host_count < p->count ||
        (p->host && p->host + p->host_count > 65536) || p->ctr + p->count > 65536)
        abort();
    if (net_port_parse(net_port_format_option(p, text), again, NULL) != 1 ||
        !streq(net_port_format_option(&again[0], again_text), text))
        abort();
    if (net_port_parse_shown(net_port_format(p, text), &again[0]) < 0 ||
        !streq(net_port_format(&again[0], again_text), text))
        abort();
    if (!net_port_conflict(p, p) && p->host)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    struct net_port p[2];
    scoped_free char *text = xstrndup((const char *)data, size);
    int n = net_port_parse(text, p, &e);
    if (n < 0 && (n != -EINVAL || !e.msg[0]))
        abort();
    for (int i = 0; i < n; i++)
        check(&p[i]);
    if (net_port_parse_shown(text, &p[0]) == 0)
        check(&p[0]);
    net_port_parse_container(text, &p[0], NULL);
    return 0;
}
