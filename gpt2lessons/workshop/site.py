"""A static copy of the lessons, to read without running them: `python -m gpt2lessons site --out DIR` writes HTML pages.

The pages of lessons need no network and no script: styles and pictures are inside, formulas are MathML, which browsers
draw. One page is alive: in the playground gpt2-mini itself runs, in the reader's browser (`assets/site`).
"""

import html
import itertools
import re
import shutil
from xml.etree import ElementTree

from gpt2lessons.checksums import ASSETS, MINI
from gpt2lessons.workshop import glossary, index, launch, notebooks

MAX_BYTES = 3_000_000
TITLE = "How GPT-2 writes text"
PLAYGROUND = "playground.html"
MODEL_FILES = ("config.json", "vocab.json", "merges.txt", "model.safetensors")
_STYLE = """<style>
nav.course {font: 15px sans-serif; max-width: 62rem; margin: 1rem auto; padding: 0 1rem; display: flex; flex-wrap: wrap;
  gap: .5rem 1.5rem; justify-content: space-between}
nav.course a, body.course a {color: #0b57d0}
body.jp-Notebook main {max-width: 62rem; margin: 0 auto}
body.jp-Notebook img, body.jp-Notebook svg {max-width: 100%; height: auto}
math[display="block"] {margin: .8rem 0}
body.course {font: 17px/1.5 sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem}
body.course td, body.course th {padding: .3rem .8rem; text-align: left; border-bottom: 1px solid #ddd}
</style>"""
_LOADS = re.compile(
    r"""<(?:script|link|img|iframe|object|embed|source|video|audio)\b[^>]*\b(?:src|href|data)=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|@import\b[^;]*;|url\(["']?(?:https?:)?//[^)]+\)"""
)


def write(folder):
    """Write one page per notebook and an `index.html` into `folder` (a Path, made if need be); return their paths.

    Optional notebooks go to its folder `deeper`, as they lie beside the lessons.

    Raises `ValueError` if a page would be larger than `MAX_BYTES` or would load something from the network, and
    `ModuleNotFoundError` with the command that mends it if the extra `site` is not installed.
    """
    exporter = _exporter()
    lessons, written = notebooks.lessons(), []
    names = [notebooks.name_of(path) for path in _pages()]
    for name, path in zip(names, _pages(), strict=True):
        body, _ = exporter.from_notebook_node(_to_read(path))
        before, after = _neighbours(path, lessons)
        page = _navigated(_linked(_without_scripts(body), names), path, before, after)
        written.append(_keep(folder / f"{name}.html", page))
    written.append(_keep(folder / "index.html", _contents()))
    return [*written, lay_playground(folder)]


def lay_playground(folder):
    """Lay the page whose model answers, with its scripts and the model's files, into `folder`; return its path."""
    shutil.copytree(ASSETS / "site", folder, dirs_exist_ok=True)
    (folder / MINI.name).mkdir(exist_ok=True)
    for name in MODEL_FILES:
        shutil.copyfile(MINI / name, folder / MINI.name / name)
    return folder / PLAYGROUND


def _pages():
    """Return the paths of all notebooks that become pages."""
    return notebooks.everything() + [path for path in [glossary.path()] if path.exists()]


def _neighbours(path, lessons):
    """Return the lessons before and behind the one at `path`; None where there is none, or for another notebook."""
    place = lessons.index(path) if path in lessons else None
    before = lessons[place - 1] if place else None
    return before, None if place is None or place + 1 == len(lessons) else lessons[place + 1]


def _to_read(path):
    """Return the notebook at `path` without the cell that installs the course: it is for those who run a lesson."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.get("id") != launch.CELL_ID]
    return notebook


def _exporter():
    """Return nbconvert's HTML exporter with formulas as MathML."""
    try:
        import latex2mathml.converter
        from jinja2 import pass_context
        from nbconvert import HTMLExporter
        from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{error.name} is not installed: run pip install -c constraints.txt -e ".[site]"', name=error.name
        ) from None

    class Renderer(IPythonRenderer):
        """Markdown as HTML; what stands between dollar signs becomes MathML, except inside `<code>` and `<pre>`."""

        literal = 0  # how many <code> and <pre> are open

        def inline_html(self, html):
            self.literal += len(re.findall(r"<(?:code|pre)\b", html)) - len(re.findall(r"</(?:code|pre)>", html))
            return super().inline_html(html)

        def inline_math(self, body):
            return super().inline_math(body) if self.literal else self._formula(body, "inline")

        def block_math(self, body):
            return super().block_math(body) if self.literal else self._formula(body, "block")

        def latex_environment(self, name, body):
            return self._formula(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")

        def _formula(self, source, display):
            return _finish(latex2mathml.converter.convert(" ".join(source.split()), display=display), source)

    class Exporter(HTMLExporter):
        @pass_context
        def markdown2html(self, context, source):
            renderer = Renderer(escape=False, attachments=context.get("cell", {}).get("attachments", {}))
            return MarkdownWithMath(renderer=renderer).render(source)

    return Exporter(mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="", widget_renderer_url="")


def _finish(formula, source):
    """Return MathML as browsers should draw it, with its LaTeX as the text to be read aloud where MathML is unknown.

    The converter sets no space after "ln", and forgets between brackets that a displayed sum has its limits below it.
    """
    root = ElementTree.fromstring(formula.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "", 1))
    root.set("alttext", " ".join(source.split()))
    for element in root.iter():
        children = list(element)
        if root.get("display") == "block" and children and children[0].text in ("∑", "∏"):
            element.tag = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}.get(element.tag, element.tag)
        for place, (child, following) in reversed(list(enumerate(itertools.pairwise(children), start=1))):
            if child.tag == "mi" and child.text in ("ln", "log", "exp", "sin", "cos") and following.tag != "mo":
                element.insert(place, ElementTree.Element("mspace", width="0.17em"))
    return ElementTree.tostring(root, "unicode", short_empty_elements=False)


def _without_scripts(page):
    """Return `page` without scripts: nbconvert adds them for mathematics and live widgets."""
    return re.sub(r"<script\b[^>]*>.*?</script>", "", page, flags=re.S)


def _linked(page, names):
    """Return `page` with links to other notebooks turned into links to their pages."""
    known = "|".join(re.escape(name) for name in {*names, *(name.rpartition("/")[2] for name in names)})
    return re.sub(rf'href="(?:\./)?((?:\.\./)?(?:{known}))\.ipynb(#[^"]*)?"', r'href="\1.html\2"', page)


def _navigated(page, path, before, after):
    """Return `page` with its own title, and links to the neighbours above and below."""
    links = [f'<a href="{"../" * notebooks.name_of(path).count("/")}index.html">All lessons</a>']
    for relation, arrow, other in (("prev", "← {}", before), ("next", "{} →", after)):
        if other is not None:
            text = html.escape(arrow.format(index.question_and_minutes(other)[0]))
            links.insert(0 if relation == "prev" else 2, f'<a rel="{relation}" href="{other.stem}.html">{text}</a>')
    bar = f'<nav class="course" aria-label="Lessons">{"".join(links)}</nav>'
    title = glossary.TITLE if path == glossary.path() else index.question_and_minutes(path)[0]
    title = html.escape(f"{title} · {TITLE}")
    page = re.sub(r"<title>.*?</title>", lambda _: f"<title>{title}</title>", page, count=1, flags=re.S)
    page = page.replace("</head>", f"{_STYLE}</head>", 1)
    page = re.sub(r"<body[^>]*>", lambda match: match[0] + bar, page, count=1)
    head, end, tail = page.rpartition("</body>")
    return f"{head}{bar}{end}{tail}"


def _contents():
    """Return the page that leads to all others."""
    tables = [_table("lesson", notebooks.lessons())]
    if notebooks.deeper():
        tables += ["<h2>To go deeper, when you like</h2>", _table("notebook", notebooks.deeper())]
    if glossary.path().exists():
        tables.append(f'<p><a href="{glossary.path().stem}.html">{glossary.TITLE}</a></p>')
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{_STYLE}</head>'
        f'<body class="course"><main><h1>{TITLE}</h1>'
        f'<p><a href="{PLAYGROUND}"><strong>Try it now</strong></a>: a small GPT-2 writes in this browser, and shows '
        "what it thinks. Nothing to install, nothing leaves your machine.</p>"
        "<p>The lessons of gpt2lessons with their outputs, to read. "
        "Exercises and widgets need the course itself: its README says how to start it.</p>"
        f"{''.join(tables)}</main></body></html>"
    )


def _table(heading, paths):
    rows = [f"<tr><th>{heading}</th><th>the question it answers</th><th>minutes</th></tr>"]
    for path in paths:
        question, minutes = index.question_and_minutes(path)
        link = f'<a href="{notebooks.name_of(path)}.html">{html.escape(question)}</a>'
        number = path.name[:2] if heading == "lesson" else path.stem.replace("_", " ")
        rows.append(f"<tr><td>{number}</td><td>{link}</td><td>{minutes}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def _keep(path, page):
    size = len(page.encode("utf8"))
    if size > MAX_BYTES:
        raise ValueError(f"{path.name} would have {size:,} bytes, at most {MAX_BYTES:,} are allowed: use fewer figures")
    if match := _LOADS.search(page):
        raise ValueError(f"{path.name} would load something from the network: {match[0]:.200}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, "utf8")
    return path
