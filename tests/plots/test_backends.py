"""Figures are shown whatever backend the machine asks for: in a notebook inline, elsewhere as it was."""

import subprocess
import sys

import nbclient
import nbformat
import pytest

CELLS = [
    "import matplotlib.pyplot as plt\nimport gpt2lessons as gl",
    "gl.plots.new_axes().plot([1, 2])\nplt.show()",
    "gl.plots.new_axes().plot([2, 1])\nplt.show()",
]


@pytest.mark.parametrize("backend", ["agg", "SVG", "module://matplotlib_inline.backend_inline"])
def test_a_notebook_shows_each_figure_once(monkeypatch, backend):
    monkeypatch.setenv("MPLBACKEND", backend)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [cell.outputs for cell in notebook.cells]
    assert [sum("image/png" in o.get("data", {}) for o in those) for those in outputs] == [0, 1, 1]
    assert [len([o for o in those if "image/png" not in o.get("data", {})]) for those in outputs] == [0, 0, 0]


def test_a_script_keeps_its_backend(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    code = "import matplotlib.pyplot as plt, gpt2lessons as gl; gl.plots.new_axes(); print(plt.get_backend().lower())"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "agg"
