"""The real nbgrader, offline: release, autograde, feedback and export of honest, mistaken and hostile submissions."""

import csv
import os
import re
import shutil
import subprocess
import sys
import zipfile

import nbformat
import pytest
from answers import hostile
from test_sets import COURSEWORK, HIDDEN, SETS, SOLUTION, answers, cells, changed, kind, model_answer

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
    source = folder / "source" / "ps2_decoding"
    (folder / "submitted" / "link").mkdir()
    (folder / "submitted" / "link" / "ps2_decoding").symlink_to(source)
    shutil.copytree(source, folder / "submitted" / "thief" / "ps2_decoding")
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


GUIDE = (COURSEWORK / "README.md").read_text("utf8")
STUDENTS = ("list", "fetch_assignment", "submit", "fetch_feedback")  # what a student enters on a hub


def handed_in_at_a_platform(folder):
    """Archives as Moodle and as Canvas offer them, and Moodle's grading worksheet."""
    archive = folder / "downloaded" / "ps2_decoding" / "archive"
    archive.mkdir(parents=True)
    hand_in(folder, "draft", "ps2_decoding", lambda q: model_answer("ps2_decoding", q))
    notebook = (folder / "submitted" / "draft" / "ps2_decoding" / "ps2_decoding.ipynb").read_bytes()
    shutil.rmtree(folder / "submitted")
    with zipfile.ZipFile(archive / "moodle.zip", "w") as packed:
        packed.writestr("Ada Lovelace_1234567_assignsubmission_file/ps2_decoding.ipynb", notebook)
        packed.writestr("Ada Lovelace_1234567_assignsubmission_file/ps2_decoding (1).ipynb", notebook)
        packed.writestr("readme.txt", "no notebook")
    with zipfile.ZipFile(archive / "canvas.zip", "w") as packed:
        packed.writestr("hoppergrace_LATE_77_8001_ps2_decoding.ipynb", b"{}")
        packed.writestr("hoppergrace_LATE_77_8002_ps2_decoding-1.ipynb", notebook)
    head = ["Identifier", "Full name", "Status", "Grade", "Maximum Grade", "Last modified (grade)"]
    people = [["Participant 1234567", "Ada", "Submitted", "", "20", "-"], ["Participant 9", "Bo", "", "", "20", "-"]]
    with (folder / "worksheet.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *people])


def hub(folder, tmp_path):
    """The environments of teacher and student on a hub: the guide's configuration for all, a home for each."""
    (tmp_path / "config").mkdir()
    config = re.search(r"```python\n(.*?)```", GUIDE, re.S)[1]
    assert "/srv/nbgrader/exchange" in config
    exchange = tmp_path / "exchange"
    exchange.mkdir(mode=0o777)
    exchange.chmod(0o777)
    (tmp_path / "config" / "nbgrader_config.py").write_text(config.replace("/srv/nbgrader/exchange", str(exchange)))
    found = {}
    for user in ("teacher", "ada"):
        home = tmp_path / user
        home.mkdir()
        own = {"HOME": home, "JUPYTER_DATA_DIR": home / "data", "JUPYTER_CONFIG_PATH": tmp_path / "config"}
        found[user] = os.environ | {name: str(path) for name, path in own.items()}
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="nbgrader's exchange does not run on Windows")
def test_every_command_of_the_guide_works_in_order(tmp_path):
    """In a fresh copy; the commands are those between ```sh and ```."""
    folder = tmp_path / "coursework"
    shutil.copytree(COURSEWORK, folder, ignore=shutil.ignore_patterns(*WRITTEN_BY_NBGRADER))
    commands = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.S) for line in block.splitlines()]
    assert len(commands) == 19
    users, said = hub(folder, tmp_path), {}
    for number, command in enumerate(commands):
        program, *arguments = command.split()
        if arguments[0] == "zip_collect":
            handed_in_at_a_platform(folder)
        if arguments[0] == "release_assignment":  # a hub's students are others: nbgrader has a secret for each of them
            for step in ("submitted", "autograded", "feedback"):
                shutil.rmtree(folder / step)
        student = arguments[0] in STUDENTS and "--inbound" not in arguments
        start = {"nbgrader": [sys.executable, "-m", "nbgrader"], "python": [sys.executable]}.get(program, [program])
        home = tmp_path / "ada" if student else folder
        arguments = [a.replace("/srv/nbgrader/exchange", str(tmp_path / "exchange")) for a in arguments]
        env = users["ada" if student else "teacher"]
        done = subprocess.run([*start, *arguments], cwd=home, capture_output=True, text=True, env=env)
        assert done.returncode == 0, (command, done.stdout, done.stderr[-2000:])
        said[number, arguments[0]] = done.stdout + done.stderr
        if arguments[0] == "fetch_assignment":  # the student works
            notebook = nbformat.read(home / "ps2_decoding" / "ps2_decoding.ipynb", 4)
            for cell in notebook.cells:
                if cell.cell_type == "code" and kind(cell)["solution"]:
                    cell.source = model_answer("ps2_decoding", kind(cell)["grade_id"])
            nbformat.write(notebook, home / "ps2_decoding" / "ps2_decoding.ipynb")
    listed = [text for (_, name), text in said.items() if name == "list"]
    assert all("gpt2lessons" in text and "ps2_decoding" in text for text in listed)
    graded = [text for (_, name), text in said.items() if name == "grade.py"]
    assert [re.search(r"\d of \d graded", text)[0] for text in graded] == ["2 of 2 graded", "1 of 1 graded"]
    worksheet = list(csv.reader((folder / "ps2_decoding.moodle.csv").read_text().splitlines()))
    assert [row[3] for row in worksheet] == ["Grade", f"{AUTOMATIC}.0", ""]
    canvas = list(csv.reader((folder / "ps2_decoding.canvas.csv").read_text().splitlines()))
    assert canvas[1][-1] == "20.0"
    assert ["77", "", "", "", f"{AUTOMATIC}.0"] in [row[1:] for row in canvas]
    # who handed in through the exchange has the name of the system's user
    assert len(list((folder / "feedback").glob("*/ps2_decoding/ps2_decoding.html"))) == 1
    assert list((tmp_path / "ada" / "ps2_decoding" / "feedback").rglob("ps2_decoding.html"))


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
    assert sorted(named) == ["broken", "link", "nothing", "old-format", "renamed", "thief"], log
    assert [scores.get((student, "ps2_decoding"), 0) for student in ("nothing", "broken", "link", "thief")] == [0] * 4


def test_written_answers_are_shown_without_their_scripts(course):
    page = feedback(course, "scripts", "ps2_decoding")
    assert "An answer." in page
    assert "<script>document.title" not in page
    assert not re.search(r"<img[^>]*onerror", page)


@pytest.mark.parametrize(("student", "messages"), hostile.MESSAGES.items())
def test_feedback_says_what_happened(course, student, messages):
    page = feedback(course, student, "ps2_decoding")
    assert all(message in page for message in messages)
