#!/bin/sh
# demo - what rootlet is for, in a minute: an image made on the spot, run by whoever calls this.
#
#   tests/demo.sh BUILDDIR
#
# Everything lies in a temporary directory and goes with it.
set -eu

builddir=$1
PATH=$PATH:/usr/sbin:/sbin
tmp=$(mktemp -d "${TMPDIR:-/tmp}/rootlet-demo.XXXXXX")
finish() {
    status=$?
    trap '' INT TERM
    if [ -d "$tmp/store" ]; then
        # Files of subordinate ids are rootlet's to remove.
        "$builddir/rootlet" rm -f -a >/dev/null 2>&1 || :
        "$builddir/rootlet" rmi -f -a >/dev/null 2>&1 || :
    fi
    rm -rf "$tmp"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ROOTLET_ROOT=$tmp/store
ROOTLET_RUNROOT=$tmp/run
export ROOTLET_ROOT ROOTLET_RUNROOT

say() { printf '\n== %s\n' "$*"; }

busybox=$(command -v busybox) || { echo "busybox is missing (Debian: apt-get install busybox-static)" >&2; exit 1; }
mkdir -p "$tmp/root/bin" "$tmp/root/etc" "$tmp/root/tmp"
cp "$busybox" "$tmp/root/bin/busybox"
for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$tmp/root/bin/$applet"
done
echo 'root:x:0:0:root:/:/bin/sh' >"$tmp/root/etc/passwd"
echo 'root:x:0:' >"$tmp/root/etc/group"

echo 'a page of the container' >"$tmp/root/index.html"

# What the container runs.
cat >"$tmp/root/bin/tour" <<'TOUR'
#!/bin/sh
title() { printf '\n-- %s\n' "$*"; }
title "uid map: id inside, id outside, how many"
cat /proc/self/uid_map
title "pid of this shell, its user and hostname"
echo "pid $$, user $(id -un) ($(id -u)), host $(hostname)"
title "mounts: the host's root is not among them"
# source on TARGET type TYPE (OPTIONS); what only protects /proc and /sys makes three lines.
mount | awk '
    function row(target, type, options) { return sprintf("%-20s %-9s %s", target, type, options) }
    {
        target = $3; type = $5; kept = ""
        n = split(substr($6, 2, length($6) - 2), option, ",")
        for (i = 1; i <= n; i++)
            if (option[i] ~ /^(rw|ro|nosuid|nodev|noexec)$/)
                kept = kept (kept == "" ? "" : ",") option[i]
        if (target == "/")
            print row(target, type, kept)
        else if (target ~ /^\/dev\/(null|zero|full|random|urandom|tty)$/)
            devices = devices " " target
        else if (target ~ /^\/(proc|sys)\/./ && type ~ /^(proc|sysfs)$/)
            readonly = readonly " " target
        else if (target ~ /^\/(proc|sys)\/./)
            masked = masked " " target
        else
            rows = rows row(target, type, kept) "\n"
    }
    END {
        printf "%s", rows
        print "devices of the host:" devices
        print "read-only:" readonly
        print "masked:" masked
    }'
title "processes: none but its own"
ps -o pid,user,comm
TOUR
chmod 755 "$tmp/root/bin/tour"

say "an image from $busybox, in a store of its own"
tar -C "$tmp/root" --owner=0 --group=0 -cf - . | "$builddir/rootlet" import - demo >/dev/null
"$builddir/rootlet" images

cgroups=
if [ "$(stat -f -c %T /sys/fs/cgroup 2>/dev/null)" != cgroup2fs ]; then
    cgroups=--cgroups=disabled
    say "no unified cgroup v2 on this host: passing --cgroups=disabled (no resource limits)"
fi

say "rootlet run --rm ${cgroups:+$cgroups }--hostname box demo tour      (as $(id -un), uid $(id -u))"
"$builddir/rootlet" run --rm $cgroups --network none --hostname box demo tour

say "rootlet build -t greeter - (a Containerfile of two lines)"
"$builddir/rootlet" $cgroups build -q -t greeter - >"$tmp/log" 2>&1 <<'END' || { cat "$tmp/log" >&2; exit 1; }
FROM demo
RUN mkdir /srv && echo 'a layer on top says hello' >/srv/greeting
END
"$builddir/rootlet" run --rm $cgroups --network none greeter cat /srv/greeting
"$builddir/rootlet" images --format 'table {{.Repository}}\t{{.Tag}}\t{{.Size}}'

say "rootlet run -d ${cgroups:+$cgroups }--name nap demo sleep 60"
"$builddir/rootlet" run -d $cgroups --network none --name nap demo sleep 60 >/dev/null 2>"$tmp/log" || {
    cat "$tmp/log" >&2
    exit 1
}
"$builddir/rootlet" ps --format 'table {{.Names}}\t{{.Image}}\t{{.Command}}\t{{.Status}}'
pid=$("$builddir/rootlet" inspect -f '{{.State.Pid}}' nap)
uid=$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$pid/status")
if [ "$uid" = "$(id -u)" ]; then
    owner="uid $uid, the user who called"
else
    owner="uid $uid, an id that no user has"
fi
echo "sleep is pid 1 and root inside; outside it is pid $pid of $owner"

say "rootlet kill nap; rootlet why nap"
"$builddir/rootlet" kill nap >/dev/null
"$builddir/rootlet" wait nap >/dev/null
"$builddir/rootlet" why nap
# What runs in the network: whatever the caller has set for other ends.
unset ROOTLET_NETWORK
if ! "$builddir/rootlet" info --format '{{range .Network}}{{if .Usable}}{{.Name}} {{end}}{{end}}' | grep -q "slirp .*user"; then
    say "no user-mode network on this host: see rootlet doctor"
else
    "$builddir/rootlet" network create lab >/dev/null
    say "rootlet run -d ${cgroups:+$cgroups }--name site --network lab -p 127.0.0.1::80 demo httpd -f"
    "$builddir/rootlet" run -d $cgroups --name site --network lab -p 127.0.0.1::80 demo httpd -f >/dev/null
    "$builddir/rootlet" ps --format 'table {{.Names}}\t{{.Command}}\t{{.Ports}}\t{{.Networks}}'
    port=$("$builddir/rootlet" port site 80)
    # It may still be about to listen.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        page=$("$busybox" wget -qO- "http://$port/" 2>/dev/null) && break
        sleep 0.5
    done
    echo "http://$port/ on the host: $page"
    echo "http://site/ in another container: $("$builddir/rootlet" run --rm $cgroups --network lab demo wget -qO- http://site/)"
    "$builddir/rootlet" rm -f -t 0 site >/dev/null
    "$builddir/rootlet" network rm lab >/dev/null
fi
say "done; nothing is left of it"
