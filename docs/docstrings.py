"""Docstrings of this project as reStructuredText: absolute values, products and tables are not markup there.

A docstring is written to be read in a terminal. It has `code`, tables of `|` and formulas like |x|, x* and w_; only
what stands in backticks and doctests is left as it is.
"""

import re

_TABLE_RULE = re.compile(r"\|?[\s:|-]*-[\s:|-]*\|?")


def _escaped(line):
    """Return a line with the characters escaped that reStructuredText would take for markup."""
    pieces = re.split(r"(`+[^`]*`+)", line)
    pieces[::2] = [re.sub(r"[|*\\]|(?<=\w)_(?!\w)", r"\\\g<0>", piece) for piece in pieces[::2]]
    return "".join(pieces)


def _cells(line):
    return [_escaped(cell.strip()) for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _table(lines):
    """Return the lines of a Markdown table as a list-table."""
    indent = " " * (len(lines[0]) - len(lines[0].lstrip()))
    rows = [_cells(line) for line in (lines[0], *lines[2:])]
    body = [f"{'   * - ' if place == 0 else '     - '}{cell}" for row in rows for place, cell in enumerate(row)]
    return ["", *(indent + line for line in (".. list-table::", "   :header-rows: 1", "", *body)), ""]


def rewritten(lines):
    """Return the lines of a docstring as reStructuredText."""
    out, place, in_doctest = [], 0, False
    while place < len(lines):
        line = lines[place]
        in_doctest = line.lstrip().startswith(">>>") or (in_doctest and bool(line.strip()))
        if line.lstrip().startswith("|") and place + 1 < len(lines) and _TABLE_RULE.fullmatch(lines[place + 1].strip()):
            end = place
            while end < len(lines) and lines[end].lstrip().startswith("|"):
                end += 1
            out += _table(lines[place:end])
            place = end
            continue
        out.append(line if in_doctest else _escaped(line))
        place += 1
    return out


def _process(app, what, name, entry, options, lines):
    lines[:] = rewritten(lines)


def setup(app):
    """Rewrite docstrings before napoleon reads their sections."""
    app.connect("autodoc-process-docstring", _process, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
