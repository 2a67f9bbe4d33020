"""Each lesson in JupyterLab in a real browser: it opens, it runs, its widgets answer the keyboard, nothing goes abroad.

Slow, so it runs only when asked for: `GPT2LESSONS_BROWSER=1 pytest -n 0 --no-header -rs tests/browser`. The pictures go
to the folder that `GPT2LESSONS_SCREENSHOTS` names, else to pytest's own.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gpt2lessons import notebooks

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(os.environ.get("GPT2LESSONS_BROWSER") != "1", reason="slow: set GPT2LESSONS_BROWSER=1"),
]

MINUTE = 60_000  # milliseconds; generous, because it only matters when something hangs
HERE = {"127.0.0.1", "localhost"}
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page, seen or not
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
CHROMIUM = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
PROMPTS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(p => p.innerText.trim())"
OUTER_WIDGETS = ".jp-CodeCell .jp-OutputArea-output .jupyter-widgets.widget-vbox:not(.jupyter-widgets .jupyter-widgets)"


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        pytest.skip("needs chromium (Debian: apt install chromium)")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=executable, args=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab with no settings but ours, and the copies of the lessons that it serves."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "lessons").mkdir()
    for path in notebooks.lessons():
        shutil.copy(path, folder / "lessons")
    for name, values in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"HF_HUB_OFFLINE": "1", "GPT2LESSONS_MODEL": "gpt2-mini", "OMP_NUM_THREADS": "1"}
    env |= {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    env |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "spaces")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--ServerApp.password=", f"--ServerApp.root_dir={folder / 'lessons'}"]
    log = (folder / "log").open("w")
    server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 120
        while not _answers(f"http://127.0.0.1:{port}/api"):
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"JupyterLab did not start:\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}", folder / "lessons"
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def _answers(url):
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except OSError:
        return False


@pytest.fixture
def page(chromium):
    """A page that cannot reach other machines; `.abroad`: what it asked of them, `.errors`: what scripts raised."""
    context = chromium.new_context(viewport={"width": 1280, "height": 1100})
    page = context.new_page()
    page.abroad, page.errors, page.deaf = [], [], 0
    page.set_default_timeout(2 * MINUTE)

    def guard(route):
        if urlsplit(route.request.url).hostname in HERE:
            return route.continue_()
        page.abroad.append(route.request.url)
        return route.abort()

    def note_socket(connection):
        if urlsplit(connection.url).hostname not in HERE:
            page.abroad.append(connection.url)

    page.route(lambda url: url.startswith("http"), guard)
    page.on("websocket", note_socket)
    page.on("pageerror", lambda error: page.errors.append(str(error)[:500]))
    yield page
    context.close()


@pytest.fixture
def pictures(request, tmp_path):
    """The folder that screenshots of this lesson go to."""
    chosen = os.environ.get("GPT2LESSONS_SCREENSHOTS")
    folder = Path(chosen) / request.node.callspec.id if chosen else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def saved(cells):
    """Return how many pictures, errors and widgets the saved outputs of code cells have."""
    outputs = [output for cell in cells for output in cell["outputs"]]
    images, widgets = (sum(mime in o.get("data", {}) for o in outputs) for mime in ("image/png", WIDGET_MIME))
    return images, sum(o["output_type"] == "error" for o in outputs), widgets


def open_lesson(page, address, lesson):
    page.goto(f"{address}/lab/tree/{lesson.name}?reset", wait_until="domcontentloaded")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
    page.wait_for_selector(".jp-StatusBar-Widget >> text=/[|] Idle/")  # a kernel is there and waits
    prose = "[...document.querySelectorAll('.jp-MarkdownCell')]"
    page.wait_for_function(f"{prose}.every(c => c.querySelector('.jp-RenderedMarkdown')?.innerText.trim())")


def run_all(page):
    """Run all cells by the menu, and wait until none is waiting or running."""
    waiting = f"{PROMPTS}.some(p => p.includes('*'))"
    for _ in range(3):  # while the page is still being built, a menu may close again
        page.click(".lm-MenuBar-item:has-text('Run')")
        page.click(".lm-Menu-itemLabel:text-is('Run All Cells')")
        if eventually(page, lambda: page.evaluate(waiting), seconds=15):
            break
    assert eventually(page, lambda: not page.evaluate(waiting), seconds=600), "some cells are still running"


def eventually(page, holds, *, seconds):
    """Return whether `holds()` becomes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        page.wait_for_timeout(200)
    return True


def move(page, control):
    """Change a slider or menu by keys alone, or press a button or box.

    JupyterLab (4.6) takes the arrow keys away from a menu, to move between cells. Such a menu is counted in `page.deaf`
    and changed as by pointer; the lesson is then reported as an expected failure, not as right.
    """
    is_menu, is_slider = (control.evaluate(f"e => e.matches('{kind}')") for kind in ("select", ".noUi-handle"))
    place = "e => e.matches('select') ? e.selectedIndex : e.parentElement.style.transform"
    control.focus()
    if not is_menu and not is_slider:
        page.keyboard.press("Space")
        return
    before = control.evaluate(place)
    for key in ("ArrowDown", "ArrowUp"):  # the other way, if it stood at its end
        page.keyboard.press(key)
        if eventually(page, lambda: control.evaluate(place) != before, seconds=0.5):
            return
    assert is_menu, f"a slider does not obey the arrow keys: {control.evaluate('e => e.outerHTML')}"
    page.deaf += 1
    control.select_option(index=0 if before else 1)


@pytest.mark.parametrize("lesson", notebooks.lessons(), ids=lambda path: path.stem)
def test_lesson(page, lab, lesson, pictures):
    address, folder = lab
    cells = notebooks.code_cells(json.loads((folder / lesson.name).read_text("utf8")))
    images, errors, widgets = saved(cells)
    assert images > 0
    open_lesson(page, address, lesson)
    # the saved pictures are seen before anything is run, those that stand in for widgets too
    page.wait_for_function(f"document.querySelectorAll('.jp-OutputArea-output img').length >= {images}")
    page.screenshot(path=pictures / "opened.png")

    run_all(page)
    ran = [p.strip("[]: ") for p in page.evaluate(PROMPTS)]
    assert [p for p in ran if p] == [str(n + 1) for n in range(len(cells))], "not every cell ran, once and in order"
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == errors
    found = page.locator(OUTER_WIDGETS)
    assert found.count() == widgets
    for number in range(widgets):
        exercise(page, found.nth(number), pictures / f"widget_{number:02}")
    assert page.get_by_text("Error displaying widget").count() == 0
    page.screenshot(path=pictures / "end.png")
    assert (page.abroad, page.errors) == ([], [])
    if page.deaf:
        pytest.xfail(f"JupyterLab takes the arrow keys from {page.deaf} menu(s): use sliders or buttons in their place")


def exercise(page, widget, picture):
    """Move every slider and menu of a widget (or press its buttons, if it has neither); its view must answer."""
    widget.scroll_into_view_if_needed()
    widget.screenshot(path=f"{picture}_before.png")
    view = "e => [...e.querySelectorAll('.widget-html-content')].map(v => v.innerHTML).join('|')"
    before = widget.evaluate(view)
    controls = widget.locator(".noUi-handle, select").all() or widget.locator("button, input").all()
    assert controls, "a widget without anything to turn"
    for control in controls:
        if control.is_visible() and control.is_enabled():
            move(page, control)
    answered = eventually(page, lambda: widget.evaluate(view) != before, seconds=60)
    page.wait_for_timeout(500)
    widget.screenshot(path=f"{picture}_after.png")
    assert answered, f"the view does not answer the keyboard: see {picture}_after.png"
