"""The static copy: every lesson a page, with links that lead somewhere, formulas drawn, nothing from the network."""

import builtins
import posixpath
import re
from html.parser import HTMLParser

import nbformat
import pytest

from gpt2lessons import __main__
from gpt2lessons.checksums import MINI
from gpt2lessons.workshop import index, notebooks, site

EXTRA = 'needs the extra `site`: pip install -c constraints.txt -e ".[site]"'


class Reader(HTMLParser):
    """What a browser would find: links, ids, formulas' alternative texts, pictures, scripts, and the visible text."""

    def __init__(self, page):
        super().__init__()
        self.links, self.ids, self.formulas, self.pictures, self.scripts, self.text = [], set(), [], [], 0, []
        self.open = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes["href"]] if tag == "a" and "href" in attributes else []
        self.ids |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        self.formulas += [attributes.get("alttext")] if tag == "math" else []
        self.pictures += [attributes["src"]] if tag == "img" else []
        self.scripts += tag == "script"
        self.open += [tag] if tag in ("style", "code", "pre", "math", "main") else []

    def handle_endtag(self, tag):
        if tag in self.open:
            self.open.remove(tag)

    def handle_data(self, data):
        self.text.append((tuple(self.open), data))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """{file name: Reader} of the whole site."""
    pytest.importorskip("latex2mathml", reason=EXTRA)
    folder = tmp_path_factory.mktemp("site")
    assert __main__.main(["site", "--out", str(folder / "html")]) == 0
    written = (folder / "html").rglob("*.html")
    return {path.relative_to(folder / "html").as_posix(): Reader(path.read_text("utf8")) for path in written}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Returns a function that makes the site of lessons with the given cells, in place of the real ones."""
    pytest.importorskip("latex2mathml", reason=EXTRA)
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path / "lessons")
    notebooks.FOLDER.mkdir()

    def make(*lessons, deeper=()):
        for name, cells in deeper:
            path = notebooks.FOLDER / "deeper" / f"{name}.ipynb"
            path.parent.mkdir(exist_ok=True)
            cells = [nbformat.v4.new_markdown_cell(f"# Deep <{name}>\n\n9 minutes"), *cells]
            nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        for number, cells in enumerate(lessons):
            cells = [
                nbformat.v4.new_markdown_cell(f"# {number:02} · Why {number} < {number + 1}?\n\n45 minutes"),
                *cells,
            ]
            nbformat.write(nbformat.v4.new_notebook(cells=cells), notebooks.FOLDER / f"{number:02}_x.ipynb")
        *written, _ = site.write(tmp_path / "html")  # the last is the playground, the same whatever the lessons
        return [path.read_text("utf8") for path in written]

    return make


def markdown(source):
    return nbformat.v4.new_markdown_cell(source)


def test_every_lesson_is_a_page_and_the_contents_name_it(pages):
    names = {f"{notebooks.name_of(path)}.html" for path in notebooks.everything()}
    assert set(pages) == names | {"index.html", "glossary.html", site.PLAYGROUND}
    assert {"glossary.html", site.PLAYGROUND} <= set(pages["index.html"].links)
    shown = "".join(data for _, data in pages["index.html"].text)
    for path in notebooks.everything():
        assert f"{notebooks.name_of(path)}.html" in pages["index.html"].links
        assert index.question_and_minutes(path)[0] in shown


def test_links_within_the_site_lead_somewhere(pages):
    checked = 0
    for name, page in pages.items():
        for link in page.links:
            if ":" in link:
                continue
            target, _, place = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), target)) if target else name
            assert target in pages, f"{name} links to {link}"
            assert not place or target == name or place in pages[target].ids, f"{name} links to {link}"
            checked += 1
    assert checked > 3 * len(notebooks.lessons())


def test_neighbours_are_linked_above_and_below(pages):
    stems = [path.stem for path in notebooks.lessons()]
    for before, lesson, after in zip(stems, stems[1:], stems[2:], strict=False):
        links = pages[f"{lesson}.html"].links
        for neighbour in (before, after, "index"):
            assert links.count(f"{neighbour}.html") >= 2


def test_only_the_playground_has_a_script_and_every_picture_is_inside(pages):
    assert {name: page.scripts for name, page in pages.items() if page.scripts} == {site.PLAYGROUND: 1}
    pictures = [source for page in pages.values() for source in page.pictures]
    assert pictures
    assert [source for source in pictures if not source.startswith("data:image/")] == []


def test_no_formula_is_left_as_latex(pages):
    """Dollar signs may stand in code and in outputs, but no text of the lessons shows one."""
    assert sum(len(page.formulas) for page in pages.values()) > 50
    left = [
        (name, data)
        for name, page in pages.items()
        for where, data in page.text
        if re.search(r"\$[^$]+\$|\\(?:frac|sqrt|ln|operatorname|text)\b", data)
        and not {"code", "pre", "style"} & set(where)
    ]
    assert left == []


def test_formulas_become_mathml_and_code_stays(course):
    body = course(
        [
            markdown("so $p_i^2$ and\n\n$$\\frac{a}{b}\n= c$$\n\nbut `$x$` and <code>$y$</code>, then $z<1$."),
            markdown("```python\nprice = '$3$'\n```\n\n<details><summary>s</summary>\n\n$q$ in `$r$`\n\n</details>"),
            nbformat.v4.new_code_cell("print('$a$')"),
        ]
    )[0]
    page = Reader(body)
    assert page.formulas == ["p_i^2", "\\frac{a}{b} = c", "z<1", "q"]
    assert '<math alttext="\\frac{a}{b} = c" display="block"><mrow><mfrac><mrow><mi>a</mi></mrow>' in body
    code = "".join(data for where, data in page.text if {"code", "pre"} & set(where))
    for kept in ("$x$", "$y$", "$3$", "$r$", "$a$"):
        assert kept in code


def test_formulas_are_set_as_in_print(course):
    body = course(
        [markdown("$-\\ln p$, $\\ln(p)$ and\n\n$$\\left(\\sum_{i} \\prod_{n=1}^4 x_i\\right)$$\n\n$\\sum_i y$")]
    )[0]
    assert '<mi>ln</mi><mspace width="0.17em"></mspace><mi>p</mi>' in body
    assert '<mi>ln</mi><mo stretchy="false">(' in body
    assert "<munder><mo>∑</mo>" in body
    assert "<munderover><mo>∏</mo>" in body
    assert "<msub><mo>∑</mo><mi>i</mi></msub><mi>y</mi>" in body


def test_links_to_lessons_become_links_to_pages(course):
    body = course([markdown("[a](01_x.ipynb) [b](01_x.ipynb#Ends) [c](https://github.com/01_x.ipynb)")], [])[0]
    links = Reader(body).links
    assert [x for x in links if "01_x" in x][1:4] == ["01_x.html", "01_x.html#Ends", "https://github.com/01_x.ipynb"]


def test_deeper_pages_lie_in_their_folder_and_are_linked_both_ways(course):
    links = [markdown("[a](../00_x.ipynb) [b](two.ipynb#top) [c](../glossary.ipynb)")]
    lesson, one, _, contents = course(
        [markdown("[d](deeper/one.ipynb) [e](./deeper/two.ipynb#cell-id=a)")], deeper=[("one", links), ("two", [])]
    )
    inside, found = ([x for x in Reader(page).links if not x.startswith("#")] for page in (lesson, one))
    assert inside == ["index.html", "deeper/one.html", "deeper/two.html#cell-id=a", "index.html"]
    assert found == ["../index.html", "../00_x.html", "two.html#top", "../glossary.ipynb", "../index.html"]
    assert Reader(contents).links == [site.PLAYGROUND, "00_x.html", "deeper/one.html", "deeper/two.html"]
    assert "Deep &lt;one&gt;" in contents


def test_a_course_without_deeper_notebooks_has_no_such_folder(course, tmp_path):
    contents = course([])[-1]
    assert "deeper" not in contents
    assert [path.name for path in (tmp_path / "html").iterdir() if path.is_dir()] == ["gpt2-mini"]


def test_glossary_is_a_page_whose_terms_can_be_linked(pages):
    assert {"token", "byte-pair-encoding"} <= pages["glossary.html"].ids
    assert any("#cell-id=" in link for link in pages["glossary.html"].links)


def test_titles_are_escaped(course):
    pages = course([], [])
    assert "<title>Why 0 &lt; 1? · How GPT-2 writes text</title>" in pages[0]
    assert "Why 1 &lt; 2? →" in pages[0]
    assert "Why 1 &lt; 2?</a></td><td>45</td>" in pages[2]


@pytest.mark.parametrize(
    "source",
    [
        "![a](https://example.org/a.png)",
        '<img alt="a" src="https://example.org/a.png">',
        '<link rel="stylesheet" href="//example.org/a.css">',
        '<iframe width=1 src="http://example.org/"></iframe>',
        "<style>@import 'a.css';</style>",
        '<p style="background: url(https://example.org/a.png)">',
    ],
)
def test_page_that_would_use_the_network_is_refused(course, source):
    with pytest.raises(ValueError, match=r"00_x\.html would load something from the network"):
        course([markdown(source)])


def test_links_are_not_loads(course):
    course([markdown("[paper](https://example.org/paper.pdf) <https://example.org>")])


def test_the_playground_has_all_it_loads_and_nothing_from_elsewhere(tmp_path):
    page = site.lay_playground(tmp_path)
    scripts = {path.name: path.read_text("utf8") for path in [page, *tmp_path.glob("*.js"), *tmp_path.glob("*.css")]}
    assert len(scripts) == 5
    for text in scripts.values():
        assert "http:" not in text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
        assert "https:" not in text
        for name in re.findall(r"""(?:src|href|from|URL\()[ =]?"(?:\./)?([\w.-]+\.(?:js|css))""", text):
            assert name in scripts
    assert {path.name for path in (tmp_path / "gpt2-mini").iterdir()} == set(site.MODEL_FILES)
    for name in site.MODEL_FILES:
        assert (tmp_path / "gpt2-mini" / name).read_bytes() == (MINI / name).read_bytes()


def test_page_that_is_too_large_is_refused(course):
    with pytest.raises(ValueError, match=r"00_x\.html would have 3,\d{3},\d{3} bytes.*fewer figures"):
        course([markdown("x" * site.MAX_BYTES)])


def test_without_the_extra_the_command_says_how_to_get_it(monkeypatch, tmp_path):
    honest = builtins.__import__

    def fail(name, *rest):
        if name.startswith("latex2mathml"):
            raise ModuleNotFoundError(f"No module named {name!r}", name="latex2mathml")
        return honest(name, *rest)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ModuleNotFoundError, match=r'latex2mathml is not installed: run pip install .*"\.\[site\]"'):
        site.write(tmp_path / "site")
    assert list(tmp_path.iterdir()) == []
