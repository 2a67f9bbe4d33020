"""An interval for kappa and the permutation test: by full enumeration where small, by their rates where not."""

from itertools import combinations

import numpy as np
import pytest

from gpt2lessons import metrics


def two_judges(questions, random, *, kappa, share):
    """Answers 0 or 1, 1 with probability `share`; the second judge copies with probability `kappa`."""
    first = random.random(questions) < share
    second = np.where(random.random(questions) < kappa, first, random.random(questions) < share)
    return first.tolist(), second.tolist()


def test_kappa_interval_by_hand():
    # 50 questions, 35 agreed on, chance 1/2 (the example of `cohen_kappa`): kappa is 2·share - 1
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    ends = metrics.wilson_interval(35, 50)
    assert metrics.kappa_interval(first, second) == pytest.approx(tuple(2 * end - 1 for end in ends))
    low, high = metrics.kappa_interval(first, second, confidence=0.5)
    assert ends[0] < (low + 1) / 2 < 0.7 < (high + 1) / 2 < ends[1]


def test_kappa_interval_has_a_width_where_judges_agree_on_everything():
    low, high = metrics.kappa_interval([None, "b"] * 4, [None, "b"] * 4)
    assert high == pytest.approx(1)
    assert low == pytest.approx(2 * metrics.wilson_interval(8, 8)[0] - 1)


@pytest.mark.parametrize("questions", [15, 60])
@pytest.mark.parametrize(("kappa", "share"), [(0.4, 0.5), (0.8, 0.5), (0.8, 0.8)])
def test_kappa_interval_covers_the_true_kappa(questions, kappa, share):
    random, hits, rounds = np.random.default_rng(0), 0, 0
    for _ in range(500):
        answers = two_judges(questions, random, kappa=kappa, share=share)
        if len({*answers[0], *answers[1]}) == 2:
            low, high = metrics.kappa_interval(*answers)
            hits, rounds = hits + (low <= kappa <= high), rounds + 1
    assert rounds > 450
    assert hits / rounds > 0.9


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        (["a"], ["a", "b"], {}, "same questions"),
        (["a", "a"], ["a", "a"], {}, "kappa is undefined"),
        (["a", "b"], ["a", "b"], {"confidence": 1}, "confidence is between 0 and 1"),
    ],
)
def test_kappa_interval_refuses(first, second, options, message):
    with pytest.raises(ValueError, match=message):
        metrics.kappa_interval(first, second, **options)


def test_permutation_test_is_the_enumeration():
    values, chosen = np.array([3.0, 1.0, 4.0, 1.5, 5.0, 9.0]), np.array([True, False, True, False, False, True])
    real = values[chosen].mean() - values[~chosen].mean()
    every = [np.isin(np.arange(6), half) for half in combinations(range(6), 3)]
    exact = np.mean([values[h].mean() - values[~h].mean() >= real - 1e-12 for h in every])
    difference, p = metrics.permutation_test(values, chosen, splits=20_000)
    assert difference == pytest.approx(real)
    assert p == pytest.approx(exact, abs=0.015)


def test_permutation_test_shuffles_within_blocks():
    # within each block the chosen value is the larger one: 1 of 2³ choices is as good
    values, blocks = [10, 9, 5, 4, 1, 0], ["x", "x", "y", "y", "z", "z"]
    chosen = [True, False] * 3
    assert metrics.permutation_test(values, chosen, blocks=blocks, splits=8000)[1] == pytest.approx(1 / 8, abs=0.02)
    order = [3, 0, 5, 2, 1, 4]  # rows in any order
    mixed = [[row[i] for i in order] for row in (values, chosen, blocks)]
    p = metrics.permutation_test(mixed[0], mixed[1], blocks=mixed[2], splits=8000)[1]
    assert p == pytest.approx(1 / 8, abs=0.02)


def test_permutation_test_is_right_about_chance():
    """If the choice means nothing, p is at most 0.1 in a tenth of the cases."""
    random, small = np.random.default_rng(0), 0
    for seed in range(400):
        chosen = random.permutation([True, False] * 8)
        small += metrics.permutation_test(random.normal(size=16), chosen, splits=99, seed=seed)[1] <= 0.1
    assert 0.06 < small / 400 < 0.14


def test_permutation_test_never_gives_0():
    assert metrics.permutation_test([1e6] * 8 + [0] * 8, [True] * 8 + [False] * 8, splits=99)[1] == 1 / 100


@pytest.mark.parametrize(
    ("values", "chosen", "options", "message"),
    [
        ([1, 2], [True], {}, "rows of one length"),
        ([1, 2], [True, False], {"blocks": ["a"]}, "rows of one length"),
        ([1, 2], [True, True], {}, "True for some values and False for others"),
        ([1, 2], [1, 0], {}, "True for some values and False for others"),
        ([1, 2], [True, False], {"splits": 0}, "at least 1"),
    ],
)
def test_permutation_test_refuses(values, chosen, options, message):
    with pytest.raises(ValueError, match=message):
        metrics.permutation_test(values, chosen, **options)
