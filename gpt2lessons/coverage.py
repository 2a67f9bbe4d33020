"""COVERAGE.md: every topic, known error and question, and the cells whose tags say that they deal with it."""

import json
import re
from pathlib import Path

from gpt2lessons import notebooks

TABLE = Path(__file__).parent.parent / "COVERAGE.md"
_ROW = re.compile(r"^\| ([CEQ]\d+) \| (.*) \|[^|]*\|$")
_TAG = re.compile(r"[CEQ]\d+")


def tagged():
    """Return {id: {lesson number: [cell ids]}} from the tags of all lessons' cells."""
    found = {}
    for path in notebooks.lessons():
        for cell in json.loads(path.read_text("utf8"))["cells"]:
            for tag in filter(_TAG.fullmatch, cell["metadata"].get("tags", [])):
                found.setdefault(tag, {}).setdefault(path.name[:2], []).append(cell["id"])
    return found


def listed():
    """Return the ids that COVERAGE.md lists, in its order."""
    return [match[1] for line in TABLE.read_text("utf8").splitlines() if (match := _ROW.match(line))]


def filled():
    """Return the text of COVERAGE.md with its last column written anew."""
    where = tagged()
    lines = []
    for line in TABLE.read_text("utf8").splitlines():
        if match := _ROW.match(line):
            cells = "; ".join(f"{n}: {', '.join(ids)}" for n, ids in where.get(match[1], {}).items())
            line = f"| {match[1]} | {match[2]} | {cells} |"
        lines.append(line)
    return "\n".join(lines) + "\n"
