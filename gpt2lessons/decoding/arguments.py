"""What decoding accepts, and the sentences that say so when something else was given.

`ValueError` for a value or shape that is not allowed, `TypeError` for another kind of thing.
"""

import math
import numbers

import torch


def check_logits(logits):
    """Raise unless `logits` (B, V) are float32 or float64 and each row's largest is finite."""
    if not isinstance(logits, torch.Tensor):
        raise TypeError(
            f"logits is a {type(logits).__name__}, but should be a float tensor (B, V). Try torch.tensor(...)."
        )
    if logits.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"logits has dtype {logits.dtype}, but should be torch.float32 (or float64). Try logits.float()."
        )
    if logits.ndim != 2 or 0 in logits.shape:
        hint = "one row per text"
        if logits.ndim == 1:
            hint = "logits[None] makes one row"
        elif logits.ndim == 3:
            hint = "logits[:, -1] takes the last position"
        raise ValueError(f"logits has shape {tuple(logits.shape)}, but should be (B, V) and not empty: {hint}.")
    highest = logits.amax(-1)  # nan if any is nan
    if highest.isfinite().all():
        return
    row = int((~highest.isfinite()).nonzero()[0])
    what = f"a logit that is {highest[row]}"
    if highest[row] == -torch.inf:
        what = "no token left (all are -inf)"
    raise ValueError(
        f"row {row} of the logits has {what}. Allowed are finite numbers, and -inf for some tokens. "
        "Look at what the model returned, or at the step before this one."
    )


def check_ids(logits, input_ids):
    """Raise unless `input_ids` is a LongTensor (B, T) that fits the logits (B, V)."""
    if not isinstance(input_ids, torch.Tensor) or input_ids.dtype != torch.long:
        is_tensor = isinstance(input_ids, torch.Tensor)
        kind = input_ids.dtype if is_tensor else type(input_ids).__name__
        raise TypeError(
            f"input_ids is {kind}, but should be a LongTensor (B, T) of token ids. Try torch.tensor([[...]])."
        )
    if input_ids.ndim != 2 or len(input_ids) != len(logits):
        raise ValueError(
            f"input_ids has shape {tuple(input_ids.shape)}, but should be ({len(logits)}, T): "
            "one row of token ids for each row of logits."
        )
    if input_ids.numel() and int(input_ids.max()) >= logits.shape[1]:
        raise ValueError(
            f"input_ids contains {int(input_ids.max())}, but the logits know ids up to {logits.shape[1] - 1}."
        )


def check_whole(value, name, least, most=math.inf):
    """Return `value` as an int; raise `ValueError` unless it is a whole number from `least` to `most`."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        span = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name}={value!r} is not allowed: it is a whole number {span}.")
    return int(value)


def check_generator(generator):
    """Raise `TypeError` unless `generator` is a `torch.Generator` or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator is {type(generator).__name__}, but should be a torch.Generator: "
            "torch.Generator().manual_seed(0)."
        )


def read_number(value, rule):
    """Return one setting as an int or float, or say what is wrong; `rule` is a `settings.Rule`."""
    kind = numbers.Integral if rule.whole else numbers.Real
    if isinstance(value, bool) or not isinstance(value, kind):
        wrong = ValueError if isinstance(value, numbers.Real) else TypeError
        raise wrong(_refusal(value, rule))
    if not rule.valid(value):
        raise ValueError(_refusal(value, rule))
    return int(value) if rule.whole else float(value)


def read_column(value, rule, logits):
    """Return a setting per row, a tensor (B,), as (B, 1) beside `logits` (B, V), or say what is wrong."""
    if tuple(value.shape) != (len(logits),):
        raise ValueError(
            f"{rule.name} has shape {tuple(value.shape)}, but should be one number, or "
            f"({len(logits)},): one for each row of logits."
        )
    wrong_kind = value.dtype == torch.bool or (rule.whole and value.is_floating_point())
    if wrong_kind or not rule.valid(value).all():
        raise ValueError(_refusal(value.tolist(), rule, ", or a tensor (B,) of them"))
    column = value[:, None].to(logits.device)
    return column if rule.whole else column.to(logits.dtype)


def _refusal(given, rule, many=""):
    sentence = f"{rule.name}={given!r} is not allowed: {rule.name} is {rule.allowed}{many}."
    if given == 0 and not isinstance(given, bool) and rule.if_zero:
        sentence += f" {rule.if_zero}"
    return sentence
