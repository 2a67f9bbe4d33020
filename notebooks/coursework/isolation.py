"""Grades a notebook without trusting it: the student's cells run in a process of their own, the tests in another.

`IsolatedExecute` takes the place of nbgrader's `Execute`. The kernel that nbgrader starts runs the locked cells and the
tests; every other cell is sent to a `worker.py`. The tests see the student's functions as `Function`s, whose calls go
to that process and whose results come back as plain data. So nothing that a notebook does to torch, to gpt2lessons, to
`print` or to Python itself reaches a test; a loop without end, a dead process or an exhausted memory costs the
questions that depend on it and no others.
"""

import ast
import base64
import builtins
import contextlib
import os
import pickle
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import wire
from nbformat.v4 import new_code_cell
from nbgrader.api import Gradebook
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from traitlets import Integer

HERE = Path(__file__).parent


class StudentError(Exception):
    """The student's code failed; the text says how."""


class Function:
    """A function of the student's; calling it asks the student's process."""

    def __init__(self, worker, key, name):
        self._worker, self._key, self.__name__ = worker, key, name

    def __call__(self, *args, **kwargs):
        """Return what the student's function returns, as plain data."""
        return self._worker.call(self._key, args, kwargs)


class Worker:
    """The student's process, started when needed and again after it died, with the same cells but the fatal one."""

    def __init__(self, namespace, folder, *, memory_mb, cpu_seconds, call_seconds, cell_seconds):
        self.namespace, self.folder = namespace, folder
        self.limits = [str(memory_mb), str(cpu_seconds)]
        self.call_seconds, self.cell_seconds = call_seconds, cell_seconds
        self.cells, self.students, self.given_names, self.callbacks = [], {}, set(), []
        self.process, self.starts, self.pending = None, 0, 0

    def given(self, source):
        """Run a locked cell in the student's process too, while the grading kernel runs it itself."""
        if self.process is None:
            self._start()
        self._write({"cell": source})
        self.cells.append(source)
        self.pending += 1
        tree = list(ast.walk(ast.parse(source)))
        self.given_names |= {n.id for n in tree if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        self.given_names |= {n.name for n in tree if isinstance(n, ast.FunctionDef | ast.ClassDef)}

    def student(self, source):
        """Run a student's cell: show what it printed, and let the tests see what it defined."""
        reply = self._cell(source)
        print(reply["shown"], end="")
        for name, coded in reply["names"].items():
            # never a name of Python's or of the tests: a student's `abs` or `torch` stays where it is
            mine = name in self.namespace and self.namespace[name] is not self.students.get(name, self)
            if not (mine or hasattr(builtins, name)):
                self.students[name] = self.namespace[name] = wire.decode(coded, self._take)

    def call(self, key, args, kwargs):
        """Return the value of the student's function; raise its exception, `TimeoutError`, `ConnectionError`."""
        self.callbacks = []
        coded = [wire.encode(a, self._give) for a in args], {k: wire.encode(v, self._give) for k, v in kwargs.items()}
        reply = self._ask({"call": {"key": key, "args": coded[0], "kwargs": coded[1]}}, self.call_seconds)
        if "raised" in reply:
            raise _exception(reply["raised"], reply["text"])
        for value, after in zip(args, reply["after"], strict=False):
            _bring_back(value, after)
        return wire.decode(reply["value"], self._take)

    def _cell(self, source):
        try:
            reply = self._ask({"cell": source}, self.cell_seconds)
        except (TimeoutError, ConnectionError) as error:
            return {"shown": f"{error}\n", "names": {}}  # it is not run again when the process is
        self.cells.append(source)
        return reply

    def _ask(self, question, seconds):
        if self.process is None:
            self._start()
        while self.pending:
            self.pending -= 1
            self._reply(self.cell_seconds)
        self._write(question)
        return self._reply(seconds)

    def _write(self, message):
        with contextlib.suppress(OSError):  # a process that has died: its silence is noticed by who reads
            wire.send(self.process.stdin, message)

    def _reply(self, seconds):
        end = time.monotonic() + seconds
        while True:
            try:
                reply = self.replies.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                self.stop()
                raise TimeoutError(
                    f"your code did not answer within {seconds} s. Is there a loop that never ends?"
                ) from None
            if reply is None:
                self.stop()
                raise ConnectionError("your code ended the Python process (exit, kill, or too much memory or time).")
            if "callback" not in reply:
                return reply
            self._write(self._answer(reply))

    def _answer(self, reply):
        try:
            args = [wire.decode(a) for a in reply["args"]]
            value = self.callbacks[reply["callback"]](*args, **{k: wire.decode(v) for k, v in reply["kwargs"].items()})
            return {"value": wire.encode(value)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _start(self):
        self.starts += 1
        if self.starts > 6:
            raise ConnectionError("your code has ended or blocked its process too often; it is not started again.")
        command = [sys.executable, str(HERE / "worker.py"), *self.limits]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, cwd=self.folder, start_new_session=True, **pipes)
        self.replies = queue.Queue()
        threading.Thread(target=_listen, args=(self.process.stdout, self.replies), daemon=True).start()
        cells, self.cells = self.cells, []
        for source in cells:
            self._cell(source)

    def stop(self):
        """End the student's process, and whatever it started."""
        if self.process is not None:
            process, self.process, self.pending = self.process, None, 0
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.wait()

    def _give(self, value):
        """Encode an argument that is no plain data."""
        for name in self.given_names:
            if self.namespace.get(name) is value:
                return ["given", name]
        try:
            # trusted objects travel to the student's side as they are; nothing is ever unpickled on this side
            if type(value).__name__ in ("function", "method", "Function") or type(value).__module__ == "__main__":
                raise pickle.PicklingError
            return ["pickle", base64.b64encode(pickle.dumps(value)).decode()]
        except (pickle.PicklingError, AttributeError, TypeError):
            if not callable(value):
                raise
            self.callbacks.append(value)
            return ["callback", len(self.callbacks) - 1]

    def _take(self, kind, content):
        return Function(self, *content) if kind == "function" else wire.Opaque(kind)


def _listen(stream, replies):
    try:
        while (message := wire.receive(stream)) is not None:
            replies.put(message)
    except (ValueError, OSError):  # not a message of ours: somebody wrote into the pipe
        pass
    replies.put(None)


def _exception(kinds, text):
    """Return the exception as one of Python's own, the most special that it is; never a student's class."""
    for kind in map(str, kinds):
        known = getattr(builtins, kind, None)
        if isinstance(known, type) and issubclass(known, Exception) and known is not Exception:
            return known(text) if known not in (UnicodeDecodeError, UnicodeEncodeError) else ValueError(text)
    return StudentError(f"{kinds[0]}: {text}")


def _bring_back(value, after):
    """Make the student's changes to a tensor or a list that was given visible, as if it had been passed itself."""
    if after[0] == "tensor":
        changed = wire.decode(after)
        if changed.shape == value.shape and not changed.equal(value):
            value.copy_(changed)
    elif after[0] == "list" and isinstance(value, list):
        changed = wire.decode(after)
        if "opaque" not in str(after) and "same" not in str(after):
            value[:] = changed
    elif after[0] == "dict" and isinstance(value, dict) and "opaque" not in str(after) and "same" not in str(after):
        changed = wire.decode(after)
        value.clear()
        value.update(changed)


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
        sources = [cell.source for cell in nb.cells]
        for cell in nb.cells:
            if cell.cell_type == "code":
                self._route(cell, locked, graded)
        folder = resources["metadata"].get("path") or "."
        limits = {n: getattr(self, n) for n in ("memory_mb", "cpu_seconds", "call_seconds", "cell_seconds")}
        start = (
            f"import sys; sys.path[:] = [{str(HERE)!r}] + [p for p in sys.path if p]\n"
            "from isolation import Worker\n"
            f"_isolation_worker = Worker(globals(), {os.path.abspath(folder)!r}, **{limits})"
        )
        nb.cells.insert(0, new_code_cell(start))
        nb.cells.append(new_code_cell("_isolation_worker.stop()"))
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
                for output in cell.outputs:
                    if output.output_type == "error":
                        output.traceback = [f"{output.ename}: {output.evalue}"]
        return nb, resources

    def _route(self, cell, locked, graded):
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        trusted = name in locked and cell.source == locked[name]
        if trusted and name in graded:
            return
        if trusted:
            cell.source = f"_isolation_worker.given({cell.source!r})\n{cell.source}"
        else:
            cell.source = f"_isolation_worker.student({cell.source!r})"
