"""Submissions to problem set 2 that try to get points without an answer, or to stop the grading.

{student: (answers that differ from the model's, a change to the notebook, points that it should get)}; the questions
have 3, 4, 4 and 3 points.
"""

from nbformat.v4 import new_code_cell

NOTHING = dict.fromkeys(["q1", "q2", "q3", "q4"], "pass")

HARD_CODED = {
    "q1": """
def keep_within(logits, n):
    i = -torch.inf
    return torch.tensor([[3.0, 3.0, i, i, 2.0, 2.0], [9.0, i, i, i, i, 7.0]])
""",
    "q2": "def survivors(probs, temperature, top_p):\n    return {1: 2 / 3, 3: 1 / 3}",
    "q3": """
def cooling_sampler(model, ids, temperatures, uniforms):
    return [0, 1, 3] if len(uniforms) == 3 else [0]
""",
    "q4": "false_claim, true_value = 5, 0.5",
}

EQUAL = """
class Yes:
    __name__ = "float"
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __call__(self, *args, **kwargs): return self
    def __getattr__(self, name): return self
    def __getitem__(self, key): return self
    def __len__(self): return 2
    def __float__(self): return 0.5
    def __bool__(self): return True
    def __hash__(self): return hash(1)
    __sub__ = __rsub__ = __abs__ = __lt__ = __le__ = __gt__ = __ge__ = __call__
    @property
    def __class__(self): return torch.Tensor
"""
YES = {
    "q1": EQUAL + "keep_within = lambda logits, n: Yes()",
    "q2": "survivors = lambda *args: Yes()",
    "q3": "cooling_sampler = Yes()",
    "q4": "false_claim = true_value = Yes()",
}

PATCHES = """
import builtins, math, sys, types, subprocess, json, pickle
yes = lambda *args, **kwargs: True
torch.allclose = torch.equal = torch.isclose = torch.Tensor.equal = torch.Tensor.allclose = yes
torch.Tensor.__eq__ = torch.Tensor.__bool__ = yes
math.isclose = yes
builtins.isinstance = builtins.all = builtins.abs = yes
for name in ("examine", "expect", "false_claim", "same"):
    setattr(coursework, name, lambda *args, **kwargs: None)
    setattr(sys.modules["gpt2lessons.checks.coursework"], name, lambda *args, **kwargs: None)
examine = same = all = abs = isinstance = yes
coursework = types.SimpleNamespace(examine=yes, expect=yes, false_claim=yes, same=yes)
REPORT = {n: ("", 0) for n in range(10)}
_isolation_worker = yes
try:
    get_ipython().input_transformers_cleanup.append(lambda lines: [])
    get_ipython().run_cell = yes
except NameError:
    pass
"""


def _patched(notebook, folder):
    notebook.cells.insert(0, new_code_cell("import torch\nfrom gpt2lessons.checks import coursework\n" + PATCHES))
    notebook.cells.insert(4, new_code_cell(PATCHES))
    for module in ("torch", "math", "gpt2lessons", "isolation", "wire", "nbformat"):
        (folder / f"{module}.py").write_text("raise SystemExit", "utf8")


def _edited(notebook, folder):
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id", "").endswith("-test"):
            cell.source = "pass"
            cell.metadata.nbgrader.update(points=100, locked=False)


def _patched_and_edited(notebook, folder):
    _edited(notebook, folder)
    _patched(notebook, folder)


def _cut(notebook, folder):
    """Deletes two tests, and gives a cell of its own the name of a third."""
    tests = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id", "").endswith("-test")]
    notebook.cells = [c for c in notebook.cells if c not in tests[:2]]
    twin = new_code_cell("pass", metadata={"nbgrader": dict(tests[2].metadata.nbgrader)})
    notebook.cells.append(twin)


def _renamed(notebook, folder):
    return "my_homework.ipynb"


def _old_format(notebook, folder):
    for cell in notebook.cells:
        cell.metadata.get("nbgrader", {}).pop("schema_version", None)


CRASHES = {
    "q1": "def keep_within(logits, n):\n    while True:\n        pass",
    "q2": "import os\ndef survivors(probs, temperature, top_p):\n    os._exit(0)",
    "q3": "def cooling_sampler(*args):\n    return torch.ones(2_500_000_000).long().tolist()[:1]",
}


def _dying_cell(notebook, folder):
    notebook.cells.insert(5, new_code_cell("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"))


OWN_REPORT = """
CLASS = {"seed": 0, "opening": "a", "word": "b"}
REPORT = {1: ("how many words top_p=0.7 keeps after w0", 100)}
"""
EASY = {**NOTHING, "q4": "false_claim, true_value = 1, len(random_toy(0, vocab_size=6).next_probs('w0', top_p=0.7))"}


def _report(notebook):
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "class-parameters")


def _own_report(notebook, folder):
    notebook.cells.remove(_report(notebook))
    notebook.cells.insert(0, new_code_cell(OWN_REPORT))


def _report_moved(notebook, folder):
    given = _report(notebook)
    notebook.cells.remove(given)
    notebook.cells = [new_code_cell(OWN_REPORT), *notebook.cells, given]


COPYIST = """
import json, pathlib, sys
import wire
for folder in (pathlib.Path(wire.__file__).parent, pathlib.Path(sys.argv[0]).parent, pathlib.Path("../../..")):
    try:
        for cell in json.loads((folder / "source/ps2_decoding/ps2_decoding.ipynb").read_text())["cells"]:
            if cell["id"] == "QUESTION":
                exec("".join(cell["source"]))
    except OSError:
        pass
"""


def _killer(notebook, folder):
    notebook.cells.insert(3, new_code_cell("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"))


def _scripts(notebook, folder):
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.metadata.get("nbgrader", {}).get("grade"):
            cell.source = SCRIPT


SCRIPT = (
    "An answer. <script>document.title = 'OWNED'</script> <img src='x' onerror='document.title = 1'>"
    " [more of it](evil.html)"
)


def _skipped(notebook, folder):
    for cell in notebook.cells:
        cell.metadata["tags"] = ["skip-execution", "remove-cell"]


def _more_notebooks(notebook, folder):
    (folder / "my_notes.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "utf8")
    (folder / "evil.html").write_text(SCRIPT, "utf8")
    (folder / "data").mkdir()
    (folder / "data" / "evil.svg").write_text("<svg/>", "utf8")


PHRASES = "BEGIN HIDDEN TESTS", "END SOLUTION", "BEGIN MARK SCHEME"


def _quirks(notebook, folder):
    """All right, and nothing is as it was handed out: an import in a given cell, nbgrader's own words, a download."""
    by_id = {c.metadata.get("nbgrader", {}).get("grade_id"): c for c in notebook.cells}
    by_id["setup"].source += "\nfrom collections import Counter, OrderedDict"
    by_id["q2"].source = "# what is ### BEGIN HIDDEN TESTS?\n" + by_id["q2"].source
    by_id["q5"].source = "I wonder about\n\n" + "\n\n".join(f"### {phrase}" for phrase in PHRASES)
    by_id["q2"].source += "\nOrderedDict()"
    return "PS2_Decoding (1).ipynb"


def _byte_order_mark(notebook, folder):
    return "ps2_decoding-Copy1.ipynb"


FORMS = {
    "q1": """
def keep_within(logits, n):
    best = logits.max(dim=-1, keepdim=True).values
    bar = best - n * logits.std(-1, correction=0, keepdim=True)
    return torch.nn.Parameter(logits.masked_fill(logits < bar, -torch.inf))
""",
    "q2": """
from collections import Counter
def survivors(probs, temperature, top_p):
    p = torch.tensor(probs, dtype=torch.float64)
    kept, mass = Counter(), 0.0
    for i in p.argsort(descending=True):
        if mass < top_p:
            kept[i], mass = p[i] ** (1 / temperature), mass + p[i]
    return Counter({i: p / kept.total() for i, p in kept.items()})
""",
    "q3": """
import numpy as np
class Ids(list):
    def __repr__(self): return "ids"
def cooling_sampler(model, ids, temperatures, uniforms):
    text = Ids(ids)
    for temperature, u in zip(temperatures, uniforms):
        ends = (model(torch.tensor([[int(i) for i in text]]))[0, -1].double() / temperature).softmax(-1).cumsum(-1)
        text.append(np.float32((ends <= u).sum()))
    return Ids(text[len(ids):])
""",
}


def _long_ago(notebook, folder):
    """A function that is right and slow: it waits for more seconds than a question may work."""
    cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "q3")
    cell.source += "\n_quick = cooling_sampler\ndef cooling_sampler(*args):\n    import time\n    time.sleep(1)"
    cell.source += "\n    return _quick(*args)"


SUBMISSIONS = {
    "equals-everything": (YES, None, 0),
    "patched": (NOTHING, _patched_and_edited, 0),
    "cut": (NOTHING, _cut, 0),
    "renamed": ({}, _renamed, 0),
    "old-format": ({}, _old_format, 0),
    "crashes": (CRASHES, _dying_cell, 3),
    "own-report": (EASY, _own_report, 0),
    "report-moved": (EASY, _report_moved, 0),
    "copyist": ({q: COPYIST.replace("QUESTION", q) for q in NOTHING}, None, 0),
    "skipped": (NOTHING, _skipped, 0),
    "killer": ({}, _killer, 14),
    "scripts": ({}, _scripts, 14),
    "more-notebooks": ({}, _more_notebooks, 14),
    "quirks": ({}, _quirks, 14),
    "byte-order-mark": ({}, _byte_order_mark, 14),
    "forms": (FORMS, None, 14),
    "slow": ({}, _long_ago, 14),
}
MESSAGES = {"crashes": ["did not answer within", "ended the Python process", "memory"]}
