"""What keeps the notebooks clean: run from top to bottom, stripped of what changes by itself, and inspected.

`python -m gpt2lessons execute` runs all of them; the test suite calls `problems` on each.
"""

import ast
import builtins
import copy
import json
import os
import re
import statistics
import tempfile
from pathlib import Path

from gpt2lessons.desk import pictures

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
MAX_LINES, MEDIAN_LINES, MAX_BYTES = 20, 5, 1_000_000
# What JupyterLab writes when it opens a notebook. If it finds anything else there, it calls the notebook modified;
# so it does under another version of Python, on which the outputs do not depend.
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
    "version": "3.11.7",
}
HELP_ID = re.compile(r"ex\d+-help")
REUSABLE = {"_", "fig", "ax", "axes"}
_MACHINE_PATH = re.compile(r"/(?:home|root|work|tmp|Users|opt|kaggle/working)/")


def lessons():
    """Return the paths of the numbered notebooks, in order."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))


def deeper():
    """Return the paths of the optional notebooks, in the order of their names."""
    return sorted((FOLDER / "deeper").glob("*.ipynb"))


def everything():
    """Return the paths of all notebooks with code: the lessons, then the optional ones."""
    return lessons() + deeper()


def name_of(path):
    """Return a notebook's name within the course: "03_next_token" or "deeper/post_ln"."""
    return path.relative_to(FOLDER).with_suffix("").as_posix()


def execute(path, *, model="gpt2-mini", write=True, env=None, first=""):
    """Run the notebook at `path` in a new kernel, offline, with `model`; write it back clean if `write`.

    `env` {name: value} is added to the kernel's environment; the code `first` runs before the first
    cell (the counts of the others then begin at 2). Raises nbclient's `CellExecutionError` where a cell fails that is
    not tagged `raises-exception`.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    if first:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(first))
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}})
    with tempfile.TemporaryDirectory() as empty:
        client.execute(env=_environment(model, empty) | (env or {}))
    if first:
        del notebook.cells[0]
    if write:
        nbformat.write(clean(notebook), path)
    return notebook


def _environment(model, empty):
    """The environment in which a newcomer meets the lessons: no network, and no GPT-2 in any cache."""
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    env.pop("GPT2LESSONS_MODEL", None)
    if model == "gpt2-mini":  # chosen as it is on a new machine, so that load() says why as it does there
        return env | {"HF_HUB_CACHE": empty}
    return env | {"GPT2LESSONS_MODEL": str(model)}


def clean(notebook):
    """Return `notebook` without widget state, timestamps and machine details; outputs and counts stay.

    Widgets leave their pictures. What is folded becomes read-only, so that no double click shows the source of a
    solution; kernel and language are written as JupyterLab would.
    """
    import nbformat
    from nbstripout import strip_output

    extra = ["metadata.widgets", "cell.metadata.execution"]
    notebook = strip_output(notebook, keep_output=True, keep_count=True, keep_id=True, extra_keys=extra)
    notebook.metadata["kernelspec"] = copy.deepcopy(KERNEL)
    notebook.metadata["language_info"] = copy.deepcopy(LANGUAGE)
    for cell in notebook.cells:
        if HELP_ID.fullmatch(cell.get("id", "")) or "".join(cell.source).startswith("<details>"):
            cell.metadata["editable"] = False
    for cell in code_cells(notebook):
        cell.outputs = _merge_streams(cell.outputs)
    pictures.keep_pictures(notebook)
    nbformat.validate(notebook)
    return notebook


def as_text(notebook):
    """Return `notebook` (a dict) as nbformat writes it to a file."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def code_cells(notebook):
    """Return the code cells that are not empty."""
    return [c for c in notebook["cells"] if c["cell_type"] == "code" and "".join(c["source"]).strip()]


def problems(path):
    """Return what is wrong with the notebook file at `path`, one sentence each; [] if nothing is."""
    notebook = json.loads(path.read_text("utf8"))
    cells, code = notebook["cells"], code_cells(notebook)
    sources = ["".join(c["source"]) for c in code]
    outputs = json.dumps([c["outputs"] for c in code])
    lengths = [len(s.strip().splitlines()) for s in sources]
    prose = sum(len("".join(c["source"])) for c in cells if c["cell_type"] == "markdown")
    found = []
    if [c["execution_count"] for c in code] != list(range(1, len(code) + 1)):
        found.append("not executed in order from 1")
    if [c["id"] for c in code[:2]] != ["install", "setup"]:
        found.append("the first code cells must be install (`python -m gpt2lessons index` writes it) and setup")
    for cell, source, length in zip(code, sources, lengths, strict=True):
        place = f"cell {cell['id']}"
        if length > MAX_LINES:
            found.append(f"{place} has {length} lines, at most {MAX_LINES} are allowed")
        if source.rstrip().endswith(";"):
            found.append(f"{place} ends with a semicolon, which hides it from nbval")
        if "import *" in source:
            found.append(f"{place} has a star import")
        failed = any(o["output_type"] == "error" for o in cell["outputs"])
        if failed and "raises-exception" not in cell["metadata"].get("tags", []):
            found.append(f"{place} shows an error")
        if "execution" in cell["metadata"]:
            found.append(f"{place} has execution times")
    if statistics.median(lengths or [0]) > MEDIAN_LINES:
        found.append(f"median code cell has {statistics.median(lengths)} lines, aim for {MEDIAN_LINES}")
    if prose < sum(map(len, sources)):
        found.append(f"less prose ({prose} characters) than code ({sum(map(len, sources))})")
    if any(re.fullmatch(r"[0-9a-f]{8}", c.get("id", "")) for c in cells) or len({c.get("id") for c in cells}) < len(
        cells
    ):
        found.append("cell ids must be unique and written by hand (they name the cell in tests and reviews)")
    if "widgets" in notebook["metadata"]:
        found.append("widget state is saved")
    if pictures.WIDGET_MIME in outputs:
        found.append("a widget's type is saved, which hides its picture (`python -m gpt2lessons execute` drops it)")
    if match := _MACHINE_PATH.search(outputs):
        found.append(f"a path of a machine in the outputs: {match.group()}")
    if "Warning" in re.sub(r'"image/png": "[^"]*"', "", outputs):
        found.append("a warning in the outputs")
    if any("gl.load(" in s for s in sources) and "gpt2-mini" not in outputs:
        found.append("saved outputs are not from gpt2-mini")
    if path.stat().st_size > MAX_BYTES:
        found.append(f"{path.stat().st_size:,} bytes, at most {MAX_BYTES:,} are allowed")
    return found + [f"{name} is defined in cells {a} and {b}" for name, a, b in redefinitions(code)]


def redefinitions(code):
    """Return (name, first cell id, later cell id) of top-level names that two code cells bind."""
    first, twice = {}, []
    for cell in code:
        for name in sorted(_bound(ast.parse("".join(cell["source"])))):
            if name in first:
                twice.append((name, first[name], cell["id"]))
            elif name not in REUSABLE:
                first[name] = cell["id"]
            if name in vars(builtins):
                twice.append((name, "Python itself", cell["id"]))
    return twice


def _bound(tree):
    """Names bound at the top level by assignment, def, class or import; loop variables may be reused."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((a.asname or a.name).split(".")[0] for a in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(
                n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            )
    return names


def _merge_streams(outputs):
    """Join neighbouring pieces of one stream: where they break depends on timing."""
    merged = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged
