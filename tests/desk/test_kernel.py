"""A cell that runs before the set-up cell says so, in a real kernel with the file that an installation lays."""

import json
import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from gpt2lessons.desk import kernel

LAID = Path(kernel.__file__).with_name("ipython_kernel_config.json")
CELLS = (
    "gl.checks.start.pieces(pieces)",
    "lm",
    "nowhere",
    "def f():\n    return gl\n\nf()",
    "1 / 0",
    "gl = 1\nprint(gl)",
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The outputs of `CELLS`, one list each, in a kernel whose settings have the laid file."""
    folder = tmp_path_factory.mktemp("ipython")
    (folder / "profile_default").mkdir()
    shutil.copy(LAID, folder / "profile_default")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    client = NotebookClient(notebook, timeout=120, allow_errors=True, kernel_name="python3")
    client.execute(env=os.environ | {"IPYTHONDIR": str(folder)})
    return [cell.outputs for cell in notebook.cells]


def test_a_check_before_the_setup_cell_says_so(outputs):
    for n, name in ((0, "gl"), (1, "lm"), (3, "gl")):
        (error,) = outputs[n]
        assert error.ename == "NameError"
        assert error.evalue.startswith(f"name {name!r} is not defined. {kernel.SENTENCE}")
        assert kernel.SENTENCE in error.traceback[-1]
    assert "return" in "".join(outputs[3][0].traceback), "the learner's line is still there"


def test_other_errors_and_results_stay_as_they_are(outputs):
    assert [outputs[n][0].evalue for n in (2, 4)] == ["name 'nowhere' is not defined", "division by zero"]
    assert outputs[5][0].text == "1\n"


def test_the_laid_file_names_the_extension():
    assert json.loads(LAID.read_text("utf8")) == {"InteractiveShellApp": {"extensions": [kernel.__name__]}}
