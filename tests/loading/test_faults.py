"""Machines on which something is wrong: no place to write, a full disk, two notebooks at once, files that changed."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import gpt2lessons as gl
from gpt2lessons import checksums
from gpt2lessons.loading import hub, models

ROOT = Path(__file__).parents[2]
NOWHERE = "/proc/nowhere"  # nobody can make a folder here, not even root


@pytest.fixture
def fresh(tmp_path):
    """Run Python code in a new process with the given variables, and none that name a cache."""
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc")

    def run(code, **variables):
        kept = {k: v for k, v in os.environ.items() if k not in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME")}
        env = kept | {"MPLCONFIGDIR": str(tmp_path), **variables}
        return subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True)

    return run


LESSON = """import gpt2lessons as gl, matplotlib.pyplot as plt
lm = gl.load()
text = gl.generate_text(lm, "Once upon a time", max_new_tokens=4, seed=0)
assert len(text) > len("Once upon a time")
assert gl.metrics.load("rouge").compute(predictions=["a b"], references=["a b"])["rouge1"] == 1
assert gl.metrics.load("bleu").compute(predictions=["a b c d e"], references=[["a b c d e"]])
plt.plot([1, 2])
plt.close()
"""


@pytest.mark.parametrize("variables", [{"HOME": NOWHERE}, {"HF_HOME": NOWHERE + "/hf"}], ids=["home", "cache"])
def test_what_lessons_do_works_where_nothing_can_be_written(fresh, variables):
    done = fresh(LESSON, **variables, GPT2LESSONS_MODEL="")
    assert done.returncode == 0, done.stderr
    assert "gpt2-mini" in done.stdout


@pytest.mark.parametrize("place", ["no folder", "a file in the way"])
def test_download_without_a_place_to_write_says_which_and_what_to_set(online, machine, monkeypatch, place):
    cache = NOWHERE if place == "no folder" else str(machine / "file")
    (machine / "file").touch()
    monkeypatch.setenv("HF_HUB_CACHE", cache)
    with pytest.raises(OSError, match=f"nothing can be written to {cache}.*HF_HOME"):
        gl.load("owner/tiny")


class Disk:
    """Opens files that are being downloaded, and has room for `room` bytes of them."""

    def __init__(self, monkeypatch, room):
        self.room, honest = room, Path.open

        def open_(path, mode="r", *rest, **options):
            file = honest(path, mode, *rest, **options)
            return Full(file, self) if path.suffix == ".incomplete" and mode in ("ab", "wb") else file

        monkeypatch.setattr(Path, "open", open_)


class Full:
    def __init__(self, file, disk):
        self.file, self.disk = file, disk

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, piece):
        self.file.write(piece[: self.disk.room])
        self.disk.room -= len(piece)
        if self.disk.room < 0:
            self.disk.room = 0
            raise OSError(errno.ENOSPC, "No space left on device")


def test_disk_that_fills_during_a_download_is_named_and_the_download_goes_on_later(online, monkeypatch):
    small = sum(len(data) for name, data in online.files.items() if name != "model.safetensors")
    disk = Disk(monkeypatch, small + 10_000)
    with pytest.raises(OSError, match=r"the disk is full\. What came so far is kept: make room"):
        gl.load("owner/tiny")
    assert hub.find_cached("owner/tiny") is None, "a model that is not whole must not be found"
    disk.room = 10**9
    assert gl.load("owner/tiny").name == "owner/tiny"
    spans = [span for _, path, span in online.requests if span and path.endswith("safetensors")]
    assert spans == ["bytes=10000-"]


def test_two_downloads_at_once_do_not_mix(online):
    """The first waits in the middle of the weights; the second is told so, and the first ends whole."""
    halfway, go_on, ended = threading.Event(), threading.Event(), {}
    weights = online.files["model.safetensors"]

    def wait(done, total):
        if not halfway.is_set() and done > total - len(weights) // 2:
            halfway.set()
            assert go_on.wait(60)

    def first():
        ended["folder"] = hub.download("owner/tiny", on_progress=wait)

    online.faults.add("slow")
    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert halfway.wait(60)
        with pytest.raises(ConnectionError, match="another notebook"):
            hub.download("owner/tiny")
    finally:
        go_on.set()
        thread.join(60)
    assert (ended["folder"] / "model.safetensors").read_bytes() == weights
    assert gl.load("owner/tiny").source == "from the Hugging Face cache"


def test_proxy_that_answers_for_the_weights_alone(online):
    online.faults.add("html file")
    with pytest.raises(ConnectionError, match=r"a web page came in place of a file.*gpt2-mini"):
        gl.load("owner/tiny")
    online.faults.clear()
    assert gl.load("owner/tiny").name == "owner/tiny", "nothing of the page may be left"


def test_damaged_download_names_both_checksums(online):
    online.faults.add("corrupt")
    with pytest.raises(ValueError, match=r"its checksum differs: [0-9a-f]{12}…, not [0-9a-f]{12}…"):
        gl.load("owner/tiny")


@pytest.mark.parametrize("name", ["model.safetensors", "merges.txt"])
def test_bundled_model_with_one_changed_byte_is_refused_with_its_checksum(tmp_path, monkeypatch, name):
    folder = shutil.copytree(models.MINI, tmp_path / "gpt2-mini")
    monkeypatch.setattr(models, "MINI", folder)
    assert gl.load("gpt2-mini").name == "gpt2-mini"
    data = bytearray((folder / name).read_bytes())
    data[-100] ^= 1
    (folder / name).write_bytes(data)
    wanted = checksums.digest(Path(gl.__file__).parent / "assets" / "gpt2-mini" / name)[:12]
    with pytest.raises(ValueError, match=rf"{name} is damaged \(SHA-256 .*, should be {wanted}…\)"):
        gl.load("gpt2-mini")


@pytest.mark.parametrize("version", ["4.57.1", "3.0.0"])
def test_old_transformers_is_named_before_anything_strange_happens(monkeypatch, version):
    import transformers

    monkeypatch.setattr(transformers, "__version__", version)
    with pytest.raises(ImportError, match=rf"transformers {version} is too old.*5\.0 or newer.*transformers>=5\.0"):
        gl.load("gpt2-mini")


def test_digests_agree_with_git_and_sha256sum(tmp_path):
    path = tmp_path / "hello"
    path.write_bytes(b"hello\n")
    assert checksums.digest(path) == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert checksums.digest(path, git=True) == "ce013625030ba8dba906f756967f9e9ca394464a"
