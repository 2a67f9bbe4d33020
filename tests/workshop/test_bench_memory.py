"""The memory bench: what a lesson's kernel holds at most, which cells failed, and a stand-in that can be loaded."""

import nbformat
import pytest
import torch

import gpt2lessons as gl
from gpt2lessons import __main__
from gpt2lessons.loading import models
from gpt2lessons.workshop import bench, bench_memory, doctor, notebooks


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """Returns a function that writes a notebook of the given cells, {id: source or (source, tag)}."""
    monkeypatch.setenv("GPT2LESSONS_MODEL", "gpt2-mini")  # restored afterwards
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def write(name, cells):
        made = []
        for name_of_cell, source in cells.items():
            source, *tags = (source,) if isinstance(source, str) else source
            made.append(nbformat.v4.new_code_cell(source, id=name_of_cell, metadata={"tags": tags}))
        nbformat.write(nbformat.v4.new_notebook(cells=made), tmp_path / f"{name}.ipynb")
        return tmp_path / f"{name}.ipynb"

    return write


def test_the_peak_counts_what_was_held_only_for_a_moment(lesson):
    few = lesson("00_few", {"a": "import numpy as np"})
    many = lesson("01_many", {"a": "import numpy as np", "b": "held = np.ones(50_000_000)", "c": "del held"})
    (small, _), (large, _) = (bench_memory.peak_of_lesson(path, "gpt2-mini") for path in (few, many))
    assert 3.5e8 < large - small < 5e8  # 400 MB


def test_this_process_does_not_count(lesson):
    held = torch.ones(300_000_000)  # 1.2 GB here
    peak, _ = bench_memory.peak_of_lesson(lesson("00_x", {"a": "1"}), "gpt2-mini")
    assert peak < 4 * held.numel()


def test_cells_that_fail_are_named_and_the_lesson_goes_on(lesson):
    cells = {
        "good": "import os",
        "bad": "assert False",
        "wanted": ("1 / 0", "raises-exception"),
        "endless": "while True:\n    pass",
        "model": "assert os.environ['GPT2LESSONS_MODEL'] == 'some-folder'",
        "offline": "assert os.environ['HF_HUB_OFFLINE'] == '1'",
    }
    _, failed = bench_memory.peak_of_lesson(lesson("00_x", cells), "some-folder", cell_seconds=5)
    assert failed == ["bad", "endless"]


def test_nothing_is_written(lesson):
    path = lesson("00_x", {"a": "print(1)"})
    before = path.read_bytes()
    bench_memory.peak_of_lesson(path, "gpt2-mini")
    assert path.read_bytes() == before


def test_the_stand_in_has_gpt2_smalls_shape():
    with torch.device("meta"):
        model = bench.random_gpt2()
    assert model.num_parameters() == 124_439_808


def test_the_stand_in_is_loaded_like_any_folder(tmp_path, monkeypatch):
    from transformers import GPT2Config, GPT2LMHeadModel

    tiny = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2))
    monkeypatch.setattr(bench, "random_gpt2", lambda: tiny)
    bench_memory.write_stand_in(tmp_path)
    lm = gl.load(str(tmp_path))
    assert (lm.model.config.vocab_size, len(lm.tokenizer), lm.model.config.n_positions) == (50257, 50257, 1024)
    assert lm.encode("I am a large language model").tolist() == [[40, 716, 257, 1588, 3303, 2746]]
    assert lm.model.config.eos_token_id == lm.tokenizer.eos_token_id == 50256


@pytest.mark.parametrize(
    ("arguments", "peak", "code"),
    [([], 0.9e9, 0), ([], 1.1e9, 1), (["random-gpt2"], 1.9e9, 0), (["random-gpt2"], 2.1e9, 1), (["gpt2"], 1.9e9, 0)],
)
def test_the_table_says_what_is_too_much(arguments, peak, code, monkeypatch, capsys):
    asked = []

    def measured(path, model, *, cell_seconds):
        asked.append((path, model))
        return int(peak), ["some-cell"] if path == notebooks.lessons()[0] else []

    monkeypatch.setattr(bench_memory, "peak_of_lesson", measured)
    monkeypatch.setattr(bench_memory, "write_stand_in", lambda folder: None)
    monkeypatch.setattr(models, "load", lambda name: None)  # the real one is not here
    assert __main__.main(["bench", "--memory", *arguments]) == code
    version, head, first, second, *_ = capsys.readouterr().out.splitlines()
    assert [path for path, _ in asked] == notebooks.everything()
    assert torch.__version__ in version
    assert ("for memory only" in head) == (arguments == ["random-gpt2"])
    assert f"{peak / 1e6:,.0f}" in first
    assert "1 cells failed: some-cell" in first
    assert ("TOO MUCH" in second) == bool(code)
    assert "failed" not in second


def test_the_promise_is_the_one_that_doctor_checks():
    assert (doctor.MINI_NEEDS, doctor.GPT2_NEEDS) == (1e9, 2e9)
