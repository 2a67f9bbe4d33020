"""Zipf's coefficient, how steeply word frequency falls with rank, as an `evaluate` metric."""

import numpy as np

from gpt2lessons.metrics import base


class Zipf(base.TextMetric):
    """−slope of log frequency against log rank over all texts together, by least squares (Holtzman et al. 2020).

    About 1 for much human text (Zipf 1949); larger means that few words do most of the work. It depends on how
    much text there is: compare sets of one size.
    """

    source = "Zipf 1949; Holtzman et al. 2020"

    def _measure(self, predictions, references, ranks=5000, tokenize=None):
        """`ranks` most frequent words are fitted; `tokenize` is a function from a text to a list (default: words)."""
        counts = sum((base.Counter(row) for row in base.token_lists(predictions, tokenize)), base.Counter())
        frequencies = np.array([c for _, c in counts.most_common(ranks)], dtype=float)
        if len(frequencies) < 2:
            raise ValueError("zipf needs at least two different words in the texts")
        x, y = np.log(np.arange(1, len(frequencies) + 1)), np.log(frequencies)
        slope = np.cov(x, y, bias=True)[0, 1] / np.var(x)
        return (
            {"zipf": float(-slope) + 0.0, "words": int(frequencies.sum()), "different_words": len(counts)},
            None,
            None,
        )
