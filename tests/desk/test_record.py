"""The record of what was solved: written by checks, in a working copy alone, whole or not at all; and its table."""

import json
import multiprocessing
import os

import pytest

import gpt2lessons as gl
from gpt2lessons.checks.frame import WrongError, exercise
from gpt2lessons.desk import lessons, record, working_copy


@exercise("Two")
def two(answer):
    """A check of a topic called like this module."""
    if answer != 2:
        raise WrongError("that is not two.")
    return "that is two."


@pytest.fixture(autouse=True)
def outside(monkeypatch):
    """As on a learner's machine, and nothing solved so far."""
    for name in record.OFF:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(record, "solved_here", {})


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A working copy, in which we are."""
    record.write(tmp_path / record.NAME, lambda content: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def solved(folder):
    return list(json.loads((folder / record.NAME).read_text("utf8"))["solved"])


def test_a_check_records_a_right_answer_and_no_other(copy):
    assert [two(answer).status for answer in (..., 3)] == ["unanswered", "wrong"]
    assert solved(copy) == []
    assert two(2).status == "right"
    assert solved(copy) == [two.key] == ["test_record.two"]
    first = (copy / record.NAME).read_text("utf8")
    two(2)
    two(3)
    assert (copy / record.NAME).read_text("utf8") == first, "solved once is solved"
    assert os.listdir(copy) == [record.NAME], "nothing is left over"


def test_the_record_says_what_it_is_and_when(copy):
    two(2)
    content = json.loads((copy / record.NAME).read_text("utf8"))
    assert content["course"] == "gpt2lessons"
    assert "solved" in content["about"]
    assert len(content["solved"][two.key]) == len("2026-01-01 10:00")


def test_a_notebook_in_a_folder_of_the_working_copy_finds_its_record(copy, monkeypatch):
    (copy / "deeper").mkdir()
    monkeypatch.chdir(copy / "deeper")
    two(2)
    assert solved(copy) == [two.key]


def test_nothing_is_written_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert two(2).status == "right"
    assert os.listdir(tmp_path) == []
    (tmp_path / record.NAME).write_text('{"course": "another"}', "utf8")
    assert two(2).status == "right"
    assert (tmp_path / record.NAME).read_text("utf8") == '{"course": "another"}'


@pytest.mark.parametrize("name", record.OFF)
def test_nothing_is_written_in_continuous_integration_and_in_graded_work(copy, monkeypatch, name):
    monkeypatch.setenv(name, "true")
    two(2)
    assert solved(copy) == []


def test_an_answer_is_right_even_if_it_cannot_be_recorded(copy, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    assert two(2).status == "right"
    assert solved(copy) == []


def test_a_lock_left_over_is_broken(copy, monkeypatch):
    monkeypatch.setattr(record, "_PATIENCE", 0.05)
    (copy / f".{record.NAME}.lock").touch()
    two(2)
    assert solved(copy) == [two.key]
    assert os.listdir(copy) == [record.NAME]


def _note(folder, names):
    os.chdir(folder)
    for name in names:
        record.note(name)


def test_several_lessons_at_once_lose_nothing(copy):
    names = [[f"topic.{process}_{n}" for n in range(5)] for process in range(4)]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_note, args=(str(copy), some)) for some in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(solved(copy)) == sorted(name for some in names for name in some)


# the table


def test_the_table_has_every_notebook_with_exercises(copy):
    table = gl.progress()
    assert [row.name for row in table.rows] == [name for name in lessons.names() if lessons.exercises(name)]
    assert {row.solved for row in table.rows} == {0}
    first = lessons.exercises("02_tokenization")
    record.note(first[0])
    record.solved_here.clear()  # another kernel, another day
    row = next(row for row in gl.progress().rows if row.name == "02_tokenization")
    assert (row.solved, row.exercises) == (1, len(first))
    assert f"{'●' + '○' * (len(first) - 1)} 1 of {len(first)}" in repr(gl.progress())
    assert f"{'●' + '○' * (len(first) - 1)} 1 of {len(first)}" in gl.progress()._repr_html_()


def test_one_lesson_says_how_many_are_solved_and_what_comes_next(copy):
    total = len(lessons.exercises("00_start_here"))
    line = gl.progress("00")
    assert repr(line).startswith(f"0 of {total} exercises solved. Next: 01_architecture · ")
    assert f'0 of {total} exercises solved. Next: <a href="01_architecture.ipynb">' in line._repr_html_()
    for check in lessons.exercises("00_start_here"):
        record.note(check)
    assert repr(gl.progress("00")).startswith(f"All {total} exercises solved. Next: ")
    assert "Next" not in repr(gl.progress("13"))
    assert repr(gl.progress("deeper/parameters")) == "0 of 1 exercises solved."


def test_what_was_solved_counts_where_there_is_no_working_copy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    total = len(lessons.exercises("00_start_here"))
    record.note(lessons.exercises("00_start_here")[0])
    assert repr(gl.progress("00")).startswith(f"1 of {total} exercises solved.")


def test_links_hold_in_the_deeper_notebooks_too(copy, monkeypatch):
    (copy / "deeper").mkdir()
    monkeypatch.chdir(copy / "deeper")
    shown = gl.progress()._repr_html_()
    assert '<a href="../03_next_token.ipynb">' in shown
    assert '<a href="parameters.ipynb">' in shown


@pytest.mark.parametrize("name", ["14", "", "0", "glossary", 3])
def test_a_lesson_that_is_none_gets_a_sentence(name):
    with pytest.raises(ValueError, match="Take the beginning of one of these: 00_start_here"):
        gl.progress(name)


def test_titles_are_escaped(monkeypatch):
    monkeypatch.setattr(lessons, "question", lambda name: "<b>Who?</b>")
    assert "<b>" not in gl.progress()._repr_html_() + gl.progress("00")._repr_html_()


def test_the_working_copys_own_record_is_read(copy):
    assert record.find() == copy / record.NAME
    assert record.read(copy / "nowhere.json") == {"solved": {}, "laid": {}}
    assert working_copy.next_unfinished({}) == "00_start_here"
