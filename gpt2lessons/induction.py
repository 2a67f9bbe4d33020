"""Heads that copy: how much attention each head of a GPT-2 pays to where the present token stood before.

"… Mr Dursley … Mr" : an *induction head* looks at what came after the earlier "Mr", so the model can say it again
(Olsson et al. 2022, "In-context learning and induction heads", where the first measure here is called prefix matching).
It needs the help of an earlier head that looks one token back. Both are measured on random tokens, in which
nothing but copying helps.
"""

import copy

import torch


def repeated_tokens(vocab_size, length, rows, *, generator=None):
    """Return LongTensor (rows, 2 · length): `length` random tokens, different ones, and the same once more.

    Raises ValueError for fewer than 2 tokens or more than the vocabulary has, and for less than one row.
    """
    if not 2 <= length <= vocab_size or rows < 1:
        raise ValueError(
            f"length is 2 to {vocab_size:,} (the vocabulary: each token occurs once), rows at least 1, "
            f"not {length} and {rows}."
        )
    place = None if generator is None else generator.device
    once = [torch.randperm(vocab_size, generator=generator, device=place)[:length] for _ in range(rows)]
    once = torch.stack(once)
    return once.repeat(1, 2)


def rounds(vocab_size, length, periods, rows, *, generator=None):
    """Return LongTensor (rows, length), random tokens that go round, and bool (rows, length): has this one come before?

    Row by row the period is random, `periods[0]` to `periods[1]` different tokens, then the same ones again and again.
    So "look seven places back" is no way to predict them. Raises ValueError as `repeated_tokens` does, and for periods
    that do not rise from at least 2.
    """
    shortest, longest = periods
    if not 2 <= shortest <= longest:
        raise ValueError(f"periods are two whole numbers, 2 or more, the shorter first, not {periods}.")
    once = repeated_tokens(vocab_size, longest, rows, generator=generator)
    place = None if generator is None else generator.device
    period = torch.randint(shortest, longest + 1, (rows, 1), generator=generator, device=place)
    places = torch.arange(length, device=once.device)
    return once.gather(1, places % period), places >= period


def after_earlier(input_ids):
    """Return bool (B, T, T): [b, q, k] is True where token k − 1 is the same as token q, and k is before q.

    These k are the places that an induction head looks at from q.
    """
    _check(input_ids)
    T = input_ids.shape[1]
    same = input_ids[:, :, None] == input_ids[:, None, :]  # [b, q, k']: does token k' equal token q?
    found = torch.zeros_like(same)
    found[:, :, 1:] = same[:, :, :-1]
    return found & torch.ones(T, T, dtype=torch.bool, device=input_ids.device).tril(-1)


def head_scores(model, input_ids):
    """Return {"induction": (n_layer, n_head), "previous": (n_layer, n_head)}, shares of attention from 0 to 1.

    `model` is our `GPT2`, `input_ids` (B, T). "induction": what a head pays to all places right after an earlier
    occurrence of the present token, averaged over the positions that have such a place. "previous": what it pays to the
    token before, averaged over all positions but the first. Raises ValueError if no token of `input_ids` comes twice.
    """
    targets = after_earlier(input_ids)
    has_one = targets.any(-1)
    if not has_one.any():
        raise ValueError("no token occurs a second time here, so there is nothing to copy. Use repeated_tokens(…).")
    record = {}
    with torch.no_grad():
        model(input_ids, record=record)
    found = {"induction": [], "previous": []}
    for layer in range(model.config.n_layer):
        pattern = record[f"h.{layer}.attn.pattern"]  # (B, H, T, T), rows sum to 1
        paid = (pattern * targets[:, None]).sum(-1)  # (B, H, T)
        found["induction"].append(paid.transpose(0, 1)[:, has_one].mean(-1))
        found["previous"].append(pattern.diagonal(offset=-1, dim1=-2, dim2=-1).mean((0, -1)))
    return {name: torch.stack(rows) for name, rows in found.items()}


def without_head(model, layer, head):
    """Return a copy of `model`, our `GPT2`, in which one head writes nothing: its part of `c_proj` is 0.

    Raises ValueError if there is no such head.
    """
    config = model.config
    if not (0 <= layer < config.n_layer and 0 <= head < config.n_head):
        raise ValueError(
            f"layers are 0 to {config.n_layer - 1} and heads 0 to {config.n_head - 1}, not {layer} and {head}."
        )
    cut, width = copy.deepcopy(model), config.n_embd // config.n_head
    with torch.no_grad():
        cut.h[layer].attn.c_proj.weight[:, head * width : (head + 1) * width] = 0
    return cut


def _check(input_ids):
    if getattr(input_ids, "dtype", None) not in (torch.long, torch.int) or input_ids.dim() != 2:
        given = tuple(input_ids.shape) if hasattr(input_ids, "shape") else type(input_ids).__name__
        raise ValueError(f"input_ids should be whole numbers (B, T), not {given}; one text: ids[None].")
