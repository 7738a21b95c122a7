# The Python tests and the checks on the tree itself.
TESTS += tests/check-size.sh tests/check-layering.sh
EXTRA_DIST += tests/check-size.sh tests/check-layering.sh tests/size-exceptions.txt
