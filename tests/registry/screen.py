"""screen - what a terminal shows of an output."""


def screen(text, columns):
    """The lines that a terminal of this width shows in the end; fails when a line was wrapped."""
    lines, row, col = [""], 0, 0
    i = 0
    while i < len(text):
        c = text[i]
        if c == "\x1b":
            end = i + 2
            while not text[end].isalpha():
                end += 1
            n = int(text[i + 2:end] or 1)
            if text[end] == "A":
                row = max(row - n, 0)
            elif text[end] == "K":
                lines[row] = lines[row][:col]
            elif text[end] == "J":
                lines[row] = lines[row][:col]
                del lines[row + 1:]
            else:
                raise AssertionError(f"unknown sequence {text[i:end + 1]!r}")
            i = end
        elif c == "\r":
            col = 0
        elif c == "\n":
            row += 1
            while row >= len(lines):
                lines.append("")
        else:
            lines[row] = lines[row].ljust(col)[:col] + c + lines[row][col + 1:]
            col += 1
            assert col < columns or not c.strip(), f"wrapped: {lines[row]!r}"
        i += 1
    return [line.rstrip() for line in lines]
