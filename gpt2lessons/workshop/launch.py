"""Where the course lies on the web, and how a lesson that was opened alone gets the course.

Every link and every installing cell is made from `REPOSITORY`, by `python -m gpt2lessons index`. A copy of the course
that lives elsewhere sets its own address here first: the cell installs what lies there. All of them name the released
version that they belong to, so that a class does not get a course that moves.
"""

from urllib.parse import quote

import gpt2lessons

REPOSITORY = "gpt2lessons/gpt2lessons"  # account and name on GitHub
RELEASE = f"v{gpt2lessons.__version__}"  # the tag; a workflow sets it once CI has passed the version
KAGGLE_INPUT = "/kaggle/input"
LINKS_ID, CELL_ID = "launch", "install"

# A folder named gpt2lessons, a clone in the working folder for example, is found as a package without origin: such a
# "namespace package" is empty. It may even be imported already; once the course is installed, that wins.
_CELL = """\
# Installs the course where it is missing, on Colab or Kaggle for example.
import importlib.util

if getattr(importlib.util.find_spec("gpt2lessons"), "origin", None) is None:
    import glob
    import os
    import subprocess
    import sys

    wheels = sorted(glob.glob("{kaggle_input}/**/gpt2lessons-*.whl", recursive=True))
    source = ["{address}"]
    if wheels:
        source = ["--no-index", "--find-links", os.path.dirname(wheels[-1]), "gpt2lessons"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *source]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError("the course could not be installed. pip says:\\n" + done.stderr.strip())
    sys.modules.pop("gpt2lessons", None)
    importlib.invalidate_caches()"""


def page(lesson):
    """Return the address of a notebook's page on GitHub; `lesson` is its file below notebooks/."""
    return f"https://github.com/{REPOSITORY}/blob/{RELEASE}/notebooks/{lesson}"


def places(lesson):
    """Return {name: (address, picture)} of the services that open a lesson; `lesson` is its file below notebooks/."""
    path = f"notebooks/{lesson}"
    blob = page(lesson).removeprefix("https://")
    return {
        "Binder": (
            f"https://mybinder.org/v2/gh/{REPOSITORY}/{RELEASE}?labpath={quote(path, safe='')}",
            "https://mybinder.org/badge_logo.svg",
        ),
        "Colab": (
            f"https://colab.research.google.com/{blob.replace('github.com', 'github', 1)}",
            "https://colab.research.google.com/assets/colab-badge.svg",
        ),
        "Kaggle": (
            f"https://kaggle.com/kernels/welcome?src=https://{blob}",
            "https://kaggle.com/static/images/open-in-kaggle.svg",
        ),
    }


def site():
    """Return the address of the published pages, "/" at its end."""
    account, name = REPOSITORY.lower().split("/")
    return f"https://{account}.github.io/{name}/"


def badges(lesson):
    """Return Markdown with a badge per service, for pages on the web: its pictures come from there."""
    return "\n".join(f"[![Open in {name}]({picture})]({url})" for name, (url, picture) in places(lesson).items())


def links(lesson):
    """Return the same as one line of text, for a lesson itself: opening it asks nothing of the network."""
    return "Open in " + " · ".join(f"[{name}]({url})" for name, (url, _) in places(lesson).items())


def first_cell():
    """Return the source of the cell that installs the course if it is missing, and otherwise does and says nothing.

    A wheel somewhere below `KAGGLE_INPUT` is taken first, with what lies beside it and without network; else GitHub.
    """
    return _CELL.format(kaggle_input=KAGGLE_INPUT, address=f"git+https://github.com/{REPOSITORY}@{RELEASE}")


def equip(notebook, lesson):
    """Return `notebook` (a dict) with its links and its installing cell behind the title.

    `lesson` is its file below notebooks/, "03_next_token.ipynb" or "deeper/post_ln.ipynb".
    Where that cell is new, the counts of the cells behind it go up by one, as if it had been run: it prints nothing.
    """
    title, *others = notebook["cells"]
    new = CELL_ID not in {cell.get("id") for cell in others}
    others = [_shifted(cell, new) for cell in others if cell.get("id") not in (LINKS_ID, CELL_ID)]
    line = {"cell_type": "markdown", "id": LINKS_ID, "metadata": {}, "source": [links(lesson)]}
    install = {
        "cell_type": "code",
        "execution_count": 1,
        "id": CELL_ID,
        "metadata": {"jupyter": {"source_hidden": True}},  # JupyterLab shows its first line only
        "outputs": [],
        "source": first_cell().splitlines(keepends=True),
    }
    return notebook | {"cells": [title, line, install, *others]}


def _shifted(cell, by):
    """Return `cell` with its count, and that of its results, `by` higher; what has not been run stays so."""
    if cell.get("execution_count") is None:
        return cell
    outputs = [
        o | {"execution_count": o["execution_count"] + by} if o.get("execution_count") else o for o in cell["outputs"]
    ]
    return cell | {"execution_count": cell["execution_count"] + by, "outputs": outputs}
