"""Binder: its own tool accepts the folder and takes the right build pack; postBuild never fails for lack of network."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"
TOOL = "jupyter-repo2docker==2026.4.0"


@pytest.fixture(scope="module")
def repo2docker(tmp_path_factory):
    """The path of Binder's tool, in a virtual environment of its own: its dependencies are not the course's."""
    if found := shutil.which("jupyter-repo2docker"):
        return found
    folder = tmp_path_factory.mktemp("binder") / "venv"
    venv.create(folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", TOOL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{TOOL} could not be installed within three minutes")
    if done.returncode:
        pytest.skip(f"{TOOL} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return python.parent / "jupyter-repo2docker"


def dockerfile(tool, folder, home):
    command = [tool, "--no-build", "--debug", "."]
    env = os.environ | {"HOME": str(home)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.fixture
def course(tmp_path):
    """What Binder's tool looks at, in a folder of its own."""
    shutil.copytree(BINDER, tmp_path / "course" / "binder")
    for name in ("environment.yml", "pyproject.toml", "README.md", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / "course")
    return tmp_path / "course"


def test_binders_tool_takes_the_conda_build_pack_with_the_right_python(repo2docker, course, tmp_path):
    shown = dockerfile(repo2docker, course, tmp_path)
    assert "Building conda environment for python=3.11" in shown
    assert '--file "binder/environment.yml"' in shown
    assert "RUN ./binder/postBuild" in shown


def test_the_assertions_above_can_fail(repo2docker, course, tmp_path):
    """The trap: with a requirements.txt in its place, the environment at the root is lost without a word."""
    (course / "binder" / "environment.yml").unlink()
    (course / "binder" / "requirements.txt").write_text("torch\n", "utf8")
    shown = dockerfile(repo2docker, course, tmp_path)
    assert "Building conda environment for python=3.11" not in shown
    assert '--file "binder/environment.yml"' not in shown


def test_there_is_one_folder_for_binder():
    assert not (ROOT / ".binder").exists(), "with both, Binder's tool refuses"


# postBuild


@pytest.fixture
def post_build(tmp_path):
    """Run postBuild with a `python` that only notes how it was called; returns (exit code, calls, output)."""
    if os.name == "nt" or shutil.which("timeout") is None:
        pytest.skip("postBuild runs on Linux")
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()

    def run(*, fails_at="nothing", **variables):
        calls = tmp_path / "calls"
        fake.write_text(f'#!/bin/sh\necho "$*" >> {calls}\ncase "$*" in *{fails_at}*) exit 7;; esac\n', "utf8")
        fake.chmod(0o755)
        env = {"PATH": f"{fake.parent}:{os.environ['PATH']}", **variables}
        done = subprocess.run([BINDER / "postBuild"], cwd=tmp_path, env=env, capture_output=True, text=True)
        return done.returncode, calls.read_text("utf8").splitlines(), done.stdout

    return run


INSTALL = "-m pip install --no-deps -e ."
FETCH = '-c import gpt2lessons as gl; gl.load("gpt2")'


def test_post_build_installs_the_course_and_fetches_nothing_by_itself(post_build):
    assert post_build() == (0, [INSTALL], "")


def test_post_build_fetches_the_real_gpt2_when_told_to(post_build):
    assert post_build(REAL_GPT2="yes") == (0, [INSTALL, FETCH], "")


def test_post_build_goes_on_without_network(post_build):
    code, calls, shown = post_build(REAL_GPT2="yes", fails_at="gl.load")
    assert (code, calls) == (0, [INSTALL, FETCH])
    assert "could not be fetched" in shown


def test_post_build_fails_when_the_course_cannot_be_installed(post_build):
    code, calls, _ = post_build(REAL_GPT2="yes", fails_at="pip")
    assert (code, calls) == (7, [INSTALL])


def test_what_post_build_runs_without_network_fails_quickly_with_a_sentence(tmp_path):
    """Its real command, with a hub that nobody answers for."""
    env = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, *FETCH.split(" ", 1)], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "the hub cannot be reached" in done.stderr
