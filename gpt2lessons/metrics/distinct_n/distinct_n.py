"""Distinct-n, the share of different n-grams, as an `evaluate` metric."""

import numpy as np

from gpt2lessons.metrics import base


class DistinctN(base.TextMetric):
    """Different n-grams divided by all n-grams: 1 means that nothing is said twice.

    `scope="set"` (default) counts across all texts together, as Li et al. (2016) do, so that it
    notices texts that resemble each other. `scope="text"` is the mean over texts, each by itself;
    of a single text both are the objective `distinct_2` of `gpt2lessons.tuning`.
    Li et al. count words, and so does the default here; the tuning counts the model's tokens.
    Both scopes fall as texts, or the set, grow longer: compare at equal length and number only.
    A text shorter than n is left out.
    """

    source = "Li et al. 2016, A Diversity-Promoting Objective Function for Neural Conversation Models"

    def _measure(self, predictions, references, n=(1, 2, 3), scope="set", tokenize=None):
        """`n` is a number or several; `tokenize` a function from a text to a list (default: lowercase words)."""
        sizes = (n,) if isinstance(n, int) else tuple(n)
        if not sizes or any(not isinstance(k, int) or k < 1 for k in sizes) or scope not in ("text", "set"):
            raise ValueError(f"n is a whole number from 1 (or several) and scope 'text' or 'set', not {n!r}, {scope!r}")
        tokens = base.token_lists(predictions, tokenize)
        if longest := [k for k in sizes if k > max(map(len, tokens))]:
            raise ValueError(f"no text has {longest[0]} tokens, so there are no {longest[0]}-grams; take a smaller n")
        counters = {k: [base.ngrams(row, k) for row in tokens] for k in sizes}
        if scope == "set":
            pooled = {k: sum(c, base.Counter()) for k, c in counters.items()}
            return {f"distinct_{k}": len(c) / c.total() for k, c in pooled.items()}, None, None
        shares = np.array([[len(c) / c.total() if c else 0 for c in column] for column in counters.values()]).T
        counted = np.array([[bool(c) for c in column] for column in counters.values()], dtype=float).T

        def score(total):
            with np.errstate(invalid="ignore"):
                return {f"distinct_{k}": float(total[i] / total[len(sizes) + i]) for i, k in enumerate(sizes)}

        statistics = np.hstack([shares, counted])
        return score(statistics.sum(axis=0)), statistics, score
