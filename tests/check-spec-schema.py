#!/usr/bin/env python3
"""The JSON schema and the C code agree (rows B49, B55): what rootlet accepts the schema accepts,
and of what rootlet refuses the schema refuses most (it cannot express every rule).

Skipped without the Python module jsonschema. Runs in the build directory."""
import json
import os
import subprocess
import sys
import tempfile

try:
    from jsonschema import Draft7Validator
except ImportError:
    print("SKIP: the Python module jsonschema is missing (Debian: apt-get install python3-jsonschema)")
    sys.exit(77)

SRC = os.environ.get("srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
CORPUS = os.path.join(SRC, "tests/fuzz/corpus/spec")


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def cases():
    """(accepted, document) of every case that test-spec-validate tries."""
    with tempfile.TemporaryDirectory() as tmp:
        out = os.path.join(tmp, "cases")
        env = dict(os.environ, SPEC_CASES_OUT=out)
        subprocess.run(["tests/unit/test-spec-validate"], env=env, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(out, encoding="utf-8") as f:
            for line in f:
                verdict, text = line.split(" ", 1)
                yield verdict == "ok", json.loads(text)


def main():
    schema = load(os.path.join(SRC, "data/schema/rootlet-config.schema.json"))
    Draft7Validator.check_schema(schema)
    validator = Draft7Validator(schema)
    failures = []

    def complaints(doc):
        return [f"{'.'.join(map(str, e.path))}: {e.message}" for e in validator.iter_errors(doc)]

    for name in ("default", "full", "minimal"):
        for complaint in complaints(load(os.path.join(CORPUS, name + ".json"))):
            failures.append(f"{name}.json: {complaint}")
    if not complaints(load(os.path.join(CORPUS, "wrong.json"))):
        failures.append("wrong.json is accepted")

    accepted, refused, missed = 0, 0, []
    for ok, doc in cases():
        found = complaints(doc)
        if ok:
            accepted += 1
            failures += [f"rootlet accepts what the schema refuses: {c}" for c in found]
        elif found:
            refused += 1
        else:
            missed.append(doc)
    if accepted < 15 or refused < 100:
        failures.append(f"too few cases: {accepted} accepted, {refused} refused")
    if len(missed) * 5 > refused:
        failures.append(f"the schema accepts {len(missed)} documents that rootlet refuses")
    print(f"{accepted} accepted, {refused} refused by both, {len(missed)} only by rootlet")
    for failure in failures:
        print("FAIL:", failure)
    return 1 if failures else 0


sys.exit(main())
