"""Looking while a training runs: the loss by definition, when it stops, which weights come back, going on."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from gpt2lessons.gpt2 import GPT2, GPT2Config
from gpt2lessons.training import Validation, corpus, loop

SMALL = GPT2Config(vocab_size=11, n_positions=16, n_embd=16, n_layer=2, n_head=2)
RECIPE = loop.Recipe(steps=12, rows=8, context=16, rows_at_once=8, bf16=False, adamw_lr=0.01)
ROWS = torch.from_numpy(np.random.default_rng(7).integers(0, 11, (9, 17)))


def model(seed=0):
    torch.manual_seed(seed)
    return GPT2(SMALL)


def weights(of):
    return torch.cat([p.detach().flatten() for p in of.parameters()])


@pytest.fixture
def batches():
    ids = np.random.default_rng(0).integers(0, 11, 2000)
    return corpus.Batches({"a": ids}, rows=8, context=16, steps=12)


class Scripted(Validation):
    """Measures what it is told to."""

    def __init__(self, losses, **settings):
        super().__init__(ROWS, **settings)
        self.losses = iter(losses)

    def measure(self, model):
        return next(self.losses)


def test_the_loss_is_the_mean_over_all_positions_of_all_rows():
    m = model()
    expected = loop.loss_of(m(ROWS[:, :-1]), ROWS[:, 1:]).item()
    assert Validation(ROWS, every=1).measure(m) == pytest.approx(expected, abs=1e-6)


def test_it_looks_where_it_is_due_and_changes_nothing(batches):
    plain, watched = model(), model()
    losses = [p.loss for p in loop.run(plain, batches, RECIPE)]
    progress = list(loop.run(watched, batches, RECIPE, validation=Validation(ROWS, every=5)))
    assert [p.step for p in progress if p.validation is not None] == [4, 9, 11]
    assert [p.loss for p in progress] == losses
    assert torch.equal(weights(plain), weights(watched))
    assert progress[-1].validation == pytest.approx(Validation(ROWS, every=1).measure(watched), abs=1e-6)


def test_dropout_does_not_act_on_it(batches):
    m, seen = model(), []
    for p in loop.run(m, batches, replace(RECIPE, dropout=0.5), validation=Validation(ROWS, every=6)):
        if p.validation is not None:
            seen.append((p.validation, Validation(ROWS, every=1).measure(m)))
    assert len(seen) == 2
    assert all(inside == pytest.approx(outside, abs=1e-6) for inside, outside in seen)


def test_patience_ends_it_and_brings_the_best_weights_back(batches):
    watcher, m, kept = Scripted([3.0, 2.0, 2.5, 2.0, 1.0], every=1, patience=2), model(), []
    for _ in loop.run(m, batches, RECIPE, validation=watcher):
        kept.append(weights(m))
    assert len(kept) == 4, "lowest after two steps, then twice not lower: an equal loss is not lower"
    assert torch.equal(weights(m), kept[1])
    assert not torch.equal(kept[1], kept[3])


def test_a_lower_loss_renews_the_patience(batches):
    watcher, m = Scripted([3.0, 3.1, 2.9, 3.0, 2.8, 3.0, 3.0, 9.0], every=1, patience=2), model()
    assert len(list(loop.run(m, batches, RECIPE, validation=watcher))) == 7
    assert watcher.lowest == pytest.approx(2.8)


def test_the_best_weights_come_back_also_where_patience_was_never_needed(batches):
    watcher, m, kept = Scripted([1.0, 2.0, 2.0], every=4, patience=9), model(), []
    for _ in loop.run(m, batches, RECIPE, validation=watcher):
        kept.append(weights(m))
    assert len(kept) == 12
    assert torch.equal(weights(m), kept[3])


def test_without_patience_the_last_weights_stay(batches):
    watcher, m = Scripted([1.0, 2.0, 3.0, 4.0], every=3), model()
    for _ in loop.run(m, batches, RECIPE, validation=watcher):
        last = weights(m)
    assert torch.equal(weights(m), last)
    assert watcher.best == {}


@pytest.mark.parametrize("stop", [3, 5, 6])
def test_going_on_remembers_the_best_weights_and_the_waiting(batches, tmp_path, stop):
    losses = [3.0, 2.0, 2.5, 2.4, 1.9, 2.0, 2.1, 2.2, 1.0]
    settings = {"every": 1, "patience": 3}
    whole, stopped, fresh = model(), model(), model(seed=5)
    steps = len(list(loop.run(whole, batches, RECIPE, validation=Scripted(losses, **settings))))
    assert steps == 8
    found, watcher = loop.optimizers(stopped, RECIPE), Scripted(losses, **settings)
    *_, last = itertools.islice(loop.run(stopped, batches, RECIPE, found=found, validation=watcher), stop)
    loop.save_state(tmp_path / "state.safetensors", stopped, found, last, watcher)
    found, watcher = loop.optimizers(fresh, RECIPE), Scripted(losses[stop:], **settings)
    after = loop.load_state(tmp_path / "state.safetensors", fresh, found, watcher)
    assert after == last
    rest = list(loop.run(fresh, batches, RECIPE, found=found, after=after, validation=watcher))
    assert [p.step for p in rest] == list(range(stop, steps))
    assert torch.equal(weights(fresh), weights(whole))


def test_a_training_that_was_over_does_not_go_on(batches, tmp_path):
    m, other = model(), model(seed=3)
    found, watcher = loop.optimizers(m, RECIPE), Scripted([1.0, 2.0], every=1, patience=1)
    *_, last = loop.run(m, batches, RECIPE, found=found, validation=watcher)
    loop.save_state(tmp_path / "s.safetensors", m, found, last, watcher)
    found, watcher = loop.optimizers(other, RECIPE), Scripted([], every=1, patience=1)
    after = loop.load_state(tmp_path / "s.safetensors", other, found, watcher)
    assert list(loop.run(other, batches, RECIPE, found=found, after=after, validation=watcher)) == []
    assert torch.equal(weights(other), weights(m))


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (ROWS, {"every": 0}, "every is at least 1 step"),
        (ROWS, {"every": 1, "patience": -1}, "patience at least 0"),
        (ROWS[0], {"every": 1}, r"rows should be \(N, context \+ 1\), at least one, not \(17,\)"),
        (ROWS[:0], {"every": 1}, r"not \(0, 17\)"),
        (ROWS[:, :1], {"every": 1}, r"not \(9, 1\)"),
        ([1, 2], {"every": 1}, "not list"),
    ],
)
def test_bad_input_is_refused(rows, settings, message):
    with pytest.raises(ValueError, match=message):
        Validation(rows, **settings)
