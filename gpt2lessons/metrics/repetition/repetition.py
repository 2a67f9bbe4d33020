"""Repetition, the share of tokens that stood a little earlier already, as an `evaluate` metric."""

import numpy as np

from gpt2lessons.metrics import base


class Repetition(base.TextMetric):
    """The share of tokens that are among the `window` tokens before them, over all texts together.

    This is rep/l of Welleck et al. (2020), with their shortest window, l = 32; the objective
    `repetition` of `gpt2lessons.tuning` is the same, of one text and on the model's tokens.
    What Holtzman et al. (2020) call repetition, texts that end in a loop, is the metric `loops`.
    """

    source = "Welleck et al. 2020, Neural Text Generation with Unlikelihood Training"

    def _measure(self, predictions, references, window=32, tokenize=None):
        """`window` is a number of tokens; `tokenize`: from a text to a list (default: words)."""
        if not isinstance(window, int) or window < 1:
            raise ValueError(f"window is a whole number of tokens from 1, not {window!r}")
        tokens = base.token_lists(predictions, tokenize)
        statistics = np.array([[_repeated(row, window), len(row)] for row in tokens], dtype=float)

        def score(total):
            return {"repetition": float(total[0] / total[1])}

        return score(statistics.sum(axis=0)), statistics, score


def _repeated(tokens, window):
    return sum(token in tokens[max(0, i - window) : i] for i, token in enumerate(tokens))
