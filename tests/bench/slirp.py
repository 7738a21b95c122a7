"""slirp - the user-mode network beside slirp4netns, in the small world of tests/net/netlib.py: two
containers of one host, one served by each, talk to a server outside, in turns."""
import importlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

WAYS = (("out", []), ("in", ["-R"]), ("out, 4 streams", ["-P", "4"]), ("in, 4 streams", ["-R", "-P", "4"]))

ECHO = """
import socket, threading
def echo(c):
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := c.recv(64):
        c.sendall(data)
s = socket.create_server(("0.0.0.0", 7001), backlog=100)
while True:
    threading.Thread(target=echo, args=[s.accept()[0]], daemon=True).start()
"""

# Medians in microseconds of a request on one connection, and of one with a connection of its own.
ASK = """
import socket, statistics, sys, time
def ask(c):
    c.sendall(bytes(64))
    c.recv(64)
def connect():
    c = socket.create_connection((sys.argv[1], 7001))
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return c
def timed(fn, n):
    times = []
    for _ in range(n):
        begin = time.perf_counter()
        fn()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e6
def once():
    with connect() as c:
        ask(c)
with connect() as c:
    print(timed(lambda: ask(c), 2000), timed(once, 500))
"""


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def netlib_of(bench):
    os.environ["BUILDDIR"] = str(bench.options.builddir)
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "net"))
    return importlib.import_module("netlib")


class Driver:
    def __init__(self, name, ns, pid):
        self.name, self.ns, self.pid = name, ns, pid
        self.gbits, self.cpu = {}, {}

    def transfer(self, netlib, way, arguments, seconds):
        before = cpu_seconds(self.pid)
        for _ in range(5):  # the server takes its time between two
            p = self.ns.run("iperf3", "-J", "-c", netlib.OUTSIDE, "-t", str(seconds), *arguments, check=False)
            got = json.loads(p.stdout).get("end", {}).get("sum_received")
            if got:
                break
            time.sleep(0.5)
        self.gbits.setdefault(way, []).append(got["bits_per_second"] / 1e9)
        self.cpu.setdefault(way, []).append((cpu_seconds(self.pid) - before) / (got["bytes"] / 1e9))


def both(netlib, world, slirp4netns):
    rootlet = netlib.Slirp(world)
    world.container_up()
    ns = netlib.Namespace(world.host.enter("unshare", "-n"), world.host.flags)
    p = world.host.start(slirp4netns, "-c", "-6", "--mtu=65520", "--disable-host-loopback", "--netns-type=path",
                         f"/proc/{ns.proc.pid}/ns/net", "tap0", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    netlib.wait_for(lambda: "UP" in ns.run("ip", "link", "show", "tap0", check=False).stdout)
    world.procs += [p, ns.proc]
    return Driver("rootlet-slirp", world.container, rootlet.pid), Driver("slirp4netns", ns, p.pid)


def measure(bench):
    o = bench.options
    bench.title("slirp", f"user-mode network, {o.slirp_rounds} rounds of {o.slirp_seconds} s each way")
    slirp4netns = shutil.which("slirp4netns")
    if not slirp4netns or not shutil.which("iperf3"):
        bench.say("left out: slirp4netns or iperf3 is not installed")
        return
    netlib = netlib_of(bench)
    if o.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))  # and all that is started from here
    with netlib.world() as world:
        drivers = both(netlib, world, slirp4netns)
        world.serve(world.outside, "iperf3", "-s")
        world.serve(world.outside, sys.executable, "-c", ECHO)
        netlib.wait_for(lambda: world.outside.run("ss", "-Hltn").stdout.count("\n") >= 2)
        idle = [netlib.pss(d.pid) for d in drivers]
        for i in range(o.slirp_rounds):
            for way, arguments in WAYS:
                for d in drivers[::1 if i % 2 else -1]:
                    d.transfer(netlib, way, arguments, o.slirp_seconds)
        asks = [[float(v) for v in d.ns.python(ASK, netlib.OUTSIDE).stdout.split()] for d in drivers]
        time.sleep(12)  # what has just been closed
        after = [netlib.pss(d.pid) for d in drivers]
    if o.realtime:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    report(bench, drivers, asks, idle, after)


def report(bench, drivers, asks, idle, after):
    rows = bench.results["slirp"]["rows"]
    for i, d in enumerate(drivers):
        for way, _ in WAYS:
            row = {"name": d.name, "way": way, "gbits": statistics.median(d.gbits[way]),
                   "cpu_s_per_gb": statistics.median(d.cpu[way])}
            rows.append(row)
            bench.say(f"{d.name:14} {way:16} {row['gbits']:6.2f} Gbit/s {row['cpu_s_per_gb']:6.2f} CPU-s/GB")
        row = {"name": d.name, "rr_us": asks[i][0], "crr_us": asks[i][1], "idle_kib": idle[i], "after_kib": after[i]}
        rows.append(row)
        bench.say(f"{d.name:14} request {row['rr_us']:.0f} us, with connection {row['crr_us']:.0f} us; "
                  f"PSS idle {idle[i]} KiB, after the load {after[i]} KiB")
    ours, theirs = drivers
    for way, _ in WAYS:
        pairs = [t / r for r, t in zip(ours.gbits[way], theirs.gbits[way])]
        bench.verdict(f"{way}: slirp4netns / rootlet-slirp", statistics.median(pairs), 1.0)
        bench.verdict(f"{way}: CPU of rootlet-slirp / slirp4netns", statistics.median(
            r / max(t, 1e-3) for r, t in zip(ours.cpu[way], theirs.cpu[way])), 1.0)
    bench.verdict("PSS idle, rootlet-slirp / slirp4netns", idle[0] / idle[1], 1.0)
    bench.verdict("PSS after a load, MiB above idle", (after[0] - idle[0]) / 1024, 1.0)
