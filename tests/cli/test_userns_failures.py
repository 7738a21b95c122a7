"""What keeps a user namespace from being made or mapped is recognised, and the command that mends it
is printed. The host's files are replaced in a mount namespace of the test's own."""
import subprocess

import pytest

pytestmark = pytest.mark.root

# Runs "$@" as the user behind changes to what the mount namespace shows.
AS_USER = 'exec setpriv --reuid {u.uid} --regid {u.gid} --clear-groups -- "$@"'


def run(rootlet, changes, *args, how=AS_USER):
    """rootlet ARGS after the changes (shell), in a private mount namespace."""
    script = "set -e\n" + changes + "\n" + how.format(u=rootlet.user)
    env = rootlet.environment()
    r = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", "rootlet", *args],
                       env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return r


def refused(r, what, mend):
    assert r.returncode == 125, r
    first, *rest = r.stderr.splitlines()
    assert first.startswith("Error: ") and what in first, r.stderr
    assert len(rest) == 1 and rest[0].startswith("hint: ") and mend in rest[0], r.stderr
    return rest[0]


@pytest.fixture
def root(rootlet):
    """An image is not needed to find out that no namespace can be made; the store must not matter."""
    return ["run", "--rm", rootlet.image(), "true"]


@pytest.mark.parametrize("helper", ["newuidmap", "newgidmap"])
def test_helper_missing(rootlet, root, helper):
    r = run(rootlet, f"mount --bind /dev/null /usr/bin/{helper}", *root)
    refused(r, "newuidmap or newgidmap is not installed", "apt-get install uidmap")


@pytest.mark.parametrize("helper", ["newuidmap", "newgidmap"])
def test_helper_not_setuid(rootlet, root, helper):
    copy = rootlet.user.tmp / helper
    r = run(rootlet, f"cp /usr/bin/{helper} {copy}; chmod 755 {copy}; mount --bind {copy} /usr/bin/{helper}; rm -f {copy} || :", *root)
    copy.unlink(missing_ok=True)
    refused(r, "map ids", f"chmod u+s /usr/bin/{helper}")


def test_no_subordinate_ids(rootlet, root):
    """None at all: a single id with a notice; a mode that needs them is refused with the fix."""
    r = run(rootlet, "mount --bind /dev/null /etc/subuid", "run", "--rm", "--userns", "auto", *root[2:])
    refused(r, "has no subordinate ids", "usermod --add-subuids")
    r = run(rootlet, "mount --bind /dev/null /etc/subuid", "info", "-f", "{{.IDMappings.Single}}")
    assert r.stdout == "true\n", r


def test_range_that_the_helper_does_not_allow(rootlet, root):
    """/etc/subuid has changed between our reading and the helper's: the helper's word is passed on."""
    u = rootlet.user
    fake = u.tmp / "newuidmap"
    fake.write_text("#!/bin/sh\necho 'newuidmap: uid range [0-1) -> [5-6) not allowed' >&2\nexit 1\n")
    fake.chmod(0o4755)
    r = run(rootlet, f"mount --bind {fake} /usr/bin/newuidmap", *root)
    fake.unlink()
    refused(r, "not allowed", "/etc/subuid")


def test_switched_off_by_sysctl(rootlet):
    """user.max_user_namespaces is of each user namespace: it is switched off in one of the test's own."""
    how = ("exec setpriv --reuid {u.uid} --regid {u.gid} --clear-groups -- unshare --user --map-root-user sh -c "
           "'echo 0 >/proc/sys/user/max_user_namespaces; exec \"$@\"' sh \"$@\"")
    tree = rootlet.user.tmp / "tree"
    tree.mkdir(mode=0o777)
    r = run(rootlet, "", "run", "--rm", "-q", "--rootfs", str(tree), "true", how=how)
    tree.rmdir()
    refused(r, "create user namespace", "sysctl -w user.max_user_namespaces=")
    r = run(rootlet, "", "doctor", how=how)
    assert r.returncode == 1 and "BAD   namespaces" in r.stdout and "sysctl -w user.max_user_namespaces" in r.stdout, r


@pytest.mark.parametrize("name, value, mend", [
    ("unprivileged_userns_clone", 0, "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("apparmor_restrict_unprivileged_userns", 1, "AppArmor restricts user namespaces"),
])
def test_refused_by_the_distribution(rootlet, root, name, value, mend):
    """This kernel has neither switch: a chroot makes it refuse as they do (EPERM), and the files that
    tell the reason are put where such a kernel has them."""
    where = rootlet.user.tmp / "host"
    changes = f"""boot=$(cat /proc/sys/kernel/random/boot_id) last=$(cat /proc/sys/kernel/cap_last_cap)
        mkdir {where}; mount --rbind / {where}; kernel={where}/proc/sys/kernel
        mount -t tmpfs none $kernel; mkdir $kernel/random; echo $boot >$kernel/random/boot_id
        echo $last >$kernel/cap_last_cap; echo {value} >$kernel/{name}"""
    try:
        r = run(rootlet, changes, *root, how=f"exec chroot --userspec={{u.uid}}:{{u.gid}} {where} \"$@\"")
    finally:
        where.rmdir()
    refused(r, "create user namespace: Operation not permitted", mend)
