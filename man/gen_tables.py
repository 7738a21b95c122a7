"""The option tables of the programs, read from "rootlet help --dump" (see cmd_dump in base/opt.h)."""
import re
import subprocess


class Option:
    def __init__(self, flags, arg, text):
        names = flags.split(",")
        self.short = next((n for n in names if not n.startswith("--")), None)
        self.names = [n for n in names if n.startswith("--")]
        self.arg = arg
        self.ignored = text.startswith("(ignored) ")
        self.help = text.removeprefix("(ignored) ")

    @property
    def all_names(self):
        return ([self.short] if self.short else []) + self.names


class Command:
    def __init__(self, name, args, summary):
        self.name, self.args, self.summary = name, args, summary
        self.aliases, self.options = [], []

    @property
    def page(self):
        return "rootlet-" + self.name.replace(" ", "-") if self.name else "rootlet"


def parse(text, tables):
    for line in text.splitlines():
        name, flags, arg, rest = line.split("\t")
        if not flags:
            tables.setdefault(name, Command(name, arg, rest))
        elif flags.startswith("@"):
            tables[flags[1:]].aliases.append(name)
        else:
            tables[name].options.append(Option(flags, arg, rest))
    return tables


def read_tables(build, programs=("rootlet", "rootlet-image", "rootlet-registry", "rootlet-build")):
    """{name: Command}; the entry "" holds the global options."""
    tables = {}
    for program in programs:
        out = subprocess.run([str((build / program).resolve()), "help", "--dump"], check=True,
                             capture_output=True, text=True).stdout
        parse(out, tables)
    for c in tables.values():
        c.options.sort(key=lambda o: o.names[0])
    return tables


def version_of(configure_ac):
    return re.search(r"AC_INIT\(\[[^]]*\], \[([^]]*)\]", configure_ac.read_text()).group(1)
