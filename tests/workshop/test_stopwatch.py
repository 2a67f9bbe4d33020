"""The stopwatch: who is called, how often, in which order, and what is read; no test depends on a time."""

import pytest
import torch

from gpt2lessons.gpt2 import GPT2, GPT2Config
from gpt2lessons.workshop import stopwatch


def test_functions_are_called_in_turns_and_the_shortest_time_is_kept(monkeypatch):
    times = iter([0, 5, 5, 6, 10, 12, 20, 24])  # a: 5 then 2 seconds; b: 1 then 4
    called = []
    monkeypatch.setattr(stopwatch, "_CLOCK", lambda: next(times))
    assert stopwatch.best_seconds(lambda: called.append("a"), lambda: called.append("b"), turns=2) == [2, 1]
    assert called == ["a", "b", "a", "b"]


def test_no_turn_is_refused():
    with pytest.raises(ValueError, match="turns=0"):
        stopwatch.best_seconds(print, turns=0)


def test_a_pass_reads_the_new_tokens_and_can_be_repeated():
    torch.manual_seed(0)
    model = GPT2(GPT2Config(vocab_size=11, n_positions=16, n_embd=8, n_layer=2, n_head=2)).double().eval()
    with torch.no_grad():
        read = stopwatch.forward_pass(model, 3, new=2, past=5)
        first, again = read(), read()
        whole = model(torch.zeros(3, 7, dtype=torch.long))
    assert first.shape == (3, 2, 11)
    assert first.equal(again)
    torch.testing.assert_close(first, whole[:, 5:])


def test_the_machine_is_measured_by_bytes_and_operations(monkeypatch):
    monkeypatch.setattr(stopwatch, "best_seconds", lambda *functions, turns: [2.0, 4.0])
    assert stopwatch.reading_and_multiplying(megabytes=1) == (2**20 / 2, 2 * 1024**3 / 4)
