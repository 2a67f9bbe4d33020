"""Grades a notebook without trusting it: the student's cells run in a process of their own, the tests in another.

`IsolatedExecute` takes the place of nbgrader's `Execute`. The kernel that nbgrader starts runs the locked cells and the
tests; every other cell is sent by `supervisor.py` to a `worker.py`. The tests see the student's functions as
`Function`s, whose calls go to that process and whose results come back as plain data. So nothing that a notebook does
to torch, to gpt2lessons, to `print` or to Python itself reaches a test; a loop without end, a dead process or an
exhausted memory costs the questions that depend on it and no others.
"""

import os
import shutil
import tempfile
from pathlib import Path

import bleach
from nbformat.v4 import new_code_cell, new_output
from nbgrader.api import Gradebook
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from supervisor import names_of
from traitlets import Integer

HERE = Path(__file__).parent


def safe_html(html):
    """Return what a page may show of a student's text: no scripts, pictures or frames.

    The formgrader shows it on the server that holds the teacher's files; nbconvert's `clean_html` knows too few tags.
    """
    tags = "p br hr h1 h2 h3 h4 h5 h6 div span pre table thead tbody tr th td del sup sub dl dt dd details summary"
    attributes = {"*": ["class", "id"], "a": ["href", "title"]}
    return bleach.clean(html, tags=bleach.ALLOWED_TAGS | set(tags.split()), attributes=attributes)


class DropStrays(NbGraderPreprocessor):
    """Takes nbgrader's marks from cells that are copies of graded cells, or unknown; nbgrader would stop at them."""

    def preprocess_cell(self, cell, resources, cell_index):
        """Return the cell, as an ordinary one if its marks name no cell of the assignment."""
        if "grade_id" not in cell.metadata.get("nbgrader", {}):
            cell.metadata.pop("nbgrader", None)
        return cell, resources


class IsolatedExecute(Execute):
    """Runs a submission as described on top of this file."""

    memory_mb = Integer(3000, help="private memory of a student's process, in MB (Linux)").tag(config=True)
    cpu_seconds = Integer(240, help="processor time of a student's process").tag(config=True)
    call_seconds = Integer(15, help="time for one call of a student's function").tag(config=True)
    cell_seconds = Integer(60, help="time for one cell of a student's").tag(config=True)

    def preprocess(self, nb, resources):
        """Run the notebook; return it with its own sources, and errors of tests cut to their messages."""
        names = resources["nbgrader"]
        with Gradebook(names["db_url"]) as gradebook:
            notebook = gradebook.find_notebook(names["notebook"], names["assignment"])
            locked = {c.name: c.source for c in notebook.source_cells if c.locked and c.cell_type == "code"}
            graded = {c.name for c in notebook.grade_cells}
        # a student's value of such a name would stand in for a cell that was deleted or moved
        reserved = sorted(set().union(*map(names_of, locked.values())))
        sources = [cell.source for cell in nb.cells]
        for cell in nb.cells:
            cell.metadata.pop("tags", None)  # one of them, "skip-execution", would spare a test its run
            if cell.cell_type == "code":
                self._route(cell, locked, graded)
        folder = resources["metadata"].get("path") or "."
        limits = {n: getattr(self, n) for n in ("memory_mb", "cpu_seconds", "call_seconds", "cell_seconds")}
        start = (
            f"import sys; sys.path[:] = [{str(HERE)!r}] + [p for p in sys.path if p]\n"
            "from supervisor import Worker\n"
            f"_isolation_worker = Worker(globals(), {os.path.abspath(folder)!r}, {reserved}, **{limits})"
        )
        nb.cells.insert(0, new_code_cell(start))
        nb.cells.append(new_code_cell("_isolation_worker.close()"))
        empty = tempfile.mkdtemp(prefix="grading")  # no file of the student's can be imported by the grading kernel
        resources["metadata"]["path"] = empty
        try:
            nb, resources = super().preprocess(nb, resources)
        finally:
            resources["metadata"]["path"] = folder
            shutil.rmtree(empty, ignore_errors=True)
        del nb.cells[0], nb.cells[-1]
        for cell, source in zip(nb.cells, sources, strict=True):
            cell.source = source
            if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade_id") in graded:
                if cell.execution_count is None and not cell.outputs:  # to nbgrader, no output is full marks
                    cell.outputs.append(new_output("error", ename="Error", evalue="not run", traceback=[]))
                for output in cell.outputs:
                    if output.output_type == "error":
                        output.traceback = [f"{output.ename}: {output.evalue}"]
        return nb, resources

    def _route(self, cell, locked, graded):
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        trusted = name in locked and cell.source == locked[name]
        if name in graded:
            cell.source = locked.get(name, "raise AssertionError('this is no test')")  # whatever stood there
        elif trusted:
            cell.source = f"_isolation_worker.given({cell.source!r})\n{cell.source}"
        else:
            cell.source = f"_isolation_worker.student({cell.source!r})"
