"""Loops, the share of texts that end in one, as an `evaluate` metric."""

import numpy as np

from gpt2lessons.metrics import base


class Loops(base.TextMetric):
    """The share of texts that end in a loop: a phrase of at least 2 tokens, at least 3 times in a row.

    Holtzman et al. (2020) call this "repetition" and describe it so; their released code counts
    otherwise (longer phrases, fewer times). The metric `repetition` here is another one, Welleck's.
    The last round of the phrase may be cut off, as when a text stops at its length limit.
    `phrases` gives each loop's length in tokens, 0 where there is none.
    """

    source = "Holtzman et al. 2020, The Curious Case of Neural Text Degeneration"

    def _measure(self, predictions, references, min_phrase=2, min_times=3, tokenize=None):
        """`min_phrase` tokens, `min_times` times; `tokenize`: from a text to a list (default: words)."""
        if min_phrase < 1 or min_times < 2:
            raise ValueError(f"a phrase has 1 token or more, 2 times or more, not {min_phrase} and {min_times}")
        tokens = base.token_lists(predictions, tokenize)
        phrases = [loop_at_end(row, min_phrase, min_times) for row in tokens]
        statistics = np.array([[float(p > 0), 1.0] for p in phrases])

        def score(total):
            return {"loops": float(total[0] / total[1])}

        return score(statistics.sum(axis=0)) | {"phrases": phrases}, statistics, score


def loop_at_end(tokens, min_phrase, min_times):
    """Return the length of the shortest phrase in which `tokens` end up looping, or 0."""
    for phrase in range(min_phrase, len(tokens) // min_times + 1):
        repeated = 0  # how many tokens at the end equal the one a phrase earlier
        while repeated + phrase < len(tokens) and tokens[-1 - repeated] == tokens[-1 - repeated - phrase]:
            repeated += 1
        if repeated >= phrase * (min_times - 1):
            return phrase
    return 0
