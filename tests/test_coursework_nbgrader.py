"""The real nbgrader, offline: release, autograde, feedback and export of honest, mistaken and hostile submissions."""

import csv
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from coursework import hostile
from test_coursework import COURSEWORK, HIDDEN, SETS, SOLUTION, answers, cells, changed, kind, model_answer

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install gpt2lessons[grading]")

WRITTEN_BY_NBGRADER = ("release", "submitted", "autograded", "feedback", "*.db", "*.csv", "__pycache__")
WRITTEN = 6  # points of the two written answers, given by hand
AUTOMATIC = 20 - WRITTEN


def run(folder, *arguments, ok=True):
    done = subprocess.run([sys.executable, "-m", "nbgrader", *arguments], cwd=folder, capture_output=True, text=True)
    assert not ok or done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def hand_in(course, student, name, answer, *, edit=None):
    """Write a submission: the release version with `answer(question)` in its solution cells."""
    notebook = nbformat.read(course / "release" / name / f"{name}.ipynb", 4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and kind(cell)["solution"]:
            cell.source = answer(kind(cell)["grade_id"]) or cell.source
    folder = course / "submitted" / student / name
    folder.mkdir(parents=True)
    file = f"{name}.ipynb"
    if edit is not None:
        file = edit(notebook, folder) or file
    nbformat.write(notebook, folder / file)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A copy of the coursework in which everything was released, handed in and graded once."""
    folder = tmp_path_factory.mktemp("course") / "coursework"
    shutil.copytree(COURSEWORK, folder, ignore=shutil.ignore_patterns(*WRITTEN_BY_NBGRADER))
    with (folder / "nbgrader_config.py").open("a") as config:
        config.write("\nc.IsolatedExecute.call_seconds = 8\n")
    for name in SETS:
        run(folder, "generate_assignment", name, "--create")
        first = {q: next(iter(a["mistakes"].values()))[0] for q, a in answers(name).items()}
        hand_in(folder, "stub", name, lambda q: None)
        hand_in(folder, "reference", name, lambda q, name=name: model_answer(name, q))
        hand_in(folder, "alternative", name, lambda q, name=name: answers(name)[q]["alternative"])
        hand_in(folder, "mistaken", name, lambda q, name=name, first=first: changed(name, q, first[q]))
    right = {q: model_answer("ps2_decoding", q) for q in answers("ps2_decoding")}
    for student, (own, edit, _) in hostile.SUBMISSIONS.items():
        hand_in(folder, student, "ps2_decoding", {**right, **own}.get, edit=edit)
    (folder / "submitted" / "nothing" / "ps2_decoding").mkdir(parents=True)
    (folder / "submitted" / "nothing" / "ps2_decoding" / "readme.txt").write_text("I am ill.")
    (folder / "submitted" / "broken" / "ps2_decoding").mkdir(parents=True)
    (folder / "submitted" / "broken" / "ps2_decoding" / "ps2_decoding.ipynb").write_text("{ not a notebook")
    for name in SETS:
        grading = [sys.executable, "grade.py", name, "--jobs", "2"]
        said = subprocess.run(grading, cwd=folder, capture_output=True, text=True, check=True).stdout
        (folder / f"{name}.log").write_text(said)
        run(folder, "generate_feedback", name)
    run(folder, "export", "--to", "grades.csv")
    return folder


@pytest.fixture(scope="module")
def scores(course):
    rows = csv.DictReader((course / "grades.csv").read_text().splitlines())
    return {(row["student_id"], row["assignment"]): float(row["score"] or 0) for row in rows}


def feedback(course, student, name):
    return (course / "feedback" / student / name / f"{name}.html").read_text("utf8")


def test_every_command_of_the_guide_works_in_order(course, tmp_path):
    """In a fresh copy, with one submission; the commands are those between ```sh and ```."""
    folder = tmp_path / "coursework"
    shutil.copytree(COURSEWORK, folder, ignore=shutil.ignore_patterns(*WRITTEN_BY_NBGRADER))
    guide = (COURSEWORK / "README.md").read_text("utf8")
    commands = [line for block in re.findall(r"```sh\n(.*?)```", guide, re.S) for line in block.splitlines()]
    assert len(commands) == 6
    for command in commands:
        if "grade.py" in command:
            hand_in(folder, "ada", "ps2_decoding", lambda q: model_answer("ps2_decoding", q))
        program, *arguments = command.split()
        start = {"nbgrader": [sys.executable, "-m", "nbgrader"], "python": [sys.executable]}[program]
        done = subprocess.run([*start, *arguments], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr[-2000:])
    assert (folder / "ps2_decoding.moodle.csv").read_text().splitlines()[1] == f"ada,{AUTOMATIC}.0"
    canvas = list(csv.reader((folder / "ps2_decoding.canvas.csv").read_text().splitlines()))
    assert canvas[1][-1] == "20.0"
    assert canvas[2][3:] == ["ada", "", f"{AUTOMATIC}.0"]
    assert (folder / "feedback" / "ada" / "ps2_decoding" / "ps2_decoding.html").exists()


@pytest.mark.parametrize("name", SETS)
def test_release_has_neither_solutions_nor_hidden_tests(course, name):
    released = (course / "release" / name / f"{name}.ipynb").read_text("utf8")
    assert not re.search(r"BEGIN (SOLUTION|HIDDEN|MARK)|[Rr]ubric|_mistakes", released)
    text = "\n".join(c.source for c in nbformat.reads(released, 4).cells)
    for cell in cells(name).values():
        secret = [*SOLUTION.findall(cell["source"]), *HIDDEN.findall(cell["source"])]
        if kind(cell)["grade"] and kind(cell)["solution"]:
            secret.append(cell["source"])
        for line in (line.strip() for part in secret for line in part.splitlines()):
            assert len(line) < 25 or line not in text, line
    assert all(not c.get("outputs") for c in nbformat.reads(released, 4).cells)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(
    ("student", "points"), [("stub", 0), ("reference", AUTOMATIC), ("alternative", AUTOMATIC), ("mistaken", 0)]
)
def test_honest_submissions_get_what_they_deserve(scores, student, points, name):
    assert scores[student, name] == points


@pytest.mark.parametrize("name", SETS)
def test_feedback_names_the_mistakes_and_hides_the_tests(course, name):
    page = feedback(course, "mistaken", name)
    for question, answer in answers(name).items():
        message = next(iter(answer["mistakes"].values()))[1]
        assert re.search(message.replace("`", "."), page), (question, message)
    assert "BEGIN HIDDEN" not in page
    assert "_mistakes" not in page


@pytest.mark.parametrize("student", hostile.SUBMISSIONS)
def test_hostile_submission_gets_no_point_that_it_should_not(scores, student):
    assert scores.get((student, "ps2_decoding"), 0) == hostile.SUBMISSIONS[student][2]


def test_missing_and_broken_notebooks_get_nothing_and_are_named(course, scores):
    log = (course / "ps2_decoding.log").read_text()
    named = re.findall(r"not graded, 0 points so far: (\S+):", log)
    assert sorted(named) == ["broken", "nothing", "old-format", "renamed"], log
    assert [scores.get((student, "ps2_decoding"), 0) for student in ("nothing", "broken")] == [0, 0]


@pytest.mark.parametrize(("student", "messages"), hostile.MESSAGES.items())
def test_feedback_says_what_happened(course, student, messages):
    page = feedback(course, student, "ps2_decoding")
    assert all(message in page for message in messages)
