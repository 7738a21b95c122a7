"""run --unit by hand: this process becomes the supervisor, with the container's status and streams (pain 6)."""
import os
import signal
import socket
import time

import pytest


def test_exit_status_is_the_containers(rootlet):
    """And nothing stays between: one process, the supervisor's."""
    image = rootlet.image()
    assert rootlet("run", "--unit", "--rm", image, "true").rc == 0
    r = rootlet("run", "--unit", "--rm", image, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (r.rc, r.out, r.err) == (7, "out\n", "err\n")
    assert rootlet.ok("ps", "-aq").out == ""


@pytest.mark.parametrize("command,rc", [("/nowhere", 127), ("/etc", 126)])
def test_failed_start(rootlet, command, rc):
    r = rootlet("run", "--unit", "--rm", rootlet.image(), command)
    assert r.rc == rc and r.err.startswith("Error: ") and command in r.err
    assert rootlet.ok("ps", "-aq").out == ""
    r = rootlet.fails("run", "--unit", "--rm", "localhost/none", "true", match="localhost/none")


@pytest.mark.parametrize("words,match", [
    (("-d",), "excludes -d"), (("-t",), "excludes -t"), (("-i",), "excludes -i"),
    (("--restart", "always"), "excludes --restart always"), (("--sdnotify", "x"), "--sdnotify x"),
    (("--log-driver", "passthrough", "--log-opt", "a=b"), "no options")])
def test_refusals(rootlet, words, match):
    rootlet.fails("run", "--unit", *words, rootlet.image(), "true", match=match)
    assert rootlet.ok("ps", "-aq").out == ""


def start(rootlet, *words, **kw):
    p = rootlet.spawn("run", "--unit", *words, **kw)
    rootlet.wait_for(lambda: rootlet("ps", "-q", "--filter", "status=running").out, what="running")
    return p


def test_sigterm_is_the_stop_signal(rootlet):
    """The container's own exit status, also after a stop; the supervisor is the process started."""
    script = "trap 'echo got USR1; exit 5' USR1; echo up; while :; do sleep 0.1; done"
    p = start(rootlet, "--name", "u", "--stop-signal", "USR1", rootlet.image(), "sh", "-c", script)
    state = rootlet.inspect("u")["State"]
    assert p.stdout.readline() == "up\n"
    assert os.readlink(f"/proc/{p.pid}/exe").endswith("rootlet-supervise")
    p.send_signal(signal.SIGTERM)
    assert p.wait(20) == 5 and p.stdout.read() == "got USR1\n"
    after = rootlet.inspect("u")["State"]
    assert state["Running"] and not after["Running"] and after["ExitCode"] == 5
    rootlet.fails("logs", "u", match="not kept.*\nhint: .*journalctl")


def test_death_by_signal_and_start_again(rootlet):
    """The supervisor dies of what the container died of; start --unit runs it once more."""
    image = rootlet.image()
    p = start(rootlet, "--name", "u", "--stop-timeout", "1", image, "sleep", "1000")
    p.send_signal(signal.SIGTERM)  # process 1 without a handler
    assert p.wait(20) == -signal.SIGKILL
    assert rootlet.inspect("u")["State"]["ExitCode"] == 137
    p = rootlet.spawn("start", "--unit", "u")
    rootlet.wait_for(lambda: rootlet.inspect("u")["State"]["Running"])
    rootlet.ok("stop", "-t", "0", "u")
    assert p.wait(20) == -signal.SIGKILL
    rootlet.fails("start", "--unit", "-a", "u", match="without -a")


def test_killed_supervisor_leaves_right_records(rootlet):
    """Of a unit systemd ends the rest; without it the container goes on until that."""
    p = start(rootlet, "--name", "u", rootlet.image(), "sleep", "1000")
    p.kill()
    p.wait()
    state = rootlet.inspect("u")["State"]
    assert state["Running"]
    os.kill(state["Pid"], signal.SIGKILL)
    rootlet.wait_for(lambda: not rootlet.inspect("u")["State"]["Running"])
    rootlet.ok("rm", "-f", "u")


LISTEN = """
import os, sys
fds = [int(a) for a in sys.argv[1].split(",") if a]
for n, fd in enumerate(fds):
    os.dup2(fd + 103, 3 + n)
os.environ["LISTEN_FDS"] = sys.argv[2]
os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[3]))
os.environ["LISTEN_FDNAMES"] = "web:x"
os.execvp(sys.argv[4], sys.argv[4:])
"""


def activated(rootlet, fds, count, words, foreign=0, **kw):
    """As systemd starts a service with sockets: from 3 on, LISTEN_PID its own."""
    prefix = ["python3", "-c", LISTEN, ",".join(str(i) for i in range(len(fds))), str(count), str(foreign)]
    for n, fd in enumerate(fds):
        os.dup2(fd, 103 + n, inheritable=True)
    try:
        return rootlet(*words, prefix=prefix, pass_fds=range(103, 103 + len(fds)), **kw)
    finally:
        for n in range(len(fds)):
            os.close(103 + n)



@pytest.mark.parametrize("how", [("--rm",), ("--unit", "--rm"), ("--rm", "--init"),
                                 ("--unit", "--rm", "--init"), ("--rm", "--pid", "host")])
def test_socket_activation(rootlet, how):
    """A socket of the caller's network answers from a container that has none."""
    image = rootlet.image()
    with socket.create_server(("127.0.0.1", 0)) as server:
        script = ("[ $LISTEN_PID = $$ ] || echo wrong $LISTEN_PID $$; echo $LISTEN_FDS $LISTEN_FDNAMES; "
                  "[ -S /proc/self/fd/3 ] && echo socket; ls /proc/self/fd/4 2>/dev/null")
        r = activated(rootlet, [server.fileno()], 1,
                      ["run", *how, "--network", "none", image, "sh", "-c", script])
        assert r.out == "1 web:x\nsocket\n", r


def test_socket_activation_with_preserved(rootlet):
    """Sockets first, as the protocol wants, then what --preserve-fds counts."""
    image = rootlet.image()
    r, w = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as server:
        got = activated(rootlet, [server.fileno(), w], 1,
                        ["run", "--rm", "--preserve-fds", "1", image, "sh", "-c",
                         "[ -S /proc/self/fd/3 ] && [ -p /proc/self/fd/4 ] && echo both >&4"])
    os.close(w)
    assert got.rc == 0 and os.read(r, 100) == b"both\n"
    os.close(r)


def test_socket_activation_of_a_second_run(rootlet):
    """A restart that a health check asks for has the sockets again."""
    script = ("[ -S /proc/self/fd/3 ] && echo socket $LISTEN_FDS; [ -e /ran ] && exit 0; touch /ran; "
              "trap 'exit 1' TERM; while :; do sleep 0.05; done")
    image = rootlet.image()
    with socket.create_server(("127.0.0.1", 0)) as server:
        r = activated(rootlet, [server.fileno()], 1, [
            "run", "--unit", "--health-cmd", "false", "--health-interval", "100ms", "--health-retries", "1",
            "--health-on-failure", "restart", image, "sh", "-c", script])
    assert r.rc == 0 and r.out == "socket 1\nsocket 1\n", r


def test_sockets_of_another_process(rootlet):
    """LISTEN_PID names somebody else: nothing is handed on."""
    image = rootlet.image()
    with socket.create_server(("127.0.0.1", 0)) as server:
        r = activated(rootlet, [server.fileno()], 1,
                      ["run", "--rm", "--env-host", image, "sh", "-c",
                       "env | grep LISTEN; ls /proc/self/fd/3"], foreign=1)
    assert "LISTEN" not in r.out and r.rc != 0


def test_passthrough_to_a_terminal(rootlet):
    """A terminal stays ours: what is written there comes through a pipe."""
    t = rootlet.pty("run", "--unit", "--rm", rootlet.image(), "sh", "-c", "test -p /dev/stdout && echo a pipe")
    t.expect("a pipe")
    assert t.wait() == 0


@pytest.mark.parametrize("words,uid", [((), 0), (("--user", "1000"), 1000), (("--userns", "keep-id"), None),
                                       (("--read-only", "--userns", "auto", "--user", "5"), 5)])
def test_credentials(rootlet, words, uid):
    """Readable by the container's user whatever its ids, and by nothing that can change them."""
    source = rootlet.user.tmp / "credentials"
    rootlet.shell(f"mkdir {source}; echo -n s3cret >{source}/token; printf 'a\\0b' >{source}/bin; "
                  f"ln -s /etc/passwd {source}/link; chmod 500 {source}")
    script = ("cd $CREDENTIALS_DIRECTORY; pwd; ls; cat token; echo; wc -c <bin; stat -c '%a %u' token; "
              "stat -c %a .; touch x 2>/dev/null || echo fixed; rm -f token 2>/dev/null; ls token; id -u")
    env = {"CREDENTIALS_DIRECTORY": source}
    r = rootlet.ok("run", "--rm", "--unit", *words, rootlet.image(), "sh", "-c", script, env=env)
    lines = r.out.splitlines()
    user = lines[-1]
    assert uid is None or user == str(uid)
    assert lines == ["/run/credentials/rootlet", "bin", "token", "s3cret", "3", f"400 {user}", "500",
                     "fixed", "token", user]
    r = rootlet.ok("run", "--rm", "--env-host", rootlet.image(), "sh", "-c", "env; ls /run; true", env=env)
    assert "CREDENTIALS" not in r.out and "credentials" not in r.out, "given without being asked to"
    rootlet.shell(f"chmod 700 {source}; rm -r {source}")


@pytest.mark.skipif(os.path.exists("/run/systemd/journal/socket"), reason="there is a journal")
def test_journald_without_a_journal(rootlet):
    rootlet.fails("create", "--log-driver", "journald", rootlet.image(),
                  match="journald.*No such file.*\nhint: .*k8s-file")
    assert rootlet.ok("ps", "-aq").out == ""


@pytest.mark.skipif(os.path.exists("/run/systemd/system"), reason="a login would have its place")
@pytest.mark.parametrize("set_to", [None, "/run"], ids=["unset", "of-another"])
def test_without_a_runtime_directory(rootlet, set_to):
    """As in a shell of su, and in a system unit with User=: told once, and every command finds the container."""
    image = rootlet.image()
    env = {"XDG_RUNTIME_DIR": set_to, "ROOTLET_RUNROOT": None}
    place = f"/tmp/rootlet-{rootlet.user.uid}"
    if os.path.exists(place):
        pytest.skip("the one who runs the suite uses it")
    first = rootlet.ok("run", "-d", "--name", "a", image, "sleep", "1000", env=env)
    assert place in first.err and "enable-linger" in first.err and first.err.count("\n") == 1
    second = rootlet.ok("run", "--rm", image, "true", env=env)
    assert second.err == ""
    assert rootlet.ok("ps", "--format", "{{.Names}}", env=env).text == "a"
    assert rootlet.ok("exec", "a", "echo", "x", env=env).text == "x"
    rootlet.ok("rm", "-f", "-t", "0", "a", env=env)
    rootlet.shell(f"rm -rf {place}")


def test_stop_while_it_starts(rootlet):
    """At any moment: the container is stopped or was never made, and none stays behind."""
    image = rootlet.image()
    for ms in (0, 2, 4, 6, 8, 10, 12, 15, 20, 30):
        p = rootlet.spawn("run", "--unit", "--rm", "--stop-timeout", "0", image, "sleep", "1000")
        time.sleep(ms / 1000)
        p.terminate()
        assert p.wait(20) in (-signal.SIGTERM, -signal.SIGKILL), p.stderr.read()
        assert rootlet.ok("ps", "-aq").out == "", ms


def test_pipes_end_with_the_payload(rootlet):
    """Nothing of ours keeps a preserved descriptor open."""
    r, w = os.pipe()
    prefix = ["python3", "-c", "import os, sys; w = int(sys.argv[1]); os.dup2(w, 3); w == 3 or os.close(w); "
              "os.execvp(sys.argv[2], sys.argv[2:])", w]
    p = rootlet.spawn("run", "--unit", "--rm", "--preserve-fds", "1", "--stop-timeout", "0", rootlet.image(), "sh", "-c",
                      "echo told >&3; exec 3>&-; sleep 1000", prefix=prefix, pass_fds=(w,))
    os.close(w)
    with os.fdopen(r) as reader:
        assert reader.read() == "told\n"
    p.terminate()
    p.wait(20)


@pytest.mark.parametrize("words", [(), ("-d",)])
def test_passthrough_without_a_unit(rootlet, words):
    """Each line once, on a terminal too; in the background it goes on to where it was started from."""
    image = rootlet.image()
    r = rootlet("run", *words, "--name", "p", "--log-driver", "passthrough", image, "sh", "-c",
                "sleep 0.2; echo said; echo cried >&2; exit 4")
    assert r.rc == (0 if words else 4) and r.out.endswith("said\n") and r.out.count("said") == 1
    assert r.err == "cried\n"
    t = rootlet.pty("start", "-a", "p")
    t.expect("said")
    assert t.wait() == 4 and "said" not in t.output
