"""Sorts what was downloaded from Moodle or Canvas: who handed in what is read from the files' names.

Moodle:  Ada Lovelace_1234567_assignsubmission_file/ps2_decoding.ipynb      (or without folders, `…_file_ps2_…`)
Canvas:  lovelaceada_12345_678901_ps2_decoding.ipynb      (`_LATE_` after the name, `-1` at the end of a later attempt)

The student is the number: Moodle's participant number, Canvas's ID. `lms.py` writes grades for the same numbers.
`python -m gpt2lessons collect ps2_decoding` runs `nbgrader zip_collect`, which asks `DownloadedNames` for each file.
"""

import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

from nbgrader.plugins import FileNameCollectorPlugin

from gpt2lessons.grading.names import is_copy

MOODLE = re.compile(r".*[/\\][^/\\]*_(?P<student_id>\d+)_assignsubmission_file_?[/\\]?(?P<file_id>[^/\\]+)\.ipynb")
CANVAS = re.compile(r".*[/\\][^/\\]+_(?P<student_id>\d+)_\d+_(?P<file_id>[^/\\]+?)(-\d+)?\.ipynb")


class DownloadedNames(FileNameCollectorPlugin):
    """Takes student and notebook from a file's name; of two files with the same ones the newer counts."""

    def collect(self, submitted_file):
        """Return {"student_id": …, "file_id": …, "timestamp": …}, None if the file is no notebook of that kind."""
        found = MOODLE.fullmatch(submitted_file) or CANVAS.fullmatch(submitted_file)
        if found is None:
            return None
        found = found.groupdict()
        assignment = self.parent.coursedir.assignment_id if self.parent else found["file_id"]
        if found["file_id"] != assignment and is_copy(found["file_id"], assignment):
            self.log.warning("%s: taken as %s", submitted_file, assignment)
            found["file_id"] = assignment
        # nbgrader stops everything at two files of the same name that have no time
        time = datetime.datetime.fromtimestamp(os.path.getmtime(submitted_file), datetime.UTC)
        return {**found, "timestamp": time.strftime("%Y-%m-%d %H:%M:%S.%f")}


def run(assignment, force=False):
    """Collect what lies in downloaded/ASSIGNMENT/archive of the present folder; return the exit code.

    Raises `ValueError` where nothing lies there.
    """
    archive = Path.cwd() / "downloaded" / assignment / "archive"
    if re.search(r"[/\\]|^\.*$", assignment) or not (archive.is_dir() and any(archive.iterdir())):
        raise ValueError(f"there is nothing in {archive}: put there what you downloaded for {assignment!r}")
    command = [sys.executable, "-m", "nbgrader", "zip_collect", assignment, *["--force"] * force]
    return subprocess.run(command, check=False).returncode
