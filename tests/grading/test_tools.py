"""The teacher's own programs beside nbgrader: `grade.py`, `collect.py`, `lms.py`."""

import importlib
import os
import re
import shutil
import subprocess
import sys

import pytest
from test_sets import COURSEWORK
from test_coursework_isolation import LINUX

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install gpt2lessons[grading]")


@pytest.fixture
def program(monkeypatch):
    """A function that imports one of the programs."""
    monkeypatch.syspath_prepend(str(COURSEWORK))
    return importlib.import_module


NAMES = {
    "Ada Lovelace_1234567_assignsubmission_file/ps2_decoding.ipynb": ("1234567", "ps2_decoding"),
    "Ada_von Lovelace_1234567_assignsubmission_file_/ps2_decoding.ipynb": ("1234567", "ps2_decoding"),
    "Ada Lovelace_1234567_assignsubmission_file_ps2_decoding.ipynb": ("1234567", "ps2_decoding"),
    "Ada Lovelace_7_assignsubmission_file/homework (1).ipynb": ("7", "homework (1)"),
    "lovelaceada_12345_678901_ps2_decoding.ipynb": ("12345", "ps2_decoding"),
    "lovelaceada_LATE_12345_678901_ps2_decoding-2.ipynb": ("12345", "ps2_decoding"),
    "lovelaceada_12345_678901_ps1_architecture_and_tokens-11.ipynb": ("12345", "ps1_architecture_and_tokens"),
    "ps2_decoding.ipynb": None,
    "lovelaceada_12345_678901_ps2_decoding.pdf": None,
    "Ada Lovelace_1234567_assignsubmission_onlinetext/onlinetext.html": None,
}


@pytest.mark.parametrize("name", NAMES)
def test_student_and_notebook_are_read_from_the_name_of_a_downloaded_file(name, program, tmp_path):
    path = tmp_path / "extracted" / name
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    found = program("collect").DownloadedNames().collect(str(path))
    assert (found and (found["student_id"], found["file_id"])) == NAMES[name]
    if found:
        os.utime(path, (0, 1_700_000_000.25))
        later = program("collect").DownloadedNames().collect(str(path))
        assert later["timestamp"] == "2023-11-14 22:13:20.250000"


def grades(*students, assignment="ps2_decoding"):
    row = {"assignment": assignment, "max_score": "20.0", "last_name": "", "first_name": ""}
    return [row | {"student_id": s, "score": score} for s, score in students]


def test_worksheet_is_filled_in_and_otherwise_left_as_it_is(program):
    head = ["Identifier", "Full name", "Grade", "Last modified (grade)"]
    rows = [
        ["Participant 7", "Ada, A.", "", "-"],
        ["Participant 77", "Bo", "3", "Monday"],
        ["Participant 9", "Cy", "", "-"],
    ]
    found = grades(("7", "14.0"), ("9", "")) + grades(("77", "20.0"), assignment="ps1_architecture_and_tokens")
    filled = program("lms").rows("moodle", "ps2_decoding", found, [dict(zip(head, row, strict=True)) for row in rows])
    assert filled == [head, ["Participant 7", "Ada, A.", "14.0", "-"], rows[1], ["Participant 9", "Cy", 0, "-"]]


def test_students_stand_in_the_column_of_their_kind_of_id(program):
    rows = program("lms").rows
    assert rows("moodle", "ps2_decoding", grades(("ada", "14.0"))) == [["idnumber", "ps2_decoding"], ["ada", "14.0"]]
    by_id = rows("canvas", "ps2_decoding", grades(("77", "14.0")))
    by_login = rows("canvas-login", "ps2_decoding", grades(("ada", "")))
    assert by_id[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "ps2_decoding"]
    assert by_id[1][-1] == "20.0"
    assert by_id[2] == ["77", "77", "", "", "", "14.0"]
    assert by_login[2] == ["ada", "", "", "ada", "", 0]
    named = rows("canvas", "ps2_decoding", [grades(("77", "14.0"))[0] | {"last_name": "Love", "first_name": "A"}])
    assert named[2][0] == "Love, A"


def test_nothing_to_write_is_said(program):
    with pytest.raises(SystemExit, match="no grades for ps9"):
        program("lms").rows("moodle", "ps9", grades(("ada", "1")))
    with pytest.raises(SystemExit, match="Identifier and Grade"):
        program("lms").rows("moodle", "ps2_decoding", grades(("ada", "1")), [{"Nummer": "1"}])


def grade(folder, *arguments):
    done = subprocess.run([sys.executable, "grade.py", *arguments], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_grade_says_what_it_cannot_do(tmp_path):
    for name in ("grade.py", "walls.py"):
        shutil.copy(COURSEWORK / name, tmp_path)
    code, said = grade(tmp_path, "ps2_decoding")
    assert code == 2
    assert "no submission of 'ps2_decoding'" in said
    folder = tmp_path / "submitted" / "ada" / "ps2_decoding"
    folder.mkdir(parents=True)
    code, said = grade(tmp_path, "ps3_beam_search")
    assert code == 2
    assert "there are submissions of: ps2_decoding" in said
    assert "first generate" in grade(tmp_path, "ps2_decoding")[1]
    (tmp_path / "release" / "ps2_decoding").mkdir(parents=True)
    assert grade(tmp_path, "ps2_decoding", "--jobs", "0")[0] == 2
    (tmp_path / "submitted" / "a[1]" / "ps2_decoding").mkdir(parents=True)
    (folder / "ps2_decoding.ipynb").write_text("### BEGIN HIDDEN TESTS")
    code, said = grade(tmp_path, "ps2_decoding", "--student", "ada", "a[1]", "nobody")
    assert code == 0
    assert "0 of 3 graded" in said
    assert re.search("ada: this is the teacher's source", said)
    assert re.search(r"a\[1\]: rename the folder", said)
    assert re.search("nobody: nothing in", said)
    assert ("note: only Python" in said) is not LINUX
    (tmp_path / "walls.py").write_text("def outer():\n    return ['seccomp']")
    assert "(landlock missing)" in grade(tmp_path, "ps2_decoding", "--student", "nobody")[1]


def test_a_submission_that_is_newer_is_graded_again(program, monkeypatch, tmp_path):
    module = program("grade")
    monkeypatch.setattr(module, "HERE", tmp_path)
    files = [tmp_path / step / "ada" / "ps2" / "ps2.ipynb" for step in ("submitted", "autograded")]
    for path in files:
        path.parent.mkdir(parents=True)
    files[0].write_text("{}")
    assert not module._is_newer("ada", "ps2")  # nothing was graded yet: nbgrader grades it anyway
    files[1].write_text("{}")
    for times, newer in (((10, 20), False), ((20, 10), True), ((10, 10), False)):
        for path, time in zip(files, times, strict=True):
            os.utime(path, (time, time))
        assert module._is_newer("ada", "ps2") is newer
