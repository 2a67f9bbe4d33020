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
# each room may import itself and what is named here, nothing else of the package
MAY_IMPORT = {
    "arguments": set(),
    "processors": {"arguments"},
    "bpe": set(),
    "gpt2": set(),
    "exact": set(),
    "toy": {"exact"},
    "checksums": set(),
    "hub": {"checksums"},
    "models": {"gpt2", "hub", "checksums"},
    "recorded": {"checksums", "gpt2", "models", "processors"},
    "engine": set(),
    "stepper": {"engine"},
    "trace": set(),
    "generation": {"processors", "stepper", "trace"},
    "search_tree": set(),
    "beam": {"processors", "stepper", "search_tree"},
    "drafts": {"engine", "gpt2"},
    "speculative": {"processors", "engine", "stepper", "drafts"},
    "scoring": {"engine"},
    "corpus": {"checksums"},
    "baselines": set(),
    "induction": set(),
    "training": {"checksums", "gpt2"},
    "model_card": {"corpus", "beam", "generation"},
    "make_mini": {"baselines", "corpus", "model_card", "models", "scoring", "training", "bpe", "gpt2"},
    "metrics": {"scoring"},
    "tuning": {"processors", "generation", "scoring", "metrics"},
    "plots": set(),
    "checks": {"processors", "generation", "beam", "bpe", "gpt2", "scoring", "toy"},
    "notebooks": set(),
    "launch": set(),
    "index": {"launch", "notebooks"},
    "site": {"notebooks", "index", "launch"},
    "doctor": {"hub", "checksums"},
    "kaggle": {"doctor", "launch", "notebooks"},
    "bench_memory": {"bench", "doctor", "notebooks"},
    "bench": {"gpt2", "generation", "beam", "tuning", "make_mini", "models", "processors"},
}
ABOVE_EVERYTHING = {"widgets", "__main__", "__init__"}
HEAVY = ("torch", "transformers", "evaluate", "datasets", "matplotlib", "ipywidgets", "numpy")
MAX_LINES = 280


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """The rooms of the package that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("gpt2lessons.")}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path):
    if room(path) in ABOVE_EVERYTHING:
        return
    assert imported(path) <= MAY_IMPORT[room(path)] | {room(path)}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_stay_small(path):
    assert len(path.read_text("utf8").splitlines()) <= MAX_LINES


def test_transformers_is_imported_by_models_and_measurements_alone():
    users = {room(p) for p in modules() if re.search(r"(?:import|from) transformers", p.read_text("utf8"))}
    assert users <= {"models", "bench"}


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
    for name in sorted(gl._MODULES - {"checks", "widgets"}):
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
