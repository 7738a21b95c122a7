#!/bin/sh
# check-size - the caps of the code style: a .c file has at most 600 lines, a header 250, a function
# 60 lines (from its opening to its closing brace) and 6 parameters.
# tests/size-exceptions.txt holds "FILE[:FUNCTION]  reason" lines; an exception that is no longer
# needed is an error too.
set -eu
cd "${srcdir:-.}"

exceptions=tests/size-exceptions.txt
if grep -v -e '^#' -e '^[[:space:]]*$' "$exceptions" | grep -vE '^[^[:space:]]+[[:space:]]+[^[:space:]]'; then
    echo "$exceptions: the lines above give no reason"
    exit 1
fi

# Files are read in the style of .clang-format: a function's braces stand alone in the first column.
find src helpers tests -name '*.[ch]' | LC_ALL=C sort | xargs awk -v exceptions="$exceptions" '
BEGIN {
    while ((getline line < exceptions) > 0)
        if (line !~ /^#/ && split(line, f, /[ \t]+/) > 1)
            allowed[f[1]] = 1
}
function complain(key, text) {
    if (key in allowed) {
        used[key] = 1
        return
    }
    print text
    bad = 1
}
function end_of_file() {
    cap = file ~ /\.h$/ ? 250 : 600
    if (lines > cap)
        complain(file, file ": " lines " lines, the cap is " cap)
}
# The number of parameters in a head such as "static int f(int a, void (*b)(int, int))".
function parameters(head,    i, c, depth, n) {
    gsub(/__attribute__ *\(\(([^()]|\([^()]*\))*\)\)/, "", head)
    i = index(head, "(")
    if (substr(head, i) ~ /^\((void)?\)/)
        return 0
    n = 1
    for (; i <= length(head); i++) {
        c = substr(head, i, 1)
        if (c == "(") depth++
        if (c == ")" && --depth == 0) break
        if (c == "," && depth == 1) n++
    }
    return n
}
function function_name(head) {
    gsub(/__attribute__ *\(\(([^()]|\([^()]*\))*\)\)/, "", head)
    sub(/[ \t]*\(.*/, "", head)
    sub(/.*[^A-Za-z0-9_]/, "", head)
    return head
}
FNR == 1 {
    if (file) end_of_file()
    file = FILENAME; head = ""; start = 0; in_comment = 0
}
{ lines = FNR }
start && /^}/ {
    n = FNR - start + 1
    if (n > 60)
        complain(file ":" name, file ":" start ": " name " has " n " lines, the cap is 60")
    functions++
    start = 0; head = ""
    next
}
start { next }
in_comment { if (/\*\//) in_comment = 0; next }
/^\/\*/ { if (!/\*\//) in_comment = 1; head = ""; next }
/^#/ || /^$/ { head = ""; next }
/^{/ {
    if (head ~ /\)[ \t]*$/) {
        start = FNR
        name = function_name(head)
        n = parameters(head)
        if (n > 6)
            complain(file ":" name, file ":" FNR ": " name " has " n " parameters, the cap is 6")
    }
    head = ""
    next
}
{ head = head " " $0; if (/[;}][ \t]*$/) head = "" }
END {
    end_of_file()
    for (key in allowed)
        if (!(key in used)) {
            print exceptions ": " key " is within the caps: remove the line"
            bad = 1
        }
    # Had the pattern of a function stopped to match, everything would pass.
    if (functions < 100) {
        print "only " functions + 0 " functions were found"
        bad = 1
    }
    exit bad
}'
