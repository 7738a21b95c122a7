"""create and run: what a configuration becomes, and what is left when it cannot be."""
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from lib import rows, runner

WAIT = "echo up; while :; do sleep 0.05; done"


@rows("A10", "B48")
def test_sections_have_effects(oci):
    def edit(c):
        c["process"].update(cwd="/tmp", user={"uid": 5, "gid": 6, "additionalGids": [7]})
        c["process"]["env"].append("COLOUR=blue")
        c["hostname"] = "elsewhere"
        c["root"]["readonly"] = True
        c["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "t"})
    r = oci.run("id -u; id -G; pwd; hostname; echo $COLOUR; touch /x 2>/dev/null || echo ro", edit, rc=0)
    assert r.out.split("\n") == ["5", "6 7", "/tmp", "elsewhere", "blue", "ro", ""]


@rows("B49")
@pytest.mark.parametrize("text,message", [
    ("{", "config.json"),
    ('{"ociVersion": 1}', "ociVersion"),
    ('{"ociVersion": "1.0.2", "process": {"args": "x"}}', "process"),
    (None, "No such file"),
])
def test_bad_configurations(rootless, text, message):
    bundle = rootless.bundle(["true"])
    path = bundle / "config.json"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    rootless.fails("create", "-b", bundle, "x", match=message)
    assert not (rootless.root / "x").exists()


@rows("B49")
def test_the_path_of_what_is_wrong(rootless):
    def edit(c):
        c["linux"]["namespaces"].append({"type": "magic"})
    bundle = rootless.bundle(["true"], edit)
    rootless.fails("create", "-b", bundle, "x", match="linux.namespaces[6]")


def test_configuration_is_limited(rootless):
    bundle = rootless.bundle(["true"], lambda c: c.update(annotations={"a": "x" * (4 << 20)}))
    rootless.fails("create", "-b", bundle, "x", match="config.json")
    bundle = rootless.bundle(["true"], lambda c: c.update(annotations={"a": "x" * (3 << 20)}))
    name = rootless.name()
    rootless.ok("create", "-b", bundle, name)
    assert len(rootless.state(name)["annotations"]["a"]) == 3 << 20


def test_configuration_is_kept_as_it_was(oci):
    """What happens to the bundle after create is of no account."""
    bundle = oci.bundle("echo first")
    name = oci.name()
    r = oci.ok("create", "-b", bundle, name)
    c = oci.config(bundle)
    c["process"]["args"] = ["sh", "-c", "echo second"]
    oci.write(bundle, c)
    oci.ok("start", name)
    oci.wait_for(name, "stopped")
    assert r.later() == "first\n"


def test_command_that_is_not_there(oci):
    r = oci.run(["/bin/nothing"])
    assert r.rc in (1, 127) and "no such file or directory" in r.err.lower(), r
    r = oci.run(["nothing"])
    assert r.rc in (1, 127) and "executable file not found in $PATH" in r.err, r
    assert not oci.left()


def test_root_that_is_not_there(oci):
    r = oci.run(["true"], lambda c: c["root"].update(path="nowhere"), rc=1)
    assert "nowhere" in r.err
    assert not oci.left()


def test_failed_pid_file_leaves_nothing(oci):
    bundle = oci.bundle(WAIT)
    name = oci.name()
    oci.fails("create", "-b", bundle, "--pid-file", "/nowhere/pid", name, match="pid-file")
    assert not (oci.root / name).exists()
    oci.ok("create", "-b", bundle, name)


# --- killed at any point ---

def test_create_killed_at_any_point(oci):
    """Whatever it has come to: list works, delete --force cleans, the id can be used again."""
    if oci.mode not in ("rootless", "cgroup2"):
        pytest.skip("rootless and cgroup2 have all that can be left")
    bundle = oci.bundle(["sleep", "1000"])
    p = oci.spawn("create", "-b", bundle, oci.name())
    begin = time.monotonic()
    assert p.wait(60) == 0, p.communicate()
    whole = time.monotonic() - begin
    name, seen, i = oci.name(), set(), -1
    while "created" not in seen or i < 20:
        i += 1
        assert i < 200, f"no create of {i} came to its end: {seen}"
        p = oci.spawn("create", "-b", bundle, name, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        time.sleep(whole * i / 20)
        p.kill()
        created = p.wait() == 0
        rows_ = [r for r in oci.ok("list", "-f", "json").json() if r["id"] == name]
        status = rows_[0]["status"] if rows_ else "absent"
        seen.add(status)
        if created:
            assert status == "created"
        # A moment after its making came to an end, the init may still be on its way out.
        if status in ("creating", "created") and not created:
            runner.wait_for(lambda: oci.status(name) in ("stopped", "created"))
        oci.ok("delete", "--force", name)
        assert not (oci.root / name).exists()
    assert len(seen) > 1, seen
    oci.ok("run", "-b", oci.bundle(["true"]), name)


def test_half_made_directory(rootless):
    """What a kill in the middle leaves: stopped, deleted without --force."""
    rootless.ok("list")
    name = rootless.name()
    if rootless.user.made:
        rootless.ok("run", "-b", rootless.bundle(["true"]), rootless.name())
    path = rootless.root / name
    path.mkdir(mode=0o700, parents=True)
    if rootless.user.made:
        os.chown(path, rootless.user.uid, rootless.user.gid)
    assert rootless.status(name) == "stopped"
    rootless.fails("create", "-b", rootless.bundle(["true"]), name, match="exists")
    rootless.fails("start", name, match="has stopped")
    rootless.ok("delete", name)


def test_foreign_things_in_the_root(rootless):
    rootless.ok("run", "-b", rootless.bundle(["true"]), rootless.name())
    (rootless.root / "file").write_text("x")
    (rootless.root / "link").symlink_to("/")
    rootless.ok("list")
    rootless.fails("state", "link")
    rootless.fails("delete", "-f", "link")
    assert (rootless.root / "link").is_symlink()
    (rootless.root / "file").unlink()
    (rootless.root / "link").unlink()


# --- descriptors ---

def test_preserve_fds(oci):
    (oci.dir / "three").write_text("hello\n")
    bundle = oci.bundle("cat <&3; ls /proc/self/fd")
    r = oci("run", "-b", bundle, "--preserve-fds", "1", oci.name(), rc=0,
            redirect=f"3<{oci.dir}/three 4<{oci.dir}/three")
    # 3 again as what ls has opened itself
    assert r.out.split() == ["hello", "0", "1", "2", "3", "4"]
    r = oci("run", "-b", bundle, "--preserve-fds", "2", oci.name(), rc=0,
            redirect=f"3<{oci.dir}/three 4<{oci.dir}/three")
    assert r.out.split() == ["hello", "0", "1", "2", "3", "4", "5"]


def test_preserve_fds_that_are_not_there(rootless):
    bundle = rootless.bundle(["true"])
    rootless.fails("create", "-b", bundle, "--preserve-fds", "5", "x", match="descriptor 3 is not open")
    rootless.fails("create", "-b", bundle, "--preserve-fds", "-1", "x", match="preserve-fds")
    assert not (rootless.root / "x").exists()


def test_no_descriptor_leaks(oci):
    r = oci.run("ls /proc/self/fd | wc -l; ls -l /proc/1/fd", lambda c: None, rc=0)
    names = [line for line in r.out.splitlines()[1:] if "->" in line]
    assert len(names) == 3, r


def test_listen_fds(oci):
    """sd_listen_fds(3): the sockets come first, the count and pid 1 are in the environment."""
    bundle = oci.bundle("echo $LISTEN_FDS $LISTEN_PID; cat <&3")
    (oci.dir / "three").write_text("hello\n")
    redirect = f"3<{oci.dir}/three"
    r = oci("run", "-b", bundle, oci.name(), rc=0, redirect=redirect, env={"LISTEN_FDS": "1"})
    assert r.out == "1 1\nhello\n"
    r = oci("run", "-b", bundle, oci.name(), redirect=redirect,
            env={"LISTEN_FDS": "1", "LISTEN_PID": "1"})
    assert r.out == "\n" and r.rc, "those of another process"
    oci.fails("run", "-b", bundle, "x", env={"LISTEN_FDS": "many"}, match="LISTEN_FDS")
    oci.fails("run", "-b", bundle, "x", env={"LISTEN_FDS": "1"}, match="descriptor 3 is not open")


# --- a user namespace of its own ---

@rows("A10")
def test_makes_a_user_namespace(rootless):
    r = rootless.run("cat /proc/self/uid_map; id -u", rc=0)
    first = r.out.split()[:3]
    assert first == ["0", str(rootless.user.uid), "1"]
    assert r.out.split()[-1] == "0"


def test_rootless_option_as_root(rootful):
    r = rootful("--rootless=true", "run", "-b", rootful.bundle("cat /proc/self/uid_map"),
                rootful.name(), rc=0)
    assert r.out.split()[1] != "0", "container root is root of the host"
    r = rootful("--rootless=false", "run", "-b", rootful.bundle("cat /proc/self/uid_map"),
                rootful.name(), rc=0)
    assert r.out.split()[1] == "0"


def test_user_namespace_without_maps(rootless):
    """rootlet-oci spec --rootless leaves the maps to who runs it."""
    r = rootless.run("cat /proc/self/uid_map",
                     lambda c: c["linux"]["namespaces"].append({"type": "user"}), rc=0)
    assert r.out.split()[:2] == ["0", str(rootless.user.uid)]


def test_capabilities_that_cannot_be_given(rootless):
    """The specification: a warning, no failure."""
    r = rootless.run("grep CapAmb /proc/self/status",
                     lambda c: c["process"]["capabilities"].update(ambient=["CAP_KILL"]), rc=0)
    assert "CapAmb:\t0000000000000000" in r.out
    assert "warning" in r.err and "CAP_KILL" in r.err


# --- hooks ---

def hook(script):
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}


@rows("A10")
def test_hooks_in_order(oci):
    """All six points, with the state on stdin, by create, start and delete."""
    log = oci.dir / "hooks"
    log.write_text("")
    log.chmod(0o666)

    def edit(c):
        write = 'printf "%s %s\\n" {} "$(cat)" >> ' + str(log)
        c["hooks"] = {p: [hook(write.format(p))] for p in
                      ("prestart", "createRuntime", "poststart", "poststop")}
        c["annotations"] = {"k": "v"}
    name = oci.create(WAIT, edit)

    def points():
        return [line.split()[0] for line in log.read_text().splitlines()]
    assert points() == ["prestart", "createRuntime"]
    oci.ok("start", name)
    assert points()[2:] == ["poststart"]
    pid = oci.state(name)["pid"]
    oci.ok("delete", "-f", name)
    assert points()[3:] == ["poststop"]
    states = [json.loads(line.partition(" ")[2]) for line in log.read_text().splitlines()]
    assert [s["status"] for s in states] == ["created", "creating", "running", "stopped"]
    assert all(s["id"] == name and s["annotations"] == {"k": "v"} for s in states)
    assert [s["pid"] for s in states[:3]] == [pid] * 3


@pytest.mark.parametrize("point", ["prestart", "createRuntime", "createContainer"])
def test_failed_hook_ends_create(oci, point):
    log = oci.dir / "stopped"

    def edit(c):
        c["hooks"] = {point: [{"path": "/bin/false"}], "poststop": [hook(f"touch {log}")]}
        if point == "createContainer":
            c["hooks"][point] = [{"path": "/usr/bin/false"}]
    name = oci.name()
    r = oci("create", "-b", oci.bundle(["true"], edit), name)
    assert r.rc == 1 and point in r.err, r
    assert not (oci.root / name).exists()
    assert log.exists(), "poststop hooks have not run"


def test_poststop_after_run(oci):
    log = oci.dir / "stopped"
    oci.run("exit 3", lambda c: c.update(hooks={"poststop": [hook(f"touch {log}")]}), rc=3)
    assert log.exists()


def test_poststop_once_with_keep(oci):
    log = oci.dir / "stopped"
    name = oci.name()
    bundle = oci.bundle("exit 3", lambda c: c.update(hooks={"poststop": [hook(f"echo x >> {log}")]}))
    oci("run", "--keep", "-b", bundle, name, rc=3)
    assert not log.exists()
    oci.ok("delete", name)
    assert log.read_text() == "x\n"


def test_hook_sees_itself_being_created(rootless):
    """A hook may ask for the state; the container is locked at that time."""
    log = rootless.dir / "seen"
    ask = f"{rootless.program} --root {rootless.root} list -f json > {log}"
    name = rootless.create(["true"], lambda c: c.update(hooks={"createRuntime": [hook(ask)]}))
    assert json.loads(log.read_text())[0]["status"] == "creating"
    assert rootless.status(name) == "created"


# --- seccomp ---

@rows("B35")
def test_seccomp_section(oci):
    def edit(c):
        c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}
    r = oci.run("busybox mkdir /tmp/x; grep Seccomp: /proc/self/status", edit, rc=0)
    assert "Function not implemented" in r.err and "Seccomp:\t2" in r.out


def test_seccomp_section_that_is_wrong(rootless):
    def edit(c):
        c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_DANCE"}
    r = rootless.run(["true"], edit, rc=1)
    assert "seccomp" in r.err
    assert not rootless.left()


def deny(names, number):
    def edit(c):
        c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": number}]}
    return edit


@rows("B35")
def test_seccomp_filters_are_kept(rootless):
    """The second container of a profile has the first one's program; another profile has its own;
    an entry that is not for this profile to the byte is not used."""
    cache = rootless.root / "=seccomp"
    script = "busybox mkdir /tmp/x; busybox sync && echo synced"
    for _ in range(2):
        r = rootless.run(script, deny(["mkdir"], 38), rc=0)
        assert "Function not implemented" in r.err and r.out == "synced\n"
    assert len(os.listdir(cache)) == 1
    r = rootless.run(script, deny(["mkdir"], 28), rc=0)
    assert "No space left" in r.err
    entries = os.listdir(cache)
    assert len(entries) == 2
    for name in entries:
        (cache / name / "key").write_text((cache / name / "key").read_text() + " ")
    first = rootless.run(script, deny(["mkdir"], 38), rc=0)
    assert "Function not implemented" in first.err
    assert rootless.ok("list", "-q").out == ""


def test_seccomp_filters_that_are_kept_are_few(rootless):
    for i in range(70):
        rootless.run(["true"], deny(["mkdir"], i + 1), rc=0)
    assert len(os.listdir(rootless.root / "=seccomp")) < 64


# --- cgroups ---

@rows("A46")
def test_cgroup_by_path(oci):
    if oci.mode != "cgroup2":
        pytest.skip("needs cgroups")
    name = oci.create(WAIT, lambda c: c["linux"].update(cgroupsPath=f"/{oci.name()}"))
    path = oci.containers[-2] if oci.containers[-1] == name else oci.containers[-1]
    pid = oci.state(name)["pid"]
    text = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
    assert any(line == f"0::/{p}" for line in text.splitlines() for p in (path, name)), text
    oci.ok("start", name)
    assert pathlib.Path(f"/proc/{pid}/cgroup").read_text() == text
    oci.ok("delete", "-f", name)


def test_limits_without_cgroups_are_refused(rootless):
    def edit(c):
        c["linux"]["resources"] = {"memory": {"limit": 64 << 20}}
    r = rootless.run(["true"], edit, rc=1)
    assert "memory" in r.err and "cgroup" in r.err


def test_cycles_leave_nothing(oci):
    """A small version of the thousand cycles; the audit at the end looks for what stayed."""
    bundle = oci.bundle(["true"])
    name = oci.name()
    for _ in range(10):
        oci.ok("create", "-b", bundle, name)
        oci.ok("start", name)
        oci.wait_for(name, "stopped")
        oci.ok("delete", name)
    assert not oci.left()


def test_parallel_creates(oci):
    bundle = oci.bundle(["sleep", "1000"])
    names = [oci.name() for _ in range(8)]
    ps = [oci.spawn("create", "-b", bundle, n, stdout=subprocess.DEVNULL) for n in names]
    assert [p.wait(60) for p in ps] == [0] * 8
    assert sorted(oci.ok("list", "-q").out.split()) == sorted(names)
    ps = [oci.spawn("delete", "-f", n) for n in names]
    assert [p.wait(60) for p in ps] == [0] * 8


def test_foreground_run_is_killed(rootless):
    """Its container must not survive without anybody to wait for it; delete cleans up."""
    name = rootless.name()
    p = rootless.spawn("run", "-b", rootless.bundle(WAIT), name)
    assert p.stdout.readline() == "up\n"
    p.send_signal(signal.SIGKILL)
    p.wait()
    rootless.ok("delete", "-f", name)
