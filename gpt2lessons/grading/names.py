"""Which file is the notebook that was asked for, by whatever name a browser or an editor has given it."""

import re

# "ps2 (1)", "ps2-Copy1", "ps2 copy 2", "Copy of ps2", "ps2_2"
SUFFIX = re.compile(r"([ _-]*(\(\d+\)|-?copy *\d*|[ _-]\d{1,2}))+$", re.I)


def is_copy(stem, assignment):
    """Whether a file's name without its ending is the assignment's, but for what is added to copies, and for case."""
    bare = re.sub(r"^copy of ", "", stem.strip(), flags=re.I)
    return assignment.casefold() in (bare.casefold(), SUFFIX.sub("", bare).casefold())


def copies_in(folder, assignment):
    """Return the notebooks of a submission's folder that have the assignment's name but for a copy's additions.

    The last one is what was probably downloaded last: its name is the longest, and the last in the alphabet.
    """
    notebooks = [p for p in folder.iterdir() if p.is_file() and p.suffix.lower() == ".ipynb"]
    copies = [p for p in notebooks if p.name != f"{assignment}.ipynb" and is_copy(p.stem, assignment)]
    return sorted(copies, key=lambda path: (len(path.name), path.name))


def notebook_in(folder, assignment):
    """Return the path of the notebook in a submission's folder, None if there is none; the exact name counts first."""
    exact = folder / f"{assignment}.ipynb"
    if exact.is_file():
        return exact
    return next(reversed(copies_in(folder, assignment)), None)
