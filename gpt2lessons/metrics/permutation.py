"""Was the half that somebody chose at random treated better? A permutation test (Fisher 1935)."""

import numpy as np


def permutation_test(values, chosen, *, blocks=None, splits=999, seed=0):
    """Return (difference, p): mean of the chosen `values` minus that of the others, and its p-value.

    `values` (N,) are numbers, `chosen` (N,) booleans that were drawn at random. If the values do
    not depend on the choice, every other choice was as likely: p is the share, among `splits`
    random choices and the real one, of differences at least as large (one-sided). `blocks` (N,)
    names a group for each value, a book for example; then choices are shuffled within groups, as
    they must be if they were drawn so. Raises ValueError for lengths that differ, or if all or none
    were chosen.
    """
    values, chosen = np.asarray(values, dtype=float), np.asarray(chosen)
    blocks = np.zeros(len(values)) if blocks is None else np.asarray(blocks)
    if values.ndim != 1 or not values.shape == chosen.shape == blocks.shape:
        shapes = f"{values.shape}, {chosen.shape} and {blocks.shape}"
        raise ValueError(f"values, chosen and blocks are rows of one length, not {shapes}")
    if chosen.dtype != bool or chosen.all() or not chosen.any():
        raise ValueError("chosen says True for some values and False for others")
    if splits < 1:
        raise ValueError(f"splits is the number of random choices, at least 1, not {splits}")
    random = np.random.default_rng(seed)
    keys = np.unique(blocks, return_inverse=True)[1] + random.random((splits, len(values)))
    order = np.argsort(keys, axis=1)  # block by block, shuffled within each
    drawn = np.empty((splits, len(values)), dtype=bool)
    grouped = chosen[np.argsort(blocks, kind="stable")]
    np.put_along_axis(drawn, order, np.broadcast_to(grouped, drawn.shape), axis=1)
    real, *others = (values[half].mean() - values[~half].mean() for half in [chosen, *drawn])
    slack = 1e-12 * max(1.0, np.abs(values).max())  # the same half, added up in another order
    larger = sum(other >= real - slack for other in others)
    return float(real), (1 + int(larger)) / (1 + splits)
