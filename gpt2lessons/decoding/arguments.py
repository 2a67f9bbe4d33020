"""What the processors accept, and the sentences that say so when something else was given.

`ValueError` for a value or shape that is not allowed, `TypeError` for another kind of thing.
"""

import numbers

import torch


def check_logits(logits):
    """Raise unless `logits` (B, V) are float32 or float64 and every row has a finite largest one (no nan, no inf)."""
    if not isinstance(logits, torch.Tensor):
        raise TypeError(
            f"logits is a {type(logits).__name__}, but should be a float tensor (B, V). Try torch.tensor(...)."
        )
    if logits.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"logits has dtype {logits.dtype}, but should be torch.float32 (or float64). Try logits.float()."
        )
    if logits.ndim != 2 or 0 in logits.shape:
        hint = {1: "logits[None] makes one row", 3: "logits[:, -1] takes the last position"}.get(
            logits.ndim, "one row per text"
        )
        raise ValueError(f"logits has shape {tuple(logits.shape)}, but should be (B, V) and not empty: {hint}.")
    highest = logits.amax(-1)  # nan if any is nan
    if not highest.isfinite().all():
        row = int((~highest.isfinite()).nonzero()[0])
        what = {True: "no token left (all are -inf)"}.get(
            bool(highest[row] == -torch.inf), f"a logit that is {highest[row]}"
        )
        raise ValueError(
            f"row {row} of the logits has {what}. Allowed are finite numbers, and -inf for some tokens. "
            "Look at what the model returned, or at the step before this one."
        )


def check_ids(logits, input_ids):
    """Raise unless `input_ids` is a LongTensor (B, T) that fits the logits (B, V)."""
    if not isinstance(input_ids, torch.Tensor) or input_ids.dtype != torch.long:
        kind = input_ids.dtype if isinstance(input_ids, torch.Tensor) else type(input_ids).__name__
        raise TypeError(
            f"input_ids is {kind}, but should be a LongTensor (B, T) of token ids. Try torch.tensor([[...]])."
        )
    if input_ids.ndim != 2 or len(input_ids) != len(logits):
        raise ValueError(
            f"input_ids has shape {tuple(input_ids.shape)}, but should be ({len(logits)}, T): one row of "
            "token ids for each row of logits."
        )
    if input_ids.numel() and int(input_ids.max()) >= logits.shape[1]:
        raise ValueError(
            f"input_ids contains {int(input_ids.max())}, but the logits know ids up to {logits.shape[1] - 1}."
        )


def read_setting(logits, value, name, allowed, valid, advice=None, *, whole=False):
    """Return `value` as a number, as a tensor (B, 1), or None for "keep everything"; or say what is wrong."""
    if value is None and name in {"top_k", "top_p", "min_p", "typical_p", "epsilon"}:
        return None
    many = isinstance(value, torch.Tensor) and value.ndim > 0
    if isinstance(value, torch.Tensor) and not many:
        value = value.item()
    kind = numbers.Integral if whole else numbers.Real
    wrong_kind = (
        (value.dtype == torch.bool or (whole and value.is_floating_point()))
        if many
        else (isinstance(value, bool) or not isinstance(value, kind))
    )
    if many and tuple(value.shape) != (len(logits),):
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}, but should be one number, or ({len(logits)},): "
            "one for each row of logits."
        )
    if wrong_kind or not (bool(valid(value).all()) if many else bool(valid(value))):
        given = value.tolist() if many else value
        wrong = TypeError if wrong_kind and not isinstance(value, numbers.Real) and not many else ValueError
        more = (advice or {}).get(value if not many else None)
        raise wrong(
            f"{name}={given!r} is not allowed: {name} is {allowed}{', or a tensor (B,) of them' if many else ''}."
            + (f" {more[:1].upper() + more[1:]}." if more else "")
        )
    if not many:
        return int(value) if whole else float(value)
    return value[:, None] if whole else value[:, None].to(logits.dtype)


def shown(value):
    """Return a setting as a message shows it: a number or a list."""
    return value.flatten().tolist() if isinstance(value, torch.Tensor) else value
