"""count - adds up the test results of build directories: the closing line of .ci/run.

    tests/count.py BUILDDIR...

Unit tests count by their cases (cmocka's summary), checks as one each, pytest by its XML report.
A program that failed although none of its cases did (a sanitizer, a crash) counts as one failure."""
import pathlib
import re
import sys
import xml.etree.ElementTree as ET


def cmocka(text):
    def number(word):
        found = re.findall(rf"\[  {word}  ?\] (\d+) test\(s\)", text)
        return sum(map(int, found))
    return number("PASSED"), number("FAILED"), number("SKIPPED")


def unit(builddir):
    total = [0, 0, 0]
    for trs in pathlib.Path(builddir).glob("tests/**/*.trs"):
        result = re.search(r"^:test-result: (\w+)", trs.read_text(errors="replace"), re.M)
        result = result[1] if result else "ERROR"
        log = trs.with_suffix(".log")
        passed, failed, skipped = cmocka(log.read_text(errors="replace") if log.exists() else "")
        if passed + failed + skipped == 0:
            passed, skipped = int(result in ("PASS", "XFAIL")), int(result == "SKIP")
        if result in ("FAIL", "ERROR", "XPASS") and failed == 0:
            failed = 1
        for i, n in enumerate((passed, failed, skipped)):
            total[i] += n
    return total


def cli(builddir):
    """tests-cli.xml, and those of other places where tests run (tests-guest.xml...)."""
    total = [0, 0, 0]
    for path in pathlib.Path(builddir).glob("tests-*.xml"):
        suite = ET.parse(path).getroot().find("testsuite")
        tests, failures, errors, skipped = (int(suite.get(k, 0)) for k in
                                            ("tests", "failures", "errors", "skipped"))
        # A test that passed and whose audit failed is an error and no further test.
        total[0] += max(tests - failures - errors - skipped, 0)
        total[1] += failures + errors
        total[2] += skipped
    return total


def main():
    total = [0, 0, 0]
    for builddir in sys.argv[1:]:
        for one in (unit(builddir), cli(builddir)):
            total = [a + b for a, b in zip(total, one)]
    print("{} passed, {} failed, {} skipped".format(*total))
    return 1 if total[1] else 0


sys.exit(main())
