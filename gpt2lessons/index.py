"""What is derived from the notebooks: README's table of lessons and its picture, COVERAGE.md's last column.

`python -m gpt2lessons index` writes them; tests fail when they are out of date.
"""

import base64
import json
import re
from pathlib import Path

from gpt2lessons import notebooks

ROOT = Path(__file__).parent.parent
README, COVERAGE, PICTURE = ROOT / "README.md", ROOT / "COVERAGE.md", ROOT / "README.png"
PICTURE_CELL = ("01_architecture", "data-flow")
_ROW = re.compile(r"^\| ([CEQ]\d+) \| (.*) \|[^|]*\|$")
_TAG = re.compile(r"[CEQ]\d+")
_TABLE = re.compile(r"(?<=<!-- lessons -->\n).*?(?=<!-- /lessons -->)", re.S)


def cells(path):
    """Return the cells of the notebook at `path`."""
    return json.loads(path.read_text("utf8"))["cells"]


def question_and_minutes(path):
    """Return the question that a lesson answers (its title) and the minutes it takes, as its first cell says."""
    opening = "".join(cells(path)[0]["source"])
    title = re.match(r"# (?:\d+ *[·:.–-] *)?(.+)", opening)
    minutes = re.search(r"(\d+) minutes", opening)
    if not title or not minutes:
        raise ValueError(f"the first cell of {path.name} must have a title and say how many minutes the lesson takes")
    return title[1].strip(), int(minutes[1])


def readme():
    """Return the text of README.md with its table of lessons written anew."""
    rows = ["| lesson | the question it answers | minutes |", "|---|---|---|"]
    for path in notebooks.lessons():
        question, minutes = question_and_minutes(path)
        rows.append(f"| [{path.stem}](notebooks/{path.name}) | {question} | {minutes} |")
    return _TABLE.sub(lambda _: "\n".join(rows) + "\n", README.read_text("utf8"))


def picture():
    """Return README's picture, PNG bytes: the saved output of a lesson's cell."""
    lesson, cell_id = PICTURE_CELL
    cell = next(c for c in cells(notebooks.FOLDER / f"{lesson}.ipynb") if c["id"] == cell_id)
    return base64.b64decode(next(o["data"]["image/png"] for o in cell["outputs"] if "image/png" in o.get("data", {})))


def tagged():
    """Return {id: {lesson number: [cell ids]}} from the tags of all lessons' cells."""
    found = {}
    for path in notebooks.lessons():
        for cell in cells(path):
            for tag in filter(_TAG.fullmatch, cell["metadata"].get("tags", [])):
                found.setdefault(tag, {}).setdefault(path.name[:2], []).append(cell["id"])
    return found


def listed():
    """Return the ids that COVERAGE.md lists, in its order."""
    return [match[1] for line in COVERAGE.read_text("utf8").splitlines() if (match := _ROW.match(line))]


def coverage():
    """Return the text of COVERAGE.md with its last column written anew."""
    where = tagged()
    lines = []
    for line in COVERAGE.read_text("utf8").splitlines():
        if match := _ROW.match(line):
            places = "; ".join(f"{n}: {', '.join(ids)}" for n, ids in where.get(match[1], {}).items())
            line = f"| {match[1]} | {match[2]} | {places} |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def write():
    """Write all of it."""
    README.write_text(readme(), "utf8")
    COVERAGE.write_text(coverage(), "utf8")
    PICTURE.write_bytes(picture())
