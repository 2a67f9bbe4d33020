"""The bench measures what it says; nothing here depends on how fast anything is."""

import math

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from gpt2lessons import __main__
from gpt2lessons.gpt2 import GPT2
from gpt2lessons.workshop import bench


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=90, n_positions=64, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3)
    theirs = GPT2LMHeadModel(config).eval()
    theirs.generation_config.eos_token_id = theirs.config.eos_token_id = None
    return GPT2.from_transformers(theirs), theirs


def test_the_table_has_every_case_that_was_promised():
    promised = {
        (model, strategy, batch, cache)
        for model in ("mini", "124M")
        for strategy in ("greedy", "top-k 50, top-p 0.9")
        for batch in (1, 32)
        for cache in (True, False)
    }
    assert promised <= {(c.model, c.strategy, c.batch, c.use_cache) for c in bench.cases()}
    assert {c.model for c in bench.cases(quick=True)} == {"mini", "124M"}
    assert len(bench.cases(quick=True)) < len(bench.cases()) / 2


@pytest.mark.parametrize("strategy", bench.STRATEGIES)
@pytest.mark.parametrize("use_cache", [True, False])
def test_both_sides_write_all_tokens_and_the_same_ones_when_greedy(pair, strategy, use_cache):
    case = bench.Case("tiny", strategy, 3, use_cache, 5)
    ids = torch.randint(90, (3, 4))
    for side, model in zip(("ours", "theirs"), pair, strict=True):
        assert bench.write(side, model, ids, case).shape == (3, 9)
    result = bench.measure(case, *pair, turns=4)
    assert len(result.ours) == len(result.theirs) == 4
    assert (result.same == 1) if strategy == "greedy" else (result.same < 1)


def test_figures_are_medians_and_the_limit_is_bytes_over_bandwidth():
    result = bench.Result(bench.Case("tiny", "greedy", 2, True, 10), [1.0, 2.0, 4.0], [3.0, 2.0, 8.0], 1.0)
    assert result.ratio == 2.0  # of 3, 1, 2
    assert result.tokens_per_second("ours") == 2 * 10 / 2
    assert result.tokens_per_second("theirs") == 2 * 10 / 3
    assert result.share_of_limit("ours", weight_bytes=100, bandwidth=1000) == pytest.approx(0.1 * 10 / 2)


def test_a_step_reads_all_weights_but_the_position_table(pair):
    ours, theirs = pair
    assert bench.step_bytes(ours) == 4 * (theirs.num_parameters() - theirs.transformer.wpe.weight.numel())


def test_the_memory_of_a_side_is_its_own_process():
    held = torch.ones(300_000_000)  # 1.2 GB here must not count there
    ours = bench.peak_memory("ours", "mini", batch=1)
    assert 5e7 < ours < 4 * held.numel()


def test_the_table_is_printed(pair, monkeypatch, capsys):
    monkeypatch.setattr(bench, "models", lambda name: pair)
    monkeypatch.setattr(bench, "bandwidth", lambda megabytes: 1e9)
    monkeypatch.setattr(bench, "peak_memory", lambda side, name: {"ours": 1e6, "theirs": 2e6}[side])
    monkeypatch.setattr(bench, "tuning_speed", lambda name: (30.0, 2.0, 15.0))
    assert __main__.main(["bench", "--quick"]) == 0
    shown = capsys.readouterr().out
    lines = [x for x in shown.splitlines() if x.startswith(("mini", "124M"))]
    assert len(lines) == len(bench.cases(quick=True)) + 2
    assert "memory read at 1.0 GB/s" in shown
    assert "ours       1   transformers       2" in shown
    assert "sweep mini  ours   30.00   transformers    2.00   ratio 15.0" in shown
    assert all(math.isfinite(float(x.split()[-1].rstrip("%"))) or "equal" in x for x in lines if "equal" not in x)


def test_bandwidth_is_a_positive_number():
    assert 1e8 < bench.bandwidth(8) < 1e13
