"""The process in which a student's code runs while it is graded; `supervisor.py` starts it and asks it questions.

`python worker.py MEMORY_MB THREADS`. It first receives the files that were handed in, then runs cells as a notebook
does, and calls the functions that they define with arguments that it is given. It never sees a test. Answers are
plain data (`wire.py`) and carry their question's number. What it can reach is settled outside, by `sandbox.py`.
"""

import base64
import io
import json
import os
import pickle
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import wire

LONGEST = 1 << 20  # characters of a name's value: no answer is longer, but a student's data may be
PROCESSOR_SECONDS = 3600  # of the whole process: a far bound, in case that nobody outside counts any more


class Student:
    """The student's notebook in memory: a shell for the cells, and the functions that were handed out."""

    def __init__(self, questions, answers):
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        self.questions, self.answers = questions, answers
        # a history would have a thread of its own, and a file
        settings = Config({"HistoryManager": {"enabled": False}})
        self.shell = InteractiveShell.instance(colors="nocolor", config=settings)
        self.known, self.handed_out, self.number = set(self.shell.user_ns), {}, 0

    def answer(self, question):
        """Return the reply to a question, without its number."""
        self.number = question["n"]
        try:
            if "cell" in question:
                return self.cell(question["cell"])
            return self.call(**question["call"])
        except Exception:
            return {"raised": ["RuntimeError"], "text": traceback.format_exc(limit=1)[-2000:]}

    def cell(self, source):
        """Run a cell; return what it printed, the names it left behind, and whether memory ran out."""
        shown = io.StringIO()
        with redirect_stdout(shown), redirect_stderr(shown):
            result = self.shell.run_cell(source, store_history=False)
        names = {}
        for name, value in list(self.shell.user_ns.items()):
            if name in self.known or name.startswith("_") or type(value).__name__ == "module":
                continue
            names[name] = self._value(name, value)
        exhausted = isinstance(result.error_in_exec, MemoryError)
        return {"shown": shown.getvalue()[-wire.SHOWN :], "names": names, "exhausted": exhausted}

    def call(self, key, args, kwargs):
        """Call a function; return its value, or its exception, and the arguments as they are afterwards."""
        function = self.handed_out.get(key) or self.shell.user_ns[key]
        args = [wire.decode(a, self._take) for a in args]
        kwargs = {k: wire.decode(v, self._take) for k, v in kwargs.items()}
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            try:
                value = wire.encode(function(*args, **kwargs), self._hand_out)
            except (Exception, SystemExit) as error:
                kinds = [k.__name__ for k in type(error).__mro__]
                return {"raised": kinds, "text": str(error)[:2000]}
        return {"value": value, "after": [wire.encode(a, lambda v: ["same", None]) for a in args]}

    def _value(self, name, value):
        """Encode a name's value; only its type where it is long, or no plain data that ends."""
        try:
            coded = wire.encode(value, lambda v: self._hand_out(v, name))
            if len(json.dumps(coded)) < LONGEST:
                return coded
        except Exception:  # a list that contains itself, an object whose methods fail: costs its own name only
            pass
        return ["opaque", type(value).__name__]

    def _hand_out(self, value, name=None):
        if not callable(value):
            return None
        key = name or f"#{id(value)}"
        self.handed_out[key] = value
        return ["function", [key, str(getattr(value, "__name__", "a function"))]]

    def _take(self, kind, content):
        """Read an argument that is no plain data: a name both sides know, an object, or a function to call back."""
        if kind == "given":
            return self.shell.user_ns[content]
        if kind == "pickle":
            return pickle.loads(base64.b64decode(content))
        return lambda *args, **kwargs: self._call_back(content, args, kwargs)

    def _call_back(self, which, args, kwargs):
        coded = [wire.encode(a) for a in args], {k: wire.encode(v) for k, v in kwargs.items()}
        question = {"n": self.number, "callback": which, "args": coded[0], "kwargs": coded[1]}
        wire.send(self.answers, question)
        reply = wire.receive(self.questions)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return wire.decode(reply["value"])


def limit(memory_mb, threads):
    """Bound this process's memory, threads, files and processor time, where the system can (macOS: in part)."""
    try:
        import resource
    except ImportError:  # Windows
        return
    bounds = {
        "RLIMIT_DATA": memory_mb << 20,
        "RLIMIT_CPU": PROCESSOR_SECONDS,
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": 100 << 20,
        "RLIMIT_NOFILE": 256,
    }
    if threads:
        bounds["RLIMIT_NPROC"] = threads
    if os.path.exists("/proc/self/statm"):  # shared memory is no "data": bound the whole, beyond what is there
        with open("/proc/self/statm", encoding="utf8") as file:
            present = int(file.read().split()[0]) * resource.getpagesize()
        bounds["RLIMIT_AS"] = present + (memory_mb << 20)
    for name, value in bounds.items():
        if hasattr(resource, name):
            resource.setrlimit(getattr(resource, name), (value, value))


def unpack(files):
    """Write what was handed in, {relative path: base64}, into the present folder."""
    for name, content in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))


def main():
    """Answer questions until there are no more."""
    here, scratch = os.path.dirname(os.path.abspath(__file__)), os.getcwd()
    # what was handed in comes last: no file of the student's stands in for a package
    sys.path[:] = [*[p for p in sys.path if p not in ("", here, scratch)], here, scratch]
    os.environ.update(TMPDIR=scratch, IPYTHONDIR=scratch, CUDA_VISIBLE_DEVICES="", NBGRADER_EXECUTION="autograde")
    import torch  # noqa: F401 (its own memory is not counted)

    limit(int(sys.argv[1]), int(sys.argv[2]))
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    unpack(wire.receive(questions)["files"])
    student = Student(questions, answers)
    while (question := wire.receive(questions)) is not None:
        reply = student.answer(question)
        try:
            wire.send(answers, {"n": question["n"], **reply})
        except ValueError as error:
            wire.send(answers, {"n": question["n"], "raised": ["ValueError"], "text": str(error)})


if __name__ == "__main__":
    main()
