"""The house as a whole: imports go down, public names are documented, the import is light, the linter is content."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gpt2lessons as gl

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gpt2lessons"
# each file (or room, where its files are equals) may import itself and what is named here, nothing else of the package
MAY_IMPORT = {
    "checksums": set(),
    "adapters": set(),
    "merging": set(),
    "bpe": {"checksums", "merging"},
    "gpt2": set(),
    "exact": set(),
    "toy": {"exact"},
    "induction": set(),
    "scoring": {"adapters"},
    "decoding": set(),
    "decoding.arguments": set(),
    "decoding.settings": {"decoding.arguments"},
    "decoding.penalties": {"decoding.arguments", "decoding.settings"},
    "decoding.processors": {"decoding.penalties", "decoding.settings"},
    "decoding.pipeline": {"decoding.processors"},
    "decoding.stepper": {"adapters", "decoding.arguments"},
    "decoding.trace": set(),
    "decoding.generation": {
        "adapters",
        "decoding.arguments",
        "decoding.pipeline",
        "decoding.settings",
        "decoding.stepper",
        "decoding.trace",
    },
    "decoding.search_tree": set(),
    "decoding.beam": {
        "decoding.settings",
        "adapters",
        "decoding.arguments",
        "decoding.processors",
        "decoding.search_tree",
        "decoding.stepper",
    },
    "decoding.drafts": {"adapters", "decoding.arguments", "gpt2"},
    "decoding.speculative": {
        "adapters",
        "decoding.arguments",
        "decoding.drafts",
        "decoding.processors",
        "decoding.settings",
        "decoding.stepper",
    },
    "loading": set(),
    "loading.hub": {"checksums"},
    "loading.folder": {"gpt2"},
    "loading.models": {"gpt2", "loading.hub", "loading.folder", "checksums"},
    "human": {"checksums"},
    "recorded": {"checksums", "decoding.processors", "gpt2", "loading.models"},
    "training": {"training.loop", "training.validation"},
    "training.corpus": {"checksums"},
    "training.baselines": set(),
    "training.country": {"adapters", "decoding.generation"},
    "training.loop": {"checksums", "gpt2"},
    "training.validation": {"training.loop"},
    "training.model_card": {"metrics", "checksums", "training.corpus", "decoding.beam", "decoding.generation"},
    "training.make_mini": {
        "bpe",
        "checksums",
        "gpt2",
        "loading.models",
        "scoring",
        "training.baselines",
        "training.corpus",
        "training.loop",
        "training.model_card",
        "training.validation",
    },
    "metrics": {"scoring"},
    "tuning": {"decoding.arguments", "decoding.processors", "decoding.generation", "scoring", "metrics"},
    "plots": set(),
    "checks": {
        "bpe",
        "decoding.beam",
        "decoding.generation",
        "decoding.processors",
        "desk.record",
        "gpt2",
        "loading.models",
        "recorded",
        "scoring",
        "toy",
    },
    "desk": set(),
    "desk.kernel": set(),
    "desk.pictures": set(),
    "desk.server": {"desk.pictures"},
    "desk.lessons": set(),
    "desk.record": set(),
    "desk.progress": {"desk.lessons", "desk.record"},
    "desk.working_copy": {"desk.lessons", "desk.record"},
    "desk.lab": {"desk.lessons", "desk.record", "desk.working_copy"},
    "workshop": set(),
    "workshop.notebooks": {"desk.pictures"},
    "workshop.launch": set(),
    "workshop.machines": {"workshop.notebooks"},
    "workshop.spoilers": set(),
    "workshop.lesson_rules": {"workshop.launch", "workshop.notebooks", "workshop.spoilers"},
    "workshop.glossary": {"workshop.notebooks"},
    "workshop.index": {"desk.lessons", "workshop.glossary", "workshop.launch", "workshop.notebooks"},
    "workshop.site": {"checksums", "workshop.glossary", "workshop.index", "workshop.launch", "workshop.notebooks"},
    "workshop.doctor": {"checksums", "loading.hub"},
    "workshop.kaggle": {"workshop.doctor", "workshop.launch", "workshop.notebooks"},
    "workshop.speed": {"tuning"},
    "workshop.stopwatch": set(),
    "workshop.bench": {
        "decoding.beam",
        "decoding.generation",
        "decoding.processors",
        "gpt2",
        "loading.models",
        "training.make_mini",
        "workshop.speed",
    },
    "grading": {"toy"},
    "workshop.bench_memory": {"checksums", "workshop.bench", "workshop.doctor", "workshop.notebooks"},
}
ABOVE_EVERYTHING = {"widgets", "__main__", "__init__"}
HEAVY = ("torch", "transformers", "evaluate", "datasets", "matplotlib", "ipywidgets", "numpy")
MAX_LINES = 350


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def module_name(path):
    """`decoding/beam.py` is "decoding.beam", `decoding/__init__.py` is "decoding"."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


NAMES = {module_name(path) for path in modules()}


def place(name):
    """The entry of `MAY_IMPORT` that holds for a module: its own, or its room's."""
    return name if name in MAY_IMPORT else name.partition(".")[0]


def is_for_hints(node):
    """Is it `if TYPE_CHECKING:`, which never runs?"""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported(path):
    """The modules of the package that a file imports, wherever in it the import stands; not what only hints name."""
    tree = ast.parse(path.read_text("utf8"))
    tree.body = [node for node in tree.body if not is_for_hints(node)]
    found = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")[1:] if name.startswith("gpt2lessons.") else []
            while parts and ".".join(parts) not in NAMES:
                parts.pop()  # what is named is a function or class of a module
            if parts:
                found.add(".".join(parts))
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path):
    here = place(module_name(path))
    if here in ABOVE_EVERYTHING:
        return
    assert {place(name) for name in imported(path)} <= MAY_IMPORT[here] | {here}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_stay_small(path):
    assert len(path.read_text("utf8").splitlines()) <= MAX_LINES


def test_transformers_is_imported_by_models_measurements_and_one_check_alone():
    users = {module_name(p) for p in modules() if re.search(r"(?:import|from) transformers", p.read_text("utf8"))}
    # a check of lesson 07 runs the learner's filter against the library's
    assert users <= {"loading.models", "workshop.bench", "checks.top_k"}


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, gpt2lessons; print([m for m in {HEAVY} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_every_registered_name_can_be_reached():
    for name in gl.__all__:
        assert getattr(gl, name) is not None
    for registry in (gl.widgets, gl.checks, gl.plots):
        for name in registry.__all__:
            assert getattr(registry, name) is not None


def public_functions():
    for name in sorted(set(gl._MODULES) - {"checks", "widgets"}):
        module = getattr(gl, name)
        for attribute, value in vars(module).items():
            if (
                not attribute.startswith("_")
                and getattr(value, "__module__", None) == module.__name__
                and callable(value)
            ):
                yield f"{name}.{attribute}", value


def test_public_names_have_docstrings_with_shapes_for_tensors():
    undocumented, shapeless = [], []
    for name, value in public_functions():
        text = inspect.getdoc(value) or ""
        if len(text) < 20:
            undocumented.append(name)
        takes = inspect.signature(value).parameters if inspect.isfunction(value) else {}
        if {"logits", "input_ids", "log_probs", "probs"} & set(takes) and "(" not in text:
            shapeless.append(name)
    assert (undocumented, shapeless) == ([], [])


def test_lint():
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *arguments, str(ROOT)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
