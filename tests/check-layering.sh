#!/bin/sh
# check-layering - a folder of src/ includes only its own headers and those of lower layers.
set -eu
cd "${srcdir:-.}"

find src helpers -name '*.[ch]' | LC_ALL=C sort | xargs awk '
BEGIN {
    n = split("base|sys spec format net|conf userns mounts term security copy|" \
              "storage network cgroup logs image layer volume events quadlet|engine container registry|supervise cli imagetool build oci generator",
              layers, "|")
    for (i = 1; i <= n; i++) {
        count = split(layers[i], folders, " ")
        for (j = 1; j <= count; j++)
            level[folders[j]] = i
    }
    # Neighbours and higher ones whose headers alone may be used.
    friend["container storage"] = friend["container network"] = friend["storage userns"] = 1
    helper["base"] = helper["sys"] = helper["spec"] = helper["net"] = 1
}
FNR == 1 {
    split(FILENAME, path, "/")
    own = path[1] == "helpers" ? "helpers" : path[2]
    if (own != "helpers" && !(own in level)) {
        print FILENAME ": the folder " own " has no layer; add it to tests/check-layering.sh"
        bad = 1
    }
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    slash = index(quoted[2], "/")
    if (!slash) {
        if (quoted[2] != "config.h") {
            print FILENAME ":" FNR ": \"" quoted[2] "\": name the folder too"
            bad = 1
        }
        next
    }
    other = substr(quoted[2], 1, slash - 1)
    includes++
    if (other == own || (own " " other) in friend)
        next
    ok = own == "helpers" ? other in helper : other in level && level[other] < level[own]
    if (!ok) {
        print FILENAME ":" FNR ": " own " must not include " quoted[2]
        bad = 1
    }
}
END {
    if (includes < 20) {
        print "only " includes + 0 " includes were found"
        bad = 1
    }
    exit bad
}'
