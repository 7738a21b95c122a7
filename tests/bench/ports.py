"""ports - published ports: a client on the host's loopback and a server in the container, against the
same without a container and against pasta. Gbit/s of iperf3, in rounds, one after the other.

With two processors client, forwarder and server share them: what counts is the ratio within a round."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

SECONDS = 2
SERVER = 5201
WAYS = ((), "to the container"), (("-R",), "from the container")


def missing():
    return [n for n in ("iperf3", "ip", "unshare", "nsenter") if not shutil.which(n)]


@contextlib.contextmanager
def first(realtime):
    """Before all else that runs here, if wanted: what is started has it too."""
    if not realtime:
        yield
        return
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Lanes:
    """Three ways to one kind of server, as ports of one host's loopback."""

    def __init__(self, world, stack):
        self.world, self.stack = world, stack
        self.forwarder = world.ports()
        self.serve(world.host)
        self.serve(world.ctr)
        self.port = {"loopback": SERVER, "rootlet": self.forwarder.add(None, SERVER)}
        if shutil.which("pasta"):
            # Without a way out it does not start.
            world.host.sh("ip route add default via 198.51.100.2")
            p = self.start(world.host, "pasta", "-f", "-q", "--config-net", "-t", f"127.0.0.1/15201:{SERVER}",
                           "-u", "none", "-T", "none", "-U", "none", "--",
                           "setpriv", "--pdeathsig", "KILL", "iperf3", "-s", "-p", SERVER)  # it outlives pasta else
            self.port["pasta"] = 15201
            time.sleep(1)
            if p.poll() is not None:
                del self.port["pasta"]

    def start(self, ns, *argv):
        p = ns.start(*argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.stack.callback(p.wait)
        self.stack.callback(lambda: p.poll() is None and p.send_signal(signal.SIGTERM))
        return p

    def serve(self, ns):
        self.start(ns, "iperf3", "-s", "-p", SERVER)
        time.sleep(0.5)

    def gbits(self, lane, options):
        """None when it did not work."""
        r = self.world.host.run("iperf3", "-c", "127.0.0.1", "-p", self.port[lane], "-t", SECONDS, "-J", *options,
                                check=False)
        with contextlib.suppress(ValueError, KeyError):
            return json.loads(r.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9
        return None

    def cpu(self):
        fields = open(f"/proc/{self.forwarder.proc.pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ratio(a, b):
    """The median of the rounds' ratios."""
    pairs = [x / y for x, y in zip(a, b) if x and y]
    return statistics.median(pairs) if pairs else None


def round_of(lanes, n, found, cpu):
    names = list(lanes.port)
    for options, _ in WAYS:
        for i in range(len(names)):
            lane = names[(i + n) % len(names)]
            before = lanes.cpu()
            value = lanes.gbits(lane, options)
            found[options].setdefault(lane, []).append(value)
            if lane == "rootlet" and value:
                cpu[options].append((lanes.cpu() - before) / (value * SECONDS / 8))


def measure(bench, rounds):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "net"))
    os.environ["BUILDDIR"] = str(bench.host.builddir)
    import portslib  # pylint: disable=import-outside-toplevel
    found = {options: {} for options, _ in WAYS}
    cpu = {options: [] for options, _ in WAYS}
    with first(bench.host.realtime), portslib.world() as world, contextlib.ExitStack() as stack:
        lanes = Lanes(world, stack)
        for n in range(rounds):
            round_of(lanes, n, found, cpu)
        names = list(lanes.port)
    for options, way in WAYS:
        for lane in names:
            values = [v for v in found[options][lane] if v]
            if not values:
                bench.say(f"{way:20} {lane:10} FAILED")
                continue
            row = {"way": way, "lane": lane, "median": statistics.median(values), "max": max(values)}
            bench.results["ports"]["rows"].append(row)
            bench.say(f"{way:20} {lane:10} {row['median']:7.2f} Gbit/s  (best {row['max']:.2f})"
                      + (f"  {statistics.median(cpu[options]):.2f} CPU s per GB" if lane == "rootlet" else ""))
        for lane, limit in (("loopback", 1 / 0.85), ("pasta", 1.0)):
            if lane in names:
                bench.verdict(f"{lane} / published port, {way}",
                              ratio(found[options][lane], found[options]["rootlet"]), round(limit, 2))
