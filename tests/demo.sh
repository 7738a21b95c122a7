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

# What the container runs; its ps shows a name, not a script.
cat >"$tmp/root/bin/tour" <<'END'
#!/bin/sh
title() { printf '\n-- %s\n' "$*"; }
title "uid map: id inside, id outside, how many"
cat /proc/self/uid_map
title "pid of this shell, its user and hostname"
echo "pid $$, user $(id -un) ($(id -u)), host $(hostname)"
title "mounts"
mount | while read -r source _ target _ type options; do
    printf '%-20s %-9s %.66s\n' "$target" "$type" "$options"
done
title "processes"
ps -o pid,user,args
END
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
say "done; nothing is left of it"
