#!/bin/bash
# old-host - the checks of old-hosts, in the machine: old-host.sh hybrid|v1
export PATH=/job/build:$PATH
failed=0
check() { # check WHAT COMMAND...
    local what=$1
    shift
    "$@" && return
    echo "FAULT: $what"
    failed=1
}
groups() { find /sys/fs/cgroup -type d ! -path '*session*' 2>/dev/null | sort; }
# shellcheck disable=SC2317 # called by check
refused() { # refused WORD ARGUMENT...: with a message that has the words; no container is left
    local words=$1 out status=0
    shift
    out=$(rootlet "$@" 2>&1 </dev/null) || status=$?
    echo "\$ rootlet $*"
    printf '%s\n' "$out"
    [ "$status" = 125 ] && grep -q -- "$words" <<<"$out" && [ -z "$(rootlet ps -aq)" ]
}

case $(stat -f -c %T /sys/fs/cgroup):$1:$([ -d /sys/fs/cgroup/unified ] && echo both) in
tmpfs:hybrid:both | tmpfs:v1:) ;;
*) check "the machine did not boot as $1" false ;;
esac
check "load" rootlet load -q -i /job/images/base.tar
before=$(groups)
check "run is refused" refused "--cgroups=disabled" run --rm base true
check "the message names the hierarchies" refused "v2" run --rm base true
check "a limit is refused" refused "--cgroups=disabled" run --rm -m 64m base true
check "create is refused" refused "--cgroups=disabled" create base true
check "runs without cgroups" test "$(rootlet run --rm --cgroups=disabled base echo runs)" = runs
check "and by the setting" test "$(ROOTLET_CGROUPS=disabled rootlet run --rm base echo runs)" = runs
check "a limit is refused without them" refused "--memory\|--cgroups" \
    run --rm --cgroups=disabled -m 64m base true
check "nothing was made in a hierarchy" diff <(echo "$before") <(groups)
check "info works" rootlet info >/dev/null
exit $failed
