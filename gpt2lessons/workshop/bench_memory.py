"""How much memory each lesson takes at its peak: `python -m gpt2lessons bench --memory [MODEL]`.

Each lesson runs in a kernel of its own, whose last cell says how much that process has held at most. `STAND_IN` is for
a machine without the real GPT-2: a model of the same shape with random weights and GPT-2's whole vocabulary. It takes
the memory that GPT-2 small takes, but what it writes is noise, so that some cells find their claims false and end
early; they are counted in the table.
"""

import inspect
import os
import shutil
import tempfile
from pathlib import Path

import torch

from gpt2lessons.checksums import ASSETS
from gpt2lessons.workshop import bench, doctor, notebooks

STAND_IN = "random-gpt2"
VOCABULARY = ASSETS / "gpt2-vocabulary"
CELL_SECONDS = 600  # a cell that takes longer is interrupted, and counted with those that failed
# the question brings its own function: an import of the bench would itself take memory
_ASK = f"import re, resource, sys\nfrom pathlib import Path\n{inspect.getsource(bench.peak_so_far)}\npeak_so_far()"


def peak_of_lesson(path, model, *, cell_seconds=CELL_SECONDS):
    """Run the notebook at `path` with `model`, whatever fails; nothing is written.

    Returns the peak memory of its kernel in bytes, and the ids of the cells that failed or were interrupted.
    """
    import nbformat
    from nbclient import NotebookClient

    os.environ.update(HF_HUB_OFFLINE="1", GPT2LESSONS_MODEL=str(model))
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(_ASK, id="peak"))
    options = {"timeout": cell_seconds, "interrupt_on_timeout": True, "allow_errors": True}
    NotebookClient(notebook, resources={"metadata": {"path": str(path.parent)}}, **options).execute()
    *cells, ask = notebooks.code_cells(notebook)
    failed = [c.id for c in cells if "raises-exception" not in c.metadata.get("tags", []) and _has_error(c)]
    if _has_error(ask):
        raise RuntimeError(f"{path.name}: the kernel could not say what it took: {ask.outputs[-1].evalue}")
    return int(ask.outputs[-1].data["text/plain"]), failed


def _has_error(cell):
    return any(output.output_type == "error" for output in cell.outputs)


def write_stand_in(folder):
    """Write a model of GPT-2 small's shape into `folder`, in its format: random weights, the whole vocabulary."""
    bench.random_gpt2().save_pretrained(folder)
    for path in VOCABULARY.glob("*.json"):
        shutil.copy(path, folder)
    shutil.copy(VOCABULARY / "merges.txt", folder)


def run(model="gpt2-mini", *, lessons=None, cell_seconds=CELL_SECONDS):
    """Measure the lessons (default: all) and print the table; returns 1 if one takes more than is promised, else 0."""
    limit = doctor.MINI_NEEDS if model == "gpt2-mini" else doctor.GPT2_NEEDS
    what = "random weights in GPT-2 small's shape, for memory only" if model == STAND_IN else model
    print(f"torch {torch.__version__} (a build for graphics cards takes some 280 MB more than one for CPUs alone)")
    print(f"peak memory of each lesson's kernel (MB), with {what}; at most {limit / 1e6:,.0f} are promised", flush=True)
    above = 0
    with tempfile.TemporaryDirectory() as folder:
        if model == STAND_IN:
            write_stand_in(Path(folder))
        for path in lessons or notebooks.everything():
            place = folder if model == STAND_IN else model
            peak, failed = peak_of_lesson(path, place, cell_seconds=cell_seconds)
            above += peak > limit
            notes = ["TOO MUCH"] * (peak > limit)
            notes += [f"{len(failed)} cells failed: {', '.join(failed)}"] * bool(failed)
            print("   ".join([f"{path.stem:24} {peak / 1e6:7,.0f}", *notes]), flush=True)
    return min(above, 1)
