"""The real nbgrader, offline: release, autograde, feedback and export of honest, mistaken and hostile submissions."""

import codecs
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import nbformat
import psutil
import pytest
from answers import hostile
from test_sets import COURSEWORK, HIDDEN, SETS, SOLUTION, answers, cells, changed, kind, model_answer

from gpt2lessons.grading import grade as grader

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


# the quickest of them goes through the whole cycle whenever the tests run; the others, and attacks, with the slow ones
QUICKEST = "ps2_decoding"
EACH = [QUICKEST, *(pytest.param(name, marks=pytest.mark.slow) for name in SETS if name != QUICKEST)]
SECONDS = 8  # of processor time for a question, in these tests


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A function: the copy of the coursework in which a problem set was released."""
    folders = {}

    def released(name):
        if name not in folders:
            folder = folders[name] = tmp_path_factory.mktemp(name) / "coursework"
            shutil.copytree(COURSEWORK, folder, ignore=shutil.ignore_patterns(*WRITTEN_BY_NBGRADER))
            with (folder / "nbgrader_config.py").open("a", encoding="utf8") as config:
                config.write(f"\nc = get_config()\nc.IsolatedExecute.seconds = {SECONDS}\n")
            run(folder, "generate_assignment", name, "--create")
        return folders[name]

    return released


@pytest.fixture(scope="module")
def course(released, sandboxed):
    """A function: the copy of the coursework in which a problem set was handed in and graded once."""
    done = set()

    def course(name):
        folder = released(name)
        if name not in done:
            done.add(name)
            hand_in_honest_work(folder, name)
            finish(folder, name)
        return folder

    return course


@pytest.fixture(scope="module")
def attacked(released, sandboxed, tmp_path_factory):
    """A copy of the coursework in which the hostile and the strange have handed in, beside one honest student."""
    folder = tmp_path_factory.mktemp("attacked") / "coursework"
    shutil.copytree(released(QUICKEST), folder)
    hand_in_honest_work(folder, QUICKEST)
    hand_in_hostile_work(folder)
    finish(folder, QUICKEST)
    return folder


def finish(folder, name):
    """Grade what was handed in; write the log, the feedback and the table of points."""
    (folder / "grade.log").write_text(grade(folder, name), "utf8")
    run(folder, "generate_feedback", name)
    run(folder, "export", "--to", "grades.csv")


def hand_in_honest_work(folder, name):
    first = {q: next(iter(a["mistakes"].values()))[0] for q, a in answers(name).items()}
    hand_in(folder, "stub", name, lambda q: None)
    hand_in(folder, "reference", name, lambda q: model_answer(name, q))
    hand_in(folder, "alternative", name, lambda q: answers(name)[q]["alternative"])
    hand_in(folder, "mistaken", name, lambda q: changed(name, q, first[q]))


def hand_in_hostile_work(folder):
    right = {q: model_answer("ps2_decoding", q) for q in answers("ps2_decoding")}
    handed_in = folder / "submitted"
    for student, (own, edit, _) in hostile.SUBMISSIONS.items():
        hand_in(folder, student, "ps2_decoding", {**right, **own}.get, edit=edit)
    marked = handed_in / "byte-order-mark" / "ps2_decoding" / "ps2_decoding-Copy1.ipynb"
    marked.write_bytes(codecs.BOM_UTF8 + marked.read_bytes())
    (handed_in / "nothing" / "ps2_decoding").mkdir(parents=True)
    (handed_in / "nothing" / "ps2_decoding" / "readme.txt").write_text("I am ill.", "utf8")
    source = folder / "source" / "ps2_decoding"
    (handed_in / "link").mkdir()
    (handed_in / "link" / "ps2_decoding").symlink_to(source)
    shutil.copytree(source, handed_in / "thief" / "ps2_decoding")
    for student in ("broken", "Ada, A."):
        (handed_in / student / "ps2_decoding").mkdir(parents=True)
        (handed_in / student / "ps2_decoding" / "ps2_decoding.ipynb").write_text("{ not a notebook", "utf8")


def grade(folder, name, *options):
    command = [sys.executable, "-m", "gpt2lessons", "grade", name, "--jobs", "2", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def points(folder):
    rows = csv.DictReader((folder / "grades.csv").read_text("utf8").splitlines())
    return {row["student_id"]: float(row["score"] or 0) for row in rows if row["assignment"] != ""}


def feedback(folder, student, name):
    return (folder / "feedback" / student / name / f"{name}.html").read_text("utf8")


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
    with (folder / "worksheet.csv").open("w", newline="", encoding="utf8") as file:
        csv.writer(file).writerows([head, *people])


def hub(folder, tmp_path):
    """The environments of teacher and student on a hub: the guide's configuration for all, a home for each."""
    (tmp_path / "config").mkdir()
    config = re.search(r"```python\n(.*?)```", GUIDE, re.S)[1]
    assert "/srv/nbgrader/exchange" in config
    exchange = tmp_path / "exchange"
    exchange.mkdir(mode=0o777)
    exchange.chmod(0o777)
    config = config.replace("/srv/nbgrader/exchange", str(exchange))
    (tmp_path / "config" / "nbgrader_config.py").write_text(config, "utf8")
    found = {}
    for user in ("teacher", "ada"):
        home = tmp_path / user
        home.mkdir()
        own = {"HOME": home, "JUPYTER_DATA_DIR": home / "data", "JUPYTER_CONFIG_PATH": tmp_path / "config"}
        found[user] = os.environ | {name: str(path) for name, path in own.items()}
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="nbgrader's exchange does not run on Windows")
def test_every_command_of_the_guide_works_in_order(tmp_path, sandboxed):
    """In a fresh copy; the commands are those between ```sh and ```."""
    folder = tmp_path / "coursework"
    shutil.copytree(COURSEWORK, folder, ignore=shutil.ignore_patterns(*WRITTEN_BY_NBGRADER))
    commands = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.S) for line in block.splitlines()]
    assert len(commands) == 19
    users, said = hub(folder, tmp_path), {}
    for number, command in enumerate(commands):
        program, *arguments = command.removeprefix("python -m gpt2lessons ").split()
        if command.startswith("python"):
            arguments, program = [program, *arguments], "python"
        if arguments[0] == "collect" and program == "python":
            handed_in_at_a_platform(folder)
        if arguments[0] == "release_assignment":  # a hub's students are others: nbgrader has a secret for each of them
            for step in ("submitted", "autograded", "feedback"):
                shutil.rmtree(folder / step)
        student = arguments[0] in STUDENTS and "--inbound" not in arguments
        start = {"nbgrader": [sys.executable, "-m", "nbgrader"], "python": [sys.executable, "-m", "gpt2lessons"]}.get(
            program, [program]
        )
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
    graded = [text for (_, name), text in said.items() if name == "grade"]
    assert [re.search(r"\d of \d graded", text)[0] for text in graded] == ["2 of 2 graded", "1 of 1 graded"]
    worksheet = list(csv.reader((folder / "ps2_decoding.moodle.csv").read_text("utf8").splitlines()))
    assert [row[3] for row in worksheet] == ["Grade", f"{AUTOMATIC}.0", ""]
    canvas = list(csv.reader((folder / "ps2_decoding.canvas.csv").read_text("utf8").splitlines()))
    assert canvas[1][-1] == "20.0"
    assert ["77", "", "", "", f"{AUTOMATIC}.0"] in [row[1:] for row in canvas]
    # who handed in through the exchange has the name of the system's user
    assert len(list((folder / "feedback").glob("*/ps2_decoding/ps2_decoding.html"))) == 1
    assert list((tmp_path / "ada" / "ps2_decoding" / "feedback").rglob("ps2_decoding.html"))


@pytest.mark.parametrize("name", EACH)
def test_release_has_neither_solutions_nor_hidden_tests(released, name):
    released = (released(name) / "release" / name / f"{name}.ipynb").read_text("utf8")
    assert not re.search(r"BEGIN (SOLUTION|HIDDEN|MARK)|[Rr]ubric|_mistakes", released)
    text = "\n".join(c.source for c in nbformat.reads(released, 4).cells)
    for cell in cells(name).values():
        secret = [*SOLUTION.findall(cell["source"]), *HIDDEN.findall(cell["source"])]
        if kind(cell)["grade"] and kind(cell)["solution"]:
            secret.append(cell["source"])
        for line in (line.strip() for part in secret for line in part.splitlines()):
            assert len(line) < 25 or line not in text, line
    assert all(not c.get("outputs") for c in nbformat.reads(released, 4).cells)


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize(
    ("student", "expected"), [("stub", 0), ("reference", AUTOMATIC), ("alternative", AUTOMATIC), ("mistaken", 0)]
)
def test_honest_submissions_get_what_they_deserve(course, student, expected, name):
    assert points(course(name))[student] == expected


@pytest.mark.parametrize("name", EACH)
def test_feedback_names_the_mistakes_and_hides_the_tests(course, name):
    page = feedback(course(name), "mistaken", name)
    for question, answer in answers(name).items():
        message = next(iter(answer["mistakes"].values()))[1]
        assert re.search(message.replace("`", "."), page), (question, message)
    assert "BEGIN HIDDEN" not in page
    assert "_mistakes" not in page


@pytest.mark.parametrize("student", hostile.SUBMISSIONS)
@pytest.mark.slow
def test_a_submission_gets_the_points_that_it_should(attacked, student):
    assert points(attacked).get(student, 0) == hostile.SUBMISSIONS[student][2]


@pytest.mark.slow
def test_missing_and_broken_notebooks_get_nothing_and_are_named(attacked):
    folder = attacked
    log = (folder / "grade.log").read_text("utf8")
    named = re.findall(r"not graded, 0 points so far: ([^:]+):", log)
    assert sorted(named) == ["Ada, A.", "broken", "link", "nothing", "old-format", "renamed", "thief"], log
    assert "Ada, A.: rename the folder" in log
    scores = points(folder)
    assert [scores.get(student, 0) for student in ("nothing", "broken", "link", "thief", "Ada, A.")] == [0] * 5


@pytest.mark.slow
def test_copies_are_taken_and_said(attacked):
    log = (attacked / "grade.log").read_text("utf8")
    assert "quirks: PS2_Decoding (1).ipynb was taken as ps2_decoding.ipynb" in log
    assert "byte-order-mark: ps2_decoding-Copy1.ipynb was taken as ps2_decoding.ipynb" in log


@pytest.mark.slow
def test_what_lies_beside_a_notebook_is_not_served(attacked):
    folder = attacked / "autograded"
    assert {p.name for p in folder.rglob("*") if p.is_file()} == {"ps2_decoding.ipynb", "handed_in.sha256"}
    assert (folder.parent / "submitted" / "more-notebooks" / "ps2_decoding" / "evil.html").is_file()


@pytest.mark.slow
def test_nbgraders_own_words_in_an_answer_stay(attacked):
    page = feedback(attacked, "quirks", QUICKEST)
    assert all(phrase in page for phrase in hostile.PHRASES)
    assert "_mistakes" not in page


@pytest.mark.slow
def test_written_answers_are_shown_without_their_scripts_and_links(attacked):
    page = feedback(attacked, "scripts", QUICKEST)
    assert "An answer." in page
    assert "<script>document.title" not in page
    assert not re.search(r"<img[^>]*onerror", page)
    assert "more of it (evil.html)" in page
    assert 'href="evil.html"' not in page


@pytest.mark.parametrize(("student", "messages"), hostile.MESSAGES.items())
@pytest.mark.slow
def test_feedback_says_what_happened(attacked, student, messages):
    page = feedback(attacked, student, QUICKEST)
    assert all(message in page for message in messages)


@pytest.mark.slow
def test_feedback_names_nobody_else(attacked):
    folder = attacked
    for page in folder.glob("feedback/*/*/*.html"):
        student = page.parts[-3]
        others = {"equals-everything", "more-notebooks", "byte-order-mark", "report-moved"} - {student}
        text = page.read_text("utf8")
        assert not [other for other in others if other in text]
        assert str(folder) not in text


@pytest.mark.slow
def test_contents_decide_what_is_graded_again_not_times(attacked):
    """A file that was copied with its old time is new work; one that was only touched is not."""
    folder = attacked
    handed_in = folder / "submitted" / "stub" / QUICKEST / f"{QUICKEST}.ipynb"
    graded = folder / "autograded" / "stub" / QUICKEST / f"{QUICKEST}.ipynb"
    first = graded.stat().st_mtime_ns
    os.utime(handed_in, (2_000_000_000, 2_000_000_000))
    assert "1 of 1 graded" in grade(folder, QUICKEST, "--student", "stub")
    assert graded.stat().st_mtime_ns == first
    better = nbformat.read(folder / "submitted" / "reference" / QUICKEST / f"{QUICKEST}.ipynb", 4)
    nbformat.write(better, handed_in)
    os.utime(handed_in, (1_000_000_000, 1_000_000_000))
    assert "1 of 1 graded" in grade(folder, QUICKEST, "--student", "stub")
    assert graded.stat().st_mtime_ns != first
    run(folder, "export", "--to", "again.csv")
    row = next(r for r in csv.DictReader((folder / "again.csv").open(encoding="utf8")) if r["student_id"] == "stub")
    assert float(row["score"]) == AUTOMATIC


def is_of_a_sandbox(process):
    try:
        return any("worker.py" in word for word in process.cmdline())
    except psutil.Error:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_nothing_stays_when_grade_is_killed_or_interrupted(course, blow):
    folder = course(QUICKEST)
    student = f"sleeper-{blow.name}"
    lines = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\ntime.sleep(3600)"
    hand_in(folder, student, QUICKEST, lambda q: lines)
    command = [sys.executable, "-m", "gpt2lessons", "grade", QUICKEST, "--student", student]
    grader = subprocess.Popen(command, cwd=folder, start_new_session=True)
    processes, end = [], time.monotonic() + 120
    while len([p for p in processes if is_of_a_sandbox(p)]) < 3:  # bubblewrap outside, bubblewrap inside, the worker
        assert time.monotonic() < end
        time.sleep(0.5)
        processes = psutil.Process(grader.pid).children(recursive=True)
    assert len(processes) >= 5  # nbgrader and its kernel
    grader.send_signal(blow)
    grader.wait(timeout=60)
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
    shutil.rmtree(folder / "submitted" / student)


def test_an_answer_that_uses_what_its_task_excludes_is_named(released):
    folder = released(QUICKEST)
    answer = "import gpt2lessons as gl\ndef survivors(*a):\n    return gl.processors.keep_top_p(*a)"
    hand_in(folder, "easy-way", QUICKEST, lambda q: answer if q == "q2" else None)
    hand_in(folder, "own-way", QUICKEST, lambda q: model_answer(QUICKEST, q))
    path = folder / "submitted" / "{}" / QUICKEST / f"{QUICKEST}.ipynb"
    found = grader.rule_breaks(Path(str(path).format("easy-way")))
    assert found == ["q2 uses gl, gpt2lessons; its task says without gpt2lessons"]
    assert grader.rule_breaks(Path(str(path).format("own-way"))) == []
    for student in ("easy-way", "own-way"):
        shutil.rmtree(folder / "submitted" / student)
