"""The privileged helper as it is installed, but with its policy in a file of the test's: the path in
the program is overwritten by one of the same length. No other way to another policy exists."""
import ipaddress
import os
import pathlib
import shutil
import struct
import subprocess
import sys

from lib import host

BUILT = host.BUILDDIR / "rootlet-net-helper"
PING = pathlib.Path(__file__).with_name("ping.py")
CAPABILITY = 1 << 12  # CAP_NET_ADMIN


def policy_path():
    """Where the program looks, as it was configured."""
    data = BUILT.read_bytes()
    end = data.index(b"/rootlet/net.conf\0") + len(b"/rootlet/net.conf")
    start = data.rindex(b"\0", 0, end) + 1
    return data[start:end]


class Helper:
    def __init__(self, directory, setuid=False, program=None):
        """directory: root's, and as short as a directory of the tests' base. program: it goes to bin/ there."""
        self.dir = pathlib.Path(directory)
        old = policy_path()
        new = str(self.dir).encode()
        assert len(new) + 2 <= len(old), f"{self.dir} is too long to stand for {old}"
        new += b"/" * (len(old) - len(new) - 1) + b"n"
        self.conf = self.dir / "n"
        self.program = self.dir / "bin" / "rootlet-net-helper" if program else self.dir / "rootlet-net-helper"
        self.program.unlink(missing_ok=True)
        self.program.write_bytes(BUILT.read_bytes().replace(old + b"\0", new + b"\0"))
        self.program.chmod(0o755)
        if setuid:
            self.program.chmod(0o4755)
        else:
            subprocess.run(["setcap", "cap_net_admin+ep", str(self.program)], check=True)

    def policy(self, *lines, mode=0o644):
        self.conf.unlink(missing_ok=True)
        self.conf.write_bytes(b"".join(line if isinstance(line, bytes) else line.encode() + b"\n" for line in lines))
        self.conf.chmod(mode)

    def end(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class Reader:
    """struct bridge_answer (src/net/bridge-answer.h) as a dictionary."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, fmt):
        got = struct.unpack_from("=" + fmt, self.data, self.at)
        self.at += struct.calcsize("=" + fmt)
        return got[0] if len(got) == 1 else got

    def text(self, size):
        return self.take(f"{size}s").split(b"\0")[0].decode()

    def addr(self):
        family, b = self.take("B16s")
        return str(ipaddress.ip_address(b[:4] if family == 4 else b)) if family else ""

    def cidr(self):
        addr, bits = self.addr(), self.take("B")
        return f"{addr}/{bits}" if addr else ""

    def grant(self):
        g = {"name": self.text(16), "subnet": self.cidr(), "subnet6": self.cidr(), "block": self.cidr()}
        self.at += 2  # the compiler's
        return {**g, "interfaces": self.take("I")}

    def notice(self):
        return {"table": self.text(32), "chain": self.text(32), "family": self.take("B"), "docker": self.take("B")}

    def answer(self):
        version, grants, notices = self.take("III")
        assert version == 0x726c0001
        a = {"slot": self.text(16), "bridge": self.text(16), "address": self.cidr(), "address6": self.cidr(),
             "gateway": self.addr(), "gateway6": self.addr(), "mac": self.take("6s").hex(":")}
        a["by_kernel"] = list(self.take("48B"))
        self.at += -self.at % 4
        a["bridges"] = [self.grant() for _ in range(16)][:grants]
        a["notices"] = [self.notice() for _ in range(4)][:notices]
        self.at += -self.at % 4
        assert self.at == len(self.data), (self.at, len(self.data))
        return {k: v for k, v in a.items() if v != ""}


class Caller:
    """A user who calls the helper on the host of a world."""

    def __init__(self, world, helper, uid, gid=None):
        self.world, self.helper, self.uid, self.gid = world, helper, uid, uid if gid is None else gid

    def start(self, *args, fds=(), prefix=(), program=None, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        kw.setdefault("extra_groups", [])
        if self.uid:
            kw.update(user=self.uid, group=self.gid)
        return self.world.host.start(*prefix, program or self.helper.program, *args, pass_fds=list(fds), **kw)

    def __call__(self, *args, fds=(), **kw):
        p = self.start(*args, fds=fds, **kw)
        out, err = p.communicate(timeout=60)
        return Answer(p.args, p.returncode, out, err.decode())

    def ok(self, *args, **kw):
        r = self(*args, **kw)
        assert r.rc == 0, r
        return r.answer()

    def refused(self, *args, match="", rc=1, **kw):
        r = self(*args, **kw)
        assert r.rc == rc and not r.out and match in r.err and r.err.count("\n") == 1, (match, r)
        return r.err

    def container(self):
        return Container(self)

    def add(self, container, *more, bridge="rlbr0", device="eth0", fds=()):
        return self.ok("add", bridge, container.fd, device, *more, fds=[container.fd, *fds])


class Answer:
    def __init__(self, argv, rc, out, err):
        self.argv, self.rc, self.out, self.err = argv, rc, out, err

    def answer(self):
        return Reader(self.out).answer()

    def __repr__(self):
        return f"{self.argv[1:]}: {self.rc}: {self.out!r} {self.err!r}"


class Container:
    """User and network namespace of a user, as rootlet makes them, and its configured interface."""

    def __init__(self, caller):
        self.caller = caller
        p = caller.start("-Urn", "sh", "-c", "echo; exec sleep 100000", program="unshare", stderr=None)
        self.proc = p
        assert p.stdout.read(1) == b"\n"
        self.fd = os.open(f"/proc/{p.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.enter = ["nsenter", f"--net=/proc/{p.pid}/ns/net"]

    def start(self, *argv, **kw):
        return subprocess.Popen([*self.enter, *map(str, argv)], **kw)

    def run(self, *argv, check=True, timeout=30, **kw):
        r = subprocess.run([*self.enter, *map(str, argv)], capture_output=True, text=True, check=False, timeout=timeout, **kw)
        assert not check or r.returncode == 0, f"{argv}: {r.returncode}: {r.stdout}{r.stderr}"
        return r.stdout

    def configure(self, a, device="eth0"):
        """What the driver does, with what the helper has said."""
        lines = ["link set lo up", f"link set {device} address {a['mac']}", f"link set {device} up",
                 f"addr add {a['address']} dev {device}"]
        if "address6" in a:
            lines += [f"addr add {a['address6']} dev {device} nodad", f"route add default via {a['gateway6']}"]
        lines.append(f"route add default via {a['gateway']}")
        self.run("ip", "-batch", "-", input="\n".join(lines) + "\n")
        self.ip, self.ip6 = a["address"].split("/")[0], a.get("address6", "").split("/")[0]
        self.answer = a
        return self

    def up(self, *more, **kw):
        return self.configure(self.caller.add(self, *more, **kw))

    def pings(self, address, timeout=15):
        return subprocess.run([*self.enter, sys.executable, str(PING), address, str(timeout)], check=False).returncode == 0

    def end(self):
        if self.proc.returncode is None:
            self.proc.kill()
            self.proc.wait()
            self.proc.stdout.close()
            os.close(self.fd)


def links(world):
    return world.host.run("ip", "-o", "link")


def rules(world):
    return world.host.run("nft", "list", "ruleset")
