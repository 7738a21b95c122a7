#!/bin/sh
# packages - installs what the named sections of tests/packages.txt want and this host lacks.
#
#   tests/packages.sh [--check] SECTION...
#
# Installs by apt-get as root or through sudo, after saying what. Elsewhere it prints the command
# that would do it and fails. --check never installs: it only tells what is missing.
set -eu

list=$(dirname "$0")/packages.txt
check=
if [ "${1:-}" = --check ]; then
    check=1
    shift
fi

# Administrators' directories are not in everybody's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# The distribution's python, as packages bring modules for that one (configure prefers it as well).
python=python3
[ -x /usr/bin/python3 ] && python=/usr/bin/python3

there() {
    case $1 in
    cmd:*) command -v "${1#cmd:}" >/dev/null 2>&1 ;;
    pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
    py:*) $python -c "import ${1#py:}" >/dev/null 2>&1 ;;
    clang-rt:*)
        resources=$(clang -print-resource-dir 2>/dev/null) &&
            [ -e "$resources/lib/linux/libclang_rt.${1#clang-rt:}-$(uname -m).a" ]
        ;;
    path:*) [ -e "${1#path:}" ] ;;
    static:*)
        program=$(command -v "${1#static:}" 2>/dev/null) || return 1
        # A program with an interpreter names ld-linux or ld-musl in its first page.
        ! head -c 4096 "$(readlink -f "$program")" | grep -aqE '/ld-(linux|musl)'
        ;;
    *) echo "$list: unknown probe $1" >&2 && exit 2 ;;
    esac
}

wanted() {
    for s in $sections; do
        [ "$1" = "$s" ] && return 0
    done
    return 1
}

add() { # adds $2 to the list that is named $1, once
    eval "case \" \$$1 \" in *\" $2 \"*) ;; *) $1=\"\$$1 $2\" ;; esac"
}

sections=$*
missing='' optional='' fedora=''
while read -r section probe debian rpm; do
    case $section in '' | '#'*) continue ;; esac
    wanted "${section%\?}" || continue
    there "$probe" && continue
    case $section in
    *\?) add optional "$debian" ;;
    *) add missing "$debian" ;;
    esac
    add fedora "$rpm"
done <"$list"

if [ -n "$check" ]; then
    [ -z "$missing" ] && exit 0
    echo "missing packages:$missing" >&2
    exit 1
fi

if ! command -v apt-get >/dev/null 2>&1; then
    [ -z "$missing" ] && exit 0
    echo "missing packages; this installs them (names as in Fedora):" >&2
    echo "    sudo dnf install$fedora" >&2
    exit 1
fi

if [ "$(id -u)" -eq 0 ]; then
    sudo=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    sudo='sudo -n'
elif command -v sudo >/dev/null 2>&1 && [ -t 0 ] && [ -t 2 ]; then
    sudo=sudo
else
    [ -z "$missing" ] && exit 0
    echo "missing packages; as root, run" >&2
    echo "    apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
# What is merely wanted is never worth a question for a password.
if [ -z "$missing" ] && { [ -z "$optional" ] || [ "$sudo" = sudo ]; }; then
    exit 0
fi

# ROOTLET_NO_OPTIONAL: leave the host as it is where that is possible.
[ -n "${ROOTLET_NO_OPTIONAL:-}" ] && optional=''
known() { [ -n "$(apt-cache madison "$1" 2>/dev/null)" ]; }
install() {
    # shellcheck disable=SC2086 # a list of words
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" \
        >"$log" 2>&1 </dev/null
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
update=
for p in $missing; do
    known "$p" || update=1
done
if [ -n "$update" ]; then
    echo "updating the package lists: ${sudo:+$sudo }apt-get update" >&2
    $sudo apt-get update -q >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
fi
some=''
for p in $optional; do
    if known "$p"; then some="$some $p"; fi
done
if [ -n "$missing" ]; then
    echo "installing:$missing" >&2
    # shellcheck disable=SC2086
    if ! install $missing; then
        # Old lists name versions that the mirror no longer has.
        # shellcheck disable=SC2086
        if [ -n "$update" ] || ! $sudo apt-get update -q >"$log" 2>&1 || ! install $missing; then
            cat "$log" >&2
            exit 1
        fi
    fi
fi
if [ -n "$some" ]; then
    echo "installing:$some (optional)" >&2
    # shellcheck disable=SC2086
    install $some || echo "could not install$some; going on without" >&2
fi
