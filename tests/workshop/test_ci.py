"""CI's script for the browser: it runs the tests where there is one, and otherwise says why not, without failing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "browser"
TOOLS = ("bash", "dirname", "timeout", "tail", "mktemp")


@pytest.fixture
def machine(tmp_path):
    """Returns a function that runs the script on a machine with these programs only, each a line of shell."""
    if any(shutil.which(tool) is None for tool in TOOLS):
        pytest.skip("the script is for Linux")
    programs, venv = tmp_path / "bin", tmp_path / ".venv" / "bin"
    for folder in (programs, venv, tmp_path / ".ci"):
        folder.mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / ".ci")
    for tool in TOOLS:
        (programs / tool).symlink_to(shutil.which(tool))

    def write(path, line):
        path.write_text(f"#!{shutil.which('bash')}\n{line}\n", "utf8")
        path.chmod(0o755)

    def run(*, pip="exit 0", pytest="exit 0", **others):
        for name, line in others.items():
            write(programs / name.replace("_", "-"), line)
        write(venv / "pip", pip)
        write(venv / "pytest", pytest)
        command = [shutil.which("bash"), str(tmp_path / ".ci" / "browser")]
        env = {"PATH": str(programs), "TMPDIR": str(tmp_path)}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        return done.returncode, done.stdout

    return run


NOBODY, ROOT = "echo 1000", "echo 0"
TESTS = 'echo "ran $GPT2LESSONS_BROWSER $*"; exit {}'


def test_with_a_browser_the_tests_run_and_their_exit_code_counts(machine):
    for code in (0, 1):
        result, shown = machine(chromium="exit 0", id=NOBODY, pytest=TESTS.format(code))
        assert result == code
        assert "ran 1 " in shown
        assert "tests/browser" in shown


@pytest.mark.parametrize("name", ["chromium", "chromium_browser", "google_chrome"])
def test_the_names_that_the_tests_look_for_are_found(machine, name):
    assert "ran 1" in machine(id=NOBODY, pytest=TESTS.format(0), **{name: "exit 0"})[1]


def test_root_installs_it(machine, tmp_path):
    browser = tmp_path / "bin" / "chromium"
    apt = f'if [ $1 = install ]; then echo "#!/bin/sh" > {browser}; {shutil.which("chmod")} +x {browser}; fi'
    result, shown = machine(id=ROOT, apt_get=apt, pytest=TESTS.format(3))
    assert result == 3
    assert "ran 1" in shown


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({"id": NOBODY, "apt_get": "exit 0"}, "no chromium here, and only root"),
        ({"id": ROOT}, "no chromium here, and only root can install it with apt-get"),
        ({"id": ROOT, "apt_get": "echo no network; exit 100"}, "apt-get could not install chromium"),
        ({"id": ROOT, "apt_get": "exit 0"}, "apt-get could not install chromium"),
        ({"id": NOBODY, "chromium": "exit 0", "pip": "exit 1"}, "pip could not install playwright"),
    ],
)
def test_without_a_browser_it_says_why_and_does_not_fail(machine, programs, reason):
    result, shown = machine(pytest=TESTS.format(1), **programs)
    assert result == 0
    assert f"browser tests skipped: {reason}" in shown
    assert "ran" not in shown
    if "no network" in programs.get("apt_get", ""):
        assert "no network" in shown, "what apt-get said is shown"


def test_ci_runs_it_last_and_keeps_the_pictures():
    assert (SCRIPT.parent / "run").read_text("utf8").rstrip().endswith("\nbash .ci/browser")
    assert os.access(SCRIPT, os.X_OK)
    workflow = (SCRIPT.parent.parent / ".github" / "workflows" / "ci.yml").read_text("utf8")
    assert "bash .ci/run" in workflow
    assert "GPT2LESSONS_SCREENSHOTS: ${{ github.workspace }}/screenshots" in workflow
    assert "actions/upload-artifact" in workflow
