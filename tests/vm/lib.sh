# lib - what the scripts of the test beds share. Sourced by bash, with VM_HERE set to this folder.
# shellcheck shell=bash
# VM_CACHE holds what is built: images, an emulator, saved machines. Never inside the sources.
VM_CACHE=${VM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/rootlet-vm}
VM_SUITE=${VM_SUITE:-trixie}
VM_MEM=${VM_MEM:-2048}
VM_SMP=${VM_SMP:-2}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

die() {
    echo "${0##*/}: $*" >&2
    exit 2
}

need() {
    local program missing=
    for program; do
        command -v "$program" >/dev/null || missing+=" $program"
    done
    [ -z "$missing" ] || die "not found:$missing (tests/packages.sh vm installs what is needed)"
}

# The mirror that this host uses.
mirror() {
    local url=${VM_MIRROR:-}
    [ -n "$url" ] || url=$(apt-get indextargets --format "\$(REPO_URI) \$(ORIGIN)" 2>/dev/null |
        awk '$2 == "Debian" && $1 !~ /security/ { print $1; exit }')
    [ -n "$url" ] || die "no Debian mirror in the sources of apt: set VM_MIRROR"
    echo "$url"
}

# What an image of a suite depends on, as one word.
image_stamp() {
    (cd "$VM_HERE" && { echo "$1 ${VM_SIZE:-} ${VM_EXTRA_PACKAGES:-}" &&
        cat build-image kernel customize mk-initrd packages.txt; } | sha256sum | cut -d' ' -f1)
}

qemu_stamp() { sha256sum <"$VM_HERE/get-qemu" | cut -d' ' -f1; }

# Where the emulator is: an own one, as that of Debian 12 (7.2) forks three times slower under TCG
# and its guests with two processors panic now and then.
qemu_dir() {
    if [ -n "${VM_QEMU_DIR:-}" ]; then
        echo "$VM_QEMU_DIR"
    else
        echo "$VM_CACHE/qemu"
    fi
}

# kvm where the processor virtualises, else emulation.
accelerator() {
    if [ -n "${VM_ACCEL:-}" ]; then
        echo "$VM_ACCEL"
    elif [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo; then
        echo kvm
    else
        echo tcg
    fi
}

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
seconds_since() { awk -v a="$1" -v b="$(now_ms)" 'BEGIN { printf "%.1f", (b - a) / 1000 }'; }

# All arguments as one line for a shell.
quoted() { printf '%q ' "$@"; }

SRCDIR=${SRCDIR:-$(cd "$VM_HERE/../.." && pwd)}
BUILDDIR=${BUILDDIR:-$SRCDIR/build}

# What a bed gets of the build, in the layout of the build directory: the programs and the tools of
# the tests.
build_programs() {
    (
        cd "$BUILDDIR" || exit
        find . -maxdepth 1 -type f -name 'rootlet*' -perm -u+x
        [ ! -d tests/tools ] || find tests/tools -type f -perm -u+x
    )
}

# job_directory DIR: the sources that tests read and the programs, for a machine's /job.
job_directory() {
    mkdir -p "$1/src" "$1/build"
    (cd "$SRCDIR" && tar -c --exclude='./build*' --exclude='./.git' --exclude='./ci-logs' \
        --exclude='__pycache__' --exclude='./autom4te.cache' .) | tar -C "$1/src" -x
    build_programs | tar -C "$BUILDDIR" -c --verbatim-files-from -T - | tar -C "$1/build" -x
    chmod -R a+rX "$1"
}

# results NAME TESTS FAILURES: for the count at the end of .ci/run (tests/count.py).
results() {
    [ ! -w "$BUILDDIR" ] || printf '<testsuites><testsuite name="%s" tests="%d" failures="%d" errors="0" skipped="0"/></testsuites>\n' \
        "$1" "$2" "$3" >"$BUILDDIR/tests-$1.xml"
}

# small_job DIR: the stripped programs and images to load (power/images.py), for scripts of their own.
small_job() {
    local program
    mkdir -p "$1/build"
    for program in "$BUILDDIR"/rootlet*; do
        [ ! -f "$program" ] || [ ! -x "$program" ] || strip -o "$1/build/${program##*/}" "$program"
    done
    PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$VM_HERE/power/images.py" "$1/images"
    chmod -R a+rX "$1"
}

# run_bed BED [PYTEST ARGUMENT...]: the tests with the marker BED, those marked "root" too as root,
# the others as tester; by the function exec_as USER COMMAND... Results: BUILDDIR/tests-BED-SUITE*.xml.
run_bed() {
    local bed=$1 user arg status=0 result xml ran=0
    local files=() bed_args=''
    # What was set for the tests reaches them there too.
    local name passed=''
    for name in "${!ROOTLET_TEST_@}"; do
        passed+=" $name=$(quoted "${!name}")"
    done
    [ "$bed" != guest ] || bed_args='--timeout 900' # emulation is about twenty times slower
    shift
    for arg; do
        case $arg in
        -*) ;;
        *) [ ! -e "$SRCDIR/${arg%%::*}" ] || files=(named) ;;
        esac
    done
    [ ${#files[@]} -gt 0 ] || mapfile -t files < <(cd "$SRCDIR" &&
        grep -rlE "mark\.$bed\b" --include='test_*.py' tests | LC_ALL=C sort)
    [ ${#files[@]} -gt 0 ] || die "no file of the tests has a test marked $bed"
    [ "${files[0]}" != named ] || files=()
    # As an administrator links the generator of another prefix (rootlet-quadlet(5)).
    exec_as root bash -c 'mkdir -p /run/systemd/user-generators &&
        ln -sf /job/build/rootlet-user-generator /run/systemd/user-generators/'
    for user in tester root; do
        xml=tests-$bed-$VM_SUITE$([ $user = tester ] || echo -root).xml
        rm -f "$BUILDDIR/$xml"
        result=0
        # shellcheck disable=SC2086 # words
        exec_as $user bash -c 'cd /job/src && export SRCDIR=/job/src BUILDDIR=/job/build \
            ROOTLET_TEST_BED='"$bed"' PYTHONDONTWRITEBYTECODE=1 '"$passed"' && exec python3 -m pytest \
            -c tests/pytest.ini --rootdir tests -p no:xdist -q "$@"' pytest \
            --junitxml "/tmp/$xml" $bed_args "$@" "${files[@]}" || result=$?
        case $result in
        5) continue ;; # no test is for this user
        0) ;;
        *) status=$result ;;
        esac
        ran=1
        exec_as $user cat "/tmp/$xml" >"$BUILDDIR/$xml" || status=1
    done
    [ $ran = 1 ] || die "no test was selected"
    return $status
}
