"""The command line: help, version, suggestions; every bad argument gets a sentence and exit code 2."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import gpt2lessons as gl
from gpt2lessons import __main__
from gpt2lessons.workshop import kaggle, notebooks

ROOT = Path(__file__).parent.parent
NAMES = ["lab", "execute", "index", "bench", "doctor", "site", "kaggle", "train", "heldout", "grade", "lms", "collect"]


def answer(arguments, capsys):
    """Return (exit code, output, error stream) of a call, whether it returns or leaves."""
    capsys.readouterr()
    try:
        code = __main__.main(arguments)
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()


def test_without_a_command_there_is_help_with_every_command(capsys):
    code, out, err = answer([], capsys)
    assert (code, err) == (0, "")
    assert all(re.search(rf"^ +{name} +\S", out, re.M) for name in NAMES)
    assert [run.__name__ for run in __main__.COMMANDS] == NAMES


def test_version(capsys):
    assert answer(["--version"], capsys) == (0, f"gpt2lessons {gl.__version__}\n", "")


def test_the_installed_command_is_this_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))
    assert project["project"]["scripts"] == {"gpt2lessons": "gpt2lessons.__main__:main"}
    assert project["project"]["version"] == gl.__version__


@pytest.mark.parametrize(
    ("typed", "meant"), [("lap", "lab"), ("trian", "train"), ("exceute", "execute"), ("held-out", "heldout")]
)
def test_a_mistyped_command_gets_a_suggestion(typed, meant, capsys):
    code, _, err = answer([typed, "--out", "x"], capsys)
    assert code == 2
    assert f"there is no command {typed!r}. Did you mean {meant}?" in err


def test_a_command_that_is_like_no_other_gets_the_list(capsys):
    code, _, err = answer(["zzz"], capsys)
    assert code == 2
    assert "there is no command 'zzz'. The commands: lab, execute, index" in err


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus of one text; beside it a file, a model's folder, a notebook that is none, and a broken corpus."""
    folder = tmp_path_factory.mktemp("corpus")
    for name in ("tales/one.txt", "heldout/two.txt", "broken/one.txt", "unlisted/one.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("Once upon a time there was a king. " * 9, "utf8")
    (folder / "broken" / "manifest.json").write_text("{}{", "utf8")
    (folder / "unlisted" / "manifest.json").write_text('[{"title": "One"}]', "utf8")
    (folder / "file").write_text("here", "utf8")
    (folder / "none.ipynb").write_text("here", "utf8")
    return folder


TRAIN = "train --corpus CORPUS --out CORPUS/out --steps 2"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (f"{TRAIN} --steps 0", "steps, rows, context and rows_at_once are at least 1"),
        (f"{TRAIN} --steps many", "invalid int value: 'many'"),
        (f"{TRAIN} --n-head 3 --n-embd 16", "n_embd=16 cannot be shared out evenly among n_head=3"),
        (f"{TRAIN} --n-layer 0", "every size must be at least 1"),
        (f"{TRAIN} --n-embd 99999998 --n-head 2", "this machine's memory is too small for it"),
        (f"{TRAIN} --dropout 1", "dropout is a share"),
        (f"{TRAIN} --muon-lr nan", "rates and weight decay are finite"),
        (f"{TRAIN} --adamw-lr inf", "rates and weight decay are finite"),
        (f"{TRAIN} --clip nan", "clip is above 0"),
        (f"{TRAIN} --warmup nan", "shares of the steps"),
        (f"{TRAIN} --seed -1", "seed is a whole number, at least 0"),
        (f"{TRAIN} --seed 99999999999999999999", "seed is a whole number, at least 0"),
        ("train --corpus CORPUS --steps 2 --out ", "its name is empty: give a folder"),
        ("site --out ", "its name is empty: give a folder"),
        (f"{TRAIN} --warmup 0.7 --decay 0.7", "together at most 1"),
        (f"{TRAIN} --out CORPUS/file", "/file' is a file: give a folder to write to"),
        (f"{TRAIN} --out CORPUS/file/below", "/file' is a file: give a folder to write to"),
        (f"{TRAIN} --device warp", "finds no device 'warp' on this machine. Take --device cpu"),
        (f"{TRAIN} --device meta", "finds no device 'meta'"),
        (f"{TRAIN} --device cuda:99", "finds no device 'cuda:99'"),
        (f"{TRAIN} --share tales", "'tales' should read PART=FIRST:LAST"),
        (f"{TRAIN} --share tales=a:b", "'tales=a:b' should read PART=FIRST:LAST"),
        (f"{TRAIN} --share fables=1 --context 8 --n-embd 16 --n-head 2", "shares name fables; the corpus has"),
        (f"{TRAIN} --start gpt2-mimi", "Did you mean 'gpt2-mini'"),
        (f"{TRAIN} --colour red", "unrecognized arguments: --colour red"),
        ("train --corpus CORPUS/nowhere --out CORPUS/o --steps 2", "there is no folder"),
        ("train --corpus CORPUS/broken --out CORPUS/o --steps 2", "manifest.json should be a JSON list"),
        ("train --corpus CORPUS/unlisted --out CORPUS/o --steps 2", "manifest.json should be a JSON list"),
        ("train --out CORPUS/o --steps 2", "required: --corpus"),
        ("heldout --corpus CORPUS/nowhere", "there is no folder"),
        ("heldout --corpus CORPUS/file", "cannot be unpacked"),
        ("heldout --corpus CORPUS/heldout", "has no folder 'heldout'"),
        ("heldout --corpus CORPUS --model CORPUS/tales", "is not the folder of a model"),
        ("heldout --corpus CORPUS --model gpt3", "'gpt3' is no model that load() knows"),
        ("execute CORPUS/nowhere.ipynb", "is no notebook: give the path of an .ipynb file"),
        ("execute CORPUS", "is no notebook"),
        ("execute CORPUS/none.ipynb", "JSON"),
        ("execute --model gpt2-minni", "Did you mean 'gpt2-mini'"),
        ("bench --memory gpt2-minni", "Did you mean 'gpt2-mini'"),
        ("site --out CORPUS/file", "is a file: give a folder"),
        ("site", "required: --out"),
        ("kaggle --user a/b --out CORPUS/k", "'a/b' is no name of a Kaggle account"),
        ("kaggle --user ada --out CORPUS", "is not empty"),
        ("kaggle --user ada --out CORPUS/k --wheels-for 2", "'2' is no version of Python"),
        ("kaggle --user ada --out CORPUS/k --model gpt2", "'gpt2' is no model on Kaggle"),
        ("doctor now", "unrecognized arguments: now"),
        ("index --out x", "unrecognized arguments"),
    ],
)
def test_a_bad_argument_gets_a_sentence_and_exit_code_2(corpus, call, words, capsys):
    code, _, err = answer(call.replace("CORPUS", str(corpus)).split(" "), capsys)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert err.rstrip().count("\n") == 0 or err.startswith("usage: ")


def test_what_pip_says_is_shown_when_no_wheel_can_be_built(corpus, monkeypatch, capsys, tmp_path):
    def fail(folder):
        raise RuntimeError("pip wheel failed:\nno such thing")

    monkeypatch.setattr(kaggle, "build_wheel", fail)
    code, _, err = answer(["kaggle", "--user", "ada", "--out", str(tmp_path / "k")], capsys)
    assert (code, "no such thing" in err) == (2, True)


# ---- from an installed wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Run a command of the built wheel, unpacked as pip does it, far from the repository."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(kaggle.build_wheel(tmp_path_factory.mktemp("wheel"))) as wheel:
        wheel.extractall(folder / "site")
        assert any(name.endswith("entry_points.txt") for name in wheel.namelist())
    env = os.environ | {"PYTHONPATH": str(folder / "site")}

    def run(*arguments):
        command = [sys.executable, "-m", "gpt2lessons", *arguments]
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, encoding="utf8")

    where = [sys.executable, "-c", "import gpt2lessons; print(gpt2lessons.__file__)"]
    found = subprocess.run(where, cwd=folder, env=env, capture_output=True, text=True, encoding="utf8").stdout
    assert found.startswith(str(folder)), "the repository's own package is tested, not the wheel"
    return run


@pytest.mark.parametrize(
    "call", ["execute", "index", "site --out o", "kaggle --user ada --out o", "bench --memory", "execute --check"]
)
def test_what_needs_the_repository_says_so(installed, call):
    done = installed(*call.split(" "))
    assert (done.returncode, done.stdout) == (2, "")
    assert "this needs the lessons, which lie in the course's repository" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_does_not_need_the_repository_works(installed, corpus):
    assert installed("--version").stdout == f"gpt2lessons {gl.__version__}\n"
    assert "found in" in installed("doctor").stdout
    done = installed("heldout", "--corpus", str(corpus))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^two +\d", done.stdout, re.M)
    done = installed("execute", str(notebooks.lessons()[0]), "--model", "no model")
    assert (done.returncode, "is no model that load() knows" in done.stderr) == (2, True)


def test_a_notebook_of_ones_own_can_be_executed_from_an_installed_copy(installed, tmp_path):
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": "6 * 7", "outputs": [], "execution_count": None}
    path = tmp_path / "own.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}), "utf8")
    done = installed("execute", str(path))
    assert done.returncode == 0, done.stderr
    assert "42" in str(json.loads(path.read_text("utf8"))["cells"][0]["outputs"])
