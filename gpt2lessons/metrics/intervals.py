"""How far a number measured on a sample may be from the truth: the bootstrap, Student's and Wilson's interval."""

import functools
import math
from statistics import NormalDist

import numpy as np


def bootstrap_interval(values, statistic=None, *, seed=0, resamples=1000, confidence=0.95):
    """Return (low, high), the percentile bootstrap interval of `statistic` over the rows of `values` (N,) or (N, K).

    `statistic` takes a resampled array of the same shape and returns a number (default: the mean). The N rows are
    drawn again with replacement `resamples` times; the same `seed` gives the same interval (Efron 1979). With few
    rows (less than about 20) the interval is too narrow: of 12 normal values it holds the mean in about 91 % of all
    cases, not in 95 %. For the mean of few values take `student_interval`. Raises ValueError for fewer than 2 rows.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim == 0 or len(values) < 2:
        raise ValueError(f"an interval needs at least 2 values, not {values.size}; measure more texts")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is between 0 and 1, not {confidence}")
    draws = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    if statistic is None:
        measured = values[draws].mean(axis=1)
    else:
        measured = np.array([statistic(values[rows]) for rows in draws])
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(measured, [tail, 100 - tail], axis=0)
    return (float(low), float(high)) if measured.ndim == 1 else (low, high)


def student_interval(values, *, confidence=0.95):
    """Return (low, high) for the mean of `values` (N,): Student's t (1908), for few values, such as eight books.

    mean ± t · s / √N, with the standard deviation s of N − 1 and the quantile t of N − 1 degrees of freedom. It takes
    the values for independent draws from one normal distribution. Raises ValueError for fewer than 2 values.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"an interval needs at least 2 values in one row, not {values.shape}; measure more texts")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is between 0 and 1, not {confidence}")
    spread = _student_quantile(len(values) - 1, confidence) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - spread), float(values.mean() + spread)


@functools.cache
def _student_quantile(freedom, confidence):
    """Return t with P(|T| ≤ t) = `confidence`: with T = √freedom · tan θ the density of θ is cos θ ^ (freedom − 1)."""
    angles = np.linspace(0, math.pi / 2, 200_001)
    middle = np.cos((angles[1:] + angles[:-1]) / 2) ** (freedom - 1)
    share = np.concatenate([[0.0], middle.cumsum() / middle.sum()])
    return math.sqrt(freedom) * math.tan(np.interp(confidence, share, angles))


def wilson_interval(successes, trials, *, confidence=0.95):
    """Return (low, high) for a share `successes / trials`: Wilson's score interval (1927), good for small counts.

    Raises ValueError unless 0 ≤ successes ≤ trials and trials ≥ 1.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"give 0 ≤ successes ≤ trials and at least one trial, not {successes} of {trials}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
