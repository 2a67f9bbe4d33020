"""doctor: a healthy machine is called healthy, and each fault that is made on purpose is named, with what mends it."""

import importlib
import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

import gpt2lessons as gl
from gpt2lessons import __main__, checksums
from gpt2lessons.loading import hub
from gpt2lessons.workshop import doctor

ROOT = Path(__file__).parents[2]


@pytest.fixture
def healthy(tmp_path, monkeypatch):
    """A machine with room and an empty cache; returns its folder."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(doctor, "_GROUPS", ())
    monkeypatch.setattr(doctor.os, "sysconf", {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 8_000_000}.get)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9e9, 1e9, 8e9))
    return tmp_path


@pytest.fixture
def copied(healthy, monkeypatch):
    """The bundled model in a folder that may be spoiled."""
    folder = shutil.copytree(doctor.MINI, healthy / "gpt2-mini")
    monkeypatch.setattr(doctor, "MINI", folder)
    return folder


def bad():
    return [finding for finding in doctor.examine() if not finding.good]


def the_one_bad():
    (found,) = bad()
    assert found.mend, "nothing mends it"
    assert "mend: " in str(found)
    return found


def pretend(monkeypatch, package, version):
    """Let `package` have `version`, or be missing if that is None."""
    honest = importlib.metadata.version

    def answer(name):
        if name != package:
            return honest(name)
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", answer)


def test_healthy_machine_gets_exit_code_0_and_every_requirement_a_line(healthy, capsys):
    assert __main__.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "BAD" not in shown
    assert "Everything that the lessons need is here." in shown
    for requirement in tomllib.loads(doctor.PROJECT.read_text("utf8"))["project"]["dependencies"]:
        name, floor = requirement.split(">=")
        assert f"ok   {name} {importlib.metadata.version(name)} (at least {floor})" in shown
    assert "8.0 GB of memory" in shown
    assert "every checksum right" in shown
    assert "gpt2 is not in the cache" in shown


def test_one_fault_gives_exit_code_1(healthy, monkeypatch, capsys):
    pretend(monkeypatch, "sacrebleu", None)
    assert __main__.main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert f'BAD  sacrebleu is not installed\n     mend: {sys.executable} -m pip install "sacrebleu>=' in shown
    assert "\n1 of " in shown


@pytest.mark.parametrize("version", ["4.57.1", "4.99", "0.1.0rc1"])
def test_old_transformers(healthy, monkeypatch, version):
    pretend(monkeypatch, "transformers", version)
    assert f"transformers is {version}, but 5.0 or newer" in the_one_bad().what
    assert "transformers>=5.0" in the_one_bad().mend


@pytest.mark.parametrize("version", ["5", "5.0.0", "5.0.1.dev0", "10.0", "5.23.0+local"])
def test_versions_are_compared_as_numbers(healthy, monkeypatch, version):
    pretend(monkeypatch, "transformers", version)
    assert bad() == []


def test_package_that_is_installed_but_cannot_start(healthy, monkeypatch):
    honest = importlib.import_module

    def fail(name):
        if name == "torch":
            raise OSError("libgomp.so.1: cannot open shared object file")
        return honest(name)

    monkeypatch.setattr(doctor.importlib, "import_module", fail)
    assert the_one_bad().what == "torch cannot start: OSError: libgomp.so.1: cannot open shared object file"


def test_course_that_is_not_installed(healthy, monkeypatch):
    pretend(monkeypatch, "gpt2lessons", None)
    assert the_one_bad().what == "the course itself is not installed"
    assert "pip install -c constraints.txt -e ." in the_one_bad().mend


def test_doctor_says_where_the_course_was_found(healthy, monkeypatch):
    monkeypatch.chdir(healthy)
    assert doctor._place() == doctor.Finding(True, f"gpt2lessons {gl.__version__} found in {ROOT / 'gpt2lessons'}")
    assert doctor._place() in doctor.examine()


def test_a_folder_that_hides_the_course_is_named(healthy, monkeypatch):
    """Python takes a clone's outer folder for an empty package, where the course is not on the path itself."""
    (healthy / "gpt2lessons" / "gpt2lessons").mkdir(parents=True)
    monkeypatch.chdir(healthy)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not (Path(p) / "gpt2lessons").is_dir()])
    found = doctor._place()
    assert not found.good
    assert found.what.startswith(f"in this folder Python takes {healthy / 'gpt2lessons'} for the course, which is in ")
    assert "rename that one" in found.mend


def test_another_copy_in_the_working_folder_is_named(healthy, monkeypatch):
    (healthy / "gpt2lessons").mkdir()
    (healthy / "gpt2lessons" / "__init__.py").touch()
    monkeypatch.chdir(healthy)
    assert doctor._place().good
    assert doctor._place().what.endswith(f"; in this folder notebooks import {healthy / 'gpt2lessons'}")


def test_requirements_of_an_installed_copy_are_those_it_was_installed_with(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "PROJECT", tmp_path / "no-project.toml")
    wanted = ["torch>=2.9", 'pytest>=8.3; extra == "test"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wanted)
    assert doctor.requirements() == ["torch>=2.9"]


def test_a_python_with_nothing_installed_gets_a_report_and_no_traceback(tmp_path):
    """-S: no site-packages, so that torch and the others are as good as missing."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "gpt2lessons", "doctor"],
        cwd=ROOT,
        env={"PATH": "", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == ""
    assert "BAD  torch is not installed" in done.stdout
    assert "every checksum right" in done.stdout


def test_old_python(healthy, monkeypatch):
    monkeypatch.setattr(doctor.sys, "version_info", (3, 10, 4))
    assert "3.11 or newer is needed" in the_one_bad().what


def damage_weights(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def windows_line_ends(folder):
    path = folder / "merges.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def remove_vocabulary(folder):
    (folder / "vocab.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (damage_weights, "model.safetensors is damaged (SHA-256 "),
        (windows_line_ends, "merges.txt is damaged"),
        (remove_vocabulary, "vocab.json is missing"),
    ],
)
def test_spoiled_bundled_model(copied, spoil, words):
    assert bad() == []
    spoil(copied)
    found = the_one_bad()
    assert found.what.startswith(f"gpt2-mini: {words}")


@pytest.mark.parametrize("name", ["gpt2-recorded", "human"])
def test_other_spoiled_assets_are_named(copied, monkeypatch, name):
    assets = copied.parent / "assets"
    shutil.copytree(doctor.ASSETS / name, assets / name)
    monkeypatch.setattr(doctor, "ASSETS", assets)
    assert bad() == []
    next((assets / name).glob("*.json")).write_text("[]", "utf8")
    assert the_one_bad().what.startswith(f"{name}: ")


def test_every_file_that_load_reads_has_a_checksum():
    listed = {line.split()[1] for line in (doctor.MINI / "SHA256SUMS").read_text("utf8").splitlines()}
    assert listed == {p.name for p in doctor.MINI.iterdir()} - {"README.md", "SHA256SUMS", "training.json"}


def test_cache_that_cannot_be_written_to(healthy, monkeypatch):
    def refuse(*, dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    found = the_one_bad()
    assert str(healthy / "hf" / "hub") in found.what
    assert "HF_HOME" in found.mend


def test_cache_whose_place_is_a_file(healthy):
    (healthy / "hf").write_text("in the way", "utf8")
    assert "nothing can be written" in the_one_bad().what


def test_full_disk(healthy, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9e9, 9e9, 5e8))
    assert "500 MB free" in the_one_bad().what


@pytest.mark.parametrize(
    ("limit", "good", "words"),
    [
        ("max", True, "8.0 GB of memory"),
        ("1500000000", True, "1.5 GB of memory: enough for gpt2-mini, the real GPT-2 needs 2 GB"),
        ("900000000", False, "0.9 GB of memory, but lessons need 1 GB"),
    ],
)
def test_memory_is_that_of_the_container(healthy, monkeypatch, limit, good, words):
    (healthy / "memory.max").write_text(limit + "\n", "utf8")
    monkeypatch.setattr(doctor, "_GROUPS", (healthy / "memory.max",))
    (found,) = [f for f in doctor.examine() if "GB of memory" in f.what]
    assert found.good is good
    assert words in found.what


def cached_gpt2(machine, revision, monkeypatch, content=b"weights"):
    folder = machine / "hf" / "hub" / "models--openai-community--gpt2" / "snapshots" / revision
    folder.mkdir(parents=True)
    for name in ("config.json", "vocab.json", "merges.txt"):
        (folder / name).write_text("{}", "utf8")
    (folder / "model.safetensors").write_bytes(content)
    checkpoint = hub.FAMILY["gpt2"]
    monkeypatch.setitem(hub.FAMILY, "gpt2", replace(checkpoint, sha256=checksums.digest(folder / "model.safetensors")))
    return folder


def test_real_gpt2_in_the_cache_is_checked(healthy, monkeypatch):
    folder = cached_gpt2(healthy, hub.FAMILY["gpt2"].revision, monkeypatch)
    assert "gpt2 is in the cache, its checksum right" in [f.what for f in doctor.examine()]
    (folder / "model.safetensors").write_bytes(b"Weights")
    found = the_one_bad()
    assert "gpt2 in the cache is damaged" in found.what
    assert str(folder) in found.mend


def test_real_gpt2_of_another_commit_is_not_judged(healthy, monkeypatch):
    cached_gpt2(healthy, "f" * 40, monkeypatch)
    assert "gpt2 is in the cache (no checksum known for commit fffffff)" in [f.what for f in doctor.examine()]
