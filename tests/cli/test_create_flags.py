"""Options of run and create that docker and podman have: what they do here, or why they are refused."""
import json
import os
import re

import pytest

from lib import rows

PODMAN = """arch authfile chrootdirs conmon-pidfile cpu-rt-period cpu-rt-runtime device-cgroup-rule env-merge gpus
hostuser http-proxy image-volume init-path ip ip6 mac-address memory-swappiness network-alias no-hosts oom-kill-disable
os passwd passwd-entry personality pod-id-file requires rmi seccomp-policy secret subgidname subuidname systemd
tls-verify unsetenv-all variant disable-content-trust add-host annotation attach blkio-weight blkio-weight-device
cap-add cap-drop cgroup-conf cgroup-parent cgroupns cgroups cidfile cpu-period cpu-quota cpu-shares cpus cpuset-cpus
cpuset-mems detach-keys device device-read-bps device-read-iops device-write-bps device-write-iops dns dns-option
dns-search entrypoint env env-file env-host expose gidmap group-add group-entry health-cmd health-interval
health-on-failure health-retries health-start-period health-startup-cmd health-startup-interval health-startup-retries
health-startup-success health-startup-timeout health-timeout hostname init interactive ipc label label-file log-driver
log-opt memory memory-reservation memory-swap mount name network no-healthcheck oom-score-adj pid pidfile pids-limit
platform pod preserve-fds privileged publish publish-all pull quiet read-only read-only-tmpfs replace restart rm rootfs
sdnotify security-opt shm-size sig-proxy stop-signal stop-timeout sysctl timeout tmpfs tty tz uidmap ulimit umask
unsetenv user userns uts volume volumes-from workdir""".split()
DOCKER = """cpu-count cpu-percent io-maxbandwidth io-maxiops isolation kernel-memory link link-local-ip runtime storage-opt
use-api-socket volume-driver domainname ip publish-all stop-timeout sig-proxy disable-content-trust""".split()


def test_every_option_of_podman_and_docker_is_known(rootlet):
    """None is an unknown word: it works, or it is refused with a reason."""
    dump = rootlet.ok("help", "--dump").out
    unknown = [o for o in sorted({*PODMAN, *DOCKER} - {"group-entry"})
               if "unknown flag" in rootlet("run", f"--{o}").err]
    assert not unknown and dump
    for option in ("isolation", "secret", "rmi", "storage-opt=size=1g", "hostuser"):
        r = rootlet.fails("create", f"--{option}", "nosuchimage", match=f"^Error: --{option.split('=')[0]}")
        assert "hint:" in r.err or "Windows" in r.err, r
        assert "unknown" not in r.err


@rows("A58")
def test_create_does_all_but_start(rootlet):
    """The words of the mission, flags before the image; the root file system can be mounted and nothing runs."""
    cid = rootlet.user.tmp / "cid"
    made = rootlet.ok("create", "--name", "w", "--cidfile", cid, "-l", "a=b", rootlet.image(), "sh", "-c", "echo hi; exit 3")
    assert made.out == cid.read_text().strip() + "\n" and re.fullmatch(r"[0-9a-f]{64}\n", made.out)
    assert rootlet.inspect("w")["State"]["Status"] == "created" and not rootlet.user.processes()
    r = rootlet("start", "-a", "w", rc=3)
    assert r.out == "hi\n"
    before = set(os.listdir(rootlet.store.root / "containers"))
    rootlet.fails("create", "--cidfile", cid, rootlet.image(), "true", match="--cidfile .*exists")
    rootlet.fails("create", "--name", "w", rootlet.image(), "true", match='the name "w" is already in use by container')
    rootlet.fails("create", "--name", "a/b", rootlet.image(), "true", match='name "a/b" is not valid')
    rootlet.fails("run", "--rm", "--name", "w", rootlet.image(), "true", match="already in use")
    assert set(os.listdir(rootlet.store.root / "containers")) == before
    assert rootlet.ok("run", "--rm", "--replace", "--name", "w", rootlet.image(), "echo", "new").text == "new"
    cid.unlink()


def test_attach_combinations(rootlet):
    box = rootlet.image()
    script = ["sh", "-c", "cat; echo out; echo err >&2; exit 4"]
    for flags, out, err in ((["-a", "stdout"], "out\n", ""), (["-a", "stderr"], "", "err\n"),
                            (["-a", "stdout,stderr"], "out\n", "err\n"),
                            (["-i", "-a", "stdin", "-a", "stdout"], "in\nout\n", "")):
        r = rootlet("run", "--rm", *flags, box, *script, input="in\n", rc=4)
        assert (r.out, r.err) == (out, err), flags
    rootlet.fails("run", "-a", "stdlog", box, "true", match="not stdin, stdout or stderr")
    rootlet.fails("run", "-d", "-a", "stdout", box, "true", match="exclude each other")
    # Detached and --rm: its code is there until it is asked for.
    rootlet.ok("run", "-d", "--rm", "--name", "c", "-i", box, "sh", "-c", "read x; exit 5")
    p = rootlet.spawn("attach", "c")
    assert (p.communicate("x\n", timeout=20)[0], p.returncode) == ("", 5)
    assert rootlet.ok("ps", "-aq").out == ""


def test_environment_of_the_image(rootlet):
    box = rootlet.image()
    env = lambda *f, **kw: rootlet.ok("run", "--rm", *f, box, "env", **kw).out.splitlines()  # noqa: E731
    assert "FROM_IMAGE=yes" in env()
    assert "FROM_IMAGE=yes" not in env("--unsetenv-all")
    found = env("--env-merge", "FROM_IMAGE=a-${FROM_IMAGE}-$FROM_IMAGE.b", "--env-merge", "X=$$1 $NONE${NONE}$")
    assert "FROM_IMAGE=a-yes-yes.b" in found and "X=$1 $" in found
    assert "A=2" in env("--env-merge", "A=1", "-e", "A=2")
    proxies = {"http_proxy": "http://p:1", "NO_PROXY": "a,b", "OTHER": "x"}
    assert not [x for x in env(env=proxies) if "proxy" in x.lower()]
    found = env("--http-proxy", env=proxies)
    assert {"http_proxy=http://p:1", "NO_PROXY=a,b"} <= set(found) and "OTHER=x" not in found
    rootlet.fails("run", "--env-merge", "=x", box, "true", match="--env-merge =x: not NAME=VALUE")


def test_hosts_of_the_image(rootlet):
    box = rootlet.image()
    assert "localhost" in rootlet.ok("run", "--rm", box, "cat", "/etc/hosts").out
    assert "localhost" not in rootlet("run", "--rm", "--no-hosts", box, "cat", "/etc/hosts").out
    rootlet.fails("run", "--no-hosts", "--add-host", "a:1.2.3.4", box, "true", match="exclude each other")


def test_platform_by_parts(rootlet):
    box = rootlet.image()
    arch = json.loads(rootlet.ok("image", "inspect", box).out)[0]["Architecture"]
    assert rootlet.ok("run", "--rm", "--os", "linux", "--arch", arch, box, "echo", "x").text == "x"
    rootlet.fails("run", "--rm", "--arch", "vax", box, "true", match="the image is for linux/")
    rootlet.fails("run", "--rm", "--os", "linux", "--platform", "linux", box, "true", match="--platform excludes")


@rows("A7")
def test_what_a_container_requires(rootlet):
    """It is started first, also by restart and start; what it requires has gone: an error that names it."""
    box = rootlet.image()
    rootlet.ok("create", "--name", "db", box, "sleep", "60")
    rootlet.ok("create", "--name", "cache", "--requires", "db", box, "sleep", "60")
    rootlet.fails("create", "--requires", "nosuch", box, "true", match="--requires: no such container")
    rootlet.ok("run", "-d", "--name", "web", "--requires", "db,cache", box, "sleep", "60")
    up = lambda: sorted(rootlet.ok("ps", "--format", "{{.Names}}").out.split())  # noqa: E731
    assert up() == ["cache", "db", "web"]
    rootlet.ok("kill", "--all")
    rootlet.ok("wait", "db", "cache", "web")
    assert rootlet.ok("start", "web").out == "web\n" and up() == ["cache", "db", "web"]
    rootlet.ok("stop", "-t", "0", "cache")
    rootlet.ok("restart", "-t", "0", "web")
    assert up() == ["cache", "db", "web"]
    rootlet.ok("rm", "-f", "db")
    rootlet.ok("stop", "-t", "0", "web")
    r = rootlet.fails("start", "web", match="start web: it requires container")
    assert "no such container" in r.err
    assert rootlet.ok("rm", "-f", "--depend", "cache").out.split()[1:] == ["cache"]


def test_keep_groups_and_owned_volumes(rootlet):
    """keep-groups: the caller's own, which no id inside names; U: the directory is given to the container's user."""
    box = rootlet.image()
    rootlet.ok("run", "--rm", "--group-add", "keep-groups", box, "id")
    r = rootlet("run", "--rm", "-v", "vol:/v:U", "-u", "app", box, "sh", "-c", "touch /v/f && stat -c %u /v/f")
    assert (r.rc, r.text) == (0, "1000") or (r.rc == 125 and '"U"' in r.err), r
    rootlet("volume", "rm", "vol")


def test_signals_are_proxied_or_not(rootlet):
    script = "trap 'echo int; exit 6' INT; echo ready; while :; do sleep 0.02; done"
    p = rootlet.spawn("run", "--rm", "--name", "c", rootlet.image(), "sh", "-c", script)
    assert p.stdout.readline() == "ready\n"
    p.send_signal(2)
    assert (p.communicate(timeout=20)[0], p.returncode) == ("int\n", 6)
    p = rootlet.spawn("run", "--name", "c", "--sig-proxy=false", rootlet.image(), "sh", "-c", script)
    assert p.stdout.readline() == "ready\n"
    p.terminate()
    assert p.wait(20) == -15, "it is ours alone"
    assert rootlet.inspect("c")["State"]["Running"]


@pytest.mark.parametrize("keys", ["ctrl-nonsense", "ä", "ctrl-p ctrl-q"])
def test_detach_keys_are_checked_before_anything_is_made(rootlet, keys):
    for verb in ("run", "attach", "exec", "start"):
        r = rootlet.fails(verb, *(["-a"] if verb == "start" else []), "--detach-keys", keys, rootlet.image(), "true"
                          if verb in ("run", "exec") else "--", match="is not a key")
        assert "hint: keys are" in r.err
    assert rootlet.ok("ps", "-aq").out == ""
