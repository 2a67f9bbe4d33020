"""Every topic has a lesson that deals with it; README, COVERAGE.md and each lesson's first cells are up to date."""

import json
import re
from pathlib import Path

import pytest

from gpt2lessons.workshop import index, launch, notebooks

ALL = [f"C{i}" for i in range(1, 85)] + [f"E{i}" for i in range(1, 46)] + [f"Q{i}" for i in range(1, 26)]
# What no lesson covers yet. Never add to it: a cell that loses its tag is a lesson that lost a topic.
NOT_YET = set()
HINT = "run `python -m gpt2lessons index`"


def test_the_table_lists_every_id_once():
    assert index.listed() == ALL


def test_tags_are_known_ids():
    assert set(index.tagged()) <= set(ALL)


def test_what_is_not_covered_is_exactly_the_list():
    assert set(ALL) - set(index.tagged()) == NOT_YET


def test_what_is_derived_is_up_to_date():
    assert index.COVERAGE.read_text("utf8") == index.coverage(), HINT
    assert index.README.read_text("utf8") == index.readme(), HINT
    assert index.CONTRIBUTING.read_text("utf8") == index.contributing(), HINT
    assert index.PICTURE.read_bytes() == index.picture(), HINT


@pytest.mark.parametrize("path", notebooks.everything(), ids=notebooks.name_of)
def test_each_lesson_has_its_links_and_its_installing_cell(path):
    assert path.read_text("utf8") == index.lesson(path), HINT
    _, line, install, *_ = index.cells(path)
    assert [line["id"], install["id"]] == ["launch", "install"]
    assert "".join(line["source"]) == launch.links(f"{notebooks.name_of(path)}.ipynb")
    assert "".join(install["source"]) == launch.first_cell()
    assert install["outputs"] == [], "where the course is, the cell prints nothing"


@pytest.fixture
def small_course(tmp_path, monkeypatch):
    """One lesson and one deeper notebook, in the place of the course."""
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)
    (tmp_path / "deeper").mkdir()
    for name, title in (("03_x", "# 03 · Why?"), ("deeper/post_ln", "# Where does it stand?")):
        opening = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": [f"{title}\n\n9 minutes"]}
        setup = {"cell_type": "code", "id": "setup", "metadata": {"tags": ["C1", "E2"]}, "source": ["1"], "outputs": []}
        notebook = {"cells": [opening, setup | {"execution_count": 1}], "metadata": {}, "nbformat": 4}
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(notebook), "utf8")
    return tmp_path


def test_readme_lists_deeper_notebooks_under_the_lessons(small_course):
    lessons, _, deeper = index.readme().partition("<!-- lessons -->")[2].partition("\n\n")
    assert "| [03_x](notebooks/03_x.ipynb) | Why? | 9 |" in lessons
    assert "post_ln" not in lessons
    assert "| [post_ln](notebooks/deeper/post_ln.ipynb) | Where does it stand? | 9 |\n<!-- /lessons -->" in deeper
    (small_course / "deeper" / "post_ln.ipynb").unlink()
    assert "deeper" not in index.readme().partition("<!-- lessons -->")[2].partition("<!-- /lessons -->")[0]


def test_coverage_counts_the_tags_of_deeper_notebooks(small_course):
    assert index.tagged() == {tag: {"03": ["setup"], "deeper/post_ln": ["setup"]} for tag in ("C1", "E2")}
    assert "| 03: setup; deeper/post_ln: setup |" in index.coverage()


def test_deeper_notebook_gets_its_links_and_its_installing_cell(small_course):
    cells = json.loads(index.lesson(small_course / "deeper" / "post_ln.ipynb"))["cells"]
    assert [cell["id"] for cell in cells] == ["title", "launch", "install", "setup"]
    assert "notebooks%2Fdeeper%2Fpost_ln.ipynb" in "".join(cells[1]["source"])
    assert f"/blob/{launch.RELEASE}/notebooks/deeper/post_ln.ipynb" in "".join(cells[1]["source"])


@pytest.mark.parametrize("change", ["another address", "another cell", "no cell", "no links", "not behind the title"])
def test_a_lesson_that_differs_is_noticed_and_mended(change, tmp_path, monkeypatch):
    right = notebooks.lessons()[0]
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)
    path = tmp_path / right.name
    notebook = json.loads(right.read_text("utf8"))
    cells = notebook["cells"]
    if change == "another address":
        cells[1]["source"] = [launch.links("01_other.ipynb")]
    if change == "another cell":
        cells[2]["source"] = [*cells[2]["source"], "\n# and more"]
    if change == "no cell":
        del cells[2]
    if change == "no links":
        del cells[1]
    if change == "not behind the title":
        cells.append(cells.pop(2))
    path.write_text(notebooks.as_text(notebook), "utf8")
    assert path.read_text("utf8") != index.lesson(path)
    if change != "no cell":  # then counts are moved: see test_launch.py
        assert index.lesson(path) == right.read_text("utf8")


def test_readme_opens_the_first_lesson_anywhere():
    assert launch.badges("00_start_here.ipynb") in index.README.read_text("utf8")


def test_readme_names_every_lesson_and_its_links_exist():
    text = index.README.read_text("utf8")
    assert all(f"notebooks/{path.name}" in text for path in notebooks.lessons())
    assert all(f"notebooks/deeper/{path.name}" in text for path in notebooks.deeper())
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (index.ROOT / link).exists()] == []


def test_ci_runs_the_second_command_of_the_readme():
    commands = re.findall(r"```sh\n(.*?)```", index.README.read_text("utf8"), re.S)
    script = Path(index.ROOT / ".ci" / "run").read_text("utf8")
    for part in commands[1].strip().split(" && "):
        assert part.strip(" \\\n") in script
