"""What is derived: README's badges, tables and picture, COVERAGE.md's last column, the glossary, each lesson's way in.

`python -m gpt2lessons index` writes them; tests fail when they are out of date.
"""

import ast
import base64
import json
import re

from gpt2lessons.desk import lessons
from gpt2lessons.workshop import glossary, launch, notebooks
from gpt2lessons.workshop.notebooks import ROOT

README, COVERAGE, PICTURE = ROOT / "README.md", ROOT / "COVERAGE.md", ROOT / "README.png"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PICTURE_CELL = ("01_architecture", "data-flow")
_ROW = re.compile(r"^\| ([CEQ]\d+) \| (.*) \|[^|]*\|$")
_TAG = re.compile(r"[CEQ]\d+")


def cells(path):
    """Return the cells of the notebook at `path`."""
    return json.loads(path.read_text("utf8"))["cells"]


def question_and_minutes(path):
    """Return the question that a lesson answers (its title) and the minutes it takes, as its first cell says."""
    opening = "".join(cells(path)[0]["source"])
    title = lessons.title(cells(path))
    minutes = re.search(r"(\d+) minutes", opening)
    if not title or not minutes:
        raise ValueError(f"the first cell of {path.name} must have a title and say how many minutes the lesson takes")
    return title, int(minutes[1])


def readme():
    """Return the text of README.md with its badges and its table of lessons written anew."""
    tables = _table("lesson", notebooks.lessons())
    if notebooks.deeper():
        tables += ["", "To go deeper, when you like; no lesson needs them:", ""]
        tables += _table("notebook", notebooks.deeper())
    text = _filled(README.read_text("utf8"), "lessons", "\n".join(tables))
    ways_in = [
        f"**[Try it now]({launch.site()}playground.html)**: a small GPT-2 writes in your browser, nothing to install.",
        "",
        launch.badges(notebooks.lessons()[0].name),
    ]
    return _filled(text, "badges", "\n".join(ways_in))


def _table(heading, paths):
    rows = [f"| {heading} | the question it answers | minutes |", "|---|---|---|"]
    for path in paths:
        question, minutes = question_and_minutes(path)
        rows.append(f"| [{path.stem}](notebooks/{notebooks.name_of(path)}.ipynb) | {question} | {minutes} |")
    return rows


def _filled(text, name, content):
    """Return `text` with `content` between its two marks of that name."""
    between = rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)"
    return re.sub(between, lambda _: f"{content}\n", text, count=1, flags=re.S)


def lesson(path):
    """Return the text of a lesson's file with its links and its installing cell written anew."""
    return notebooks.as_text(launch.equip(json.loads(path.read_text("utf8")), f"{notebooks.name_of(path)}.ipynb"))


def picture():
    """Return README's picture, PNG bytes: the saved output of a lesson's cell."""
    lesson, cell_id = PICTURE_CELL
    cell = next(c for c in cells(notebooks.FOLDER / f"{lesson}.ipynb") if c["id"] == cell_id)
    return base64.b64decode(next(o["data"]["image/png"] for o in cell["outputs"] if "image/png" in o.get("data", {})))


def tagged():
    """Return {id: {lesson number or name of a deeper notebook: [cell ids]}} from the tags of all cells."""
    found = {}
    for path in notebooks.everything():
        place = path.name[:2] if path in notebooks.lessons() else notebooks.name_of(path)
        for cell in cells(path):
            for tag in filter(_TAG.fullmatch, cell["metadata"].get("tags", [])):
                found.setdefault(tag, {}).setdefault(place, []).append(cell["id"])
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
    """Write all of it; a file that is right already is not touched."""
    for path in notebooks.everything():
        _renew(path, lesson(path).encode("utf8"))
    _renew(README, readme().encode("utf8"))
    _renew(CONTRIBUTING, contributing().encode("utf8"))
    _renew(glossary.path(), glossary.text().encode("utf8"))
    _renew(COVERAGE, coverage().encode("utf8"))
    _renew(PICTURE, picture())


def contributing():
    """Return CONTRIBUTING.md with its table of rooms: each file's first line is its one job."""
    rows = ["| place | what is there |", "|---|---|"]
    package = ROOT / "gpt2lessons"
    rooms = [path for path in sorted(package.iterdir()) if (path / "__init__.py").is_file()]
    for path in [package, *rooms]:
        rows.append(f"| **`{path.relative_to(ROOT).as_posix()}/`** | {_first_line(path / '__init__.py')} |")
        files = [file for file in sorted(path.glob("[a-z]*.py")) if file.name != "__init__.py"]
        rows += [f"| `{file.name}` | {_first_line(file)} |" for file in files]
    return _filled(CONTRIBUTING.read_text("utf8"), "rooms", "\n".join(rows) + "\n")


def _first_line(path):
    text = ast.get_docstring(ast.parse(path.read_text("utf8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def _renew(path, content):
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)
