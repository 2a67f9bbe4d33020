"""Shuts a student's process in, before it runs a student's line: what it may read and write, start and reach.

`close(folder)` is called by `worker.py`. Afterwards the process reads Python, the installed packages, the system's
libraries and `folder`; it writes in `folder` and nowhere else; it starts no process, signals none but itself, and opens
no connection. So it sees neither the sources with their solutions, nor the gradebook, nor other students'
work, and it cannot change a package for those who are graded after it.

There are two walls. The outer one is Linux's own: Landlock for files (5.13 and later) and seccomp for the rest (x86-64
and ARM); it holds for any code. The inner one is Python's audit hook, on every system; it explains itself to honest
students, and stops what is written in Python, but not somebody who calls the system past Python. `outer()` says
which of Linux's walls stand.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
SYSTEM = ["/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo"]
SYSTEM += ["/etc", "/proc", "/sys", "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/System", "/Library"]
FORBIDDEN = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile", "pty.")
FORBIDDEN += ("socket.connect", "socket.bind", "socket.sendto", "os.symlink", "os.link", "os.killpg", "sqlite3.connect")
LISTING = ("os.listdir", "os.scandir", "os.chdir")
CHANGING = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.chown", "os.utime")


def close(folder):
    """Build both walls; return the outer ones that stand, a list of names."""
    reading = [folder, *readable()]
    sys.addaudithook(_hook(_roots(reading), _roots([folder, os.devnull])))
    return outer(reading, [folder, "/dev/null"])


def readable():
    """Return the folders that a student's code needs to read to run at all."""
    package = find_spec("gpt2lessons")
    found = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, *(package.submodule_search_locations or [])]
    found.append(os.path.expanduser("~/.cache/matplotlib"))  # its list of fonts, which takes long to make anew
    if os.name == "nt":
        found.append(os.environ.get("SYSTEMROOT", r"C:\Windows"))
    # a folder that contains this one would open what is to be closed
    whole = [os.path.realpath(p) for p in filter(None, found)]
    return SYSTEM + [p for p in whole if os.path.isdir(p) and not HERE.is_relative_to(p)]


def _roots(paths):
    return tuple(os.path.realpath(p) for p in paths)


def _hook(reading, writing):
    below = {False: reading, True: writing}

    def allowed(path, write):
        if isinstance(path, int) or path is None:  # something open already, or the present folder
            return True
        path = os.path.realpath(os.fsdecode(path))
        return any(path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in below[write])

    def hook(event, args):
        if event == "open":
            path, mode, flags = args
            write = (
                flags & (os.O_WRONLY | os.O_RDWR) if isinstance(flags, int) else bool(set(mode or "r") & set("wax+"))
            )
            if not allowed(path, bool(write)):
                raise PermissionError(f"{'writing' if write else 'reading'} {path!r} is not possible during grading")
        elif event in LISTING and not allowed(args[0] if args else None, False):
            raise PermissionError(f"looking into {args[0]!r} is not possible during grading")
        elif event in CHANGING and not allowed(args[0], True):
            raise PermissionError(f"changing {args[0]!r} is not possible during grading")
        elif event.startswith(FORBIDDEN) or (event == "os.kill" and args[0] != os.getpid()):
            raise PermissionError(f"{event} is not possible during grading")

    return hook


def outer(reading=(), writing=()):
    """Build Linux's walls around this process; return the names of those that stand."""
    if not sys.platform.startswith("linux"):
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS: no way back by a program that has more rights
        return []
    walls = {"landlock": lambda: _landlock(libc, reading, writing), "seccomp": lambda: _seccomp(libc)}
    return [name for name, build in walls.items() if build()]


def _landlock(libc, reading, writing):
    """Allow reading and writing below the given paths only (Linux's include/uapi/linux/landlock.h)."""
    version = libc.syscall(444, None, 0, 1)
    if version < 1:
        return False
    every = (1 << (13 if version == 1 else 14 if version == 2 else 15)) - 1  # the rights that this Linux knows
    read, of_file = 0b1100, 0b110 | (1 << 14 if version > 2 else 0)  # read file and folder; what a file can have
    rules = libc.syscall(444, struct.pack("Q", every), 8, 0)
    for path, rights in [*((p, read) for p in reading), *((p, every & ~1) for p in writing)]:
        if not os.path.exists(path):
            continue
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights &= every if os.path.isdir(path) else of_file
        libc.syscall(445, rules, 1, struct.pack("=Qi", rights, handle), 0)
        os.close(handle)
    done = libc.syscall(446, rules, 0) == 0
    os.close(rules)
    return done


# numbers of system calls on x86-64 and on ARM: never, and only with a certain first argument
MACHINES = {
    "x86_64": (0xC000003E, [41, 57, 58, 59, 101, 112, 129, 200, 297, 310, 311, 322, 424, 425], (56, 435, [62, 234])),
    "aarch64": (0xC00000B7, [198, 221, 117, 157, 138, 130, 240, 270, 271, 281, 424, 425], (220, 435, [129, 131])),
}


def _seccomp(libc):
    """Refuse sockets, new processes and programs, tracing, and signals to others; threads stay possible."""
    if platform.machine() not in MACHINES or sys.maxsize < 2**32:
        return False
    machine, never, (clone, clone3, signals) = MACHINES[platform.machine()]
    load, is_equal, has_bit, at_least, give = 0x20, 0x15, 0x45, 0x35, 0x06
    refuse, unknown, allow = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS, 0x7FFF0000

    def only_if(number, test, value):
        return [
            (is_equal, 0, 4, number),
            (load, 0, 0, 16),
            (test, 1, 0, value),
            (give, 0, 0, refuse),
            (give, 0, 0, allow),
        ]

    steps = [(load, 0, 0, 4), (is_equal, 1, 0, machine), (give, 0, 0, refuse), (load, 0, 0, 0)]
    steps += [(at_least, 0, 1, 0x40000000), (give, 0, 0, refuse)]  # x86-64's second set of numbers
    for number in never:
        steps += [(is_equal, 0, 1, number), (give, 0, 0, refuse)]
    steps += [(is_equal, 0, 1, clone3), (give, 0, 0, unknown)]  # its flags cannot be seen; libraries fall back to clone
    steps += only_if(clone, has_bit, 0x10000)  # CLONE_THREAD
    for number in signals:
        steps += only_if(number, is_equal, os.getpid())
    steps.append((give, 0, 0, allow))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    number = {"x86_64": 317, "aarch64": 277}[platform.machine()]
    return libc.syscall(number, 1, 1, program) == 0  # for all threads of this process
