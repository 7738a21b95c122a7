"""cases - the commands that are killed, and what must be true afterwards.

A case has before(bed), which makes what the command works on; command; after(bed), which judges and
does what a user would do next: the same command again, or one that shows that all is well. after
is followed by rm -f, and then nothing may be left."""
import os
import shutil

from bed import EXTRA, IMAGE
from lib import host

SETTLED = ("created", "running", "paused", "stopped", "exited")


def new(bed, *args):
    bed.rootlet.ok("create", "--name", "web", *args, IMAGE, "sleep", "1000")


def running(bed, *args):
    bed.rootlet.ok("run", "-d", "--name", "web", *args, IMAGE, "sleep", "1000")


def must_run(bed):
    """Whatever its state: a start makes it run, and it can be worked with."""
    found = bed.state()
    if found not in SETTLED:
        bed.trouble(f"the container is {found}")
    if found != "running":
        bed.ok("start", "web")
    bed.ok("exec", "web", "true")


class Case:
    attach = False  # the container's supervisor is followed, too
    images = False  # the command works on images: they are verified
    command = ()

    def before(self, bed):
        pass

    def after(self, bed):
        pass


class Create(Case):
    command = ("create", "--name", "web", "-v", "vol:/vol", "-v", "/data", IMAGE, "true")

    def after(self, bed):
        found = bed.rows().get("web")
        if found not in (None, "created"):
            bed.trouble(f"it is {found}")
        if not found:
            bed.ok(*self.command)
        bed.ok("start", "-a", "web")


class Start(Case):
    command = ("start", "web")

    def before(self, bed):
        new(bed)

    def after(self, bed):
        must_run(bed)


class RunDetached(Case):
    command = ("run", "-d", "--name", "web", "-v", "vol:/vol", IMAGE, "sleep", "1000")

    def after(self, bed):
        if bed.state():
            must_run(bed)
        else:
            bed.ok(*self.command)
            bed.ok("exec", "web", "true")


class RunNetwork(RunDetached):
    """With the processes that a network has, and a port that is free when nobody holds it any more."""
    command = (*RunDetached.command[:4], "--network", "slirp", "-p", "127.0.0.1:18931:80", *RunDetached.command[4:])


class RunRm(Case):
    command = ("run", "--rm", "--name", "web", "-v", "/data", IMAGE, "true")

    def after(self, bed):
        # Who made it may be dead; but then it is to be seen.
        if bed.state() in SETTLED and not bed.gone():
            bed.ok("rm", "-f", "-v", "web")
        bed.ok(*self.command)


class OnRunning(Case):
    attach = True

    def before(self, bed):
        running(bed)

    def after(self, bed):
        must_run(bed)


class Exec(OnRunning):
    command = ("exec", "web", "true")


class ExecDetached(OnRunning):
    command = ("exec", "-d", "web", "sleep", "1000")


class Stop(OnRunning):
    command = ("stop", "-t", "0", "web")

    def after(self, bed):
        bed.ok(*self.command)
        found = bed.state()
        if found not in ("stopped", "exited"):
            bed.trouble(f"after stop it is {found}")
        must_run(bed)


class Kill(OnRunning):
    command = ("kill", "web")

    def after(self, bed):
        if bed.state() == "running":
            bed("kill", "web")  # it may just be ending
            bed.ok("wait", "web")
        must_run(bed)


class KillStop(OnRunning):
    """A signal that does not end it."""
    command = ("kill", "-s", "CONT", "web")


class Restart(OnRunning):
    command = ("restart", "-t", "0", "web")

    def after(self, bed):
        bed.ok(*self.command)
        must_run(bed)


class Pause(OnRunning):
    """Without a cgroup: each process is stopped."""
    command = ("pause", "--signal", "web")

    def after(self, bed):
        found = bed.state()
        if found == "running":
            bed.ok("pause", "--signal", "web")
        if bed.state() != "paused":
            bed.trouble(f"after pause it is {found}, then {bed.state()}")
        bed.ok("unpause", "web")
        self.check_awake(bed)
        must_run(bed)

    @staticmethod
    def check_awake(bed):
        if stopped := bed.stopped():
            bed.trouble(f"it runs, but these stand still: {stopped}")


class Unpause(Pause):
    command = ("unpause", "web")

    def before(self, bed):
        running(bed)
        bed.rootlet.ok("pause", "--signal", "web")

    def after(self, bed):
        if bed.state() == "paused":
            bed.ok("unpause", "web")
        self.check_awake(bed)
        must_run(bed)


class Rename(Case):
    command = ("rename", "web", "xyz")

    def before(self, bed):
        new(bed)

    def after(self, bed):
        rows = bed.rows()
        if sum(n in rows for n in ("web", "xyz")) != 1:
            bed.trouble(f"it is to be seen {rows}")
        name, other = ("web", "xyz") if "web" in rows else ("xyz", "web")
        bed.ok("inspect", name)
        bed.ok("rename", name, other)
        bed.ok("create", "--name", name, IMAGE)  # the other name is free
        bed.ok("start", other)


class RenameRunning(Rename):
    attach = True

    def before(self, bed):
        running(bed)


class Update(OnRunning):
    command = ("update", "--restart", "on-failure", "web")

    def after(self, bed):
        bed.ok(*self.command)
        must_run(bed)


class Rm(Case):
    command = ("rm", "-v", "web")

    def before(self, bed):
        new(bed, "-v", "/data")

    def after(self, bed):
        if bed.rows().get("web"):
            bed.ok(*self.command)
        bed.ok("create", "--name", "web", IMAGE)


class RmForce(OnRunning):
    command = ("rm", "-f", "-v", "web")

    def before(self, bed):
        running(bed, "-v", "/data")

    def after(self, bed):
        if bed.rows().get("web"):
            bed.ok(*self.command)
        bed.ok("create", "--name", "web", IMAGE)


class RmAfterRun(Rm):
    """Its upper directory has files of other ids, which only a user namespace removes."""

    def before(self, bed):
        bed.rootlet.ok("run", "--name", "web", "-v", "/data", IMAGE, "sh", "-c",
                       "busybox mkdir /d && busybox chown 7:7 /d && busybox touch /d/f")


class VolumeCreate(Case):
    command = ("volume", "create", "vol")

    def after(self, bed):
        bed.ok("volume", "create", "--ignore", "vol")
        bed.ok("run", "--rm", "-v", "vol:/vol", IMAGE, "true")
        bed.ok("volume", "rm", "vol")


class VolumeRm(Case):
    command = ("volume", "rm", "vol")

    def before(self, bed):
        bed.rootlet.ok("run", "--rm", "-v", "vol:/data", IMAGE, "touch", "/data/f")

    def after(self, bed):
        bed.ok("volume", "rm", "-f", "vol")
        bed.ok("volume", "create", "vol")


class VolumePrune(VolumeRm):
    command = ("volume", "prune", "-f")


class VolumeImport(Case):
    """All of it or nothing."""

    def __init__(self, bed):
        self.command = ("volume", "import", "vol", str(bed.archives["tree"]))

    def before(self, bed):
        bed.rootlet.ok("volume", "create", "vol")
        bed.rootlet.ok("run", "--rm", "-v", "vol:/vol", IMAGE, "touch", "/vol/old")

    def after(self, bed):
        bed.ok("run", "--rm", "-v", "vol:/vol", IMAGE, "cat", "/vol/old")
        bed.ok(*self.command)
        bed.ok("run", "--rm", "-v", "vol:/vol", IMAGE, "cat", "/vol/old", "/vol/f")
        left = set(os.listdir(bed.store.root / "volumes/vol")) - {"_data", "volume.json"}
        if left:
            bed.trouble(f"left in the volume: {left}")


class VolumeExport(VolumeImport):
    def __init__(self, bed):
        super().__init__(bed)
        self.command = ("volume", "export", "vol", "-o", "/dev/null")

    def after(self, bed):
        bed.ok(*self.command)
        bed.ok("run", "--rm", "-v", "vol:/vol", IMAGE, "cat", "/vol/old")


class OnImages(Case):
    images = True

    def forget(self, bed):
        """The extra image goes, with what only it has. One that has lost its name already is listed
        without one, and pruned."""
        bed.ok("rmi", "-f", EXTRA)
        bed.ok("image", "prune", "-f")
        left = bed.ok("images", "--format", "{{.Repository}}:{{.Tag}}").out.split()
        if left != [IMAGE]:
            bed.trouble(f"images afterwards: {left}")


class Load(OnImages):
    def __init__(self, bed):
        self.command = ("load", "-q", "-i", str(bed.archives["extra"]))

    def after(self, bed):
        bed.ok("image", "check")
        bed.ok(*self.command)
        bed.ok("run", "--rm", EXTRA, "cat", "/second")
        self.forget(bed)


class Import(OnImages):
    def __init__(self, bed):
        self.command = ("import", "-q", str(bed.archives["tree"]), EXTRA)

    def after(self, bed):
        bed.ok("image", "check")
        bed.ok(*self.command)
        bed.ok("create", "--name", "xyz", EXTRA, "x")
        bed.ok("rm", "xyz")
        self.forget(bed)


class Rmi(OnImages):
    command = ("rmi", EXTRA)

    def before(self, bed):
        bed.rootlet.ok("load", "-q", "-i", bed.archives["extra"])

    def after(self, bed):
        bed.ok("image", "check")
        self.forget(bed)


class LoadOverDamage(Load):
    """The layer that is there has lost its record: it is exchanged."""
    def before(self, bed):
        had = set(os.listdir(bed.store.root / "layers"))
        bed.rootlet.ok("load", "-q", "-i", bed.archives["extra"])
        for name in set(os.listdir(bed.store.root / "layers")) - had:
            os.unlink(bed.store.root / "layers" / name / "layer.json")

    def after(self, bed):
        bed.ok(*self.command)
        bed.ok("image", "check")
        bed.ok("run", "--rm", EXTRA, "cat", "/second")
        self.forget(bed)


class Repair(OnImages):
    """A record is made again."""
    command = ("image", "check", "--repair")

    def before(self, bed):
        had = set(os.listdir(bed.store.root / "images"))
        bed.rootlet.ok("load", "-q", "-i", bed.archives["extra"])
        for name in set(os.listdir(bed.store.root / "images")) - had:
            os.unlink(bed.store.root / "images" / name)

    def after(self, bed):
        bed.ok(*self.command)
        bed.ok("image", "check")
        bed.ok("run", "--rm", EXTRA, "cat", "/second")
        self.forget(bed)


class ImagePrune(Rmi):
    command = ("image", "prune", "-a", "-f")


class Tag(OnImages):
    command = ("tag", IMAGE, EXTRA)

    def after(self, bed):
        bed.ok("image", "check")
        bed.ok(*self.command)
        bed.ok("untag", IMAGE, EXTRA)
        self.forget(bed)


class Untag(OnImages):
    command = ("untag", IMAGE, EXTRA)

    def before(self, bed):
        bed.rootlet.ok("tag", IMAGE, EXTRA)

    def after(self, bed):
        bed.ok("image", "check")
        bed("untag", IMAGE, EXTRA)
        self.forget(bed)


class Commit(OnImages):
    command = ("commit", "web", EXTRA)

    def before(self, bed):
        bed.rootlet.ok("run", "--name", "web", IMAGE, "touch", "/of-container")

    def after(self, bed):
        bed.ok("image", "check")
        bed.ok(*self.command)
        bed.ok("run", "--rm", EXTRA, "cat", "/of-container")
        self.forget(bed)


class Copy(OnRunning):
    """Into a running container."""

    def __init__(self, bed):
        self.command = ("cp", str(bed.archives["tree"]), "web:/tmp/f")

    def after(self, bed):
        bed.ok(*self.command)
        must_run(bed)
        bed.ok("exec", "web", "cat", "/tmp/f")


class CopyCreated(Copy):
    attach = False

    def before(self, bed):
        new(bed)


class CopyOut(Case):
    """Of a container that does not run."""
    command = ("cp", "web:/data", "copy")

    def before(self, bed):
        new(bed)

    def after(self, bed):
        shutil.rmtree(bed.user.home / "copy", ignore_errors=True)
        bed.ok(*self.command)
        if not (bed.user.home / "copy/of-image").exists():
            bed.trouble("nothing was copied")
        shutil.rmtree(bed.user.home / "copy", ignore_errors=True)
        must_run(bed)


class Export(Case):
    command = ("export", "-o", "/dev/null", "web")

    def before(self, bed):
        new(bed)

    def after(self, bed):
        bed.ok(*self.command)
        must_run(bed)


class Diff(Export):
    command = ("diff", "web")


class Mount(OnRunning):
    command = ("mount", "add", "web", "vol:/vol")

    def after(self, bed):
        must_run(bed)
        bed("mount", "rm", "--force", "web", "/vol")
        bed.ok(*self.command)


class ContainerPrune(Rm):
    """keep would go too."""
    command = ("container", "prune", "-f", "--filter", "label=goes")

    def before(self, bed):
        bed.rootlet.ok("run", "--name", "web", "--label", "goes", IMAGE, "true")


class SystemPrune(ContainerPrune):
    images = True
    command = ("system", "prune", "-f", "--filter", "label=goes")


class SystemPruneVolumes(Case):
    images = True
    command = ("system", "prune", "-f", "--volumes", "--filter", "label=goes")

    def before(self, bed):
        bed.rootlet.ok("run", "--name", "web", "--label", "goes", IMAGE, "true")
        bed.rootlet.ok("volume", "create", "--label", "goes", "vol")
        bed.rootlet.ok("run", "--rm", "-v", "vol:/vol", IMAGE, "touch", "/vol/f")

    def after(self, bed):
        bed.ok(*self.command)
        if "web" in bed.rows() or "vol" in bed.ok("volume", "ls", "-q").out.split():
            bed.trouble("another prune has left what the first one began with")
        bed.ok("volume", "create", "vol")
        bed.ok("create", "--name", "web", IMAGE)


CASES = {
    **({"run network": RunNetwork} if (host.BUILDDIR / "rootlet-slirp").exists() else {}),
    "create": Create, "start": Start, "run -d": RunDetached, "run --rm": RunRm, "exec": Exec,
    "exec -d": ExecDetached, "stop": Stop, "kill": Kill, "kill -s CONT": KillStop, "restart": Restart,
    "rename": Rename, "rename (running)": RenameRunning, "update": Update, "rm": Rm, "rm (ran)": RmAfterRun,
    "rm -f": RmForce, "volume create": VolumeCreate, "volume rm": VolumeRm, "volume prune": VolumePrune,
    "load": Load, "load over damage": LoadOverDamage, "image check --repair": Repair, "import": Import, "rmi": Rmi, "image prune": ImagePrune, "tag": Tag, "untag": Untag,
    "commit": Commit, "cp": Copy, "cp (created)": CopyCreated, "cp (out)": CopyOut, "export": Export, "diff": Diff,
    "mount add": Mount, "container prune": ContainerPrune, "system prune": SystemPrune,
    "system prune --volumes": SystemPruneVolumes, "volume import": VolumeImport, "volume export": VolumeExport,
    "pause": Pause, "unpause": Unpause,
}


def make(name, bed):
    kind = CASES[name]
    return kind(bed) if kind.__init__ is not object.__init__ else kind()
