"""The student's process as the grading kernel sees it: cells go there, and functions are called there.

`isolation.py` says why, `sandbox.py` where that process lives. This file is apart from `isolation.py` because every
submission's kernel reads it, and must not wait for nbgrader to load.
"""

import ast
import base64
import builtins
import contextlib
import math
import pickle
import queue
import subprocess
import threading
import time
from pathlib import Path

import psutil

from gpt2lessons.grading import sandbox
from gpt2lessons.grading.inside import wire

STARTS = 12  # of one submission's process: who ends it more often has had enough chances
START_SECONDS = 120  # of processor time, for the start of the process and for each given cell
FAR = 5  # how many times longer than its processor time a question may take by the clock
WHOLE, WHOLE_FAR = 10, 15  # how many times the time of a question a submission has, by the processor and by the clock
LOOK = 0.2  # seconds between two looks at the processor time
FILES, MOST_FILES = 10 << 20, 1000  # bytes and number of the files that were handed in beside the notebook


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
    """The student's process, started when needed and again after it died, with the same cells but the fatal one.

    `namespace` is where the tests look up what the student defined, `folder` holds what was handed in, `kind` is
    one of `sandbox.KINDS`. `seconds` is the processor time of each question and of each cell of the student's.
    The clock is a far bound only, `FAR * seconds * patience`: other people's work may keep the processors busy.
    All questions together, with the cells that a new process has to run again, have `WHOLE * seconds`.
    """

    def __init__(self, namespace, folder, reserved=(), *, kind="bubblewrap", memory_mb=3000, seconds=60, patience=1.0):
        self.namespace, self.folder, self.reserved = namespace, Path(folder), frozenset(reserved)
        self.kind, self.memory_mb, self.seconds, self.patience = kind, memory_mb, seconds, patience
        self.cells, self.students, self.given_names, self.callbacks = [], {}, set(), []
        self.given_cells = set()
        self.process, self.starts, self.number, self.pending = None, 0, 0, []
        self.whole_left, self.whole_clock = WHOLE * seconds, WHOLE_FAR * seconds * patience
        self.question()

    def question(self, seconds=None):
        """Begin another question, with its own time."""
        self.processor_left = seconds or self.seconds
        self.clock_left = FAR * self.processor_left * self.patience

    @contextlib.contextmanager
    def _for_free(self):
        """Let no question pay for the start of a process, and for what is given."""
        left = self.processor_left, self.clock_left, self.whole_left, self.whole_clock
        self.question(START_SECONDS)
        self.whole_left = self.whole_clock = math.inf
        try:
            yield
        finally:
            self.processor_left, self.clock_left, self.whole_left, self.whole_clock = left

    def given(self, source):
        """Run a locked cell in the student's process too, while the grading kernel runs it itself."""
        if self.process is None:
            self._start()
        self.pending.append(self._send({"cell": source}))
        self.cells.append(source)
        self.given_cells.add(source)
        self.given_names |= names_of(source)

    def student(self, source):
        """Run a student's cell: show what it printed, and let the tests see what it defined."""
        self.question()
        reply = self._cell(source)
        print(reply["shown"][-wire.SHOWN :], end="")
        for name, coded in reply["names"].items():
            if self._may_define(name):
                with contextlib.suppress(Exception):  # no value that a student's process would have encoded
                    self.students[name] = self.namespace[name] = wire.decode(coded, self._take)

    def _may_define(self, name):
        """Whether a name is the student's to define: none of Python's, of the tests', or of this process."""
        if name.startswith("_") or name in self.reserved or hasattr(builtins, name):
            return False
        if name not in self.namespace:
            return True
        return name in self.students and self.namespace[name] is self.students[name]

    def call(self, key, args, kwargs):
        """Return the value of the student's function; raise its exception, `TimeoutError`, `ConnectionError`."""
        self.callbacks = []
        coded = [wire.encode(a, self._give) for a in args], {k: wire.encode(v, self._give) for k, v in kwargs.items()}
        reply = self._ask({"call": {"key": key, "args": coded[0], "kwargs": coded[1]}})
        if "raised" in reply:
            if "MemoryError" in reply["raised"]:
                self.stop()  # what filled the memory may still be alive there
            raise _exception(reply["raised"], reply["text"])
        if not {"value", "after"} <= set(reply):
            raise ConnectionError("your code wrote into the grader's own channel.")
        for value, after in zip(args, reply["after"], strict=False):
            _bring_back(value, after)
        return wire.decode(reply["value"], self._take)

    def _cell(self, source):
        try:
            reply = self._ask({"cell": source})
        except (TimeoutError, ConnectionError) as error:
            return {"shown": f"{error}\n", "names": {}}  # it is not run again when the process is
        if not (isinstance(reply.get("shown"), str) and isinstance(reply.get("names"), dict)):
            reply = {"shown": f"{reply.get('text', 'no answer')}\n", "names": {}}
        if reply.get("exhausted"):
            self.stop()  # a new process, without this cell, has its memory again
        else:
            self.cells.append(source)
        return reply

    def _ask(self, question):
        if self.process is None:
            self._start()
        while self.pending:
            with self._for_free():
                self._reply(self.pending.pop(0))
        return self._reply(self._send(question))

    def _send(self, question):
        self.number += 1
        self._write({"n": self.number, **question})
        return self.number

    def _write(self, message):
        with contextlib.suppress(OSError):  # a process that has died: its silence is noticed by who reads
            wire.send(self.process.stdin, message)

    def _reply(self, number):
        """Return the reply to question `number`; charge what it takes to the question that is being graded."""
        begun, spent, next_look, used = time.monotonic(), self._spent(), 0.0, 0.0
        while True:
            try:
                reply = self.replies.get(timeout=LOOK)
            except queue.Empty:
                reply = {}
            now = time.monotonic()
            done = isinstance(reply, dict) and reply.get("n") == number and "callback" not in reply
            if done or now >= next_look:
                next_look, used = now + LOOK, self._spent() - spent
                if not done:
                    self._demand_an_end(used, now - begun)
            if reply is None:
                self.stop()
                raise ConnectionError(
                    "your code ended the Python process (exit, kill, or too much memory, time or output)."
                )
            if done:
                self._charge(used, now - begun)
                return reply
            if isinstance(reply, dict) and reply.get("n") == number:
                self._write({"n": number, **self._answer(reply)})

    def _demand_an_end(self, used, waited):
        """Stop the process and raise what there is to say, if a reply takes too long or too much."""
        if self.kind == "bubblewrap" and sandbox.files_made(self.process) > sandbox.MOST_FILES:
            self._charge(used, waited)
            self.stop()
            raise ConnectionError(f"your code made more than {sandbox.MOST_FILES:,} files.")
        if used > self.whole_left or waited > self.whole_clock:
            self._charge(used, waited)
            self.stop()
            raise TimeoutError(self._nothing_left())
        if used > self.processor_left or waited > self.clock_left:
            self._charge(used, waited)
            self.stop()
            raise TimeoutError(
                f"your code did not answer within {self.seconds:g} s of processor time"
                f" ({FAR * self.seconds * self.patience:.0f} s by the clock). Is there a loop that never ends?"
            )

    def _nothing_left(self):
        return (
            f"your notebook has used all its time, {WHOLE * self.seconds:g} s of processor time"
            f" ({WHOLE_FAR * self.seconds * self.patience:.0f} s by the clock); nothing more of it is run."
        )

    def _charge(self, used, waited):
        self.processor_left -= used
        self.whole_left -= used
        self.clock_left -= waited
        self.whole_clock -= waited

    def _spent(self):
        """Return the processor time of the student's process so far, in seconds; 0 where it cannot be seen."""
        if self.kind == "container":
            return 0.0
        spent = 0.0
        with contextlib.suppress(psutil.Error):
            outer = psutil.Process(self.process.pid)
            for process in [outer, *outer.children(recursive=True)]:
                times = process.cpu_times()
                spent += times.user + times.system
        return spent

    def _answer(self, reply):
        try:
            args = [wire.decode(a) for a in reply["args"]]
            value = self.callbacks[reply["callback"]](*args, **{k: wire.decode(v) for k, v in reply["kwargs"].items()})
            return {"value": wire.encode(value)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _start(self):
        if self.whole_left <= 0 or self.whole_clock <= 0:
            raise TimeoutError(self._nothing_left())
        self.starts += 1
        if self.starts > STARTS:
            raise ConnectionError("your code has ended or blocked its process too often; it is not started again.")
        self.process, self.end = sandbox.start(self.kind, self.memory_mb)
        self.replies = queue.Queue(maxsize=8)  # who writes more than is asked for has to wait
        self.listener = threading.Thread(target=_listen, args=(self.process.stdout, self.replies), daemon=True)
        self.listener.start()
        self._write({"files": handed_in(self.folder)})
        cells, self.cells, left = self.cells, [], (self.processor_left, self.clock_left)
        for source in cells:  # they ran before: the present question does not pay for them
            if self.whole_left <= 0 or self.whole_clock <= 0:
                break
            with self._for_free() if source in self.given_cells else contextlib.nullcontext():
                self.question(START_SECONDS)
                self._cell(source)
        if self.process is None:  # this time the last one did not end well
            self._start()
        self.processor_left, self.clock_left = left

    def stop(self):
        """End the student's process, and whatever it started; return when all of it is gone."""
        if self.process is None:
            return
        self.process, process, self.pending = None, self.process, []
        self.end()
        while self.listener.is_alive():  # it may wait for room; nobody holds the other end of its pipe any more
            with contextlib.suppress(queue.Empty):
                self.replies.get(timeout=0.02)
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                stream.close()

    def close(self):
        """End everything, at the end of the notebook; a process that ends by itself has its time counted."""
        if self.process is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                self.process.stdin.close()
                self.process.wait(timeout=2)
        self.stop()

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
        if kind != "function":
            return wire.Opaque(str(kind))
        key, name = content
        return Function(self, str(key), str(name))


def handed_in(folder):
    """Return the files below `folder`, {path: base64}, smaller ones first; bounds: `FILES`, `MOST_FILES`."""
    found, size = {}, 0
    paths = [p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]
    for path in sorted(paths, key=lambda p: (p.stat().st_size, p)):
        size += path.stat().st_size
        if size > FILES or len(found) == MOST_FILES:
            break
        found[path.relative_to(folder).as_posix()] = base64.b64encode(path.read_bytes()).decode()
    return found


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
