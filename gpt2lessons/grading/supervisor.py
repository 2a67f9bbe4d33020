"""The student's process as the grading kernel sees it: cells go there, and functions are called there.

`isolation.py` says why. This file is apart from it because every submission's kernel reads it, and must not wait for
nbgrader to load.
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

    def __init__(self, namespace, folder, reserved=(), *, memory_mb, cpu_seconds, call_seconds, cell_seconds):
        self.namespace, self.folder, self.reserved = namespace, folder, frozenset(reserved)
        self.limits = [str(memory_mb), str(cpu_seconds)]
        self.call_seconds, self.cell_seconds = call_seconds, cell_seconds
        self.cells, self.students, self.given_names, self.callbacks = [], {}, set(), []
        self.process, self.scratch, self.starts, self.pending = None, None, 0, 0

    def given(self, source):
        """Run a locked cell in the student's process too, while the grading kernel runs it itself."""
        if self.process is None:
            self._start()
        self._write({"cell": source})
        self.cells.append(source)
        self.pending += 1
        self.given_names |= names_of(source)

    def student(self, source):
        """Run a student's cell: show what it printed, and let the tests see what it defined."""
        reply = self._cell(source)
        print(reply["shown"], end="")
        for name, coded in reply["names"].items():
            # never a name of Python's or of the tests: a student's `abs` or `torch` stays where it is
            mine = name in self.namespace and self.namespace[name] is not self.students.get(name, self)
            if not (mine or name in self.reserved or hasattr(builtins, name)):
                self.students[name] = self.namespace[name] = wire.decode(coded, self._take)

    def call(self, key, args, kwargs):
        """Return the value of the student's function; raise its exception, `TimeoutError`, `ConnectionError`."""
        self.callbacks = []
        coded = [wire.encode(a, self._give) for a in args], {k: wire.encode(v, self._give) for k, v in kwargs.items()}
        reply = self._ask({"call": {"key": key, "args": coded[0], "kwargs": coded[1]}}, self.call_seconds)
        if "raised" in reply:
            raise _exception(reply["raised"], reply["text"])
        if not {"value", "after"} <= set(reply):
            raise ConnectionError("your code wrote into the grader's own channel.")
        for value, after in zip(args, reply["after"], strict=False):
            _bring_back(value, after)
        return wire.decode(reply["value"], self._take)

    def _cell(self, source):
        try:
            reply = self._ask({"cell": source}, self.cell_seconds)
        except (TimeoutError, ConnectionError) as error:
            return {"shown": f"{error}\n", "names": {}}  # it is not run again when the process is
        self.cells.append(source)
        if isinstance(reply.get("shown"), str) and isinstance(reply.get("names"), dict):
            return reply
        return {"shown": f"{reply.get('text', 'no answer')}\n", "names": {}}

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
                raise ConnectionError(
                    "your code ended the Python process (exit, kill, or too much memory, time or output)."
                )
            if not isinstance(reply, dict):
                reply = {}
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
        if self.scratch is None:
            self.scratch = tempfile.mkdtemp(prefix="student")
            shutil.copytree(self.folder, self.scratch, dirs_exist_ok=True)
        command = [sys.executable, str(HERE / "worker.py"), *self.limits]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, cwd=self.scratch, start_new_session=True, **pipes)
        self.replies = queue.Queue(maxsize=8)  # who writes more than is asked for has to wait
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

    def close(self):
        """End everything, at the end of the notebook."""
        self.stop()
        if self.scratch:
            shutil.rmtree(self.scratch, ignore_errors=True)

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


def names_of(source):
    """Return the names that a cell binds, at any depth: assignments, functions, classes, imports."""
    tree = list(ast.walk(ast.parse(source)))
    names = {n.id for n in tree if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names |= {(n.asname or n.name).split(".")[0] for n in tree if isinstance(n, ast.alias)}
    return names | {n.name for n in tree if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def _listen(stream, replies):
    try:
        while (message := wire.receive(stream)) is not None:
            replies.put(message)
    except (ValueError, OSError, RecursionError):  # not a message of ours: somebody wrote into the pipe
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
