"""Control groups of rootlet-oci with the cgroupfs manager, natively: those that make, fill, freeze
and remove groups; limits of a controller only where cgroup v2 has one here (hugetlb, often). What
needs memory, cpu, pids, io and cpuset is in test_oci_limits.py."""
import json
import os
import subprocess

import pytest

import cgrouplib as cg

pytestmark = pytest.mark.root

DENY = cg.DENY


@pytest.fixture
def base():
    """A group that all of a test are below."""
    group = f"/rltest-cg-{os.getpid()}"
    cg.sh('mkdir "/sys/fs/cgroup$1"', group)
    yield group
    cg.sh('find "/sys/fs/cgroup$1" -depth -type d -exec rmdir {} +', group)


@pytest.fixture
def oci(tmp_path, base):  # pylint: disable=unused-argument  # ends before it
    o = cg.Oci("rootlet-oci", tmp_path / "oci")
    yield o
    o.end()


@pytest.mark.rows("A38", "A42", "A45")
def test_a_group_for_each_and_none_after(oci, base):
    for name in ("one", "two"):
        oci.start(name, cg.config("sleep", "1000", path=f"{base}/{name}"))
        assert oci.group(name) == f"{base}/{name}"
        assert cg.read(f"{base}/{name}", "cgroup.procs") == str(oci.of(name)["pid"])
    oci.ok("delete", "--force", "one")
    assert not cg.exists(f"{base}/one") and cg.exists(f"{base}/two")
    oci.ok("delete", "--force", "two")
    assert not cg.exists(f"{base}/two")


@pytest.mark.rows("A45")
def test_what_the_container_leaves_inside_goes(oci, base):
    spec = cg.config("sh", "-c", "mkdir -p /sys/fs/cgroup/a/b; (sleep 1000 &) ; sleep 1000 & "
                     "echo $! > /sys/fs/cgroup/a/b/cgroup.procs; echo ready; exec sleep 1000",
                     path=f"{base}/x")
    spec["mounts"][-1]["options"].remove("ro")
    # Without a pid namespace its children outlive the first process.
    spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "pid"]
    oci.start("x", spec)
    assert cg.until(lambda: len((cg.read(f"{base}/x/a/b", "cgroup.procs") or "").split()) == 1)
    oci.ok("kill", "x", "KILL")
    assert cg.until(lambda: oci.of("x")["status"] == "stopped")
    assert cg.read(f"{base}/x", "cgroup.events").startswith("populated 1")
    oci.ok("delete", "x")
    assert not cg.exists(f"{base}/x")


@pytest.mark.rows("A45")
def test_groups_as_deep_as_the_container_likes(oci, base):
    """Neither can it hide a process from kill --all that way, nor make itself undeletable."""
    spec = cg.config("sh", "-c", "cd /sys/fs/cgroup; i=0; while [ $i -lt 400 ]; do mkdir d && cd d || break; "
                     "i=$((i + 1)); done; sleep 1000 & echo $! > cgroup.procs; mkdir /sys/fs/cgroup/made; wait",
                     path=f"{base}/x")
    spec["mounts"][-1]["options"].remove("ro")
    oci.start("x", spec)
    assert cg.until(lambda: cg.exists(f"{base}/x/made"))
    # Init without a handler is out of reach of this signal, the other one is not.
    oci.ok("kill", "--all", "x", "USR1")
    assert cg.until(lambda: oci.of("x")["status"] == "stopped")
    oci.ok("delete", "x")
    assert not cg.exists(f"{base}/x")


def test_paths(oci, base):
    """Absolute: from the mount. Relative and none: beside our own group."""
    own = base + "/own"
    cg.sh('mkdir "/sys/fs/cgroup$1"', own)
    oci.inside = own
    for path, want in ((f"{base}//deep/er/x", f"{base}/deep/er/x"), ("rel/x", f"{base}/rel/x"),
                       (None, f"{base}/x"), ("", f"{base}/x")):
        oci.start("x", cg.config("sleep", "1000", path=path))
        assert oci.group("x") == want, path
        oci.ok("delete", "--force", "x")
        assert not cg.exists(want)


@pytest.mark.parametrize("path", ["../x", "/a/../../x", "/..", "a/..", "/a\nb", "/cgroup.procs", "/"])
def test_paths_that_are_refused(oci, path):
    name = f"rltest-{os.getpid()}"
    path = path.replace("x", name)
    r = oci.create(name, cg.config("sleep", "1000", path=path))
    assert r.rc != 0 and "linux.cgroupsPath" in r.err, r
    assert cg.sh('find /sys/fs/cgroup -maxdepth 3 -name "$1"', name) == ""
    assert not list(oci.state.iterdir())


@pytest.mark.parametrize("key", ["run.oci.delegate-cgroup", "run.oci.systemd.subgroup"])
def test_annotations_do_not_lead_out(oci, base, key):
    spec = cg.config("sleep", "1000", path=f"{base}/x")
    spec["annotations"] = {key: "../../evil"}
    r = oci.create("x", spec)
    assert r.rc != 0 and "not allowed" in r.err, r
    assert not cg.exists(f"{base}/x")


def test_a_group_in_use_is_refused(oci, base):
    oci.start("one", cg.config("sleep", "1000", path=f"{base}/same"))
    r = oci.create("two", cg.config("sleep", "1000", path=f"{base}/same"))
    assert r.rc != 0 and "holds processes already" in r.err, r
    assert oci.of("one")["status"] == "running"


def test_the_container_sees_its_own_group_only(oci, base):
    r = oci.run("x", cg.config("sh", "-c", "cat /proc/self/cgroup | tail -1; cat /sys/fs/cgroup/cgroup.procs;"
                               "echo 1 > /sys/fs/cgroup/cgroup.freeze; mkdir /sys/fs/cgroup/x", path=f"{base}/x"))
    lines = r.out.splitlines()
    assert lines[0] == "0::/" and "1" in lines[1:], r
    assert r.err.count("Read-only file system") == 2, r


@pytest.mark.rows("A46")
def test_a_missing_controller_is_named_first(oci, base):
    for controller, resources, member in (
            ("memory", {"memory": {"limit": 1 << 20}}, "memory.limit"),
            ("pids", {"pids": {"limit": 7}}, "pids.limit"),
            ("cpuset", {"cpu": {"cpus": "0"}}, "cpu.cpus"),
            ("cpu", {"cpu": {"quota": 5000}}, "cpu.quota"),
            ("io", {"blockIO": {"weight": 100}}, "blockIO.weight"),
            ("rdma", {"rdma": {"mlx5": {"hcaHandles": 1}}}, "rdma"),
            ("nonesuch", {"unified": {"nonesuch.max": "1"}}, "unified")):
        if controller in cg.controllers():
            continue
        r = oci.create("x", cg.config("sleep", "1000", path=f"{base}/a/x", resources=resources))
        assert r.rc != 0 and f"the controller {controller} is not available" in r.err, r
        assert f"linux.resources.{member}" in r.err, r
        assert not cg.exists(f"{base}/a") and not list(oci.state.iterdir())


def needs_hugetlb():
    if "hugetlb" not in cg.controllers():
        pytest.skip("cgroup v2 has no hugetlb here")


HUGE = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}],
        "unified": {"cgroup.max.depth": "2", "hugetlb.2MB.rsvd.max": "2097152"}}


@pytest.mark.rows("A46")
def test_limits_are_written(oci, base):
    needs_hugetlb()
    oci.start("x", cg.config("sleep", "1000", path=f"{base}/a/x", resources=HUGE))
    got = [cg.read(f"{base}/a/x", f) for f in ("hugetlb.2MB.max", "hugetlb.2MB.rsvd.max", "cgroup.max.depth")]
    assert got == [str(4 << 20), "2097152", "2"]


@pytest.mark.rows("A46")
def test_a_value_that_the_kernel_refuses_leaves_nothing(oci, base):
    needs_hugetlb()
    r = oci.create("x", cg.config("sleep", "1000", path=f"{base}/a/x",
                                  resources={"unified": {"hugetlb.2MB.max": "many"}}))
    assert r.rc != 0 and 'write "many" to hugetlb.2MB.max: Invalid argument' in r.err, r
    assert not cg.exists(f"{base}/a") and not list(oci.state.iterdir())


# --- device rules ---

RULES, answers = cg.RULES, cg.answers


def want(rules, kind, major, minor, letters):
    usual = kind == "c" and (major, minor) in ((1, 3), (5, 0), (10, 200))
    for letter in letters:
        allowed = usual
        for rule in rules or ():
            wild = [rule.get(k, -1) for k in ("major", "minor")]
            if not usual and rule.get("type", "a") in ("a", kind) and letter in rule["access"] and \
                    all(w in (-1, n) for w, n in zip(wild, (major, minor))):
                allowed = rule["allow"]
        if not allowed:
            return "no"
    return "yes"


@pytest.mark.parametrize("name", RULES)
def test_device_rules(oci, base, name):
    nodes = {"null": ("c", 1, 3), "exp": ("c", 240, 1), "tty": ("c", 5, 0), "tun": ("c", 10, 200),
             "fuse": ("c", 10, 229), "loop": ("b", 7, 0), "other": ("b", 7, 1)}
    expected = {f"{node} {mode}": want(RULES[name], *nodes[node], mode)
                for node in nodes for mode in ("r", "w", "rw")}
    assert answers(oci, base, RULES[name]) == expected


@pytest.mark.skipif(not cg.shutil.which("runc"), reason="runc is not here")
@pytest.mark.parametrize("name", [name for name in RULES if name != "order"])
def test_device_rules_as_runc(oci, base, tmp_path, name):
    """It refuses a rule that takes from a wider one ("order"). (crun: test_oci_limits.py)"""
    other = cg.Oci("runc", tmp_path / "runc")
    assert answers(oci, base, RULES[name]) == answers(other, base, RULES[name])


def test_denied_letter_denies_both(oci, base):
    """Opening for reading and writing does not pass a rule that forbids writing."""
    got = answers(oci, base, [{"allow": True, "access": "rwm"},
                              {"allow": False, "type": "c", "major": 240, "minor": 1, "access": "w"}])
    assert [got[f"exp {m}"] for m in ("r", "w", "rw")] == ["yes", "no", "no"]


# --- without root ---

@pytest.fixture
def delegated(base, user):
    """A group of the test user's, and one in it that commands are started from."""
    if not user.made:
        pytest.skip("needs a user of its own")
    group = f"{base}/user"
    cg.sh('d="/sys/fs/cgroup$1"; mkdir "$d" "$d/own"; chown -R "$2" "$d"', group, user.uid)
    return group


@pytest.fixture
def open_top(tmp_path_factory):
    """A directory that everybody may enter."""
    top = tmp_path_factory.mktemp("rl")
    for parent in (top, *top.parents[:3]):  # a worker has one more
        if parent.stat().st_uid == os.geteuid() and parent.name.startswith(("rl", "pytest-", "popen-")):
            parent.chmod(0o755)
    return top


@pytest.fixture
def open_oci(open_top, base):  # pylint: disable=unused-argument
    o = cg.Oci("rootlet-oci", open_top / "oci")
    yield o
    o.end()


@pytest.fixture
def rootless(open_top, user, base):  # pylint: disable=unused-argument
    o = cg.Oci("rootlet-oci", open_top / "oci", user=user)
    yield o
    o.end()


def spec_of(user, *args, **kw):
    spec = cg.config(*args, userns=(user.uid, user.gid), **kw)
    spec["process"].pop("capabilities")
    return spec


def test_rootless_in_a_delegated_group(rootless, delegated, user):
    rootless.inside = f"{delegated}/own"
    for path, where in ((None, f"{delegated}/x"), (f"{delegated}/deep/x", f"{delegated}/deep/x")):
        rootless.start("x", spec_of(user, "sleep", "1000", path=path))
        assert rootless.group("x") == where
        assert rootless.delete("x").rc == 0
        assert not cg.exists(where)


@pytest.mark.rows("A46")
def test_rootless_limits_of_a_delegated_controller(rootless, delegated, base, user):
    needs_hugetlb()
    cg.sh('for d in "" "$1"; do echo +hugetlb > "/sys/fs/cgroup$d/cgroup.subtree_control"; done', base)
    rootless.inside = f"{delegated}/own"
    rootless.start("x", spec_of(user, "sleep", "1000", path=None, resources=HUGE))
    assert cg.read(f"{delegated}/x", "hugetlb.2MB.max") == str(4 << 20)


@pytest.mark.rows("A46")
def test_rootless_without_a_group(rootless, base, user):
    """Where nothing is delegated the container stays with us; a limit is refused and the way out
    named."""
    own = f"{base}/foreign"
    cg.sh('mkdir "/sys/fs/cgroup$1"', own)
    rootless.inside = own
    rootless.start("x", spec_of(user, "sleep", "1000", resources={"devices": [DENY]}))
    assert rootless.group("x") == own
    assert json.loads((rootless.state / "x/state.json").read_text())["cgroup"] == \
        {"driver": "cgroupfs", "inUserns": True}
    assert rootless.delete("x").rc == 0
    r = rootless.create("x", spec_of(user, "sleep", "1000", resources={"pids": {"limit": 5}}))
    assert r.rc != 0 and "linux.resources.pids.limit" in r.err and "elegate" in r.err, r
    assert not [d for d in rootless.state.iterdir() if d.name == "x"]


@pytest.mark.parametrize("writable", [True, False])
def test_the_group_is_given_to_the_root_of_a_user_namespace(open_oci, base, writable):
    """Where it can write /sys/fs/cgroup: the directory and what moves processes, but no limit."""
    spec = cg.config("sh", "-c", "mkdir /sys/fs/cgroup/sub && sleep 1000 & echo $! >/sys/fs/cgroup/sub/cgroup.procs;"
                     "exec sleep 1000", path=f"{base}/x", userns=(200_000_000, 200_000_000))
    if writable:
        spec["mounts"][-1]["options"].remove("ro")
    open_oci.start("x", spec)
    owners = cg.sh('cd "/sys/fs/cgroup$1/x"; stat -c "%n %u" . cgroup.procs cgroup.threads'
                   ' cgroup.subtree_control cgroup.freeze', base).split()
    mine = "200000000" if writable else "0"
    assert dict(zip(owners[::2], owners[1::2])) == {
        ".": mine, "cgroup.procs": mine, "cgroup.threads": mine, "cgroup.subtree_control": mine,
        "cgroup.freeze": "0"}
    assert cg.until(lambda: cg.exists(f"{base}/x/sub")) if writable else not cg.exists(f"{base}/x/sub")
    assert open_oci.delete("x").rc == 0
    assert not cg.exists(f"{base}/x")


def test_disabled(tmp_path, base):
    oci = cg.Oci("rootlet-oci", tmp_path / "oci", manager="disabled", inside=base)
    oci.start("x", cg.config("sleep", "1000", path=f"{base}/x"))
    assert oci.group("x") == base
    assert oci.delete("x").rc == 0
    r = oci.create("x", cg.config("sleep", "1000", resources={"pids": {"limit": 5}}))
    assert r.rc != 0 and "cgroups are disabled" in r.err, r


def test_many_at_once_leave_nothing(oci, base):
    bundles = [(f"c{i}", oci.bundle(cg.config("true", path=f"{base}/shared/c{i}"))) for i in range(20)]
    running = [subprocess.Popen(oci.argv("run", "--bundle", path, name), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
               for name, path in bundles]
    for p in running:
        _, err = p.communicate(timeout=60)
        assert p.returncode == 0, err
    assert cg.sh('ls -d "/sys/fs/cgroup$1/shared"/*/ 2>/dev/null || true', base) == ""
    assert not list(oci.state.iterdir())
