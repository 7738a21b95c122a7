"""bomb - a container that makes as many processes as it may, again and again."""

# Sixty that stay, beside those that come and go. A shell that cannot fork ends; when all of them have met
# the limit at once nothing is left of them, and awk begins anew.
SCRIPT = ("i=0; while [ $i -lt 60 ]; do i=$((i+1)); setsid sleep 1000 & done; "
          "exec awk 'BEGIN { while (1) system(\"f() { f | f & }; f\") }'")


def run(rootlet, cgroups, limit, *options):
    """Starts it as c, and waits until it is at its limit."""
    rootlet.ok("run", "-d", "--name", "c", "--ulimit", f"nproc={limit}:{limit}", *options, rootlet.image(),
               "sh", "-c", SCRIPT, cgroups=cgroups)
    # The shells say so, each piece by piece: the line feeds of all may come last, up to the limit.
    rootlet.wait_for(lambda: "fork" in rootlet("logs", "--tail", str(2 * limit), "c", cgroups=cgroups).err, 30)
