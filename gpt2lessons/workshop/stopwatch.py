"""How long things take: the best of several turns, one forward pass, and how fast this machine reads and multiplies."""

import sys
import time

import torch

# what other programs do counts for nothing in CPU time; Windows counts it in steps of 16 ms
_CLOCK = time.perf_counter if sys.platform == "win32" else time.process_time


def best_seconds(*functions, turns=5):
    """Call the functions in turns, and return the shortest time of each, a list of seconds.

    `ValueError` if `turns` is less than 1.
    """
    if turns < 1:
        raise ValueError(f"turns={turns!r} is not allowed: at least one turn has to be timed.")
    best = [float("inf")] * len(functions)
    for _ in range(turns):
        for i, function in enumerate(functions):
            start = _CLOCK()
            function()
            best[i] = min(best[i], _CLOCK() - start)
    return best


def forward_pass(model, batch, *, new=1, past=4):
    """Return a function () -> logits (batch, new, V): our GPT-2 `model` reads `new` tokens after `past` cached ones.

    It can be called again and again: each call takes the cache back to its `past` tokens.
    """
    ids = torch.zeros(batch, past + new, dtype=torch.long, device=model.wte.weight.device)
    cache = model.new_cache(batch, past + new)
    model(ids[:, :past], cache=cache, last_only=True)

    def read():
        cache.length = past
        return model(ids[:, past:], cache=cache)

    return read


def reading_and_multiplying(*, turns=30, megabytes=64):
    """Return (bytes per second, FLOP per second) of this machine in float32.

    It reads a matrix of `megabytes` MiB to multiply it by a vector, and multiplies two square matrices.
    """
    long, square = torch.ones(megabytes * 256, 1024), torch.randn(1024, 1024)
    read, multiply = best_seconds(lambda: long @ square[0], lambda: square @ square, turns=turns)
    return long.nbytes / read, 2 * len(square) ** 3 / multiply
