"""Grades a notebook without trusting it: the student's cells run in a sandbox, the tests in another process.

`IsolatedExecute` takes the place of nbgrader's `Execute`. The kernel that nbgrader starts runs the locked cells and
the tests; every other cell is sent by `supervisor.py` to a worker in the sandbox. The tests see the student's
functions as `Function`s, whose calls go there and whose results come back as plain data. So nothing that a notebook
does to torch, to gpt2lessons, to `print` or to Python itself reaches a test; a loop without end, a dead process or
an exhausted memory costs the question that it belongs to and no other.

The other classes are small steps of nbgrader's, made to bear what students hand in.
"""

import html
import os
import re
import shutil
from pathlib import Path

import bleach
from bleach.html5lib_shim import Filter
from nbformat.v4 import new_code_cell, new_output
from nbgrader.api import Gradebook
from nbgrader.preprocessors import ClearHiddenTests, ClearMarkScheme, Execute, NbGraderPreprocessor
from traitlets import Enum, Float, Integer

from gpt2lessons.grading import class_parameters, sandbox
from gpt2lessons.grading.supervisor import names_of


def _in_any_spelling(letters):
    """Return a pattern for text in HTML, in which each character may be written as its number."""
    return "".join(rf"(?:{re.escape(c)}|&#0*{ord(c)};?|&#x0*{ord(c):x};?)" for c in letters)


HREF = re.compile(rf"(?:{_in_any_spelling(chr(92))}|&bsol;)({_in_any_spelling('href')})", re.I)
TAGS = "p br hr h1 h2 h3 h4 h5 h6 div span pre table thead tbody tr th td del sup sub dl dt dd details summary"


def safe_html(page):
    """Return what a page may show of a student's text: no scripts, pictures or frames, and links as text only.

    The formgrader shows it on the server that holds the teacher's files; nbconvert's `clean_html` knows too few tags.
    """
    tags = bleach.ALLOWED_TAGS | set(TAGS.split())
    attributes = {"*": ["class", "id"], "a": ["href"]}
    shown = bleach.Cleaner(tags=tags, attributes=attributes, filters=[LinksAsText]).clean(page)
    return HREF.sub(r"\\ \1", shown)  # a link in a formula, which MathJax would make of it


class LinksAsText(Filter):
    """Shows where a link leads instead of leading there; links within the page, to headings, stay."""

    def __iter__(self):
        leads_to = []
        for token in super().__iter__():
            if token.get("name") != "a":
                yield token
            elif token["type"] == "StartTag":
                address = token["data"].pop((None, "href"), "")
                leads_to.append("" if address.startswith("#") else address)
                if address.startswith("#"):
                    token["data"][(None, "href")] = address
                yield token
            else:
                address = leads_to.pop() if leads_to else ""
                if address:
                    yield {"type": "Characters", "data": f" ({html.unescape(address)})"}
                yield token


class _OfTheTeacher:
    """Looks at locked cells only: what a student writes may contain nbgrader's own words."""

    def preprocess_cell(self, cell, resources, cell_index):
        """Return the cell, changed if it is a locked one."""
        if cell.metadata.get("nbgrader", {}).get("locked"):
            return super().preprocess_cell(cell, resources, cell_index)
        return cell, resources


class HideTests(_OfTheTeacher, ClearHiddenTests):
    """nbgrader's `ClearHiddenTests`, for the teacher's cells."""


class HideMarkScheme(_OfTheTeacher, ClearMarkScheme):
    """nbgrader's `ClearMarkScheme`, for the teacher's cells."""


class ClassParameters(NbGraderPreprocessor):
    """Writes the parameters of this class into an assignment, before anything else is done to it."""

    def preprocess(self, nb, resources):
        """Return the notebook with this class's cell."""
        chosen = class_parameters.parameters(self.config.CourseDirectory.root)
        return class_parameters.rewrite(nb, resources["nbgrader"]["assignment"], chosen), resources


class KeepEdits(NbGraderPreprocessor):
    """Keeps what a student added to a given cell, an import say, as an ordinary cell of the student's after it.

    nbgrader then restores the given cell, which the tests need as it was.
    """

    def preprocess(self, nb, resources):
        """Return the notebook with such cells added."""
        given, _ = _locked_cells(resources)
        cells = []
        for cell in nb.cells:
            cells.append(cell)
            meta = cell.metadata.get("nbgrader", {})
            source = given.get(meta.get("grade_id"))
            if cell.cell_type == "code" and source is not None and cell.source.strip() != source.strip():
                cells.append(new_code_cell(cell.source))
                if nb.nbformat_minor < 5:  # cells had no ids then
                    del cells[-1]["id"]
        nb.cells = cells
        return nb, resources


class DropStrays(NbGraderPreprocessor):
    """Takes nbgrader's marks from cells that are copies of graded cells, or unknown; nbgrader would stop at them."""

    def preprocess_cell(self, cell, resources, cell_index):
        """Return the cell, as an ordinary one if its marks name no cell of the assignment."""
        if "grade_id" not in cell.metadata.get("nbgrader", {}):
            cell.metadata.pop("nbgrader", None)
        return cell, resources


class IsolatedExecute(Execute):
    """Runs a submission as described on top of this file."""

    sandbox = Enum(sandbox.KINDS, "bubblewrap", help="where a student's code runs").tag(config=True)
    memory_mb = Integer(3000, help="memory of a student's process, in MB (Linux)").tag(config=True)
    seconds = Float(60, help="processor time for one question, and for one cell of a student's").tag(config=True)
    patience = Float(1, help="how many times longer than usual the clock may say, on a busy machine").tag(config=True)

    def preprocess(self, nb, resources):
        """Run the notebook; return it with its own sources, and errors of tests cut to their messages."""
        locked, graded = _locked_cells(resources, tests=True)
        handed_in = self._place("submitted_directory", resources)
        if problem := sandbox.problem(self.sandbox, handed_in):
            raise RuntimeError(problem)
        self._remove_strays(resources)
        # a student's value of such a name would stand in for a cell that was deleted or moved
        reserved = sorted(set().union(*map(names_of, locked.values())))
        sources = [cell.source for cell in nb.cells]
        for cell in nb.cells:
            cell.metadata.pop("tags", None)  # one of them, "skip-execution", would spare a test its run
            if cell.cell_type == "code":
                self._route(cell, locked, graded)
        settings = {"kind": self.sandbox, "memory_mb": self.memory_mb}
        settings |= {"seconds": self.seconds, "patience": self.patience}
        start = (
            "import sys; sys.path[:] = [p for p in sys.path if p]\n"
            "from gpt2lessons.grading import sandbox, supervisor\n"
            "sandbox.die_with_parent()\n"
            f"_isolation_worker = supervisor.Worker(globals(), {str(handed_in)!r}, {reserved}, **{settings})\n"
            "del sandbox, supervisor"
        )
        nb.cells.insert(0, new_code_cell(start))
        nb.cells.append(new_code_cell("_isolation_worker.close()"))
        nb, resources = super().preprocess(nb, resources)
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

    def _place(self, step, resources):
        owner, names = self.parent, resources["nbgrader"]
        while not hasattr(owner, "coursedir"):  # the exporter, then the converter
            owner = owner.parent
        course = owner.coursedir
        return Path(course.format_path(getattr(course, step), names["student"], names["assignment"])).resolve()

    def _remove_strays(self, resources):
        """Leave only the notebook beside the notebook: the formgrader would serve the rest as pages of its own.

        So there is no file either that the grading kernel, which starts in this folder, could import.
        """
        folder = self._place("autograded_directory", resources)
        # the last two are nbgrader's own, on a hub
        kept = {f"{resources['nbgrader']['notebook']}.ipynb", "timestamp.txt", "submission_secret.txt"}
        for path in list(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in kept:
                os.unlink(path)

    def _route(self, cell, locked, graded):
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        trusted = name in locked and cell.source == locked[name]
        if name in graded:
            test = locked.get(name, "raise AssertionError('this is no test')")  # whatever stood there
            cell.source = f"_isolation_worker.question()\n{test}"
        elif trusted:
            cell.source = f"_isolation_worker.given({cell.source!r})\n{cell.source}"
        else:
            cell.source = f"_isolation_worker.student({cell.source!r})"


def _locked_cells(resources, tests=False):
    """Return ({id: source} of the assignment's locked code cells, the ids of graded cells); tests only if asked."""
    names = resources["nbgrader"]
    with Gradebook(names["db_url"]) as gradebook:
        notebook = gradebook.find_notebook(names["notebook"], names["assignment"])
        graded = {c.name for c in notebook.grade_cells}
        locked = {c.name: c.source for c in notebook.source_cells if c.locked and c.cell_type == "code"}
    return {name: s for name, s in locked.items() if tests or name not in graded}, graded
