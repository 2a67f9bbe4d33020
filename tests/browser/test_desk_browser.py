"""What a learner finds again: pictures of widgets after saving, closing and a restart of the kernel.

Runs like `test_lab.py`, whose JupyterLab it uses, only when asked for.
"""

import json

import nbformat
import pytest
import test_lab

from gpt2lessons.desk import pictures as kept
from gpt2lessons.workshop import notebooks

pytestmark = test_lab.pytestmark
chromium, lab, alone, page = test_lab.chromium, test_lab.lab, test_lab.alone, test_lab.page

WIDGET = 'import gpt2lessons as gl\n\ngl.widgets.OverlapViewer("the cat sat", "the cat ran")'
PICTURES = ".jp-OutputArea-output img"
TRUST = ".jp-Dialog-button:has-text('Trust')"
# what the stylesheet puts before and behind elements that have lost their kernel
MARKS = """mark => [...document.querySelectorAll('.jupyter-widgets-disconnected')].map(e => getComputedStyle(e, mark))
    .filter(s => s.display !== 'none' && !['none', 'normal'].includes(s.content)).map(s => s.content)"""


@pytest.fixture
def pictures(tmp_path):
    """The folder for the last screenshot."""
    return tmp_path


@pytest.fixture
def lesson(lab, request):
    """A notebook of its own with one widget, not run yet."""
    metadata = {"kernelspec": notebooks.KERNEL, "language_info": notebooks.LANGUAGE}
    path = lab[1] / f"{request.node.name}.ipynb"
    cells = [nbformat.v4.new_markdown_cell("A widget:", id="a"), nbformat.v4.new_code_cell(WIDGET, id="b")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def output(lesson):
    """The widget's saved output, None if there is none."""
    return next(iter(json.loads(lesson.read_text("utf8"))["cells"][1]["outputs"]), None)


def save(page, lesson):
    page.click(".jp-NotebookPanel-toolbar [data-command='docmanager:save']")
    assert test_lab.eventually(page, lambda: output(lesson), seconds=60), "nothing was saved"


def shows_a_picture(page):
    page.wait_for_selector(PICTURES)
    assert page.get_by_text("Error displaying widget").count() == 0
    assert page.locator(test_lab.OUTER_WIDGETS).count() == 0
    return page.locator(PICTURES).count() == 1


def by_palette(page, command):
    """Run a command by its name in the palette."""
    page.keyboard.press("Control+Shift+C")
    page.locator(".lm-CommandPalette-input").fill(command)
    page.locator(".lm-CommandPalette-item", has_text=command).first.click(timeout=test_lab.MINUTE)


def test_run_save_shut_down_reopen(alone, page, lab, lesson):
    test_lab.open_lesson(page, lab[0], lesson)
    test_lab.run_all(page)
    widget = page.locator(test_lab.OUTER_WIDGETS)
    widget.wait_for()
    save(page, lesson)
    assert kept.pictured(output(lesson))
    assert widget.count() == 1, "what is on the page stays alive"
    assert page.evaluate(MARKS, "::before") == page.evaluate(MARKS, "::after") == []

    page.click(".lm-MenuBar-item:has-text('Kernel')")
    page.click(".lm-Menu-itemLabel:text-is('Shut Down Kernel')")
    page.wait_for_selector(".jp-StatusBar-Widget >> text=/No Kernel/")
    test_lab.open_lesson(page, lab[0], lesson)
    assert shows_a_picture(page)
    assert (page.abroad, page.errors) == ([], [])


def test_a_restart_leaves_one_line_and_no_broken_links(alone, page, lab, lesson):
    test_lab.open_lesson(page, lab[0], lesson)
    test_lab.run_all(page)
    page.locator(test_lab.OUTER_WIDGETS).wait_for()
    page.click(".lm-MenuBar-item:has-text('Kernel')")
    page.click(".lm-Menu-itemLabel:text-is('Restart Kernel…')")
    page.click(".jp-Dialog-button:has-text('Restart')")
    page.wait_for_selector(".jupyter-widgets-disconnected")
    assert page.evaluate(MARKS, "::before") == []
    assert page.evaluate(MARKS, "::after") == [f'"{kept.CAPTION}"']
    test_lab.run_all(page)
    assert test_lab.eventually(page, lambda: page.evaluate(MARKS, "::after") == [], seconds=60)
    page.locator(test_lab.OUTER_WIDGETS).wait_for()


def test_trusting_a_fresh_file_changes_nothing(alone, page, lab, lesson):
    notebooks.execute(lesson)  # written by another process than the server: not trusted
    assert kept.pictured(output(lesson))
    test_lab.open_lesson(page, lab[0], lesson)
    assert shows_a_picture(page)
    before = lesson.stat().st_mtime_ns
    by_palette(page, "Trust Notebook")
    page.click(TRUST)
    assert test_lab.eventually(page, lambda: lesson.stat().st_mtime_ns != before, seconds=60), "trusting saves"
    test_lab.open_lesson(page, lab[0], lesson)
    assert shows_a_picture(page)
    assert (page.abroad, page.errors) == ([], [])


def test_without_the_hook_the_error_is_what_a_reader_meets(alone, page, lab, lesson):
    """The assertions above can fail: a file with the widget's type, trusted, shows the error."""
    notebooks.execute(lesson)
    notebook = nbformat.read(lesson, 4)
    view = {"model_id": "0" * 32, "version_major": 2, "version_minor": 0}
    notebook.cells[1].outputs[0].data[kept.WIDGET_MIME] = view
    nbformat.write(notebook, lesson)
    test_lab.open_lesson(page, lab[0], lesson)
    assert shows_a_picture(page)  # as long as it is not trusted
    by_palette(page, "Trust Notebook")
    page.click(TRUST)
    page.get_by_text("Error displaying widget").wait_for()
