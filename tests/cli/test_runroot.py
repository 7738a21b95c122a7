"""The environment of commands changes while containers run: a job of cron, a login, su."""
import os
import stat

import pytest

from lib import rows


@pytest.fixture
def places(rootlet):
    """Two runtime directories; which of them there is decides what the default run root is."""
    paths = [rootlet.user.runtime / name for name in ("cron", "login")]
    rootlet.shell(f"mkdir -m 700 {paths[0]} {paths[1]}")
    yield [{"XDG_RUNTIME_DIR": str(p), "ROOTLET_RUNROOT": None} for p in paths]
    rootlet("rm", "-f", "-a", "-t", "0", env={"XDG_RUNTIME_DIR": str(paths[0]), "ROOTLET_RUNROOT": None})
    rootlet.shell(f"rm -rf {paths[0]} {paths[1]}")


@rows("A64")
def test_another_session_finds_what_runs(rootlet, places):
    cron, login = places
    image = rootlet.image()
    rootlet.ok("run", "-d", "--name", "c", image, "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done", env=cron)
    assert rootlet.ok("ps", "--format", "{{.Names}} {{.State}}", env=login).text == "c running"
    assert rootlet.ok("exec", "c", "echo", "x", env=login).text == "x"
    rootlet.fails("start", "-a", "nosuch", env=login)
    assert rootlet.ok("run", "--rm", "--network", "container:c", image, "echo", "y", env=login).text == "y"
    rootlet.ok("stop", "c", env=login)
    assert rootlet.ok("inspect", "-f", "{{.State.ExitCode}}", "c", env=login).text == "3"
    # Nothing runs in the other place any more: the session's own one counts again.
    rootlet.ok("start", "c", env=login)
    assert os.listdir(os.path.join(login["XDG_RUNTIME_DIR"], "rootlet"))
    assert rootlet.ok("ps", "--format", "{{.Names}}", env=cron).text == "c"
    rootlet.ok("rm", "-f", "-t", "0", "c", env=cron)


def test_what_is_named_counts(rootlet, places):
    """Neither the note nor the session changes what an option says."""
    cron, login = places
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "1000", env=cron)
    own = os.path.join(login["XDG_RUNTIME_DIR"], "own")
    assert own in rootlet.ok("--runroot", own, "info", env=login).out
    assert "cron/rootlet" in rootlet.ok("info", env=login).out
    rootlet.ok("rm", "-f", "-t", "0", "c", env=login)


@pytest.mark.parametrize("spoil", ["chmod 755 {place}", "mv {place} {place}.away; ln -s {place}.away {place}",
                                   "sed -i 's/^./x/' {note}", "echo > {note}", "rm {note}; mkfifo {note}", "rm {note}; mkdir {note}"])
def test_a_note_that_cannot_be_trusted(rootlet, places, spoil):
    cron, login = places
    rootlet.ok("run", "-d", "--name", "c", rootlet.image(), "sleep", "1000", env=cron)
    note = rootlet.store.root / "run-root"
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    place = os.path.join(cron["XDG_RUNTIME_DIR"], "rootlet")
    rootlet.shell(spoil.format(place=place, note=note))
    assert "login/rootlet" in rootlet.ok("info", env=login, timeout=10).out
    rootlet.shell(f"test ! -L {place} || {{ rm {place}; mv {place}.away {place}; }}; chmod 700 {place}; rm -rf {note}")
    rootlet.ok("rm", "-f", "-t", "0", "c", env=cron)


def test_reset_takes_the_note_too(rootlet, places):
    """The store of a user whose environment says nothing has a note of its run root."""
    cron, _ = places
    rootlet.ok("run", "--rm", rootlet.image(), "true", env=cron)
    assert (rootlet.store.root / "run-root").exists()
    rootlet.ok("system", "reset", "-f", env=cron)
    assert not rootlet.store.root.exists()
    rootlet.store.loaded.clear()
