"""Submissions to problem set 2 that try to get points without an answer, or to stop the grading.

{student: (answers that differ from the model's, a change to the notebook, points that it should get)}; the questions
have 3, 4, 4 and 3 points.
"""

from nbformat.v4 import new_code_cell

NOTHING = dict.fromkeys(["q1", "q2", "q3", "q4"], "pass")

HARD_CODED = {
    "q1": """
def keep_within(logits, nats):
    i = -torch.inf
    return torch.tensor([[4.0, 3.0, i, i], [0.0, i, 0.5, 0.25]])
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
    "q1": EQUAL + "keep_within = lambda logits, nats: Yes()",
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
        (folder / f"{module}.py").write_text("raise SystemExit")


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
    "q1": "def keep_within(logits, nats):\n    while True:\n        pass",
    "q2": "import os\ndef survivors(probs, temperature, top_p):\n    os._exit(0)",
    "q3": "def cooling_sampler(*args):\n    return torch.ones(2_500_000_000).long().tolist()[:1]",
}


def _dying_cell(notebook, folder):
    notebook.cells.insert(5, new_code_cell("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"))


SUBMISSIONS = {
    "equals-everything": (YES, None, 0),
    "patched": (NOTHING, _patched_and_edited, 0),
    "cut": (NOTHING, _cut, 0),
    "renamed": ({}, _renamed, 0),
    "old-format": ({}, _old_format, 0),
    "crashes": (CRASHES, _dying_cell, 3),
}
MESSAGES = {"crashes": ["did not answer within", "ended the Python process", "memory"]}
