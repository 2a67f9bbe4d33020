"""Where a student's code runs: in bubblewrap's sandbox, in a container, or, for students who are trusted, openly.

bubblewrap (https://github.com/containers/bubblewrap, a package of every Linux) gives the worker process, network,
IPC, user and file-system namespaces of its own. It sees Python, the installed packages and the system's libraries,
all read-only, and writes into one folder in memory of limited size. It dies with the process that started it.
Two things no namespace bounds: how many processes there are, and memory that belongs to none of them. A filter of
system calls, which bubblewrap loads, refuses both; so the limits of one process hold for all that is submitted.
"""

import contextlib
import ctypes
import errno
import os
import platform
import shutil
import signal
import site
import struct
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import psutil

INSIDE = Path(__file__).resolve().parent / "inside"
PACKAGE = INSIDE.parent.parent
KINDS = ("bubblewrap", "container", "none")
PACKAGES = ("site-packages", "dist-packages")
WORK = "/work-of-a-student"
DISK = 200 << 20  # bytes that a submission can write
MOST_FILES = 10_000  # and files, empty ones too: each takes a kilobyte of the kernel's memory
THREADS = 128
IMAGE = "gpt2lessons-grading"
MINUTES = 60  # after which a container ends by itself, whatever happens outside
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": WORK,
    "USER": "student",
    "LANG": "C.UTF-8",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "GPT2LESSONS_MODEL": "gpt2-mini",
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
INSTALL = (
    "Install bubblewrap on Linux (apt-get install bubblewrap, dnf install bubblewrap), or grade in a container "
    "(--sandbox container: see the guide). If you would run your students' code on your own account, say so: "
    "--trust-students."
)

BUILD = f"Build the image in the course's repository: docker build -t {IMAGE} -f gpt2lessons/grading/Dockerfile ."


def problem(kind, course=None):
    """Return why this kind of sandbox cannot be used here, "" if it can; `course` is the folder it must not show."""
    if kind not in KINDS:
        return f"a sandbox is one of {', '.join(KINDS)}, not {kind!r}"
    if kind == "none":
        return ""
    for path in readable() if kind == "bubblewrap" and course else ():
        if Path(course).resolve().is_relative_to(path):
            return f"the course lies in {path}, which students' code has to read: move it elsewhere"
    program = "bwrap" if kind == "bubblewrap" else _client()
    if shutil.which(program) is None:
        return f"{program} is not installed. {INSTALL}"
    test = ["-c", "import gpt2lessons"]
    probe = bubblewrap([sys.executable, *test]) if kind == "bubblewrap" else container(["python", *test], _name())
    done = subprocess.run(probe, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return ""
    said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0]
    return f"{program} does not work here: {said}. {BUILD if kind == 'container' else INSTALL}"


def start(kind, memory_mb):
    """Start a worker; return (process, function that ends it and whatever it started)."""
    program = ["worker.py", str(memory_mb), str(THREADS if kind == "bubblewrap" else 0)]
    if kind == "container":
        name = _name()
        return _container(container(["python", f"/inside/{program[0]}", *program[1:]], name, memory_mb), name)
    command = [sys.executable, str(INSIDE / program[0]), *program[1:]]
    return _bubblewrap(command) if kind == "bubblewrap" else _open(command)


def _popen(command, **more):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, **pipes, **more)


def end(process):
    """End a process that this one has started, and all that it has started; return when they are gone."""
    tree = []
    with contextlib.suppress(psutil.Error):
        tree = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in tree:
        with contextlib.suppress(psutil.Error):
            child.kill()
    process.wait()
    psutil.wait_procs(tree, timeout=10)


def _open(command):
    """The worker as an ordinary process, in a folder of its own that is removed."""
    scratch = tempfile.mkdtemp(prefix="student")
    process = _popen(command, cwd=scratch, start_new_session=True)

    def close():
        if hasattr(os, "killpg"):  # also those whose parent has ended
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        end(process)
        shutil.rmtree(scratch, ignore_errors=True)

    return process, close


def _container(command, name):
    process = _popen(command)

    def close():
        subprocess.run([_client(), "kill", name], capture_output=True, check=False)
        end(process)

    return process, close


def _bubblewrap(command):
    program = filter_of_calls()
    if program is None:
        process = _popen(bubblewrap(command))
    else:
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as file:
            file.write(program)
        process = _popen(bubblewrap(command, reading), pass_fds=[reading])
        os.close(reading)
    return process, lambda: end(process)


def files_made(process):
    """Return how many files there are in the folder of a process in bubblewrap's sandbox; 0 where it cannot be seen."""
    with contextlib.suppress(psutil.Error, OSError, IndexError):
        inside = psutil.Process(process.pid).children(recursive=True)[-1]
        found = os.statvfs(f"/proc/{inside.pid}/root{WORK}")
        return found.f_files - found.f_ffree
    return 0


def container(command, name, memory_mb=3000):
    """Return the command that runs `command` in a container of Docker's or Podman's."""
    limits = [f"--memory={memory_mb}m", f"--memory-swap={memory_mb}m", f"--pids-limit={THREADS}", "--cpus=1"]
    walls = ["--network=none", "--ipc=private", "--read-only", "--cap-drop=ALL", "--user=65534:65534"]
    walls += ["--security-opt=no-new-privileges", f"--tmpfs={WORK}:rw,mode=1777,size={DISK}", f"--workdir={WORK}"]
    variables = [f"--env={name}={value}" for name, value in ENVIRONMENT.items()]
    run = [_client(), "run", "--rm", "--interactive", "--init", f"--name={name}"]
    return [*run, *limits, *walls, *variables, IMAGE, "timeout", "-s", "KILL", f"{MINUTES}m", *command]


def _client():
    return "podman" if shutil.which("docker") is None and shutil.which("podman") else "docker"


def _name():
    return f"gpt2lessons-{uuid.uuid4().hex[:12]}"


def bubblewrap(command, calls=None):
    """Return the command that runs `command` in bubblewrap's sandbox; `calls` is a descriptor with the filter.

    As root, no user namespace is made: the limit on processes does not hold for root, so the command runs as a user
    that nobody is. Everybody else needs one, and is nobody else in it.
    """
    root = os.getuid() == 0
    run = ["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    run += ["--die-with-parent", "--new-session", "--clearenv", "--hostname", "sandbox"]
    if root:
        run += [word for name in ("SETUID", "SETGID", "SETPCAP") for word in ("--cap-add", f"CAP_{name}")]
        user = str(1_800_000_000 + os.getpid())
        rights = ["--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", *rights, *command]
    else:
        run += ["--unshare-user", "--cap-drop", "ALL"]
    for name, value in {**ENVIRONMENT, "PYTHONPATH": str(PACKAGE.parent)}.items():
        run += ["--setenv", name, value]
    run += _files()
    if calls is not None:
        run += ["--seccomp", str(calls)]
    return [*run, "--chdir", WORK, "--", *command]


def _files():
    """Return bubblewrap's options for what can be read, and for the one place that can be written."""
    mounts, made = [], set()
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/") / name
        if path.is_symlink():
            mounts += ["--symlink", os.readlink(path), str(path)]
    for path in readable():
        for parent in reversed(path.parents[:-1]):
            if parent not in made:
                mounts += ["--perms", "0755", "--dir", str(parent)]
                made.add(parent)
        mounts += ["--ro-bind", str(path), str(path)]
    for path in ("/etc/ld.so.cache", "/etc/alternatives", "/sys/devices/system/cpu"):
        mounts += ["--ro-bind-try", path, path]
    # of this room only what is inside: no reports of a class, no way of grading
    room, inside = str(INSIDE.parent), str(INSIDE)
    mounts += ["--size", "65536", "--perms", "0755", "--tmpfs", room]
    mounts += ["--perms", "0755", "--dir", inside, "--ro-bind", inside, inside, "--remount-ro", room]
    mounts += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    mounts += ["--size", str(DISK), "--perms", "1777", "--tmpfs", WORK, "--remount-ro", "/"]
    return mounts


def readable():
    """Return the folders that a student's code needs to read to run at all, outer ones first."""
    found = [Path("/usr"), Path("/nix"), *(Path("/") / name for name in ("lib", "lib32", "lib64"))]
    found += map(Path, [sys.prefix, sys.base_prefix, sys.exec_prefix, site.getusersitepackages()])
    found += [path for path in map(Path, sys.path) if path.name in PACKAGES]
    folders = {path.absolute() for path in found if path.is_dir() and not path.is_symlink()} | {PACKAGE}
    # the folder beside an editable package is the repository, with the sources of the problem sets
    kept, installed = [], set(PACKAGES) & set(PACKAGE.parts)
    for path in sorted(folders, key=lambda path: len(path.parts)):
        holds_repository = PACKAGE.is_relative_to(path) and not installed
        if not any(path.is_relative_to(outer) for outer in kept) and (path == PACKAGE or not holds_repository):
            kept.append(path)
    return kept


# numbers of system calls: fork, vfork, unshare, setns; shared memory, queues and semaphores of System V and POSIX;
# memfd_create, memfd_secret; io_uring_setup, userfaultfd, bpf, perf_event_open; keys. Then clone, clone3 and socket.
# UNIX, IPv4, IPv6, NETLINK: a network namespace holds these, but not VSOCK, which leads to a virtual machine's host
FAMILIES = (1, 2, 10, 16)
CALLS = {
    "x86_64": (
        0xC000003E,
        [57, 58, 272, 308, 29, 64, 68, 240, 319, 447, 425, 323, 321, 298, 248, 249, 250],
        (56, 435, 41),
    ),
    "aarch64": (
        0xC00000B7,
        [97, 268, 194, 190, 186, 180, 279, 447, 425, 282, 280, 241, 217, 218, 219],
        (220, 435, 198),
    ),
}


def filter_of_calls():
    """Return the filter as a program for the kernel (man 2 seccomp), None on a processor that it is not made for.

    It refuses new processes, but not new threads, memory that outlives or belongs to no process, and sockets of a kind
    that no network namespace bounds.
    """
    if platform.machine() not in CALLS or sys.maxsize < 2**32:
        return None
    machine, never, (clone, clone3, socket) = CALLS[platform.machine()]
    load, is_equal, has_bit, at_least, give = 0x20, 0x15, 0x45, 0x35, 0x06
    refuse, unknown, allow = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS, 0x7FFF0000
    thread = 0x10000  # CLONE_THREAD
    steps = [(load, 0, 0, 4), (is_equal, 1, 0, machine), (give, 0, 0, refuse), (load, 0, 0, 0)]
    steps += [(at_least, 0, 1, 0x40000000), (give, 0, 0, refuse)]  # x86-64's second set of numbers
    for number in never:
        steps += [(is_equal, 0, 1, number), (give, 0, 0, refuse)]
    # its flags cannot be seen; libraries fall back to clone
    steps += [(is_equal, 0, 1, clone3), (give, 0, 0, unknown)]
    families = [step for family in FAMILIES for step in ((is_equal, 0, 1, family), (give, 0, 0, allow))]
    steps += [(is_equal, 0, len(families) + 2, socket), (load, 0, 0, 16), *families, (give, 0, 0, refuse)]
    steps += [(is_equal, 0, 3, clone), (load, 0, 0, 16), (has_bit, 1, 0, thread), (give, 0, 0, refuse)]
    steps.append((give, 0, 0, allow))
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def die_with_parent():
    """Make the kernel end this process when the one that started it ends, in whatever way (Linux)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
