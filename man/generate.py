#!/usr/bin/env python3
"""Writes the manual pages and the shell completions from the option tables of the built programs.

For maintainers; building and installing rootlet needs no Python. After a change of a command or an
option, in a tree that has been built:

    man/generate.py --build BUILD-DIRECTORY            writes man/*.1 man/*.5 man/*.8 and data/completions/*
    man/generate.py --build BUILD-DIRECTORY --check    says what would change; exit status 1

What a table cannot say (descriptions, examples, details of an option) comes from man/prose/*.md.
"""
import argparse
import pathlib
import sys

sys.dont_write_bytecode = True

import gen_complete  # noqa: E402
import gen_man  # noqa: E402
from gen_tables import read_tables, version_of  # noqa: E402


def main():
    here = pathlib.Path(__file__).resolve().parent
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--build", default="build", type=pathlib.Path, help="where the programs are")
    p.add_argument("--check", action="store_true", help="write nothing, compare")
    args = p.parse_args()
    tables = read_tables(args.build)
    oci_tables = read_tables(args.build, ["rootlet-oci"])
    version = version_of(here.parent / "configure.ac")
    files = gen_man.pages(tables, oci_tables, here / "prose", version)
    files = {here / name: text for name, text in files.items()}
    completions = here.parent / "data" / "completions"
    files.update({completions / name: text for name, text in gen_complete.files(tables, oci_tables).items()})

    stale = [f for pattern in ("*.1", "*.5", "*.8") for f in here.glob(pattern) if f not in files]
    changed = [f for f, text in files.items() if not f.exists() or f.read_text() != text]
    for f in sorted(changed + stale):
        print(("stale: " if args.check else "write ") + str(f.relative_to(here.parent)))
    if args.check:
        return 1 if changed or stale else 0
    for f in changed:
        f.write_text(files[f])
    for f in stale:
        f.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
