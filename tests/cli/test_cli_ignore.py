"""--ignore of stop and wait, and what is refused by its name."""


def test_ignore(rootlet):
    box = rootlet.image()
    assert rootlet.ok("stop", "-i", "nosuch").out == ""
    rootlet.fails("stop", "nosuch", match="no such container")
    rootlet.ok("run", "-d", "--name", "job", box, "sleep", "100")
    assert rootlet.ok("stop", "-t", "0", "-i", "nosuch", "job").out == "job\n"
    assert rootlet.ok("wait", "--ignore", "nosuch", "job").out == "-1\n137\n"


def test_refused_by_name(rootlet):
    """What this version or a container without a network cannot do is not taken and ignored."""
    box = rootlet.image()
    rootlet.fails("run", "-p", "8080:80", box, "true", match="--publish")
    rootlet.fails("create", "--port", "8080:80", box, "true", match="--publish")
    rootlet.fails("run", "--memory", "64m", box, "true", match="--memory")
    assert rootlet.ok("ps", "-aq").out == ""


def test_platform(rootlet):
    box = rootlet.image()
    image = rootlet.ok("image", "inspect", box).json()[0]
    here = f"{image['Os']}/{image['Architecture']}"
    rootlet.ok("run", "--rm", "--platform", here, box, "true")
    rootlet.fails("run", "--rm", "--platform", "linux/nosuch", box, "true", match="the image is for " + here)
