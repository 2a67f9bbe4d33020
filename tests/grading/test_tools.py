"""The teacher's commands beside nbgrader: `grade`, `collect`, `lms`."""

import json
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from test_sets import COURSEWORK

from gpt2lessons import __main__ as commands
from gpt2lessons.grading import grade as grader
from gpt2lessons.grading import lms, names, sandbox

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install gpt2lessons[grading]")
from gpt2lessons.grading.collect import DownloadedNames

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
def test_student_and_notebook_are_read_from_the_name_of_a_downloaded_file(name, tmp_path):
    path = tmp_path / "extracted" / name
    path.parent.mkdir(parents=True)
    path.write_text("{}", "utf8")
    found = DownloadedNames().collect(str(path))
    assert (found and (found["student_id"], found["file_id"])) == NAMES[name]
    if found:
        os.utime(path, (0, 1_700_000_000.25))
        later = DownloadedNames().collect(str(path))
        assert later["timestamp"] == "2023-11-14 22:13:20.250000"


def grades(*students, assignment="ps2_decoding"):
    row = {"assignment": assignment, "max_score": "20.0", "last_name": "", "first_name": ""}
    return [row | {"student_id": s, "score": score} for s, score in students]


def test_worksheet_is_filled_in_and_otherwise_left_as_it_is():
    head = ["Identifier", "Full name", "Grade", "Last modified (grade)"]
    rows = [
        ["Participant 7", "Ada, A.", "", "-"],
        ["Participant 77", "Bo", "3", "Monday"],
        ["Participant 9", "Cy", "", "-"],
    ]
    found = grades(("7", "14.0"), ("9", "")) + grades(("77", "20.0"), assignment="ps1_architecture_and_tokens")
    filled = lms.rows("moodle", "ps2_decoding", found, [dict(zip(head, row, strict=True)) for row in rows])
    assert filled == [head, ["Participant 7", "Ada, A.", "14.0", "-"], rows[1], ["Participant 9", "Cy", 0, "-"]]


def test_students_stand_in_the_column_of_their_kind_of_id():
    rows = lms.rows
    assert rows("moodle", "ps2_decoding", grades(("ada", "14.0"))) == [["idnumber", "ps2_decoding"], ["ada", "14.0"]]
    by_id = rows("canvas", "ps2_decoding", grades(("77", "14.0")))
    by_login = rows("canvas-login", "ps2_decoding", grades(("ada", "")))
    assert by_id[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "ps2_decoding"]
    assert by_id[1][-1] == "20.0"
    assert by_id[2] == ["77", "77", "", "", "", "14.0"]
    assert by_login[2] == ["ada", "", "", "ada", "", 0]
    named = rows("canvas", "ps2_decoding", [grades(("77", "14.0"))[0] | {"last_name": "Love", "first_name": "A"}])
    assert named[2][0] == "Love, A"


def test_nothing_to_write_is_said():
    with pytest.raises(ValueError, match="no grades for ps9"):
        lms.rows("moodle", "ps9", grades(("ada", "1")))
    with pytest.raises(ValueError, match="Identifier and Grade"):
        lms.rows("moodle", "ps2_decoding", grades(("ada", "1")), [{"Nummer": "1"}])


def test_a_name_that_nbgrader_wrote_without_quotes_is_refused():
    """`Ada, A.` makes one column more in grades.csv; a quote swallows the rest of the file."""
    broken = grades(("Ada", "14.0"))[0] | {None: ["x"]}
    with pytest.raises(ValueError, match="at Ada: rename that folder"):
        lms.rows("moodle", "ps2_decoding", [broken])
    with pytest.raises(ValueError, match="at Ada: rename that folder"):
        lms.rows("canvas", "ps2_decoding", [broken | {None: None, "score": None}])


def test_lms_reads_and_writes_the_files_of_the_present_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert commands.main(["lms", "moodle", "ps2_decoding"]) == 2
    assert "first: nbgrader export" in capsys.readouterr().err
    columns = "assignment,student_id,last_name,first_name,score,max_score"
    (tmp_path / "grades.csv").write_text(f"{columns}\nps2_decoding,ada,,,14.0,20.0\n", "utf8")
    assert commands.main(["lms", "moodle", "ps2_decoding"]) == 0
    assert (tmp_path / "ps2_decoding.moodle.csv").read_text("utf8").split() == ["idnumber,ps2_decoding", "ada,14.0"]
    with pytest.raises(SystemExit):
        commands.main(["lms", "blackboard", "ps2_decoding"])


def test_lms_and_collect_name_the_file_that_they_cannot_use(tmp_path, monkeypatch, capsys):
    """Every bad argument and every bad file: one sentence, exit code 2."""
    monkeypatch.chdir(tmp_path)
    columns = "assignment,student_id,last_name,first_name,score,max_score"
    good = f"{columns}\nps2,ada,,,14.0,20.0\n".encode()
    (tmp_path / "text.csv").write_text("a,b\n1,2\n", "utf8")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    cases = [
        (good, ["lms", "moodle", "ps9"], "no grades for ps9"),
        (good, ["lms", "moodle", "ps2", "none.csv"], "there is no file none.csv"),
        (good, ["lms", "moodle", "ps2", "bytes.csv"], "bytes.csv is no CSV file in UTF-8"),
        (good, ["lms", "moodle", "ps2", "text.csv"], "the worksheet should have the columns Identifier and Grade"),
        (b"a,b\n1,2\n", ["lms", "canvas", "ps2"], "should have the columns assignment, first_name"),
        (b"\xff\xfea", ["lms", "canvas", "ps2"], "grades.csv is no CSV file in UTF-8"),
        (b"", ["lms", "canvas", "ps2"], "no grades for ps2"),
        (good, ["collect", "ps2"], "there is nothing in "),
        (good, ["collect", "../downloaded"], "there is nothing in "),
    ]
    for grades_csv, call, words in cases:
        (tmp_path / "grades.csv").write_bytes(grades_csv)
        assert commands.main(call) == 2, call
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    assert {p.name for p in tmp_path.iterdir()} == {"text.csv", "bytes.csv", "grades.csv"}


COPIES = {
    "ps2_decoding": True,
    "ps2_decoding (1)": True,
    "ps2_decoding(12)": True,
    "ps2_decoding-Copy1": True,
    "ps2_decoding-Copy1 (2)": True,
    "ps2_decoding copy": True,
    "ps2_decoding copy 3": True,
    "Copy of ps2_decoding": True,
    "PS2_Decoding": True,
    "ps2_decoding_2": True,
    "ps2_decoding_final": False,
    "ps2": False,
    "ps3_decoding": False,
    "my ps2_decoding": False,
    "ps2_decoding (old)": False,
    "ps2_decoding" * 20: False,
}


@pytest.mark.parametrize("stem", COPIES)
def test_what_browsers_and_editors_add_to_a_name_is_known(stem, tmp_path):
    assert names.is_copy(stem, "ps2_decoding") is COPIES[stem]
    (tmp_path / f"{stem}.ipynb").write_text("{}", "utf8")
    (tmp_path / "notes.ipynb").write_text("{}", "utf8")
    found = names.notebook_in(tmp_path, "ps2_decoding")
    assert (found and found.name) == (f"{stem}.ipynb" if COPIES[stem] else None)


def test_of_several_copies_the_exact_name_counts_then_the_last(tmp_path):
    for stem in ("ps2 (2)", "ps2 (10)", "ps2 (9)"):
        (tmp_path / f"{stem}.ipynb").write_text("{}", "utf8")
    assert names.notebook_in(tmp_path, "ps2").name == "ps2 (10).ipynb"
    (tmp_path / "ps2.ipynb").write_text("{}", "utf8")
    assert names.notebook_in(tmp_path, "ps2").name == "ps2.ipynb"
    assert [p.name for p in names.copies_in(tmp_path, "ps2")] == ["ps2 (2).ipynb", "ps2 (9).ipynb", "ps2 (10).ipynb"]


def test_a_downloaded_copy_is_taken_as_the_assignment_and_said(tmp_path):
    path = tmp_path / "Ada_7_assignsubmission_file" / "ps2_decoding (1).ipynb"
    path.parent.mkdir()
    path.write_text("{}", "utf8")
    said = []
    collector = SimpleNamespace(
        parent=SimpleNamespace(coursedir=SimpleNamespace(assignment_id="ps2_decoding")),
        log=SimpleNamespace(warning=lambda text, *values: said.append(text % values)),
    )
    assert DownloadedNames.collect(collector, str(path))["file_id"] == "ps2_decoding"
    assert said == [f"{path}: taken as ps2_decoding"]


def grade(folder, *arguments):
    command = [sys.executable, "-m", "gpt2lessons", "grade", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_grade_says_what_it_cannot_do(tmp_path):
    code, said = grade(tmp_path, "ps2_decoding")
    assert code == 2
    assert "is no course" in said
    shutil.copy(COURSEWORK / "nbgrader_config.py", tmp_path)
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
    for minutes in ("0", "-1", "nan", "inf"):
        code, said = grade(tmp_path, "ps2_decoding", f"--minutes={minutes}")
        assert (code, "--minutes is the most for one submission" in said) == (2, True)
    for student in ("a[1]", "b,c", 'd"e'):
        (tmp_path / "submitted" / student / "ps2_decoding").mkdir(parents=True)
    hidden = {"cell_type": "code", "metadata": {"nbgrader": {"grade": True, "locked": True}}}
    hidden["source"] = ["x = 1\n", "### BEGIN HIDDEN TESTS\n"]
    (folder / "ps2_decoding.ipynb").write_text(json.dumps({"cells": [hidden]}), "utf8")
    students = ("ada", "a[1]", "b,c", 'd"e', "nobody")
    code, said = grade(tmp_path, "ps2_decoding", "--trust-students", "--student", *students)
    assert code == 0
    assert "0 of 5 graded" in said
    assert re.search("ada: this is the teacher's source", said)
    for student in ("a[1]", "b,c", 'd"e'):
        assert f"{student}: rename the folder" in said
    assert re.search("nobody: nothing in", said)


def test_without_a_sandbox_nothing_is_graded_unless_students_are_trusted(tmp_path, monkeypatch, capsys):
    shutil.copy(COURSEWORK / "nbgrader_config.py", tmp_path)
    (tmp_path / "release" / "ps2").mkdir(parents=True)
    (tmp_path / "submitted" / "ada" / "ps2").mkdir(parents=True)
    monkeypatch.setattr(sandbox.shutil, "which", lambda program: None)
    monkeypatch.chdir(tmp_path)
    for options, missing in (([], "bwrap is not installed"), (["--sandbox", "container"], "docker is not installed")):
        assert commands.main(["grade", "ps2", *options]) == 2
        said = capsys.readouterr().err
        assert missing in said
        assert "apt-get install bubblewrap" in said
        assert "--trust-students" in said
    assert commands.main(["grade", "ps2", "--trust-students"]) == 0
    assert "ada: no notebook with the assignment's name" in capsys.readouterr().out


def test_contents_and_names_make_a_digest_and_times_do_not(tmp_path):
    path = tmp_path / "ps2.ipynb"
    path.write_text("one", "utf8")
    first = grader.digest_of(tmp_path)
    os.utime(path, (1, 1))
    assert grader.digest_of(tmp_path) == first
    path.write_text("two", "utf8")
    second = grader.digest_of(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("", "utf8")
    assert len({first, second, grader.digest_of(tmp_path)}) == 3


@pytest.mark.parametrize(
    "broken", ["", "{", "[]", '{"cells": 3}', '{"cells": [3]}', '{"cells": [{"source": 1}]}', "[" * 9999]
)
def test_a_file_that_is_no_notebook_is_nobodys_source(broken, tmp_path):
    path = tmp_path / "ps2.ipynb"
    path.write_text(broken, "utf8")
    assert grader.cells_of(path) == []
    assert not grader.is_source(path)
    assert grader.rule_breaks(path) == []


def test_a_word_in_an_answer_makes_nobody_a_thief(tmp_path):
    answer = {"cell_type": "code", "metadata": {"nbgrader": {"grade": False}}, "source": "### BEGIN HIDDEN TESTS"}
    written = {"cell_type": "markdown", "metadata": {"nbgrader": {"grade": True, "locked": False}}}
    written["source"] = ["### BEGIN HIDDEN TESTS"]
    path = tmp_path / "ps2.ipynb"
    path.write_text(json.dumps({"cells": [answer, written]}), "utf8")
    assert not grader.is_source(path)


def test_an_excluded_function_is_found_behind_a_helper(tmp_path):
    """Under another name, in a cell of one's own, imported by a text; what is only given does not count."""
    task = {"cell_type": "markdown", "metadata": {"nbgrader": {"grade_id": "q1-task", "locked": True}}}
    task["source"] = "Write it without gpt2lessons."
    given = {"cell_type": "code", "metadata": {"nbgrader": {"grade_id": "setup", "locked": True}}}
    given["source"] = "import gpt2lessons as gl\nlm = gl.load()"
    answer = {"cell_type": "code", "metadata": {"nbgrader": {"grade_id": "q1", "solution": True}}}
    own = {"cell_type": "code", "metadata": {}}
    path = tmp_path / "ps2.ipynb"
    for helper, source, used in (
        ("", "def f(x): return gl.processors.keep_top_p(x, 0.9)", "gl"),
        ("keep = gl.processors.keep_top_p", "def f(x): return keep(x, 0.9)", "keep"),
        ("def keep(x): return gl.processors.keep_top_p(x, 0.9)", "f = keep", "keep"),
        ("%time\nkeep = gl.processors", "f = 1", ""),
        ("", "f = __import__('gpt2lessons').processors.keep_top_p", "gpt2lessons"),
        ("text = lm.encode('a')", "def f(x): return x", ""),
        ("mine = 7", "def f(x): return lm(x) + mine", ""),
    ):
        cells = [given, task, {**own, "source": helper}, {**answer, "source": source}]
        path.write_text(json.dumps({"cells": cells}), "utf8")
        said = [f"q1 uses {used}; its task says without gpt2lessons"] if used else []
        assert grader.rule_breaks(path) == said, source


WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
missing = {"nbgrader", "bleach"}
sys.meta_path.insert(0, Missing())
import gpt2lessons.__main__ as commands
from gpt2lessons.grading import class_parameters, lms, names, reports
chosen = {"seed": 7, "opening": "The old king had three sons", "word": "marzipan"}
for name in ("ps1", "ps2", "ps3", "ps4"):
    assert len(reports.report(name, chosen)) == 6
assert class_parameters.source("ps3", class_parameters.checked(chosen)).startswith("CLASS = ")
sys.modules.pop("psutil", None)  # transformers may know it
missing.add("psutil")
sys.exit(10 * commands.main(["grade", "ps2_decoding"]) + commands.main(["lms", "moodle", "ps2_decoding"]))
"""


def test_reports_and_lists_need_neither_nbgrader_nor_bubblewrap(tmp_path):
    env = os.environ | {"PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", WITHOUT], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 22, done.stderr
    assert "grade: No module named 'psutil': it comes with pip install 'gpt2lessons[grading]'" in done.stderr
    assert "there is no grades.csv" in done.stderr
