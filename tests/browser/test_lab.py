"""Each lesson in JupyterLab in a real browser: it opens, it runs, its widgets answer, nothing goes abroad.

Widgets are moved by keys alone, then by pointer; they are looked at in the light and the dark theme, and on a page of
640 pixels, which is what a zoom of 200 % leaves. Slow, so it runs only when asked for: `GPT2LESSONS_BROWSER=1 pytest
-n 0 -rs tests/browser`. The pictures go to the folder that `GPT2LESSONS_SCREENSHOTS` names, else to pytest's own.
"""

import itertools
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

from gpt2lessons.desk.pictures import pictured
from gpt2lessons.workshop import notebooks

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(os.environ.get("GPT2LESSONS_BROWSER") != "1", reason="slow: set GPT2LESSONS_BROWSER=1"),
]

MINUTE = 60_000  # milliseconds; generous, because it only matters when something hangs
HERE = {"127.0.0.1", "localhost"}
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page, seen or not
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "apputils-extension/themes": {"adaptive-theme": True},  # light or dark, as the browser says
}
CHROMIUM = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
CONTRAST = (Path(__file__).parent / "contrast.js").read_text("utf8")
PROMPTS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(p => p.innerText.trim())"
CONTROLS = {"sliders": ".noUi-handle", "buttons": "button", "boxes": "input[type=checkbox]"}
# counts how often the view of a widget is drawn anew
WATCH = """e => { e.drawn = 0; for (const view of e.querySelectorAll(".widget-html-content"))
    new MutationObserver(() => e.drawn++).observe(view, {childList: true}); }"""
CLIPPED = """e => [...e.querySelectorAll(".jupyter-button, .widget-label")]
    .filter(label => label.scrollWidth > label.clientWidth + 1).map(label => label.innerText)"""
BESIDE = "e => e.scrollWidth - e.clientWidth"  # how many pixels lie beyond the right edge
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
        path.write_text(json.dumps(values), "utf8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"HF_HUB_OFFLINE": "1", "GPT2LESSONS_MODEL": "gpt2-mini", "OMP_NUM_THREADS": "1"}
    env |= {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    env |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "spaces")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--ServerApp.password=", f"--ServerApp.root_dir={folder / 'lessons'}"]
    command += ["--ServerApp.disable_check_xsrf=True"]  # so that a test may end kernels
    log = (folder / "log").open("w", encoding="utf8")
    server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 300
        while not _answers(f"http://127.0.0.1:{port}/api"):
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"JupyterLab did not start:\n{(folder / 'log').read_text('utf8')[-2000:]}")
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}", folder / "lessons"
    finally:
        server.terminate()
        server.wait(120)
        log.close()


@pytest.fixture
def alone(lab):
    """After a lesson its kernel ends: all of them together would take too much memory."""
    yield
    with urllib.request.urlopen(f"{lab[0]}/api/kernels") as answer:
        kernels = json.load(answer)
    for kernel in kernels:
        urllib.request.urlopen(urllib.request.Request(f"{lab[0]}/api/kernels/{kernel['id']}", method="DELETE"))


def _answers(url):
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except OSError:
        return False


@pytest.fixture
def pictures(request, tmp_path):
    """The folder that screenshots of this lesson go to."""
    chosen = os.environ.get("GPT2LESSONS_SCREENSHOTS")
    folder = Path(chosen).absolute() / request.node.callspec.id if chosen else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page(chromium, pictures):
    """A page that cannot reach other machines; `.abroad`: what it asked of them, `.errors`: what went wrong in it."""
    context = chromium.new_context(viewport={"width": 1280, "height": 1100})
    page = context.new_page()
    page.abroad, page.errors = [], []
    page.set_default_timeout(5 * MINUTE)

    def guard(route):
        if urlsplit(route.request.url).hostname in HERE:
            return route.continue_()
        page.abroad.append(route.request.url)
        return route.abort()

    def note_socket(connection):
        if urlsplit(connection.url).hostname not in HERE:
            page.abroad.append(connection.url)

    def note_message(message):
        if message.type == "error":
            page.errors.append(f"{message.text[:500]} ({message.location['url']})")

    page.route(lambda url: url.startswith("http"), guard)
    page.on("websocket", note_socket)
    page.on("pageerror", lambda error: page.errors.append(str(error)[:500]))
    page.on("console", note_message)
    yield page
    page.screenshot(path=pictures / "last.png")
    context.close()


def saved(cells):
    """Return how many pictures, errors and widgets the saved outputs of code cells have."""
    outputs = [output for cell in cells for output in cell["outputs"]]
    images = sum("image/png" in output.get("data", {}) for output in outputs)
    return images, sum(o["output_type"] == "error" for o in outputs), sum(map(pictured, outputs))


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


def go_to(page, control):
    """Move the keyboard's focus to a control by the Tab key alone."""
    for _ in range(80):  # tokens between two controls may take the focus too
        if control.evaluate("e => e === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"the Tab key does not reach {control.evaluate('e => e.outerHTML')}")


def turn(page, control):
    """Move the slider that has the focus by an arrow key, or press the button or box."""
    if not control.evaluate("e => e.matches('.noUi-handle')"):
        page.keyboard.press("Space")
        return
    place = "e => e.parentElement.style.transform"
    before = control.evaluate(place)
    is_last = control.evaluate("e => e.getAttribute('aria-valuenow') === e.getAttribute('aria-valuemax')")
    page.keyboard.press("ArrowLeft" if is_last else "ArrowRight")
    moved = eventually(page, lambda: control.evaluate(place) != before, seconds=60)
    assert moved, f"a slider does not obey the arrow keys: {control.evaluate('e => e.outerHTML')}"


def click(control):
    """Move a slider by a click on its track, or click a button or box."""
    if control.evaluate("e => e.matches('.noUi-handle')"):
        control = control.locator("xpath=ancestor::*[contains(@class, 'noUi-target')]")
        box, handle = control.bounding_box(), control.locator(".noUi-handle").bounding_box()
        share = (handle["x"] + handle["width"] / 2 - box["x"]) / box["width"]
        control.click(position={"x": box["width"] * (0.2 if share > 0.5 else 0.8), "y": box["height"] / 2})
    else:
        control.click()


@pytest.mark.parametrize("lesson", notebooks.lessons(), ids=lambda path: path.stem)
def test_lesson(alone, page, lab, lesson, pictures):
    address, folder = lab
    cells = notebooks.code_cells(json.loads((folder / lesson.name).read_text("utf8")))
    images, errors, widgets = saved(cells)
    assert images > 0
    open_lesson(page, address, lesson)
    # the saved pictures are seen before anything is run, those that stand in for widgets too;
    # answers of predictions stay folded until their dots are clicked
    hidden = [c for c in cells if c["metadata"].get("jupyter", {}).get("outputs_hidden")]
    shown_at_first = images - saved(hidden)[0]
    count = "document.querySelectorAll('.jp-OutputArea-output img').length"
    page.wait_for_function(f"{count} >= {shown_at_first}")
    assert page.evaluate(count) == shown_at_first
    page.screenshot(path=pictures / "opened.png")
    dots = page.locator(".jp-OutputPlaceholder")
    assert dots.count() == len(hidden)
    for _ in hidden:
        dots.first.click()
    page.wait_for_function(f"{count} >= {images}")

    run_all(page)
    shown = page.locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts()
    assert len(shown) == errors, shown
    ran = [p.strip("[]: ") for p in page.evaluate(PROMPTS)]
    seen = [str(n) for n, cell in enumerate(cells, 1) if not cell["metadata"].get("jupyter", {}).get("source_hidden")]
    assert [p for p in ran if p] == seen, "not every cell ran, once and in order"
    found = page.locator(OUTER_WIDGETS)
    assert found.count() == widgets
    found = [found.nth(number) for number in range(widgets)]
    for number, widget in enumerate(found):
        exercise(page, widget)
        look(page, widget, pictures / f"widget_{number:02}.png")
    assert page.get_by_text("Error displaying widget").count() == 0

    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("body[data-jp-theme-light=false]", state="attached")
    for number, widget in enumerate(found):
        look(page, widget, pictures / f"widget_{number:02}_dark.png")
    page.set_viewport_size({"width": 640, "height": 1100})
    page.keyboard.press("Control+b")  # the list of files goes, as it must on a page as narrow as this
    for number, widget in enumerate(found):
        look(page, widget, pictures / f"widget_{number:02}_narrow.png")
    assert (page.abroad, page.errors) == ([], [])


def exercise(page, widget):
    """Turn every slider, press every button and box by keys, then one of them by pointer; all must be answered."""
    assert widget.locator("select").count() == 0, "JupyterLab takes the arrow keys from menus: use sliders or buttons"
    widget.scroll_into_view_if_needed()
    widget.evaluate(WATCH)

    def redraws(act, *, seconds):
        before = widget.evaluate("e => e.drawn")
        act()
        return eventually(page, lambda: widget.evaluate("e => e.drawn") > before, seconds=seconds)

    def press_all(controls):
        controls[0].focus()
        for control in controls:
            if control.is_enabled():  # what was pressed before may have switched it off: the answer is waited for
                go_to(page, control)
                redraws(lambda control=control: turn(page, control), seconds=8)

    usable = {}
    for kind, selector in CONTROLS.items():
        usable[kind] = [c for c in widget.locator(selector).all() if c.is_visible() and c.is_enabled()]
        if usable[kind]:
            answered = redraws(lambda controls=usable[kind]: press_all(controls), seconds=120)
            assert answered, f"the view does not answer the {kind}: {widget.inner_text()[:300]}"
    page.wait_for_timeout(500)
    controls = itertools.chain(*usable.values())
    left = [c for c in controls if c.is_enabled() and not c.evaluate("e => e.matches('.mod-active')")]
    assert left, "a widget without anything to turn"
    assert redraws(lambda: click(left[0]), seconds=120), (
        f"the view does not answer a click: {widget.inner_text()[:300]}"
    )


def look(page, widget, picture):
    """Every text of a widget stands out from what is behind it and is whole; nothing lies beyond its right edge."""
    widget.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    widget.screenshot(path=picture)
    assert widget.evaluate(CONTRAST) == [], f"texts that can hardly be read: see {picture}"
    assert widget.evaluate(CLIPPED) == [], f"words that are cut off: see {picture}"
    assert widget.evaluate(BESIDE) <= 1, f"wider than the page: see {picture}"
