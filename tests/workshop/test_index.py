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
    assert index.PICTURE.read_bytes() == index.picture(), HINT


@pytest.mark.parametrize("path", notebooks.lessons(), ids=lambda path: path.stem)
def test_each_lesson_has_its_links_and_its_installing_cell(path):
    assert path.read_text("utf8") == index.lesson(path), HINT
    _, line, install, *_ = index.cells(path)
    assert [line["id"], install["id"]] == ["launch", "install"]
    assert "".join(line["source"]) == launch.links(path.name)
    assert "".join(install["source"]) == launch.first_cell()
    assert install["outputs"] == [], "where the course is, the cell prints nothing"


@pytest.mark.parametrize("change", ["another address", "another cell", "no cell", "no links", "not behind the title"])
def test_a_lesson_that_differs_is_noticed_and_mended(change, tmp_path):
    right = notebooks.lessons()[0]
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
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (index.ROOT / link).exists()] == []


def test_ci_runs_the_second_command_of_the_readme():
    commands = re.findall(r"```sh\n(.*?)```", index.README.read_text("utf8"), re.S)
    script = Path(index.ROOT / ".ci" / "run").read_text("utf8")
    for part in commands[1].strip().split(" && "):
        assert part.strip(" \\\n") in script
