"""Pods: containers that share namespaces, held by an infra container."""
import os
import re
import signal
import threading
import time

import pytest


def status(rootlet, pod="p"):
    return rootlet.ok("pod", "inspect", "-f", "{{.State}}", pod).text


def wait_status(rootlet, want, pod="p"):
    end = time.monotonic() + 20
    while status(rootlet, pod) != want:
        assert time.monotonic() < end, f"{status(rootlet, pod)}, not {want}"
        time.sleep(0.05)


def sleeper(rootlet, name, *flags, pod="p"):
    return rootlet.ok("run", "-d", "--pod", pod, "--name", name, *flags, rootlet.image(), "sleep", "1000").text


@pytest.fixture
def pods(rootlet):
    yield rootlet
    rootlet("pod", "rm", "-f", "-t", "0", "-a")


def test_life_of_a_pod(pods):
    rootlet = pods
    assert rootlet.ok("pod", "ps").out == "POD ID  NAME  STATUS  CREATED  INFRA ID  # OF CONTAINERS\n"
    pod = rootlet.ok("pod", "create", "--name", "p", "--label", "app=web").text
    assert re.fullmatch("[0-9a-f]{64}", pod)
    rootlet.ok("pod", "exists", "p")
    rootlet.fails("pod", "exists", "q", rc=1, match="^$")
    rootlet.fails("pod", "create", "p", match="pod p exists already\nhint: --replace")
    line = rootlet.ok("pod", "ls").out.splitlines()[1]
    assert re.fullmatch(rf"{pod[:12]} +p +Created +.* ago +{pod[:12]} +1", line)
    one = rootlet.ok("create", "--pod", "p", "--name", "one", rootlet.image(), "sleep", "1000").text
    assert status(rootlet) == "Created"
    two = sleeper(rootlet, "two", pod=pod[:8])
    assert status(rootlet) == "Degraded"
    assert rootlet.ok("pod", "start", "p").out == "p\n"
    assert status(rootlet) == "Running"
    (found,) = rootlet.ok("pod", "inspect", "p").json()
    assert found["Id"] == found["InfraContainerID"] == pod and found["Labels"] == {"app": "web"}
    assert [(c["Name"], c["State"]) for c in found["Containers"]] == [
        ("p-infra", "running"), ("one", "running"), ("two", "running")]
    assert found["SharedNamespaces"] == ["net", "ipc", "uts"] and found["NumContainers"] == 3
    assert {c["Id"] for c in found["Containers"]} == {pod, one, two}
    rootlet.fails("pod", "rm", "p", rc=2, match="container (one|two) is running\nhint: .*pod rm -f")
    assert rootlet.ok("pod", "stop", "-t", "0", "p").out == "p\n"
    assert status(rootlet) in ("Stopped", "Exited")
    assert rootlet.ok("start", "one").out == "one\n"
    assert status(rootlet) == "Degraded", "a member's start starts the infra"
    assert rootlet.ok("pod", "restart", "-t", "0", "p").out == "p\n"
    assert status(rootlet) == "Running"
    assert rootlet.ok("pod", "kill", "p").out == "p\n"
    wait_status(rootlet, "Exited")
    assert rootlet.ok("pod", "rm", "p").out == "p\n"
    assert rootlet.ok("ps", "-aq").out == ""
    rootlet.fails("pod", "rm", "p", rc=1, match="no such pod")
    rootlet.ok("pod", "rm", "-f", "p")
    rootlet.ok("pod", "rm", "-i", "p")


def test_what_is_shared(pods):
    rootlet = pods
    rootlet.ok("pod", "create", "p", "--hostname", "podhost")
    sleeper(rootlet, "one")
    sleeper(rootlet, "two")

    def links(ctr):
        pid = rootlet.inspect(ctr)["State"]["Pid"]
        return {ns: rootlet.shell(f"readlink /proc/{pid}/ns/{ns}").out
                for ns in ("net", "ipc", "uts", "user", "pid", "mnt")}
    infra, one, two = links("p-infra"), links("one"), links("two")
    for ns in ("net", "ipc", "uts", "user"):
        assert infra[ns] == one[ns] == two[ns], ns
    for ns in ("pid", "mnt"):
        assert len({infra[ns], one[ns], two[ns]}) == 3, ns
    out = rootlet.ok("exec", "one", "sh", "-c", "hostname; cat /etc/hostname; grep podhost /etc/hosts").text.split()
    assert out[:2] == ["podhost", "podhost"] and "p-infra" in out
    rootlet.ok("exec", "one", "sh", "-c", "echo shm > /dev/shm/f")
    assert rootlet.ok("exec", "two", "cat", "/dev/shm/f").text == "shm"
    out = rootlet.ok("exec", "two", "grep", " /dev/shm ", "/proc/mounts").text.split()
    assert out[2] == "tmpfs" and {"nosuid", "nodev", "noexec"} <= set(out[3].split(","))
    for flags, match in ((["--network", "host"], "shares its network"), (["--hostname", "x"], "--hostname"),
                         (["--userns", "auto"], "share its user namespace"), (["-p", "80:80"], "--publish")):
        rootlet.fails("run", "--pod", "p", *flags, rootlet.image(), "true", match=match)
    rootlet.fails("run", "--pod", "nosuch", rootlet.image(), "true", match='no such pod: "nosuch"')
    # its own, where it says so
    assert rootlet.ok("run", "--rm", "--pod", "p", "--uts", "private", "--hostname", "own", rootlet.image(),
                      "hostname").text == "own"


@pytest.mark.parametrize("mode", ["keep-id", "auto"])
def test_user_namespaces(pods, mode):
    rootlet = pods
    rootlet.ok("pod", "create", "--userns", mode, "p")
    sleeper(rootlet, "one", "--user", "0")
    maps = {rootlet.ok("run", "--rm", "--pod", "p", rootlet.image(), "cat", "/proc/self/uid_map").out for _ in range(2)}
    maps.add(rootlet.ok("exec", "one", "cat", "/proc/self/uid_map").out)
    assert len(maps) == 1
    out = rootlet.ok("run", "--rm", "--pod", "p", "-u", "0", rootlet.image(), "sh", "-c",
                     "touch /f && chown 5 /f && stat -c %u /f /etc").text
    assert out == "5\n0"


def test_share_none_and_pid(pods):
    rootlet = pods
    rootlet.ok("pod", "create", "--share", "none", "p", env={"ROOTLET_NETWORK": "slirp"})
    assert rootlet.inspect("p-infra")["HostConfig"]["NetworkMode"] == "none", "nobody is to use it"
    # What podman-compose says.
    rootlet.ok("pod", "create", "--name=c", "--infra=false", "--share=", env={"ROOTLET_NETWORK": "slirp"})
    assert rootlet.inspect("c-infra")["HostConfig"]["NetworkMode"] == "none"
    rootlet.fails("pod", "create", "--share", "ipc", "-p", "8080:80", "d", match="pod d: --publish: its network is not shared\nhint: ")
    assert rootlet.ok("run", "--rm", "--pod", "p", "--hostname", "x", "--network", "none", rootlet.image(),
                      "hostname").text == "x"
    rootlet.ok("pod", "create", "--share", "+pid", "q")
    sleeper(rootlet, "one", pod="q")
    out = rootlet.ok("run", "--rm", "--pod", "q", rootlet.image(), "ps").out
    assert "sleep 1000" in out and "rootlet-init" in out
    rootlet.fails("pod", "create", "--share", "nosuch", "r", match="--share nosuch: unknown namespace")


def test_new_and_replace(pods):
    rootlet = pods
    sleeper(rootlet, "one", "--stop-timeout", "1", pod="new:p")
    assert status(rootlet) == "Running"
    first = rootlet.ok("pod", "inspect", "-f", "{{.Id}}", "p").text
    rootlet.fails("run", "--pod", "new:p", rootlet.image(), "true", match="pod p exists already")
    second = rootlet.ok("pod", "create", "--replace", "p").text
    assert second != first and rootlet.ok("ps", "-aq", "--no-trunc").out.split() == [second]
    for flags, match in ((["--infra=false"], "--share none"), (["--exit-policy", "x"], "not continue or stop"),
                         (["-p", "80:80"], "--publish"), (["--memory", "1g"], "not there yet"),
                         (["--name", "../x"], "not valid"), (["--userns", "nosuch"], "nosuch")):
        rootlet.fails("pod", "create", *flags, match=match)
    assert len(rootlet.ok("pod", "ps", "-q").out.split()) == 1


def test_the_infra_is_the_pod(pods):
    rootlet = pods
    rootlet.ok("pod", "create", "--infra-name", "base", "p")
    rootlet.ok("create", "--pod", "p", "--name", "one", rootlet.image(), "true")
    rootlet.fails("rm", "base", match="infra container of pod p\nhint: rootlet pod rm p")
    rootlet.fails("rm", "-f", "base", match="infra container of pod p")
    rootlet.ok("rm", "one")
    rootlet.ok("rm", "base")
    assert rootlet.ok("pod", "ps", "-q").out == ""


def test_ps_inspect_and_filters(pods):
    rootlet = pods
    pod = rootlet.ok("pod", "create", "--label", "a=1", "p").text
    rootlet.ok("pod", "create", "q")
    rootlet.ok("create", "--pod", "p", "--name", "one", rootlet.image(), "true")
    rootlet.ok("create", "--name", "alone", rootlet.image(), "true")
    assert rootlet.inspect("one")["Pod"] == pod and rootlet.inspect("alone")["Pod"] == ""
    rows = {r["Names"][0]: r for r in rootlet.ok("ps", "-a", "--format", "json").json()}
    assert (rows["one"]["Pod"], rows["one"]["PodName"], rows["one"]["IsInfra"]) == (pod, "p", False)
    assert (rows["p-infra"]["Pod"], rows["p-infra"]["PodName"], rows["p-infra"]["IsInfra"]) == (pod, "p", True)
    assert rows["alone"]["Pod"] == ""
    assert rootlet.ok("ps", "-a", "--filter", "pod=p", "--format", "{{.Names}}").out.split() == ["one", "p-infra"]
    assert rootlet.ok("ps", "-a", "--filter", f"pod={pod[:10]}", "--format", "{{.Names}}").out.split() == ["one", "p-infra"]
    lines = rootlet.ok("ps", "-a", "--pod").out.splitlines()
    assert lines[0].endswith("POD ID        PODNAME") and any(x.endswith(f"{pod[:12]}  p") for x in lines)
    for term, want in (("name=p", ["p"]), ("label=a", ["p"]), ("label=a=2", []), ("ctr-names=one", ["p"]),
                       ("status=created", ["q", "p"]), ("name=^[pq]$", ["q", "p"]), ("name!=q", ["p"]), ("ctr-number=2", ["p"]), (f"id={pod[:9]}", ["p"])):
        assert rootlet.ok("pod", "ps", "--filter", term, "--format", "{{.Name}}").out.split() == want, term
    both = rootlet.ok("pod", "ps", "--filter", "label=a", "--filter", "label=nosuch", "--format", "{{.Name}}")
    assert both.out == "", "labels must all be there, as podman's"
    rootlet.fails("pod", "ps", "--filter", "nosuch=1", match="known: id, name")
    assert rootlet.ok("pod", "ps", "--ctr-names", "--filter", "name=p").out.splitlines()[1].endswith("p-infra,one")
    (row,) = rootlet.ok("pod", "ps", "--format", "json", "--filter", "name=p").json()
    assert row["Id"] == pod and [c["Names"] for c in row["Containers"]] == ["p-infra", "one"]


def test_rm_all(pods):
    """The infra container goes behind its members, running, made, or ended by themselves."""
    rootlet = pods
    rootlet.ok("pod", "create", "p")
    image = rootlet.image()
    for n, command in enumerate((("sleep", "1000"), ("true",), ("sleep", "1000"))):
        rootlet.ok("run", "-d", "--pod", "p", *(["--rm"] if n == 2 else []), image, *command)
    rootlet.ok("create", "--pod", "p", image, "true")
    infra = rootlet.ok("ps", "-aq", "--no-trunc", "--filter", "name=p-infra").text
    rootlet.fails("rm", "-f", "p-infra", match="infra container of pod p")
    assert rootlet.inspect("p-infra")["State"]["Running"]
    assert rootlet.ok("rm", "-f", "-a", "-t", "0").out.split()[-1] == infra
    assert rootlet.ok("ps", "-aq").out == "" and rootlet.ok("pod", "ps", "-q").out == ""
    rootlet.ok("pod", "create", "p")
    rootlet.ok("run", "-d", "--pod", "p", image, "sleep", "1000")
    rootlet.ok("rm", "-f", "-a", "-t", "1")
    assert rootlet.ok("ps", "-aq").out == ""


def test_exit_policy_stop(pods):
    """The pod ends with its last container, also when that one's supervisor is killed."""
    rootlet = pods
    rootlet.ok("pod", "create", "--exit-policy", "stop", "p")
    sleeper(rootlet, "one")
    sleeper(rootlet, "two")
    rootlet.ok("rm", "-f", "one")
    time.sleep(0.3)
    assert rootlet.inspect("p-infra")["State"]["Status"] == "running"
    rootlet.ok("stop", "-t", "0", "two")
    wait_status(rootlet, "Stopped")
    rootlet.ok("pod", "start", "p")
    assert status(rootlet) == "Running"
    rootlet.shell(f"kill -9 {supervisor(rootlet, 'two')}")
    end = time.monotonic() + 20
    while rootlet.inspect("p-infra")["State"]["Status"] == "running":
        assert time.monotonic() < end
        time.sleep(0.05)
    for _ in range(3):  # a member that comes while the pod is going starts it anew
        assert rootlet.ok("run", "--rm", "--pod", "p", rootlet.image(), "echo", "x").text == "x"
    rootlet.ok("pod", "create", "q")
    assert rootlet.ok("run", "--rm", "--pod", "q", rootlet.image(), "echo", "x").text == "x"
    time.sleep(0.3)
    assert status(rootlet, "q") == "Running", "by default it goes on"


def supervisor(rootlet, name):
    path = rootlet.store.root / "containers" / rootlet.inspect(name)["Id"] / "state.json"
    return re.search(r'"supervisor_pid": *(\d+)', rootlet.shell(f"cat {path}").out).group(1)


def test_members_find_the_infra_of_now(pods):
    """A pod that was stopped has other processes; and a shared namespace of a container that was restarted too."""
    rootlet = pods
    rootlet.ok("pod", "create", "p")
    sleeper(rootlet, "one")
    rootlet.shell(f"kill -9 {supervisor(rootlet, 'p-infra')}")
    rootlet.ok("stop", "-t", "0", "one")
    for _ in range(2):
        rootlet.ok("start", "one")
        a, b = (rootlet.shell(f"readlink /proc/{rootlet.inspect(c)['State']['Pid']}/ns/ipc").out
                for c in ("one", "p-infra"))
        assert a == b
        rootlet.ok("pod", "stop", "-t", "0", "p")
    rootlet.ok("run", "-d", "--name", "base", rootlet.image(), "sleep", "1000")
    rootlet.ok("run", "-d", "--name", "guest", "--ipc", "container:base", "--uts", "container:base", rootlet.image(),
               "sleep", "1000")
    rootlet.ok("restart", "-t", "0", "base")
    rootlet.ok("restart", "-t", "0", "guest")
    a, b = (rootlet.shell(f"readlink /proc/{rootlet.inspect(c)['State']['Pid']}/ns/uts").out
            for c in ("base", "guest"))
    assert a == b
    rootlet.ok("stop", "-t", "0", "base", "guest")
    rootlet.fails("start", "guest", match="container base: it is not running\nhint: rootlet start base")
    rootlet.ok("rm", "-f", "base", "guest")


def test_shm_of_another_container(rootlet):
    """--ipc container:ID shares /dev/shm; one of its own is for who asks for a size."""
    rootlet.ok("run", "-d", "--name", "base", "--shm-size", "3m", rootlet.image(), "sleep", "1000")
    rootlet.ok("exec", "base", "sh", "-c", "echo x > /dev/shm/f")
    ipc = ("--rm", "--ipc", "container:base")
    out = rootlet.ok("run", *ipc, rootlet.image(), "sh", "-c", "cat /dev/shm/f; df -k /dev/shm | awk '{print $2}'").text
    assert out.split() == ["x", "1024-blocks", "3072"] or out.split()[0] == "x" and out.split()[-1] == "3072"
    assert rootlet.ok("run", *ipc, "--shm-size", "1m", rootlet.image(), "ls", "/dev/shm").text == ""
    rootlet.ok("run", "-d", "--name", "odd", "--mount", "type=bind,src=/etc,dst=/dev/shm,ro", rootlet.image(), "sleep", "99")
    rootlet.fails("run", "--rm", "--ipc", "container:odd", rootlet.image(), "true", match="share /dev/shm of container odd")
    assert rootlet.ok("run", "--rm", "--ipc", "host", rootlet.image(), "sh", "-c", "grep -c ' /dev/shm ' /proc/mounts").text == "1"
    rootlet.ok("rm", "-f", "base", "odd")


def test_many_members_at_once(pods):
    """Two members that are started at once start one infra; a pod that goes takes none of them half."""
    rootlet = pods
    rootlet.ok("pod", "create", "p")
    for n in range(3):
        rootlet.ok("create", "--pod", "p", "--name", f"c{n}", rootlet.image(), "sleep", "1000")
    results = []
    threads = [threading.Thread(target=lambda n=n: results.append(rootlet("start", f"c{n}"))) for n in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [r.rc for r in results] == [0, 0, 0], results
    assert status(rootlet) == "Running"
    run = rootlet.spawn("create", "--pod", "p", "--name", "late", rootlet.image(), "true")
    rootlet.ok("pod", "rm", "-f", "-t", "0", "p")
    _, err = run.communicate(timeout=60)
    assert run.returncode == 0 or "no such pod" in err, err
    assert rootlet.ok("ps", "-aq").out == "", err


@pytest.mark.parametrize("n", range(6))
def test_killed_commands(pods, n):
    """R3, R7: pod create, start and rm killed at any moment; the next command repairs."""
    rootlet = pods
    for words in (("pod", "create", "p"), ("pod", "start", "p"), ("pod", "rm", "-f", "p")):
        p = rootlet.spawn(*words)
        time.sleep(0.006 * n)
        p.send_signal(signal.SIGKILL)
        p.communicate()
    rootlet.ok("pod", "create", "--replace", "p")
    sleeper(rootlet, "one")
    assert status(rootlet) == "Running"
    rootlet.ok("pod", "rm", "-f", "-t", "0", "p")
    assert os.listdir(rootlet.store.root / "containers") == []


def test_logs(rootlet):
    """Of all members, with names as podman has them; one alone; as they come."""
    box = rootlet.image()
    rootlet.ok("pod", "create", "p")
    say = "echo $0 out; echo $0 err >&2; sleep 1000"
    one = rootlet.ok("run", "-d", "--pod", "p", "--name", "one", box, "sh", "-c", say, "first").text
    rootlet.ok("run", "-d", "--pod", "p", "--name", "two", box, "sh", "-c", say, "second")
    rootlet.wait_for(lambda: len(rootlet.ok("pod", "logs", "p").out.splitlines()) == 2)
    rootlet.wait_for(lambda: len(rootlet.ok("pod", "logs", "p").err.splitlines()) == 2)
    r = rootlet.ok("pod", "logs", "--names", "p")
    assert (r.out, r.err) == ("one first out\ntwo second out\n", "one first err\ntwo second err\n")
    assert rootlet.ok("pod", "logs", "-c", "one", "p").out == f"{one[:12]} first out\n"
    assert re.fullmatch(r"two 2\S+T\S+ second out\n", rootlet.ok("pod", "logs", "-nt", "-c", "two", "p").out)
    assert rootlet.ok("pod", "logs", "--since", "0s", "p").out == ""
    rootlet.fails("pod", "logs", "-c", "other", "p", match='pod p has no container "other"')
    rootlet.fails("pod", "logs", "q", match="no such pod")
    lines = rootlet.ok("pod", "stats", "--no-stream", "p").out.splitlines()
    assert lines[0].split()[:3] == ["POD", "CID", "NAME"] and len(lines) == 4
    assert {row["Pod"] for row in rootlet.ok("pod", "stats", "--no-stream", "--format", "json").json()} == {
        rootlet.ok("pod", "inspect", "-f", "{{.Id}}", "p").text}
    f = rootlet.spawn("pod", "logs", "-fn", "p")
    assert sorted(f.stdout.readline() for _ in range(2)) == ["one first out\n", "two second out\n"]
    rootlet.ok("pod", "rm", "-ft0", "p")
    assert f.wait(20) == 0


def test_stats_without_pods(rootlet):
    rootlet.fails("pod", "stats", match="there is no pod")
    rootlet.fails("pod", "stats", "q", match="no such pod")
