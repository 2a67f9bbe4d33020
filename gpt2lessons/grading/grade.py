"""Grades the submissions of an assignment, each in a process of its own, several at a time.

    python grade.py ps2_decoding [--jobs 4] [--minutes 10] [--force] [--student NAME …]

`nbgrader autograde ps2_decoding` grades a whole class in one process: a notebook that nbgrader cannot read then stops
the grading of all who come after it. Here it costs its own student only, and is named at the end. Submissions that are
graded already are left as they are, unless the file is newer or `--force` is given.
"""

import argparse
import glob
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent


def grade(assignment, student, minutes, force):
    """Run nbgrader for one student; return "" or what went wrong."""
    folder = HERE / "submitted" / student / assignment
    if not folder.is_dir():
        return f"nothing in {folder.relative_to(HERE)}"
    if any(path.is_symlink() for path in [folder, *folder.rglob("*")]):
        return "a link instead of a file was handed in; it could lead anywhere"
    notebook = folder / f"{assignment}.ipynb"
    if notebook.is_file() and b"BEGIN HIDDEN TESTS" in notebook.read_bytes():
        return "this is the teacher's source; how did the student come by it?"
    if set(student) & set("[]*?"):
        return "rename the folder: to nbgrader [ ] * ? are no part of a name"
    command = [sys.executable, "-m", "nbgrader", "autograde", assignment, f"--student={student}"]
    command += ["--force"] * (force or _is_newer(student, assignment))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    for attempt in range(5):
        process = subprocess.Popen(command, cwd=HERE, start_new_session=True, **pipes)
        try:
            log, _ = process.communicate(timeout=60 * minutes)
        except subprocess.TimeoutExpired:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            return f"not finished after {minutes:g} minutes"
        if process.returncode and "database is locked" in log:
            time.sleep(1 + attempt)  # somebody else was writing into the gradebook
            continue
        break
    if not notebook.is_file():
        return "no notebook with the assignment's name"
    if process.returncode == 0:
        return ""
    return (re.findall(r"^ *([\w.]*(?:Error|Exception): .*)", log, re.M) or ["nbgrader cannot read or run it"])[-1]


def _is_newer(student, assignment):
    """Whether the notebook was handed in after it was graded; nbgrader would know it from time stamps only."""
    handed_in, graded = (
        HERE / step / student / assignment / f"{assignment}.ipynb" for step in ("submitted", "autograded")
    )
    return handed_in.exists() and graded.exists() and handed_in.stat().st_mtime > graded.stat().st_mtime


def _unguarded():
    """Return a warning if the system does not hold a student's code in (`walls.py`)."""
    probe = [sys.executable, "-c", "import walls; print(*walls.outer())"]
    standing = subprocess.run(probe, cwd=HERE, capture_output=True, text=True).stdout.split()
    missing = {"landlock", "seccomp"} - set(standing)
    names = ", ".join(sorted(missing))
    return (
        f"note: here only Python shuts students' code in ({names} missing): README.md, What is safe\n" if names else ""
    )


def _used():
    """Return what the graded submissions cost, where the system tells (not on Windows)."""
    try:
        import resource
    except ImportError:
        return ""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return f", {used.ru_utime + used.ru_stime:.0f} s of processor time"


def main():
    """Grade whom the command line names, or everybody who handed in."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("assignment")
    parser.add_argument("--student", nargs="*")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--force", action="store_true")
    chosen = parser.parse_args()
    if chosen.jobs < 1:
        parser.error(f"--jobs is how many to grade at a time, at least 1, not {chosen.jobs}")
    folders = sorted((HERE / "submitted").glob(f"*/{glob.escape(chosen.assignment)}"))
    students = chosen.student or [folder.parent.name for folder in folders]
    if not students:
        known = ", ".join(sorted({path.name for path in (HERE / "submitted").glob("*/*")})) or "none at all"
        parser.error(
            f"no submission of {chosen.assignment!r} in {HERE / 'submitted'}; there are submissions of: {known}"
        )
    if not (HERE / "release" / chosen.assignment).is_dir():
        parser.error(f"first generate the assignment: nbgrader generate_assignment {chosen.assignment} --create")
    print(_unguarded(), end="")
    start = time.time()
    with ThreadPoolExecutor(chosen.jobs) as pool:
        found = list(pool.map(lambda s: grade(chosen.assignment, s, chosen.minutes, chosen.force), students))
    failed = {s: problem for s, problem in zip(students, found, strict=True) if problem}
    print(f"{len(students) - len(failed)} of {len(students)} graded in {time.time() - start:.0f} s{_used()}")
    for student, problem in failed.items():
        print(f"  not graded, 0 points so far: {student}: {problem}")


if __name__ == "__main__":
    main()
