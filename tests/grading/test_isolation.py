"""What a student's process can do while it is graded, and what it cannot: `walls.py`, `worker.py`, `supervisor.py`."""

import importlib
import platform
import re
import sys
from pathlib import Path

import pytest
import torch
from test_sets import COURSEWORK

import gpt2lessons

LINUX = sys.platform.startswith("linux") and platform.machine() in ("x86_64", "aarch64")
SOURCE = str(COURSEWORK / "source" / "ps2_decoding" / "ps2_decoding.ipynb")
GIVEN = """
import ctypes, mmap, os, socket, subprocess, tempfile, threading
import torch
import gpt2lessons as gl
lm = gl.load("gpt2-mini")
CLASS = {"seed": 1}
"""


@pytest.fixture(scope="module")
def supervisor():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(COURSEWORK))
        yield importlib.import_module("supervisor")


@pytest.fixture(scope="module")
def run(supervisor, tmp_path_factory):
    """Run a student's cell; return what it printed. The process's memory ends at 2 GB."""
    folder = tmp_path_factory.mktemp("submission")
    (folder / "data.txt").write_text("my data")
    space = {}
    limits = {"memory_mb": 2000, "cpu_seconds": 200, "call_seconds": 10, "cell_seconds": 100}
    worker = supervisor.Worker(space, str(folder), ["REPORT", "CLASS"], **limits)
    worker.given(GIVEN)

    def run(source, capsys):
        worker.student(source)
        return capsys.readouterr().out

    run.worker, run.space, run.folder = worker, space, folder
    yield run
    worker.close()


def test_honest_work_runs_inside_the_walls(run, capsys):
    said = run("print(lm.encode('hello').shape[0], torch.ones(300, 300).mm(torch.ones(300, 300)).sum().item())", capsys)
    assert said.split() == ["1", str(300.0**3)]
    assert run("print(open('data.txt').read())", capsys).strip() == "my data"
    assert run("t = threading.Thread(target=lambda: print('thread')); t.start(); t.join()", capsys).strip() == "thread"
    run("import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.savefig('mine.png')", capsys)
    assert run("print(os.path.getsize('mine.png') > 1000)", capsys).strip() == "True"
    assert not (run.folder / "mine.png").exists()  # it works on a copy
    assert run("with tempfile.TemporaryFile() as f: print(f.write(b'abc'))", capsys).strip() == "3"


PYTHON = {
    "the sources": f"open({SOURCE!r}).read()",
    "the sources, by a relative path": f"open(os.path.relpath({SOURCE!r})).read()",
    "the folder of the course": f"os.listdir({str(COURSEWORK)!r})",
    "answers in the tests": f"open({str(Path(__file__).parent / 'coursework' / 'ps2_decoding.py')!r}).read()",
    "the home folder": "os.listdir(os.path.expanduser('~'))",
    "the gradebook": f"__import__('sqlite3').connect({str(COURSEWORK / 'gradebook.db')!r})",
    "a package for those who come later": f"open({gpt2lessons.__file__!r}, 'a')",
    "a file of the system": "open('/etc/gpt2lessons', 'w')",
    "a link to the sources": f"os.symlink({SOURCE!r}, 'link')",
    "a program": "subprocess.run(['ls'])",
    "the shell": "os.system('ls')",
    "a copy of itself": "os.fork()",
    "a signal to the grader": "os.kill(os.getppid(), 0)",
    "a signal to everybody": "os.kill(-1, 0)",
    "a connection": "socket.create_connection(('127.0.0.1', 9))",
}


@pytest.mark.parametrize("what", PYTHON)
def test_python_code_cannot_reach(run, what, capsys):
    said = run(f"_ = {PYTHON[what]}\nprint('done')", capsys)
    assert "done" not in said.splitlines()
    assert "PermissionError" in said


BELOW_PYTHON = {
    "read the sources": f"ctypes.CDLL(None).open({SOURCE.encode()!r}, 0)",
    "make a file elsewhere": "ctypes.CDLL(None).open(b'/tmp/gpt2lessons-was-here', 0o102, 0o600)",
    "open a socket": "ctypes.CDLL(None).socket(2, 1, 0)",
    "fork": "ctypes.CDLL(None).fork()",
    "signal others": "ctypes.CDLL(None).kill(os.getppid(), 0)",
    "leave its group": "ctypes.CDLL(None).setsid()",
    "trace": "ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)",
}


@pytest.mark.skipif(not LINUX, reason="Linux's walls")
@pytest.mark.parametrize("what", BELOW_PYTHON)
def test_code_below_python_cannot(run, what, capsys):
    assert run(f"print({BELOW_PYTHON[what]})", capsys).strip() == "-1"


@pytest.mark.skipif(not LINUX, reason="Linux's walls")
def test_torch_reads_no_file_past_python(run, capsys):
    said = run(f"torch.from_file({SOURCE!r}, size=10, dtype=torch.uint8)\nprint('done')", capsys)
    assert "Permission denied" in said
    assert "done" not in said.splitlines()


@pytest.mark.skipif(not LINUX, reason="the limit is Linux's")
@pytest.mark.parametrize("asked", ["bytearray(10 << 30)", "mmap.mmap(-1, 10 << 30)", "torch.ones(10 << 30)"])
def test_ten_gigabytes_are_refused_and_the_process_lives(run, asked, capsys):
    said = run(f"_ = {asked}\nprint('done')", capsys)
    assert re.search("MemoryError|Cannot allocate memory|not enough memory|can't allocate memory", said)
    assert run("print('alive')", capsys).strip() == "alive"


def test_what_a_student_writes_is_shown_without_scripts(supervisor):
    safe_html = importlib.import_module("isolation").safe_html
    attack = (
        '<script>x</script><img src=x onerror="x"><iframe></iframe><a href="javascript:x">a</a><p onclick="x">b</p>'
    )
    shown = safe_html(attack)
    assert not re.search(r"<(script|img|iframe)|javascript|<p [^>]*onclick", shown)
    kept = (
        '<h2 id="a">T</h2>\n<p>a &lt; b <em>c</em> <code>d</code></p><table><thead><tr><th>e</th></tr></thead></table>'
    )
    assert safe_html(kept) == kept


def test_a_long_value_costs_nothing(run, capsys):
    run("data, answer = list(range(300_000)), 7", capsys)
    assert run.space["answer"] == 7
    assert type(run.space["data"]).__name__ == "Opaque"


def test_names_of_given_cells_and_of_tests_stay_theirs(run, supervisor, capsys):
    run("REPORT, CLASS, mine = {1: ('easy', 0)}, {'seed': 0}, 5", capsys)
    assert run.space["mine"] == 5
    assert not {"REPORT", "CLASS"} & set(run.space)
    names = supervisor.names_of("import a.b, c as d\nfrom e import f\nx, (y, z) = 1, (2, 3)\ndef g(): h = 1")
    assert names == {"a", "d", "f", "x", "y", "z", "g", "h"}


@pytest.mark.parametrize(
    "flood",
    [
        "while True: os.write(fd, b'x' * 65536)",  # a message without end
        "while True: os.write(fd, b'{}\\n' * 1000)",  # messages without end
        "os.write(fd, b'[' * 10**6 + b'\\n')",  # deeper than Python can read
        "os.write(fd, b'not json\\n')",
        "os.write(fd, b'{\"names\": {}}\\n')",  # no such answer
    ],
)
def test_nonsense_in_the_pipe_costs_the_cell_only(run, flood, capsys):
    find = "fd = max(f for f in range(30) if os.path.exists(f'/proc/self/fd/{f}') and 'pipe' in os.readlink("
    run(f"{find}f'/proc/self/fd/{{f}}'))\n{flood}", capsys)
    run.worker.stop()
    run.worker.cells, run.worker.starts = run.worker.cells[:1], 0  # else the flood comes again with a new process
    run("after = 1 + 1", capsys)
    assert run.space.pop("after") == 2


def test_a_tensor_that_lies_about_itself_is_an_error_not_an_answer(supervisor):
    wire = importlib.import_module("wire")
    for lie in (
        ["float32", [2, 2], "AAAA"],
        ["complex", [1], ""],
        ["float32", [10**12], ""],
    ):
        with pytest.raises((ValueError, RuntimeError, KeyError)):
            wire.decode(["tensor", lie])
    assert wire.decode(wire.encode(torch.eye(2))).equal(torch.eye(2))
