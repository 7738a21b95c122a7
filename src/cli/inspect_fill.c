/* inspect_fill - keys that podman and docker have and scripts ask for, where we have nothing to say
 * beyond "none": so that a template finds them. */
#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"
#include "cli/inspect.h"

static const char top[] =
    "{\"ExecIDs\": [], \"Dependencies\": [], \"ProcessLabel\": \"\", \"Namespace\": \"\","
    " \"IsService\": false, \"ConmonPidFile\": \"\"}";
static const char state[] = "{\"CheckpointedAt\": \"0001-01-01T00:00:00Z\","
                            " \"RestoredAt\": \"0001-01-01T00:00:00Z\"}";
static const char network[] =
    "{\"EndpointID\": \"\", \"IPPrefixLen\": 0, \"IPv6Gateway\": \"\", \"GlobalIPv6PrefixLen\": 0,"
    " \"Bridge\": \"\", \"SandboxID\": \"\", \"HairpinMode\": false,"
    " \"LinkLocalIPv6Address\": \"\", \"LinkLocalIPv6PrefixLen\": 0}";
static const char config[] = "{\"StdinOnce\": false, \"Volumes\": null, \"OnBuild\": null,"
                             " \"Passwd\": true}";
static const char host[] =
    "{\"VolumeDriver\": \"\", \"Cgroup\": \"\", \"Links\": null, \"Runtime\": \"oci\","
    " \"ConsoleSize\": [0, 0], \"Isolation\": \"\", \"CpuRealtimePeriod\": 0,"
    " \"CpuRealtimeRuntime\": 0, \"DiskQuota\": 0, \"KernelMemory\": 0, \"MemorySwappiness\": 0,"
    " \"CpuCount\": 0, \"CpuPercent\": 0, \"IOMaximumIOps\": 0, \"IOMaximumBandwidth\": 0}";

static void fill(json_t *to, const char *text)
{
    scoped_json json_t *more = json_loads(text, 0, NULL);
    if (json_is_object(to))
        json_object_update_missing(to, more);
}

static json_t *text(const char *s)
{
    return json_string(s ? s : "");
}

void inspect_fill(const struct ctr_record *rec, json_t *j)
{
    json_t *h = json_object_get(j, "HostConfig"), *c = json_object_get(j, "Config");
    json_t *log = json_object_get(h, "LogConfig");
    const char *driver = rec->cgroups ? rec->cgroups : "", *size;
    size = strv_env_get(rec->log_opts, "max-size");
    json_object_set_new(j, "IsInfra", json_boolean(rec->pod_infra));
    json_object_set_new(j, "OCIRuntime", json_string("rootlet"));
    json_object_set_new(h, "CgroupManager", text(driver));
    json_object_set_new(h, "ContainerIDFile", text(rec->cidfile));
    json_object_set_new(h, "PublishAllPorts", json_boolean(rec->publish_all));
    json_object_set_new(c, "AttachStdout", json_true());
    json_object_set_new(c, "AttachStderr", json_boolean(!rec->tty));
    json_object_set(log, "Path", json_object_get(j, "LogPath"));
    json_object_set_new(log, "Tag", text(strv_env_get(rec->log_opts, "tag")));
    json_object_set_new(log, "Size", text(size ? size : "0B"));
    fill(j, top);
    fill(json_object_get(j, "State"), state);
    fill(json_object_get(j, "NetworkSettings"), network);
    fill(c, config);
    fill(h, host);
}
