"""What a student's process can do while it is graded, and what it cannot: the sandbox, the worker, the supervisor."""

import html
import os
import re
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from test_sets import COURSEWORK

import gpt2lessons
from gpt2lessons.grading import isolation, sandbox, supervisor
from gpt2lessons.grading.inside import wire

pytestmark = pytest.mark.slow  # each of a hundred tests starts a process that imports torch

SOURCE = str(COURSEWORK / "source" / "ps2_decoding" / "ps2_decoding.ipynb")
MODEL = """
import torch
import gpt2lessons as gl
lm = gl.load("gpt2-mini")
"""
GIVEN = """
import ctypes, mmap, os, socket, subprocess, tempfile, threading, time
import torch
CLASS = {"seed": 1}
libc = ctypes.CDLL(None, use_errno=True)
"""


@pytest.fixture(scope="module")
def start(sandboxed, tmp_path_factory):
    """Start a student's process; return a function that runs a cell there and returns what it printed."""
    workers = []

    def start(given="", **limits):
        folder = tmp_path_factory.mktemp("submission")
        (folder / "data.txt").write_text("my data", "utf8")
        space = {}
        settings = {"memory_mb": 2000, "seconds": 100, **limits}
        worker = supervisor.Worker(space, folder, ["REPORT", "CLASS"], **settings)
        space["_isolation_worker"] = worker  # as in the grading kernel
        worker.given(given + GIVEN)
        workers.append(worker)

        def run(source, capsys):
            worker.student(source)
            return capsys.readouterr().out

        run.worker, run.space, run.folder = worker, space, folder
        return run

    yield start
    for worker in workers:
        worker.close()


@pytest.fixture(scope="module")
def run(start):
    """One process for all tests that leave it as it was. Its memory ends at 2 GB."""
    return start(MODEL)


def test_honest_work_runs_in_the_sandbox(run, capsys):
    said = run("print(lm.encode('hello').shape[0], torch.ones(300, 300).mm(torch.ones(300, 300)).sum().item())", capsys)
    assert said.split() == ["1", str(300.0**3)]
    assert run("print(open('data.txt').read())", capsys).strip() == "my data"
    assert run("t = threading.Thread(target=lambda: print('thread')); t.start(); t.join()", capsys).strip() == "thread"
    run("import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.savefig('mine.png')", capsys)
    assert run("print(os.path.getsize('mine.png') > 1000)", capsys).strip() == "True"
    assert not (run.folder / "mine.png").exists()  # it works on a copy
    assert run("with tempfile.TemporaryFile() as f: print(f.write(b'abc'))", capsys).strip() == "3"


# what it names is not there, not to be changed, not to be reached; `done` would be printed if it were
PYTHON = {
    "the sources": f"open({SOURCE!r}).read()",
    "the sources, by a relative path": f"open(os.path.relpath({SOURCE!r})).read()",
    "the folder of the course": f"os.listdir({str(COURSEWORK)!r})",
    "answers in the tests": f"open({str(Path(__file__).parent / 'answers' / 'ps2_decoding.py')!r}).read()",
    "the home folder": f"os.listdir({str(Path.home() / '.cache')!r})",
    "the gradebook": f"__import__('sqlite3').connect({str(COURSEWORK / 'gradebook.db')!r})",
    "the reports of a class": "from gpt2lessons.grading import reports",
    "a package for those who come later": f"open({gpt2lessons.__file__!r}, 'a')",
    "a file of the system": "open('/etc/gpt2lessons', 'w')",
    "passwords": "open('/etc/shadow').read()",
    "shared memory": "open('/dev/shm/gpt2lessons', 'w')",
    "a file at the top": "open('/gpt2lessons', 'w')",
    "the folder with what lies inside": f"open({str(sandbox.INSIDE / 'x')!r}, 'w')",
    "a program": "subprocess.run(['ls'])",
    "the shell": "assert os.system('ls') == 0",
    "a copy of itself": "os.fork()",
    "a signal to the grader": f"os.kill({os.getpid()}, 0)",
    "the time of the grader": f"__import__('resource').prlimit({os.getpid()}, 0, (0, 0))",
    "a connection to this machine": "socket.create_connection(('127.0.0.1', 9))",
    "a connection abroad": "socket.create_connection(('192.0.2.1', 80), timeout=5)",
    "more rights": "os.setuid(0)",
    "the host of a virtual machine": "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).connect((2, 1024))",
    "the kernel's ciphers": "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
    "packets as they are": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "a name server": "socket.getaddrinfo('example.org', 80)",
}


@pytest.mark.parametrize("what", PYTHON)
def test_python_code_cannot_reach(run, what, capsys):
    said = run(f"{PYTHON[what]}\nprint('done')", capsys)
    assert "done" not in said.splitlines()
    assert re.search(r"^(PermissionError|FileNotFoundError|OSError|ProcessLookupError|ConnectionRefusedError|gaierror|"
                     r"AssertionError|ImportError|ModuleNotFoundError|OperationalError)", said, re.M)  # fmt: skip


BELOW_PYTHON = {
    "read the sources": f"libc.open({SOURCE.encode()!r}, 0)",
    "make a file elsewhere": "libc.open(b'/tmp/gpt2lessons-was-here', 0o102, 0o600)",
    "change a file's mode": f"libc.chmod({gpt2lessons.__file__.encode()!r}, 0o777)",
    "change a file's owner": f"libc.chown({gpt2lessons.__file__.encode()!r}, os.getuid(), os.getgid())",
    "change a file's attributes": f"libc.setxattr({gpt2lessons.__file__.encode()!r}, b'user.x', b'1', 1, 0)",
    "change a file's time": f"libc.utimes({gpt2lessons.__file__.encode()!r}, None)",
    "change the system's library": "libc.chmod(libc_path, 0o777)",
    "link to the sources": f"libc.link({SOURCE.encode()!r}, b'link')",
    "fork": "libc.fork()",
    "fork by another name": "libc.vfork()",
    "signal the grader": f"libc.kill({os.getpid()}, 0)",
    "trace the grader": f"libc.ptrace(16, {os.getpid()}, 0, 0)",
    "mount": "libc.mount(b'none', b'/mnt', b'tmpfs', 0, 0)",
    "make a user namespace": "libc.unshare(0x10000000)",
    "enter another namespace": "libc.setns(os.open('/proc/1/ns/net', 0) if os.access('/proc/1/ns/net', 4) else 0, 0)",
    "make System V's shared memory": "libc.shmget(1234, 4096, 0o1600)",
    "make a queue of System V's": "libc.msgget(1234, 0o1600)",
    "make a semaphore of System V's": "libc.semget(1234, 1, 0o1600)",
    "make a file in nobody's memory": "libc.memfd_create(b'x', 0)",
    "make a process with a clean slate": "libc.syscall(435, 0, 0)",
}


@pytest.mark.parametrize("what", BELOW_PYTHON)
def test_code_below_python_cannot(run, what, capsys):
    find = "libc_path = next(w.split()[-1] for w in open('/proc/self/maps') if 'libc.so' in w).encode()\n"
    assert run(f"{find}print({BELOW_PYTHON[what]})", capsys).strip() == "-1"


def test_sockets_of_the_kinds_that_a_network_namespace_holds_are_all_there_are(run, capsys):
    """VSOCK leads from a virtual machine to its host, whatever namespaces there are between."""
    tries = (
        "import itertools\nmade = set()\nfor family, kind in itertools.product(range(64), (1, 2, 3, 5)):\n"
        "    for flags in (0, socket.SOCK_CLOEXEC):\n"
        "        s = libc.socket(family, kind | flags, 0)\n"
        "        made |= {family} if s >= 0 else set()\n        _ = s < 0 or os.close(s)\nprint(*sorted(made))"
    )
    made = set(map(int, run(tries, capsys).split()))
    assert 1 in made, "Python's own pairs of sockets should work"
    assert made <= set(sandbox.FAMILIES)


def test_torch_reads_no_file_past_python(run, capsys):
    said = run(f"torch.from_file({SOURCE!r}, size=10, dtype=torch.uint8)\nprint('done')", capsys)
    assert "No such file" in said
    assert "done" not in said.splitlines()


def test_nothing_of_others_is_visible(run, capsys, monkeypatch):
    """Neither other processes, nor the environment, nor the names of those who are graded."""
    said = run("print(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))", capsys)
    assert said.strip() == "[1, 2]"  # bubblewrap's own and this one
    run("everything = [open(f'/proc/{p}/{f}', 'rb').read() for p in (1, 2, 'self') for f in ('cmdline', 'environ')"
        " if os.access(f'/proc/{p}/{f}', 4)] + [open('/proc/self/mountinfo', 'rb').read()]", capsys)  # fmt: skip
    seen = run("print(b' '.join(everything).decode(errors='replace'), os.environ)", capsys)
    assert str(run.folder) not in seen
    assert str(COURSEWORK) not in seen
    names = run("print(*os.environ)", capsys).split()
    assert set(names) & set(os.environ) <= {*sandbox.ENVIRONMENT, "PYTHONPATH", "TMPDIR", "IPYTHONDIR", "PWD"} | {
        "CUDA_VISIBLE_DEVICES", "CUDA_MODULE_LOADING", "TORCHINDUCTOR_CACHE_DIR", "PYTORCH_NVML_BASED_CUDA_CHECK",
        "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "MPLBACKEND", "TRITON_CACHE_DIR",
    }  # fmt: skip


@pytest.mark.parametrize("asked", ["bytearray(10 << 30)", "mmap.mmap(-1, 10 << 30)", "torch.ones(10 << 30)"])
def test_ten_gigabytes_are_refused_and_the_process_lives(run, asked, capsys):
    said = run(f"_ = {asked}\nprint('done')", capsys)
    assert re.search("MemoryError|Cannot allocate memory|not enough memory|can't allocate memory", said)
    assert run("print('alive')", capsys).strip() == "alive"


def test_the_disk_is_small(run, capsys):
    fill = "for n in range(50):\n    with open(f'fill{n}', 'wb') as f: f.write(bytes(10 << 20))"
    assert "No space left on device" in run(fill, capsys)
    assert (
        run(f"print(sum(os.path.getsize(n) for n in os.listdir() if 'fill' in n) <= {sandbox.DISK})", capsys)
        == "True\n"
    )
    assert "File too large" in run("with open('long', 'wb') as f: f.truncate(200 << 20)", capsys)
    run("[os.unlink(n) for n in os.listdir() if n.startswith(('fill', 'long'))]", capsys)


def test_empty_files_come_to_an_end(start, capsys):
    """They take no room, but each costs the kernel a kilobyte: three million fit into a folder of 200 MB."""
    run = start()
    said = run("for n in range(10**7):\n    with open(f'empty{n}', 'w'): pass", capsys)
    assert f"your code made more than {sandbox.MOST_FILES:,} files" in said
    assert run("print('data.txt' in os.listdir(), 'empty0' in os.listdir())", capsys) == "True False\n"
    many = "for n in range(2000):\n    with open(f'few{n}', 'w'): pass\nprint(sum('few' in n for n in os.listdir()))"
    assert run(many, capsys).strip() == "2000"


def test_a_thousand_of_the_files_beside_a_notebook_are_taken(tmp_path):
    for n in range(supervisor.MOST_FILES + 5):
        (tmp_path / f"{n:05}").touch()
    assert len(supervisor.handed_in(tmp_path)) == supervisor.MOST_FILES


def test_threads_come_to_an_end(run, capsys):
    many = (
        "stop, made = threading.Event(), 0\ntry:\n    for _ in range(1000):\n"
        "        threading.Thread(target=stop.wait).start(); made += 1\nfinally:\n    stop.set(); print('made', made)"
    )
    made = int(re.search(r"made (\d+)", run(many, capsys))[1])
    assert 10 < made < sandbox.THREADS


TRACE = f"gpt2lessons-{os.getpid()}-was-here"
PLACES = ["/tmp", "/var/tmp", "/dev/shm", "/run", str(Path.home()), str(COURSEWORK)]
KEY = os.getpid() + (1 << 24)
LEAVE = f"""
import contextlib
for place in {PLACES}:
    with contextlib.suppress(OSError), open(f"{{place}}/{TRACE}", "w") as file:
        file.write("x")
libc.shmget({KEY}, 1 << 20, 0o1600)
"""


def started_by(pid):
    """All processes below `pid`, and it; a sandbox's are seen from outside like any other."""
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def nothing_stays(processes):
    shared = [line.split()[0] for line in Path("/proc/sysvipc/shm").read_text("utf8").splitlines()[1:]]
    assert str(KEY) not in shared
    assert not [place for place in PLACES if (Path(place) / TRACE).exists()]
    # one that has ended, but whose end nobody has asked about, is none
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


STAYERS = {
    "a thread that sleeps on": "threading.Thread(target=time.sleep, args=(3600,)).start()",
    "a thread that works on": "threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start()",
    "a program in its place": "os.execv('/bin/sleep', ['sleep', '3600'])",
    "signals that it will not hear": "import signal\n[signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]",
    "a session of its own": "libc.setsid(); libc.daemon(1, 1)",
    "no end at all": "import atexit\natexit.register(time.sleep, 3600)",
    "the grader's own name": "_isolation_worker = supervisor = None",
}


@pytest.mark.parametrize("what", STAYERS)
def test_nothing_stays_when_grading_ends(start, capsys, what):
    run = start(seconds=3)
    run(LEAVE, capsys)
    processes = started_by(run.worker.process.pid)
    assert len(processes) >= 3  # bubblewrap outside, bubblewrap inside, the worker
    run(STAYERS[what], capsys)
    run.worker.close()
    assert nothing_stays(processes)


@pytest.mark.parametrize("blow", ["kill", "terminate"])
def test_nothing_stays_when_the_grader_is_killed(sandboxed, tmp_path, blow):
    """SIGKILL leaves it no time to clean up; the system does."""
    code = (
        f"from gpt2lessons.grading import supervisor\nw = supervisor.Worker({{}}, {str(tmp_path)!r})\n"
        "w.student('import time, threading\\nthreading.Thread(target=time.sleep, args=(3600,)).start()')\n"
        "print('ready', flush=True)\nw.student('while True: pass')"
    )
    grader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert grader.stdout.readline() == b"ready\n"
    processes = started_by(grader.pid)
    assert len(processes) >= 4
    getattr(grader, blow)()
    grader.wait()
    wait_until(lambda: nothing_stays(processes))


def test_a_question_has_its_own_time(start, capsys):
    run = start(seconds=2)
    run("def slow():\n    while True: pass\ndef quick(): return 7", capsys)
    for _ in range(2):
        run.worker.question()
        with pytest.raises(TimeoutError, match="2 s of processor time"):
            run.space["slow"]()
        run.worker.question()
        assert run.space["quick"]() == 7


def test_time_of_a_question_adds_up_and_sleeping_costs_none(start, capsys):
    run = start(seconds=1.5, patience=20)
    run("def busy(s):\n    end = time.process_time() + s\n    while time.process_time() < end: pass\n"
        "def idle(): time.sleep(2.5)", capsys)  # fmt: skip
    run.worker.question()
    run.space["idle"]()
    run.space["busy"](1)
    with pytest.raises(TimeoutError):
        run.space["busy"](1)
    run.worker.question()
    run.space["busy"](1)


def test_endless_loops_cost_what_the_guide_says(start, capsys):
    """A loop in each of many places: their own time each, and ten times that for the whole notebook."""
    run = start(seconds=1, patience=20)
    run("def fine(): return 7\ndef endless():\n    while True: pass", capsys)
    for _ in range(2):
        run.worker.question()
        before = run.worker.whole_left
        with pytest.raises(TimeoutError, match="did not answer within 1 s of processor time"):
            run.space["endless"]()
        assert before - run.worker.whole_left > 0.9  # and the process that starts anew is free
    assert run.worker.whole_left > 5
    said = "".join(run("while True: pass", capsys) for _ in range(12))
    assert "your notebook has used all its time, 10 s of processor time (300 s by the clock)" in said
    assert run.worker.process is None
    starts = run.worker.starts
    run.worker.question()
    with pytest.raises(TimeoutError, match="nothing more of it is run"):
        run.space["fine"]()
    assert run.worker.process is None
    assert starts <= supervisor.STARTS


def test_what_runs_again_with_a_new_process_is_counted(start, capsys):
    """Else a slow cell and a few loops would cost many times what they may."""
    run = start(seconds=1, patience=20)
    run("end = time.process_time() + 0.7\nwhile time.process_time() < end: pass\ndef fine(): return 7", capsys)
    left = run.worker.whole_left
    run.worker.stop()
    run.worker.question()
    assert run.space["fine"]() == 7
    assert left - run.worker.whole_left > 0.6
    assert run.worker.processor_left > 0.5  # but not to the question that came next


def test_the_clock_is_a_far_bound_that_patience_moves(start, capsys):
    run = start(seconds=0.8, patience=0.5)
    run("def idle(s): time.sleep(s)", capsys)
    run.worker.question()
    run.worker.clock_left = 1.0
    with pytest.raises(TimeoutError, match="2 s by the clock"):
        run.space["idle"](60)
    run.worker.patience = 20
    run.worker.question()
    run.space["idle"](1.5)


def test_a_full_memory_costs_its_own_cell_only(start, capsys):
    run = start(memory_mb=500)
    assert "MemoryError" in run("results = []\nwhile True: results.append(1)", capsys)
    run(
        "big = torch.ones(20_000_000); answer = int(big.sum())\ndef eat():\n    kept.append(bytearray(10 << 30))",
        capsys,
    )
    assert run.space["answer"] == 20_000_000
    starts = run.worker.starts
    run("kept = []\ndef eat():\n    while True: kept.append(bytearray(1 << 20))\ndef fine(): return len(kept)", capsys)
    with pytest.raises(MemoryError):
        run.space["eat"]()
    assert run.space["fine"]() == 0
    assert run.worker.starts == starts + 1


def test_what_a_student_writes_is_shown_without_scripts():
    attack = (
        '<script>x</script><img src=x onerror="x"><iframe></iframe><a href="javascript:x">a</a><p onclick="x">b</p>'
    )
    shown = isolation.safe_html(attack)
    assert not re.search(r"<(script|img|iframe)|javascript|<p [^>]*onclick", shown)
    kept = (
        '<h2 id="a">T</h2>\n<p>a &lt; b <em>c</em> <code>d</code></p><table><thead><tr><th>e</th></tr></thead></table>'
    )
    assert isolation.safe_html(kept) == kept


@pytest.mark.parametrize(
    "spelling", [r"\href", r"\&#104;ref", r"&#92;href", r"&bsol;h&#x72;ef", r"\h<!-- -->ref", r"\h<b></b>ref"]
)
def test_a_formula_holds_no_link(spelling):
    shown = html.unescape(isolation.safe_html(f"<p>${spelling}{{https://example.org}}{{look}}$</p>"))
    assert r"\href" not in shown
    assert "href" in shown.replace("<b></b>", "")  # shown, as letters
    assert isolation.safe_html("<p>$\\frac{a}{b}$</p>") == "<p>$\\frac{a}{b}$</p>"


@pytest.mark.parametrize("address", ["evil.html", "https://example.org/?a=1&b=2", "//example.org", "mailto:a@b"])
def test_links_are_text(address):
    shown = isolation.safe_html(f'<p><a href="{address}" title="t">look</a> here</p>'.replace("&", "&amp;"))
    assert "href" not in shown
    assert shown == f"<p><a>look ({address})</a> here</p>".replace("&", "&amp;")


def test_links_to_headings_stay():
    kept = '<h2 id="top">T<a class="anchor-link" href="#top">¶</a></h2>'
    assert isolation.safe_html(kept) == kept


def test_a_long_value_costs_nothing(run, capsys):
    run("data, answer = list(range(300_000)), 7\nloop = []; loop.append(loop)", capsys)
    assert run.space["answer"] == 7
    assert type(run.space["data"]).__name__ == "Opaque"
    assert type(run.space["loop"]).__name__ == "Opaque"


def test_too_much_at_once_is_an_error_that_says_so(run, capsys):
    run("def much(): return 'x' * (20 << 20)\ndef little(): return 'x'", capsys)
    with pytest.raises(ValueError, match="more than 16 MB at once"):
        run.space["much"]()
    assert run.space["little"]() == "x"


def test_names_of_given_cells_and_of_tests_stay_theirs(run, capsys):
    run("REPORT, CLASS, mine = {1: ('easy', 0)}, {'seed': 0}, 5", capsys)
    assert run.space["mine"] == 5
    assert not {"REPORT", "CLASS"} & set(run.space)
    names = supervisor.names_of("import a.b, c as d\nfrom e import f\nx, (y, z) = 1, (2, 3)\ndef g(): h = 1")
    assert names == {"a", "d", "f", "x", "y", "z", "g", "h"}


FIND = (  # the descriptor by which the worker answers
    "fd = max(f for f in range(30) if os.path.exists(f'/proc/self/fd/{f}')"
    " and 'pipe' in os.readlink(f'/proc/self/fd/{f}'))\n"
)


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
    run.worker.seconds, seconds = 2, run.worker.seconds
    run(f"{FIND}{flood}", capsys)
    run.worker.seconds = seconds
    run.worker.stop()
    run.worker.cells, run.worker.starts = run.worker.cells[:1], 0  # else the flood comes again with a new process
    run("after = 1 + 1", capsys)
    assert run.space.pop("after") == 2


def test_a_forged_reply_defines_nothing_that_is_the_graders(start, capsys):
    run = start()
    forged = (
        "import json\nreply = {'shown': 'forged' * 10**5, 'names': {n: ['plain', 1] for n in "
        "('_isolation_worker', '__builtins__', 'print', 'CLASS', 'taken', 'open')}}\n"
    )
    for number in range(2, 5):  # the first question was what is given
        reply = f"reply['n'] = {number}; os.write(fd, json.dumps(reply).encode() + b'\\n')"
        said = run(f"{FIND}{forged}{reply}", capsys)
        assert said.startswith("forged") or said.endswith("forged")
        assert len(said) == wire.SHOWN
    assert run.space["taken"] == 1  # so it was read
    assert run.space["_isolation_worker"] is run.worker
    assert not {"print", "CLASS", "open", "__builtins__"} & set(run.space)
    assert run("print('it still answers')", capsys) == "it still answers\n"


def test_a_reply_that_comes_late_or_early_is_no_answer_to_another_question(start, capsys):
    run = start()
    stale = {"value": ["plain", "forged"], "after": []}
    run("def right(): return 'right'", capsys)
    run(f"{FIND}import json\nos.write(fd, b''.join(json.dumps({{'n': n, **{stale}}}).encode() + b'\\n'"
        " for n in (1, 2, 999)))", capsys)  # fmt: skip
    assert [run.space["right"]() for _ in range(3)] == ["right"] * 3


def test_a_tensor_that_lies_about_itself_is_an_error_not_an_answer():
    for lie in (
        ["float32", [2, 2], "AAAA"],
        ["complex", [1], ""],
        ["float32", [10**12], ""],
        ["load", [1], "AAAA"],
    ):
        with pytest.raises((ValueError, RuntimeError, KeyError)):
            wire.decode(["tensor", lie])
    assert wire.decode(wire.encode(torch.eye(2))).equal(torch.eye(2))


def test_a_course_inside_pythons_own_folder_is_refused():
    inside = Path(sys.prefix) / "course" / "submitted"
    assert "students' code has to read: move it" in sandbox.problem("bubblewrap", inside)
    assert not any(COURSEWORK.is_relative_to(path) for path in sandbox.readable())


def test_without_a_sandbox_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "apt-get install bubblewrap" in sandbox.problem("bubblewrap")
    assert "--trust-students" in sandbox.problem("bubblewrap")
    assert "docker is not installed" in sandbox.problem("container")
    assert sandbox.problem("none") == ""
    assert "one of bubblewrap, container, none" in sandbox.problem("chroot")


def test_a_trusted_students_code_runs_without_a_sandbox_and_leaves_nothing(tmp_path, capsys):
    (tmp_path / "data.txt").write_text("my data", "utf8")
    space = {}
    worker = supervisor.Worker(space, tmp_path, kind="none", seconds=60)
    worker.student("import os\ndef double(x): return 2 * x\nprint(open('data.txt').read())")
    assert capsys.readouterr().out == "my data\n"
    assert space["double"](4) == 8
    worker.student("scratch = os.getcwd()")
    processes = started_by(worker.process.pid)
    worker.close()
    assert not Path(space["scratch"]).exists()
    wait_until(lambda: nothing_stays(processes))


FAKE_CLIENT = """#!{python}
import os, subprocess, sys
from pathlib import Path
arguments = sys.argv[1:]
with open({log!r}, "a", encoding="utf8") as file:
    print(*arguments, file=file)
if arguments[0] == "run":
    command = arguments[arguments.index({image!r}) + 1 :]
    command = command[command.index("python") + 1 :]
    command[0] = command[0].replace("/inside", {inside!r})
    os.execv({python!r}, [{python!r}, *command])
"""


def test_a_container_gets_no_network_little_memory_and_is_ended(tmp_path, capsys, monkeypatch):
    """With a client that writes down what it is asked and runs the worker itself."""
    log, client = tmp_path / "log", tmp_path / "bin" / "docker"
    client.parent.mkdir()
    inside = str(sandbox.INSIDE)
    client.write_text(
        FAKE_CLIENT.format(python=sys.executable, log=str(log), image=sandbox.IMAGE, inside=inside), "utf8"
    )
    client.chmod(client.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{client.parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    assert sandbox.problem("container") == ""
    space = {}
    worker = supervisor.Worker(space, COURSEWORK, kind="container", memory_mb=1234, seconds=20)
    worker.student("def double(x): return 2 * x")
    assert space["double"](4) == 8
    worker.stop()
    asked = log.read_text("utf8").splitlines()
    run = next(line for line in asked if f"{sandbox.IMAGE} timeout -s KILL {sandbox.MINUTES}m python /inside" in line)
    walls = ["--network=none", "--read-only", "--cap-drop=ALL", "--user=65534:65534", "--memory=1234m", "--rm"]
    walls += ["--security-opt=no-new-privileges", f"--pids-limit={sandbox.THREADS}", f"size={sandbox.DISK}"]
    assert [wall for wall in walls if wall not in run] == []
    assert "volume" not in run
    name = re.search(r"--name=(\S+)", run)[1]
    assert f"kill {name}" in asked


def test_a_real_container_holds_the_same(capsys, tmp_path):
    if problem := sandbox.problem("container"):
        pytest.skip(problem)
    worker = supervisor.Worker({}, tmp_path, kind="container", seconds=30)
    worker.student("import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=5)")
    assert "OSError" in capsys.readouterr().out
    worker.close()


def test_two_graders_at_a_time_do_not_meet(start, capsys):
    """Each in a thread of its own, as two jobs are."""
    runs, said = [start(), start()], {}

    def work(n):
        runs[n].worker.student(
            f"import os\nopen('mine', 'w').write('{n}')\nvalue = (os.listdir(), open('mine').read())"
        )
        said[n] = runs[n].space["value"]

    threads = [threading.Thread(target=work, args=(n,)) for n in (0, 1)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert [said[n][1] for n in (0, 1)] == ["0", "1"]
