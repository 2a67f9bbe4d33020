"""The working copy: laid once, never written over, renewed where nothing was changed; `lab` opens the next lesson."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gpt2lessons import __main__
from gpt2lessons.desk import lab, lessons, record, working_copy

ROOT = Path(__file__).parents[2]
TOPICS = ("start", "tokenization")


def notebook(lesson, edition):
    """A notebook with two exercises, as text."""
    cells = [{"cell_type": "markdown", "id": "title", "metadata": {}, "source": f"# Is this {lesson}?"}]
    for n in (1, 2):
        source = f"x = ...\ngl.checks.{TOPICS[0]}.{lesson}_{n}(x)"
        cells.append({"cell_type": "code", "id": f"ex{n}", "metadata": {}, "source": source, "outputs": []})
    return json.dumps({"cells": cells, "metadata": {"edition": edition}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of three notebooks and a glossary in the place of ours; `publish(edition)` writes it."""
    source = tmp_path / "course" / "notebooks"

    def publish(edition):
        for name in ("00_start_here", "01_more", "deeper/aside", "glossary"):
            path = source / f"{name}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(notebook(name[-4:], edition), "utf8")
        lessons._cells.cache_clear()

    publish(1)
    monkeypatch.setattr(lessons, "REPOSITORY", source)
    lessons.folder.cache_clear()
    yield publish
    lessons.folder.cache_clear()
    lessons._cells.cache_clear()


def contents(folder):
    """What lies in a working copy, {name: text}, the record left out."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != record.NAME)
    return {path.relative_to(folder).as_posix(): path.read_text("utf8") for path in files}


NAMES = ["00_start_here.ipynb", "01_more.ipynb", "deeper/aside.ipynb", "glossary.ipynb"]


def test_every_lesson_is_laid_and_a_second_time_nothing_happens(course, tmp_path):
    copy = tmp_path / "copy"
    assert working_copy.lay(copy) == working_copy.Laid(NAMES, [], {})
    assert list(contents(copy)) == NAMES
    written = (copy / record.NAME).read_text("utf8")
    assert working_copy.lay(copy) == working_copy.Laid([], [], {})
    assert (copy / record.NAME).read_text("utf8") == written
    assert set(record.read(copy / record.NAME)["laid"]) == set(NAMES)


def test_what_the_learner_changed_stays_and_the_new_edition_lies_beside_it_once(course, tmp_path):
    copy = tmp_path / "copy"
    working_copy.lay(copy)
    mine = copy / "01_more.ipynb"
    mine.write_text("my answers", "utf8")
    assert working_copy.lay(copy) == working_copy.Laid([], [], {}), "the same edition is not laid again"
    course(2)
    unchanged = [name for name in NAMES if name != "01_more.ipynb"]
    beside = {"01_more.ipynb": "01_more_new_edition.ipynb"}
    assert working_copy.lay(copy) == working_copy.Laid([], unchanged, beside)
    assert mine.read_text("utf8") == "my answers"
    assert (copy / "01_more_new_edition.ipynb").read_text("utf8") == notebook("more", 2)
    assert working_copy.lay(copy) == working_copy.Laid([], [], {})
    (copy / "01_more_new_edition.ipynb").unlink()
    assert working_copy.lay(copy) == working_copy.Laid([], [], {}), "what was thrown away does not come back"


def test_a_new_edition_that_was_changed_too_stays_as_well(course, tmp_path):
    copy = tmp_path / "copy"
    working_copy.lay(copy)
    (copy / "01_more.ipynb").write_text("first answers", "utf8")
    course(2)
    working_copy.lay(copy)
    course(3)
    assert working_copy.lay(copy).beside == {"01_more.ipynb": "01_more_new_edition.ipynb"}, "nobody wrote in it"
    (copy / "01_more_new_edition.ipynb").write_text("second answers", "utf8")
    course(4)
    assert working_copy.lay(copy).beside == {"01_more.ipynb": "01_more_new_edition_2.ipynb"}
    found = contents(copy)
    assert (found["01_more.ipynb"], found["01_more_new_edition.ipynb"]) == ("first answers", "second answers")
    assert found["01_more_new_edition_2.ipynb"] == notebook("more", 4)


def test_what_was_deleted_is_laid_again(course, tmp_path):
    copy = tmp_path / "copy"
    working_copy.lay(copy)
    (copy / "01_more.ipynb").unlink()
    assert working_copy.lay(copy).new == ["01_more.ipynb"]


def test_laying_keeps_what_was_solved(course, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    working_copy.lay(copy)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.chdir(copy)
    record.note("start.here_1")
    course(2)
    working_copy.lay(copy)
    assert list(record.read(copy / record.NAME)["solved"]) == ["start.here_1"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_the_copy_can_be_written_where_the_course_cannot(course, tmp_path):
    source = lessons.REPOSITORY / "00_start_here.ipynb"
    source.chmod(0o444)
    working_copy.lay(tmp_path / "copy")
    assert (tmp_path / "copy" / "00_start_here.ipynb").stat().st_mode & stat.S_IWUSR


@pytest.mark.parametrize("damaged", ["", "{", '{"course": "another"}', '{"course": "gpt2lessons", "laid": 3}', "[]"])
def test_a_damaged_record_is_put_aside_and_no_lesson_is_written_over(course, tmp_path, damaged):
    copy = tmp_path / "copy"
    working_copy.lay(copy)
    (copy / "01_more.ipynb").write_text("my answers", "utf8")
    (copy / record.NAME).write_text(damaged, "utf8")
    assert working_copy.lay(copy).beside == {"01_more.ipynb": "01_more_new_edition.ipynb"}
    found = contents(copy)
    assert found["01_more.ipynb"] == "my answers"
    assert found[f"{record.NAME}.damaged"] == damaged
    assert record.find(copy) is not None


def refused(folder):
    with pytest.raises(ValueError, match="Give a") as caught:
        working_copy.lay(folder)
    return str(caught.value)


def test_folders_with_other_things_are_refused_and_stay_as_they_are(course, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "00_start_here.ipynb").write_text("mine", "utf8")
    assert "is not empty and no working copy" in refused(full)
    assert contents(full) == {"00_start_here.ipynb": "mine"}
    assert "is a file" in refused(full / "00_start_here.ipynb")
    assert "the course's own lessons" in refused(lessons.REPOSITORY)
    assert "the course's own lessons" in refused(lessons.REPOSITORY / "deeper")


# the command


@pytest.fixture
def started(monkeypatch):
    """JupyterLab is not started; returns the list of how it would have been."""
    calls = []
    monkeypatch.setattr(lab, "start", lambda *call: calls.append(call))
    return calls


def test_lab_opens_the_next_unfinished_lesson(course, started, tmp_path, monkeypatch, capsys):
    copy = tmp_path / "copy"
    assert __main__.main(["lab", "--folder", str(copy), "--", "--no-browser", "--port=1"]) == 0
    assert started == [(copy, "00_start_here", ["--no-browser", "--port=1"])]
    assert capsys.readouterr().out == f"Your lessons: {copy}\n"
    record.write(copy / record.NAME, lambda content: content["solved"].update({"start.here_1": "", "start.here_2": ""}))
    lab.run(copy)
    record.write(copy / record.NAME, lambda content: content["solved"].update({"start.more_1": "", "start.more_2": ""}))
    lab.run(copy)
    assert [lesson for _, lesson, _ in started] == ["00_start_here", "01_more", None]


def test_lab_says_what_was_renewed_and_what_lies_beside(course, started, tmp_path, capsys):
    copy = tmp_path / "copy"
    lab.run(copy)
    (copy / "01_more.ipynb").write_text("my answers", "utf8")
    course(2)
    capsys.readouterr()
    lab.run(copy)
    out = capsys.readouterr().out
    assert "Renewed, because you had not changed them: 00_start_here.ipynb, deeper/aside.ipynb, glossary.ipynb" in out
    assert "newer edition of 01_more.ipynb: yours stays as it is, the new one is 01_more_new_edition.ipynb" in out


def test_the_usual_folder_is_the_same_from_everywhere(course, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    usual = lab.usual_folder()
    assert usual == tmp_path / "course" / "my_lessons"
    working_copy.lay(usual)
    for place in (usual, usual / "deeper"):
        monkeypatch.chdir(place)
        assert lab.usual_folder() == usual


def test_a_folder_that_cannot_be_gets_a_sentence(course, started, tmp_path, capsys):
    (tmp_path / "file").write_text("", "utf8")
    assert __main__.main(["lab", "--folder", str(tmp_path / "file")]) == 2
    assert "Give a folder for your copy" in capsys.readouterr().err
    assert started == []


def test_jupyterlab_gets_the_folder_the_lesson_and_the_hook(monkeypatch, tmp_path):
    from jupyterlab.labapp import LabApp

    got = []
    monkeypatch.setattr(LabApp, "launch_instance", got.append)
    lab.start(tmp_path, "deeper/a b", ["--no-browser"])
    lab.start(tmp_path, None)
    hook = "--ServerApp.jpserver_extensions={'gpt2lessons.desk.server': True}"
    root = f"--ServerApp.root_dir={tmp_path}"
    assert got[0] == [root, "--LabApp.default_url=/lab/tree/deeper/a%20b.ipynb", hook, "--no-browser"]
    assert got[1] == [root, "--LabApp.default_url=/lab", hook]


# the lessons as they are


def test_the_repositorys_lessons_are_found_and_git_ignores_the_copy():
    lessons.folder.cache_clear()
    assert lessons.folder() == ROOT / "notebooks"
    assert [name[:2] for name in lessons.names()[:14]] == [f"{number:02}" for number in range(14)]
    assert "my_lessons/" in (ROOT / ".gitignore").read_text("utf8").splitlines()


def test_every_exercise_of_every_notebook_is_known_by_its_check():
    from gpt2lessons import checks

    for name in lessons.names():
        cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text("utf8"))["cells"]
        found = lessons.exercises(name)
        assert len(found) == len(set(found)) == sum(c["id"][:2] == "ex" and c["id"][2:].isdigit() for c in cells)
        for topic, check in (exercise.split(".") for exercise in found):
            assert getattr(getattr(checks, topic), check).key == f"{topic}.{check}"


def test_without_any_lessons_there_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(lessons, "REPOSITORY", tmp_path)
    monkeypatch.setattr(lessons.importlib.metadata, "files", lambda name: None)
    lessons.folder.cache_clear()
    with pytest.raises(ValueError, match="the lessons are not on this machine"):
        lessons.folder()
    lessons.folder.cache_clear()


def test_python_m_reaches_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "gpt2lessons", "lab", "--folder", str(ROOT / "notebooks")],
        capture_output=True,
        text=True,
        encoding="utf8",
        cwd=ROOT,
    )
    assert (done.returncode, "the course's own lessons" in done.stderr) == (2, True)
