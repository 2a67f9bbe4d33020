"""The notebooks as files: run in order, clean, short cells, lasting ids; each folded solution passes its check."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from support import slow
from support.exercises import exercises, run_exercise

from gpt2lessons.workshop import notebooks

LESSONS = [path.stem for path in notebooks.lessons()]
EXERCISES = [(lesson, name) for lesson in LESSONS for name in exercises(lesson)]


@pytest.mark.parametrize("path", notebooks.everything(), ids=notebooks.name_of)
def test_notebook_is_clean(path):
    assert notebooks.problems(path) == []


@pytest.mark.parametrize("lesson", LESSONS)
def test_each_lesson_has_three_to_five_exercises(lesson):
    assert 3 <= len(exercises(lesson)) <= 5


@pytest.mark.parametrize(("lesson", "name"), EXERCISES)
def test_stub_is_unanswered_and_solution_is_right(lesson, name):
    assert run_exercise(lesson, name).status == "unanswered"
    verdict = run_exercise(lesson, name, exercises(lesson)[name][1])
    assert verdict.status == "right", verdict


@pytest.mark.parametrize("path", notebooks.everything(), ids=notebooks.name_of)
def test_links_to_notebooks_lead_to_files(path):
    text = "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text("utf8"))["cells"])
    links = re.findall(r"\]\((?!https?:)([^)#\s]+\.ipynb)", text)
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder in the place of notebooks/."""
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)
    return tmp_path


def test_deeper_notebooks_are_found_behind_the_lessons(folder):
    (folder / "deeper").mkdir()
    for name in ("deeper/b", "deeper/a", "01_x", "00_y", "glossary", "deeper/00_z"):
        (folder / f"{name}.ipynb").touch()
    (folder / "deeper" / "a.txt").touch()
    assert [notebooks.name_of(path) for path in notebooks.lessons()] == ["00_y", "01_x"]
    assert [notebooks.name_of(path) for path in notebooks.deeper()] == ["deeper/00_z", "deeper/a", "deeper/b"]
    assert notebooks.everything() == notebooks.lessons() + notebooks.deeper()


def test_where_there_are_none_there_are_none(folder):
    assert notebooks.everything() == []


def test_deeper_notebooks_run_with_the_slow_tests():
    marked = []
    paths = [notebooks.FOLDER / "deeper" / "a.ipynb", notebooks.FOLDER / "00_x.ipynb", Path(__file__)]
    items = [
        SimpleNamespace(path=path, add_marker=lambda mark, path=path: marked.append((path, mark.name)))
        for path in paths
    ]
    slow.pytest_collection_modifyitems(items)
    assert marked == [(paths[0], "slow")]


def test_clean_makes_what_is_folded_read_only_and_writes_kernel_and_language():
    full = {"name": "python", "version": "3.99", "mimetype": "text/x-python"}
    names = ("ex1-help", "ex12-help", "ex1-task", "ex-help")
    cells = [nbformat.v4.new_markdown_cell("?", id=name, metadata={"tags": ["Q7"]}) for name in names]
    cells.append(nbformat.v4.new_markdown_cell("<details><summary>And?</summary>So.</details>", id="reaction"))
    answer = nbformat.v4.new_code_cell("1", id="a", metadata={"jupyter": {"outputs_hidden": True}, "tags": ["answer"]})
    notebook = nbformat.v4.new_notebook(cells=[*cells, answer], metadata={"language_info": full})
    made = notebooks.clean(notebook)
    assert [cell.metadata for cell in made.cells[:2]] == [{"tags": ["Q7"], "editable": False}] * 2
    assert [cell.metadata for cell in made.cells[2:4]] == [{"tags": ["Q7"]}] * 2
    assert made.cells[4].metadata == {"editable": False}
    assert made.cells[5].metadata == {"jupyter": {"outputs_hidden": True}, "tags": ["answer"]}
    assert made.metadata == {"kernelspec": notebooks.KERNEL, "language_info": notebooks.LANGUAGE}
    made.metadata.language_info.codemirror_mode.version = 4
    assert notebooks.LANGUAGE["codemirror_mode"]["version"] == 3, "each notebook has its own"


def test_kernel_and_language_are_what_jupyterlab_would_write():
    """It takes both from the kernel when a notebook is opened, and calls the notebook modified where they differ."""
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelspec import get_kernel_dict

    assert notebooks.LANGUAGE | {"version": IPythonKernel.language_info["version"]} == IPythonKernel.language_info
    described = get_kernel_dict()
    assert {"name": "python3"} | {key: described[key] for key in ("display_name", "language")} == notebooks.KERNEL
