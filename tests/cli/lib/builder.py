"""builder - contexts and Containerfiles for the tests of rootlet build."""
import os
import re

import pytest


class Builder:
    """build(FILE, *OPTIONS) builds a context that add() fills."""

    def __init__(self, rootlet, directory):
        self.rootlet, self.dir = rootlet, directory
        self.base = rootlet.image()
        self.dir.mkdir(parents=True)
        self.own(self.dir)

    def own(self, path):
        if os.geteuid() == 0:
            os.chown(path, self.rootlet.user.uid, self.rootlet.user.gid, follow_symlinks=False)

    def add(self, name, text="", mode=0o644, link=None):
        path = self.dir / name
        for parent in reversed(path.relative_to(self.dir).parents[:-1]):
            if not (self.dir / parent).exists():
                (self.dir / parent).mkdir()
                self.own(self.dir / parent)
        if link is not None:
            path.symlink_to(link)
        else:
            path.write_text(text, encoding="utf-8")
            path.chmod(mode)
        self.own(path)
        return path

    def __call__(self, text, *options, rc=0, **kw):
        self.add("Containerfile", text.replace("BASE", self.base))
        return self.rootlet("build", *options, self.dir, rc=rc, **kw)

    def lines(self, text, *options, **kw):
        """What its RUNs print."""
        r = self(text, "--no-cache", *options, **kw)
        return [l for l in r.out.splitlines()
                if not re.match(r"(\[\d/\d\] )?STEP |--> |COMMIT|Successfully|[0-9a-f]{64}$", l)]

    def files(self, image):
        out = self.rootlet.ok("run", "--rm", "--user", "0", image, "find", "/", "-xdev").out
        return {l for l in out.splitlines() if not re.match(r"/(proc|sys|dev)(/|$)", l)}


@pytest.fixture(name="build")
def fixture_build(rootlet):
    return Builder(rootlet, rootlet.user.home / f"context{os.getpid()}-{rootlet.store.root.name}")
