"""Grades the submissions of an assignment, each in a sandbox of its own, several at a time.

    python -m gpt2lessons grade ps2_decoding [--jobs 4] [--minutes 20] [--force] [--student NAME …]

`nbgrader autograde ps2_decoding` grades a whole class in one process: a notebook that nbgrader cannot read then stops
the grading of all who come after it. Here it costs its own student only, and is named at the end. A submission that
is graded already is left as it is, unless what was handed in has changed or `--force` is given.
"""

import ast
import codecs
import contextlib
import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpt2lessons.grading import sandbox
from gpt2lessons.grading.names import copies_in, notebook_in
from gpt2lessons.grading.supervisor import names_of

# nbgrader ends with this process, also when this one is killed
NBGRADER = "from gpt2lessons.grading import sandbox; sandbox.die_with_parent()\n"
NBGRADER += "from nbgrader.apps.nbgraderapp import main; main()"
NO_NAME = set('[]*?,"\n\r')  # nbgrader searches with the first four, and writes grades.csv without quotes
EXCLUDED = "without gpt2lessons"  # what a task says that a student should do without the course's functions


class Grading:
    """One run of the command: a course's folder, an assignment, and how to grade."""

    def __init__(self, course, assignment, *, kind="bubblewrap", minutes=20.0, force=False, patience=1.0):
        self.course, self.assignment = Path(course), assignment
        self.kind, self.minutes, self.force, self.patience = kind, minutes, force, patience
        self.running, self.notes = set(), []

    def grade(self, student):
        """Run nbgrader for one student; return "" or what went wrong."""
        folder = self.course / "submitted" / student / self.assignment
        if not folder.is_dir():
            return f"nothing in {folder.relative_to(self.course)}"
        if any(path.is_symlink() for path in [folder, *folder.rglob("*")]):
            return "a link instead of a file was handed in; it could lead anywhere"
        if NO_NAME & set(student):
            return f"rename the folder {student!r}: [ ] * ? , and quotes are no part of a name here"
        notebook = notebook_in(folder, self.assignment)
        if notebook is None:
            return "no notebook with the assignment's name"
        if is_source(notebook):
            return "this is the teacher's source; how did the student come by it?"
        digest = digest_of(folder)
        record = self.course / "autograded" / student / self.assignment / "handed_in.sha256"
        if not self.force and record.is_file() and record.read_text("utf8") == digest:
            return ""
        self._put_right(student, notebook, folder / f"{self.assignment}.ipynb")
        problem = self._autograde(student)
        if not problem:
            record.write_text(digest_of(folder), "utf8")
            self.notes += [f"{student}: {note}" for note in rule_breaks(folder / f"{self.assignment}.ipynb")]
        return problem

    def _put_right(self, student, notebook, path):
        """Give the notebook the name and the encoding that nbgrader wants."""
        if notebook != path:
            notebook.rename(path)
            self.notes.append(f"{student}: {notebook.name} was taken as {path.name}")
        elif others := copies_in(path.parent, self.assignment):
            self.notes.append(f"{student}: {path.name} was graded; what about {', '.join(p.name for p in others)}?")
        content = path.read_bytes()
        if content.startswith(codecs.BOM_UTF8):
            path.write_bytes(content.removeprefix(codecs.BOM_UTF8))

    def _autograde(self, student):
        command = [sys.executable, "-c", NBGRADER, "autograde", self.assignment, f"--student={student}", "--force"]
        command += [f"--IsolatedExecute.sandbox={self.kind}", f"--IsolatedExecute.patience={self.patience}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        for attempt in range(5):
            process = subprocess.Popen(command, cwd=self.course, start_new_session=True, **pipes)
            self.running.add(process)
            try:
                log = process.communicate(timeout=60 * self.minutes * self.patience)[0].decode("utf8", "replace")
            except subprocess.TimeoutExpired:
                sandbox.end(process)
                return f"not finished after {self.minutes * self.patience:g} minutes"
            finally:
                self.running.discard(process)
            if process.returncode and "database is locked" in log:
                time.sleep(1 + attempt)  # somebody else was writing into the gradebook
                continue
            break
        if process.returncode == 0:
            return ""
        errors = re.findall(r"^ *([\w.]*(?:Error|Exception): .*)", log, re.M)
        return (errors or ["nbgrader cannot read or run it"])[-1]

    def stop(self):
        """End what is running."""
        for process in list(self.running):
            sandbox.end(process)


def digest_of(folder):
    """Return a checksum of everything that was handed in: names and contents, not times."""
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        found.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()


def cells_of(notebook):
    """Return the cells of a notebook file as dictionaries with their source as one text; [] if it cannot be read."""
    try:
        cells = json.loads(notebook.read_text("utf-8-sig"))["cells"]
        return [{**cell, "source": "".join(cell["source"]), "marks": _marks(cell)} for cell in cells]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []


def _marks(cell):
    marks = cell.get("metadata", {}).get("nbgrader", {})
    return marks if isinstance(marks, dict) else {}


def is_source(notebook):
    """Whether a notebook is the teacher's own: one of its tests has hidden parts."""
    tests = [cell for cell in cells_of(notebook) if cell["marks"].get("grade") and cell["marks"].get("locked")]
    return any(re.search(r"^ *### BEGIN HIDDEN TESTS", cell["source"], re.M) for cell in tests)


def rule_breaks(notebook):
    """Return a sentence for each answer that uses gpt2lessons where its task says that it should not."""
    cells = cells_of(notebook)
    known, found = set(), []
    for cell in cells:
        known |= _imported_from_the_course(cell["source"]) if cell.get("cell_type") == "code" else set()
    known |= _helpers(cells, known)
    for cell in cells:
        question = str(cell["marks"].get("grade_id", "")).removesuffix("-task")
        if cell.get("cell_type") != "markdown" or EXCLUDED not in cell["source"]:
            continue
        answers = [c["source"] for c in cells if c["marks"].get("grade_id") == question]
        used = known & _words(" ".join(answers))
        if used:
            found.append(f"{question} uses {', '.join(sorted(used))}; its task says {EXCLUDED}")
    return found


def _words(source):
    return set(re.findall(r"[^\W\d]\w*", source))


def _helpers(cells, known):
    """Return the names that a student's cells of their own bind with the help of `known` names."""
    found = {"gpt2lessons"}  # as a text too, which `__import__` takes
    for cell in cells:
        if cell.get("cell_type") == "code" and not cell["marks"] and (known | found) & _words(cell["source"]):
            with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                found |= names_of(cell["source"])
    return found


def _imported_from_the_course(source):
    try:
        tree = ast.walk(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names = set()
    for node in tree:
        if isinstance(node, ast.Import):
            names |= {a.asname or "gpt2lessons" for a in node.names if a.name.split(".")[0] == "gpt2lessons"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gpt2lessons":
            names |= {a.asname or a.name for a in node.names}
    return names


def refusal(course, assignment, students, kind, jobs, minutes):
    """Return why nothing can be graded, "" if it can."""
    handed_in = course / "submitted"
    if not (course / "nbgrader_config.py").is_file():
        return f"{course} is no course: it has no nbgrader_config.py. Run this in your copy of notebooks/coursework"
    if jobs < 1:
        return f"--jobs is how many to grade at a time, at least 1, not {jobs}"
    if not 0 < minutes < 1e6:
        return f"--minutes is the most for one submission, a number above 0, not {minutes:g}"
    if not students:
        known = ", ".join(sorted({path.name for path in handed_in.glob("*/*")})) or "none at all"
        return f"no submission of {assignment!r} in {handed_in}; there are submissions of: {known}"
    if not (course / "release" / assignment).is_dir():
        return f"first generate the assignment: nbgrader generate_assignment {assignment} --create"
    return sandbox.problem(kind, handed_in)


def run(assignment, *, students=(), jobs=None, minutes=20.0, force=False, kind="bubblewrap", course=None):
    """Grade the named students, or everybody who handed in; return the exit code.

    `kind` is one of `sandbox.KINDS`; `minutes` is the most for one submission, longer where there are more jobs than
    processors. `course` is the folder to work in, by default the present one.
    """
    course, processors = Path(course or Path.cwd()).resolve(), os.cpu_count() or 1
    jobs = max(1, processors // 2) if jobs is None else jobs
    if not students:
        folders = sorted((course / "submitted").glob(f"*/{glob.escape(assignment)}"))
        students = [folder.parent.name for folder in folders]
    if problem := refusal(course, assignment, students, kind, jobs, minutes):
        print(problem, file=sys.stderr)
        return 2
    patience, start = max(1.0, jobs / processors), time.time()
    grading = Grading(course, assignment, kind=kind, minutes=minutes, force=force, patience=patience)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            found = list(pool.map(grading.grade, students))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            grading.stop()
            print("stopped; the same command goes on with those who are not graded yet")
            return 130
    failed = {s: problem for s, problem in zip(students, found, strict=True) if problem}
    print(f"{len(students) - len(failed)} of {len(students)} graded in {time.time() - start:.0f} s{_used()}")
    for student, problem in failed.items():
        print(f"  not graded, 0 points so far: {student}: {problem}")
    for note in sorted(grading.notes):
        print(f"  note: {note}")
    return 0


def _used():
    """Return what the graded submissions cost, where the system tells (not on Windows)."""
    try:
        import resource
    except ImportError:
        return ""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return f", {used.ru_utime + used.ru_stime:.0f} s of processor time"
