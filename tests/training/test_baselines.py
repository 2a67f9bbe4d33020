"""What a model has to beat, against counts made by hand."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lessons.training import baselines

IDS = np.array([0, 1, 0, 1, 0, 2, 0, 1])


def test_frequencies_by_hand():
    # 0 comes four times, 1 three times, 2 once, 3 never; one more for each of the four
    assert baselines.Counts(IDS, 4).unigram_probs().tolist() == [5 / 12, 4 / 12, 2 / 12, 1 / 12]


def test_pairs_by_hand():
    counts = baselines.Counts(IDS, 4)
    # after 0 came 1 three times and 2 once: two kinds
    assert counts.bigram_probs([0], [1])[0] == pytest.approx((3 + 2 * 4 / 12) / (4 + 2))
    assert counts.bigram_probs([0], [3])[0] == pytest.approx((0 + 2 * 1 / 12) / (4 + 2))
    # nothing ever came after 3: the frequencies alone
    assert counts.bigram_probs([3], [0])[0] == pytest.approx(5 / 12)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=60))
def test_both_are_distributions_and_pairs_agree_with_a_dictionary(ids):
    counts = baselines.Counts(ids, 6)
    unigram, pairs = counts.unigram_probs(), Counter(pairwise(ids))
    assert unigram.sum() == pytest.approx(1)
    for before in range(6):
        found = counts.bigram_probs([before] * 6, range(6))
        assert found.sum() == pytest.approx(1)
        kinds = max(1, sum(a == before for a, _ in pairs))
        total = sum(n for (a, _), n in pairs.items() if a == before)
        wanted = [(pairs[before, after] + kinds * unigram[after]) / (total + kinds) for after in range(6)]
        assert found == pytest.approx(wanted)


def test_bits_of_a_text():
    counts = baselines.Counts(IDS, 4)
    found = baselines.bits_per_byte(counts, np.array([0, 1, 1]), 6)
    p, q = counts.unigram_probs(), counts.bigram_probs([0, 1], [1, 1])
    assert found["uniform"] == 3 * 2 / 6
    assert found["unigram"] == pytest.approx(-math.log2(p[0] * p[1] * p[1]) / 6)
    assert found["bigram"] == pytest.approx(-math.log2(p[0] * q[0] * q[1]) / 6)


def test_compressors_find_repetition_and_no_order_in_noise():
    text = "the same words again and again, " * 200
    noise = "".join(chr(c) for c in np.random.default_rng(0).integers(32, 96, 20_000))
    for name in ("gzip", "xz"):
        assert baselines.compressed(text)[name] < 0.3
        assert 6 < baselines.compressed(noise)[name] < 7  # 64 equally likely signs carry 6 bits each


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 2 tokens"):
        baselines.Counts([1], 4)
    with pytest.raises(ValueError, match="the ids run from 0 to 9"):
        baselines.Counts([0, 9], 4)
    with pytest.raises(ValueError, match="whole numbers in one row"):
        baselines.Counts([[0, 1]], 4)
    with pytest.raises(ValueError, match="whole numbers in one row"):
        baselines.Counts([0.5, 1.0], 4)
    with pytest.raises(ValueError, match="n_bytes"):
        baselines.bits_per_byte(baselines.Counts(IDS, 4), IDS, 0)
    with pytest.raises(ValueError, match="empty"):
        baselines.compressed("")
