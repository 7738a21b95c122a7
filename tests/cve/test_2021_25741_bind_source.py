"""The source of a bind lies below a directory that another container may write to, and becomes a
link to the user's files between create and start, or between two starts (CVE-2021-25741)."""
import pytest

from lib import rows


@rows("A4")
@pytest.mark.parametrize("exchange", [
    "mv /shared/source /shared/old && ln -s {top} /shared/source",
    "mv /shared/dir /shared/old && ln -s {top} /shared/dir",
    "rm -r /shared/source && ln -s ../.. /shared/source",
])
def test_source_becomes_a_link(rootlet, lab, exchange):
    shared = lab.dir("shared", 0o777)
    for path in ("source", "dir", "dir/source"):
        lab.dir(f"shared/{path}", 0o777)
    lab.file("source", "secret\n", mode=0o600)
    lab.file("key", "secret\n", mode=0o600)
    image = rootlet.image()
    source = shared / ("dir/source" if "dir" in exchange else "source")
    show = ("sh", "-c", "cat /data /data/key /data/*; true")
    rootlet.ok("create", "--name", "victim", "-v", f"{source}:/data", image, *show)
    assert "secret" not in rootlet.ok("start", "-a", "victim").out
    rootlet.ok("run", "--rm", "-v", f"{shared}:/shared", image, "sh", "-c", exchange.format(top=lab.top))
    r = rootlet("start", "-a", "victim")
    assert "secret" not in r.out and r.rc == 125 and "symbolic link" in r.err, r


def test_links_that_the_user_typed(rootlet, lab):
    """They are followed, once."""
    real = lab.dir("real")
    (real / "f").write_text("content\n")
    (lab.top / "link").symlink_to("real")
    r = rootlet.ok("run", "--rm", "-v", f"{lab.top}/link:/data", "-v", f"{lab.top}/link/f:/f", rootlet.image(),
                   "cat", "/data/f", "/f")
    assert r.out == "content\n" * 2
