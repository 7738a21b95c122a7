#!/usr/bin/env python3
"""bench - rootlet against the floor of the kernel and its peers, alternating, with ratios.

The peers are found in PATH; one that is missing is left out with a line that says so. See measure.py
for what is counted and host.py for where it runs."""
import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

import bridge
import builds
import files
import images
import listing
import maps
import ports
import pull
import push
import slirp
import tools
from host import Host
from measure import Command, add, ratios

SECTIONS = ("start", "again", "network", "scope", "exec", "oci", "memory", "unpack", "pull", "push", "files",
            "maps", "build", "concurrency", "lists", "images", "ports", "slirp", "bridge")
PAYLOADS = ("sleep", "busybox")


class Bench:
    def __init__(self, options):
        self.options = options
        self.host = Host(options.builddir, options.realtime)
        self.missing = {}
        self.results = {}
        self.verdicts = []
        self.rootlet, self.podman = tools.Rootlet(), tools.Podman()
        self.homes = []

    def has(self, *names):
        return not any(n in self.missing for n in names)

    def managers(self):
        return [self.rootlet, self.podman] if self.has("podman") else [self.rootlet]

    # Output

    def say(self, text=""):
        print(text, flush=True)

    def title(self, section, text):
        self.results[section] = {"rows": [], "ratios": []}
        self.say(f"\n== {section}: {text}")

    def table(self, section, samples):
        """The costs of commands, one a line."""
        self.say(f"{'':34} {'wall ms':>17} {'CPU ms':>17} {'RSS':>6}")
        self.say(f"{'':34} {'min':>8} {'median':>8} {'min':>8} {'median':>8} {'MiB':>6}")
        for s in samples.values():
            row = s.summary()
            self.results[section]["rows"].append(row)
            failed = f"  {s.failed} of {len(s.wall)} FAILED" if s.failed else ""
            self.say(f"{s.name:34} {row['wall_min_ms']:8.2f} {row['wall_median_ms']:8.2f} "
                     f"{row['cpu_min_ms']:8.2f} {row['cpu_median_ms']:8.2f} "
                     f"{row['rss_max_mib']:6.1f}{failed}")

    def compare(self, section, samples, name, peers):
        """Ratios of one command to others, round by round; {peer: ratios}."""
        found = {}
        for peer in peers:
            if peer not in samples or name not in samples:
                continue
            failed = [n for n in (name, peer) if samples[n].failed]
            if failed:
                self.say(f"{name} / {peer}: not compared, {' and '.join(failed)} failed")
                continue
            r = ratios(samples[name], samples[peer])
            found[peer] = r
            self.results[section]["ratios"].append(r)
            self.say(f"{name} / {peer}: wall {r['wall']:.3f} (of minima {r['wall_of_minima']:.3f}), "
                     f"CPU {r['cpu']:.3f} (of minima {r['cpu_of_minima']:.3f})")
        return found

    def verdict(self, what, value, limit, minima=None):
        """A figure to reach: at most `limit`. Of times the ratio of the minima is told as well."""
        self.verdicts.append({"what": what, "value": value, "limit": limit, "of_minima": minima,
                              "met": None if value is None else value <= limit})

    def verdict_of(self, what, found, kind, limit):
        """The same of what compare() found (or did not), kind "wall" or "cpu"."""
        self.verdict(f"{what} ({kind})", found and found[kind], limit,
                     found and found[kind + "_of_minima"])

    # Sections

    def home(self, name):
        """A home in which every manager has the small image."""
        env = self.host.home(name)
        self.homes.append(env)
        for m in self.managers():
            self.host.run(m.load(self.archive), env)
        return env

    def prepare(self):
        work = self.host.work
        self.rootfs = work / "rootfs"
        images.make_rootfs(self.rootfs)
        images.tar_rootfs(self.rootfs, work / "bench.tar")
        if self.host.root:
            # The floor and crun write mount points into it.
            subprocess.run(["chown", "-R", f"{self.host.user.pw_uid}:{self.host.user.pw_gid}",
                            str(self.rootfs)], check=True)
        self.archive = work / "bench.oci"
        images.oci_archive(self.archive, work / "bench.tar", tools.IMAGE)
        self.crun_env = self.host.home("crun")
        self.crun = tools.Crun(self.host, self.crun_env, self.rootfs)

    def floor(self, name, *options):
        """The floor in a work directory of its own for each run."""
        base = self.host.work / ("floor-" + name)
        base.mkdir()
        base.chmod(0o1777)
        first_uid, first_gid, count = (str(i) for i in self.host.subids() or (0, 0, 0))
        return [str(self.host.own / "floor"), *options, str(self.rootfs), f"{base}/{{n}}", first_uid,
                first_gid, count, "/bin/true"]

    def start_commands(self):
        commands = [Command("exec of a static program", [str(self.rootfs / "bin/true")]),
                    Command("floor, one id", self.floor("single", "-s"))]
        if self.host.subids():
            commands += [Command("floor, newuidmap", self.floor("serial")),
                         Command("floor, newuidmap in parallel", self.floor("parallel", "-p"))]
        if self.has("bwrap"):
            commands.append(Command("bwrap, one id, no overlay", [
                "bwrap", "--unshare-all", "--bind", str(self.rootfs), "/", "--proc", "/proc", "--dev",
                "/dev", "--die-with-parent", "/bin/true"]))
        if self.has("crun"):
            bare = self.crun.bundle("bundle", ["/bin/true"])
            commands.append(Command("crun run, bare bundle, one id", self.crun.run(bare, "b{n}")))
            if ids := self.host.subids():
                ranged = self.crun.bundle("bundle-range", ["/bin/true"], ids)
                commands.append(Command("crun run, bare bundle, a range",
                                        self.crun.run(ranged, "r{n}")))
        return commands

    def start(self):
        self.title("start", f"a container that runs true, {self.options.rounds} rounds")
        env = self.home("start")
        commands = self.start_commands()
        commands += [Command(f"{m.name} run --rm", m.run()) for m in self.managers()]
        samples = self.host.alternate(env, commands, self.options.rounds, 2)
        self.table("start", samples)
        found = self.compare("start", samples, "rootlet run --rm", [c.name for c in commands
                             if not c.name.startswith(("rootlet", "exec"))])
        for peer, limit in (("crun run, bare bundle, one id", 1.0), ("floor, newuidmap", 1.5)):
            self.verdict_of(f"run --rm, full security / {peer}", found.get(peer), "wall", limit)

    def again(self):
        """The start of a container that has ended, beside the whole run of the smallest runtime."""
        self.title("again", f"start of a stopped container, {self.options.rounds} rounds")
        env = self.home("again")
        commands = []
        for m in self.managers():
            self.host.run(m.create("stopped"), env)
            commands += [Command(f"{m.name} start", m.start("stopped"), m.wait("stopped")),
                         Command(f"{m.name} start -a", m.start("stopped", "-a"))]
        if self.has("crun"):
            for name, ids in (("one id", None), ("a range", self.host.subids())):
                bundle = self.crun.bundle("bundle-again-" + name.split()[1], ["/bin/true"], ids)
                commands.append(Command(f"crun run, {name}", self.crun.run(bundle, name[0] + "{n}")))
        samples = self.host.alternate(env, commands, self.options.rounds, 2)
        self.table("again", samples)
        for name in ("rootlet start", "rootlet start -a"):
            found = self.compare("again", samples, name, ("crun run, one id", "crun run, a range"))
            self.verdict_of(f"{name[8:]} of a stopped container / crun run, a range",
                            found.get("crun run, a range"), "wall", 1.0)

    def network(self):
        """What the network costs a start: it is made while the root is mounted."""
        self.title("network", f"a container that runs true, by network, {self.options.rounds} rounds")
        env = self.home("network")
        kinds = [("none",), ("slirp",), ("slirp", "-p", "127.0.0.1::80"), ("pasta",)]
        if "slirp" in self.missing:
            self.say(f"slirp: {self.missing['slirp']}")
        kinds = [k for k in kinds if self.has(k[0])]
        commands = [Command("rootlet --network " + " ".join(k), self.rootlet.run_on(*k)) for k in kinds]
        samples = self.host.alternate(env, commands, self.options.rounds, 2)
        self.table("network", samples)
        for name in [c.name for c in commands[1:]]:
            found = self.compare("network", samples, name, ("rootlet --network none",))
            if name == "rootlet --network slirp":
                self.verdict_of("start with the default network / --network none",
                                found.get("rootlet --network none"), "wall", 1.5)

    def scope(self):
        """What the scope of systemd costs a start, in pairs: where a user's manager runs, as in the
        bed of tests/vm/native-systemd."""
        manager = pathlib.Path(f"/run/user/{self.host.user.pw_uid}/systemd/private")
        self.title("scope", f"run --rm with and without a scope, {self.options.rounds} rounds")
        what = "run --rm: a scope more than --cgroups=disabled, ms (wall)"
        if not manager.exists():
            self.say("left out: this user has no systemd")
            self.verdict(what, None, 1.0)
            return
        env = self.home("scope")
        kinds = ("disabled", "systemd")
        commands = [Command(k, ["rootlet", f"--cgroups={k}", "run", "--rm", "--network", "none",
                                tools.IMAGE, "/bin/true"]) for k in kinds]
        samples = self.host.alternate(env, commands, self.options.rounds, 3)
        self.table("scope", samples)
        self.compare("scope", samples, "systemd", ("disabled",))
        pairs = sorted(b - a for a, b in zip(samples["disabled"].wall, samples["systemd"].wall))
        self.verdict(what, pairs[len(pairs) // 2], 1.0)

    def exec(self):
        self.title("exec", f"true in a running container, {self.options.rounds} rounds")
        env = self.home("exec")
        commands = []
        for m in self.managers():
            self.host.run(m.detached("target"), env)
            commands.append(Command(f"{m.name} exec", m.exec("target")))
        if self.has("crun"):
            bundle = self.crun.bundle("bundle-sleep", ["/bin/sleep", "100000"], self.host.subids())
            self.host.run(self.crun.run(bundle, "target", "--detach"), env)
            commands.append(Command("crun exec", self.crun.exec("target")))
        pid = self.host.run(["rootlet", "inspect", "--format", "{{.State.Pid}}", "target"], env).strip()
        if self.has("nsenter"):
            commands.append(Command("nsenter", ["nsenter", "-t", pid, "-U", "--preserve-credentials",
                                                "-m", "-p", "-n", "-i", "-u", "/bin/true"]))
        samples = self.host.alternate(env, commands, self.options.rounds, 2)
        self.table("exec", samples)
        found = self.compare("exec", samples, "rootlet exec", ("nsenter", "crun exec", "podman exec"))
        self.verdict_of("exec / crun exec", found.get("crun exec"), "wall", 1.0)
        if self.has("crun"):
            self.host.run([*self.crun.base, "delete", "-f", "target"], env, fatal=False)

    def oci(self):
        """The same bare bundle under rootlet-oci and its peers."""
        self.title("oci", f"a bare bundle, rootless, {self.options.rounds} rounds")
        env = self.home("oci")
        runtimes = [t(self.host, self.crun_env, self.rootfs)
                    for t in (tools.RootletOci, tools.Crun, tools.Runc)
                    if t is tools.RootletOci or self.has(t.name)]
        ours = runtimes[0]
        if not self.has("crun"):
            self.say("left out: crun makes the bundle")
            return
        bare = ours.bundle("bundle-oci", ["/bin/true"])
        sleeps = ours.bundle("bundle-oci-sleep", ["/bin/sleep", "100000"])
        for r in runtimes:
            self.host.run(r.run(sleeps, "target", "--detach"), env)
        kinds = {"run": lambda r: r.run(bare, "b{n}"), "create+start+delete": lambda r: r.life(bare, "l{n}"),
                 "exec": lambda r: r.exec("target")}
        commands = [Command(f"{r.name} {k}", argv(r)) for k, argv in kinds.items() for r in runtimes]
        samples = self.host.alternate(env, commands, self.options.rounds, 2)
        self.table("oci", samples)
        for k in kinds:
            found = self.compare("oci", samples, f"rootlet-oci {k}",
                                 [f"{r.name} {k}" for r in runtimes[1:]])
            self.verdict_of(f"rootlet-oci {k} / crun's", found.get(f"crun {k}"), "wall", 0.7)
        self.verdict("rootlet-oci run / crun's (resident memory)", samples["rootlet-oci run"].rss
                     / samples["crun run"].rss, 1.0)
        self.oci_crowd(env, ours, bare)
        for r in runtimes:
            self.host.run([*r.base, "delete", "--force", "target"], env, fatal=False)

    def oci_crowd(self, env, ours, bundle):
        total, width = self.options.starts, self.options.width
        serial, crowd = self.host.measuring(
            env, lambda r: [r.crowd(ours.life(bundle, "p{n}"), total, w) for w in (1, width)])
        failed = serial[2] + crowd[2]
        self.say(f"{total} lives: one after the other {serial[0]:.2f} s, {width} at once {crowd[0]:.2f} s"
                 + (f", {failed} FAILED" if failed else ""))
        self.verdict(f"rootlet-oci: {total} lives, {width} at a time / one after the other (wall)",
                     crowd[0] / serial[0], 1.0)

    def lists(self):
        self.title("lists", "ps -a of created containers")
        env = self.home("lists")
        have = 0
        for n in self.options.lists:
            def create(runner, names=range(have, n)):
                out = {}
                for m in self.managers():
                    out[m.name] = [runner.once(m.create(f"c{i}"))[0] for i in names]
                return out
            made = self.host.measuring(env, create)
            per = ", ".join(f"{k} {sum(v) / len(v):.1f} ms each" for k, v in made.items() if v)
            have = n
            self.say(f"{n} containers ({per} to create)")
            samples = self.host.alternate(env, [Command(f"{m.name} ps -a, {n}", m.ps())
                                                for m in self.managers()],
                                          max(5, self.options.rounds // 2))
            self.table("lists", samples)
            found = self.compare("lists", samples, f"rootlet ps -a, {n}", [f"podman ps -a, {n}"])
        self.verdict_of(f"ps -a of {have} containers / podman's", found.get(f"podman ps -a, {have}"),
                        "wall", 0.05)
        self.verdict(f"ps -a of {have} containers, ms (wall)",
                     samples[f"rootlet ps -a, {have}"].summary()["wall_median_ms"], 40)

    def memory_of(self, manager, env, count):
        """({process name: (how many, PSS KiB)}, KiB per container) of what runs beside payloads"""
        before = self.host.processes()
        for i in range(count):
            self.host.run(manager.detached(f"m{i}"), env)
        found = {}
        for pid, name in self.host.processes().items():
            if pid in before or name in PAYLOADS:
                continue
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
                    pss = int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1])
                n, total = found.get(name, (0, 0))
                found[name] = (n + 1, total + pss)
        self.host.run(manager.remove_containers(), env)
        supervisors = found.get(manager.supervisor)
        return found, supervisors and supervisors[1] / count

    def memory(self):
        count = self.options.containers
        self.title("memory", f"PSS of the processes beside the payload, {count} detached containers")
        env = self.home("memory")
        per = {}
        for m in self.managers():
            found, per[m.name] = self.memory_of(m, env, count)
            for name, (n, total) in sorted(found.items()):
                self.say(f"{m.name + ': ' + name:34} {n:5} processes {total / count:8.0f} KiB a container")
                self.results["memory"]["rows"].append(
                    {"name": m.name, "process": name, "processes": n, "pss_kib": total,
                     "containers": count})
        ratio = None
        if all(per.get(n) for n in ("rootlet", "podman")):
            ratio = per["rootlet"] / per["podman"]
            self.say(f"rootlet-supervise / conmon: {ratio:.3f}")
        self.verdict("memory of a detached container / conmon (PSS)", ratio, 1.0)
        self.verdict("memory of an idle supervisor, MiB (PSS)",
                     per["rootlet"] and per["rootlet"] / 1024, 0.3)

    def unpack(self):
        work, size = self.host.work, self.options.layer_mb << 20
        layer = work / "layer.tar"
        files = images.tar_usr(layer, size)
        images.oci_archive(work / "layer.oci", layer, "localhost/layer:latest")
        packed = f"{layer}.gz"
        self.title("unpack", f"a layer of {files} files, {layer.stat().st_size >> 20} MiB, "
                             f"{os.path.getsize(packed) >> 20} MiB as gzip")
        env = self.host.home("unpack")
        self.homes.append(env)
        out = f"{env['HOME']}/out"
        parts = [Command("tar xzf", ["sh", "-c", f"mkdir {out} && exec tar xzf {packed} -C {out}"],
                         ["sh", "-c", f"chmod -R u+rwX {out}; rm -rf {out}"]),
                 Command("sha256sum, packed", ["sha256sum", packed]),
                 Command("sha256sum, unpacked", ["sha256sum", str(layer)])]
        commands = parts + [Command(f"{m.name} load", m.load(work / "layer.oci"), m.remove_images())
                            for m in self.managers()]
        samples = self.host.alternate(env, commands, self.options.unpack_rounds)
        total = add("tar xzf + two sha256sum", [samples[p.name] for p in parts])
        samples[total.name] = total
        self.table("unpack", samples)
        found = self.compare("unpack", samples, "rootlet load", [total.name, "podman load"])
        self.verdict_of("load / tar xzf + two sha256sum", found[total.name], "cpu", 1.0)

    def images(self):
        listing.measure(self)

    def pull(self):
        pull.measure(self)

    def push(self):
        push.measure(self)

    def files(self):
        files.measure(self)

    def maps(self):
        maps.measure(self)

    def build(self):
        builds.measure(self)

    def slirp(self):
        slirp.measure(self)

    def concurrency(self):
        total, width = self.options.starts, self.options.width
        self.title("concurrency", f"{total} starts, {width} at a time and one after the other")
        env = self.home("concurrency")
        commands = []
        if self.host.subids():
            commands.append(("floor, newuidmap in parallel", self.floor("crowd", "-p")))
        if self.has("crun"):
            bundle = self.crun.bundle("bundle-crowd", ["/bin/true"], self.host.subids())
            commands.append(("crun run, bare bundle, a range", self.crun.run(bundle, "c{n}")))
        commands += [(f"{m.name} run --rm", m.run()) for m in self.managers()]
        self.say(f"{'':34} {'wall s':>17} {'CPU s':>17}")
        self.say(f"{'':34} {'serial':>8} {width:>5} at once {'serial':>6} {width:>5} at once")
        for name, argv in commands:
            serial, crowd = self.host.measuring(
                env, lambda r, a=argv: [r.crowd(a, total, 1), r.crowd(a, total, width)])
            failed = serial[2] + crowd[2]
            self.say(f"{name:34} {serial[0]:8.2f} {crowd[0]:13.2f} {serial[1]:6.2f} {crowd[1]:13.2f}"
                     + (f"  {failed} FAILED" if failed else ""))
            self.results["concurrency"]["rows"].append(
                {"name": name, "starts": total, "width": width, "failed": failed,
                 "serial_wall_s": serial[0], "serial_cpu_s": serial[1],
                 "crowd_wall_s": crowd[0], "crowd_cpu_s": crowd[1]})
            if name.startswith("rootlet"):
                self.verdict(f"{total} starts, {width} at a time / one after the other (wall)",
                             crowd[0] / serial[0], 1.0)

    def ports(self):
        self.title("ports", f"a published port, {self.options.port_rounds} rounds of {ports.SECONDS} s")
        if absent := ports.missing():
            self.say("left out: " + ", ".join(absent))
            return
        ports.measure(self, self.options.port_rounds)

    def bridge(self):
        self.title("bridge", f"a bridge of the host, {self.options.bridge_rounds} rounds of {bridge.SECONDS} s")
        if absent := bridge.missing(self):
            self.say("left out: " + ", ".join(absent))
            return
        bridge.measure(self, self.options.bridge_rounds)

    # All of it

    def versions(self):
        found = {"rootlet": self.host.run(["rootlet", "--version"], self.crun_env, fatal=False)}
        for name in ("crun", "runc", "podman", "bwrap", "conmon"):
            if self.has(name):
                found[name] = self.host.run([name, "--version"], self.crun_env, fatal=False)
        return {k: v.splitlines()[0].strip() for k, v in found.items() if v}

    def run(self):
        self.host.enter()
        self.missing = tools.missing(self.host)
        self.missing.update({n: "not wanted" for n in self.options.without})
        self.prepare()
        versions = self.versions()
        self.say(f"Linux {platform.release()}, {os.cpu_count()} processors, load "
                 f"{os.getloadavg()[0]:.1f}; " + ", ".join(versions.values()))
        for name, why in self.missing.items():
            self.say(f"left out: {name}: {why}")
        for note in self.host.notes:
            self.say(f"note: {note}")
        self.host.notes.clear()
        for section in self.options.sections:
            getattr(self, section)()
            for note in self.host.notes:
                self.say(f"note: {note}")
            self.host.notes.clear()
        self.figures()
        return {"kernel": platform.release(), "processors": os.cpu_count(), "versions": versions,
                "missing": self.missing, "sections": self.results, "figures": self.verdicts}

    def figures(self):
        self.say("\n== Figures to reach")
        for v in self.verdicts:
            if v["value"] is None:
                self.say(f"  {'not measured':>12}  {v['what']}: at most {v['limit']}")
            else:
                minima = f" (of minima {v['of_minima']:.3f})" if v["of_minima"] else ""
                self.say(f"  {'met' if v['met'] else 'NOT MET':>12}  {v['what']}: {v['value']:.3f}"
                         f"{minima}, at most {v['limit']}")

    def close(self):
        for env in self.homes:
            for m in self.managers():
                for argv in (m.remove_containers(), m.remove_images()):
                    if not self.host.made_user:  # else all of it goes with the mount namespace
                        self.host.run(argv, env, fatal=False)
        self.host.close()


def numbers(text):
    return sorted(int(n) for n in text.split(","))


def sections(text):
    names = text.split(",")
    for n in names:
        if n not in SECTIONS:
            raise argparse.ArgumentTypeError(f"{n}: there are {', '.join(SECTIONS)}")
    return names


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("builddir", help="where the programs were built")
    p.add_argument("--sections", type=sections, default=list(SECTIONS), metavar="NAME,...",
                   help="only these: " + ", ".join(SECTIONS))
    p.add_argument("--rounds", type=int, default=30, help="rounds of start and exec (30)")
    p.add_argument("--unpack-rounds", type=int, default=3, help="rounds of unpack (3)")
    p.add_argument("--images", type=int, default=1000, metavar="N", help="images of the section images")
    p.add_argument("--lists", type=numbers, default=[1, 100, 1000], metavar="N,...",
                   help="numbers of containers to list (1,100,1000)")
    p.add_argument("--containers", type=int, default=30, help="containers of memory (30)")
    p.add_argument("--port-rounds", type=int, default=5, help="rounds of ports (5)")
    p.add_argument("--bridge-rounds", type=int, default=7, help="rounds of bridge (7)")
    p.add_argument("--build-rounds", type=int, default=5, help="rounds of build (5)")
    p.add_argument("--starts", type=int, default=50, help="starts of concurrency (50)")
    p.add_argument("--width", type=int, default=20, help="at a time (20)")
    p.add_argument("--pull-rounds", type=int, default=3, help="rounds of pull (3)")
    p.add_argument("--push-rounds", type=int, default=5, help="rounds of push (5)")
    p.add_argument("--push-mb", type=int, default=86, help="size of its layer (86)")
    p.add_argument("--pull-files", type=int, default=20000, help="files of its image (20000)")
    p.add_argument("--pull-mb", type=int, default=578, help="their size (578)")
    p.add_argument("--layer-mb", type=int, default=300, help="size of the layer, unpacked (300)")
    p.add_argument("--files", type=int, default=20000, help="small files of the section files (20000)")
    p.add_argument("--maps-files", type=int, default=20000, help="files of the section maps (20000)")
    p.add_argument("--maps-mb", type=int, default=551, help="and MiB in all (551)")
    p.add_argument("--files-mb", type=int, default=50, help="and the size of a large one (50)")
    p.add_argument("--files-rounds", type=int, default=3, help="rounds of it (3)")
    p.add_argument("--slirp-rounds", type=int, default=5, help="rounds of the network (5)")
    p.add_argument("--slirp-seconds", type=float, default=2, help="seconds of each transfer (2)")
    p.add_argument("--without", type=lambda s: s.split(","), default=[], metavar="PEER,...",
                   help="leave peers out")
    p.add_argument("--realtime", action="store_true",
                   help="as root: under SCHED_RR, on a machine that others load")
    p.add_argument("--json", metavar="FILE", help="write all figures to a file")
    options = p.parse_args()
    options.builddir = pathlib.Path(options.builddir).resolve()
    bench = Bench(options)
    try:
        result = bench.run()
    finally:
        bench.close()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(result, f, indent=1)
            f.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
