"""What keeps the store small: container, pod and system prune; system df and reset; sizes; unshare."""

def names(rootlet):
    return sorted(rootlet.ok("ps", "-a", "--format", "{{.Names}}").out.split())


def test_container_exists(rootlet):
    rootlet.ok("create", "--name", "c", rootlet.image(), "true")
    assert rootlet.ok("container", "exists", "c").out == ""
    r = rootlet("container", "exists", "d", rc=1)
    assert (r.out, r.err) == ("", "")
    rootlet.fails("container", "exists", "c", "d")


def test_container_prune(rootlet):
    box = rootlet.image()
    ids = {n: rootlet.ok("create", "--name", n, *more, box, "true").text
           for n, more in (("a", ["-l", "keep"]), ("b", ["-l", "x=1"]), ("c", []))}
    rootlet.ok("run", "-d", "--name", "up", box, "sleep", "100")
    rootlet.ok("run", "--name", "ended", box, "true")
    assert rootlet.ok("container", "prune", "-f", "--filter", "until=1h").out == ""
    r = rootlet.ok("container", "prune", "-f", "--filter", "label=x=1")
    assert r.out == ids["b"] + "\n"
    rootlet.ok("container", "prune", "-f", "--filter", "label!=keep", "--filter", "until=0s")
    assert names(rootlet) == ["a", "up"]
    rootlet.fails("container", "prune", "-f", "--filter", "name=a", match="unknown filter\nhint: known: until=")
    rootlet.fails("container", "prune", "-f", "--filter", "until=soon", match="not a time")
    rootlet.ok("container", "prune", "-f")
    assert names(rootlet) == ["up"]


def test_the_question(rootlet):
    """Asked on a terminal; an answer may come through a pipe; without any nothing goes."""
    rootlet.ok("create", "--name", "c", rootlet.image(), "true")
    rootlet.fails("container", "prune", match="nobody is there to answer.*\nhint: --force")
    assert "WARNING! This will remove all stopped containers.\n" in rootlet.ok("container", "prune", input="n\n").out
    assert names(rootlet) == ["c"]
    for command in (("image", "prune"), ("image", "prune", "-a"), ("volume", "prune"), ("pod", "prune")):
        r = rootlet.fails(*command, match="nobody is there to answer")
        assert "WARNING! This will remove all " in r.out and "[y/N]" in r.out
    t = rootlet.pty("container", "prune")
    t.expect(r"Are you sure you want to continue\? \[y/N\] ")
    t.send("y\n")
    assert t.wait() == 0
    assert names(rootlet) == []


def test_pod_prune(rootlet):
    box = rootlet.image()
    for pod in ("never", "up", "down"):
        rootlet.ok("pod", "create", pod)
        rootlet.ok("create", "--pod", pod, "--name", f"in-{pod}", box, "sleep", "100")
    rootlet.ok("pod", "start", "up", "down")
    rootlet.ok("pod", "stop", "-t", "0", "down")
    infra = rootlet.ok("pod", "inspect", "-f", "{{.Id}}", "down").text
    assert rootlet.ok("pod", "prune", "-f").out == infra + "\n"
    assert sorted(rootlet.ok("pod", "ps", "--format", "{{.Name}}").out.split()) == ["never", "up"]
    # A member that does not run goes, the infra container does not.
    rootlet.ok("container", "prune", "-f")
    assert sorted(rootlet.ok("pod", "ps", "--format", "{{.Name}}").out.split()) == ["never", "up"]
    assert "in-up" in names(rootlet) and "in-never" not in names(rootlet)
    rootlet.ok("pod", "rm", "-fa")


def test_image_prune_filters(rootlet):
    box = rootlet.image()
    rootlet.ok("untag", box)
    rootlet.ok("image", "prune", "-f", "--filter", "label=nosuch")
    assert rootlet.ok("images", "-q").out != ""
    rootlet.fails("image", "prune", "-f", "--filter", "dangling=true", match="known: until=")
    rootlet.ok("image", "prune", "-f", "--filter", "label!=nosuch", "--filter", "until=0s")
    assert rootlet.ok("images", "-q").out == ""
    rootlet.store.loaded.clear()
