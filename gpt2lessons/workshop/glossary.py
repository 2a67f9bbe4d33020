"""The glossary: `notebooks/glossary.json` as a notebook, each term in one sentence, with a link to where it is taught.

`python -m gpt2lessons index` writes it. `glossary.ipynb#TERM`, with hyphens for spaces, leads to a term.
"""

import html
import itertools
import json

from gpt2lessons.workshop import notebooks

TITLE = "Glossary"
_OPENING = f"# {TITLE}\n\nEach term in one sentence, and the place in the lessons where it is taught."


def path():
    """Return the path of the glossary as a notebook."""
    return notebooks.FOLDER / "glossary.ipynb"


def entries():
    """Return the terms, a list of {"term", "meaning" (one sentence), "lesson" (a notebook's name), "cell" (its id)}."""
    return json.loads(path().with_suffix(".json").read_text("utf8"))


def order(entry):
    """Return the key by which the entries are sorted: capital letters do not count."""
    return entry["term"].casefold(), entry["term"]


def anchor(term):
    """Return the name of a term within an address."""
    return term.replace(" ", "-")


def text():
    """Return the text of the notebook's file: a cell for each first letter."""
    cells = [_cell("title", _OPENING)]
    for letter, group in itertools.groupby(sorted(entries(), key=order), key=lambda entry: entry["term"][0].upper()):
        cells.append(_cell(f"letter-{letter.lower()}", "\n\n".join([f"## {letter}", *map(_line, group)])))
    metadata = {"kernelspec": notebooks.KERNEL, "language_info": notebooks.LANGUAGE}
    return notebooks.as_text({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def _line(entry):
    lesson = entry["lesson"]
    label = f"lesson {lesson[:2]}" if lesson[:2].isdigit() else lesson.replace("_", " ")
    place = f"[{label}]({lesson}.ipynb#cell-id={entry['cell']})"
    name = html.escape(anchor(entry["term"]))
    return f'<a id="{name}"></a>**{html.escape(entry["term"])}**: {entry["meaning"]} ({place})'


def _cell(name, source):
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source.splitlines(keepends=True)}
