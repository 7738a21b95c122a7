"""measure - run commands alternately and count what each costs.

Times on a busy machine mean little by themselves. So every round runs each command once, in an order
that is rotated by one each round, and two commands are compared round by round: what disturbs a
round disturbs both. CPU time stands it best."""
import json
import os
import resource  # noqa: F401  os.wait4 imports it, perhaps where the user may not read it
import signal
import statistics
import time
from dataclasses import dataclass, field

PR_SET_CHILD_SUBREAPER = 36
SETTLE_S = 1.0  # how long what a command leaves behind may take to end


@dataclass
class Command:
    """One line of a table. "{n}" in argv becomes a number that no other run has."""
    name: str
    argv: list
    after: list = field(default_factory=list)  # argv that undoes it, not measured


@dataclass
class Samples:
    """What one command cost, one number per round: milliseconds and MiB."""
    name: str
    wall: list
    cpu: list
    failed: int = 0
    rss: float = 0.0

    def summary(self):
        return {"name": self.name, "rounds": len(self.wall), "failed": self.failed,
                "wall_min_ms": min(self.wall), "wall_median_ms": statistics.median(self.wall),
                "cpu_min_ms": min(self.cpu), "cpu_median_ms": statistics.median(self.cpu),
                "rss_max_mib": self.rss}


def add(name, parts):
    """The samples of commands that run one after the other, as if they were one."""
    return Samples(name, [sum(x) for x in zip(*(p.wall for p in parts))],
                   [sum(x) for x in zip(*(p.cpu for p in parts))],
                   sum(p.failed for p in parts), max(p.rss for p in parts))


def ratios(a, b):
    """a against b: the median of the rounds' ratios, and the ratio of the minima."""
    def pairs(x, y):
        return statistics.median(i / j for i, j in zip(x, y) if j > 0)
    return {"a": a.name, "b": b.name,
            "wall": pairs(a.wall, b.wall), "wall_of_minima": min(a.wall) / min(b.wall),
            "cpu": pairs(a.cpu, b.cpu), "cpu_of_minima": min(a.cpu) / min(b.cpu)}


def become_subreaper(libc):
    """What the commands leave behind becomes ours, so that its CPU time is counted too."""
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError("prctl(PR_SET_CHILD_SUBREAPER)")


class Runner:
    """Starts commands and reaps them; lives in a process of its own, which does nothing else."""

    def __init__(self, env, cwd, show_errors=False):
        self.env, self.count = env, 0
        os.chdir(cwd)
        os.environ["PATH"] = env["PATH"]  # where posix_spawnp looks
        null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
        self.actions = null[:2] if show_errors else null

    def numbered(self, argv):
        self.count += 1
        return [a.replace("{n}", str(self.count)) for a in argv]

    def spawn(self, argv):
        argv = self.numbered(argv)
        return os.posix_spawnp(argv[0], argv, self.env, file_actions=self.actions,
                               setsigdef=[signal.SIGINT, signal.SIGPIPE])

    def reap_leftovers(self):
        """CPU milliseconds of the orphans that end within SETTLE_S."""
        cpu, end = 0.0, time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            try:
                pid, _, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid:
                cpu += cpu_ms(usage)
            else:
                time.sleep(0.001)
        return cpu

    def once(self, argv):
        """(wall ms, CPU ms, wait status)"""
        cpu = 0.0
        begin = time.perf_counter_ns()
        main = self.spawn(argv)
        while True:
            pid, status, usage = os.wait4(-1, 0)
            cpu += cpu_ms(usage)
            if pid == main:
                break
        wall = (time.perf_counter_ns() - begin) / 1e6
        cpu += self.reap_leftovers()
        return wall, cpu, status

    def resident(self, argv):
        """MiB of the largest process of a command, by one run of its own; see rss.c."""
        path = f"{self.env['HOME']}/rss"
        with open(path, "w+", encoding="utf-8") as f:
            actions = self.actions[:1] + [(os.POSIX_SPAWN_DUP2, f.fileno(), 1)]
            argv = [self.env["BENCH_RSS"], *self.numbered(argv)]
            os.waitpid(os.posix_spawn(argv[0], argv, self.env, file_actions=actions), 0)
            f.seek(0)
            text = f.read()
        self.reap_leftovers()
        return int(text) / 1024 if text else 0.0

    def quietly(self, argv):
        if argv:
            os.waitpid(self.spawn(argv), 0)
            self.reap_leftovers()

    def alternate(self, commands, rounds, warmup):
        """[[name, wall, cpu, failed, rss], ...] of the rounds after the warm-up."""
        rows = [[c.name, [], [], 0, 0.0] for c in commands]
        for r in range(-warmup, rounds):
            for k in range(len(commands)):
                i = (k + r + warmup) % len(commands)
                wall, cpu, status = self.once(commands[i].argv)
                self.quietly(commands[i].after)
                if r < 0:
                    continue
                row = rows[i]
                row[1].append(wall)
                row[2].append(cpu)
                row[3] += status != 0
        for c, row in zip(commands, rows):
            row[4] = self.resident(c.argv)
            self.quietly(c.after)
        return rows

    def crowd(self, argv, total, width):
        """[wall s, CPU s, failed] of `total` runs, `width` at a time."""
        cpu, failed, started, running = 0.0, 0, 0, set()
        begin = time.perf_counter_ns()
        while started < total or running:
            while started < total and len(running) < width:
                running.add(self.spawn(argv))
                started += 1
            pid, status, usage = os.wait4(-1, 0)
            cpu += cpu_ms(usage)
            failed += pid in running and status != 0
            running.discard(pid)
        wall = (time.perf_counter_ns() - begin) / 1e9
        cpu += self.reap_leftovers()
        return [wall, cpu / 1e3, failed]


def cpu_ms(usage):
    return (usage.ru_utime + usage.ru_stime) * 1e3


def in_child(prepare, work):
    """work()'s value (as JSON allows), computed in a forked process after prepare()."""
    rd, wr = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(rd)
        code = 1
        try:
            prepare()
            with os.fdopen(wr, "w", encoding="utf-8") as f:
                json.dump(work(), f)
            code = 0
        except BaseException as e:  # pylint: disable=broad-except
            print(f"bench: {type(e).__name__}: {e}", flush=True)
        finally:
            os._exit(code)
    os.close(wr)
    with os.fdopen(rd, encoding="utf-8") as f:
        text = f.read()
    os.waitpid(pid, 0)
    if not text:
        raise RuntimeError("the measuring process failed")
    return json.loads(text)
