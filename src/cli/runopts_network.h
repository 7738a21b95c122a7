/* runopts_network - the options of run and create for the network. With runopts_lines.h. */
#pragma once

/* clang-format off */
#define NETWORK_OPTIONS \
    LIST("add-host", 0, add_host, "HOST:IP", "Add a line to /etc/hosts; host-gateway: the host's address"), \
    LIST("dns", 0, dns, "ADDRESS", "Name server in /etc/resolv.conf; none: the image's file"), \
    LIST("dns-option", 0, dns_option, "OPTION", "Option in /etc/resolv.conf"), \
    ALIAS("dns-opt", 0, OPT_STRV, dns_option, "OPTION", "dns-option"), \
    LIST("dns-search", 0, dns_search, "DOMAIN", "Search domain in /etc/resolv.conf; .: none"), \
    LIST("egress", 0, egress, "POLICY", "Where it may connect to: allow=NAME|CIDR[:PORT],... or deny"), \
    LIST("expose", 0, expose, "PORT[/PROTO]", "Port that --publish-all publishes"), \
    TEXT("hosts-file", 0, hosts_file, "FILE", "What /etc/hosts begins with: a path, image, or none"), \
    TEXT("ip", 0, ip, "ADDRESS", "IPv4 address in its network"), \
    TEXT("ip6", 0, ip6, "ADDRESS", "IPv6 address in its network"), \
    TEXT("mac-address", 0, mac_address, "MAC", "MAC address in its network"), \
    LIST("network", 0, network, "MODE", "slirp, none, host, bridge, pasta, container:ID, ns:PATH or networks"), \
    ALIAS("net", 0, OPT_STRV, network, "MODE", "network"), \
    LIST("network-alias", 0, network_alias, "NAME", "Further name in its networks"), \
    ALIAS("net-alias", 0, OPT_STRV, network_alias, "NAME", "network-alias"), \
    FLAG("no-hostname", 0, no_hostname, "Leave the image's /etc/hostname alone"), \
    FLAG("no-hosts", 0, no_hosts, "Leave the image's /etc/hosts alone"), \
    LIST("publish", 'p', publish, "[[IP:]HOST:]CTR[/PROTO]", "Publish a port of the container on the host"), \
    ALIAS("port", 0, OPT_STRV, publish, "[[IP:]HOST:]CTR[/PROTO]", "publish"), \
    FLAG("publish-all", 'P', publish_all, "Publish all exposed ports on free ports of the host")
/* clang-format on */
