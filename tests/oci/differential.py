#!/usr/bin/python3
"""differential - gives random configurations, good and bad, to rootlet-oci, crun and runc, and
compares what they accept, what the process in the container sees, hooks, exit codes and what stays.

    tests/oci/differential.py [OPTIONS] RUNTIME OTHER...      as root

RUNTIME is looked at; where it differs from every OTHER, and no rule of differential/diff_rules.py knows
why, it is a finding. Options:
    --seed TEXT      of the configurations (a random one by default; it is printed)
    --cases N        how many (200), or --seconds N: for how long
    --only N         one case of the seed, with the configuration and all results
    --rootless       as an ordinary user
    --probe FILE     the static program of the containers (build/tests/oci/differential/probe)
    --keep           findings that rules explain are shown as well
"""
import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "conformance"), str(HERE / "differential")]

# pylint: disable=wrong-import-position
from sandbox import SCRATCH, Sandbox, delegate  # noqa: E402
from suite import test_user  # noqa: E402
import diff_compare as compare  # noqa: E402
import diff_execute as execute  # noqa: E402
import diff_generate as generate  # noqa: E402
import diff_rules as rules  # noqa: E402

WORKERS = 2


def case_of(seed, number, rootless):
    return generate.Case(random.Random(f"{seed}/{number}"), rootless)


def one(options, number, template, host):
    """(case, {runtime: comparable result})"""
    case = case_of(options["seed"], number, options["ids"] is not None)
    results = {}
    for name, command in options["runtimes"]:
        work = template.directory.parent / "w"
        work.mkdir()
        run = execute.Run(work, command, case, template, options["ids"])
        try:
            run.go()
            results[name] = execute.comparable(run.result, work, host)
        finally:
            run.end()
    return case, results


def inside(path):
    """A worker, as root of a sandbox: its share of the cases, one line of JSON for each."""
    options = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    os.umask(0o022)
    if options["ids"]:
        delegate(*options["ids"][:2])
    host = execute.host_namespaces()
    with tempfile.TemporaryDirectory(prefix="oci-diff-", dir=SCRATCH) as top:
        os.chmod(top, 0o755)
        template = execute.Template(pathlib.Path(top) / "template", options["probe"], options["busybox"])
        end = time.monotonic() + options["seconds"] if options["seconds"] else None
        numbers = [options["only"]] if options["only"] is not None else range(
            options["first"], options["cases"] if end is None else 1 << 30, options["workers"])
        for number in numbers:
            if end and time.monotonic() > end:
                break
            case, results = one(options, number, template, host)
            print(json.dumps([number, case.what, results]), flush=True)


def sandboxed(options):
    """Runs inside() with these options: ({number: (changes, results)}, whether it got to its end)."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as f:
        json.dump(options, f)
        f.flush()
        with subprocess.Popen([sys.executable, __file__, "--sandbox", f.name], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as p:
            out, err = p.communicate()
    done = {}
    for line in out.splitlines():
        with contextlib.suppress(ValueError):
            number, what, results = json.loads(line)
            done[number] = what, results
    if p.returncode == 3:
        raise RuntimeError(err)
    return done, p.returncode == 0


def share_of(options):
    """One worker's cases. A runtime can end the whole sandbox (crun sends signals to process 0 or
    -1): which one it is, is then tried one by one, and the rest goes on in a new sandbox."""
    done, first = {}, options["worker"]
    end = time.monotonic() + options["seconds"] if options["seconds"] else None
    while True:
        left = max(0.1, end - time.monotonic()) if end else None
        more, whole = sandboxed({**options, "first": first, "seconds": left})
        done.update(more)
        if whole or options["only"] is not None or (end and time.monotonic() > end):
            return done
        died = max(done, default=first - options["workers"]) + options["workers"]
        case, results = case_of(options["seed"], died, options["ids"] is not None), {}
        for runtime in options["runtimes"]:
            alone, _ = sandboxed({**options, "runtimes": [runtime], "only": died})
            results[runtime[0]] = alone[died][1][runtime[0]] if died in alone else \
                {"code": "ended the sandbox", "error": "", "left": [], "probe": None}
        done[died] = case.what, results
        first = died + options["workers"]


def run_workers(options):
    """Yields (number, changes, results) of all workers."""
    workers = 1 if options["only"] is not None else WORKERS
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        shares = pool.map(share_of, ({**options, "worker": w, "workers": workers} for w in range(workers)))
        for share in shares:
            for number, (what, results) in sorted(share.items()):
                yield number, what, results


def examine(options):
    """(number of cases, findings, {rule: count}): each finding is (case number, changes, text)."""
    names = [n for n, _ in options["runtimes"]]
    count, findings, explained = 0, [], {}
    for number, what, results in run_workers(options):
        count += 1
        case = case_of(options["seed"], number, options["ids"] is not None)
        for difference in compare.differences(results, names[0], names[1:]):
            rule = rules.explain(case, difference, results)
            if rule:
                explained.setdefault(rule, []).append((number, difference))
            else:
                findings.append((number, what, difference))
        if options["only"] is not None:
            print(case.text({}))
            print(json.dumps(results, indent=1))
    return count, findings, explained


def options_of(runtimes, ids=None, probe=None, **more):
    """What examine takes; runtimes as NAME=COMMAND or COMMAND."""
    named = []
    for r in runtimes:
        name, eq, command = r.partition("=")
        name, command = (name, command) if eq else (pathlib.Path(r.split()[0]).name, r)
        program, *words = command.split()
        path = pathlib.Path(shutil.which(program) or program).absolute()
        named.append((name, " ".join([str(path), *words])))
        # One that is not installed has its helpers beside it.
        if (path.parent / "rootlet-seccomp").exists():
            os.environ.setdefault("ROOTLET_LIBEXEC", str(path.parent))
    busybox = subprocess.run(["sh", "-c", "command -v busybox"], capture_output=True, text=True, check=True).stdout.strip()
    return {"runtimes": named, "ids": ids, "probe": str(probe), "busybox": busybox, "seed": "0", "cases": 200,
            "seconds": None, "only": None, **more}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", default=f"{random.randrange(1 << 32)}")
    p.add_argument("--cases", type=int, default=200)
    p.add_argument("--seconds", type=float)
    p.add_argument("--only", type=int)
    p.add_argument("--rootless", action="store_true")
    p.add_argument("--keep", action="store_true")
    p.add_argument("--probe", default=HERE.parent.parent / "build/tests/oci/differential/probe")
    p.add_argument("runtimes", nargs="+")
    a = p.parse_args()
    print(f"seed {a.seed}")
    with test_user(first=212_000_000) if a.rootless else contextlib.nullcontext() as ids:
        count, findings, explained = examine(options_of(a.runtimes, ids, a.probe, seed=a.seed, cases=a.cases,
                                                        seconds=a.seconds, only=a.only))
    for number, what, difference in findings:
        print(f"case {number} ({', '.join(what)}): {difference}")
    for rule, cases in sorted(explained.items()):
        print(f"explained by {rule}: {len(cases)}")
        for number, difference in cases if a.keep else ():
            print(f"    case {number}: {difference}")
    print(f"{count} cases, {len(findings)} findings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--sandbox"]:
        code, _ = Sandbox(namespaces="uin").run([sys.executable, __file__, "--inside", sys.argv[2]])
        sys.exit(code)
    elif sys.argv[1:2] == ["--inside"]:
        try:
            inside(sys.argv[2])
        except Exception:
            traceback.print_exc()
            sys.exit(3)
    else:
        main()
