"""ps and list: columns, filters, order; and the formats of inspect, ps and images (docker's and
podman's users type them from memory)."""
import json
import re

import pytest

from lib import rows


def make_three(rootlet):
    """One created, one running, one ended."""
    image = rootlet.image()
    rootlet.ok("create", "--name", "new", "-l", "k=v", image, "sh", "-c", "a long command line that is cut")
    rootlet.ok("run", "-d", "--name", "up", "-l", "k=w", image, "sleep", "6000")
    rootlet("run", "--name", "gone", image, "sh", "-c", "exit 4", rc=4)
    return rootlet


@pytest.fixture
def three(rootlet):
    return make_three(rootlet)


@pytest.fixture(scope="module")
def same_three(module_rootlet):
    """For those that only look at them."""
    return make_three(module_rootlet)


def columns(line):
    return re.split(r" {2,}", line.strip())


def names(rootlet, *args):
    return rootlet.ok("ps", "--format", "{{.Names}}", *args).out.split()


@rows("A64", "B3")
def test_columns(same_three):
    lines = same_three.ok("ps").out.splitlines()
    assert columns(lines[0]) == ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert len(lines) == 2
    cells = columns(lines[1])
    assert re.fullmatch("[0-9a-f]{12}", cells[0])
    assert cells[1:3] == ["localhost/busybox:latest", "sleep 6000"]
    assert cells[3].endswith(" ago") and cells[4].startswith("Up ") and cells[-1] == "up"
    lines = same_three.ok("ps", "-a").out.splitlines()
    assert [columns(line)[-1] for line in lines[1:]] == ["gone", "up", "new"]
    assert re.search(r"Exited \(4\) .* ago", lines[1]) and "Created" in lines[3]
    assert "…" in lines[3]
    assert "…" not in same_three.ok("ps", "-a", "--no-trunc").out
    assert columns(same_three.ok("ps", "-s").out.splitlines()[0])[-1] == "SIZE"
    assert columns(same_three.ok("ps", "--ns").out.splitlines()[0]) == \
        "CONTAINER ID,NAMES,PID,CGROUPNS,IPC,MNT,NET,PIDNS,USERNS,UTS".split(",")
    assert same_three.ok("ps", "--noheading").out.count("\n") == 1


@rows("A63")
def test_list(same_three):
    lines = same_three.ok("list").out.splitlines()
    head = columns(lines[0])
    assert {"NAMES", "STATUS", "IMAGE", "PID", "IP", "CREATED"} <= set(head)
    assert len(lines) == 4
    pid = str(same_three.inspect("up")["State"]["Pid"])
    assert any(pid in line for line in lines)


def test_quiet_and_last(same_three):
    ids = same_three.ok("ps", "-aq").out.split()
    assert len(ids) == 3 and all(re.fullmatch("[0-9a-f]{12}", i) for i in ids)
    assert all(len(i) == 64 for i in same_three.ok("ps", "-aq", "--no-trunc").out.split())
    assert names(same_three, "-l") == ["gone"]
    assert names(same_three, "-n", "2") == ["gone", "up"]
    assert same_three.ok("container", "ls", "-q").out == same_three.ok("ps", "-q").out


@pytest.mark.parametrize("filters, want", [
    (["name=up"], ["up"]), (["name=^up$"], ["up"]), (["name=^/up$"], ["up"]), (["name=/up"], ["up"]), (["name=^p$"], []),
    (["name=^(new|up)$"], ["up", "new"]), (["name=^n"], ["new"]), (["name=nosuch"], []), (["status=created"], ["new"]),
    (["status=exited"], ["gone"]), (["status=running"], ["up"]),
    (["status=exited", "status=created"], ["gone", "new"]), (["exited=4"], ["gone"]), (["exited=0"], []),
    (["label=k"], ["up", "new"]), (["label=k=v"], ["new"]), (["label=k=v", "status=running"], []),
    (["label=k", "label=k=v"], ["new"]), (["label=k", "label=nosuch"], []),
    (["ancestor=localhost/busybox"], ["gone", "up", "new"]), (["ancestor=busybox:latest"], ["gone", "up", "new"]),
    (["ancestor=other"], []), (["before=gone"], ["up", "new"]), (["since=new"], ["gone", "up"]),
    (["network=none"], ["gone", "up", "new"]), (["id=zz"], []),
    (["label!=k=v"], ["gone", "up"]), (["label!=k"], ["gone"]), (["until=1h"], []), (["until=2099-01-01T00:00:00Z"], ["gone", "up", "new"]),
    (["command=sleep"], ["up"]), (["health=none"], ["gone", "up", "new"]), (["restart-policy=no"], ["gone", "up", "new"]),
    (["volume=nosuch"], []), (["pod=nosuch"], [])])
def test_filters(same_three, filters, want):
    flags = [word for f in filters for word in ("-f", f)]
    assert names(same_three, "-a", *flags) == want


def test_filters_about_ports(rootlet):
    """docker's publish and expose: the container's port counts, whether it runs or not."""
    rootlet.ok("create", "--name", "web", "--network", "slirp", "-p", "18080:80", "-p", "18000-18002:8000-8002/udp", "--expose", "9000",
               rootlet.image(), "true")
    rootlet.ok("create", "--name", "other", rootlet.image(), "true")
    for term, hit in (("publish=80", 1), ("publish=80/tcp", 1), ("publish=80/udp", 0), ("publish=18080", 0), ("publish=9000", 0),
                      ("publish=70-90", 1), ("publish=81-90", 0), ("publish=8002-9000/udp", 1), ("publish=8001", 0),
                      ("expose=9000", 1), ("expose=80", 1), ("expose=8001/udp", 1), ("expose=9001", 0)):
        assert names(rootlet, "-a", "-f", term) == (["web"] if hit else []), term
    assert names(rootlet, "-a", "-f", "publish!=80") == ["other"]


def test_bad_filters(rootlet):
    rootlet.fails("ps", "-f", "publish=http", match="not a port")
    rootlet.fails("ps", "-f", "expose=90-80", match="not a port")
    rootlet.fails("ps", "-f", "nosuch=1", match="nosuch[\\s\\S]*name")
    rootlet.fails("ps", "-f", "status=sleepy", match="sleepy")
    rootlet.fails("ps", "-f", "name", match="name")
    rootlet.fails("ps", "-f", "before=nosuch", match="nosuch")
    rootlet.fails("ps", "--sort", "nosuch", match="nosuch")
    rootlet.fails("ps", "-f", "until=noon", match="not a time")
    rootlet.fails("ps", "--watch", "0", match="--watch")
    rootlet.fails("ps", "extra", match="argument")


def test_watch(three):
    """Again and again; in place on a terminal, until q."""
    p = three.spawn("ps", "-w", "1", "--format", "{{.Names}} {{.State}}")
    assert [p.stdout.readline() for _ in range(2)] == ["up running\n"] * 2
    p.terminate()
    assert p.wait(20) == 0
    t = three.pty("ps", "-a", "--watch", "1")
    t.expect("\x1b\\[4A")
    t.send("q")
    assert t.wait() == 0


def test_sort(three):
    assert names(three, "-a", "--sort", "names") == ["gone", "new", "up"]
    assert names(three, "-a", "--sort", "created") in (["new", "up", "gone"], ["gone", "up", "new"])
    assert names(three, "-a", "--sort", "status")[0] in ("new", "gone")


def test_sort_by_size(three):
    three.ok("run", "--name", "big", three.image(), "sh", "-c", "head -c 300000 /dev/zero > /big")
    three.ok("run", "--name", "small", three.image(), "sh", "-c", "head -c 5000 /dev/zero > /small")
    assert names(three, "-a", "--sort", "size")[-2:] == ["small", "big"]
    out = three.ok("ps", "-as", "--sort", "size").out.splitlines()
    assert " (virtual " in out[-1] and columns(out[0])[-1] == "SIZE" and " big " in out[-1]


def test_json_has_podmans_keys(same_three):
    found = same_three.ok("ps", "-a", "--format", "json").json()
    assert [c["Names"] for c in found] == [["gone"], ["up"], ["new"]]
    want = {"AutoRemove", "Command", "CreatedAt", "Exited", "ExitedAt", "ExitCode", "Id", "Image", "ImageID",
            "Labels", "Mounts", "Names", "Namespaces", "Networks", "Pid", "Ports", "StartedAt", "State",
            "Status", "Created", "IsInfra", "Pod", "PodName", "Size"}
    assert not want - set(found[0])
    gone, up, new = found
    assert (gone["State"], up["State"], new["State"]) == ("exited", "running", "created")
    assert gone["ExitCode"] == 4 and gone["Exited"] is True and up["Exited"] is False
    assert up["Command"] == ["sleep", "6000"] and up["Pid"] > 1 and new["Pid"] == 0
    assert new["Labels"]["k"] == "v" and len(up["Id"]) == 64
    assert up["ImageID"] and up["Networks"] == ["none"] and up["Ports"] == []
    lines = same_three.ok("ps", "-a", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["Names"] for line in lines] == [["gone"], ["up"], ["new"]]
    assert same_three.ok("ps", "-f", "name=nosuch", "--format", "json").json() == []


@pytest.mark.parametrize("template, want", [
    ("{{.Names}}\t{{.State}}", "up\trunning"), ("{{.ID}}", r"[0-9a-f]{12}"), (r"{{.Names}}\t{{.Image}}", "up\tlocalhost/busybox:latest"),
    ('{{.Label "k"}}', "w"), ("{{json .Names}}", '"up"'), ("{{upper .Names}}", "UP"),
    ("{{.Status}}", "Up .*"), ("{{.Command}}", "sleep 6000"), ("{{.Pid}}", r"\d+"), ("{{len .Names}}", "2"),
    ('{{if eq .State "running"}}yes{{else}}no{{end}}', "yes"), ("{{.AutoRemove}}", "false"),
    ("{{.ImageID}}", "[0-9a-f:sh]+"), ("{{.RunningFor}}", ".* ago"), ("{{.CreatedAt}}", "20.*"),
    ("{{.ExitCode}} {{.Ports}}|{{.Networks}}", r"0 \|none"), ("{{.Mounts}}", ""),
    ("{{.Restarts}}{{.Exited}}", "0false"), ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", ".*k=w;.*"),
])
def test_templates(same_three, template, want):
    assert re.fullmatch(want, same_three.ok("ps", "--format", template).text), same_three.ok("ps", "--format", template)


def test_table_template(same_three):
    lines = same_three.ok("ps", "-a", "--format", r"table {{.Names}}\t{{.Status}}\t{{.ID}}").out.splitlines()
    assert columns(lines[0]) == ["NAMES", "STATUS", "CONTAINER ID"] and len(lines) == 4


def test_bad_templates(same_three):
    for bad in ("{{.NoSuch}}", "{{", "{{nosuch .ID}}", "{{if .ID}}", "{{end}}"):
        r = same_three("ps", "--format", bad)
        assert r.rc == 125 and r.err.startswith("Error: "), r


def test_nothing_to_show(rootlet):
    assert columns(rootlet.ok("ps").out)[0] == "CONTAINER ID"
    assert rootlet.ok("ps", "-q").out == ""
    assert rootlet.ok("images", "--format", "json").json() == []


# inspect

TOP = """Id Created Path Args State Image ImageName Rootfs Name RestartCount Driver Mounts NetworkSettings
Config HostConfig EffectiveCaps BoundingCaps GraphDriver OCIConfigPath PidFile""".split()
STATE = "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt Health".split()
CONFIG = "Hostname User Env Cmd Entrypoint WorkingDir Labels StopSignal Tty OpenStdin".split()
HOST = """Binds Memory NanoCpus CpuQuota PidsLimit NetworkMode PortBindings RestartPolicy CapAdd CapDrop
ReadonlyRootfs SecurityOpt PidMode IpcMode UTSMode""".split()
NET = "IPAddress Gateway MacAddress Ports Networks GlobalIPv6Address SandboxKey".split()


@rows("B3", "B10")
def test_inspect_keys(same_three):
    found = same_three.ok("inspect", "up", "gone").json()
    assert len(found) == 2
    up = found[0]
    assert not set(TOP) - set(up)
    assert not set(STATE) - set(up["State"])
    assert not set(CONFIG) - set(up["Config"])
    assert not set(HOST) - set(up["HostConfig"])
    assert not set(NET) - set(up["NetworkSettings"])
    assert up["Config"]["Cmd"] == ["sleep", "6000"] and up["Config"]["Labels"]["k"] == "w"
    assert "CAP_CHOWN" in up["EffectiveCaps"] and "CAP_SYS_ADMIN" not in up["BoundingCaps"]
    assert same_three.ok("inspect", "-f", "{{.HostConfig.CpuShares}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}",
                    "up").text.count(" ") == 2


@pytest.mark.parametrize("template, want", [
    ("{{.State.Status}} {{.State.Running}}", "running true"), ("{{.Name}}", "up"), ("{{json .Config.Cmd}}", r'\["sleep","6000"\]'),
    ('{{index .Config.Labels "k"}}', "w"), ("{{range .Config.Cmd}}{{.}} {{end}}", "sleep 6000 "),
    ('{{range .Config.Env}}{{println .}}{{end}}', "[\\s\\S]*FROM_IMAGE=yes\n[\\s\\S]*"), ("{{len .Config.Cmd}}", "2"),
    ('{{join .Config.Cmd ","}}', "sleep,6000"), ("{{.State.Pid}}", r"\d+"), ("{{.NetworkSettings.IPAddress}}", ""),
    ("{{if .State.Running}}R{{end}}", "R"), ("{{index .Config.Cmd 1}}", "6000"),
    ("{{with .State}}{{.ExitCode}}{{end}}", "0"), ("{{.Config.Labels.k}}", "w")])
def test_inspect_templates(same_three, template, want):
    assert re.fullmatch(want, same_three.ok("inspect", "-f", template, "up").out[:-1])


def test_inspect_of_what_is_not_there(same_three):
    r = same_three("inspect", "nosuch", rc=125)
    assert r.json() == [] and r.err.startswith('Error: no such object: "nosuch"')
    r = same_three("inspect", "nosuch", "up", rc=125)
    assert [c["Name"] for c in r.json()] == ["up"]
    r = same_three("inspect", "--type", "image", "up", rc=125)
    assert "no such" in r.err
    assert same_three.ok("inspect", same_three.image()).json()[0]["RepoTags"] == ["localhost/busybox:latest"]
    assert same_three.ok("container", "inspect", "up").json()[0]["Name"] == "up"


def test_images(rootlet):
    image = rootlet.image()
    lines = rootlet.ok("images").out.splitlines()
    assert columns(lines[0]) == ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]
    assert columns(lines[1])[:2] == ["localhost/busybox", "latest"]
    assert re.fullmatch(r"[\d.]+ [kM]B", columns(lines[1])[-1])
    assert columns(rootlet.ok("images", "--digests").out.splitlines()[0])[2] == "DIGEST"
    assert re.fullmatch("[0-9a-f]{12}\n", rootlet.ok("images", "-q").out)
    found = rootlet.ok("images", "--format", "json").json()[0]
    assert not {"Id", "ParentId", "RepoTags", "RepoDigests", "Size", "SharedSize", "VirtualSize", "Labels",
                "Containers", "Digest", "Names", "Created", "CreatedAt", "History"} - set(found)
    assert found["Names"] == [image]
    assert rootlet.ok("images", "--format", "{{.Repository}}:{{.Tag}}").text == image
    assert rootlet.ok("images", "-f", "reference=nosuch", "-q").out == ""
    assert rootlet.ok("images", "-f", "dangling=true", "-q").out == ""
    rootlet.fails("images", "-f", "nosuch=1", match="nosuch")
    assert rootlet.ok("image", "ls", "-q").out == rootlet.ok("images", "-q").out


def test_info_and_version(rootlet):
    """Rows A34 and A5: what the host offers is said, not guessed."""
    info = rootlet.ok("info").json()
    assert rootlet.ok("info", "-f", "{{.Storage.Driver}}").text in ("overlay", "copy")
    assert "LSM" in info["Security"] and info["Security"]["Seccomp"] == "default"
    assert re.match(r"rootlet version \d", rootlet.ok("version").out)
    assert re.match(r"rootlet version \d", rootlet.ok("--version").out)
    assert rootlet.ok("version", "-f", "{{.Client.Version}}").text in rootlet.ok("--version").out
