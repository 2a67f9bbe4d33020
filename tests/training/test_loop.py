"""Training: the loss by definition, the schedule by hand, a language with a known floor, going on after a stop."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from gpt2lessons.gpt2 import GPT2, GPT2Config
from gpt2lessons.loading import models
from gpt2lessons.training import corpus
from gpt2lessons.training import loop as training
from gpt2lessons.training.make_mini import TOKENIZER_FILES, sizes

SMALL = GPT2Config(vocab_size=11, n_positions=16, n_embd=16, n_layer=2, n_head=2)
RECIPE = training.Recipe(steps=12, rows=8, context=16, rows_at_once=8, bf16=False, adamw_lr=0.01)


def model(seed=0, config=SMALL):
    torch.manual_seed(seed)
    return GPT2(config)


@pytest.fixture
def batches():
    ids = np.random.default_rng(0).integers(0, 11, 2000)
    return corpus.Batches({"a": ids}, rows=8, context=16, steps=12)


def weights(of):
    return torch.cat([p.detach().flatten() for p in of.parameters()])


def test_loss_is_the_mean_surprisal():
    logits = torch.tensor([[[0.0, 0.0, 0.0, 0.0], [math.log(3), 0.0, 0.0, 0.0]]])
    assert training.loss_of(logits, torch.tensor([[2, 0]])).item() == pytest.approx((math.log(4) + math.log(2)) / 2)


def test_a_new_model_knows_nothing():
    newborn = model()  # which sets the seed
    ids = torch.randint(0, 11, (64, 17))
    assert training.loss_of(newborn(ids[:, :-1]), ids[:, 1:]).item() == pytest.approx(math.log(11), abs=0.03)


def test_the_rate_rises_stays_and_falls():
    recipe = replace(RECIPE, steps=10, warmup=0.2, decay=0.5)
    assert [recipe.rate(s) for s in range(10)] == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    assert [replace(recipe, warmup=0, decay=0).rate(s) for s in (0, 9)] == [1, 1]


def test_the_cosine_rises_and_falls_without_a_level_part():
    recipe = training.Recipe(steps=100, warmup=0.1, schedule="cosine")
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (s + 1) for s in range(10)])
    assert rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[32] == pytest.approx((1 + math.cos(math.pi * 22 / 90)) / 2)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert 0 < rates[-1] < 0.001
    assert training.Recipe(steps=3, warmup=0, schedule="cosine").rate(0) == 1


def test_muon_gets_the_matrices_inside_the_blocks_and_adamw_all_else():
    m = model()
    muon, adamw = training.optimizers(m, RECIPE)
    assert isinstance(muon, torch.optim.Muon)
    assert isinstance(adamw, torch.optim.AdamW)
    sets = [{id(p) for group in o.param_groups for p in group["params"]} for o in (muon, adamw)]
    matrices = {id(p) for block in m.h for p in block.parameters() if p.dim() == 2}
    assert sets[0] == matrices
    assert sets[0] | sets[1] == {id(p) for p in m.parameters()}
    assert not sets[0] & sets[1]
    assert id(m.wte.weight) in sets[1]


def test_parts_of_a_batch_give_the_gradient_of_the_whole(batches):
    results = []
    for at_once in (8, 3, 1):
        m = model()
        loss = next(training.run(m, batches, replace(RECIPE, rows_at_once=at_once))).loss
        results.append((loss, weights(m)))
    for loss, found in results[1:]:
        assert loss == pytest.approx(results[0][0], abs=1e-6)
        torch.testing.assert_close(found, results[0][1], atol=2e-4, rtol=0)


def test_one_step_is_what_the_optimizers_do_with_the_clipped_gradient(batches):
    m, other = model(), model()
    next(training.run(m, batches, RECIPE))
    rows = batches[0]
    training.loss_of(other(rows[:, :-1]), rows[:, 1:]).backward()
    torch.nn.utils.clip_grad_norm_(other.parameters(), RECIPE.clip)
    for optimizer in training.optimizers(other, RECIPE):
        optimizer.param_groups[0]["lr"] *= RECIPE.rate(0)
        optimizer.step()
    torch.testing.assert_close(weights(m), weights(other), rtol=0, atol=1e-6)
    assert (weights(m) - weights(model())).abs().max() > 1e-4


def test_it_reaches_the_entropy_of_a_language_that_is_known():
    # a is followed by b, b by a or c with equal chance, c by a: one bit at each b, which is every 5th of 2, 2 and 1
    chain, generator = [0], np.random.default_rng(1)
    while len(chain) < 30_000:
        chain.append({0: 1, 1: (0, 2)[generator.integers(2)], 2: 0}[chain[-1]])
    floor = math.log(2) * chain.count(1) / len(chain)
    recipe = replace(RECIPE, steps=150, rows=32, rows_at_once=32)
    ids = corpus.Batches({"a": chain}, rows=32, context=16, steps=150)
    losses = [p.loss for p in training.run(model(config=replace(SMALL, vocab_size=3)), ids, recipe)]
    assert losses[0] > math.log(3) - 0.05
    assert floor - 0.02 < np.mean(losses[-10:]) < floor + 0.02


def test_progress_counts_tokens_and_the_model_can_be_used_between_steps(batches):
    m, seen = model(), []
    for progress in training.run(m, batches, RECIPE):
        assert not m.training
        assert not any(p.requires_grad for p in m.parameters())
        seen.append((progress.step, progress.tokens, progress.rate))
    assert seen == [(s, 8 * 16 * (s + 1), RECIPE.rate(s)) for s in range(12)]


@pytest.mark.parametrize("more", [{}, {"bf16": True}, {"dropout": 0.3}])
def test_going_on_gives_what_no_stop_would_have_given(batches, tmp_path, more):
    recipe = replace(RECIPE, **more)
    whole, stopped, fresh = model(), model(), model(seed=5)
    losses = [p.loss for p in training.run(whole, batches, recipe)]
    found = training.optimizers(stopped, recipe)
    *_, last = itertools.islice(training.run(stopped, batches, recipe, found=found), 5)
    training.save_state(tmp_path / "state.safetensors", stopped, found, last)
    found = training.optimizers(fresh, recipe)
    after = training.load_state(tmp_path / "state.safetensors", fresh, found)
    rest = list(training.run(fresh, batches, recipe, found=found, after=after))
    assert after == last
    assert [p.step for p in rest] == list(range(5, 12))
    assert [p.loss for p in rest] == losses[5:]
    assert torch.equal(weights(fresh), weights(whole))
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_dropout_leaves_out_its_share_and_makes_the_rest_larger():
    m, seen = model().train(), []
    ids = torch.randint(0, 11, (64, 16))
    m.h[0].register_forward_pre_hook(lambda block, given: seen.append(given[0]), prepend=True)
    with training.dropout(m, 0.25):
        m.h[0].register_forward_pre_hook(lambda block, given: seen.append(given[0]))
        m(ids)
    plain, dropped = seen
    kept = dropped != 0
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.02)
    torch.testing.assert_close(dropped[kept], plain[kept] / 0.75)


@pytest.mark.parametrize("part", ["h.0.attn", "h.1.attn", "h.0.mlp", "h.1.mlp"])
def test_dropout_reaches_what_every_part_adds(part):
    m, seen = model().train(), []
    with training.dropout(m, 0.25):
        m.get_submodule(part).register_forward_hook(lambda part, given, out: seen.append(out))
        m(torch.randint(0, 11, (64, 16)))
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)


def test_without_a_rate_for_muon_adamw_moves_everything(batches):
    m = model()
    (adamw,) = training.optimizers(m, replace(RECIPE, muon_lr=0))
    assert isinstance(adamw, torch.optim.AdamW)
    assert {id(p) for p in adamw.param_groups[0]["params"]} == {id(p) for p in m.parameters()}
    before = {name: p.detach().clone() for name, p in m.named_parameters()}
    list(training.run(m, batches, replace(RECIPE, muon_lr=0)))
    assert [name for name, p in m.named_parameters() if torch.equal(p, before[name])] == []


def test_dropout_acts_in_training_only_and_is_gone_afterwards(batches):
    ids = batches[0][:, :-1]
    m, other = model(), model()
    untouched = m(ids)
    with training.dropout(m, 0.5):
        assert torch.equal(m.eval()(ids), untouched)
        assert not torch.allclose(m.train()(ids), untouched)
    assert torch.equal(m(ids), untouched)
    state = torch.get_rng_state()
    first, *_ = training.run(m, batches, replace(RECIPE, dropout=0.5))
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in m.modules())
    assert first.loss != next(training.run(other, batches, RECIPE)).loss


def test_compiled_compiles_every_block_once(batches, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(module))
    m = model()
    list(training.run(m, batches, replace(RECIPE, compiled=True)))
    assert compiled == list(m.h)
    list(training.run(m, batches, RECIPE))
    assert len(compiled) == 2


def test_a_loss_that_is_no_number_stops_before_it_does_harm(batches):
    m = model()
    m.wte.weight.data[0, 0] = math.inf
    before = weights(m)
    with pytest.raises(FloatingPointError, match="the loss of step 0 is nan"):
        next(training.run(m, batches, RECIPE))
    assert torch.equal(weights(m), before)
    assert not any(p.requires_grad for p in m.parameters())


@pytest.mark.parametrize(
    "wrong",
    [
        {"dropout": 1.0},
        {"steps": 0},
        {"rows": 0},
        {"warmup": 0.7, "decay": 0.4},
        {"warmup": -0.1},
        {"muon_lr": -1},
        {"clip": 0},
        {"clip": float("nan")},
        {"adamw_lr": float("nan")},
        {"weight_decay": float("inf")},
        {"decay": float("nan")},
        {"seed": -1},
        {"seed": 10**12},
        {"schedule": "step"},
        {"validate_every": -1},
        {"patience": 2},
        {"patience": -1, "validate_every": 2},
    ],
)
def test_recipes_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"the recipe is Recipe\(steps="):
        replace(RECIPE, **wrong)


def test_the_folder_opens_with_the_same_logits_and_names_its_version(tmp_path, capsys):
    m = model(config=sizes(n_layer=1, n_head=2, n_embd=16, n_positions=32)).requires_grad_(False).eval()
    training.write_model(m, tmp_path, tokenizer_files=TOKENIZER_FILES, version="v7", dtype=torch.float32)
    lm = models.load(tmp_path)
    assert f"{tmp_path.name} v7 (" in capsys.readouterr().out
    assert lm.version == "v7"
    ids = torch.arange(32)[None]
    torch.testing.assert_close(lm.model(ids).logits, m(ids), atol=1e-5, rtol=0)
    from gpt2lessons import checksums

    assert checksums.faults(tmp_path) == []
    assert json.loads((tmp_path / "config.json").read_text("utf8"))["dtype"] == "float32"
