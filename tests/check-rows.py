"""check-rows - every row of tests/rows.txt is named by a test, or reviewed with a reason."""
import os
import pathlib
import re
import sys

OWN = {"rows.txt", "rows-by-review.txt", "check-rows.py"}


def wanted(path):
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        for word in line.split():
            match = re.fullmatch(r"([AB])(\d+)(?:-\1(\d+))?", word)
            if not match:
                sys.exit(f"{path}: what is {word}?")
            first, last = int(match[2]), int(match[3] or match[2])
            rows += [f"{match[1]}{n}" for n in range(first, last + 1)]
    return rows


def named(tests):
    """Row -> the files that name it; a range such as A13-A15 names all of it."""
    found = {}
    for path in sorted(tests.rglob("*")):
        if not path.is_file() or path.name in OWN or path.suffix in (".pyc", ".json", ".tar"):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for match in re.finditer(r"\b([AB])(\d{1,2})(?:-\1?(\d{1,2}))?\b", text):
            for n in range(int(match[2]), int(match[3] or match[2]) + 1):
                found.setdefault(f"{match[1]}{n}", set()).add(path.name)
    return found


def reviewed(path):
    rows = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            row, _, reason = line.partition(" ")
            if not reason.strip():
                sys.exit(f"{path}: {row} has no reason")
            rows[row] = reason.strip()
    return rows


def main():
    tests = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("srcdir", "."),
                         "tests")
    rows = wanted(tests / "rows.txt")
    found, review = named(tests), reviewed(tests / "rows-by-review.txt")
    missing = [r for r in rows if r not in found and r not in review]
    for row in review:
        if row not in rows:
            print(f"tests/rows-by-review.txt: {row} is not asked for")
            missing.append(row)
    print(f"{len(rows)} rows: {len([r for r in rows if r in found])} named by tests, "
          f"{len([r for r in rows if r not in found and r in review])} by review, "
          f"missing: {' '.join(missing) or 'none'}")
    return 1 if missing else 0


sys.exit(main())
