"""Manual pages in man(7) macros: the option lists from the tables, the rest from prose/*.md.

The prose is a small part of Markdown: "## SECTION", "### --option" (more about one option of the
list), paragraphs, blocks indented by four, "term" lines followed by ":   text", "- item" lists,
`literal`, *variable*. "@options run" in the options section takes the details of another page.
"""
import re
import sys

DATE = "2026-11-21"
DEFAULT_STATUS = """0 on success, 125 when something failed; the message on standard error begins with `Error:`."""
SECTIONS = ["SYNOPSIS", "DESCRIPTION", "BRIDGES", "GRANTS", "WHAT IT MAKES", "OTHER FIREWALLS", "MARKS", "SECURITY", "OPTIONS", "LIMITS", "COMMANDS", "SETTINGS", "SYNTAX", "SERVICES", "KEYS",
            "REGISTRIES.CONF", "CERTS.D", "POLICY.JSON", "CONTAINERFILE",
            "EXAMPLES", "EXIT STATUS", "ENVIRONMENT",
            "FILES", "NOTES", "SEE ALSO"]
FORMATS = {"rootlet.conf": "settings of rootlet",
           "rootlet-registries": "where image names lead, and which images may be used",
           "rootlet-quadlet": "unit files of containers for systemd",
           "rootlet-net.conf": "who may use which bridge of the host",
           "rootlet-net-helper": "connects containers to a bridge of the host"}


# --- roff ---

def escape(text, literal=False):
    text = text.replace("\\", "\\e")
    if literal:
        for c, e in (("-", "\\-"), ("'", "\\(aq"), ("`", "\\(ga"), ("^", "\\(ha"), ("~", "\\(ti")):
            text = text.replace(c, e)
    return text


def guard(line):
    return "\\&" + line if line[:1] in (".", "'") else line


def inline(text):
    """`literal` and *variable* to fonts."""
    out = []
    for part in re.split(r"(`[^`]+`|\*[^*\s][^*]*\*)", text):
        if part.startswith("`") and len(part) > 1:
            out.append("\\fB" + escape(part[1:-1], True) + "\\fR")
        elif part.startswith("*") and len(part) > 2:
            out.append("\\fI" + escape(part[1:-1], True) + "\\fR")
        else:
            out.append(re.sub(r"\b([a-z.-]+)\((\d)\)", reference, escape(part)))
    return "".join(out)


def reference(m):
    return "\\fB" + m.group(1).replace("-", "\\-") + "\\fR(" + m.group(2) + ")"


def fill(text):
    """Sentences on lines of their own, none longer than 78."""
    lines = []
    # A literal keeps together: its spaces are put back at the end.
    text = re.sub(r"`[^`]+`", lambda m: m.group(0).replace(" ", "\1"), " ".join(text.split()))
    for sentence in re.split(r"(?<=[.?])\s+(?=[A-Z\\`(])", text):
        line = ""
        for word in inline(sentence).split(" "):
            if line and len(line) + 1 + len(word) > 78:
                lines.append(guard(line))
                line = word
            else:
                line = f"{line} {word}" if line else word
        if line:
            lines.append(guard(line))
    return "\n".join(lines).replace("\1", " ")


def code_block(lines):
    return ".PP\n.RS 4\n.EX\n" + "\n".join(guard(escape(x, True)) for x in lines) + "\n.EE\n.RE"


# --- prose ---

def blocks(text):
    """Paragraphs, code, definitions and lists of a section, as roff."""
    out, lines, i = [], text.strip("\n").split("\n"), 0
    while i < len(lines):
        if not lines[i].strip():
            i += 1
        elif lines[i].startswith("    "):
            j = i
            while j < len(lines) and (lines[j].startswith("    ") or not lines[j].strip()):
                j += 1
            code = "\n".join(x[4:] for x in lines[i:j]).rstrip("\n").split("\n")
            out.append(code_block(code))
            i = j
        elif i + 1 < len(lines) and lines[i + 1].startswith(":   "):
            j = i + 2
            while j < len(lines) and (lines[j].startswith("    ")):
                j += 1
            body = " ".join([lines[i + 1][4:]] + [x.strip() for x in lines[i + 2:j]])
            out.append(".TP\n" + inline(lines[i]) + "\n" + fill(body))
            i = j
        elif lines[i].startswith("- "):
            j = i + 1
            while j < len(lines) and lines[j].startswith("  "):
                j += 1
            out.append(".IP \\(bu 2\n" + fill(" ".join([lines[i][2:]] + lines[i + 1:j])))
            i = j
        else:
            j = i
            while j < len(lines) and lines[j].strip() and not (
                    j + 1 < len(lines) and lines[j + 1].startswith(":   ")):
                j += 1
            out.append(".PP\n" + fill(" ".join(lines[i:j])))
            i = j
    return out


def section(title, roff_blocks):
    text = "\n".join(roff_blocks)
    if text.startswith(".PP\n"):  # the section's macro has begun a paragraph already
        text = text[4:]
    return f".SH {title}\n{text}\n"


class Prose:
    def __init__(self, path):
        self.sections, self.options, self.take = {}, {}, None
        title, name = None, None
        for line in path.read_text().splitlines():
            if line.startswith("## "):
                title, name = line[3:], None
                if title not in SECTIONS:
                    raise SystemExit(f"{path}: unknown section {title}")
                self.sections[title] = ""
            elif line.startswith("### "):
                name = line[4:]
                self.options[name] = ""
            elif line.startswith("@options "):
                self.take = line.split()[1]
            elif name:
                self.options[name] += line + "\n"
            elif title:
                self.sections[title] += line + "\n"
            elif line.strip():
                raise SystemExit(f"{path}: text before the first section")


# --- pages ---

def option_head(o):
    names = ", ".join("\\fB" + escape(n, True) + "\\fR" for n in o.all_names)
    return names + (f" \\fI{escape(o.arg, True)}\\fR" if o.arg else "")


def option_list(cmd, details, page):
    out = []
    for o in cmd.options:
        text = o.help if o.help.endswith((".", "?")) else o.help + "."
        entry = ".TP\n" + option_head(o) + "\n" + fill(text)
        more = blocks(details.pop(o.names[0], ""))
        if more:
            more = [b.replace(".PP\n.RS 4\n", ".IP\n", 1).removesuffix("\n.RE") if b.startswith(".PP\n.RS 4") else
                    ".IP\n" + b[4:] if b.startswith(".PP\n") else ".RS\n" + b + "\n.RE"
                    for b in more]
            first = more[0]
            if first.startswith(".IP\n") and not first.startswith(".IP\n.EX"):
                more[0] = first[4:]
            entry += "\n" + "\n".join(more)
        out.append(entry)
    if details:
        raise SystemExit(f"{page}: details of options that do not exist: {', '.join(details)}")
    return out


def synopsis(cmd):
    out = []
    for name in [cmd.name] + cmd.aliases:
        line = f"\\fBrootlet {escape(name, True)}\\fR" if name else "\\fBrootlet\\fR"
        if cmd.options:
            line += " [\\fIoptions\\fR]"
        if cmd.args:
            line += " " + re.sub(r"[A-Z]+", lambda m: f"\\fI{m.group(0)}\\fR", escape(cmd.args))
        out.append(line)
    return ".SH SYNOPSIS\n" + "\n.br\n".join(out) + "\n"


def header(title, sec, version):
    what = {"1": "User Commands", "5": "File Formats", "8": "System Administration"}[sec]
    return (".\\\" Generated by man/generate.py from the option tables and man/prose; edit those.\n"
            f".TH {title.upper().replace('-', chr(92) + '-')} {sec} \"{DATE}\" \"rootlet {version}\" \"{what}\"\n"
            # Names of options and capabilities are not to be broken.
            ".nh\n.ad l\n")


def name_line(title, summary):
    return f".SH NAME\n{title.replace('-', chr(92) + '-')} \\- {summary[0].lower() + summary[1:]}\n"


def command_page(tables, cmd, prose, others, version):
    text = header(cmd.page, "1", version) + name_line(cmd.page, cmd.summary) + synopsis(cmd)
    details = dict(prose.options)
    if prose.take:
        mine = {o.names[0] for o in cmd.options}
        taken = {k: v for k, v in others[prose.take].options.items() if k in mine}
        details = {**taken, **details}
    for title in SECTIONS:
        body = blocks(prose.sections.get(title, ""))
        if title == "OPTIONS":
            body += option_list(cmd, details, cmd.page)
        elif title == "COMMANDS" and not cmd.name:
            body += command_list(tables)
        elif title == "EXIT STATUS" and not body:
            body = blocks(DEFAULT_STATUS)
        elif title == "SEE ALSO":
            body = [".PP\n" + see_also(cmd, prose.sections.get(title, ""))]
        if body:
            text += section(title, body)
    return text


def see_also(cmd, listed):
    names = [w for w in listed.split() if w]
    if cmd.name:
        names = ["rootlet(1)"] + names
    return ",\n".join(inline(n.rstrip(",")) for n in names)


def command_list(tables):
    out = []
    for name in sorted(n for n in tables if n):
        cmd = tables[name]
        out.append(".TP\n" + reference(re.match(r"(.*)\((\d)\)", f"{cmd.page}(1)")) + "\n" +
                   fill(cmd.summary + "."))
    return out


def oci_command(cmd, more, details):
    """One command of rootlet-oci as a part of its page."""
    line = f"\\fBrootlet\\-oci {escape(cmd.name, True)}\\fR"
    if cmd.options:
        line += " [\\fIoptions\\fR]"
    if cmd.args:
        line += " " + re.sub(r"[A-Z]+", lambda m: f"\\fI{m.group(0)}\\fR", escape(cmd.args))
    out = [f".SS {cmd.name}\n{line}", ".PP\n" + fill(cmd.summary + ".")] + blocks(more)
    return "\n".join(out + option_list(cmd, details, "rootlet-oci"))


def oci_page(tables, prose, version):
    """One page for all commands: what a client of an OCI runtime calls is known from elsewhere."""
    page = "rootlet-oci"
    text = header(page, "1", version) + name_line(page, "Run containers from OCI bundles")
    text += ".SH SYNOPSIS\n\\fBrootlet\\-oci\\fR [\\fIoptions\\fR] \\fICOMMAND\\fR [\\fIARG\\fR...]\n"
    details = dict(prose.options)
    for title in SECTIONS:
        body = blocks(prose.sections.get(title, ""))
        if title == "OPTIONS":
            own = {o.names[0] for o in tables[""].options}
            body += option_list(tables[""], {k: details.pop(k) for k in list(details) if k in own}, page)
        elif title == "COMMANDS":
            for name in sorted(n for n in tables if n):
                mine = {k.removeprefix(name + " "): details.pop(k) for k in list(details) if k.startswith(name + " -")}
                body.append(oci_command(tables[name], details.pop(name, ""), mine))
        elif title == "SEE ALSO":
            body = [".PP\n" + ",\n".join(inline(w) for w in prose.sections[title].split())]
        if body:
            text += section(title, body)
    if details:
        raise SystemExit(f"{page}: details of what does not exist: {', '.join(details)}")
    return text


def format_page(path, version):
    name, number = path.stem.rsplit(".", 1)  # rootlet.conf.5.md
    prose = Prose(path)
    text = header(name, number, version) + name_line(name, FORMATS[name])
    for s in SECTIONS:
        if s == "SEE ALSO":
            text += section(s, [".PP\n" + ",\n".join(inline(w.rstrip(",")) for w in prose.sections[s].split())])
        elif s in prose.sections:
            text += section(s, blocks(prose.sections[s]))
    return text


def pages(tables, oci_tables, prose_dir, version):
    """{file name: text}"""
    prose, oci = {}, prose_dir / "rootlet-oci.md"
    for name, cmd in tables.items():
        path = prose_dir / (cmd.page + ".md")
        if not path.exists():
            raise SystemExit(f"{path} is missing: \"{name}\" has no prose")
        prose[name] = Prose(path)
    out = {}
    for name, cmd in tables.items():
        out[cmd.page + ".1"] = command_page(tables, cmd, prose[name], prose, version)
        for alias in cmd.aliases:
            if " " not in alias:  # a word of its own at the top: "delete"
                out[f"rootlet-{alias}.1"] = f".so man1/{cmd.page}.1\n"
    out["rootlet-oci.1"] = oci_page(oci_tables, Prose(oci), version)
    formats = [p for n in FORMATS for p in prose_dir.glob(n + ".[58].md")]
    for path in formats:
        out[path.stem] = format_page(path, version)
    known = {oci.name} | {c.page + ".md" for c in tables.values()} | {p.name for p in formats}
    for path in prose_dir.glob("*.md"):
        if path.name not in known:
            print(f"{path}: no such command", file=sys.stderr)
            raise SystemExit(1)
    return out
