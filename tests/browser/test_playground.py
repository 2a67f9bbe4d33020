"""The site's page that answers, in a real browser without network: it writes, shows what it thinks, and obeys keys."""

import functools
import http.server
import os
import threading
from pathlib import Path

import pytest
import test_lab
import torch

import gpt2lessons as gl
from gpt2lessons.workshop import site

pytestmark = test_lab.pytestmark
chromium = test_lab.chromium
SIZES = {"desk": ({"width": 1100, "height": 900}, "light"), "phone": ({"width": 390, "height": 800}, "dark")}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a static file server with the playground and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    site.lay_playground(folder)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{site.PLAYGROUND}"
    server.shutdown()


@pytest.fixture(params=SIZES)
def page(request, chromium, address, tmp_path):
    """The playground, ready, on a desk and on a phone; an error on the page fails the test."""
    viewport, scheme = SIZES[request.param]
    context = chromium.new_context(viewport=viewport, color_scheme=scheme)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request", lambda r: None if r.url.startswith(("http://127.0.0.1", "blob:", "data:")) else errors.append(r.url)
    )
    page.goto(address)
    wait_until_ready(page)
    yield page
    chosen = os.environ.get("GPT2LESSONS_SCREENSHOTS")
    name = f"playground_{request.param}_{request.node.originalname}.png"
    page.screenshot(path=(Path(chosen) if chosen else tmp_path) / name, full_page=True)
    context.close()
    assert not errors


def wait_until_ready(page):
    page.wait_for_function("document.getElementById('status').textContent === 'Ready.'", timeout=2 * test_lab.MINUTE)


def set_slider(page, name, value):
    page.evaluate(
        """([name, value]) => {
             const slider = document.getElementById(name);
             slider.value = value;
             slider.dispatchEvent(new Event("input"));
           }""",
        [name, value],
    )


def write(page):
    page.click("#write")
    page.wait_for_function("!document.getElementById('write').disabled", timeout=2 * test_lab.MINUTE)
    return "".join(page.locator("#text").evaluate("e => e.textContent")).replace("⏎", "")


def test_it_writes_what_python_writes_with_the_same_seed(page):
    lm = gl.load("gpt2-mini")
    set_slider(page, "seed", 7)
    set_slider(page, "max_new_tokens", 30)
    prompt = page.input_value("#prompt")
    ids = lm.encode(prompt)
    ours = gl.generate(
        lm, ids, max_new_tokens=30, do_sample=True, top_p=0.9, generator=torch.Generator().manual_seed(7)
    )
    assert write(page) == lm.decode(ours.sequences[0])
    page.check("#greedy")
    assert write(page) == lm.decode(gl.generate(lm, ids, max_new_tokens=30).sequences[0])


def test_a_token_of_the_text_tells_about_itself_by_key(page):
    set_slider(page, "max_new_tokens", 5)
    write(page)
    page.locator("#text [role=button]").nth(2).focus()
    page.keyboard.press("Enter")
    assert "bits, rank" in page.inner_text("#chosen")
    assert page.locator("#text [aria-pressed=true]").count() == 1


def test_settings_show_what_they_remove(page):
    assert "top-p leaves" in page.inner_text("#next-words")
    set_slider(page, "top_k", 3)
    page.wait_for_function("document.getElementById('next-words').textContent.includes('top-k leaves 3')")
    bars = page.inner_text("#bars")  # fifteen tokens; of the three that top-k leaves, two hold 0.9
    assert (bars.count("removed by top-k"), bars.count("removed by top-p")) == (12, 1)
    assert page.locator("#bars .removed").count() == 13
    for name in ("top_k", "top_p"):
        set_slider(page, name, page.get_attribute(f"#{name}", "max" if name == "top_p" else "min"))
    page.wait_for_function("document.getElementById('next-words').textContent.includes('all may be drawn')")


def test_the_prompt_is_read_anew_as_one_types_and_is_never_html(page):
    page.fill("#prompt", "<b>The cat</b> & the")
    page.wait_for_function("document.querySelectorAll('#tokens [role=button]').length > 4")
    assert page.locator("#tokens b, #text b").count() == 0
    page.wait_for_function("document.getElementById('status').textContent === 'Ready.'")
    page.fill("#prompt", "")
    page.wait_for_function("document.getElementById('status').textContent.includes('empty')")


def test_attention_and_beams_are_drawn(page):
    page.select_option("#block", "2")
    page.select_option("#head", "3")
    page.wait_for_function("document.getElementById('attention-words').textContent.startsWith('Block 2, head 3')")
    page.click("#search")
    page.wait_for_selector("#found li")
    assert page.locator("#found li").count() == 3
    assert page.locator("#tree svg").get_attribute("aria-label").startswith("The tree of the search")


def test_nothing_is_wider_than_the_page_and_every_control_has_a_name(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    unnamed = """[...document.querySelectorAll("input, select, textarea, button")]
        .filter(e => !e.labels?.length && !e.textContent.trim() && !e.getAttribute("aria-label")).map(e => e.id)"""
    assert page.evaluate(unnamed) == []


def test_the_second_visit_needs_no_server(page):
    kept = page.evaluate(
        "caches.open('gpt2-mini v2').then(c => c.keys()).then(keys => keys.map(k => k.url.split('/').pop()))"
    )
    assert sorted(kept) == sorted(site.MODEL_FILES)
