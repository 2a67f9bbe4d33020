"""What a model has to beat: a uniform choice, token frequencies, token pairs, and two compressors.

All are measured in bits per byte of a held-out text, so that they stand beside `scoring.bits_per_byte`. The
frequencies and pairs are counted in the training text; the compressors see nothing but the held-out text itself.
"""

import gzip
import lzma
import math

import numpy as np


class Counts:
    """How often each token, and each pair of neighbours, occurs in `ids` (N,); a vocabulary of `vocab_size` tokens."""

    def __init__(self, ids, vocab_size):
        ids = _checked(ids, vocab_size, least=2)
        self.vocab_size, self.total = vocab_size, len(ids)
        self.single = np.bincount(ids, minlength=vocab_size)
        self.pairs, self._pair_counts = np.unique(ids[:-1] * vocab_size + ids[1:], return_counts=True)
        before = self.pairs // vocab_size
        self._followed = np.bincount(before, weights=self._pair_counts, minlength=vocab_size)
        self._kinds = np.bincount(before, minlength=vocab_size)  # different tokens seen after each token

    def unigram_probs(self):
        """Return p(token), float64 (V,): (count + 1) / (N + V), so that a token never seen is not impossible."""
        return (self.single + 1) / (self.total + self.vocab_size)

    def bigram_probs(self, before, after):
        """Return p(after | before), float64 (N,), for arrays of ids (N,), smoothed as Witten & Bell (1991) proposed.

        The share of the pair's own frequency grows with how often `before` was seen; the rest follows `unigram_probs`:
        (count of the pair + kinds · p(after)) / (count of before + kinds), with `kinds` different followers.
        """
        before, after = _checked(before, self.vocab_size), _checked(after, self.vocab_size)
        wanted = before * self.vocab_size + after
        place = np.minimum(np.searchsorted(self.pairs, wanted), len(self.pairs) - 1)
        seen = np.where(self.pairs[place] == wanted, self._pair_counts[place], 0)
        kinds = np.maximum(self._kinds[before], 1)  # a token that nothing followed: all from the frequencies
        return (seen + kinds * self.unigram_probs()[after]) / (self._followed[before] + kinds)


def bits_per_byte(counts, ids, n_bytes):
    """Return {"uniform", "unigram", "bigram": bits per byte} of a held-out text, `ids` (N,) for `n_bytes` bytes.

    The first token has nothing before it: the bigram model predicts it by its frequency.
    """
    ids = _checked(ids, counts.vocab_size)
    if n_bytes < 1:
        raise ValueError(f"n_bytes is the length of the text in bytes, at least 1, not {n_bytes}.")
    unigram = counts.unigram_probs()[ids]
    bigram = np.concatenate([unigram[:1], counts.bigram_probs(ids[:-1], ids[1:])])
    totals = {"uniform": len(ids) * math.log2(counts.vocab_size)}
    totals |= {"unigram": -np.log2(unigram).sum().item(), "bigram": -np.log2(bigram).sum().item()}
    return {name: bits / n_bytes for name, bits in totals.items()}


def compressed(text):
    """Return {"gzip", "xz": bits per byte} of `text`, each at its strongest setting, headers included."""
    data = text.encode("utf8")
    if not data:
        raise ValueError("the text is empty: there is nothing to compress.")
    packed = {"gzip": gzip.compress(data, 9, mtime=0), "xz": lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)}
    return {name: 8 * len(small) / len(data) for name, small in packed.items()}


def _checked(ids, vocab_size, least=0):
    ids = np.asarray(ids)
    if ids.ndim != 1 or (ids.size and not np.issubdtype(ids.dtype, np.integer)):
        raise ValueError(f"ids are whole numbers in one row, not {ids.dtype} {ids.shape}.")
    if len(ids) < least:
        raise ValueError(f"at least {least} tokens are needed, not {len(ids)}.")
    if ids.size and not 0 <= ids.min() <= ids.max() < vocab_size:
        raise ValueError(f"the ids run from {ids.min()} to {ids.max()}, but a vocabulary of {vocab_size} ends earlier.")
    return ids.astype(np.int64)
