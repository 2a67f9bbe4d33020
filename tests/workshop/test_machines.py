"""The comparison with other machines: what counts as a difference, and the table."""

import nbformat
import pytest

from gpt2lessons.__main__ import main
from gpt2lessons.workshop import machines, notebooks

CELLS = {
    "place": "import os, time; print(time.tzname[0], os.environ.get('COLUMNS'))",
    "kernel": "import torch; print(torch.backends.cuda.flash_sdp_enabled())",
    "same": "1 + 1",
    "fails": "raise ValueError('on purpose')",
}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """One notebook whose outputs depend on the machine, saved on this one."""
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("COLUMNS", "80")
    notebook = nbformat.v4.new_notebook()
    for name, source in CELLS.items():
        notebook.cells.append(nbformat.v4.new_code_cell(source, id=name))
    notebook.cells[-1].metadata["tags"] = ["raises-exception"]
    path = tmp_path / "00_x.ipynb"
    nbformat.write(notebook, path)
    notebooks.execute(path)
    return path


def test_cells_that_print_something_else_are_named(course):
    assert machines.differing(course, "this one") == ([], [])
    assert machines.differing(course, "elsewhere") == (["place"], [])
    assert machines.differing(course, "math attention") == (["kernel"], [])


def test_ignored_cells_are_counted_apart_and_the_table_adds_up(course):
    notebook = nbformat.read(course, as_version=4)
    notebook.cells[0].metadata["tags"] = ["nbval-ignore-output"]
    nbformat.write(notebook, course)
    head, row, total, _, *named = machines.table([course], ["this one", "elsewhere", "math attention"], jobs=1)
    assert head.split() == ["this", "one", "elsewhere", "math", "attention"]
    assert row.split() == ["00_x", "0", "0", "(+1)", "1"]
    assert total.split() == ["all", "0", "0", "1"]
    assert named == ["00_x on math attention: kernel"]


def test_a_run_that_fails_is_named(course):
    notebook = nbformat.read(course, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("1 / 0", id="broken"))
    nbformat.write(notebook, course)
    (found,), ignored = machines.differing(course, "this one")
    assert (found.startswith("! ZeroDivisionError"), ignored) == (True, [])


def test_streams_are_compared_as_a_whole():
    pieces = [{"output_type": "stream", "name": "stdout", "text": text} for text in ("a", "b")]
    whole = [{"output_type": "stream", "name": "stdout", "text": "ab"}]
    assert machines.printed({"outputs": pieces}) == machines.printed({"outputs": whole})


def test_an_unknown_machine_gets_a_sentence(capsys):
    assert main(["execute", "--check", "--machines", "arm"]) == 2
    assert "'no vectors'" in capsys.readouterr().err
