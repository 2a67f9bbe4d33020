"""Links to the services that open a lesson, and the cell that installs the course only where it is missing."""

import ast
import glob
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient

from gpt2lessons.workshop import launch, notebooks

ROOT = Path(__file__).parents[2]


@pytest.fixture
def published(monkeypatch):
    monkeypatch.setattr(launch, "REPOSITORY", "ada/gpt2lessons")


@pytest.fixture
def missing(monkeypatch, tmp_path):
    """A machine without the course and with an empty Kaggle input; what pip is asked for is kept, not done."""
    asked = []

    def run(command, **options):
        asked.append(command)
        return SimpleNamespace(returncode=missing.returncode, stderr="ERROR: no such thing\n")

    missing = SimpleNamespace(asked=asked, returncode=0, input=tmp_path / "input")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gpt2lessons" else find_spec(name))
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(launch, "KAGGLE_INPUT", str(missing.input))
    return missing


def test_addresses(published):
    assert launch.places("03_next_token.ipynb") == {
        "Binder": (
            f"https://mybinder.org/v2/gh/ada/gpt2lessons/{launch.RELEASE}?labpath=notebooks%2F03_next_token.ipynb",
            "https://mybinder.org/badge_logo.svg",
        ),
        "Colab": (
            f"https://colab.research.google.com/github/ada/gpt2lessons/blob/{launch.RELEASE}/notebooks/03_next_token.ipynb",
            "https://colab.research.google.com/assets/colab-badge.svg",
        ),
        "Kaggle": (
            f"https://kaggle.com/kernels/welcome?src=https://github.com/ada/gpt2lessons/blob/{launch.RELEASE}/notebooks/"
            "03_next_token.ipynb",
            "https://kaggle.com/static/images/open-in-kaggle.svg",
        ),
    }


def test_badges_show_pictures_and_links_do_not(published):
    badges, links = launch.badges("00_start_here.ipynb"), launch.links("00_start_here.ipynb")
    assert badges.count("\n") == 2
    assert "\n" not in links
    for name, (url, picture) in launch.places("00_start_here.ipynb").items():
        assert f"[![Open in {name}]({picture})]({url})" in badges
        assert f"[{name}]({url})" in links
        assert picture not in links, "a lesson would ask the network for a picture"


def test_the_address_of_the_repository_stands_in_one_place():
    """Wherever a page of GitHub, Binder or Colab names this course, it is the address that launch.py has."""
    pattern = re.compile(r"(?:github\.com/|github/|/gh/|git\+https://github\.com/)([\w.-]+/gpt2lessons)\b")
    files = [ROOT / "README.md", *notebooks.lessons(), *(ROOT / "gpt2lessons").rglob("*.py")]
    found = {(path.name, name) for path in files for name in pattern.findall(path.read_text("utf8"))}
    assert {entry for entry in found if entry[1] != launch.REPOSITORY} == set()


def test_where_the_course_is_the_cell_does_and_says_nothing(tmp_path):
    """In a real kernel, with the bare file alone in its folder."""
    cells = [nbformat.v4.new_code_cell(s) for s in (launch.first_cell(), "import gpt2lessons, sys; 'glob' in dir()")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert notebook.cells[0].outputs == []
    assert notebook.cells[1].outputs[0].data["text/plain"] == "False"


def test_links_and_cell_name_the_released_version(published):
    """A class that began with one version goes on with it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
    assert f"v{project['version']}" == launch.RELEASE
    assert launch.first_cell().count(f"@{launch.RELEASE}") == 1
    assert all(launch.RELEASE in address for address, _ in launch.places("03_next_token.ipynb").values())
    assert launch.site() == "https://ada.github.io/gpt2lessons/"


def test_where_it_is_missing_the_cell_takes_it_from_github(published, missing, capfd):
    exec(launch.first_cell(), {})
    address = f"git+https://github.com/ada/gpt2lessons@{launch.RELEASE}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", address]
    assert missing.asked == [command]
    assert capfd.readouterr() == ("", "")


def test_a_folder_of_the_same_name_does_not_count_as_the_course(missing, monkeypatch, tmp_path):
    """A clone in the working folder, as on Colab: Python finds an empty "namespace package" there."""
    clone = tmp_path / "content" / "gpt2lessons" / "gpt2lessons"
    clone.mkdir(parents=True)
    (clone / "__init__.py").touch()
    spec = importlib.machinery.PathFinder.find_spec("gpt2lessons", [str(tmp_path / "content")])
    assert spec is not None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setitem(sys.modules, "gpt2lessons", importlib.util.module_from_spec(spec))
    exec(launch.first_cell(), {})
    assert len(missing.asked) == 1
    assert "gpt2lessons" not in sys.modules, "the empty one that is imported already would win"


def test_the_trap_and_the_way_out_in_a_real_python(tmp_path):
    """The cell in a folder that holds a clone: it installs, and what was installed is what the next import finds."""
    (tmp_path / "content" / "gpt2lessons" / "gpt2lessons").mkdir(parents=True)
    (tmp_path / "content" / "gpt2lessons" / "gpt2lessons" / "__init__.py").write_text("clone = True", "utf8")
    (tmp_path / "site").mkdir()
    code = f"""import subprocess, sys, types
from pathlib import Path
import gpt2lessons
assert not hasattr(gpt2lessons, "__version__"), "the trap is not set"
def pip(command, **options):
    package = Path({str(tmp_path / "site")!r}) / "gpt2lessons"
    package.mkdir()
    (package / "__init__.py").write_text("installed = True", "utf8")
    return types.SimpleNamespace(returncode=0)
subprocess.run = pip
sys.path.append({str(tmp_path / "site")!r})
exec({launch.first_cell()!r})
import gpt2lessons
assert gpt2lessons.installed
subprocess.run = None
exec({launch.first_cell()!r})
"""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, cwd=tmp_path / "content", env=kept, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_on_kaggle_the_attached_wheel_is_taken_and_nothing_else_asked(missing):
    wheel = missing.input / "datasets" / "ada" / "gpt2lessons" / "gpt2lessons-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    assert glob.glob(f"{missing.input}/**/*.whl", recursive=True)
    exec(launch.first_cell(), {})
    ((*_, no_index, links, folder, name),) = missing.asked
    assert (no_index, links, folder, name) == ("--no-index", "--find-links", str(wheel.parent), "gpt2lessons")


def test_when_pip_fails_its_words_are_shown(missing):
    missing.returncode = 1
    with pytest.raises(RuntimeError, match=r"could not be installed\. pip says:\nERROR: no such thing"):
        exec(launch.first_cell(), {})


def test_the_cell_fits_a_lesson():
    """Not longer than a cell may be, one name bound at the top level, and no semicolon, as for every cell."""
    source = launch.first_cell()
    assert len(source.splitlines()) <= notebooks.MAX_LINES
    assert max(map(len, source.splitlines())) <= 120
    cell = {"id": launch.CELL_ID, "source": source}
    assert notebooks.redefinitions([cell, {"id": "setup", "source": "import torch\n\nimport gpt2lessons as gl"}]) == []
    assert [type(node).__name__ for node in ast.parse(source).body] == ["Import", "If"]


def lesson_of(*cells):
    return {
        "nbformat": 4,
        "metadata": {},
        "cells": [{"cell_type": "markdown", "id": "title", "source": ["# ?"]}, *cells],
    }


def code(name, count, outputs=()):
    return {"cell_type": "code", "id": name, "execution_count": count, "source": ["1"], "outputs": list(outputs)}


def test_a_lesson_gets_its_links_and_its_cell_behind_the_title_and_counts_go_on(published):
    result = {"output_type": "execute_result", "execution_count": 2, "data": {}}
    printed = {"output_type": "stream", "text": ["1"]}
    made = launch.equip(lesson_of(code("setup", 1), code("a", 2, [printed, result]), code("new", None)), "03_x.ipynb")
    cells = made["cells"]
    assert [cell["id"] for cell in cells] == ["title", "launch", "install", "setup", "a", "new"]
    assert "".join(cells[1]["source"]) == launch.links("03_x.ipynb")
    assert "".join(cells[2]["source"]) == launch.first_cell()
    assert [cell["execution_count"] for cell in cells[2:]] == [1, 2, 3, None]
    assert cells[4]["outputs"] == [printed, result | {"execution_count": 3}]


def test_a_lesson_that_has_both_gets_them_anew_and_keeps_its_counts(published, monkeypatch):
    old = launch.equip(lesson_of(code("setup", 1), code("skipped", None), code("a", 9)), "03_x.ipynb")
    assert launch.equip(old, "03_x.ipynb") == old, "what was not run in order must stay so: a test looks for it"
    monkeypatch.setattr(launch, "REPOSITORY", "grace/gpt2lessons")
    new = launch.equip(old, "03_x.ipynb")
    changed = {a["id"] for a, b in zip(old["cells"], new["cells"], strict=True) if a != b}
    assert changed == {"launch", "install"}
    assert "ada/" not in str(new)


def test_what_is_written_into_a_lesson_is_a_valid_notebook():
    setup = nbformat.v4.new_code_cell("1", id="setup", execution_count=1)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# ?", id="title"), setup])
    read = json.loads(nbformat.writes(notebook))
    text = notebooks.as_text(launch.equip(read, "03_x.ipynb"))
    assert nbformat.writes(nbformat.reads(text, as_version=4)).rstrip("\n") + "\n" == text
    nbformat.validate(nbformat.reads(text, as_version=4))
