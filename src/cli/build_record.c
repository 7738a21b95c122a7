/* build_record - what inspect shows of options that no other part of the record keeps. */
#include "cli/build.h"

static void set_list(json_t *j, const char *key, char *const *v)
{
    json_object_set_new(j, key, json_from_strv(v));
}

static void set_text(json_t *j, const char *key, const char *given, const char *otherwise)
{
    json_object_set_new(j, key, json_string(given ? given : otherwise));
}

/* docker's and podman's names; lists are as they were typed. */
json_t *build_host_config(const struct run_opts *o)
{
    json_t *j = json_object();
    uint64_t shm = 64u << 20;
    if (o->shm_size)
        parse_size(o->shm_size, &shm); /* checked where the mount is made */
    json_object_set_new(j, "ShmSize", json_integer((json_int_t)shm));
    set_list(j, "Dns", o->dns);
    set_list(j, "DnsOptions", o->dns_option);
    set_list(j, "DnsSearch", o->dns_search);
    set_list(j, "ExtraHosts", o->add_host);
    set_list(j, "Devices", o->device);
    set_list(j, "VolumesFrom", o->volumes_from);
    json_object_set_new(j, "Sysctls", json_from_pairs(o->sysctl));
    json_t *tmpfs = json_object();
    for (char **v = o->tmpfs; v && *v; v++) {
        const char *colon = strchr(*v, ':');
        scoped_free char *dir = colon ? xstrndup(*v, (size_t)(colon - *v)) : xstrdup(*v);
        json_object_set_new(tmpfs, dir, json_string(colon ? colon + 1 : ""));
    }
    json_object_set_new(j, "Tmpfs", tmpfs);
    set_text(j, "IpcMode", o->ipc, "private");
    set_text(j, "PidMode", o->pid, "private");
    set_text(j, "UTSMode", o->uts, "private");
    set_text(j, "CgroupnsMode", o->cgroupns, "private");
    json_object_set_new(j, "OomScoreAdj", json_integer(o->oom_score_adj));
    return j;
}
