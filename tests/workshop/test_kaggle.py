"""What is written for Kaggle: metadata as its command line wants it, a whole wheel, lessons that run there alone."""

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from gpt2lessons import __main__
from gpt2lessons.workshop import doctor, kaggle, launch, notebooks


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the command writes; the installing cell looks for the dataset in a folder of the test, not in /kaggle."""
    folder = tmp_path_factory.mktemp("kaggle")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "KAGGLE_INPUT", str(folder / "input"))
        assert __main__.main(["kaggle", "--user", "ada", "--out", str(folder / "out")]) == 0
    return folder


def slug_of(title):
    """As Kaggle makes an address of a title: lower case, hyphens for everything else."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def read(path):
    return json.loads(path.read_text("utf8"))


def test_dataset_metadata_keeps_kaggles_rules(folder):
    metadata = read(folder / "out" / "dataset" / "dataset-metadata.json")
    owner, slug = metadata["id"].split("/")
    assert owner == "ada"
    assert slug == slug_of(metadata["title"])
    assert 6 <= len(slug) <= 50
    assert 6 <= len(metadata["title"]) <= 50
    assert metadata["licenses"] == [{"name": "MIT"}]


def test_dataset_has_the_wheel_and_says_what_else_is_needed(folder):
    dataset = folder / "out" / "dataset"
    assert (dataset / "requirements.txt").read_text("utf8").splitlines() == doctor.requirements()
    assert all(path.is_file() for path in dataset.iterdir()), "kaggle datasets create skips folders"
    (wheel,) = dataset.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.getinfo(name).file_size for name in archive.namelist()}
    package = kaggle.ROOT / "gpt2lessons"
    expected = {
        str(path.relative_to(kaggle.ROOT)): path.stat().st_size
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")
    }
    beside = (".dist-info/", ".data/")  # what is laid elsewhere, tests/desk looks at
    assert {n: size for n, size in packed.items() if not any(part in n for part in beside)} == expected
    assert expected["gpt2lessons/assets/gpt2-mini/model.safetensors"] > 10_000_000


@pytest.mark.parametrize("lesson", notebooks.lessons(), ids=lambda p: p.stem)
def test_kernel_metadata_keeps_kaggles_rules(folder, lesson):
    kernel = folder / "out" / "kernels" / lesson.stem
    metadata = read(kernel / "kernel-metadata.json")
    assert metadata["id"] == f"ada/{slug_of(metadata['title'])}"
    assert 5 <= len(metadata["title"]) <= 50
    assert (kernel / metadata["code_file"]).is_file()
    assert (metadata["language"], metadata["kernel_type"]) == ("python", "notebook")
    assert metadata["enable_internet"] is False, "the command line takes True when it is left out"
    assert metadata["dataset_sources"] == ["ada/gpt2lessons"]
    assert metadata["model_sources"] == []


@pytest.mark.parametrize("lesson", notebooks.lessons(), ids=lambda p: p.stem)
def test_kernel_is_the_lesson_with_its_installing_cell_once_and_first(folder, lesson):
    import nbformat

    written = read(folder / "out" / "kernels" / lesson.stem / lesson.name)
    nbformat.validate(nbformat.from_dict(written))
    cells = written["cells"]
    install, *others = notebooks.code_cells(written)
    assert install["id"] == "install"
    assert str(folder / "input") in "".join(install["source"])
    original = read(lesson)
    assert [c["id"] for c in cells] == [c["id"] for c in original["cells"]]
    assert others == notebooks.code_cells(original)[1:]
    assert not re.search(r"\]\([\w./]+\.ipynb", "".join("".join(c["source"]) for c in cells))


def test_links_between_lessons_lead_to_their_kernels(folder):
    start = read(folder / "out" / "kernels" / "00_start_here" / "00_start_here.ipynb")
    text = "".join("".join(c["source"]) for c in start["cells"])
    ids = {read(path)["id"] for path in (folder / "out" / "kernels").glob("*/kernel-metadata.json")}
    linked = set(re.findall(r"https://www\.kaggle\.com/code/([\w/-]+)", text))
    assert len(linked) > 5
    assert linked <= ids


def test_real_gpt2_is_attached_when_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(kaggle, "build_wheel", lambda folder: None)
    kaggle.write(tmp_path / "out", "ada", model="openai/gpt2/transformers/small/1")
    for path in (tmp_path / "out" / "kernels").glob("*/kernel-metadata.json"):
        assert read(path)["model_sources"] == ["openai/gpt2/transformers/small/1"]


def test_wheels_are_asked_for_kaggles_machine_without_torch(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(kaggle, "_pip", asked.append)
    kaggle.download_wheels(tmp_path, "3.12")
    build, command = asked
    assert build[0] == "wheel"
    assert build[-1] == "rouge-score", "there is no wheel of it to download"
    assert command[:2] == ["download", "--quiet"]
    assert {"--only-binary=:all:", "--python-version=3.12", "--platform=manylinux2014_x86_64"} <= set(command)
    assert [r for r in command if ">=" in r] == [r for r in doctor.requirements() if not r.startswith("torch")]


def test_pip_that_fails_is_quoted(tmp_path):
    with pytest.raises(RuntimeError, match=r"pip download failed:\n.*no-such-folder"):
        kaggle._pip(["download", "--no-index", "-r", str(tmp_path / "no-such-folder" / "r.txt")])


@pytest.mark.parametrize(
    ("user", "settings", "words"),
    [
        ("ada lovelace", {}, "'ada lovelace' is no name of a Kaggle account"),
        ("ada/x", {}, "no name of a Kaggle account"),
        ("ada", {"wheels_for": "py312"}, "'py312' is no version of Python such as 3.12"),
        ("ada", {"model": "openai/gpt2"}, "owner/model/framework/variation/version"),
    ],
)
def test_bad_names_are_refused_before_anything_is_written(tmp_path, user, settings, words):
    with pytest.raises(ValueError, match=words):
        kaggle.write(tmp_path / "out", user, **settings)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "secret.txt").touch()
    with pytest.raises(ValueError, match="is not empty"):
        kaggle.write(tmp_path, "ada")


@pytest.fixture
def without_the_course(tmp_path):
    """A virtual environment that sees every installed package, but not this course; returns its Python."""
    if os.name == "nt":
        pytest.skip("needs symbolic links")
    others = tmp_path / "others"
    others.mkdir()
    for place in {Path(entry) for entry in sys.path if entry.endswith("site-packages")}:
        for entry in place.iterdir():
            if "gpt2lessons" not in entry.name and entry.suffix != ".pth" and not (others / entry.name).exists():
                (others / entry.name).symlink_to(entry)
    venv.create(tmp_path / "clean", symlinks=True)
    (site,) = (tmp_path / "clean").glob("lib/python3*/site-packages")
    (site / "others.pth").write_text(f"{others}\n", "utf8")
    return tmp_path / "clean" / "bin" / "python"


RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
notebook.cells.append(nbformat.v4.new_code_cell("print(gl.__file__)"))
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
(install,) = [cell for cell in notebook.cells if cell.id == "install"]
print(install.execution_count, install.outputs, notebook.cells[-1].outputs[0].text)
"""


def test_lesson_opened_alone_without_network_installs_the_wheel_and_runs_to_its_end(
    folder, without_the_course, tmp_path
):
    """As on Kaggle with the internet off: the dataset is attached below the input folder, the course is not there."""
    attached = folder / "input" / "gpt2lessons"
    attached.parent.mkdir(exist_ok=True)
    attached.symlink_to(folder / "out" / "dataset", target_is_directory=True)
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    settings = {"HF_HOME": str(tmp_path / "hf"), "PIP_CONFIG_FILE": os.devnull, "OMP_NUM_THREADS": "1"}
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV") and not k.startswith("PIP_")}

    def python(*arguments):
        return subprocess.run(
            [without_the_course, *map(str, arguments)],
            env=kept | nowhere | settings,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    assert "No module named 'gpt2lessons'" in python("-c", "import gpt2lessons").stderr
    lesson = folder / "out" / "kernels" / "00_start_here" / "00_start_here.ipynb"
    done = python("-c", RUN, lesson)
    assert done.returncode == 0, done.stderr[-3000:]
    count, outputs, place = done.stdout.strip().splitlines()[-1].split(" ", 2)
    assert (count, outputs) == ("1", "[]"), "the installing cell must come first and be silent"
    assert place.startswith(str(tmp_path / "clean"))


def test_links_to_what_is_not_on_kaggle_lead_to_github(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)
    (tmp_path / "deeper").mkdir()
    for name in ("03_x", "deeper/a"):
        (tmp_path / f"{name}.ipynb").touch()
    source = "[a](deeper/a.ipynb) [g](glossary.ipynb#token) [l](03_x.ipynb#cell-id=b)"
    notebook = {"cells": [{"cell_type": "markdown", "id": name, "source": [source]} for name in ("title", "x")]}
    cell = kaggle.opened_alone(notebook, "03_x.ipynb", "ada")["cells"][-1]
    github = f"https://github.com/gpt2lessons/gpt2lessons/blob/{launch.RELEASE}/notebooks"
    lesson = "https://www.kaggle.com/code/ada/gpt2lessons-03-x#cell-id=b"
    assert cell["source"] == f"[a]({github}/deeper/a.ipynb) [g]({github}/glossary.ipynb#token) [l]({lesson})"
