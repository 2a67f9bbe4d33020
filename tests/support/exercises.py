"""Exercises as they stand in the notebooks: stub, folded solution, and a run of the check."""

import json
import re
from pathlib import Path

import torch

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def exercises(lesson):
    """Return {exercise id: (stub source, folded solution source)} of a notebook; lesson is its file name's stem.

    An exercise `ex1` is the code cell `ex1` (the stub, whose last line is the check) followed by the markdown
    cell `ex1-help`, whose last fenced python block is the solution.
    """
    cells = json.loads((NOTEBOOKS / f"{lesson}.ipynb").read_text("utf8"))["cells"]
    source = {c["id"]: "".join(c["source"]) for c in cells}
    found = {}
    for name in [i for i in source if re.fullmatch(r"ex\d+", i)]:
        blocks = re.findall(r"```python\n(.*?)```", source[f"{name}-help"], re.S)
        found[name] = (source[name], blocks[-1])
    return found


def run_exercise(lesson, name, answer=None):
    """Run the set-up cell, then exercise `name` with `answer` (source) in place of the stub; return the verdict.

    `answer=None` runs the stub as it stands. The check is the last line of the stub's cell.
    """
    body, check = exercises(lesson)[name][0].rstrip().rsplit("\n", 1)
    namespace = namespace_of(lesson, body if answer is None else answer)
    with torch.set_grad_enabled(True):
        return eval(check, namespace)


def namespace_of(lesson, source):
    """Run a lesson's set-up cell, then `source`; return what is bound afterwards."""
    cells = json.loads((NOTEBOOKS / f"{lesson}.ipynb").read_text("utf8"))["cells"]
    setup = next("".join(c["source"]) for c in cells if c["id"] == "setup")
    namespace = {}
    # a set-up cell may switch gradients off for its notebook; the tests after this one must not notice
    with torch.set_grad_enabled(True):
        exec(setup, namespace)
        exec(source, namespace)
    return namespace
