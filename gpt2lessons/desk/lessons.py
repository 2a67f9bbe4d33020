"""Where the course's lessons lie on this machine, and which exercises each of them has.

They lie in the repository, or, beside an installed copy, where its wheel laid them (`share/gpt2lessons`).
"""

import importlib.metadata
import json
import re
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2] / "notebooks"
SHARED = "share/gpt2lessons/notebooks"
_STUB = re.compile(r"ex\d+")
_CHECK = re.compile(r"^gl\.checks\.(\w+\.\w+)\(", re.M)
_TITLE = re.compile(r"# (?:\d+ *[·:.–-] *)?(.+)")


@cache
def folder():
    """Return the folder with the course's notebooks; `ValueError` where there is none."""
    if (REPOSITORY / "00_start_here.ipynb").is_file():
        return REPOSITORY
    try:
        laid = importlib.metadata.files("gpt2lessons") or ()
    except importlib.metadata.PackageNotFoundError:
        laid = ()
    for path in laid:
        if path.as_posix().endswith(f"{SHARED}/00_start_here.ipynb"):
            return Path(path.locate()).resolve().parent
    raise ValueError(
        "the lessons are not on this machine: this copy of gpt2lessons was not installed as a whole. "
        "Install it again with pip, or clone the course's repository."
    )


def names():
    """Return the names of the course's notebooks: the lessons, the optional ones ("deeper/…"), the glossary."""
    top, deeper = ([p.stem for p in sorted(place.glob("*.ipynb"))] for place in (folder(), folder() / "deeper"))
    lessons = [name for name in top if re.match(r"\d\d_", name)]
    return [*lessons, *(f"deeper/{name}" for name in deeper), *(name for name in top if name not in lessons)]


def exercises(name):
    """Return the checks that the exercises of a notebook call, in order, "tokenization.merge" for example."""
    stubs = ["".join(cell["source"]) for cell in _cells(name) if _STUB.fullmatch(cell.get("id", ""))]
    return [match[-1] for stub in stubs if (match := _CHECK.findall(stub))]


def question(name):
    """Return the title of a notebook, which is the question that it answers."""
    return title(_cells(name)) or name


def title(cells):
    """Return the title in the first of a notebook's cells, without the lesson's number; None if there is none."""
    found = _TITLE.match("".join(cells[0]["source"]))
    return found and found[1].strip()


@cache
def _cells(name):
    return json.loads((folder() / f"{name}.ipynb").read_text("utf8"))["cells"]
