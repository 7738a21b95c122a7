/* build - policy: from typed options, an image's configuration and the settings to a struct spec
 * and a container record. Only this module knows what the options mean; the engine only executes.
 *
 * Pure but for reading what the options name (env files, volumes from other containers). */
#pragma once

#include "cli/runopts.h"
#include "conf/conf.h"
#include "container/container.h"
#include "image/store.h"
#include "security/secopt.h"
#include "spec/spec.h"
#include "userns/userns.h"

struct build {
    const struct run_opts *o;
    const struct conf *conf;
    const struct image_config *image; /* NULL: --rootfs */
    char *const *words;               /* what stands behind IMAGE */
    char *const *root_dirs;           /* of the image's layers, topmost first; NULL: --rootfs */
    const struct userns_map *map;
    const json_t *limits;   /* linux.resources (build_limits.h) */
    struct spec *spec;      /* out */
    struct ctr_record *rec; /* out; id is set before */
    char *dir;              /* ROOT/containers/ID, owned */
    struct secopt sec;      /* parsed --security-opt */
    uint64_t caps;          /* capability mask of root inside */
    char *seccomp_profile;  /* owned: name or file of the profile; NULL: unconfined */
    bool seccomp_compile;   /* it must be compiled to seccomp.bpf when the container is made */
    char **env;             /* of the process, under construction */
    bool user_is_root;      /* as far as the text tells */
    int *locks;             /* of the volumes, until the record is on disk; owned */
    size_t n_locks;
    char **made_volumes; /* anonymous ones that are new: to be removed on failure */
};

/* Everything in order; on failure the caller releases spec and rec. */
int build_log(struct build *b, struct err *e); /* the driver, its options, --sdnotify */
int build_all(struct build *b, struct err *e);
/* The same from a file in OCI form (--spec), which was read before, as its limits are looked at
 * before anything else; words replace its process.args. */
int build_read_spec(const char *file, struct spec *ret, struct err *e);
int build_from_file(struct build *b, struct err *e);
/* HostConfig as inspect prints it, where no member of the record says it. A new reference. */
json_t *build_host_config(const struct run_opts *o);
/* Parts of build_life that update does too. text: of --restart; rm: the container goes at its end.
 * The health check in h is changed by those options that are given. */
int build_restart(const char *text, bool rm, struct ctr_record *rec, struct err *e);
bool build_health_given(const struct run_opts *o);
int build_health_options(const struct run_opts *o, struct ctr_health *h, struct err *e);
/* Puts b->limits into the spec. */
void build_put_limits(struct build *b);
/* Puts b->map into the spec; one map as OCI lines (replaces *ret). */
void build_maps(struct build *b);
void build_map_lines(const struct idmap *m, struct spec_id_map **ret, size_t *ret_n);
void build_release(struct build *b);
/* The anonymous volumes that are new go, with what b has; or they have their container. */
void build_forget_volumes(struct build *b);
void build_keep_volumes(struct build *b, const char *id);

/* The parts, one file each. */
int build_process(struct build *b, struct err *e); /* args, env, cwd, user, terminal, limits */
int build_mounts(struct build *b, struct err *e);  /* /dev, /proc..., tmpfs, read-only, init */
int build_volumes(struct build *b, struct err *e); /* -v, --mount, image VOLUMEs, --volumes-from */
int build_tmpfs_flag(struct build *b, const char *text, struct err *e); /* "DIR[:OPTIONS]" */
int build_life(struct build *b, struct err *e);     /* restart policy, health check */
int build_watch(struct build *b, struct err *e);    /* --on-pressure, --oomd */
int build_names(struct build *b, struct err *e);    /* namespaces, ids, host name */
int build_network(struct build *b, struct err *e);  /* --network, -p, --dns, --add-host... */
int build_security(struct build *b, struct err *e); /* capabilities, seccomp, masks */

/* The namespace of a container that runs (NULL in *ret_id: not touched); flag: for messages. */
int build_container_ns(struct build *b, const char *flag, const char *ref, const char *type,
                       char **ret_id, struct err *e);
/* --dns none: the image's resolv.conf stays. */
bool build_no_resolv(const struct run_opts *o);

/* Writes hosts, hostname, resolv.conf into the new container's directory. */
int build_files(const struct build *b, const char *dir, struct err *e);

/* "env" lists: -e NAME=VALUE, -e NAME (copied from here), files of such lines. */
int build_env_add(char ***env, const char *entry, struct err *e);
/* --env-merge NAME=VALUE: $NAME and ${NAME} in it are what env has. */
int build_env_merge(char ***env, const char *entry, struct err *e);
void build_env_proxies(char ***env); /* --http-proxy */
int build_env_file(char ***env, const char *path, struct err *e);
/* Lines KEY=VALUE or KEY of a label or environment file, comments and empty lines dropped. */
int build_read_lines(const char *path, char ***ret, struct err *e);
/* "--entrypoint" text: a JSON array of strings, or one word; empty: none. */
int build_entrypoint(const char *text, char ***ret, struct err *e);
