"""A static copy of the lessons, to read without running them: `python -m gpt2lessons site --out DIR` writes HTML pages.

The pages need no network and no script: styles and pictures are inside, formulas are MathML, which browsers draw.
"""

import html
import itertools
import re
from xml.etree import ElementTree

from gpt2lessons.workshop import index, launch, notebooks

MAX_BYTES = 3_000_000
TITLE = "How GPT-2 writes text"
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
    """Write one page per lesson and an `index.html` into `folder` (a Path, made if need be); return their paths.

    Raises `ValueError` if a page would be larger than `MAX_BYTES` or would load something from the network, and
    `ModuleNotFoundError` with the command that mends it if the extra `site` is not installed.
    """
    exporter = _exporter()
    folder.mkdir(parents=True, exist_ok=True)
    lessons, written = notebooks.lessons(), []
    for number, path in enumerate(lessons):
        body, _ = exporter.from_notebook_node(_to_read(path))
        before = lessons[number - 1] if number else None
        after = lessons[number + 1] if number + 1 < len(lessons) else None
        page = _navigated(_linked(_without_scripts(body), lessons), path, before, after)
        written.append(_keep(folder / f"{path.stem}.html", page))
    written.append(_keep(folder / "index.html", _contents(lessons)))
    return written


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


def _linked(page, lessons):
    """Return `page` with links to other notebooks turned into links to their pages."""
    known = "|".join(re.escape(path.stem) for path in lessons)
    return re.sub(rf'href="(?:\./)?({known})\.ipynb(#[^"]*)?"', r'href="\1.html\2"', page)


def _navigated(page, path, before, after):
    """Return `page` with its own title, and links to the neighbours above and below."""
    links = ['<a href="index.html">All lessons</a>']
    for relation, arrow, other in (("prev", "← {}", before), ("next", "{} →", after)):
        if other is not None:
            text = html.escape(arrow.format(index.question_and_minutes(other)[0]))
            links.insert(0 if relation == "prev" else 2, f'<a rel="{relation}" href="{other.stem}.html">{text}</a>')
    bar = f'<nav class="course" aria-label="Lessons">{"".join(links)}</nav>'
    title = html.escape(f"{index.question_and_minutes(path)[0]} · {TITLE}")
    page = re.sub(r"<title>.*?</title>", lambda _: f"<title>{title}</title>", page, count=1, flags=re.S)
    page = page.replace("</head>", f"{_STYLE}</head>", 1)
    page = re.sub(r"<body[^>]*>", lambda match: match[0] + bar, page, count=1)
    head, end, tail = page.rpartition("</body>")
    return f"{head}{bar}{end}{tail}"


def _contents(lessons):
    rows = []
    for path in lessons:
        question, minutes = index.question_and_minutes(path)
        link = f'<a href="{path.stem}.html">{html.escape(question)}</a>'
        rows.append(f"<tr><td>{path.name[:2]}</td><td>{link}</td><td>{minutes}</td></tr>")
    head = "<tr><th>lesson</th><th>the question it answers</th><th>minutes</th></tr>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{_STYLE}</head>'
        f'<body class="course"><main><h1>{TITLE}</h1><p>The lessons of gpt2lessons with their outputs, to read. '
        "Exercises and widgets need the course itself: its README says how to start it.</p>"
        f"<table>{head}{''.join(rows)}</table></main></body></html>"
    )


def _keep(path, page):
    size = len(page.encode("utf8"))
    if size > MAX_BYTES:
        raise ValueError(f"{path.name} would have {size:,} bytes, at most {MAX_BYTES:,} are allowed: use fewer figures")
    if match := _LOADS.search(page):
        raise ValueError(f"{path.name} would load something from the network: {match[0]:.200}")
    path.write_text(page, "utf8")
    return path
