"""diff_rules - differences that are known, each with the reason why ours is right or harmless.

A rule is given the case, the difference and all results, and says whether it knows it."""

RULES = []


def rule(function):
    RULES.append(function)
    return function


def explain(case, difference, results):
    """The name of the first rule that knows the difference, or None."""
    for r in RULES:
        if r(case, difference, results):
            return r.__name__
    return None


def refusal(difference):
    """Our message, where we refuse and others run."""
    outcome, error = difference.ours if difference.what == "outcome" else (None, "")
    return error if outcome == "refused" else ""


def ran(difference):
    """Where we run what all others refuse."""
    return difference.what == "outcome" and difference.ours[0] in ("ran", "started")


def others_say(difference, *texts):
    return all(any(t in error for t in texts) for _, error in difference.theirs)


def linux(case, name):
    part = case.config.get("linux")
    return part.get(name) if isinstance(part, dict) else None


def process(case, name):
    part = case.config.get("process")
    return part.get(name) if isinstance(part, dict) else None


# --- what is told of a container -------------------------------------------------------------------

@rule
def version_of_state(case, difference, results):
    """The state complies with the version of the specification that the configuration names; others
    give a constant."""
    return difference.what.endswith("/ociVersion")


@rule
def root_of_state(case, difference, results):
    """The root's path as it is, absolute; no member of the specification's state."""
    return difference.what == "created/rootfs"


# --- file systems ----------------------------------------------------------------------------------

@rule
def masked_directory(case, difference, results):
    """A masked directory is empty, read-only and, with us, nobody's to write by its mode either."""
    ours = difference.ours
    if not isinstance(ours, list) or not difference.what.startswith("probe//"):
        return False
    return ours[:1] == [0o040555] or isinstance(ours[0], list) and ours[0][:1] == [0o040555] and ours[1:3] == [0, 21]


@rule
def mode_of_dev(case, difference, results):
    """A tmpfs on /dev without mode= is not everybody's to write."""
    if difference.what == "probe/mounts//dev":
        return "mode=755" in str(difference.ours)
    return difference.what == "probe///dev" and difference.ours[:1] == [0o040755]


@rule
def mode_of_tmpfs(case, difference, results):
    """A tmpfs without mode= takes that of the directory below it, as with runc when there are no options
    at all."""
    if not difference.what.startswith("probe/mounts/") or not isinstance(difference.ours, list):
        return False

    def without(stack):
        return [[*m[:5], ",".join(w for w in m[5].split(",") if not w.startswith("mode="))] if len(m) > 5 else m for m in stack or []]
    return any(without(difference.ours) == without(t) for t in difference.theirs)


@rule
def no_relative_times(case, difference, results):
    """Not relatime is strictatime; others take the word's flag away, and the kernel puts it back."""
    if not difference.what.startswith("probe/mounts/") or not isinstance(difference.ours, list):
        return False

    def without(stack):
        return [[*m[:3], ",".join(w for w in m[3].split(",") if w != "relatime"), *m[4:]] if len(m) > 5 else m for m in stack or []]
    given = [o for m in case.config.get("mounts") or [] if isinstance(m, dict) for o in m.get("options") or []]
    return any(o in given for o in ("norelatime", "nostrictatime", "rnorelatime")) and \
        any(without(difference.ours) == without(t) for t in difference.theirs)


@rule
def home_of_nobody(case, difference, results):
    """A user whom /etc/passwd does not know is at home in "/", not nowhere."""
    if difference.what != "probe/env" or "HOME=/" not in difference.ours:
        return False

    def rest(env):
        return [e for e in env or [] if not e.startswith("HOME=")]
    return all(rest(difference.ours) == rest(t) for t in difference.theirs)


@rule
def kernel_core(case, difference, results):
    """/dev/core leads to /proc/kcore, as with runc; crun has no such link."""
    return difference.what == "probe//dev/core" and difference.ours == "/proc/kcore"


@rule
def read_only_by_mount(case, difference, results):
    """sysfs and its like are one file system for the whole network namespace: what is read-only is
    the mount, not the file system below it (runc and crun change that as well)."""
    if not difference.what.startswith("probe/mounts/") or not isinstance(difference.ours, list):
        return False

    def without(stack):
        return [[*m[:5], ",".join(sorted(set(m[5].split(",")) - {"ro", "rw"}))] if len(m) > 5 else m for m in stack or []]
    return any(without(difference.ours) == without(t) for t in difference.theirs)


@rule
def queues_of_nobody(case, difference, results):
    """The kernel gives /dev/mqueue to who made the ipc namespace; we make all namespaces in one step,
    before anybody is root of the new one. Its mode lets everybody in."""
    return difference.what == "probe//dev/mqueue" and difference.ours[0] == 0o041777


# --- we refuse ------------------------------------------------------------------------------------

@rule
def mappings_without_namespace(case, difference, results):
    """Whoever writes mappings means a user namespace: running without one would give more rights
    than was thought."""
    return 'Mappings: needs a "user" entry' in refusal(difference)


@rule
def masked_path_not_absolute(case, difference, results):
    """config-linux.md: the values MUST be absolute paths. A path that hides nothing is no protection."""
    return "Paths[" in refusal(difference) and "want an absolute path" in refusal(difference)


@rule
def cgroup_path_with_dots(case, difference, results):
    """".." is never what was meant, and other runtimes cut it off in their own ways."""
    return "linux.cgroupsPath" in refusal(difference) and '".." is not allowed' in refusal(difference)


@rule
def hook_timeout(case, difference, results):
    """config.md: a timeout must be greater than zero."""
    return "timeout: want more than 0" in refusal(difference)


@rule
def value_of_another_type(case, difference, results):
    """Types and ranges are those of the specification's schema; programs in Go, and crun, read some
    others (null, an empty string, a missing member) as if the member was not there."""
    return "config.json: " in refusal(difference) and any(w in case.what for w in ("wrong_type", "missing", "unknown_member"))


@rule
def other_version(case, difference, results):
    """config.md: a version that is not supported MUST be an error; others do not look at it."""
    return "ociVersion: want" in refusal(difference)


@rule
def umask_range(case, difference, results):
    """A mask has nine bits."""
    return "process.user.umask: want a number from 0 to 511" in refusal(difference)


@rule
def annotation_without_name(case, difference, results):
    """config.md: keys MUST NOT be an empty string."""
    return "annotations: an empty name" in refusal(difference)


@rule
def no_resource_director(case, difference, results):
    """linux.intelRdt on a host that has none is refused; others leave it out without a word."""
    return "linux.intelRdt" in refusal(difference)


@rule
def unknown_clock(case, difference, results):
    """config-linux.md has two clocks; others write what they know and leave out the rest."""
    return "linux.timeOffsets" in refusal(difference)


# --- others refuse ---------------------------------------------------------------------------------

@rule
def no_mounts(case, difference, results):
    """config.md: mounts are optional. Others need /proc, or a member that is not empty."""
    return ran(difference) and not any(isinstance(m, dict) and m.get("destination") == "/proc" for m in case.config.get("mounts") or [])


@rule
def capabilities_that_cannot_be(case, difference, results):
    """config.md: what cannot be granted SHOULD NOT fail and MUST be logged as a warning."""
    return ran(difference) and "warning: process.capabilities" in difference.ours[1] and \
        others_say(difference, "capset", "apply caps", "ambient")


@rule
def time_namespace(case, difference, results):
    """runc 1.1 does not know it, crun 1.8 ends itself over an offset that it does not know."""
    spaces = linux(case, "namespaces") or []
    return ran(difference) and any(isinstance(n, dict) and n.get("type") == "time" for n in spaces)


@rule
def directory_behind_link(case, difference, results):
    """The working directory is made where it is missing, below the root, also behind a link."""
    return ran(difference) and process(case, "cwd") == "/dangling"


@rule
def agent_without_use(case, difference, results):
    """listenerPath counts when an action is SCMP_ACT_NOTIFY; the generator has none."""
    return ran(difference) and "listenerPath" in (linux(case, "seccomp") or {})


@rule
def hosts_own_queues(case, difference, results):
    """Without an ipc namespace a user cannot mount mqueue: the host's, which the container shares, is
    bound."""
    spaces = linux(case, "namespaces") or []
    return ran(difference) and {"type": "ipc"} not in spaces and others_say(difference, "mqueue")


@rule
def no_confinement_asked_for(case, difference, results):
    """"unconfined" is what a process is without AppArmor."""
    return ran(difference) and process(case, "apparmorProfile") == "unconfined"


@rule
def others_have_reasons_of_their_own(case, difference, results):
    """With several changes each of the others may refuse another one; cases with one change tell."""
    return ran(difference) and len(case.what) > 1


@rule
def no_process(case, difference, results):
    """config.md: process is required when start is called, not before."""
    return difference.what == "outcome" and difference.ours[0] == "created only" and not case.config.get("process")


@rule
def pipes_of_a_user(case, difference, results):
    """Everybody may make a fifo; others bind what the host has of that name."""
    return ran(difference) and any(isinstance(d, dict) and d.get("type") == "p" for d in linux(case, "devices") or [])


@rule
def names_of_a_user(case, difference, results):
    """A user may not write these files of /proc/sys, but set the names by the system calls."""
    return ran(difference) and bool({"kernel.domainname", "kernel.hostname"} & set(linux(case, "sysctl") or {})) and \
        others_say(difference, "/proc/sys/kernel/")


@rule
def oom_score_lowered(case, difference, results):
    """A score that this host's root may not set, without CAP_SYS_RESOURCE, stays what it is."""
    score = process(case, "oomScoreAdj")
    return ran(difference) and isinstance(score, int) and others_say(difference, "oom_score_adj", "getting the final", "final child")


@rule
def terminal_without_terminal(case, difference, results):
    """"run" with a terminal for the container but none of its own passes on what the container
    writes; others want to be in a terminal."""
    return ran(difference) and process(case, "terminal") is True and others_say(difference, "tcgetattr", "/dev/tty", "provided")


# --- more of the specification ---------------------------------------------------------------------

@rule
def empty_domainname(case, difference, results):
    """An empty domain name is set; others leave the kernel's "(none)"."""
    return difference.what == "probe/domainname" and case.config.get("domainname") == ""


@rule
def empty_hostname(case, difference, results):
    """An empty host name is set; others leave the host's."""
    return difference.what == "probe/hostname" and case.config.get("hostname") == ""


# Of version 1.1 of the specification and later: crun 1.8 and runc 1.1 do not look at them.
LATER = {"scheduler": "probe/scheduler", "ioPriority": "probe/ioprio"}


@rule
def later_members(case, difference, results):
    """What newer versions of the specification have is done, and its errors are found."""
    for name, seen in LATER.items():
        if process(case, name) is not None and (difference.what == seen or f"process.{name}" in refusal(difference)):
            return True
    return "linux.personality.flags" in refusal(difference)


@rule
def own_default_mappings(case, difference, results):
    """A user namespace without mappings gets the caller's subordinate ids, not one id of the host."""
    spaces = linux(case, "namespaces") or []
    return {"type": "user"} in spaces and not (linux(case, "uidMappings") and linux(case, "gidMappings"))


@rule
def member_missing(case, difference, results):
    """A member that the specification requires is wanted; programs in Go read its absence as 0."""
    return refusal(difference).rstrip().endswith(": missing")
