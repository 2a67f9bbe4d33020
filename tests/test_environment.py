"""pyproject.toml (floors), constraints.txt (exact), environment.yml and binder/ (conda) name the same packages."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text("utf8"), re.M)
}
CONDA_NAMES = {"pytorch-cpu": "torch"}


def requirements(*, extras=()):
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    found = [Requirement(text) for entries in lists for text in entries]
    return [requirement for requirement in found if requirement.name != "gpt2lessons"]  # an extra may name others


def test_every_direct_requirement_has_a_floor_and_an_exact_version_above_it():
    for requirement in requirements(extras=("test", "grading", "browser", "site")):
        assert [s.operator for s in requirement.specifier] == [">="], requirement
        assert requirement.specifier.contains(Version(PINS[canonicalize_name(requirement.name)])), requirement


def test_what_is_installed_is_what_is_pinned():
    """Complete: no package of this environment is missing from constraints.txt or has another version."""
    needed, queue = set(), [canonicalize_name(r.name) for r in requirements(extras=("test", "grading", "site"))]
    while queue:
        name = queue.pop()
        if name in needed:
            continue
        needed.add(name)
        for text in importlib.metadata.distribution(name).requires or []:
            child = Requirement(text)
            if child.marker is None or child.marker.evaluate({"extra": ""}):
                queue.append(canonicalize_name(child.name))
    installed = {name: importlib.metadata.version(name).split("+")[0] for name in needed}
    assert {n: v for n, v in installed.items() if PINS.get(n) != v} == {}


def conda_entries(path):
    conda = [d for d in yaml.safe_load(path.read_text("utf8"))["dependencies"] if isinstance(d, str)]
    found = dict(re.match(r"([\w-]+)=*(.*)", entry).groups() for entry in conda)
    return {CONDA_NAMES.get(name, canonicalize_name(name)): version for name, version in found.items()}


@pytest.mark.parametrize(
    "path", [ROOT / "environment.yml", ROOT / "binder" / "environment.yml"], ids=["root", "binder"]
)
def test_conda_environments_pin_the_same_versions(path):
    entries = conda_entries(path)
    wanted = {canonicalize_name(r.name) for r in requirements()}
    assert wanted <= set(entries)
    assert {n: v for n, v in entries.items() if n in wanted and v != PINS[n]} == {}
    assert entries["python"] == "3.11"


def test_each_dependency_of_environment_yml_says_what_it_is_for():
    lines = (ROOT / "environment.yml").read_text("utf8").splitlines()
    entries = [line for line in lines if line.strip().startswith("- ") and line[-1] != ":"]
    assert [line for line in entries if " # " not in line and "conda-forge" not in line] == []
