"""check-man - every option and command of the tables is in its manual page, and no other; every
setting is in rootlet.conf(5); the pages and completions are what man/generate.py makes; roff finds
nothing to complain about.

Runs in the build directory: asks ./rootlet and its programs for their tables
(NAME<TAB>FLAGS<TAB>ARG<TAB>HELP) and reads man/rootlet-NAME.1 of the source. rootlet-oci has one page
for all its commands."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

SRC = pathlib.Path(os.environ.get("srcdir", pathlib.Path(__file__).parent.parent))
# Options that every command has are explained once, in rootlet.1.
EVERYWHERE = {"--help"}


def skip(why):
    print("SKIP:", why)
    sys.exit(77)


def table(*programs):
    """Command -> {option names: help} of these programs; and alias -> command."""
    commands, aliases = {}, {}
    out = ""
    for program in programs:
        if not os.path.exists(program):
            skip(f"{program} is not built")
        run = subprocess.run([program, "help", "--dump"], capture_output=True, text=True, check=False)
        if run.returncode == 0:
            out += run.stdout
    if not out:
        skip(f"{programs[0]} help --dump prints nothing")
    for line in out.splitlines():
        name, flags, _arg, text = (line.split("\t") + ["", "", ""])[:4]
        if flags.startswith("@"):
            aliases[name] = flags[1:]
        elif not flags:
            commands.setdefault(name, {})
        else:
            commands.setdefault(name, {})[flags] = text
    return commands, aliases


def man_options(text):
    """The options that a page explains: the bold words with dashes that begin a .TP's heading."""
    found = set()
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if line.strip() not in (".TP", ".TQ") and not line.startswith(".TP "):
            continue
        heading = lines[i + 1] if i + 1 < len(lines) else ""
        plain = re.sub(r"\\f[A-Z]|\\f\([A-Z]{2}", "", heading).replace("\\-", "-")
        plain = re.sub(r"^\.[A-Z]+ ", "", plain).replace('"', "")
        if plain.startswith("-"):
            found.update(re.findall(r"(?<![\w-])--?[A-Za-z0-9][A-Za-z0-9-]*", plain))
    return found


def check_page(name, options, path):
    text = path.read_text(encoding="utf-8")
    explained, errors, known = man_options(text), [], set()
    for flags in options:
        names = [n for n in flags.split(",") if n]
        known.update(names)
        if not EVERYWHERE & set(names) and not explained & set(names):
            errors.append(f"{path.name}: {flags} of '{name}' is not explained")
    for option in sorted(explained - known - EVERYWHERE - {"-h"}):
        errors.append(f"{path.name}: {option} is explained, but '{name}' does not have it")
    return errors


def check_oci(pages):
    """Its commands are parts of one page; an option of any of them may be explained there."""
    commands, _ = table("./rootlet-oci")
    path = pages / "rootlet-oci.1"
    text = path.read_text(encoding="utf-8")
    parts = re.split(r"^\.SS (.+)$", text[text.index(".SH COMMANDS"):text.index(".SH EXAMPLES")], flags=re.M)
    explained = {"": man_options(text[:text.index(".SH COMMANDS")])}
    explained.update({name: man_options(part) for name, part in zip(parts[1::2], parts[2::2])})
    errors = []
    for name in sorted(set(commands) | set(explained)):
        known = {n for flags in commands.get(name, {}) for n in flags.split(",") if n}
        if name not in explained or name not in commands:
            errors.append(f"{path.name}: '{name}' is {'not explained' if name in commands else 'no command'}")
            continue
        missing = [flags for flags in commands[name] if not explained[name] & set(flags.split(","))]
        errors += [f"{path.name}: {flags} of '{name}' is not explained" for flags in missing]
        errors += [f"{path.name}: {o} is explained, but '{name}' does not have it"
                   for o in sorted(explained[name] - known)]
    return errors


def check_stale(pages, commands, aliases):
    """Pages of commands that are no more."""
    known = {page_of(n) for n in commands} | {page_of(a) for a in aliases} | {"rootlet-oci.1"}
    return [f"{p.name}: there is no such command" for p in pages.glob("*.1") if p.name not in known]


def check_settings(pages):
    conf = (SRC / "src/conf/conf.c").read_text(encoding="utf-8")
    keys = re.findall(r'\{"([a-z_]+)", "ROOTLET_', conf)
    keys += re.findall(r'"([a-z_]+)"', re.search(r"other_keys\[\] = \{([^}]*)\}", conf).group(1))
    text = (pages / "rootlet.conf.5").read_text(encoding="utf-8").replace("\\-", "-")
    return [f"rootlet.conf.5: setting {k} is not explained" for k in keys if f"\\fB{k}\\fR" not in text]


def check_generated():
    argv = [sys.executable, str(SRC / "man/generate.py"), "--build", ".", "--check"]
    run = subprocess.run(argv, capture_output=True, text=True, check=False)
    if run.returncode == 0:
        return []
    return [*run.stdout.splitlines(), *run.stderr.splitlines(), "make update-man writes them again"]


def check_roff(pages):
    if not shutil.which("groff"):
        return []
    errors = []
    for page in sorted([*pages.glob("*.1"), *pages.glob("*.5"), *pages.glob("*.8")]):
        if not page.read_text(encoding="utf-8").startswith(".so "):
            run = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", str(page)],
                                 capture_output=True, text=True, check=False)
            errors += run.stderr.splitlines()
    return errors


def page_of(command):
    return f"rootlet-{command.replace(' ', '-')}.1" if command else "rootlet.1"


def main():
    pages = SRC / "man"
    if not list(pages.glob("*.1")):
        skip("there are no manual pages yet")
    commands, aliases = table("./rootlet", "./rootlet-image", "./rootlet-registry", "./rootlet-build")
    errors = []
    for name, options in sorted(commands.items()):
        path = pages / page_of(name)
        if path.exists():
            errors += check_page(name, options, path)
        else:
            errors.append(f"{path.name} is missing")
    errors += check_stale(pages, commands, aliases) + check_settings(pages)
    errors += check_oci(pages) + check_generated() + check_roff(pages)
    for error in errors:
        print(error)
    print(f"{len(commands)} commands, {len(errors)} complaints")
    return 1 if errors else 0


sys.exit(main())
