"""The course for Kaggle, where lessons run without network: `python -m gpt2lessons kaggle --user NAME --out DIR`.

DIR gets a dataset (the course as a wheel, weights inside) and one kernel per lesson, for Kaggle's own command line.
"""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gpt2lessons.workshop import doctor, launch, notebooks
from gpt2lessons.workshop.notebooks import ROOT

DATASET = "gpt2lessons"
ASSUMED = ("torch",)  # too large to attach (2 GB with its libraries), and Kaggle has it
SOURCE_ONLY = ("rouge-score",)  # published without a wheel, so one is built; it is Python alone and runs everywhere
_SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE.md")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{1,48}")
_MODEL = re.compile(r"[\w-]+/[\w-]+/\w+/[\w.-]+/\d+")


def write(folder, user, *, wheels_for=None, model=None):
    """Write `folder`/dataset and `folder`/kernels for the Kaggle account `user`; return the commands that publish them.

    `wheels_for`: a Python version such as "3.12"; then every other requirement (but `ASSUMED`) is downloaded for it
    into the dataset too. `model`: a real GPT-2 on Kaggle, "owner/model/framework/variation/version", attached to each
    lesson. Raises `ValueError` for a name that Kaggle cannot have, or a folder that is not empty.
    """
    if not _USER.fullmatch(user):
        raise ValueError(f"{user!r} is no name of a Kaggle account: letters, digits and hyphens are allowed.")
    if wheels_for is not None and not re.fullmatch(r"3\.\d+", wheels_for):
        raise ValueError(f"{wheels_for!r} is no version of Python such as 3.12.")
    if model is not None and not _MODEL.fullmatch(model):
        raise ValueError(f"{model!r} is no model on Kaggle: it reads owner/model/framework/variation/version.")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty. Give a new folder: what lies there would be published as well.")
    dataset = folder / "dataset"
    dataset.mkdir(parents=True)
    build_wheel(dataset)
    (dataset / "requirements.txt").write_text("\n".join(doctor.requirements()) + "\n", "utf8")
    if wheels_for:
        download_wheels(dataset, wheels_for)
    metadata = {"title": DATASET, "id": f"{user}/{DATASET}", "licenses": [{"name": "MIT"}]}
    _write_json(dataset / "dataset-metadata.json", metadata)
    kernels = [_write_kernel(folder / "kernels" / path.stem, path, user, model) for path in notebooks.lessons()]
    return [f'kaggle datasets create -p "{dataset}"', *(f'kaggle kernels push -p "{kernel}"' for kernel in kernels)]


def build_wheel(folder):
    """Build the course's wheel into `folder` from a clean copy of its sources; return its path."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "course"
        skip = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(ROOT / "gpt2lessons", copy / "gpt2lessons", ignore=skip)
        shutil.copytree(notebooks.FOLDER, copy / "notebooks", ignore=shutil.ignore_patterns("coursework", ".*"))
        for name in _SOURCES:
            shutil.copy(ROOT / name, copy)
        command = ["wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(copy)]
        if importlib.util.find_spec("setuptools"):
            command.append("--no-build-isolation")  # what builds is here, nothing needs to be fetched
        _pip(command)
    (wheel,) = folder.glob("gpt2lessons-*.whl")
    return wheel


def download_wheels(folder, python):
    """Fetch every requirement but `ASSUMED`, with what it requires, as wheels for Linux and this version of Python."""
    pins = ["-c", str(ROOT / "constraints.txt")]
    _pip(["wheel", "--quiet", "--no-deps", *pins, "--wheel-dir", str(folder), *SOURCE_ONLY])
    machine = ["--implementation=cp", f"--python-version={python}", "--platform=manylinux2014_x86_64"]
    machine += [f"--platform=manylinux_2_{minor}_x86_64" for minor in (28, 17)]
    wanted = [r for r in doctor.requirements() if not r.startswith(ASSUMED)]
    command = ["download", "--quiet", "--only-binary=:all:", *machine, *pins, "--find-links", str(folder)]
    _pip([*command, "--dest", str(folder), *wanted])


def title_of(path):
    """Return a lesson's title on Kaggle; its address there is the title with hyphens."""
    return f"gpt2lessons {path.stem.replace('_', ' ')}"


def _write_kernel(folder, path, user, model):
    folder.mkdir(parents=True)
    _write_json(folder / path.name, opened_alone(json.loads(path.read_text("utf8")), path.name, user))
    metadata = {
        "id": f"{user}/{_slug(path)}",
        "title": title_of(path),
        "code_file": path.name,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": False,
        "enable_internet": False,
        "dataset_sources": [f"{user}/{DATASET}"],
        "competition_sources": [],
        "kernel_sources": [],
        "model_sources": [model] if model else [],
    }
    _write_json(folder / "kernel-metadata.json", metadata)
    return folder


def opened_alone(notebook, lesson, user):
    """Return `notebook` (a dict; `lesson` is its file name) for Kaggle: with the installing cell, links lead there.

    What of the course is not published on Kaggle is linked where it lies on GitHub.
    """
    address = {path.name: f"https://www.kaggle.com/code/{user}/{_slug(path)}" for path in notebooks.lessons()}
    elsewhere = [*map(notebooks.name_of, notebooks.deeper()), "glossary"]
    address |= {f"{name}.ipynb": launch.page(f"{name}.ipynb") for name in elsewhere}
    cells = [dict(cell) for cell in launch.equip(notebook, lesson)["cells"]]
    for cell in cells:
        if cell["cell_type"] == "markdown":
            source = "".join(cell["source"])
            cell["source"] = re.sub(r"(?<=\]\()([\w./]+\.ipynb)", lambda m: address.get(m[1], m[1]), source)
    return notebook | {"cells": cells}


def _slug(path):
    return re.sub(r"[^a-z0-9]+", "-", title_of(path).lower()).strip("-")


def _write_json(path, content):
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf8")


def _pip(arguments):
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"pip {arguments[0]} failed:\n{done.stderr.strip()}")
