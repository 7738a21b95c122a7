"""Root file systems and what is mounted in them, through tests/tools/mounts-tool: storage/ and
mounts/ with everything real but the engine. Runs as an unprivileged user with subordinate ids."""
import copy
import hashlib
import json
import os
import pwd
import shutil
import stat
import subprocess
import tempfile

import pytest

BUSYBOX = shutil.which("busybox")
APPLETS = ("sh ls cat mount umount ps id touch mkdir stat test head find echo ln readlink dd grep "
           "sleep wc chmod chown cp mv rm mktemp true od cut sort diff df top").split()
CAPS_V2 = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw+ep

MOUNTS = [
    ("/proc", "proc", "proc", "nosuid,noexec,nodev"),
    ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
]
SPEC = {
    "ociVersion": "1.2.0",
    "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sh"], "cwd": "/"},
    "root": {"path": "rootfs"},
    "mounts": [dict(destination=d, type=t, source=s, options=o.split(","))
               for d, t, s, o in MOUNTS],
    "linux": {
        "namespaces": [{"type": t} for t in "pid network ipc uts mount user cgroup".split()],
        "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/scsi", "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                          "/proc/sysrq-trigger"],
    },
}


def find_tool():
    here = os.path.dirname(os.path.abspath(__file__))
    tops = [os.environ.get(v) for v in ("BUILDDIR", "abs_top_builddir")]
    tops += [os.getcwd(), os.path.join(here, "../.."), os.path.join(here, "../../build")]
    for top in filter(None, tops):
        tool = os.path.join(top, "tests/tools/mounts-tool")
        if os.access(tool, os.X_OK):
            return tool
    pytest.skip("tests/tools/mounts-tool is not built (make check builds it)")


class Lab:
    """A directory that the test user owns, with the tool and a store in it."""

    def __init__(self, user, top):
        self.user, self.top = user, top
        self.tool = os.path.join(top, "mounts-tool")
        self.store = os.path.join(top, "store")
        self.n = 0

    def sh(self, *argv, check=True, env=None, stdin=None):
        pw = pwd.getpwnam(self.user)
        full = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.top, "LANG": "C",
                "USER": self.user, **(env or {})}
        kw = {}
        if os.geteuid() == 0 and pw.pw_uid != 0:
            kw = dict(user=pw.pw_uid, group=pw.pw_gid, extra_groups=[])
        r = subprocess.run(argv, capture_output=True, text=True, timeout=120, env=full,
                           cwd=self.top, input=stdin, umask=0o022, **kw)
        if check:
            assert r.returncode == 0, (argv, r.stdout, r.stderr)
        return r

    def root_sh(self, script, check=True):
        """As root of the default map."""
        return self.sh(self.tool, "userns", "/bin/sh", "-ec", script, check=check)

    def layer(self, script="", busybox=False):
        self.n += 1
        d = f"{self.store}/layers/{self.n:04x}/diff"
        applets = " ".join(APPLETS)
        base = (f"mkdir bin etc tmp; chmod 1777 tmp; cp {BUSYBOX} bin/busybox; "
                f"for i in {applets}; do ln -s busybox bin/$i; done; " if busybox else "")
        self.root_sh(f"mkdir -p {d}; chmod 755 {d}; cd {d}; {base}{script}")
        return d

    def container(self, layers, mode="default", driver="overlay", env=None, check=True):
        self.n += 1
        c = Container(self, f"{self.store}/containers/c{self.n}", mode)
        r = self.sh(self.tool, "create", mode, driver, self.store, c.dir, *layers, env=env,
                    check=check)
        if not check:
            return r
        return c


class Container:
    def __init__(self, lab, path, mode):
        self.lab, self.dir, self.mode = lab, path, mode
        self.spec = copy.deepcopy(SPEC)

    def plan(self):
        with open(f"{self.dir}/storage.json", encoding="utf-8") as f:
            return json.load(f)

    def set_plan(self, **kw):
        self.lab.sh("tee", f"{self.dir}/storage.json", stdin=json.dumps({**self.plan(), **kw}))

    def mount(self, dest, source=None, options="rbind", type="bind"):
        m = dict(destination=dest, type=type, options=options.split(",") if options else [])
        if source:
            m["source"] = source
        self.spec["mounts"].append(m)

    def run(self, script, *flags, check=True, env=None):
        self.lab.sh("tee", f"{self.dir}/config.json", stdin=json.dumps(self.spec))
        return self.lab.sh(self.lab.tool, "run", self.mode, self.dir, f"{self.dir}/config.json",
                           *flags, "--", "/bin/sh", "-c", script, check=check, env=env)

    def fails(self, script="true", *flags):
        r = self.run(script, *flags, check=False)
        assert r.returncode == 125, (r.stdout, r.stderr)
        return r.stderr


def make_user():
    name = f"rlm{os.getpid()}"
    subprocess.run(["useradd", "-M", "-d", "/nonexistent", name], check=True)
    with open("/etc/subuid", encoding="utf-8") as f:
        if not any(line.startswith(name + ":") for line in f):
            first = 1_000_000_000 + (os.getpid() % 10000) * 65536
            for what in ("uids", "gids"):
                subprocess.run(["usermod", f"--add-sub{what}", f"{first}-{first + 65535}", name],
                               check=True)
    return name


@pytest.fixture(scope="module")
def lab():
    tool = find_tool()
    if not BUSYBOX:
        pytest.skip("needs a static busybox")
    own = os.geteuid() == 0
    user = make_user() if own else pwd.getpwuid(os.geteuid()).pw_name
    top = tempfile.mkdtemp(prefix="rootlet-mounts-", dir="/var/tmp")
    try:
        os.chmod(top, 0o755)
        shutil.copy2(tool, f"{top}/mounts-tool")
        if own:
            os.chown(top, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        lab = Lab(user, top)
        lab.sh("mkdir", "-p", f"{lab.store}/layers", f"{lab.store}/containers")
        yield lab
    finally:
        # What belongs to subordinate ids goes first, by their root.
        if os.path.exists(f"{top}/store"):
            lab.root_sh(f"rm -rf {top}/store", check=False)
        shutil.rmtree(top, ignore_errors=True)
        if own:
            subprocess.run(["userdel", user], check=False)
    assert not os.path.exists(top)


@pytest.fixture(scope="module")
def base(lab):
    return lab.layer("echo base > etc/one; echo root:x:0:0 > etc/passwd", busybox=True)


@pytest.fixture
def ctr(lab, base):
    c = lab.container([base])
    yield c
    lab.sh(lab.tool, "remove", c.dir)
    assert sorted(os.listdir(c.dir)) in (["config.json", "storage.json"], ["storage.json"])


def tree_hash(lab, path):
    """Names, types, modes, owners, link targets, content."""
    out = lab.root_sh(f"cd {path}; find . -printf '%P %y %m %U %G %s %T@ %l\\n' | sort; "
                      "find . -type f | sort | xargs -r sha256sum").stdout
    return hashlib.sha256(out.encode()).hexdigest()


def mountinfo(text):
    return [(line.split()[4], line.split()[3], line.split(" - ")[1].split()[0])
            for line in text.splitlines() if " - " in line]


# --- entering ---

def test_pivot_leaves_nothing_of_the_host(ctr, lab):
    """A15, A22, A59: one overlay at "/", no other root, no host path beyond the binds."""
    out = ctr.run("cat /proc/self/mountinfo; echo ==; ls -d /proc/1/root/../..; "
                  "find / -xdev -name '.pivot*'; ls / | sort").stdout
    info, rest = out.split("==\n")
    mounts = mountinfo(info)
    assert [m[2] for m in mounts if m[0] == "/"] == ["overlay"]
    assert lab.top not in " ".join(m[1] for m in mounts)
    for target, root, fstype in mounts:
        # Single device nodes are all there is from the host.
        if fstype == "devtmpfs" or (root != "/" and fstype == "tmpfs"):
            assert root.rsplit("/", 1)[-1] in ("null", "zero", "full", "random", "urandom", "tty")
    assert ".pivot" not in rest
    assert "home" not in rest.split() and "var" not in rest.split()


def test_mounts_are_private(ctr):
    """A12: a mount made inside does not show outside, while it exists."""
    ctr.run("mkdir -p /mnt-a12; mount -t tmpfs a12-canary /mnt-a12 && "
            "grep -q mnt-a12 /proc/mounts")
    c = subprocess.Popen  # the container's own view is proven above; now the host's, held open
    ctr.lab.sh("tee", f"{ctr.dir}/config.json", stdin=json.dumps(ctr.spec))
    argv = [ctr.lab.tool, "run", ctr.mode, ctr.dir, f"{ctr.dir}/config.json", "--", "/bin/sh",
            "-c", "mount -t tmpfs a12-canary /tmp && echo up && cat"]
    pw = pwd.getpwnam(ctr.lab.user)
    kw = dict(user=pw.pw_uid, group=pw.pw_gid, extra_groups=[]) if os.geteuid() == 0 else {}
    with c(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ctr.lab.top,
           **kw) as p:
        assert p.stdout.readline() == "up\n"
        with open("/proc/mounts", encoding="utf-8") as f:
            host = f.read()
        p.stdin.close()
        assert p.wait(timeout=30) == 0
    assert "a12-canary" not in host and ctr.dir not in host


def test_proc_shows_own_processes_only(ctr):
    """A16, A20: ps and top work and see no process of the host."""
    out = ctr.run("ps | wc -l; ls -d /proc/[0-9]* | wc -l; top -bn1 | head -1; cat /proc/1/comm")
    lines = out.stdout.split("\n")
    assert int(lines[0]) <= 6 and int(lines[1]) <= 5
    assert lines[2].startswith("Mem:")
    assert lines[3] == "mounts-tool"


def test_minimal_dev(ctr):
    """A17: the six devices work, the links are there, and there is nothing else."""
    out = ctr.run(
        "for d in null zero full random urandom tty; do test -c /dev/$d && echo $d; done; "
        "head -c4 /dev/urandom | wc -c; head -c3 /dev/zero | od -An -tx1; echo x > /dev/null && "
        "echo written; echo x > /dev/full || echo full; ls /dev | sort | tr '\\n' ' '; echo; "
        "for i in fd stdin ptmx; do readlink /dev/$i; done; echo hi | cat /dev/stdin").stdout
    lines = out.replace("tr: not found", "").splitlines()
    assert lines[:6] == "null zero full random urandom tty".split()
    assert lines[6:8] == ["4", " 00 00 00"]
    assert lines[8] == "written" and "full" in lines[9:11]
    for want in ("/proc/self/fd", "/proc/self/fd/0", "pts/ptmx", "hi"):
        assert want in lines
    names = set(ctr.run("ls /dev").stdout.split())
    assert names == {"null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout",
                     "stderr", "ptmx", "pts", "shm", "mqueue", "core"}


def test_devices_of_the_spec(ctr):
    """Bound from the host only when number and kind are what was asked for."""
    ctr.spec["linux"]["devices"] = [
        {"type": "c", "path": "/dev/null", "major": 1, "minor": 3},
        {"type": "p", "path": "/dev/pipe", "fileMode": 0o640, "uid": 3, "gid": 4}]
    assert ctr.run("test -p /dev/pipe; stat -c '%a %u %g' /dev/pipe").stdout == "640 3 4\n"
    ctr.spec["linux"]["devices"] = [{"type": "c", "path": "/dev/kmsg", "major": 1, "minor": 77}]
    text = ctr.fails()
    assert "mount /dev: device /dev/kmsg: the host's /dev/kmsg is not device 1:77" in text


def test_file_systems_listed(ctr):
    """B6: proc, read-only sysfs and a tmpfs /dev are what mount shows."""
    table = {line.split()[2]: line for line in ctr.run("mount").stdout.splitlines()}
    assert "type proc (rw,nosuid,nodev,noexec" in table["/proc"]
    assert "type sysfs (ro,nosuid,nodev,noexec" in table["/sys"]
    assert "type tmpfs (rw,nosuid" in table["/dev"] and "mode=755" in table["/dev"]
    assert "type devpts" in table["/dev/pts"] and "ptmxmode=666" in table["/dev/pts"]
    assert "(ro," in table["/sys/fs/cgroup"]
    r = ctr.run("mkdir /sys/fs/cgroup/x", check=False)
    assert r.returncode != 0 and "Read-only" in r.stderr


def test_masked_and_readonly_paths(ctr):
    out = ctr.run("cat /proc/keys | wc -c; ls -a /sys/firmware | wc -l; "
                  "echo x > /sys/firmware/y; echo 1 > /proc/sys/kernel/hostname; "
                  "echo h > /proc/sysrq-trigger", check=False)
    assert out.stdout.split() == ["0", "2"]
    assert out.stderr.count("Read-only file system") >= 2, out.stderr
    if os.path.exists("/proc/sysrq-trigger"):
        assert out.stderr.count("Read-only file system") == 3, out.stderr


def test_masks_follow_no_image_link(lab, base):
    """A masked path that the image made a link masks what the link means inside."""
    top = lab.layer("mkdir secret; echo s > secret/f; ln -s secret alias")
    c = lab.container([top, base])
    c.spec["linux"]["maskedPaths"].append("/alias")
    assert c.run("ls /secret | wc -l").stdout == "0\n"


def test_host_namespaces_fall_back(ctr):
    """Without an own net or pid namespace sysfs and proc are the host's, sysfs read-only."""
    out = ctr.run("ls -d /sys/class /proc/1; mkdir /sys/x; ls -d /proc/[0-9]* | wc -l",
                  "-nethost", "-pidhost", "-ipchost", check=False)
    assert out.stdout.split()[:2] == ["/proc/1", "/sys/class"] or \
        out.stdout.split()[:2] == ["/sys/class", "/proc/1"]
    assert "Read-only" in out.stderr
    assert int(out.stdout.split()[2]) > 5


def test_plain_directory_as_root(lab, base):
    """A19: a directory that is no mount point becomes the root."""
    c = lab.container([base])
    lab.root_sh(f"cp -a {base} {lab.store}/plain")
    c.set_plan(driver="dir", dir=f"{lab.store}/plain", upper=None, work=None, layers=None)
    out = c.run("cat /etc/one; echo w > /written; cat /proc/self/mountinfo").stdout
    assert out.startswith("base\n")
    assert [m[0] for m in mountinfo(out)].count("/") == 1
    assert os.path.exists(f"{lab.store}/plain/written")
    c.set_plan(dir="/nonexistent/root")
    assert "/nonexistent/root" in c.fails()
    lab.sh(lab.tool, "remove", c.dir)


# --- layers ---

@pytest.fixture(scope="module")
def stack(lab, base):
    """Topmost first."""
    mid = lab.layer("mkdir -p etc d; echo mid > etc/one; echo gone > etc/gone; "
                    "echo hidden > d/hidden; echo a > hl-a; ln hl-a hl-b; mkdir dir2file; "
                    "echo x > dir2file/x; echo y > file2dir")
    top = lab.layer("mkdir -p etc d; echo top > etc/one; mknod etc/gone c 0 0; "
                    "python3 -c \"import os; os.setxattr('d', 'user.overlay.opaque', b'y')\"; "
                    "echo seen > d/seen; echo f > dir2file; mkdir file2dir; echo z > file2dir/z")
    return [top, mid, base]


def check_stack(c):
    out = c.run("cat /etc/one; ls /etc/gone; ls /d; stat -c %h /hl-a; cat /dir2file; "
                "cat /file2dir/z", check=False)
    assert out.stdout.split() == ["top", "seen", "2", "f", "z"], out.stdout
    assert "/etc/gone" in out.stderr


@pytest.mark.parametrize("driver", ["overlay", "copy"])
def test_layers_in_order(lab, stack, driver):
    """A29, A35, B38: the topmost wins, whiteouts and opaque directories hide, links stay links.
    With both drivers."""
    c = lab.container(stack, driver=driver)
    check_stack(c)
    if driver == "overlay":
        line = c.run("mount").stdout.splitlines()[0]
        order = [line.find(f"lowerdir+={d}") for d in stack]
        assert -1 not in order and order == sorted(order)
        assert f"upperdir={c.dir}/upper" in line and "userxattr" in line
    lab.sh(lab.tool, "remove", c.dir)
    assert not os.path.exists(f"{c.dir}/rootfs") and not os.path.exists(f"{c.dir}/upper")


@pytest.mark.parametrize("form", ["0", "1", "2"])
def test_overlay_option_forms(lab, stack, form):
    """By descriptor (6.13), by name (6.5), and all layers in one option (older): one result."""
    c = lab.container(stack)
    assert c.run("cat /etc/one /d/seen; echo x > /new; mv /etc/one /etc/two && cat /etc/two",
                 env={"OVERLAY_FORM": form}).stdout == "top\nseen\ntop\n"
    assert os.path.exists(f"{c.dir}/upper/new")


def test_changes_go_to_upper_only(lab, stack):
    """A30, B36: layers keep their hash, the change lies in upper; upper, work and merged exist."""
    before = [tree_hash(lab, d) for d in stack]
    c = lab.container(stack)
    assert sorted(os.listdir(c.dir)) == ["merged", "storage.json", "upper", "work"]
    c.run("echo x > /etc/motd; echo more >> /etc/one; rm /hl-a; rm -r /d; chmod 700 /bin")
    assert [tree_hash(lab, d) for d in stack] == before
    with open(f"{c.dir}/upper/etc/one", encoding="utf-8") as f:
        assert f.read() == "top\nmore\n"
    assert stat.S_ISCHR(os.lstat(f"{c.dir}/upper/hl-a").st_mode)
    # and it is there at the next start
    assert c.run("cat /etc/motd; ls /d", check=False).stdout == "x\n"


def test_root_directory_attributes(lab, base):
    """The container's "/" has mode and owner of the image's."""
    top = lab.layer("chmod 1750 .; chown 7:8 .")
    c = lab.container([top, base])
    assert c.run("stat -c '%a %u %g' /").stdout == "1750 7 8\n"
    lab.sh(lab.tool, "remove", c.dir)
    c = lab.container([top, base], driver="copy")
    assert c.run("stat -c '%a %u %g' /").stdout == "1750 7 8\n"
    lab.sh(lab.tool, "remove", c.dir)


def test_work_on_another_file_system(lab, base):
    """A33: the message names both file systems."""
    c = lab.container([base])
    work = lab.sh("mktemp", "-d", "/dev/shm/rootlet-a33.XXXXXX").stdout.strip()
    try:
        c.set_plan(work=work)
        text = c.fails()
    finally:
        os.rmdir(work)
    assert c.plan()["upper"] in text and work in text
    assert "tmpfs" in text and "overlay needs both on one file system" in text
    here = lab.sh("findmnt", "-no", "FSTYPE", "-T", c.dir).stdout.strip()
    assert f"is on {here} and" in text


def test_work_not_empty(lab, base):
    """A35: overlay would delete what is there."""
    c = lab.container([base])
    lab.sh("touch", f"{c.dir}/work/precious")
    text = c.fails()
    assert f'work directory {c.dir}/work is not empty (it holds "precious")' in text
    assert os.path.exists(f"{c.dir}/work/precious")


def test_volatile_starts_again(lab, base):
    c = lab.container([base], env={"VOLATILE": "1"})
    assert "volatile" in c.run("mount").stdout.splitlines()[0]
    assert c.run("echo second > /x; cat /x").stdout == "second\n"


def test_missing_layer(lab, base):
    c = lab.container([base])
    c.set_plan(layers=[base, f"{lab.store}/layers/ffff/diff"])
    text = c.fails()
    assert "layers/ffff/diff" in text and "hint: The image is damaged" in text


def test_probe_chooses_overlay_and_is_cached(lab):
    run = f"{lab.top}/run"
    out = lab.sh(lab.tool, "choose", lab.store, run).stdout
    assert out.startswith("overlay: kernel overlay")
    (cache,) = os.listdir(run)
    assert cache.startswith("probe.") and os.stat(f"{run}/{cache}").st_mode & 0o77 == 0
    assert not [n for n in os.listdir(lab.store) if n.startswith(".probe")]
    # A second answer comes from there.
    lab.sh("sh", "-c", f"sed -i -E 's/^overlay ([0-9]+) .*/overlay \\1 edited/' {run}/{cache}")
    out = lab.sh(lab.tool, "choose", lab.store, run).stdout
    assert out.startswith("overlay: edited")


def test_store_inside_an_overlay(lab, base):
    """A34: where overlay cannot work copy is taken, with the reason; asked for by name it fails."""
    lab.sh("mkdir", "-p", f"{lab.top}/o/l", f"{lab.top}/o/u", f"{lab.top}/o/w", f"{lab.top}/o/m")
    script = (f"cd {lab.top}/o; mount -t overlay -o userxattr,lowerdir=l,upperdir=u,workdir=w o m; "
              f"{lab.tool} choose $PWD/m/s $PWD/m/r; {lab.tool} choose $PWD/m/s $PWD/m/r overlay "
              "2>&1 || true")
    out = lab.root_sh(script).stdout.splitlines()
    lab.root_sh(f"rm -rf {lab.top}/o")
    assert out[0].startswith("copy: every container gets a whole copy of its image (overlay: ")
    assert out[1].startswith("Error: no storage driver works in ")


# --- mounts of the user ---

def test_bind_both_ways(ctr, lab):
    """B18: a file is visible on both sides; ro is EROFS; a file binds onto a file."""
    lab.sh("sh", "-c", f"mkdir -p {lab.top}/w; echo host > {lab.top}/w/f; "
                       f"echo single > {lab.top}/single")
    ctr.mount("/w", f"{lab.top}/w")
    ctr.mount("/ro", f"{lab.top}/w", "rbind,ro")
    ctr.mount("/etc/deep/er/file", f"{lab.top}/single", "bind,ro")
    r = ctr.run("cat /w/f /etc/deep/er/file; echo inside > /w/g; cat /ro/g; echo x > /ro/h; "
                "echo x > /etc/deep/er/file", check=False)
    assert r.stdout == "host\nsingle\ninside\n"
    assert r.stderr.count("Read-only file system") == 2
    with open(f"{lab.top}/w/g", encoding="utf-8") as f:
        assert f.read() == "inside\n"


def test_layers_of_an_overlay_are_where_they_are_said_to_be(ctr, lab):
    """x-rootlet.real, as rootlet build has it for a context: a link that came on the way since is not followed."""
    top = f"{lab.top}/real"
    lab.sh("sh", "-c", f"mkdir -p {top}/a/in {top}/none; echo a > {top}/a/in/f; ln -s a {top}/l")
    options = f"userxattr,lowerdir+={top}/%s/in,lowerdir+={top}/none,ro"
    ctr.mount("/o", "overlay", options % "a" + ",x-rootlet.real", "overlay")
    assert ctr.run("cat /o/f").stdout == "a\n"
    ctr.mount("/p", "overlay", options % "l" + ",x-rootlet.real", "overlay")
    assert "leads through a symbolic link" in ctr.fails()


def test_private_source_with_other_root(lab, base):
    """The user's rights count for a source, not those of the container's id 0."""
    lab.sh("sh", "-c", f"mkdir -p {lab.top}/priv; chmod 700 {lab.top}/priv; "
                       f"mkdir -p {lab.top}/priv/in; echo p > {lab.top}/priv/in/f; "
                       f"chmod 755 {lab.top}/priv/in")
    c = lab.container([base], mode="auto")
    c.mount("/w", f"{lab.top}/priv/in")
    assert c.run("cat /w/f").stdout == "p\n"
    lab.sh(lab.tool, "remove", c.dir)


def test_read_only_is_recursive(ctr):
    """An "rro" tree has no writable mount in it: /dev/shm below a bound /dev. "ro" is of the top
    mount alone."""
    ctr.mount("/host", "/dev", "rbind,ro,rro")
    r = ctr.run("echo x > /host/shm/rootlet-canary", check=False)
    assert "Read-only file system" in r.stderr
    assert not os.path.exists("/dev/shm/rootlet-canary")
    ctr.mount("/top", "/dev", "rbind,ro")
    r = ctr.run("echo x > /top/rootlet-canary; echo y > /top/shm/rootlet-canary; "
                "rm /top/shm/rootlet-canary", check=False)
    assert "/top/rootlet-canary: Read-only" in r.stderr and "shm" not in r.stderr


def test_locked_flags_stay(ctr, lab):
    """Flags that came from a more privileged namespace are locked: they stay when their removal is
    asked for. Also a run by the root of a user namespace."""
    lab.sh("mkdir", "-p", f"{lab.top}/lk")
    ctr.mount("/s", f"{lab.top}/lk", "bind,suid,dev,noexec")
    lab.sh("tee", f"{ctr.dir}/config.json", stdin=json.dumps(ctr.spec))
    out = lab.root_sh(f"mount -t tmpfs -o nosuid,nodev t {lab.top}/lk; {lab.tool} run default "
                      f"{ctr.dir} {ctr.dir}/config.json -- /bin/sh -c mount").stdout
    line = [x for x in out.splitlines() if " on /s " in x][0]
    assert "nosuid,nodev,noexec" in line


def test_propagation_words(ctr, lab):
    for word, want in (("rprivate", ""), ("rslave", "master:"), ("rshared", "shared:")):
        ctr.mount(f"/p-{word}", lab.top, f"rbind,{word}")
    info = ctr.run("cat /proc/self/mountinfo").stdout.splitlines()
    by = {line.split()[4]: line.split(" - ")[0].split()[6:] for line in info}
    assert by["/p-rprivate"] == []
    assert any(t.startswith("shared:") for t in by["/p-rshared"])


@pytest.mark.parametrize("dest, source, options, want", [
    ("/data", "/nonexistent/src", "rbind", 'mount /data: source "/nonexistent/src" does not exist'),
    ("/etc/passwd", "/tmp", "rbind", "mount /etc/passwd: the source is a directory, the target"),
    ("/etc", "/etc/hostname", "bind", "mount /etc: the source is a file, the target in the image"),
    ("/", "/tmp", "rbind", "mount /: the root itself cannot"),
])
def test_bind_errors_name_the_destination(ctr, dest, source, options, want):
    ctr.mount(dest, source, options)
    assert want in ctr.fails()


def test_tmpfs_options(ctr):
    ctr.mount("/t", "tmpfs", "size=64k,mode=1755,uid=5,gid=6,noexec", type="tmpfs")
    out = ctr.run("stat -c '%a %u %g' /t; dd if=/dev/zero of=/t/f bs=1k count=100 2>&1 | "
                  "grep -c 'No space'; mount | grep ' /t '").stdout
    assert out.startswith("1755 5 6\n1\n") and "noexec" in out
    ctr.mount("/u", "tmpfs", "size=64k,sise=3", type="tmpfs")
    assert 'mount /u: unknown tmpfs option "sise=3"' in ctr.fails()


def test_tmpfs_copy_up(lab, base):
    top = lab.layer("mkdir -p v/sub; echo a > v/a; chmod 2750 v/sub; chown 3:4 v/sub; chmod 711 v")
    c = lab.container([top, base])
    c.mount("/v", "tmpfs", "tmpcopyup,ro", type="tmpfs")
    r = c.run("cat /v/a; stat -c '%a %u %g' /v/sub /v; touch /v/x", check=False)
    assert r.stdout == "a\n2750 3 4\n711 0 0\n" and "Read-only" in r.stderr


def test_read_only_root(lab, base):
    """B6 (read-only root): mount points that the image lacks are made all the same, /dev and
    tmpfs work, and the root is closed afterwards."""
    c = lab.container([base])
    c.spec["root"]["readonly"] = True
    c.mount("/not/in/image", "tmpfs", "mode=755", type="tmpfs")
    c.mount("/not/ro", "tmpfs", "ro", type="tmpfs")
    c.mount("/not/ro/below", "tmpfs", "", type="tmpfs")
    r = c.run("echo x > /dev/null && echo x > /dev/shm/y && echo x > /not/in/image/f && "
              "echo x > /not/ro/below/f && echo ok; echo x > /f; echo x > /etc/one; "
              "echo x > /not/ro/f", check=False)
    assert r.stdout == "ok\n"
    assert r.stderr.count("Read-only file system") == 3


# --- hostile images ---

@pytest.fixture
def canary(lab):
    """A directory of the host that images point at."""
    d = f"{lab.top}/canary"
    lab.sh("sh", "-c", f"mkdir -p {d}/sub; echo untouched > {d}/null; echo u > {d}/sub/f")
    before = tree_hash(lab, d)
    yield d
    assert tree_hash(lab, d) == before
    lab.sh("rm", "-rf", d)


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
@pytest.mark.parametrize("how", ["absolute", "dots", "inside"])
def test_kernel_directories_as_links(lab, base, canary, name, how):
    """T-DEV-SYMLINK (CVE-2026-41579 and relatives)."""
    target = {"absolute": canary, "dots": "../" * 20 + canary, "inside": "/etc"}[how]
    c = lab.container([lab.layer(f"ln -s {target} {name}"), base])
    assert f"image's /{name} is a symbolic link" in c.fails()
    # Without a mount of its own: devices are refused too, masks of /proc and /sys stay inside.
    c.spec["mounts"] = [m for m in c.spec["mounts"]
                        if not m["destination"].startswith(f"/{name}")]
    if name == "dev":
        assert "image's /dev is a symbolic link" in c.fails()
    else:
        c.run("true")


def test_links_in_dev(lab, base, canary):
    """/dev/null and /dev/pts as links: with a tmpfs over them, and without any mount on /dev."""
    top = lab.layer(f"mkdir dev; ln -s {canary}/null dev/null; ln -s {canary} dev/pts; "
                    f"ln -s {canary}/missing dev/zero")
    c = lab.container([top, base])
    assert c.run("test -c /dev/null && test -d /dev/pts && echo fine").stdout == "fine\n"
    c.spec["mounts"] = [m for m in c.spec["mounts"] if not m["destination"].startswith("/dev")]
    r = c.run("test -c /dev/zero; readlink /dev/null", check=False)
    if r.returncode == 125:
        assert "mount /dev: device /dev/" in r.stderr


def test_etc_as_link(lab, base, canary):
    """A file bound below a linked /etc lands inside the root."""
    top = lab.layer(f"mkdir conf; ln -s {canary} etc-link; ln -s ../../..{canary} opt")
    lab.sh("sh", "-c", f"echo hosts > {lab.top}/hosts")
    c = lab.container([top, base])
    c.mount("/etc-link/hosts", f"{lab.top}/hosts", "bind")
    c.mount("/opt/lib/x", f"{lab.top}/hosts", "bind")
    c.mount("/opt/t", "tmpfs", "", type="tmpfs")
    assert c.run(f"cat {canary}/hosts {canary}/lib/x /etc-link/hosts").stdout == "hosts\n" * 3


@pytest.mark.parametrize("link", ["/", "..", "../../../../../..", "/proc/self/cwd",
                                  "/proc/1/root/etc", "{canary}", "{canary}/missing", "loop",
                                  "/proc/self/fd/7/.."])
def test_targets_do_not_escape(lab, base, canary, link):
    """A mount target through a link stays in the root or fails; the host's tree is as before."""
    top = lab.layer(f"ln -s {link.format(canary=canary)} loop; mkdir -p a/b; ln -s ../../loop "
                    "a/b/l")
    lab.sh("sh", "-c", f"mkdir -p {lab.top}/w1; echo host > {lab.top}/w1/f")
    for dest in ("/loop/data", "/a/b/l/data", "/loop"):
        c = lab.container([top, base])
        c.mount(dest, f"{lab.top}/w1")
        r = c.run(f"cat {dest}/f", check=False)
        assert (r.returncode == 0 and r.stdout == "host\n") or \
            (r.returncode == 125 and f"mount {dest}: " in r.stderr), r
        lab.sh(lab.tool, "remove", c.dir)
    assert os.listdir(f"{lab.top}/w1") == ["f"]


def test_fifo_as_target(lab, base):
    """A FIFO in the image where a file is bound blocks nobody."""
    c = lab.container([lab.layer("mkdir -p etc; mkfifo etc/hosts"), base])
    lab.sh("sh", "-c", f"echo hosts > {lab.top}/hosts")
    c.mount("/etc/hosts", f"{lab.top}/hosts", "bind")
    assert c.run("cat /etc/hosts").stdout == "hosts\n"


# --- other id maps ---

@pytest.fixture(scope="module")
def owned(lab, base):
    """Files of many owners, a file capability, an ACL, hard links, a sparse and an empty file."""
    caps = CAPS_V2.hex()
    return [
        lab.layer("mkdir etc; echo changed > etc/one"),
        lab.layer(
            "mkdir home sub; echo root > r; echo user > home/u; chown 1000:100 home home/u; "
            "echo mail > m; chown 8:12 m; echo sec > shadow; chown 0:42 shadow; chmod 640 shadow; "
            "cp bin/busybox cap 2>/dev/null || cp /usr/bin/busybox cap; "
            f"python3 -c \"import os; os.setxattr('cap', 'security.capability', "
            f"bytes.fromhex('{caps}')); os.setxattr('r', 'user.mine', b'1'); "
            "open('sparse', 'w').truncate(1 << 20)\"; "
            "ln r sub/r-link; : > empty; cp /usr/bin/busybox suid; chmod 4755 suid; "
            "ln -s r link; chown -h 33:33 link; touch -d '2001-02-03 04:05:06' m"),
        base,
    ]


STAT = ("cd /; stat -c '%n %u:%g %a %s %Y' r home home/u m shadow cap sparse empty suid link "
        "sub/r-link; stat -c '%h' r; cat r home/u m shadow etc/one")
STAT_WANT = ["r 0:0 644", "home 1000:100", "home/u 1000:100 644 5", "m 8:12 644 5 981173106",
             "shadow 0:42 640", "cap 0:0 755", "sparse 0:0 644 1048576", "empty 0:0 644 0",
             "suid 0:0 4755", "link 33:33", "sub/r-link 0:0", "root", "user", "mail", "sec",
             "changed"]


def du(lab, path):
    """Bytes on disk of what has one name only: the farm's links are not new data."""
    return int(lab.root_sh(f"find {path} -type f -links 1 -printf '%b\\n' | "
                           "awk '{s += $1} END {print s * 512}'").stdout)


@pytest.mark.parametrize("how", ["metadata", "copied layers", "copy driver"])
@pytest.mark.parametrize("mode", ["keep-id", "auto"])
def test_other_maps(lab, owned, mode, how):
    """Owners are right under other maps, content is identical (diff -r), capabilities count."""
    if how == "metadata" and tuple(map(int, os.uname().release.split(".")[:2])) < (6, 16):
        pytest.skip("data-only layers with userxattr need Linux 6.16")
    before = [tree_hash(lab, d) for d in owned]
    env = {"NO_DATA_ONLY": "1"} if how == "copied layers" else None
    if how == "copied layers":  # a finished metadata tree would be used
        lab.root_sh(f"rm -rf {lab.store}/layers/*/map-*")
    c = lab.container(owned, mode=mode, env=env,
                      driver="copy" if how == "copy driver" else "overlay")
    plan = c.plan()
    assert bool(plan.get("dataLayers")) == (how == "metadata")
    out = c.run(STAT).stdout
    for want in STAT_WANT:
        assert want in out, (want, out)
    assert f"\n{2}\n" in out  # the two names of r are one file

    # identical to the layers merged under the store's own map
    plain = lab.container(owned)
    ref = plain.run("cd /; find . -xdev -type f | sort | xargs -n1 busybox sha256sum").stdout
    assert c.run("cd /; find . -xdev -type f | sort | xargs -n1 busybox sha256sum").stdout == ref
    assert ref.count("\n") > 10

    # The capability is one of the container's root, seen from outside.
    tree = plan.get("dir") or plan["layers"][0 if how == "metadata" else 1]
    rootid = host_id(lab, plan, mode)
    assert f"[rootid={rootid}]" in lab.sh("getcap", "-n", f"{tree}/cap").stdout

    # Appending copies the data up; the layers are as they were.
    assert c.run("echo more >> /r; cat /r; cat /shadow").stdout == "root\nmore\nsec\n"
    assert [tree_hash(lab, d) for d in owned] == before
    if how == "metadata":
        assert du(lab, plan["layers"][0]) < 64 * 1024
    for x in (c, plain):
        lab.sh(lab.tool, "remove", x.dir)
    assert not os.listdir(f"{lab.store}/ingest") if os.path.exists(f"{lab.store}/ingest") else True


def host_id(lab, plan, mode):
    """The host's id of the container's 0: of all these maps the first subordinate one."""
    with open("/etc/subuid", encoding="utf-8") as f:
        for line in f:
            if line.startswith(lab.user + ":"):
                return int(line.split(":")[1])
    raise AssertionError("no subordinate ids")


def test_shifted_tree_is_shared_and_renewed(lab, base):
    """The second container uses the first one's tree; a layer unpacked anew gets a new one."""
    layer = lab.layer("echo first > f")
    a = lab.container([layer, base], mode="keep-id").plan()
    b = lab.container([layer, base], mode="keep-id").plan()
    assert a["layers"] == b["layers"]
    lab.root_sh(f"rm -rf {layer}; mkdir {layer}; echo second > {layer}/f")
    c = lab.container([layer, base], mode="keep-id")
    assert c.plan()["layers"] != a["layers"]
    assert c.run("cat /f").stdout == "second\n"


def test_id_outside_the_map(lab, base):
    """The message names the id, and nothing is left behind."""
    layer = lab.layer("echo x > f; chown 0:65000 f")
    r = lab.container([layer, base], mode="auto:size=1000", check=False)
    assert r.returncode == 125
    assert "gid 65000 of the image is not in the container's id map" in r.stderr
    assert "hint:" in r.stderr
    assert os.listdir(f"{lab.store}/ingest") == []
    assert not [n for n in os.listdir(os.path.dirname(layer)) if n.startswith(("map-", "copy-"))]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root of the host")
@pytest.mark.parametrize("mode", ["default", "auto"])
def test_root_of_the_host(lab, base, mode):
    """Root too gets a user namespace; its private directories need not be open to anybody."""
    top = tempfile.mkdtemp(prefix="rootlet-mounts-root-", dir="/var/tmp")  # 0700
    try:
        shutil.copy2(lab.tool, f"{top}/mounts-tool")
        root = Lab("root", top)
        first = int(root.root_sh("cat /proc/self/uid_map").stdout.split()[1])
        layer = f"{root.store}/layers/1/diff"
        os.makedirs(f"{root.store}/containers")
        shutil.copytree(base, layer, symlinks=True)
        subprocess.run(["chown", "-hR", f"{first}:{first}", layer], check=True)
        os.chmod(f"{layer}/etc/one", 0o600)
        assert root.sh(root.tool, "choose", root.store, f"{top}/run").stdout.startswith("overlay:")
        c = root.container([layer], mode=mode)
        assert c.run("cat /etc/one; echo x >> /etc/one; id -u; stat -c %u /etc/one").stdout == \
            "base\n0\n0\n"
        assert os.stat(f"{c.dir}/upper/etc/one").st_uid >= first
        root.sh(root.tool, "remove", c.dir)
        assert sorted(os.listdir(c.dir)) == ["config.json", "storage.json"]
    finally:
        shutil.rmtree(top)


# --- volumes ---

@pytest.mark.root  # looks into what belongs to subordinate ids
def test_volume_copy_up(lab, base):
    """Owners, modes, times, attributes, links; a symbolic link or nothing at the path."""
    layer = lab.layer("mkdir -p v/d; echo a > v/a; ln v/a v/b; ln -s a v/l; chown 5:6 v v/d; "
                      "chmod 2770 v; touch -d '2001-02-03 04:05:06' v/a; mkfifo v/p; ln -s v sl; "
                      "python3 -c \"import os; os.setxattr('v/a', 'user.k', b'val')\"")
    vol = f"{lab.top}/vol"
    lab.sh("mkdir", "-p", vol)
    lab.sh(lab.tool, "copyup", layer, "/v", vol)
    a, b = os.stat(f"{vol}/a"), os.stat(f"{vol}/b")
    assert a.st_ino == b.st_ino and a.st_mtime == 981173106
    assert lab.root_sh(f"stat -c '%a %u %g' {vol} {vol}/d").stdout == "2770 5 6\n755 5 6\n"
    assert lab.root_sh(f"readlink {vol}/l; test -p {vol}/p && echo fifo").stdout == "a\nfifo\n"
    assert "user.k" in lab.root_sh(
        f"python3 -c \"import os; print(os.listxattr('{vol}/a'))\"").stdout
    r = lab.sh(lab.tool, "copyup", layer, "/sl", vol, check=False)
    assert 'volume "/sl" is a symbolic link in the image' in r.stderr
    lab.sh(lab.tool, "copyup", layer, "/missing/x", vol)
    lab.root_sh(f"rm -rf {vol}")


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("mode", ["default", "keep-id", "auto"])
def test_volume_filled_for_any_map(lab, mode, layers):
    """From one layer and from several; the store and the volume are the user's alone."""
    stack = [lab.layer("mkdir -p v/d; echo a > v/d/a; chown 5:6 v/d; chmod 600 v/d/a; chmod 1777 v",
                       busybox=True)]
    if layers == 2:
        stack.insert(0, lab.layer("mkdir -p v/d; echo b > v/d/b"))
    c = lab.container(stack, mode=mode)
    vol = lab.sh("mktemp", "-d", f"{lab.top}/fill.XXXXXX").stdout.strip()
    try:
        lab.sh("chmod", "700", lab.store)
        lab.sh(lab.tool, "fill", mode, c.dir, "/v", vol)
        c.mount("/v", vol)
        owner = "0 0" if layers == 2 else "5 6"  # a directory's attributes are the topmost one's
        assert c.run("stat -c '%a %u %g' /v /v/d; cat /v/d/a; echo ok > /v/new").stdout == \
            f"{'755' if layers == 2 else '1777'} 0 0\n755 {owner}\na\n"
    finally:
        lab.sh("chmod", "755", lab.store)
        lab.root_sh(f"rm -rf {vol}")
    lab.sh(lab.tool, "remove", c.dir)


def test_concurrent_shifts(lab, base):
    """Several first users of a layer under another map: all succeed, one tree stays."""
    layer = lab.layer("for i in 1 2 3 4 5 6 7 8 9; do echo $i > f$i; done")
    pw = pwd.getpwnam(lab.user)
    kw = dict(user=pw.pw_uid, group=pw.pw_gid, extra_groups=[]) if os.geteuid() == 0 else {}
    procs = []
    for i in range(6):
        d = f"{lab.store}/containers/race{i}"
        procs.append((d, subprocess.Popen(
            [lab.tool, "create", "keep-id", "overlay", lab.store, d, layer, base],
            stderr=subprocess.PIPE, text=True, cwd=lab.top, **kw)))
    for d, p in procs:
        _, err = p.communicate(timeout=120)
        assert p.returncode == 0, err
        assert Container(lab, d, "keep-id").run("cat /f9").stdout == "9\n"
        lab.sh(lab.tool, "remove", d)
    names = os.listdir(os.path.dirname(layer))
    assert len([n for n in names if n.startswith(("map-", "copy-"))]) == 1
    assert os.listdir(f"{lab.store}/ingest") == []
