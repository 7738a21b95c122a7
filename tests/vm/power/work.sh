#!/bin/bash
# work - what a power cut interrupts: state, images and volumes that come and go, until the end.
#
#   work.sh STORE JOB
#
# Prints "begin WORDS" and "end STATUS WORDS" for every command.
export ROOTLET_ROOT=$1/root
job=$2
PATH=$job/build:$PATH

do_() {
    echo "begin $*"
    rootlet "$@" >/dev/null 2>&1 </dev/null
    echo "end $? $*"
}
containers() {
    local n
    for ((n = 0; ; n++)); do
        do_ run -d --name "a$n" base sleep 1000
        do_ create --name "b$n" -v "vol$n:/vol" base true
        [ $((n % 3)) = 0 ] || do_ stop -t 0 "a$n"
        [ $((n % 3)) = 1 ] || do_ start "a$n"
        do_ start "b$n"
        do_ rename "b$n" "c$n"
        [ $((n % 2)) = 0 ] || do_ rm -f "a$n" "c$n"
    done
}
images() {
    local n
    for ((n = RANDOM % 3; ; n++)); do
        do_ load -i "$job/images/img$((n % 3 + 1)).tar"
        do_ tag "img$((n % 3 + 1))" "localhost/tag$n:x"
        do_ rmi -f "localhost/img$(((n + 1) % 3 + 1)):latest" "localhost/tag$((n - 1)):x"
    done
}
volumes() {
    local n
    for ((n = 0; ; n++)); do
        do_ volume create "v$n"
        do_ run --rm -v "v$n:/x" base sh -c 'echo text >/x/f'
        [ $((n % 2)) = 0 ] || do_ volume rm "v$((n - 1))"
        do_ pod create "p$n"
        [ $((n % 2)) = 0 ] || do_ pod rm -f "p$((n - 1))"
    done
}
do_ load -i "$job/images/base.tar"
containers &
images &
volumes &
wait
