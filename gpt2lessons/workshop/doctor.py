"""What this machine has, what is missing, and the command that mends it: `python -m gpt2lessons doctor`.

It looks with Python's own library alone, so that it can also speak where nothing is installed yet.
"""

import importlib
import importlib.machinery
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gpt2lessons import __version__, checksums
from gpt2lessons.checksums import ASSETS, MINI
from gpt2lessons.loading import hub

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
OLDEST = (3, 11)  # Python
MINI_NEEDS, GPT2_NEEDS = 1_000_000_000, 2_000_000_000  # bytes of memory that a lesson takes at most
MUST_IMPORT = ("torch", "transformers", "matplotlib", "ipywidgets", "evaluate")
_GROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `good`, `what` was seen, and the command or step that changes it ("" if there is none)."""

    good: bool
    what: str
    mend: str = ""

    def __str__(self):
        line = f"{'ok ' if self.good else 'BAD'}  {self.what}"
        return f"{line}\n     {'you may' if self.good else 'mend'}: {self.mend}" if self.mend else line


def examine():
    """Return the `Finding`s: Python, every package the course needs, memory, disk, the bundled files, GPT-2."""
    if not _python().good:
        return [_python()]  # what follows would fail
    return [_python(), _place(), *_packages(), *_imports(), _memory(), _disk(), *_bundled_files(), *_family()]


def report():
    """Print what `examine` finds; return 0 if all of it is good, else 1."""
    findings = examine()
    print(*findings, sep="\n")
    bad = sum(not finding.good for finding in findings)
    if bad:
        print(f"\n{bad} of {len(findings)} things need mending.")
    else:
        print("\nEverything that the lessons need is here.")
    return min(bad, 1)


def _python():
    what = f"Python {platform.python_version()} on {platform.system()}"
    if sys.version_info >= OLDEST:
        return Finding(True, what)
    return Finding(False, f"{what}, but 3.11 or newer is needed", "install a newer Python, and the course with it")


def _place():
    """Where the course was found, and whether a notebook in this folder would find the same."""
    here = Path(__file__).parents[1]
    what = f"gpt2lessons {__version__} found in {here}"
    found = importlib.machinery.PathFinder.find_spec("gpt2lessons", [os.getcwd(), *sys.path])
    if found is not None and found.origin is None:
        folder = next(iter(found.submodule_search_locations))
        what = f"in this folder Python takes {folder} for the course, which is in {here}"
        place = PROJECT.parent if PROJECT.is_file() else here.parent
        mend = f"work in another folder, {place} for example, or rename that one"
        return Finding(False, what, mend)
    if found is not None and Path(found.origin).resolve().parent != here.resolve():
        return Finding(True, f"{what}; in this folder notebooks import {Path(found.origin).parent}")
    return Finding(True, what)


def _packages():
    try:
        importlib.metadata.version("gpt2lessons")
    except importlib.metadata.PackageNotFoundError:
        place = f" (in {PROJECT.parent})" if PROJECT.is_file() else " (in the folder of the course)"
        mend = f"{sys.executable} -m pip install -c constraints.txt -e .{place}"
        yield Finding(False, "the course itself is not installed", mend)
    for requirement in requirements():
        yield _package(*re.fullmatch(r"([\w.-]+)\s*>=\s*([\d.]+)", requirement).groups())


def requirements():
    """Return what the course needs as "name>=floor", extras left out: from pyproject.toml, or the installed copy."""
    if PROJECT.is_file():
        import tomllib

        return tomllib.loads(PROJECT.read_text("utf8"))["project"]["dependencies"]
    try:
        wanted = importlib.metadata.requires("gpt2lessons") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [requirement for requirement in wanted if ";" not in requirement]  # a marker says: belongs to an extra


def _package(name, floor):
    mend = f'{sys.executable} -m pip install "{name}>={floor}"'
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(False, f"{name} is not installed", mend)
    if _numbers(version) < _numbers(floor):
        return Finding(False, f"{name} is {version}, but {floor} or newer is needed", mend)
    return Finding(True, f"{name} {version} (at least {floor})")


def _numbers(version):
    """Return the numbers of a version that count, trailing zeros left out: "2.13.0+cpu" -> (2, 13)."""
    numbers = [int(n) for n in re.match(r"\d+(\.\d+)*", version)[0].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _imports():
    """Installed is not enough: a library may have been built for another machine."""
    for name in MUST_IMPORT:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:  # if it is the package itself, that was said above
                yield Finding(False, f"{name} cannot start: {error}", f'{sys.executable} -m pip install "{error.name}"')
        except Exception as error:
            mend = f"{sys.executable} -m pip install --force-reinstall {name}"
            yield Finding(False, f"{name} cannot start: {type(error).__name__}: {error}", mend)


def _memory():
    """Memory of the machine, or of the container where that is less, as on Binder."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = f"{len(affinity(0)) if affinity else os.cpu_count()} cores"
    known = []
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    known += [int(text) for path in _GROUPS if path.is_file() and (text := path.read_text("utf8").strip()).isdigit()]
    if not known:
        return Finding(True, f"{cores}, memory unknown on this system (the lessons need 1 GB)")
    what = f"{cores}, {min(known) / 1e9:.1f} GB of memory"
    if min(known) < MINI_NEEDS:
        return Finding(False, f"{what}, but lessons need 1 GB", "use a machine with more, for example Binder")
    if min(known) < GPT2_NEEDS:
        return Finding(True, f"{what}: enough for gpt2-mini, the real GPT-2 needs 2 GB")
    return Finding(True, what)


def _disk():
    """Is there a place for downloads? Only the real GPT-2 needs it: the lessons run without."""
    cache = hub.cache_folder()
    place = next(p for p in (cache, *cache.parents) if p.exists())
    need = hub.FAMILY["gpt2"].megabytes * 1e6
    try:
        tempfile.TemporaryFile(dir=place).close()
        free = shutil.disk_usage(place).free
    except OSError:
        mend = "set the variable HF_HOME to a folder of yours"
        return Finding(False, f"nothing can be written to {cache}, where models are kept", mend)
    if free < need:
        what = f"{free / 1e6:,.0f} MB free in {cache}: too little for the real GPT-2 ({need / 1e6:,.0f} MB)"
        return Finding(False, what, "make room, or set HF_HOME to a folder on a larger disk")
    return Finding(True, f"{free / 1e9:.1f} GB free for downloads in {cache}")


def _bundled_files():
    if (PROJECT.parent / ".git").exists():
        mend = f'git -C "{PROJECT.parent}" checkout -- gpt2lessons/assets'
    else:
        mend = "install the course again, as its README says"
    folders = [MINI, *(sums.parent for sums in sorted(ASSETS.glob("*/SHA256SUMS")) if sums.parent.name != MINI.name)]
    for folder in folders:
        bad = [Finding(False, f"{folder.name}: {fault}", mend) for fault in checksums.faults(folder)]
        yield from bad or [Finding(True, f"{folder.name}: every file there, every checksum right")]


def _family():
    """The real models, as far as they are in the Hugging Face cache."""
    for name, checkpoint in hub.FAMILY.items():
        folder = hub.find_cached(checkpoint.repo, checkpoint.revision)
        if folder is None:
            if name == "gpt2":
                step = f"{sys.executable} -c \"import gpt2lessons as gl; gl.load('gpt2')\""
                yield Finding(True, f"{name} is not in the cache: lessons use gpt2-mini", f"{step}  (548 MB)")
        elif checkpoint.sha256 is None or folder.name != checkpoint.revision:
            yield Finding(True, f"{name} is in the cache (no checksum known for commit {folder.name[:7]})")
        elif checksums.digest(folder / "model.safetensors") == checkpoint.sha256:
            yield Finding(True, f"{name} is in the cache, its checksum right")
        else:
            what = f"{name} in the cache is damaged: its SHA-256 is not {checkpoint.sha256[:12]}…"
            yield Finding(False, what, f'delete {folder}, then gl.load("{name}")')
