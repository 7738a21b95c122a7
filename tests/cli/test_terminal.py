"""A real terminal: tmux draws what rootlet and the container write, and sends keys as a user does."""
import re
import shutil
import subprocess

import pytest

from lib import host, rows, runner

pytestmark = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is missing")


class Tmux:
    """One window of a server of its own, with a shell that finds rootlet in its PATH."""

    def __init__(self, rootlet, env):
        self.rootlet = rootlet
        self.socket = str(rootlet.user.tmp / "tmux.sock")
        self.run("-f", "/dev/null", "new-session", "-d", "-x", "90", "-y", "25", "/bin/sh", env=env)
        self.run("set", "-g", "status", "off")
        self.wait("[$#]")

    def run(self, *args, env=None):
        r = self.rootlet("-S", self.socket, *args, program=shutil.which("tmux"),
                         env={"ENV": None, "PS1": "$ ", "LANG": "C.UTF-8", "TERM": "xterm-256color", **(env or {})})
        assert r.rc == 0, r
        return r.out

    def keys(self, *keys):
        self.run("send-keys", *keys)

    def type(self, line):
        self.run("send-keys", "-l", line)
        self.keys("Enter")

    def screen(self, *flags):
        return self.run("capture-pane", "-p", *flags)

    def wait(self, pattern, *flags):
        def seen():
            text = self.screen(*flags)
            # What was typed early stands before the prompt, its answer behind it.
            return re.search(pattern, text, re.M) or re.search(pattern, re.sub(r"(?m)^(?:[$#] |/ # )+", "", text), re.M)
        try:
            return runner.wait_for(seen, 20, f"{pattern!r} on the screen")
        except AssertionError as e:
            raise AssertionError(f"{e}:\n{self.screen()}") from None

    def clear(self):
        self.type("clear")
        runner.wait_for(lambda: self.screen().strip() in ("$", "#"), 20, "an empty screen")

    def end(self):
        subprocess.run([shutil.which("tmux"), "-S", self.socket, "kill-server"], env={}, check=False,
                       capture_output=True, **self.rootlet.user.popen_args())


@pytest.fixture
def tmux(rootlet, request):
    rootlet.image()
    t = Tmux(rootlet, getattr(request, "param", {}))
    yield t
    t.end()
    runner.wait_for(lambda: not [x for x in rootlet.user.processes().values() if "tmux" in x])
    (rootlet.user.tmp / "tmux.sock").unlink(missing_ok=True)


@rows("B46", "A67")
def test_a_session_with_a_container(rootlet, tmux):
    """run -it, its size, a resize, ctrl-c, the detach keys, attach, the exit status, and the terminal as before."""
    box = rootlet.image()
    tmux.type("stty -g | md5sum")
    before = tmux.wait(r"^([0-9a-f]{32})").group(1)
    tmux.clear()
    tmux.type(f"rootlet run -it --name c {box} sh")
    tmux.wait(r"/ #")
    tmux.type("stty size; trap 'echo wi''nch' WINCH")
    tmux.wait("^25 90$")
    tmux.run("resize-window", "-x", "100", "-y", "30")
    tmux.type("stty size")
    tmux.wait("^30 100$")
    tmux.type("sleep 1000")
    tmux.keys("C-c")
    tmux.type("echo st''ill here")
    tmux.wait("^still here$")
    tmux.keys("C-p", "C-q")
    tmux.type("echo out''side $?")
    tmux.wait("^outside 0$")
    assert rootlet.inspect("c")["State"]["Running"]
    tmux.run("resize-window", "-x", "80", "-y", "24")
    tmux.type("while [ \"$(stty size)\" != '24 80' ]; do sleep .1; done; echo res''ized")  # tmux does so in its own time
    tmux.wait("^resized$")
    tmux.clear()
    tmux.type("rootlet attach c")
    tmux.keys("Enter")
    tmux.wait("/ #")
    tmux.type("stty size")
    tmux.wait("^24 80$")
    tmux.type("exit 7")
    tmux.wait("[$]$")
    tmux.type("echo co''de $?; rootlet ps -a --format '{{.Status}}'")
    tmux.wait("^code 7$")
    tmux.wait(r"^Exited \(7\)")
    for after in (f"rootlet run --rm -it {box} true", f"rootlet run --rm -it {box} /nosuch", "true"):
        tmux.clear()
        tmux.type(after + "; stty -g | md5sum")
        assert tmux.wait(r"^([0-9a-f]{32})").group(1) == before, after


def test_exec_with_detach_keys_of_its_own(rootlet, tmux):
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "100")
    tmux.type("rootlet exec -it --detach-keys ctrl-x,x c sh")
    tmux.wait("/ #")
    tmux.type("echo $((40+2)); sleep 321")
    tmux.wait("^42")
    tmux.keys("C-x", "x")
    tmux.type("echo ou''t $?")
    tmux.wait("^out 0$")
    assert rootlet.ok("exec", "c", "sh", "-c", "ps | grep -c '[s]leep 321'").text == "1"


def test_ctrl_c_of_what_does_not_listen(rootlet, tmux):
    """Three times: a line tells what would end it. A second signal of the terminal, ctrl-\\, is the container's too."""
    tmux.type(f"rootlet run --name c {rootlet.image()} sleep 100")
    rootlet.wait_for(lambda: "Up" in rootlet.ok("ps").out)
    for _ in range(3):
        tmux.keys("C-c")
        rootlet.wait_for(lambda: True)
    tmux.wait("it goes on after three interrupts")
    rootlet.ok("rm", "-f", "c")
    tmux.type("echo en''ded $?")
    tmux.wait("^ended 137$")


def test_ctrl_z_stops_the_command_not_the_container(rootlet, tmux):
    tmux.type("set -m")
    tmux.type(f"rootlet run --name c {rootlet.image()} sh -c 'while [ ! -e /go ]; do sleep 0.05; done; exit 3'")
    rootlet.wait_for(lambda: "Up" in rootlet.ok("ps").out)
    tmux.keys("C-z")
    tmux.wait("[Ss]topped|[Ss]uspended")
    rootlet.go("c")
    assert rootlet.ok("wait", "c").text == "3"
    tmux.type("fg; echo co''de $?")
    tmux.wait("^code 3$")


def test_colours_of_errors(rootlet, tmux):
    """Red and cyan on a terminal; none with NO_COLOR, TERM=dumb, or into a pipe."""
    red, cyan = r"\x1b\[(1;31|1m\x1b\[31)m", r"\x1b\[(0;)?36m"
    tmux.type("rootlet start nosuch")
    tmux.wait(red + "Error:", "-e")
    tmux.type("rootlet nosuchverb")
    tmux.wait(cyan + "hint:", "-e")
    tmux.type("rootlet rmi nosuch")
    tmux.wait(red + r"Error:.{0,60}nosuch", "-e")
    tmux.clear()
    for line in ("NO_COLOR=1 rootlet start nosuch", "TERM=dumb rootlet start nosuch", "rootlet start nosuch 2>&1 | cat"):
        tmux.type(line)
        tmux.wait("^Error: start nosuch|^Error: no such")
        assert "\x1b[3" not in tmux.screen("-e") and "\x1b[1" not in tmux.screen("-e"), line
        tmux.clear()


def test_the_terminal_goes_away(rootlet, tmux):
    """A hangup is a signal like others: run hands it on. attach --sig-proxy=false keeps it for itself."""
    box = rootlet.image()
    rootlet.ok("run", "-dit", "--name", "d", box, "sh", "-c", "while :; do sleep 0.05; done")
    tmux.type(f"rootlet run --name c {box} sh -c 'trap \"exit 9\" HUP; echo re\"\"ady; while :; do sleep 0.05; done'")
    tmux.wait("^ready$")
    tmux.run("split-window", "rootlet attach --sig-proxy=false d")
    rootlet.wait_for(lambda: [x for x in rootlet.user.processes().values() if "rootlet attach" in x])
    tmux.run("kill-pane", "-a")
    tmux.end()
    assert rootlet.ok("wait", "c").text in ("9", "0")
    assert rootlet.inspect("d")["State"]["Running"]
    rootlet.wait_for(lambda: not [x for x in rootlet.user.processes().values()
                                  if x.startswith((str(rootlet.user.base / "bin" / "rootlet"), "rootlet attach"))
                                  and "supervise" not in x])


def test_the_package_list_names_tmux():
    assert re.search(r"^test\?? +cmd:tmux ", (host.SRCDIR / "tests" / "packages.txt").read_text(encoding="utf-8"), re.M)
