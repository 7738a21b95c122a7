"""Completions for bash, zsh and fish: one description of values and arguments, three forms."""
from gen_tables import Command

class Program:
    """What the tables do not say of a program.

    values          what may follow an option: words, or kinds: @file @dir @container @running @image
    command_values  where these differ by command: (command, option)
    arguments       kinds of arguments that do not follow from their name in the synopsis
    stop            commands whose options end at the first argument; what follows is the container's
    lists           kind: the command that lists them
    """

    def __init__(self, name, values, command_values, arguments, stop, lists):
        self.name, self.values, self.command_values = name, values, command_values
        self.arguments, self.stop, self.lists = arguments, stop, lists
        self.ident = name.replace("-", "_")

    def rename(self, text):
        """The templates are written for rootlet."""
        return text.replace("_rootlet", "\0").replace("rootlet", self.name).replace("\0", "_" + self.ident)


NAMES = """--format '{{join .Names ","}}'"""
IMAGES = "--format '{{.Repository}}:{{.Tag}}'"
ROOTLET = Program(
    "rootlet",
    values={
        "attach": "stdin stdout stderr",
        "bundle": "@dir",
        "cap-add": "@cap",
        "cap-drop": "@cap",
        "cgroupns": "private host",
        "cgroups": "enabled disabled split systemd cgroupfs",
        "cidfile": "@file", "iidfile": "@file",
        "condition": "stopped exited created running paused removed healthy unhealthy",
        "device": "@file",
        "env-file": "@file",
        "input": "@file",
        "ipc": "private host container:",
        "label-file": "@file",
        "log-driver": "k8s-file journald passthrough none",
        "log-level": "error warn info debug",
        "mount": "type=bind, type=volume, type=tmpfs,",
        "net": "@network slirp none host bridge pasta container: ns:",
        "network": "@network slirp none host bridge pasta container: ns:",
        "on-pressure": "notify freeze restart",
        "oomd": "kill avoid omit auto",
        "output": "@file",
        "auto-update": "local registry disabled",
        "pid": "private host container:",
        "pod": "@pod new:",
        "pidfile": "@file",
        "pull": "missing never",
        "restart-policy": "no always on-success on-failure on-abnormal on-watchdog on-abort",
        "health-interval": "disable",
        "health-on-failure": "none kill restart stop",
        "restart": "no on-failure on-failure: always unless-stopped",
        "root": "@dir",
        "runroot": "@dir",
        "sdnotify": "container monitor healthy ignore",
        "security-opt": "seccomp= seccomp-default= no-new-privileges apparmor= label= mask= unmask=",
        "security-profile": "default hardened minimal",
        "signal": "@signal",
        "spec": "@file",
        "stop-signal": "@signal",
        "storage-driver": "overlay fuse-overlayfs copy",
        "userns": "keep-id auto isolated nomap host",
        "uts": "private host container:",
        "volume": "@file",
        "volumes-from": "@container",
    },
    command_values={
        ("save", "format"): "docker-archive oci-archive oci-dir",
        ("ps", "format"): "json jsonl table",
        ("list", "format"): "json jsonl table",
        ("images", "format"): "json jsonl table",
        ("history", "format"): "json table",
        ("inspect", "format"): "json",
        ("commit", "format"): "oci docker", ("diff", "format"): "json",
        ("inspect", "type"): "container image all",
        ("ps", "sort"): "created command id image names runningfor size status",
        ("list", "sort"): "created command id image names runningfor size status",
        ("images", "sort"): "created id repository size tag",
        ("ps", "filter"): "id= name= status= label= ancestor= exited= before= since= volume= network= command= health= restart-policy= pod=",
        ("list", "filter"): "id= name= status= label= ancestor= exited= before= since= volume= network= command= health= restart-policy= pod=",
        **{(verb, "filter"): "id= name= status= label= ancestor= restart-policy= pod="
           for verb in ("start", "stop", "restart", "pause", "unpause", "rm")},
        ("stats", "format"): "json jsonl table",
        ("events", "format"): "json jsonl",
        ("events", "filter"): "container= event= image= label= network= pod= type= volume=",
        ("pod ps", "filter"): "id= name= status= label= ctr-names= ctr-ids= ctr-status= ctr-number=",
        ("pod ps", "format"): "json jsonl table",
        ("pod create", "exit-policy"): "continue stop",
        ("pod create", "share"): "net ipc uts pid none",
        ("volume ls", "filter"): "name= label= dangling= anonymous= driver= until=",
        ("volume prune", "filter"): "name= label= anonymous= driver= until=",
        ("volume ls", "format"): "json jsonl table",
        ("network ls", "filter"): "name= id= driver= label= dangling= until=",
        ("network prune", "filter"): "label= until= name= id= driver=",
        ("network ls", "format"): "json jsonl table",
        ("network create", "driver"): "user bridge",
        ("network create", "opt"): "mtu= bridge=",
        ("quadlet list", "format"): "json jsonl table",
        ("volume create", "opt"): "type=tmpfs type=none device= o=",
        ("images", "filter"): "reference= id= dangling=",
    },
    arguments={
        "attach": "@running", "stats": "@running", "exec": "@running", "stop": "@running", "kill": "@running",
        "wait": "@running", "import": "@file", "inspect": "@container @image", "diff": "@container @image", "commit": "@container @image",
        "cp": "@place",
        "help": "@command",
        "images": "@image", "image exists": "@image", "volume rm": "@volume",
        "quadlet check": "@file", "quadlet print": "@file", "quadlet install": "@file",
        "quadlet keys": "container volume network pod image build", "quadlet rm": "@quadlet",
        "pod start": "@pod", "pod stop": "@pod", "pod restart": "@pod", "pod kill": "@pod", "pod pause": "@pod",
        "pod unpause": "@pod", "pod rm": "@pod", "pod exists": "@pod", "pod inspect": "@pod", "pod create": "",
        "network rm": "@network", "network inspect": "@network", "network exists": "@network", "network create": "",
        "network connect": "@network @container", "network disconnect": "@network @container",
        "volume inspect": "@volume", "volume exists": "@volume", "volume create": "",
    },
    stop=("run", "create", "exec"),
    lists={"@container": f"ps -a {NAMES}", "@place": "ps -a --format '{{.Names}}:'", "@running": f"ps {NAMES}", "@image": f"images {IMAGES}",
           "@volume": "volume ls -q", "@network": "network ls -q", "@pod": "pod ps --format '{{.Name}}'",
           "@quadlet": "quadlet list --format '{{.Name}}'"})
OCI = Program(
    "rootlet-oci",
    values={
        "bundle": "@dir",
        "cap": "@cap",
        "cgroup-manager": "cgroupfs systemd disabled",
        "config": "@file",
        "console-socket": "@file",
        "format": "table json",
        "log": "@file",
        "log-format": "text json",
        "pid-file": "@file",
        "process": "@file",
        "resources": "@file",
        "root": "@dir",
        "rootless": "auto true false",
    },
    command_values={},
    arguments={"create": "", "run": "", "help": "@command"},
    stop=("exec", "ps"),
    lists={"@container": "list -q"})

CAPS = ("ALL AUDIT_WRITE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK KILL MKNOD NET_ADMIN "
        "NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_CHROOT SYS_NICE SYS_PTRACE "
        "SYS_RESOURCE SYS_TIME")
SIGNALS = "HUP INT QUIT ABRT KILL USR1 USR2 TERM CONT STOP WINCH"


def value_of(prog, cmd, option):
    for n in option.names:
        n = n[2:]
        if (cmd.name, n) in prog.command_values:
            return prog.command_values[cmd.name, n]
        if n in prog.values:
            return prog.values[n]
    return ""


def argument_of(prog, cmd):
    if cmd.name in prog.arguments:
        return prog.arguments[cmd.name]
    if cmd.args.lstrip("[").startswith(("CONTAINER", "ID")):
        return "@container"
    return "@image" if cmd.args.startswith("IMAGE") else ""


def plural(kind):
    return kind[1:] if kind == "@running" else kind[1:] + "s"


def shown(cmd):
    return [o for o in cmd.options if not o.ignored]


def spellings(cmd):
    return [cmd.name] + cmd.aliases


def first_words(tables):
    """{word: summary} of what may stand first, groups ("image") included."""
    words = {}
    for cmd in tables.values():
        for s in spellings(cmd):
            if s:
                first, _, rest = s.partition(" ")
                if rest:
                    words.setdefault(first, "Group of commands")
                else:
                    words[first] = cmd.summary
    return dict(sorted(words.items()))


def groups(tables):
    """{group: {word: command}}"""
    out = {}
    for cmd in tables.values():
        for s in spellings(cmd):
            first, _, rest = s.partition(" ")
            if rest:
                out.setdefault(first, {})[rest] = cmd
    return {g: dict(sorted(v.items())) for g, v in sorted(out.items())}


def wrap(words, indent, width=98):
    lines, line = [], ""
    for w in words.split():
        if line and len(indent) + len(line) + 1 + len(w) > width:
            lines.append(line)
            line = w
        else:
            line = f"{line} {w}" if line else w
    return ("\n" + indent).join(lines + [line])


# --- bash ---

BASH_HEAD = """\
# bash completion of rootlet. Generated by man/generate.py; edit man/gen_complete.py instead.

_rootlet_list()
{
    # Names from rootlet itself, with the global options that were typed.
    "$program" "${globals[@]}" "$@" 2>/dev/null | tr ',' '\\n'
}

# Prints what may replace a word of the kinds in $1.
_rootlet_kind()
{
    local kind
    for kind in $1; do
        case $kind in
@LISTS@
        @command) printf '%s\\n' $commands ;;
        @cap) printf '%s\\n' @CAPS@ ;;
        @signal) printf '%s\\n' @SIGNALS@ ;;
        @file | @dir) ;;
        *) printf '%s\\n' "$kind" ;;
        esac
    done
}
"""

BASH_MAIN = """
_rootlet()
{
    local program=${1:-rootlet} line=${COMP_LINE:0:COMP_POINT} IFS=$' \\t\\n'
    local -a words globals=()
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local n=$((${#words[@]} - 1)) i=1 cmd="" group="" ended="" args=0 values=""
    local cur=${words[n]} commands options valued subs argument stop word key
    commands="@COMMANDS@"

    _rootlet_command ""
    while ((i < n)); do
        word=${words[i]}
        if [[ -z $ended && $word == -?* ]]; then
            if [[ $word == -- ]]; then
                ended=yes
            elif [[ $word != *=* && " $valued " == *" $word "* ]]; then
                [[ -z $cmd$group ]] && globals+=("$word" "${words[i + 1]}")
                ((i + 1 == n)) && values=$word
                ((i++))
            elif [[ -z $cmd$group ]]; then
                globals+=("$word")
            elif [[ $word == -[!-]?* && " $valued " == *" -${word: -1} "* ]]; then
                ((i + 1 == n)) && values=-${word: -1} # -itv VALUE
                ((i++))
            fi
        elif [[ -z $cmd$group ]]; then
            _rootlet_command "$word"
        elif [[ -z $cmd ]]; then
            _rootlet_command "$group $word"
        else
            ((args++))
            [[ -n $stop ]] && ended=yes
        fi
        ((i++))
    done

    local reply=""
    if [[ -z $ended && -z $values && $cur == --*=* ]]; then
        values=${cur%%=*}
        cur=${cur#*=}
    fi
    if [[ -n $values ]]; then
        _rootlet_value "$cmd" "$values"
        reply=$(_rootlet_kind "$values")
        case " $values " in
        *" @file "*) compopt -o filenames 2>/dev/null
            COMPREPLY=($(compgen -f -- "$cur"))
            return ;;
        *" @dir "*) compopt -o filenames 2>/dev/null
            COMPREPLY=($(compgen -d -- "$cur"))
            return ;;
        esac
        [[ $reply == *[=:,] ]] && compopt -o nospace 2>/dev/null
    elif [[ -z $ended && $cur == -* ]]; then
        reply=$options
    elif [[ -z $cmd && -z $group ]]; then
        reply=$commands
    elif [[ -z $cmd ]]; then
        reply=$subs
    elif [[ -n $stop && $args -gt 0 ]]; then
        return # words of the container's command
    elif [[ $argument == @file ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$cur"))
        return
    else
        reply=$(_rootlet_kind "$argument")
    fi
    COMPREPLY=($(compgen -W "$reply" -- "$cur"))
    # Readline replaces what follows the last = or : only.
    key=${cur%"${cur##*[=:]}"}
    [[ $COMP_WORDBREAKS == *:* ]] || key=""
    COMPREPLY=("${COMPREPLY[@]#"$key"}")
}

complete -F _rootlet rootlet
"""


def bash(prog, tables):
    head = BASH_HEAD
    lists = "\n".join(f"        {kind}) _rootlet_list {words} ;;" for kind, words in prog.lists.items())
    for key, value in (("@LISTS@", lists), ("@CAPS@", wrap(CAPS, "            ").replace("\n", " \\\n")),
                       ("@SIGNALS@", SIGNALS)):
        head = head.replace(key, value)
    out = [head, "# Sets what is known of a command: cmd, group, options, valued (options with a value), subs,",
           "# argument (kind), stop (its first argument ends the options).", "_rootlet_command()", "{",
           "    options=\"\" valued=\"\" subs=\"\" argument=\"\" stop=\"\" cmd=$1 group=\"\"", "    case $1 in"]
    for cmd in tables.values():
        names = [n for o in shown(cmd) for n in o.all_names]
        valued = [n for o in shown(cmd) if o.arg for n in o.all_names]
        out.append("    " + " | ".join(f'"{s}"' if " " in s or not s else s for s in spellings(cmd)) + ")")
        if cmd.name and cmd.aliases:
            out.append(f'        cmd="{cmd.name}"' if " " in cmd.name else f"        cmd={cmd.name}")
        if names:
            out.append('        options="' + wrap(" ".join(names) + " --help", "            ") + '"')
        else:
            out.append('        options="--help"')
        if valued:
            out.append('        valued="' + wrap(" ".join(valued), "            ") + '"')
        if argument_of(prog, cmd):
            out.append(f'        argument="{argument_of(prog, cmd)}"')
        if cmd.name in prog.stop:
            out.append("        stop=yes")
        out.append("        ;;")
    for group, subs in groups(tables).items():
        out.append(f'    {group})\n        cmd="" group={group}')
        out.append('        subs="' + wrap(" ".join(subs), "            ") + '"\n        ;;')
    out += ["    esac", "    options=${options//$'\\n'/ } valued=${valued//$'\\n'/ }", "}", "", "# Replaces the option $2 of command $1 in \"values\" by the kinds of its value.",
            "_rootlet_value()", "{", "    case \"$1 $2\" in"]
    for cmd in tables.values():
        for o in shown(cmd):
            if (cmd.name, o.names[0][2:]) in prog.command_values:
                pats = " | ".join(f'"{cmd.name} {n}"' for n in o.all_names)
                out.append(f'    {pats})\n        values="{wrap(value_of(prog, cmd, o), "            ")}" ;;')
    seen = {}
    for cmd in tables.values():
        for o in shown(cmd):
            if o.arg and value_of(prog, cmd, o) and (cmd.name, o.names[0][2:]) not in prog.command_values:
                for n in o.names:
                    seen.setdefault(value_of(prog, cmd, o), {})[f'*" {n}"'] = None
                if o.short:
                    seen[value_of(prog, cmd, o)][f'"{cmd.name} {o.short}"'] = None
    for value, pats in seen.items():
        out.append("    " + " | \\\n        ".join(pats) + f')\n        values="{wrap(value, "            ")}" ;;')
    out += ['    *) values="" ;;', "    esac", "}"]
    main = BASH_MAIN.replace("@COMMANDS@", wrap(" ".join(first_words(tables)), "        "))
    return "\n".join(out) + "\n" + main


# --- zsh ---

ZSH_KINDS = {"@file": "_files", "@dir": "_directories", "@container": "_rootlet_containers",
             "@running": "_rootlet_running", "@image": "_rootlet_images", "@command": "_rootlet_commands",
             "@volume": "_rootlet_volumes", "@network": "_rootlet_networks", "@pod": "_rootlet_pods", "@quadlet": "_rootlet_quadlets",
             "@container @image": "_rootlet_objects", "@cap": f"({CAPS})", "@signal": f"({SIGNALS})"}



def zsh_action(kind):
    """Names of things and words in one: an action of both."""
    words = kind.split()
    if kind in ZSH_KINDS or not words or not words[0].startswith("@"):
        return ZSH_KINDS.get(kind, f"({kind})" if kind else " ")
    return "{" + ZSH_KINDS[words[0]] + "; compadd -- " + " ".join(words[1:]) + "}"


def fish_action(kind):
    return FISH_KINDS.get(kind) or " ".join(FISH_KINDS.get(w, w) for w in kind.split())


ZSH_HEAD = """\
#compdef rootlet
# zsh completion of rootlet. Generated by man/generate.py; edit man/gen_complete.py instead.
"""

ZSH_LIST = """
_rootlet_@WORDS@() {
    local -a names
    names=(${(f)"$(rootlet @LIST@ 2>/dev/null)"})
    _wanted @WORDS@ expl @WORD@ compadd -a names
}
"""

ZSH_OBJECTS = """
_rootlet_objects() {
    _alternative 'containers:container:_rootlet_containers' 'images:image:_rootlet_images'
}
"""

ZSH_MAIN = """
_rootlet() {
    local curcontext=$curcontext state line ret=1
    local -A opt_args
    _arguments -C -s -S -A '-*' \\
@GLOBALS@
        '1:command:_rootlet_commands' '*::argument:->rest' && ret=0
    if [[ $state == rest ]]; then
        curcontext=${curcontext%:*}-$line[1]:
        _rootlet_command $line[1] && ret=0
    fi
    return ret
}

_rootlet "$@"
"""


def zsh_quote(text):
    return text.replace("'", "'\\''")


def zsh_text(text):
    for c in "\\[]:":
        text = text.replace(c, "\\" + c)
    return zsh_quote(text)


def zsh_spec(prog, cmd, o):
    value = ""
    if o.arg:
        kind = value_of(prog, cmd, o)
        action = zsh_action(kind)
        value = f":{zsh_text(o.arg)}:" + zsh_quote(action.replace(":", "\\:"))
    out = []
    for n in o.all_names:
        mark = "" if not o.arg else "=" if n.startswith("--") else "+"
        out.append(f"'*{n}{mark}[{zsh_text(o.help)}]{value}'")
    return out


def zsh(prog, tables):
    head = ZSH_HEAD
    for kind, words in prog.lists.items():
        head += ZSH_LIST.replace("@WORDS@", plural(kind)).replace("@WORD@", kind[1:]).replace("@LIST@", words)
    if "@image" in prog.lists:
        head += ZSH_OBJECTS
    out = [head, "_rootlet_commands() {", "    local -a commands", "    commands=("]
    out += [f"        '{w}:{zsh_text(s)}'" for w, s in first_words(tables).items()]
    out += ["    )", "    _describe -t commands command commands", "}", "", "_rootlet_command() {", "    case $1 in"]
    for cmd in tables.values():
        single = [s for s in spellings(cmd) if s and " " not in s]
        if single:
            out.append(f"    {'|'.join(single)}) _rootlet_{cmd.page.removeprefix('rootlet-').replace('-', '_')}_args ;;")
    for group, subs in groups(tables).items():
        out.append(f"    {group})")
        out.append("        if (( CURRENT == 2 )); then")
        out.append("            local -a subs")
        out.append("            subs=(")
        out += [f"                '{w}:{zsh_text(c.summary)}'" for w, c in subs.items()]
        out += ["            )", "            _describe -t commands command subs", "        else",
                "            shift words; (( CURRENT-- ))", "            case $words[1] in"]
        out += [f"            {w}) _rootlet_{c.page.removeprefix('rootlet-').replace('-', '_')}_args ;;" for w, c in subs.items()]
        out += ["            esac", "        fi", "        ;;"]
    out += ["    esac", "}", ""]
    for cmd in tables.values():
        if not cmd.name:
            continue
        specs = [s for o in shown(cmd) for s in zsh_spec(prog, cmd, o)] + ["'--help[Show help]'"]
        kind = argument_of(prog, cmd)
        stop = "-A '-*' " if cmd.name in prog.stop else ""
        if cmd.name in prog.stop:
            specs += [f"'1:argument:{ZSH_KINDS[kind]}'", "'*:: :_normal'"]
        elif kind:
            specs += ["'*:argument:" + ZSH_KINDS.get(kind, f"({kind})") + "'"]
        out += [f"_rootlet_{cmd.page.removeprefix('rootlet-').replace('-', '_')}_args() {{", f"    _arguments -s -S {stop}\\"]
        out += [" \\\n".join("        " + s for s in specs), "}", ""]
    glob = " \\\n".join("        " + s for o in shown(tables[""]) for s in zsh_spec(prog, tables[""], o)) + " \\"
    return "\n".join(out).rstrip("\n") + "\n" + ZSH_MAIN.replace("@GLOBALS@", glob)


# --- fish ---

FISH_HEAD = """\
# fish completion of rootlet. Generated by man/generate.py; edit man/gen_complete.py instead.

# The words behind the global options: the command, its options, its arguments.
function __rootlet_words
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case @VALUED@
                set -e words[1]
                set -e words[1]
            case '-*'
                set -e words[1]
            case '*'
                break
        end
    end
    string join \\n -- $words
end

function __rootlet_none
    set -l words (__rootlet_words)
    not set -q words[1]
end

# True when the command typed is one of the arguments ("ps", "container ls").
function __rootlet_is
    set -l words (__rootlet_words)
    contains -- "$words[1]" $argv; or contains -- "$words[1] $words[2]" $argv
end

# True in a group that waits for its second word.
function __rootlet_group
    set -l words (__rootlet_words)
    test "$words[1]" = $argv[1]; and not set -q words[2]
end

@LISTS@
complete -c rootlet -f
"""

FISH_LIST = """\
function __rootlet_@WORDS@
    rootlet @LIST@ 2>/dev/null
end
"""

FISH_KINDS = {"@container": "(__rootlet_containers)", "@running": "(__rootlet_running)",
              "@image": "(__rootlet_images)", "@container @image": "(__rootlet_containers) (__rootlet_images)",
              "@volume": "(__rootlet_volumes)", "@network": "(__rootlet_networks)", "@pod": "(__rootlet_pods)", "@quadlet": "(__rootlet_quadlets)",
              "@dir": "(__fish_complete_directories)", "@cap": CAPS, "@signal": SIGNALS}


def fish_quote(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish_option(prog, cmd, o, condition):
    parts = [f"complete -c rootlet -n {condition}"]
    if o.short:
        parts.append("-s " + o.short[1:])
    parts += ["-l " + n[2:] for n in o.names]
    kind = value_of(prog, cmd, o)
    if o.arg:
        if kind == "@file":
            parts.append("-r -F")
        elif kind:
            parts.append("-x -a " + fish_quote(fish_action(kind)))
        else:
            parts.append("-x")
    parts.append("-d " + fish_quote(o.help))
    return " ".join(parts)


def fish(prog, tables):
    lists = [FISH_LIST.replace("@WORDS@", plural(kind)).replace("@LIST@", words) for kind, words in prog.lists.items()]
    head = FISH_HEAD.replace("@LISTS@", "\n".join(lists))
    head = head.replace("@VALUED@", " ".join(n for o in shown(tables[""]) if o.arg for n in o.all_names))
    out = [head]
    out += [fish_option(prog, tables[""], o, "__rootlet_none") for o in shown(tables[""])]
    out += [f"complete -c rootlet -n __rootlet_none -a {w} -d {fish_quote(s)}" for w, s in first_words(tables).items()]
    for group, subs in groups(tables).items():
        out += [f"complete -c rootlet -n '__rootlet_group {group}' -a {w} -d {fish_quote(c.summary)}" for w, c in subs.items()]
    for cmd in tables.values():
        if not cmd.name:
            continue
        names = " ".join(f'"{s}"' if " " in s else s for s in spellings(cmd))
        condition = f"'__rootlet_is {names}'"
        out.append("")
        out += [fish_option(prog, cmd, o, condition) for o in shown(cmd)]
        kind = argument_of(prog, cmd)
        if kind == "@file":
            out.append(f"complete -c rootlet -n {condition} -F")
        elif kind == "@command":
            out.append(f"complete -c rootlet -n {condition} -a {fish_quote(' '.join(first_words(tables)))}")
        elif kind:
            out.append(f"complete -c rootlet -n {condition} -a {fish_quote(FISH_KINDS.get(kind, kind))}")
    return "\n".join(out) + "\n"


def files(tables, oci_tables):
    """{file name: text}"""
    out = {}
    for prog, own in ((ROOTLET, tables), (OCI, oci_tables)):
        own = {**own, "help": Command("help", "[COMMAND]", "Show help for a command")}
        made = {prog.name: bash, "_" + prog.name: zsh, prog.name + ".fish": fish}
        out.update({name: prog.rename(make(prog, own)) for name, make in made.items()})
    return out
