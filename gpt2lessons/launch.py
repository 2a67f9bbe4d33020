"""Where the course lies on the web, and how a lesson that was opened alone gets the course.

Set `REPOSITORY` once, when the course is published: every link and every installing cell is made from it.
"""

from urllib.parse import quote

REPOSITORY = "OWNER/gpt2lessons"  # "OWNER" stands for the account on GitHub, which is not known yet
BRANCH = "main"
KAGGLE_INPUT = "/kaggle/input"
CELL_ID = "install"

_CELL = """\
# Installs the course where it is missing: on Colab, on Kaggle, beside a file that was downloaded alone.
import importlib.util

if importlib.util.find_spec("gpt2lessons") is None:
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
    importlib.invalidate_caches()"""


def is_published():
    """Return whether `REPOSITORY` has been set; until then links and installing cells lead nowhere."""
    return not REPOSITORY.startswith("OWNER/")


def places(lesson):
    """Return {name: (address, picture)} of the services that open a lesson; `lesson` is its file name."""
    path = f"notebooks/{lesson}"
    blob = f"github/{REPOSITORY}/blob/{BRANCH}/{path}"
    return {
        "Binder": (
            f"https://mybinder.org/v2/gh/{REPOSITORY}/{BRANCH}?labpath={quote(path, safe='')}",
            "https://mybinder.org/badge_logo.svg",
        ),
        "Colab": (
            f"https://colab.research.google.com/{blob}",
            "https://colab.research.google.com/assets/colab-badge.svg",
        ),
        "Kaggle": (
            f"https://kaggle.com/kernels/welcome?src=https://{blob.replace('github', 'github.com', 1)}",
            "https://kaggle.com/static/images/open-in-kaggle.svg",
        ),
    }


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
    return _CELL.format(kaggle_input=KAGGLE_INPUT, address=f"git+https://github.com/{REPOSITORY}@{BRANCH}")
