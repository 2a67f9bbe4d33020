"""The process in which a student's code runs while it is graded; `supervisor.py` starts it and asks it questions.

`python worker.py MEMORY_MB CPU_SECONDS`. It runs cells as a notebook does, and calls the functions that they define
with arguments that it is given. It never sees a test, and is shut in the folder where it was started (`walls.py`).
Answers are plain data (`wire.py`).
"""

import base64
import io
import json
import os
import pickle
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [HERE, *[p for p in sys.path if p not in ("", HERE)]]

import walls  # noqa: E402
import wire  # noqa: E402

import gpt2lessons  # noqa: E402, F401 (found before the walls are closed)


class Student:
    """The student's notebook in memory: a shell for the cells, and the functions that were handed out."""

    def __init__(self, questions, answers):
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        self.questions, self.answers = questions, answers
        # a history would have a thread of its own, and a file
        self.shell = InteractiveShell.instance(colors="nocolor", config=Config({"HistoryManager": {"enabled": False}}))
        self.known, self.handed_out = set(self.shell.user_ns), {}

    def cell(self, source):
        """Run a cell; return what it printed and the names it left behind."""
        shown = io.StringIO()
        with redirect_stdout(shown), redirect_stderr(shown):
            self.shell.run_cell(source, store_history=False)
        names = {
            n: self._brief(wire.encode(v, lambda value, n=n: self._hand_out(value, n)), v)
            for n, v in list(self.shell.user_ns.items())
            if n not in self.known and not n.startswith("_") and type(v).__name__ != "module"
        }
        return {"shown": shown.getvalue()[-20_000:], "names": names}

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

    def _brief(self, coded, value):
        """Return `coded`, or the name of the type alone where it is long: no answer is, but a student's data may be."""
        return coded if len(json.dumps(coded)) < 1 << 20 else ["opaque", type(value).__name__]

    def _hand_out(self, value, name=None):
        if not callable(value):
            return None
        key = name or f"#{id(value)}"
        self.handed_out[key] = value
        return ["function", [key, getattr(value, "__name__", "a function")]]

    def _take(self, kind, content):
        """Read an argument that is no plain data: a name both sides know, an object, or a function to call back."""
        if kind == "given":
            return self.shell.user_ns[content]
        if kind == "pickle":
            return pickle.loads(base64.b64decode(content))
        return lambda *args, **kwargs: self._call_back(content, args, kwargs)

    def _call_back(self, number, args, kwargs):
        coded = [wire.encode(a) for a in args], {k: wire.encode(v) for k, v in kwargs.items()}
        wire.send(self.answers, {"callback": number, "args": coded[0], "kwargs": coded[1]})
        reply = wire.receive(self.questions)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return wire.decode(reply["value"])


def limit(memory_mb, cpu_seconds):
    """Bound memory and processor time, where the system can (Linux, macOS in part)."""
    try:
        import resource
    except ImportError:  # Windows
        return
    bounds = {"RLIMIT_DATA": memory_mb << 20, "RLIMIT_CPU": cpu_seconds, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 100 << 20}
    if os.path.exists("/proc/self/statm"):  # memory that is shared is no "data": bound the whole, beyond what is there
        with open("/proc/self/statm") as file:
            bounds["RLIMIT_AS"] = int(file.read().split()[0]) * resource.getpagesize() + (memory_mb << 20)
    for name, value in bounds.items():
        if hasattr(resource, name):
            resource.setrlimit(getattr(resource, name), (value, value))


def main():
    """Answer questions until there are no more."""
    scratch = os.getcwd()
    os.environ.update(TMPDIR=scratch, IPYTHONDIR=scratch, CUDA_VISIBLE_DEVICES="")
    walls.close(scratch)
    import torch  # noqa: F401 (its own memory is not counted)

    limit(int(sys.argv[1]), int(sys.argv[2]))
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    student = Student(questions, answers)
    sys.path.insert(1, os.getcwd())
    while (question := wire.receive(questions)) is not None:
        try:
            reply = student.cell(question["cell"]) if "cell" in question else student.call(**question["call"])
        except Exception:
            reply = {"raised": ["RuntimeError"], "text": traceback.format_exc(limit=1)[-2000:]}
        wire.send(answers, reply)


if __name__ == "__main__":
    main()
