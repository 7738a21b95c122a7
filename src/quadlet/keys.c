/* keys - every key of podman-systemd.unit(5) and what becomes of it. */
#include "quadlet/keys.h"

#define STARTUP "HealthStartPeriod= is a time in which failures do not count"
#define NO_MODULES "settings are in rootlet.conf(5) and ROOTLET_... of [Service] Environment="
#define SECRETS                                                                                    \
    "Volume=FILE:/run/secrets/NAME:ro mounts one, LoadCredential=NAME:FILE in [Service] hands "    \
    "one "                                                                                         \
    "over as a credential"
#define SUBIDS "UserNS= and UIDMap=, GIDMap= choose among the ids of /etc/subuid"
#define ARGS "words of the command line"
#define NAMES_SERVICE "the name of the service"

/* The keys that all kinds have. */
#define COMMON_KEYS                                                                                \
    {"ServiceName", KEY_CODE, NAMES_SERVICE}, {"PodmanArgs", KEY_CODE, ARGS},                      \
        {"RootletArgs", KEY_CODE, ARGS}, {"GlobalArgs", KEY_CODE, "words in front of the verb"},   \
    {                                                                                              \
        "ContainersConfModule", KEY_REFUSED, NO_MODULES                                            \
    }

#define ID_KEYS                                                                                    \
    {"UserNS", KEY_CODE, "--userns"}, {"UIDMap", KEY_CODE, "--uidmap"},                            \
        {"GIDMap", KEY_CODE, "--gidmap"}, {"SubUIDMap", KEY_REFUSED, SUBIDS},                      \
        {"SubGIDMap", KEY_REFUSED, SUBIDS},                                                        \
        {"RemapUsers", KEY_CODE, "--userns or --uidmap, --gidmap (old form of UserNS=)"},          \
        {"RemapUid", KEY_CODE, "as RemapUsers="}, {"RemapGid", KEY_CODE, "as RemapUsers="},        \
    {                                                                                              \
        "RemapUidSize", KEY_REFUSED, "UserNS=auto takes as many ids as the image needs"            \
    }

static const struct key container_keys[] = {
    {"AddCapability", KEY_WORDS, "--cap-add"},
    {"AddDevice", KEY_CODE, "--device"},
    {"AddHost", KEY_EACH, "--add-host"},
    {"Annotation", KEY_PAIRS, "--annotation"},
    {"AppArmor", KEY_STRING, "--security-opt=apparmor"},
    {"AutoUpdate", KEY_CODE, "--auto-update"},
    {"CgroupsMode", KEY_STRING, "--cgroups"},
    {"ContainerName", KEY_CODE, "--name"},
    {"DNS", KEY_EACH, "--dns"},
    {"DNSOption", KEY_EACH, "--dns-option"},
    {"DNSSearch", KEY_EACH, "--dns-search"},
    {"DropCapability", KEY_WORDS, "--cap-drop"},
    {"Entrypoint", KEY_CODE, "--entrypoint"},
    {"Environment", KEY_PAIRS, "--env"},
    {"EnvironmentFile", KEY_CODE, "--env-file"},
    {"EnvironmentHost", KEY_FLAG, "--env-host"},
    {"Exec", KEY_CODE, "the words behind the image"},
    {"ExposeHostPort", KEY_EACH, "--expose"},
    {"Group", KEY_CODE, "--user"},
    {"GroupAdd", KEY_EACH, "--group-add"},
    {"HealthCmd", KEY_STRING, "--health-cmd"},
    {"HealthInterval", KEY_STRING, "--health-interval"},
    {"HealthLogDestination", KEY_REFUSED, "rootlet inspect shows the last five results"},
    {"HealthMaxLogCount", KEY_REFUSED, "rootlet inspect shows the last five results"},
    {"HealthMaxLogSize", KEY_REFUSED, "rootlet inspect shows the last five results"},
    {"HealthOnFailure", KEY_STRING, "--health-on-failure"},
    {"HealthRetries", KEY_STRING, "--health-retries"},
    {"HealthStartPeriod", KEY_STRING, "--health-start-period"},
    {"HealthStartupCmd", KEY_STRING, "--health-startup-cmd", STARTUP},
    {"HealthStartupInterval", KEY_STRING, "--health-startup-interval", STARTUP},
    {"HealthStartupRetries", KEY_STRING, "--health-startup-retries", STARTUP},
    {"HealthStartupSuccess", KEY_STRING, "--health-startup-success", STARTUP},
    {"HealthStartupTimeout", KEY_STRING, "--health-startup-timeout", STARTUP},
    {"HealthTimeout", KEY_STRING, "--health-timeout"},
    {"HostName", KEY_STRING, "--hostname"},
    {"HttpProxy", KEY_CODE, "false is as it is; true: Environment=http_proxy=... hands one on"},
    {"IP", KEY_STRING, "--ip"},
    {"IP6", KEY_STRING, "--ip6"},
    {"Image", KEY_CODE, "the image"},
    {"Label", KEY_PAIRS, "--label"},
    {"LogDriver", KEY_STRING, "--log-driver"},
    {"LogOpt", KEY_WORDS, "--log-opt"},
    {"Mask", KEY_ARGS, "--security-opt=mask"},
    {"Memory", KEY_STRING, "--memory"},
    {"Mount", KEY_CODE, "--mount"},
    {"Network", KEY_CODE, "--network"},
    {"NetworkAlias", KEY_EACH, "--network-alias"},
    {"NoNewPrivileges", KEY_FIXED, "--security-opt=no-new-privileges"},
    {"Notify", KEY_CODE, "--sdnotify=container or healthy"},
    {"PidsLimit", KEY_STRING, "--pids-limit"},
    {"Pod", KEY_CODE, "--pod"},
    {"PublishPort", KEY_EACH, "--publish"},
    {"Pull", KEY_CODE, "--pull"},
    {"ReadOnly", KEY_FLAG, "--read-only"},
    {"ReadOnlyTmpfs", KEY_FLAG, "--read-only-tmpfs"},
    {"ReloadCmd", KEY_CODE, "ExecReload=rootlet exec ..."},
    {"ReloadSignal", KEY_CODE, "ExecReload=rootlet kill --signal=..."},
    {"Retry", KEY_STRING, "--retry"},
    {"RetryDelay", KEY_STRING, "--retry-delay"},
    {"Rootfs", KEY_CODE, "--rootfs"},
    {"RunInit", KEY_FLAG, "--init"},
    {"SeccompProfile", KEY_STRING, "--security-opt=seccomp"},
    {"Secret", KEY_REFUSED, SECRETS},
    {"SecurityLabelDisable", KEY_FIXED, "--security-opt=label=disable"},
    {"SecurityLabelFileType", KEY_STRING, "--security-opt=label=filetype:"},
    {"SecurityLabelLevel", KEY_STRING, "--security-opt=label=level:"},
    {"SecurityLabelNested", KEY_FIXED, "--security-opt=label=nested"},
    {"SecurityLabelType", KEY_STRING, "--security-opt=label=type:"},
    {"ShmSize", KEY_STRING, "--shm-size"},
    {"StartWithPod", KEY_CODE, "whether the pod's service wants this one"},
    {"StopSignal", KEY_STRING, "--stop-signal"},
    {"StopTimeout", KEY_CODE, "--stop-timeout"},
    {"Sysctl", KEY_WORDS, "--sysctl"},
    {"Timezone", KEY_STRING, "--tz"},
    {"Tmpfs", KEY_EACH, "--tmpfs"},
    {"Ulimit", KEY_EACH, "--ulimit"},
    {"Unmask", KEY_ARGS, "--security-opt=unmask"},
    {"User", KEY_CODE, "--user"},
    {"VolatileTmp", KEY_CODE, "--tmpfs=/tmp:... (old)"},
    {"Volume", KEY_CODE, "--volume"},
    {"WorkingDir", KEY_STRING, "--workdir"},
    ID_KEYS,
    COMMON_KEYS,
    {NULL},
};

static const struct key pod_keys[] = {
    {"AddHost", KEY_EACH, "--add-host"},
    {"DNS", KEY_EACH, "--dns"},
    {"DNSOption", KEY_EACH, "--dns-option"},
    {"DNSSearch", KEY_EACH, "--dns-search"},
    {"ExitPolicy", KEY_CODE, "--exit-policy (continue)"},
    {"HostName", KEY_STRING, "--hostname"},
    {"IP", KEY_STRING, "--ip"},
    {"IP6", KEY_STRING, "--ip6"},
    {"Label", KEY_PAIRS, "--label"},
    {"Network", KEY_CODE, "--network"},
    {"NetworkAlias", KEY_EACH, "--network-alias"},
    {"PodName", KEY_CODE, "--name"},
    {"PublishPort", KEY_EACH, "--publish"},
    {"ShmSize", KEY_STRING, "--shm-size"},
    {"StopTimeout", KEY_CODE, "--time of rootlet pod stop"},
    {"Volume", KEY_REFUSED, "give Volume= to the containers of the pod"},
    ID_KEYS,
    COMMON_KEYS,
    {NULL},
};

static const struct key volume_keys[] = {
    {"Copy", KEY_CODE, "true is as it is; false: nocopy behind Volume=NAME.volume:/DIR:"},
    {"Device", KEY_CODE, "--opt=device="},
    {"Driver", KEY_CODE, "--driver; local is the only one"},
    {"GID", KEY_REFUSED, "a volume belongs to the root of its first container"},
    {"Group", KEY_CODE, "--opt=o=gid="},
    {"Image", KEY_REFUSED, "Driver=image is not there; a container's files are its image's"},
    {"Label", KEY_PAIRS, "--label"},
    {"Options", KEY_CODE, "--opt=o="},
    {"Type", KEY_CODE, "--opt=type="},
    {"UID", KEY_REFUSED, "a volume belongs to the root of its first container"},
    {"User", KEY_CODE, "--opt=o=uid="},
    {"VolumeName", KEY_CODE, "the volume's name"},
    COMMON_KEYS,
    {NULL},
};

static const struct key network_keys[] = {
    {"DNS", KEY_EACH, "--dns"},
    {"DisableDNS", KEY_FLAG, "--disable-dns"},
    {"Driver", KEY_STRING, "--driver"},
    {"Gateway", KEY_CODE, "--gateway"},
    {"IPAMDriver", KEY_STRING, "--ipam-driver"},
    {"IPRange", KEY_CODE, "--ip-range"},
    {"IPv6", KEY_FLAG, "--ipv6"},
    {"InterfaceName", KEY_STRING, "--interface-name"},
    {"Internal", KEY_FLAG, "--internal"},
    {"Label", KEY_PAIRS, "--label"},
    {"NetworkDeleteOnStop", KEY_CODE, "ExecStopPost=rootlet network rm"},
    {"NetworkName", KEY_CODE, "the network's name"},
    {"Options", KEY_PAIRS, "--opt"},
    {"Subnet", KEY_CODE, "--subnet"},
    COMMON_KEYS,
    {NULL},
};

static const struct key image_keys[] = {
    {"AllTags", KEY_FLAG, "--all-tags"},
    {"Arch", KEY_STRING, "--arch"},
    {"AuthFile", KEY_STRING, "--authfile"},
    {"CertDir", KEY_STRING, "--cert-dir"},
    {"Creds", KEY_STRING, "--creds"},
    {"DecryptionKey", KEY_STRING, "--decryption-key"},
    {"Image", KEY_CODE, "the image"},
    {"ImageTag", KEY_CODE, "the name that other files mean by this one"},
    {"OS", KEY_STRING, "--os"},
    {"Policy", KEY_CODE, "whether an image that is here is enough (missing, the default)"},
    {"Retry", KEY_STRING, "--retry"},
    {"RetryDelay", KEY_STRING, "--retry-delay"},
    {"TLSVerify", KEY_FLAG, "--tls-verify"},
    {"Variant", KEY_STRING, "--variant"},
    COMMON_KEYS,
    {NULL},
};

static const struct key build_keys[] = {
    {"Annotation", KEY_PAIRS, "--annotation"},
    {"Arch", KEY_STRING, "--arch"},
    {"AuthFile", KEY_STRING, "--authfile"},
    {"BuildArg", KEY_PAIRS, "--build-arg"},
    {"DNS", KEY_EACH, "--dns"},
    {"DNSOption", KEY_EACH, "--dns-option"},
    {"DNSSearch", KEY_EACH, "--dns-search"},
    {"Environment", KEY_PAIRS, "--env"},
    {"File", KEY_CODE, "--file"},
    {"ForceRM", KEY_FLAG, "--force-rm"},
    {"GroupAdd", KEY_EACH, "--group-add"},
    {"IgnoreFile", KEY_STRING, "--ignorefile"},
    {"ImageTag", KEY_EACH, "--tag"},
    {"Label", KEY_PAIRS, "--label"},
    {"Network", KEY_CODE, "--network"},
    {"Pull", KEY_STRING, "--pull"},
    {"Retry", KEY_STRING, "--retry"},
    {"RetryDelay", KEY_STRING, "--retry-delay"},
    {"Secret", KEY_ARGS, "--secret"},
    {"SetWorkingDirectory", KEY_CODE, "WorkingDirectory= or the build's context"},
    {"TLSVerify", KEY_FLAG, "--tls-verify"},
    {"Target", KEY_STRING, "--target"},
    {"Variant", KEY_STRING, "--variant"},
    {"Volume", KEY_CODE, "--volume"},
    COMMON_KEYS,
    {NULL},
};

static const struct key none[] = {{NULL}};

const struct key *keys_of(enum quadlet_kind kind)
{
    static const struct key *const tables[QUADLET_N_KINDS] = {
        [QUADLET_CONTAINER] = container_keys,
        [QUADLET_VOLUME] = volume_keys,
        [QUADLET_NETWORK] = network_keys,
        [QUADLET_POD] = pod_keys,
        [QUADLET_IMAGE] = image_keys,
        [QUADLET_BUILD] = build_keys,
        [QUADLET_KUBE] = none,
        [QUADLET_ARTIFACT] = none,
    };
    return tables[kind];
}

bool quadlet_key(enum quadlet_kind kind, size_t i, struct quadlet_key_info *ret)
{
    const struct key *k = keys_of(kind);
    for (size_t n = 0; n < i && k->name; n++)
        k++;
    if (!k->name)
        return false;
    *ret = (struct quadlet_key_info){
        .name = k->name,
        .what = k->option,
        .state = k->how == KEY_REFUSED ? "no"
                 : k->later            ? "later"
                                       : "yes",
    };
    return true;
}
