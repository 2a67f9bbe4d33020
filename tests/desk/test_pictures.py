"""A saved widget is a picture: by `execute`, by the server's hook; an installation tells the server of it."""

import copy
import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from gpt2lessons.desk import pictures, server
from gpt2lessons.widgets.base import Twin
from gpt2lessons.workshop import kaggle, notebooks

ROOT = Path(__file__).parents[2]
VIEW = {"model_id": "0", "version_major": 2, "version_minor": 0}
OURS = {"text/plain": "bench: T = 1", "image/png": "iVBORw0KGgo=", pictures.WIDGET_MIME: VIEW}
FOREIGN = {"text/plain": "IntSlider(value=0)", pictures.WIDGET_MIME: VIEW}


def notebook_with(*bundles):
    outputs = [nbformat.v4.new_output("display_data", data=copy.deepcopy(data)) for data in bundles]
    stream = nbformat.v4.new_output("stream", name="stdout", text="here\n")
    cells = [nbformat.v4.new_markdown_cell("?", id="a")]
    cells.append(nbformat.v4.new_code_cell("x", id="b", outputs=[*outputs, stream], execution_count=1))
    return nbformat.v4.new_notebook(cells=cells)


def test_a_widget_leaves_its_picture_and_its_text():
    notebook = notebook_with(OURS)
    pictures.keep_pictures(notebook)
    output = notebook.cells[1].outputs[0]
    assert output.data == {"text/plain": "bench: T = 1", "image/png": "iVBORw0KGgo="}
    assert output.metadata == {"image/png": {"alt": f"{pictures.CAPTION} bench: T = 1"}}
    assert pictures.pictured(output)
    again = copy.deepcopy(notebook)
    pictures.keep_pictures(again)
    assert again == notebook


def test_what_else_stands_in_a_notebook_stays():
    picture = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}
    notebook = notebook_with(FOREIGN, picture)
    before = copy.deepcopy(notebook)
    pictures.keep_pictures(notebook)
    assert notebook == before
    assert not any(map(pictures.pictured, notebook.cells[1].outputs))
    pictures.keep_pictures({})  # an empty model is no fault


def test_an_alternative_text_that_is_there_stays():
    notebook = notebook_with(OURS)
    notebook.cells[1].outputs[0].metadata = {"image/png": {"alt": "a bench"}, "isolated": True}
    pictures.keep_pictures(notebook)
    assert notebook.cells[1].outputs[0].metadata == {"image/png": {"alt": "a bench"}, "isolated": True}


def test_execute_writes_pictures_and_finds_what_is_none(tmp_path):
    cleaned = notebooks.clean(notebook_with(OURS))
    assert pictures.pictured(cleaned.cells[1].outputs[0])
    path = tmp_path / "a.ipynb"
    sentence = "a widget's type is saved"
    for notebook, wrong in ((notebook_with(OURS), True), (cleaned, False)):
        path.write_text(json.dumps(notebook), "utf8")
        assert any(problem.startswith(sentence) for problem in notebooks.problems(path)) == wrong


# the server's hook


def saved(tmp_path, content, kind="notebook"):
    """Save `content` through a contents manager that has the extension; return what lies on the disk."""
    from jupyter_server.services.contents.largefilemanager import LargeFileManager

    manager = LargeFileManager(root_dir=str(tmp_path))
    server._load_jupyter_server_extension(type("Server", (), {"contents_manager": manager}))
    model = {"type": kind, "format": "json" if kind == "notebook" else "text", "content": content}
    manager.save(model, "a.ipynb" if kind == "notebook" else "a.txt")
    return (tmp_path / ("a.ipynb" if kind == "notebook" else "a.txt")).read_text("utf8")


def test_what_a_learner_saves_keeps_pictures(tmp_path):
    found = json.loads(saved(tmp_path, notebook_with(OURS, FOREIGN)))["cells"][1]["outputs"]
    assert pictures.pictured(found[0])
    assert set(found[1]["data"]) == set(FOREIGN)


def test_other_files_are_saved_as_they_are(tmp_path):
    assert saved(tmp_path, pictures.WIDGET_MIME, kind="file") == pictures.WIDGET_MIME


def test_the_server_finds_the_hook_by_the_name_in_the_laid_file():
    import importlib

    laid = json.loads((ROOT / "gpt2lessons" / "desk" / "gpt2lessons.json").read_text("utf8"))
    ((name, enabled),) = laid["ServerApp"]["jpserver_extensions"].items()
    module = importlib.import_module(name)
    assert enabled is True
    assert [point["module"] for point in module._jupyter_server_extension_points()] == [name]


# what an installation lays into the environment

PLACES = (
    "etc/jupyter/jupyter_server_config.d/gpt2lessons.json",
    "share/jupyter/lab/settings/overrides.d/gpt2lessons_settings.json",
    "etc/ipython/ipython_kernel_config.json",
    "share/gpt2lessons/notebooks/00_start_here.ipynb",
    "share/gpt2lessons/notebooks/glossary.ipynb",
    "share/gpt2lessons/notebooks/deeper/parameters.ipynb",
)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """{kind: names of the files in it}: the wheel, and the one that `pip install -e .` builds and unpacks."""
    folder = tmp_path_factory.mktemp("wheels")
    code = "import sys; from setuptools import build_meta; build_meta.build_editable(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, capture_output=True)
    (editable,) = folder.glob("*.whl")
    found = {"editable": editable, "wheel": kaggle.build_wheel(tmp_path_factory.mktemp("wheel"))}
    return {kind: zipfile.ZipFile(path).namelist() for kind, path in found.items()}


@pytest.mark.parametrize("kind", ["editable", "wheel"])
def test_an_installation_lays_what_jupyter_ipython_and_lab_look_for(wheels, kind):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]["version"]
    assert {f"gpt2lessons-{version}.data/data/{place}" for place in PLACES} <= set(wheels[kind])
    assert not any("coursework" in name and name.endswith(".ipynb") for name in wheels[kind])


# the line below the picture


class Drawn(Twin):
    """A widget whose picture is one letter, or none."""

    wrong = False

    def render(self):
        return "<p>here</p>"

    def summary(self):
        return "one letter"

    def picture(self):
        if self.wrong:
            raise ValueError("no letter for $5: <give> one")
        self.drawn = plt.figure(figsize=(3, 1))
        self.drawn.text(0.5, 0.5, "x")
        return self.drawn


def test_a_line_below_the_picture_says_what_it_is():
    widget = Drawn([])
    data = widget._repr_mimebundle_()
    letter, line = widget.drawn.texts
    renderer = FigureCanvasAgg(widget.drawn).get_renderer()
    assert line.get_text() == pictures.CAPTION
    assert line.get_window_extent(renderer).y1 < letter.get_window_extent(renderer).y0
    assert {"text/plain", "image/png", pictures.WIDGET_MIME} <= set(data)
    assert data["image/png"] == Drawn([])._repr_mimebundle_()["image/png"]


def test_a_widget_without_a_picture_leaves_what_is_wrong():
    widget = Drawn([])
    widget.wrong = True
    open_before = plt.get_fignums()
    assert "image/png" in widget._repr_mimebundle_()
    assert plt.get_fignums() == open_before


def test_a_widget_whose_kernel_is_gone_says_so_in_the_browser():
    style = Drawn([]).view.value
    assert f"content:'{pictures.CAPTION}'" in style
    assert "gl-twin" in Drawn([])._dom_classes
