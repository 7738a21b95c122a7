"""table - conformance.txt: what each validation program says of each runtime.

    PROGRAM  MODE  RESULT...  [REASON]

MODE is root or rootless; one RESULT for each name of the line "columns": pass, skip, or fail:N, with
the number of points that failed; "races" for a program that passes or fails by luck; "-" where nobody has
looked. REASON says why rootlet-oci does not
pass."""
import pathlib

PATH = pathlib.Path(__file__).resolve().parent.parent / "conformance.txt"
OURS = "rootlet-oci"


def cell(outcome):
    return f"fail:{len(outcome.failed)}" if outcome.result == "fail" else outcome.result


class Table:
    def __init__(self, path=PATH):
        self.path, self.comments, self.columns = path, [], []
        self.cells, self.reasons = {}, {}
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if line.startswith("#"):
                self.comments.append(line)
            elif words and words[0] == "columns":
                self.columns = words[1:]
            elif words:
                key, results = tuple(words[:2]), words[2:2 + len(self.columns)]
                self.cells[key] = dict(zip(self.columns, results))
                self.reasons[key] = " ".join(words[2 + len(self.columns):])

    def put(self, key, column, value):
        if column not in self.columns:
            self.columns.append(column)
        self.cells.setdefault(key, {})[column] = value

    def others(self, key):
        """What the other runtimes give."""
        return {c: self.cells[key].get(c, "-") for c in self.columns if c != OURS}

    def write(self):
        width = max(len(c) for c in self.columns) + 2
        out = [*self.comments, "columns " + " ".join(self.columns)]
        for key in sorted(self.cells):
            results = "".join(f"{self.cells[key].get(c, '-'):{width}}" for c in self.columns)
            out.append(f"{key[0]:32}{key[1]:10}{results}{self.reasons.get(key, '')}".rstrip())
        self.path.write_text("\n".join(out) + "\n", encoding="utf-8")
