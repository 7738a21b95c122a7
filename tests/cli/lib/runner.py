"""runner - runs rootlet as a test user on a store of its own, through pipes or a terminal."""
import contextlib
import fcntl
import itertools
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

from lib import host

# Everything is slower under sanitizers; on a busy host twice so.
PATIENCE = float(os.environ.get("ROOTLET_TEST_PATIENCE", "4" if host.SANITIZERS else "1"))
_numbers = itertools.count(1)


class Store:
    """A fresh --root and --runroot of one user."""

    def __init__(self, user):
        n = next(_numbers)
        self.user = user
        self.root = user.home / f"s{n}"
        self.runroot = user.runtime / f"r{n}"
        self.loaded = {}

    def environment(self):
        # The default network costs a process for each container: who tests it, asks for it.
        return {"ROOTLET_ROOT": str(self.root), "ROOTLET_RUNROOT": str(self.runroot), "ROOTLET_NETWORK": "none"}

    def remove(self):
        for d in (self.root, self.runroot):
            shutil.rmtree(d, ignore_errors=True)
            if d.exists() and not self.user.made:
                # Files of subordinate ids, which only a user namespace can remove.
                subprocess.run(["unshare", "--map-root-user", "--map-auto", "rm", "-rf", str(d)],
                               check=False)


class Result:
    def __init__(self, argv, rc, out, err, seconds):
        self.argv, self.rc, self.out, self.err, self.seconds = argv, rc, out, err, seconds

    @property
    def text(self):
        """stdout without its last newline: the one id, name or line that a command prints."""
        return self.out.rstrip("\n")

    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return (f"{' '.join(map(str, self.argv))}\n  exit status {self.rc} after {self.seconds:.2f} s"
                f"\n  stdout: {self.out!r}\n  stderr: {self.err!r}")

    __repr__ = __str__


class Rootlet:
    """rootlet(ARGS...) runs a command. Keywords:

    rc       exit status that is expected; None (the default) accepts any
    input    text or bytes for stdin (else /dev/null)
    env      further environment; a value of None removes a variable
    cgroups  ROOTLET_CGROUPS, "disabled" by default; None leaves it unset
    timeout  seconds until the command is killed and the test fails
    binary   stdout and stderr as bytes
    prefix   words before the program, ["strace", "-f"] for instance
    stdin, stdout, stderr, pass_fds, cwd   as in subprocess
    """

    def __init__(self, user, store, images):
        self.user, self.store, self.images = user, store, images
        self.program = str(user.base / "bin" / "rootlet")
        self._children = []

    def environment(self, env=None, cgroups="disabled"):
        full = {**self.user.environment(), **self.store.environment()}
        if cgroups is not None:
            full["ROOTLET_CGROUPS"] = cgroups
        full.update(env or {})
        return {k: str(v) for k, v in full.items() if v is not None}

    def _argv(self, args, prefix, program):
        return [*map(str, prefix or ()), program or self.program, *map(str, args)]

    def spawn(self, *args, env=None, cgroups="disabled", prefix=None, program=None, **popen):
        """Starts a command and returns its Popen, with text pipes; ended with the test."""
        kw = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
              "text": True, "errors": "replace", "cwd": self.user.home, "start_new_session": True}
        kw.update(popen)
        p = subprocess.Popen(self._argv(args, prefix, program), env=self.environment(env, cgroups),
                             **self.user.popen_args(), **kw)
        self._children.append(p)
        return p

    def __call__(self, *args, rc=None, input=None, timeout=60, binary=False, stdin=None, **kw):
        if stdin is None:
            stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        if isinstance(input, str):
            input = input.encode()
        kw.setdefault("text", False)
        begin = time.monotonic()
        p = self.spawn(*args, stdin=stdin, **{**kw, "errors": None})
        try:
            out, err = p.communicate(input, timeout=timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(p.pid, signal.SIGKILL)
            out, err = self._rest(p)
            raise AssertionError("no end within the time: " + str(
                Result(p.args, None, out, err, time.monotonic() - begin))) from None
        finally:
            self._children.remove(p)
        if not binary:
            out, err = ((b or b"").decode(errors="replace") for b in (out, err))
        result = Result(p.args, p.returncode, out, err, time.monotonic() - begin)
        assert rc is None or result.rc == rc, f"want exit status {rc}:\n{result}"
        return result

    @staticmethod
    def _rest(p):
        """What a killed command has said; somebody else may hold its pipes open."""
        try:
            return p.communicate(timeout=2)
        except subprocess.TimeoutExpired as e:
            return e.stdout, e.stderr

    def ok(self, *args, **kw):
        """Runs a command that must succeed."""
        return self(*args, rc=0, **kw)

    def fails(self, *args, rc=125, match=None, **kw):
        """Runs a command that must fail with this status and a message like this."""
        r = self(*args, rc=rc, **kw)
        if match:
            assert re.search(match, r.err), f"want a message like {match!r}:\n{r}"
        return r

    def go(self, name):
        """Makes /go, which a container waits for. Its end may follow at once, and kill who made it."""
        r = self("exec", name, "touch", "/go")
        assert r.rc in (0, 137) and not r.err, r
        return r

    def shell(self, script, rc=0, **kw):
        """Runs sh as the test user, with rootlet in PATH."""
        return self("-c", script, rc=rc, program="/bin/sh", **kw)

    def image(self, name="busybox"):
        """Loads an image of the images fixture into this store (once); returns its reference."""
        if name not in self.store.loaded:
            source = self.images.path(name)
            self.ok("load", "-q", "-i", source, timeout=300)
            self.store.loaded[name] = self.images.reference(name)
        return self.store.loaded[name]

    def pty(self, *args, rows=24, cols=80, env=None, cgroups="disabled", prefix=None, program=None):
        """Starts a command on a new controlling terminal."""
        t = Pty(self, self._argv(args, prefix, program), self.environment(env, cgroups), rows, cols)
        self._children.append(t.process)
        return t

    def inspect(self, name):
        return self.ok("inspect", name).json()[0]

    def wait_for(self, condition, timeout=10, what="the condition"):
        """Asks until the answer is true, and returns it."""
        return wait_for(condition, timeout, what)

    def attached(self, name, *commands):
        """Waits until these commands have asked the supervisor to be attached, and it has heard them: they
        wait for it then, and it for them."""
        def asked(pid):
            return any(link.startswith("socket:") for link in host.descriptors(pid).values()) and host.sleeps(pid)
        pid = self.inspect(name)["State"]["ConmonPid"]
        self.wait_for(lambda: all(asked(p.pid) for p in commands) and host.sleeps(pid), what="attached")

    def end(self):
        """Ends what the test has left running, and removes its containers by rootlet itself."""
        for p in self._children:
            if p.poll() is None:
                with contextlib.suppress(OSError):
                    os.killpg(p.pid, signal.SIGKILL)
                p.wait()
            for stream in (p.stdin, p.stdout, p.stderr):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
        self._children.clear()
        containers = self.store.root / "containers"
        if containers.is_dir() and any(containers.iterdir()):
            return self("rm", "-f", "-a", "-t", "0")
        return None


class Pty:
    """A command on a terminal of its own."""

    def __init__(self, rootlet, argv, env, rows, cols):
        self.master, slave = pty.openpty()
        self.output = ""
        self.resize(rows, cols)
        if rootlet.user.made:
            os.fchown(slave, rootlet.user.uid, -1)

        def control():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen(argv, env=env, stdin=slave, stdout=slave, stderr=slave,
                                        cwd=rootlet.user.home, start_new_session=True,
                                        preexec_fn=control, **rootlet.user.popen_args())
        os.close(slave)

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def send(self, text):
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def _read(self, seconds):
        """False at the end of the terminal."""
        ready, _, _ = select.select([self.master], [], [], max(seconds, 0))
        if not ready:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.output += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern, timeout=20):
        """Reads until the pattern appears; forgets the output up to its end; returns the match."""
        end = time.monotonic() + timeout * PATIENCE
        more = True
        while True:
            match = re.search(pattern, self.output)
            if match:
                self.output = self.output[match.end():]
                return match
            assert more, f"the terminal ended without {pattern!r}: {self.output!r}"
            left = end - time.monotonic()
            assert left > 0, f"no {pattern!r} on the terminal in time: {self.output!r}"
            more = self._read(left)

    def wait(self, timeout=20):
        """Reads to the end; returns the exit status. What was said is in .output."""
        end = time.monotonic() + timeout * PATIENCE
        while time.monotonic() < end and self._read(min(0.2, end - time.monotonic())):
            if self.process.poll() is not None and not self._pending():
                break
        try:
            rc = self.process.wait(max(end - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end within the time: {self.output!r}") from None
        finally:
            os.close(self.master)
        return rc

    def _pending(self):
        return bool(select.select([self.master], [], [], 0)[0])


def wait_for(condition, timeout=10, what="the condition"):
    end = time.monotonic() + timeout * PATIENCE
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"{what} did not come true in {timeout} s"
        time.sleep(0.02)
