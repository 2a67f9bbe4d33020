"""What differs from class to class: `class_parameters.json`, and the reports with one false claim made from it.

`isolation.ClassParameters`, the first step of `nbgrader generate_assignment`, writes the cell `class-parameters` of an
assignment anew, by `rewrite`; this file needs no nbgrader. `python -m gpt2lessons.grading.class_parameters` in a
course's folder writes it into the sources themselves, for the tests of this project.
"""

import json
from pathlib import Path

import nbformat

from gpt2lessons.grading import reports

CELL = "class-parameters"


def parameters(course):
    """Return the parameters of the class, {name: value}, of a course's folder.

    Raises `ValueError` if one of them cannot be used.
    """
    return checked(json.loads((Path(course) / "class_parameters.json").read_text("utf8")))


def checked(chosen):
    """Return `chosen`, or raise a `ValueError` that says what is wrong with it."""
    if set(chosen) != {"seed", "opening", "word"}:
        raise ValueError(
            f"class_parameters.json should have seed, opening and word, not {', '.join(chosen) or 'nothing'}"
        )
    seed, opening, word = chosen["seed"], chosen["opening"], chosen["word"]
    if type(seed) is not int or not 0 <= seed < 10**9:
        raise ValueError(f"seed should be a whole number, 0 to 999999999, without quotes, not {seed!r}")
    if type(opening) is not str or "\n" in opening or not 5 <= len(opening.split()) <= 15:
        raise ValueError(f"opening should be one line of 5 to 15 words, not {opening!r}")
    if type(word) is not str or len(word.split()) != 1 or word != word.strip():
        raise ValueError(f"word should be one word without spaces, not {word!r}")
    return chosen


def source(assignment, chosen):
    """Return the source of the cell `class-parameters` of an assignment."""
    lines = [f"CLASS = {json.dumps(chosen, ensure_ascii=False)}", "REPORT = {"]
    lines += [
        f"    {number}: ({json.dumps(claim, ensure_ascii=False)}, {value:.5g}),"
        for number, (claim, value) in enumerate(reports.report(assignment, chosen), start=1)
    ]
    return "\n".join([*lines, "}"])


def rewrite(notebook, assignment, chosen):
    """Give the cell `class-parameters` of `notebook` this class's content."""
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == CELL:
            cell.source = source(assignment, chosen)
    return notebook


if __name__ == "__main__":
    for path in sorted(Path.cwd().glob("source/*/*.ipynb")):
        nbformat.write(rewrite(nbformat.read(path, 4), path.stem, parameters(Path.cwd())), path)
