"""What all tests share: no network, the bundled model, one thread per worker, and notebook solutions."""

import json
import os
import re
from pathlib import Path

# before torch and transformers load, here and in the kernels that nbval starts
os.environ.update(HF_HUB_OFFLINE="1", GPT2LESSONS_MODEL="gpt2-mini", HF_HUB_DISABLE_PROGRESS_BARS="1")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

pytest.register_assert_rewrite("told_apart")  # so that its failures show their values too
NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


@pytest.fixture(scope="session")
def mini():
    """The bundled language model, loaded once per worker."""
    import gpt2lessons as gl

    return gl.load("gpt2-mini")


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
    cells = json.loads((NOTEBOOKS / f"{lesson}.ipynb").read_text("utf8"))["cells"]
    setup = next("".join(c["source"]) for c in cells if c["id"] == "setup")
    stub = exercises(lesson)[name][0].rstrip()
    body, check = stub.rsplit("\n", 1)
    namespace = {}
    # a set-up cell may switch gradients off for its notebook; the tests after this one must not notice
    with torch.set_grad_enabled(True):
        exec(setup, namespace)
        exec(body if answer is None else answer, namespace)
        return eval(check, namespace)
