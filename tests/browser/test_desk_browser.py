"""What a learner finds again: pictures after saving, closing and a restart; their answers and the next lesson.

Runs like `test_lab.py`, whose JupyterLab it uses, only when asked for.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import nbformat
import pytest
import test_lab
from support.exercises import exercises

from gpt2lessons.desk import lessons, record
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


# a lesson as it is opened

DIRTY = ".lm-DockPanel-tabBar .lm-TabBar-tab.jp-mod-current.jp-mod-dirty"


def test_a_lesson_opens_unmodified_and_its_help_stays_rendered(alone, page, lab):
    address, folder = lab
    path = folder / "00_start_here.ipynb"
    before = path.read_bytes()
    test_lab.open_lesson(page, address, path)
    page.wait_for_timeout(3000)
    assert page.locator(DIRTY).count() == 0
    for text in ("Hint", "Solution"):
        page.locator(".jp-MarkdownCell summary", has_text=text).first.dblclick()
        page.wait_for_timeout(500)
    raw = page.locator(".jp-MarkdownCell .cm-content:visible", has_text="<details>")
    assert raw.count() == 0, "a double click shows the source of the help, solution included"
    assert page.locator(DIRTY).count() == 0
    title = page.locator(".jp-MarkdownCell .jp-RenderedMarkdown").first
    title.dblclick()  # what the learner may edit still opens: the check above can fail
    page.locator(".jp-MarkdownCell .cm-content:visible").first.wait_for()
    assert path.read_bytes() == before


# the working copy, from one day to the next


@pytest.fixture
def desk(tmp_path):
    """A function that runs `gpt2lessons lab` on one working copy and returns (process, address, the page it opens)."""
    folder, running = tmp_path / "mine", []
    settings = {f"JUPYTER{name}": str(tmp_path / name) for name in ("_CONFIG_DIR", "_RUNTIME_DIR")}
    settings |= {f"JUPYTERLAB{name}": str(tmp_path / name) for name in ("_SETTINGS_DIR", "_WORKSPACES_DIR")}
    env = {name: value for name, value in os.environ.items() if name not in record.OFF} | settings

    def start():
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "gpt2lessons", "lab", "--folder", str(folder), "--", "--no-browser"]
        command += ["--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token="]
        log = (tmp_path / "log").open("w", encoding="utf8")
        running.append(subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT))
        for _ in range(1000):
            if test_lab._answers(f"http://127.0.0.1:{port}/api"):
                return running[-1], f"http://127.0.0.1:{port}", folder
            assert running[-1].poll() is None, (tmp_path / "log").read_text("utf8")
            time.sleep(0.3)
        pytest.fail("JupyterLab did not start")

    yield start
    for process in running:
        process.kill()
        process.wait(60)


def answer(page, stub, solution):
    """Type `solution` in the place of `stub`, run the cell, and return the element with its verdict."""
    _, check = stub.rstrip().rsplit("\n", 1)
    cell = page.locator(".jp-CodeCell", has_text=check).first
    cell.scroll_into_view_if_needed()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(f"{solution}\n{check}")
    page.keyboard.press("Shift+Enter")
    return cell.locator(".jp-OutputArea-output", has_text="✓")


def test_two_days(page, desk):
    """Solve a lesson, close everything, come back: answers and record are there, and the next lesson opens."""
    process, address, folder = desk()
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
    assert page.url.endswith("/lab/tree/00_start_here.ipynb")
    page.wait_for_selector(".jp-StatusBar-Widget >> text=/[|] Idle/")
    test_lab.run_all(page)
    lesson = exercises("00_start_here")
    for stub, solution in lesson.values():
        answer(page, stub, solution).wait_for()
    solved = record.read(folder / record.NAME)["solved"]
    assert set(solved) == set(lessons.exercises("00_start_here"))
    page.click(".jp-NotebookPanel-toolbar [data-command='docmanager:save']")
    path = folder / "00_start_here.ipynb"
    assert test_lab.eventually(page, lambda: "✓" in path.read_text("utf8"), seconds=60)
    saved = json.loads(path.read_text("utf8"))
    shown = [output for cell in notebooks.code_cells(saved) for output in cell["outputs"]]
    assert not any(kept.WIDGET_MIME in output.get("data", {}) for output in shown)
    assert any(map(kept.pictured, shown))
    page.goto("about:blank")
    process.send_signal(signal.SIGTERM)
    process.wait(60)

    _, address, _ = desk()
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
    assert test_lab.eventually(page, lambda: page.url.endswith("/lab/tree/01_architecture.ipynb"), seconds=60)
    page.goto(f"{address}/lab/tree/00_start_here.ipynb?reset", wait_until="domcontentloaded")
    page.wait_for_selector(".jp-OutputArea-output >> text=✓")
    assert page.get_by_text("Error displaying widget").count() == 0
    assert (page.abroad, page.errors) == ([], [])
