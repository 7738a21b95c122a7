"""A runtime that lives in a chroot (a build environment, a rescue system): the root of the mount
namespace is not its own root, and must be the container's all the same. It is where exec comes out."""
import pytest
import runtimes


@pytest.fixture
def chrooted(tmp_path, monkeypatch):
    top = tmp_path / "host"
    top.mkdir()
    script = runtimes.PRIVATE[-1].replace("&& exec", f"&& mount --rbind / {top} && exec chroot {top}")
    assert "chroot" in script
    monkeypatch.setattr(runtimes, "PRIVATE", (*runtimes.PRIVATE[:-1], script))


@pytest.mark.root
@pytest.mark.parametrize("options", [[], ["--no-pivot"]], ids=["pivot", "no-pivot"])
def test_exec_comes_out_in_the_container(runtime, chrooted, options):
    bundle = runtime.bundle(runtimes.config(["sleep", "1000"]), lambda r: (r / "inside").mkdir())
    r = runtime.run(bundle, "--detach", *options)
    assert r.rc == 0, r
    r = runtime.exec(r.id, "ls", "/")
    assert r.rc == 0 and "inside" in r.out.split(), r
    assert not set(r.out.split()) & {"usr", "home", "run"}, r
