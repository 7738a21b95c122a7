"""bridge - a container on a bridge of the host beside a plain veth pair: to the host, and through it to
a server outside, in turns. Gbit/s of iperf3; what counts is the ratio within a round."""
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from ports import first, ratio

SECONDS = 1
WAYS = (((), "out"), (("-R",), "in"))
HOST, OUTSIDE = "10.88.0.1", "198.51.100.2"
UID = 65533


def missing(bench):
    absent = [n for n in ("iperf3", "ip", "nft", "setcap", "unshare", "nsenter") if not shutil.which(n)]
    if os.geteuid() != 0:
        absent.append("root")
    os.environ["BUILDDIR"] = str(bench.host.builddir)
    tests = pathlib.Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(tests / "net"), str(tests / "cli")]
    try:
        import helperlab  # pylint: disable=import-outside-toplevel
        if not helperlab.BUILT.exists():
            absent.append(helperlab.BUILT.name)
    except ImportError as e:
        absent.append(str(e.name))
    return absent


class Lanes:
    """"veth" and "bridge" to the host; "routed" and "forwarded" from the same two through it."""

    def __init__(self, stack):
        import helperlab  # pylint: disable=import-outside-toplevel
        import world as world_  # pylint: disable=import-outside-toplevel
        helper = helperlab.Helper(tempfile.mkdtemp(prefix="rl"))
        helper.dir.chmod(0o755)
        stack.callback(helper.end)
        helper.policy("bridge rlbr0 10.88.0.0/16 masquerade host-access", f"{UID} rlbr0 1 auto")
        world = world_.World()
        stack.callback(world.end)
        container = helperlab.Caller(world, helper, UID).container().up()
        stack.callback(container.end)
        plain = world_.Namespace()
        stack.callback(plain.end)
        world.host.ip("link add v0 type veth peer name v1", f"link set v1 netns {plain.proc.pid}", "addr add 10.99.0.1/24 dev v0",
                      "link set v0 up")
        plain.ip("link set lo up", "addr add 10.99.0.2/24 dev v1", "link set v1 up", "route add default via 10.99.0.1")
        world.host.run("sysctl", "-qw", "net.ipv4.conf.v0.forwarding=1")
        world.outside.ip("route add 10.99.0.0/24 via 198.51.100.1")
        for ns in (world.host, world.outside):
            p = ns.start("iperf3", "-s", stdout=subprocess.DEVNULL)
            stack.callback(p.wait)
            stack.callback(p.kill)
        time.sleep(0.5)
        veth = ["nsenter", f"--net={plain.path}"]
        self.to = {"veth": (veth, "10.99.0.1"), "bridge": (container.enter, HOST), "routed": (veth, OUTSIDE),
                   "forwarded": (container.enter, OUTSIDE)}

    def gbits(self, lane, options):
        """None when it did not work."""
        enter, to = self.to[lane]
        for _ in range(5):  # the server takes its time between two
            r = subprocess.run([*enter, "iperf3", "-J", "-c", to, "-t", str(SECONDS), *options], capture_output=True, text=True, check=False)
            with contextlib.suppress(ValueError, KeyError):
                return json.loads(r.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9
            time.sleep(0.3)
        return None


def measure(bench, rounds):
    found = {options: {} for options, _ in WAYS}
    with first(bench.host.realtime), contextlib.ExitStack() as stack:
        lanes = Lanes(stack)
        names = list(lanes.to)
        for n in range(rounds):
            for options, _ in WAYS:
                for i in range(len(names)):
                    lane = names[(i + n) % len(names)]
                    found[options].setdefault(lane, []).append(lanes.gbits(lane, options))
    for options, way in WAYS:
        for lane in names:
            values = [v for v in found[options][lane] if v]
            if not values:
                bench.say(f"{way:5} {lane:10} FAILED")
                continue
            row = {"way": way, "lane": lane, "median": statistics.median(values), "max": max(values)}
            bench.results["bridge"]["rows"].append(row)
            bench.say(f"{way:5} {lane:10} {row['median']:7.2f} Gbit/s  (best {row['max']:.2f})")
        for bare, ours in (("veth", "bridge"), ("routed", "forwarded")):
            bench.verdict(f"{bare} / {ours}, {way}", ratio(found[options][bare], found[options][ours]), round(1 / 0.9, 2))
