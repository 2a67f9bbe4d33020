"""Attention to what came after the same token: places by a loop, scores of heads whose patterns are known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gpt2lessons as gl
from gpt2lessons import induction


def model(n_layer=2, n_head=2, vocab_size=12):
    torch.manual_seed(0)
    config = gl.GPT2Config(vocab_size=vocab_size, n_positions=24, n_embd=8, n_layer=n_layer, n_head=n_head)
    return gl.GPT2(config).requires_grad_(False)


def places_by_loop(ids):
    B, T = ids.shape
    found = torch.zeros(B, T, T, dtype=torch.bool)
    for b in range(B):
        for q in range(T):
            for earlier in range(q - 1):  # what came after it must be before q
                found[b, q, earlier + 1] = ids[b, earlier] == ids[b, q]
    return found


@given(st.lists(st.lists(st.integers(0, 3), min_size=7, max_size=7), min_size=1, max_size=3))
def test_the_places_are_those_right_after_the_same_token(rows):
    ids = torch.tensor(rows)
    assert induction.after_earlier(ids).equal(places_by_loop(ids))


def test_places_of_a_named_example():
    ids = torch.tensor([[5, 7, 9, 5, 7]])  # 5 7 9 5 7: the second 5 looks at the 7, the second 7 at the 9
    assert induction.after_earlier(ids).nonzero().tolist() == [[0, 3, 1], [0, 4, 2]]


def test_repeated_tokens_are_different_ones_twice():
    ids = induction.repeated_tokens(12, 5, 30, generator=torch.Generator().manual_seed(0))
    assert ids.shape == (30, 10)
    assert ids[:, :5].equal(ids[:, 5:])
    assert all(len(set(row)) == 5 for row in ids[:, :5].tolist())
    assert set(ids.flatten().tolist()) == set(range(12))


def test_a_head_without_preference_gets_its_share_of_uniform_attention():
    even = model()
    for block in even.h:
        torch.nn.init.zeros_(block.attn.c_attn.weight)  # all scores 0: attention 1 / (q + 1) to each place
    ids = induction.repeated_tokens(12, 6, 3)
    found = induction.head_scores(even, ids)
    expected = sum(1 / (q + 1) for q in range(6, 12)) / 6
    torch.testing.assert_close(found["induction"], torch.full((2, 2), expected))
    previous = sum(1 / (q + 1) for q in range(1, 12)) / 11
    torch.testing.assert_close(found["previous"], torch.full((2, 2), previous))


class Fixed(torch.nn.Module):
    """A model whose single layer has two heads that look where we say."""

    def __init__(self, patterns):
        super().__init__()
        self.config = gl.GPT2Config(vocab_size=12, n_positions=24, n_embd=8, n_layer=1, n_head=2)
        self.patterns = patterns

    def forward(self, input_ids, record):
        record["h.0.attn.pattern"] = self.patterns


def test_a_perfect_head_has_1_and_one_that_looks_back_has_0():
    ids = torch.tensor([[1, 2, 3, 1, 2, 3]])
    perfect, previous = torch.eye(6), torch.eye(6).roll(-1, 1)
    for q in (3, 4, 5):
        perfect[q] = torch.eye(6)[q - 2]
    previous[0] = torch.eye(6)[0]
    for q in range(1, 6):
        previous[q] = torch.eye(6)[q - 1]
    found = induction.head_scores(Fixed(torch.stack([perfect, previous])[None]), ids)
    assert found["induction"].tolist() == [[1.0, 0.0]]
    assert found["previous"].tolist() == [[0.0, 1.0]]


def test_all_earlier_places_count_together():
    ids = torch.tensor([[1, 2, 1, 3, 1]])
    split = torch.zeros(5, 5)
    split[2, 1], split[4, 1], split[4, 3] = 0.5, 0.25, 0.75
    found = induction.head_scores(Fixed(split.expand(1, 2, 5, 5)), ids)
    assert found["induction"].tolist() == [[0.75, 0.75]]  # the mean of 0.5 and 0.25 + 0.75


def test_the_model_is_left_as_it_was():
    pupil = model().requires_grad_(True)
    induction.head_scores(pupil, induction.repeated_tokens(12, 4, 1))
    assert all(p.grad is None and p.requires_grad for p in pupil.parameters())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: induction.repeated_tokens(12, 13, 1), "length is 2 to 12"),
        (lambda: induction.repeated_tokens(12, 1, 1), "length is 2 to 12"),
        (lambda: induction.repeated_tokens(12, 4, 0), "rows at least 1"),
        (lambda: induction.head_scores(model(), torch.tensor([[1, 2, 3]])), "nothing to copy"),
        (lambda: induction.head_scores(model(), torch.tensor([1, 2, 1])), "one text: ids"),
        (lambda: induction.after_earlier([[1, 2]]), "not list"),
        (lambda: induction.after_earlier(torch.ones(1, 3)), "whole numbers"),
    ],
)
def test_bad_input_gets_a_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_rounds_go_round_after_their_period():
    ids, again = induction.rounds(32, 25, (5, 11), 200, generator=torch.Generator().manual_seed(0))
    assert ids.shape == again.shape == (200, 25)
    found = set()
    for row, flags in zip(ids.tolist(), again.tolist(), strict=True):
        period = flags.index(True)
        assert flags == [place >= period for place in range(25)]
        assert len(set(row[:period])) == period
        assert row == [row[place % period] for place in range(25)]
        found.add(period)
    assert found == set(range(5, 12))


@pytest.mark.parametrize("periods", [(1, 5), (6, 5)])
def test_periods_rise_from_two(periods):
    with pytest.raises(ValueError, match="the shorter first"):
        induction.rounds(32, 25, periods, 4)


def test_a_head_that_writes_nothing():
    m, ids = model(), torch.arange(9)[None]
    cut = induction.without_head(m, 1, 0)
    kept, record = {}, {}
    m(ids, record=kept)
    cut(ids, record=record)
    assert record["h.0.attn.out"].equal(kept["h.0.attn.out"])
    both = m.h[1].attn.c_proj.weight.clone()
    assert cut.h[1].attn.c_proj.weight[:, :4].abs().max() == 0
    assert cut.h[1].attn.c_proj.weight[:, 4:].equal(both[:, 4:])
    assert m.h[1].attn.c_proj.weight.equal(both)


@pytest.mark.parametrize(("layer", "head"), [(2, 0), (0, 2), (-1, 0)])
def test_no_such_head(layer, head):
    with pytest.raises(ValueError, match="layers are 0 to 1 and heads 0 to 1"):
        induction.without_head(model(), layer, head)
