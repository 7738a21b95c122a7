/* options - of pasta: those that change what the container sees of the network. What names files,
 * namespaces or users is ours to say. */
#include "network/options.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"

static const struct option {
    const char *name;
    bool value;
} known[] = {
    {"-T", true},
    {"--tcp-ns", true},
    {"-U", true},
    {"--udp-ns", true},
    {"-a", true},
    {"--address", true},
    {"-n", true},
    {"--netmask", true},
    {"-g", true},
    {"--gateway", true},
    {"-i", true},
    {"--interface", true},
    {"-I", true},
    {"--ns-ifname", true},
    {"-m", true},
    {"--mtu", true},
    {"--ns-mac-addr", true},
    {"-o", true},
    {"--outbound", true},
    {"--outbound-if4", true},
    {"--outbound-if6", true},
    {"--dns-forward", true},
    {"--dns-host", true},
    {"--map-host-loopback", true},
    {"--map-guest-addr", true},
    {"--no-tcp", false},
    {"--no-udp", false},
    {"--no-icmp", false},
    {"--no-dhcp", false},
    {"--no-ndp", false},
    {"--no-dhcpv6", false},
    {"--no-ra", false},
    {"--no-map-gw", false},
    {"--map-gw", false}, /* podman's: --no-map-gw is left out */
    {"-4", false},
    {"--ipv4-only", false},
    {"-6", false},
    {"--ipv6-only", false},
};

/* "--mtu=1500" is "--mtu" with its value. */
static size_t name_len(const char *text)
{
    return strncmp(text, "--", 2) == 0 ? strcspn(text, "=") : strlen(text);
}

static const struct option *find(const char *text)
{
    size_t len = name_len(text);
    for (size_t i = 0; i < N_ELEMENTS(known); i++)
        if (strlen(known[i].name) == len && memcmp(known[i].name, text, len) == 0)
            return &known[i];
    return NULL;
}

static bool is_port(const char *text)
{
    static const char *const names[] = {"-t", "-u", "--tcp-ports", "--udp-ports"};
    size_t len = name_len(text);
    for (size_t i = 0; i < N_ELEMENTS(names); i++)
        if (strlen(names[i]) == len && memcmp(names[i], text, len) == 0)
            return true;
    return false;
}

int pasta_check_options(char *const *options, struct err *e)
{
    for (char *const *o = options; o && *o; o++) {
        const struct option *known_one = find(*o);
        bool inside = strchr(*o, '=') && strncmp(*o, "--", 2) == 0;
        if (is_port(*o))
            return err_hint(e, err_msg(e, EINVAL, "pasta option %s: ports are published by -p", *o),
                            "-p 8080:80");
        if (!known_one)
            return err_hint(e, err_msg(e, EINVAL, "pasta option \"%s\" is not to be given", *o),
                            "those about addresses, routes, MTU, DNS and the host's ports are");
        if (inside && !known_one->value)
            return err_msg(e, EINVAL, "pasta option %s takes no value", known_one->name);
        if (known_one->value && !inside && (!*++o || !**o || **o == '-'))
            return err_msg(e, EINVAL, "pasta option %s wants a value", known_one->name);
    }
    return 0;
}

void pasta_add_options(char *const *options, char ***argv)
{
    for (char *const *o = options; o && *o; o++)
        if (!streq(*o, "--map-gw") && !streq(*o, "--no-map-gw"))
            strv_add(argv, *o);
}

const char *pasta_option(char *const *options, const char *name)
{
    size_t len = strlen(name);
    for (char *const *o = options; o && *o; o++) {
        const struct option *known_one = find(*o);
        bool mine = name_len(*o) == len && memcmp(*o, name, len) == 0;
        bool inside = strncmp(*o, "--", 2) == 0 && strchr(*o, '=');
        if (mine)
            return inside ? strchr(*o, '=') + 1 : known_one && known_one->value ? o[1] : "";
        if (known_one && known_one->value && !inside && o[1])
            o++;
    }
    return NULL;
}

bool pasta_has_option(char *const *options, const char *name, const char *other)
{
    return pasta_option(options, name) || (other && pasta_option(options, other));
}
