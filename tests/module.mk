# The Python tests and the checks on the tree itself.
