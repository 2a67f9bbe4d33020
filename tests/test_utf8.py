"""Every file is read and written as UTF-8, whatever the machine's locale: no call may leave the encoding open."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WITHOUT_TEXT = {"os", "gzip", "zipfile", "tarfile", "webbrowser"}  # their open() gives bytes, or no file


def unnamed(source):
    """Return (line, call) of each read_text, write_text and open in text mode that names no encoding."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        method = isinstance(node.func, ast.Attribute)
        name = node.func.attr if method else getattr(node.func, "id", "")
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        owner = getattr(node.func.value, "id", "") if method else ""
        if "encoding" in named or owner in WITHOUT_TEXT:
            continue
        place = 0 if method else 1  # of the mode: path.open(mode), open(path, mode)
        mode = named.get("mode") or (node.args[place] if len(node.args) > place else None)
        binary = mode is not None and "b" in ast.unparse(mode)
        if (
            (name == "read_text" and not node.args)
            or (name == "write_text" and len(node.args) < 2)
            or (name == "open" and not binary)
        ):
            found.append((node.lineno, ast.unparse(node)[:80]))
    return found


def sources():
    """Every source of this project, by name: modules, tests, coursework, and the code cells of notebooks."""
    for path in sorted(ROOT.rglob("*.py")):
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts):
            yield str(path.relative_to(ROOT)), path.read_text("utf8")
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        if any(part.startswith(".") for part in path.relative_to(ROOT).parts):
            continue
        for cell in json.loads(path.read_text("utf8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and not source.lstrip().startswith("%"):
                yield f"{path.relative_to(ROOT)}: {cell.get('id')}", source


def test_no_file_is_read_or_written_in_the_machines_own_encoding():
    found = [f"{name}, line {line}: {call}" for name, source in sources() for line, call in unnamed(source)]
    assert found == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("p.read_text()", 1),
        ("p.write_text(x)", 1),
        ("open(p)", 1),
        ("open(p, 'a')", 1),
        ("p.open()", 1),
        ("p.open(mode='w')", 1),
        ("p.read_text('utf8')", 0),
        ("p.write_text(x, 'utf8')", 0),
        ("p.write_text(x, encoding='utf8')", 0),
        ("open(p, encoding='utf8')", 0),
        ("p.open('rb')", 0),
        ("p.open('ab' if have else 'wb')", 0),
        ("os.open(p, os.O_RDONLY)", 0),
    ],
)
def test_the_search_finds_what_it_should(source, count):
    assert len(unnamed(source)) == count


def test_a_corpus_with_foreign_letters_is_read_under_any_locale(tmp_path):
    """Python under another locale than UTF-8: a manifest with ë is read as it was written."""
    (tmp_path / "tales").mkdir()
    (tmp_path / "tales" / "one.txt").write_text("Zoë’s tale", "utf8")
    entry = {"split": "tales", "file": "one.txt", "title": "Zoë", "author": "Brontë"}
    (tmp_path / "manifest.json").write_text(json.dumps([entry], ensure_ascii=False), "utf8")
    code = """import locale, sys
from gpt2lessons.training import corpus
assert locale.getencoding().lower() not in ("utf-8", "utf8"), locale.getencoding()
book = corpus.books(sys.argv[1])["tales"][0]
assert (book.title, book.author, book.read()) == ("Zo\\xeb", "Bront\\xeb", "Zo\\xeb\\u2019s tale")
"""
    plain = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, encoding="utf8")
    assert done.returncode == 0, done.stderr
