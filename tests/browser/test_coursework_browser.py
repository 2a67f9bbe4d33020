"""The problem sets as a student has them: the version that is handed out, in JupyterLab, with nbgrader's Validate.

Runs like `test_lab.py`, whose JupyterLab it uses, only when asked for.
"""

import shutil
import sys
from pathlib import Path

import nbformat
import pytest
import test_lab

sys.path.insert(0, str(Path(__file__).parent.parent / "grading"))
from test_nbgrader import WRITTEN_BY_NBGRADER, run
from test_sets import COURSEWORK, SETS, kind, model_answer

pytestmark = test_lab.pytestmark
chromium, lab, page, pictures = test_lab.chromium, test_lab.lab, test_lab.page, test_lab.pictures


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A function that returns a problem set as it is handed out."""
    folder = tmp_path_factory.mktemp("course") / "coursework"
    shutil.copytree(COURSEWORK, folder, ignore=shutil.ignore_patterns(*WRITTEN_BY_NBGRADER))

    def released(name):
        path = folder / "release" / name / f"{name}.ipynb"
        if not path.exists():
            run(folder, "generate_assignment", name, "--create")
        return path

    return released


def validate(page, picture):
    """Press nbgrader's Validate and return what its dialog says."""
    page.click(".jp-NotebookPanel .jp-Toolbar >> text=Validate")
    dialog = page.locator(".jp-Dialog-content")
    dialog.wait_for()
    page.wait_for_timeout(500)
    page.screenshot(path=picture)
    said = dialog.inner_text()
    dialog.get_by_role("button", name="Ok").click()
    dialog.wait_for(state="detached")
    return said


def stub_of(notebook, question):
    return next(c for c in notebook.cells if kind(c)["grade_id"] == question)


def answered(notebook, name):
    """All questions answered, the written ones too."""
    for cell in notebook.cells:
        if kind(cell)["solution"]:
            code = cell.cell_type == "code"
            cell.source = model_answer(name, kind(cell)["grade_id"]) if code else "My answer."
    return notebook


@pytest.mark.parametrize("name", SETS)
def test_validate_tells_a_student_what_is_missing(page, lab, released, pictures, name):
    address, folder = lab
    path = folder / f"{name}.ipynb"
    shutil.copy(released(name), path)
    notebook = nbformat.read(path, 4)
    tests = {q: stub_of(notebook, f"{q}-test").source.strip().splitlines()[-1] for q in ("q1", "q2")}
    test_lab.open_lesson(page, address, path)
    said = validate(page, pictures / "stub.png")
    assert "NotImplementedError" in said
    assert all(line in said for line in tests.values())
    assert "BEGIN HIDDEN" not in said

    first = stub_of(notebook, "q1").source.splitlines()[0]
    page.locator(".jp-CodeCell", has_text=first).first.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(model_answer(name, "q1"))
    said = validate(page, pictures / "first_answered.png")
    assert tests["q1"] not in said
    assert tests["q2"] in said
    assert stub_of(nbformat.read(path, 4), "q1").source.strip() == model_answer(name, "q1").strip()

    # without nbgrader: running all cells goes as far as the first test that fails, and shows its message
    test_lab.run_all(page)
    errors = page.locator(".jp-OutputArea-output", has_text="NotImplementedError")
    errors.first.wait_for()
    assert errors.count() == 1
    page.screenshot(path=pictures / "run_all.png")
    assert (page.abroad, page.errors) == ([], [])


@pytest.mark.parametrize("name", SETS)
def test_validate_is_content_with_a_finished_problem_set(page, lab, released, pictures, name):
    address, folder = lab
    path = folder / f"{name}_done" / f"{name}.ipynb"
    path.parent.mkdir()
    nbformat.write(answered(nbformat.read(released(name), 4), name), path)
    page.goto(f"{address}/lab/tree/{name}_done/{path.name}?reset", wait_until="domcontentloaded")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
    page.wait_for_selector(".jp-StatusBar-Widget >> text=/[|] Idle/")
    said = validate(page, pictures / "done.png")
    assert "passes all the tests" in said
