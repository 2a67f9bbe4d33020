"""What stands between the model's logits and the choice of a token, as `generate` applies it.

Each function yields (name, f(logits (B, V), ids (B, T)) -> logits (B, V)); the name is that of the
stage in a trace.
"""

import functools

import torch

from gpt2lessons.decoding.processors import add_bias, ban_words


def penalties(active, hidden):
    """Yield (name, f(logits, ids)) of what looks at the text so far; penalties do not see the first `hidden` ids."""
    for setting, value in active:
        if setting.sampling:
            continue
        skip = hidden if setting.name.endswith("_penalty") else 0

        def process(logits, ids, setting=setting, value=value, skip=skip):
            if skip:
                ids = ids.clone()
                ids[:, :skip] = -1
            return setting.apply(logits, ids, value)

        yield setting.name, process


def bans(bad_words, logit_bias, ends, prompt_length, min_new_tokens):
    """Yield (name, f(logits, ids)) of what removes or moves single tokens; no end before `min_new_tokens`."""
    if bad_words:
        yield "bad_words", lambda logits, ids: ban_words(logits, ids, bad_words)
    if logit_bias:
        yield "logit_bias", lambda logits, ids: add_bias(logits, logit_bias)
    if ends and min_new_tokens:
        shortest = prompt_length + min_new_tokens
        words = [[end] for end in ends]

        def process(logits, ids):
            return ban_words(logits, ids, words) if ids.shape[1] < shortest else logits

        yield "min_new_tokens", process


def filters(active):
    """Yield (name, f(logits, ids)) of temperature and the filters, in the table's order."""
    for setting, value in active:
        if setting.sampling:
            yield setting.name, lambda logits, ids, s=setting, v=value: s.apply(logits, ids, v)


def _apply_own(function, name, logits, ids):
    """Apply a learner's processor to a copy, and say so if what comes back are no logits."""
    out = function(logits.clone(), ids)
    if not isinstance(out, torch.Tensor) or out.shape != logits.shape:
        what = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        raise ValueError(
            f"{name} returned {what}, but should return logits {tuple(logits.shape)}. Does it end with return?"
        )
    wrong = out.isnan().any(-1) | ~out.amax(-1).isfinite()
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"{name} left row {row} without a distribution: its logits have nan, +inf, or only -inf. "
            "At least one token has to stay."
        )
    return out


def own(processors):
    """Yield (name, f(logits, ids)) of the learner's own processors; equal names are numbered."""
    if not isinstance(processors, list | tuple) or not all(map(callable, processors)):
        raise TypeError(
            f"processors={processors!r} is not allowed: it is a list of functions "
            "(logits (B, V), ids (B, T)) -> logits (B, V)."
        )
    names = set()
    for number, function in enumerate(processors, start=1):
        name = getattr(function, "__name__", type(function).__name__)
        name = f"{name} {number}" if name in names else name
        names.add(name)
        yield name, functools.partial(_apply_own, function, name)
