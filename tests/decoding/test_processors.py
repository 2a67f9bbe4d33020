"""Processors: exact on hand-made distributions, equal to transformers' pure, per row, clear when misused."""

import math

import pytest
import torch
import transformers.generation.logits_process as theirs
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fuzz import TIMES

from gpt2lessons import toy
from gpt2lessons.decoding import processors
from gpt2lessons.exact import sampler_probs

INF = math.inf
# name → (our function, transformers' class, values that both accept)
KEEP = {
    "apply_temperature": (processors.apply_temperature, theirs.TemperatureLogitsWarper, [0.05, 0.7, 1.0, 1.3, 10.0]),
    "keep_top_k": (processors.keep_top_k, theirs.TopKLogitsWarper, [1, 2, 3, 5, 50, 10_000]),
    "keep_top_p": (processors.keep_top_p, theirs.TopPLogitsWarper, [0.01, 0.3, 0.5, 0.8, 0.9, 0.95, 0.999]),
    "keep_min_p": (processors.keep_min_p, theirs.MinPLogitsWarper, [0.01, 0.1, 0.25, 0.5, 1.0]),
    "keep_typical": (processors.keep_typical, theirs.TypicalLogitsWarper, [0.05, 0.2, 0.5, 0.9, 0.95]),
    "keep_epsilon": (processors.keep_epsilon, theirs.EpsilonLogitsWarper, [1e-5, 3e-4, 0.02, 0.25, 0.9]),
}
HISTORY = {
    "penalize_repetition": (processors.penalize_repetition, theirs.RepetitionPenaltyLogitsProcessor, [0.5, 1.2, 3.0]),
    "ban_repeated_ngrams": (processors.ban_repeated_ngrams, theirs.NoRepeatNGramLogitsProcessor, [1, 2, 3, 4]),
}


def random_logits(rows, size, seed, *, dtype=torch.float32):
    """Rows from nearly flat to very peaked, a third of them with many ties, a third with -inf, some all equal."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, size, generator=rng, dtype=dtype) * torch.rand(rows, 1, generator=rng, dtype=dtype) * 8
    kind = torch.randint(7, (rows, 1), generator=rng)
    x = torch.where(kind < 2, x.round(), x)
    gone = (torch.rand(rows, size, generator=rng) < torch.rand(rows, 1, generator=rng)) & (torch.arange(size) > 0)
    x = x.masked_fill(gone & (kind >= 1) & (kind < 4), -INF)
    return torch.where(kind == 6, x[:, :1].expand_as(x), x)


def kept(logits):
    return logits.isfinite().nonzero()[:, 1].tolist()


def log(*probs):
    return torch.tensor([probs]).log()


# ---------------------------------------------------------------------------------------- hand-made distributions


def test_temperature_divides():
    assert torch.equal(processors.apply_temperature(torch.tensor([[2.0, -1.0, 0.0, -INF]]), 0.5).flatten(),
                       torch.tensor([4.0, -2.0, 0.0, -INF]))  # fmt: skip


@pytest.mark.parametrize(
    ("k", "expected"), [(1, [1]), (2, [1, 3]), (3, [0, 1, 3]), (4, [0, 1, 2, 3]), (9, [0, 1, 2, 3])]
)
def test_top_k_keeps_k(k, expected):
    assert kept(processors.keep_top_k(log(0.2, 0.4, 0.1, 0.3), k)) == expected


def test_top_k_keeps_ties_with_the_last():
    assert kept(processors.keep_top_k(torch.tensor([[1.0, 3.0, 1.0, 1.0]]), 2)) == [0, 1, 2, 3]
    assert kept(processors.keep_top_k(torch.zeros(1, 100), 5)) == list(range(100))


def test_top_k_does_not_bring_back_what_is_gone():
    assert kept(processors.keep_top_k(torch.tensor([[1.0, -INF, 2.0, -INF]]), 3)) == [0, 2]


@pytest.mark.parametrize("off", [None, 0])
def test_top_k_off(off):
    x = log(0.2, 0.4, 0.1, 0.3)
    assert torch.equal(processors.keep_top_k(x, off), x)


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.05, [1]), (0.39, [1]), (0.41, [1, 3]), (0.69, [1, 3]), (0.71, [0, 1, 3]), (0.91, [0, 1, 2, 3])],
)
def test_top_p_keeps_the_token_that_crosses(p, expected):
    assert kept(processors.keep_top_p(log(0.2, 0.4, 0.1, 0.3), p)) == expected


@pytest.mark.parametrize(
    ("p", "expected"), [(0.25, [3]), (0.26, [2, 3]), (0.5, [2, 3]), (0.51, [1, 2, 3]), (0.75, [1, 2, 3])]
)
def test_top_p_stops_at_the_token_that_reaches_it_exactly(p, expected):
    # a quarter each is exact in binary, so equality really happens; of equal tokens the highest ids stay
    assert kept(processors.keep_top_p(torch.zeros(1, 4), p)) == expected


def test_top_p_keeps_one_token_of_a_peaked_distribution():
    assert kept(processors.keep_top_p(log(0.01, 0.97, 0.01, 0.01), 0.9)) == [1]


def test_top_p_one_keeps_even_what_float32_cannot_see():
    x = torch.tensor([[0.0, -200.0, -INF, -1.0]])
    assert kept(processors.keep_top_p(x, 1.0)) == kept(processors.keep_top_p(x, torch.tensor([1.0]))) == [0, 1, 3]


@pytest.mark.parametrize(
    ("p", "expected"), [(0.0, [0, 1, 2, 3]), (0.24, [0, 1, 2, 3]), (0.26, [0, 1, 3]), (0.6, [1, 3]), (1.0, [1])]
)
def test_min_p_scales_with_the_most_probable(p, expected):
    assert kept(processors.keep_min_p(log(0.2, 0.4, 0.1, 0.3), p)) == expected


def test_min_p_keeps_the_token_at_the_threshold():
    assert kept(processors.keep_min_p(torch.zeros(1, 4), 1.0)) == [0, 1, 2, 3]


def test_typical_may_drop_the_most_probable_token():
    # entropy 1.50 nats; surprisals 0.92 and four times 1.90: the four are nearer to it, and tie
    x = log(0.4, *[0.15] * 4)
    assert kept(processors.keep_typical(x, 0.3)) == [1, 2, 3, 4]
    assert kept(processors.keep_typical(x, 0.7)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("e", "expected"), [(0.0, [0, 1, 2, 3]), (0.15, [0, 1, 3]), (0.25, [1, 3]), (0.35, [1]), (0.9, [1])]
)
def test_epsilon_is_a_floor_but_one_stays(e, expected):
    assert kept(processors.keep_epsilon(log(0.2, 0.4, 0.1, 0.3), e)) == expected


def test_epsilon_keeps_the_token_at_the_threshold():
    assert kept(processors.keep_epsilon(torch.zeros(1, 4), 0.25)) == [0, 1, 2, 3]


def test_repetition_penalty_divides_positive_and_multiplies_negative_once():
    x = torch.tensor([[2.0, -2.0, 0.0, 2.0]])
    out = processors.penalize_repetition(x, torch.tensor([[0, 1, 2, 0, 0]]), 2.0)
    assert out.tolist() == [[1.0, -4.0, 0.0, 2.0]]


def test_bigram_ban():
    # 1 2 … 1: after the last 1, 2 and 3 have already followed a 1
    assert kept(processors.ban_repeated_ngrams(torch.zeros(1, 5), torch.tensor([[1, 2, 1, 3, 1]]), 2)) == [0, 1, 4]
    assert kept(processors.ban_repeated_ngrams(torch.zeros(1, 5), torch.tensor([[1, 2, 1, 3, 4]]), 2)) == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_trigram_ban_needs_both_tokens_before():
    assert kept(processors.ban_repeated_ngrams(torch.zeros(1, 5), torch.tensor([[1, 2, 4, 1, 2]]), 3)) == [0, 1, 2, 3]
    assert kept(processors.ban_repeated_ngrams(torch.zeros(1, 5), torch.tensor([[1, 2, 4, 3, 2]]), 3)) == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_a_ban_that_would_leave_nothing_is_not_applied():
    x = torch.tensor([[0.5, -INF, 1.0, -INF], [1.0, 2.0, 3.0, 4.0]])
    out = processors.ban_repeated_ngrams(x, torch.tensor([[0, 2, 0], [0, 2, 0]]), 1)
    assert out.tolist() == [[0.5, -INF, 1.0, -INF], [-INF, 2.0, -INF, 4.0]]


def test_padding_counts_for_nothing():
    x = torch.tensor([[2.0, -2.0, 1.0, 3.0]]).repeat(2, 1)
    padded = torch.tensor([[-1, -1, -1, 0, 1, 0], [0, 2, 3, 0, 1, 0]])
    for n in (1, 2, 3):
        solo = processors.ban_repeated_ngrams(x[:1], torch.tensor([[0, 1, 0]]), n)
        assert torch.equal(processors.ban_repeated_ngrams(x, padded, n)[:1], solo)
    solo = processors.penalize_repetition(x[:1], torch.tensor([[0, 1, 0]]), 1.5)
    assert torch.equal(processors.penalize_repetition(x, padded, 1.5)[:1], solo)


SETTINGS = [{"temperature": 0.7}, {"top_k": 2}, {"top_p": 0.35}, {"top_p": 0.85}, {"min_p": 0.3}, {"typical_p": 0.45}]
SETTINGS += [{"epsilon": 0.12}, {"temperature": 2.0, "top_k": 3, "top_p": 0.7}]
RULES = {"temperature": processors.apply_temperature, "top_k": processors.keep_top_k, "top_p": processors.keep_top_p}
RULES |= {"min_p": processors.keep_min_p, "typical_p": processors.keep_typical, "epsilon": processors.keep_epsilon}


@pytest.mark.parametrize("chosen", SETTINGS, ids=str)
def test_equal_to_exact_arithmetic_on_every_context_of_the_toy_models(chosen):
    for model in (toy.GREEDY_LOSES, toy.BEAM_LOSES, toy.LOOPS, toy.PEAKED_AND_FLAT, toy.TWO_WORDS):
        for word in range(model.vocab_size):
            x = model(torch.tensor([[word]]))[:, -1]
            for name, value in chosen.items():
                x = RULES[name](x, value)
            exact = sampler_probs([model.next_probs(model.words[word]).get(w, 0) for w in model.words], **chosen)
            assert x.softmax(-1)[0].tolist() == pytest.approx([float(p) for p in exact], abs=1e-6), (model.name, word)


# ---------------------------------------------------------------------------------------------- equal to transformers


@pytest.mark.parametrize(("rows", "size"), [(4000, 4), (2000, 57), (500, 1000), (40, 50257)])
@pytest.mark.parametrize("name", KEEP)
def test_equal_to_transformers_bit_for_bit(name, rows, size):
    ours, their_class, values = KEEP[name]
    x = random_logits(rows, size, seed=size)
    for value in values if rows > 40 else values[1::2]:
        assert torch.equal(ours(x, value), their_class(value)(None, x)), value


@pytest.mark.parametrize(("rows", "size"), [(4000, 5), (1000, 57)])
@pytest.mark.parametrize("name", HISTORY)
def test_history_rules_equal_transformers_bit_for_bit(name, rows, size):
    ours, their_class, values = HISTORY[name]
    x = random_logits(rows, size, seed=size)
    rng = torch.Generator().manual_seed(1)
    for length in (1, 2, 7, 40):
        ids = torch.randint(size, (rows, length), generator=rng)
        for value in values:
            expected = their_class(value)(ids, x.clone())
            expected = torch.where(expected.amax(-1, keepdim=True) == -INF, x, expected)  # our one difference
            assert torch.equal(ours(x, ids, value), expected), (length, value)


def test_float64_too():
    x = random_logits(500, 57, seed=3, dtype=torch.float64)
    for ours, their_class, values in KEEP.values():
        for value in values:
            out = ours(x, value)
            assert out.dtype == torch.float64
            assert torch.equal(out, their_class(value)(None, x))


def test_top_p_equals_transformers_where_the_threshold_is_a_partial_sum():
    # steep (nucleus of a few tokens) to flat (of hundreds): both ways to find the nucleus, at their most delicate
    for seed, steepness in enumerate([0.3, 1.0, 1.3, 2.0] * 15):
        rng = torch.Generator().manual_seed(seed)
        order = torch.randperm(600, generator=rng)
        x = (-steepness * torch.arange(1.0, 601).log())[order][None] + torch.randn(1, 600, generator=rng) / 5
        sums = x.softmax(-1).sort(descending=True).values.cumsum(-1)[0]
        rank = int(torch.randint(300, (1,), generator=rng))
        for nudge in (-2e-5, -1e-6, -1e-7, 0, 1e-7, 1e-6, 2e-5):
            p = sums[rank].item() + nudge
            assert torch.equal(processors.keep_top_p(x, p), theirs.TopPLogitsWarper(p)(None, x)), (seed, nudge)


# ------------------------------------------------------------------------------------------------ settings per row


@pytest.mark.parametrize("name", KEEP)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_setting_per_row_equals_the_number(name, dtype):
    ours, _, values = KEEP[name]
    x = random_logits(700, 57, seed=5)
    picks = torch.randint(len(values), (700,), generator=torch.Generator().manual_seed(2))
    per_row = torch.tensor(values)[picks]
    out = ours(x, per_row if name == "keep_top_k" else per_row.to(dtype))
    for i, value in enumerate(values):
        assert torch.equal(out[picks == i], ours(x[picks == i], value)), value


@pytest.mark.parametrize("name", HISTORY)
def test_a_history_setting_per_row_equals_the_number(name):
    ours, _, values = HISTORY[name]
    values = [0, *values] if name == "ban_repeated_ngrams" else values
    x, ids = random_logits(700, 57, seed=5), torch.randint(6, (700, 12), generator=torch.Generator().manual_seed(3))
    picks = torch.randint(len(values), (700,), generator=torch.Generator().manual_seed(2))
    out = ours(x, ids, torch.tensor(values)[picks])
    for i, value in enumerate(values):
        assert torch.equal(out[picks == i], ours(x[picks == i], ids[picks == i], value)), value


def test_off_is_possible_per_row():
    x = torch.tensor([[3.0, 2.0, 1.0, 0.0]]).repeat(2, 1)
    for out in (
        processors.keep_top_k(x, torch.tensor([0, 1])),
        processors.keep_top_p(x, torch.tensor([1.0, 0.1])),
        processors.keep_min_p(x, torch.tensor([0.0, 1.0])),
        processors.keep_typical(x, torch.tensor([1.0, 1e-6])),
        processors.keep_epsilon(x, torch.tensor([0.0, 0.9])),
    ):
        assert out.isfinite().sum(1).tolist() == [4, 1]


def test_a_zero_dimensional_tensor_is_a_number():
    x = random_logits(20, 9, seed=1)
    assert torch.equal(processors.keep_top_p(x, torch.tensor(0.5, dtype=torch.float64)), processors.keep_top_p(x, 0.5))


# ------------------------------------------------------------------------------------------------------ properties

rows_of_logits = st.integers(0, 10_000).flatmap(lambda s: st.integers(2, 40).map(lambda v: random_logits(6, v, seed=s)))


@given(x=rows_of_logits, data=st.data())
@settings(max_examples=60 * TIMES, deadline=None)
def test_pure_and_only_removing_and_one_stays(x, data):
    name = data.draw(st.sampled_from([n for n in KEEP if n != "apply_temperature"]))
    ours, _, values = KEEP[name]
    before = x.clone()
    out = ours(x, data.draw(st.sampled_from(values)))
    assert torch.equal(x, before)
    assert out.data_ptr() != x.data_ptr()
    assert torch.equal(out[out.isfinite()], x[out.isfinite()])
    assert out.isfinite().any(-1).all()


@given(x=rows_of_logits, data=st.data())
@settings(max_examples=60 * TIMES, deadline=None)
def test_a_looser_setting_keeps_at_least_as_much(x, data):
    name = data.draw(st.sampled_from(["keep_top_k", "keep_top_p", "keep_min_p", "keep_typical", "keep_epsilon"]))
    ours, _, values = KEEP[name]
    low, high = sorted(data.draw(st.lists(st.sampled_from(values), min_size=2, max_size=2)))
    strict, loose = (high, low) if name in {"keep_min_p", "keep_epsilon"} else (low, high)
    assert (ours(x, strict).isfinite() <= ours(x, loose).isfinite()).all()


@given(x=rows_of_logits, data=st.data())
@settings(max_examples=40 * TIMES, deadline=None)
def test_rows_do_not_see_each_other(x, data):
    name = data.draw(st.sampled_from(sorted(KEEP)))
    ours, _, values = KEEP[name]
    value = data.draw(st.sampled_from(values))
    assert torch.equal(ours(x, value), torch.cat([ours(row[None], value) for row in x]))


@pytest.mark.parametrize("name", KEEP)
def test_off_returns_a_copy(name):
    if name == "apply_temperature":
        return
    x = random_logits(3, 7, seed=0)
    out = KEEP[name][0](x, None)
    assert torch.equal(out, x)
    assert out.data_ptr() != x.data_ptr()


# --------------------------------------------------------------------------------------------------------- bad input


BAD = [
    (processors.apply_temperature, 0, r"temperature=0 is not allowed.*greedy search.*do_sample=False"),
    (processors.apply_temperature, -1.0, r"temperature=-1.0 is not allowed: temperature is a number above 0"),
    (processors.apply_temperature, INF, r"temperature=inf is not allowed"),
    (processors.apply_temperature, math.nan, r"temperature=nan is not allowed"),
    (processors.apply_temperature, None, r"temperature=None is not allowed"),
    (processors.apply_temperature, "hot", r"temperature='hot' is not allowed"),
    (processors.apply_temperature, True, r"temperature=True is not allowed"),
    (processors.apply_temperature, 1e-45, r"so small that the logits overflow.*do_sample=False"),
    (processors.keep_top_k, -1, r"top_k=-1 is not allowed: top_k is a whole number from 1 to V, or None or 0 for all"),
    (processors.keep_top_k, 2.5, r"top_k=2.5 is not allowed"),
    (processors.keep_top_k, 2.0, r"top_k=2.0 is not allowed"),
    (processors.keep_top_k, torch.tensor([1.0, 2.0, 3.0]), r"top_k=\[1.0, 2.0, 3.0\] is not allowed"),
    (processors.keep_top_p, 0, r"top_p=0 is not allowed: top_p is a number above 0 and at most 1. .*top_k=1"),
    (processors.keep_top_p, 1.5, r"top_p=1.5 is not allowed: top_p is a number above 0 and at most 1"),
    (processors.keep_top_p, -0.1, r"top_p=-0.1 is not allowed"),
    (processors.keep_top_p, math.nan, r"top_p=nan is not allowed"),
    (processors.keep_top_p, torch.tensor([0.5, 0.9, 1.1]), r"is not allowed: .* or a tensor \(B,\) of them"),
    (processors.keep_top_p, torch.tensor([0.5, 0.9]), r"top_p has shape \(2,\), but should be one number, or \(3,\)"),
    (processors.keep_min_p, 1.5, r"min_p=1.5 is not allowed: min_p is a number from 0 to 1"),
    (processors.keep_typical, 0.0, r"typical_p=0.0 is not allowed"),
    (processors.keep_epsilon, 1.0, r"epsilon=1.0 is not allowed: epsilon is a number from 0 to below 1"),
]


@pytest.mark.parametrize(("function", "value", "message"), BAD, ids=lambda v: getattr(v, "__name__", None))
def test_a_bad_setting_says_what_is_allowed(function, value, message):
    with pytest.raises((ValueError, TypeError), match=message):
        function(torch.tensor([[1.0, 2.0, 3.0, 4.0]]).repeat(3, 1), value)


@pytest.mark.parametrize(("function", "_their", "values"), KEEP.values(), ids=KEEP)
def test_bad_logits_say_what_is_expected(function, _their, values):
    value = values[1]
    with pytest.raises(ValueError, match=r"row 1 of the logits has a logit that is nan"):
        function(torch.tensor([[1.0, 2.0], [math.nan, 1.0]]), value)
    with pytest.raises(ValueError, match=r"row 0 of the logits has a logit that is inf"):
        function(torch.tensor([[1.0, INF], [1.0, 1.0]]), value)
    with pytest.raises(ValueError, match=r"row 1 of the logits has no token left"):
        function(torch.tensor([[1.0, 2.0], [-INF, -INF]]), value)
    with pytest.raises(TypeError, match=r"dtype torch.int64.*Try logits.float\(\)"):
        function(torch.tensor([[1, 2]]), value)
    with pytest.raises(TypeError, match=r"dtype torch.float16.*Try logits.float\(\)"):
        function(torch.tensor([[1, 2]]).half(), value)
    with pytest.raises(TypeError, match=r"logits is a list"):
        function([[1.0, 2.0]], value)
    with pytest.raises(ValueError, match=r"shape \(4,\).*logits\[None\]"):
        function(torch.zeros(4), value)
    with pytest.raises(ValueError, match=r"shape \(1, 2, 4\).*logits\[:, -1\]"):
        function(torch.zeros(1, 2, 4), value)
    with pytest.raises(ValueError, match=r"shape \(0, 4\)"):
        function(torch.zeros(0, 4), value)


def test_bad_history_says_what_is_expected():
    x = torch.zeros(2, 4)
    good = torch.zeros(2, 3, dtype=torch.long)
    with pytest.raises(ValueError, match=r"penalty=0 is not allowed: repetition_penalty is a number above 0"):
        processors.penalize_repetition(x, good, 0)
    with pytest.raises(ValueError, match=r"ngram_size=-1 is not allowed: no_repeat_ngram_size is a whole number"):
        processors.ban_repeated_ngrams(x, good, -1)
    with pytest.raises(ValueError, match=r"ngram_size=2.5 is not allowed"):
        processors.ban_repeated_ngrams(x, good, 2.5)
    for function, value in ((processors.penalize_repetition, 1.5), (processors.ban_repeated_ngrams, 2)):
        with pytest.raises(TypeError, match=r"input_ids is torch.float32.*LongTensor"):
            function(x, good.float(), value)
        with pytest.raises(TypeError, match=r"input_ids is list"):
            function(x, [[0]], value)
        with pytest.raises(ValueError, match=r"input_ids has shape \(1, 3\), but should be \(2, T\)"):
            function(x, good[:1], value)
        with pytest.raises(ValueError, match=r"input_ids contains 4, but the logits know ids up to 3"):
            function(x, good + 4, value)
