#!/bin/sh
# e2e - a web server in a container, from the image to its removal; exit status 0 when all of it is
# as it should be.
#
#   tests/e2e.sh BUILDDIR [OPTION...]     options of create, --network mynet for instance
#
# create with a published port, start, a page through the port, exec, restart, stop, delete; then
# nothing of it may be left. Everything lies in a temporary directory and goes with it.
set -eu

builddir=$1
shift
PATH=$PATH:/usr/sbin:/sbin
tmp=$(mktemp -d "${TMPDIR:-/tmp}/rootlet-e2e.XXXXXX")
ROOTLET_ROOT=$tmp/store
ROOTLET_RUNROOT=$tmp/run
export ROOTLET_ROOT ROOTLET_RUNROOT
# The default network, whatever the caller has set for other ends.
unset ROOTLET_NETWORK

rootlet() { "$builddir/rootlet" "$@"; }
finish() {
    status=$?
    trap '' INT TERM
    rootlet rm -f -a -t 0 >/dev/null 2>&1 || :
    rootlet rmi -f -a >/dev/null 2>&1 || :
    rm -rf "$tmp"
    [ "$status" = 0 ] || echo "e2e: FAILED" >&2
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { printf '%s\n' "-- $*"; }
fail() {
    printf 'e2e: %s\n' "$*" >&2
    exit 1
}
# WANT is what COMMAND prints.
expect() {
    want=$1
    shift
    got=$("$@") || fail "$*: exit status $?"
    [ "$got" = "$want" ] || fail "$*: \"$got\", want \"$want\""
}
# Servers take a moment to listen.
page() {
    tries=0
    until curl -sS --max-time 10 "http://127.0.0.1:$port/$1" 2>"$tmp/log"; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || { cat "$tmp/log" >&2; return 1; }
        sleep 0.1
    done
}

cgroups=
if [ "$(stat -f -c %T /sys/fs/cgroup 2>/dev/null)" != cgroup2fs ]; then
    cgroups=--cgroups=disabled
fi

step "an image with a web server"
busybox=$(command -v busybox) || fail "busybox is missing (Debian: apt-get install busybox-static)"
mkdir -p "$tmp/image/bin" "$tmp/image/etc" "$tmp/image/www"
cp "$busybox" "$tmp/image/bin/busybox"
for applet in sh httpd cat echo hostname sleep; do
    ln -s busybox "$tmp/image/bin/$applet"
done
echo 'root:x:0:0:root:/:/bin/sh' >"$tmp/image/etc/passwd"
echo 'it works' >"$tmp/image/www/index.html"
tar -C "$tmp/image" --owner=0 --group=0 -cf - . |
    rootlet import -q --change 'CMD ["httpd", "-f", "-p", "80", "-h", "/www"]' --change 'EXPOSE 80' - web >/dev/null

step "create -p 127.0.0.1::80"
rootlet create $cgroups --name site -p 127.0.0.1::80 "$@" web >/dev/null
expect created rootlet inspect -f '{{.State.Status}}' site

step "start"
rootlet start site >/dev/null 2>"$tmp/log" || fail "start: $(cat "$tmp/log")"
expect running rootlet inspect -f '{{.State.Status}}' site
port=$(rootlet port site 80/tcp | sed 's/.*://')
[ -n "$port" ] || fail "no port is shown"

step "a page through port $port"
expect 'it works' page ''

step "exec changes the page"
rootlet exec site sh -c 'echo "changed inside" >/www/index.html'
expect 'changed inside' page ''

step "the port is taken: another container cannot have it"
if rootlet run -d $cgroups --name thief -p "127.0.0.1:$port:80" "$@" web >/dev/null 2>"$tmp/log"; then
    fail "two containers have port $port"
fi
grep -q site "$tmp/log" || fail "nobody is named: $(cat "$tmp/log")"
rootlet rm -f thief >/dev/null

step "restart, with what was changed"
rootlet restart -t 1 site >/dev/null
port=$(rootlet port site 80/tcp | sed 's/.*://')
expect 'changed inside' page ''

step "stop"
rootlet stop -t 1 site >/dev/null
if curl -s --max-time 5 "http://127.0.0.1:$port/" >/dev/null; then
    fail "port $port still answers"
fi

step "delete"
rootlet delete site >/dev/null
expect '' rootlet ps -a -q
[ -z "$(ls "$tmp/store/containers")" ] || fail "something of the container is left"
[ -z "$(find "$tmp/run" -mindepth 1 -maxdepth 1 -type d ! -name networks)" ] || fail "something of its run is left"
step "all as it should be"
