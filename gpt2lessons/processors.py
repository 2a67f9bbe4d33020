"""Logits in, logits out: every rule that reshapes the next-token distribution before a token is drawn.

Each function takes `logits` (B, V), float32 or float64, one row per text, and returns a new tensor of the same shape;
the input is never changed. A token that is removed becomes -inf (probability 0); at least one token of every row always
stays. A setting is one number for all rows or a tensor (B,) with one value per row. The kept tokens are the ones that
transformers' processors keep, ties included.

`ValueError` or `TypeError` says which setting was given, what is allowed and what to try.
"""

import numbers

import torch


def apply_temperature(logits, temperature):
    """Divide the logits by `temperature` > 0: below 1 sharpens the distribution, above 1 flattens it.

    Ackley, Hinton & Sejnowski 1985, "A learning algorithm for Boltzmann machines", section 2.
    GPT-2's own sampler applies it before top-k.
    """
    _check_logits(logits)
    greedy = "temperature 0 would always take the most probable token: ask for greedy search instead (do_sample=False)"
    temperature = _setting(
        logits, temperature, "temperature", "a number above 0", lambda t: (t > 0) & (t < torch.inf), {0: greedy}
    )
    scaled = logits / temperature
    if not scaled.amax(-1).isfinite().all():
        raise ValueError(
            f"temperature={_show(temperature)} is so small that the logits overflow. {greedy[:1].upper() + greedy[1:]}."
        )
    return scaled


def keep_top_k(logits, top_k):
    """Keep the `top_k` most probable tokens, and every token that ties with the last of them.

    `None` and 0 keep every token (0 is how transformers' `generate` spells "off"), and so does a `top_k` of V or more.
    Fan, Lewis & Dauphin 2018, "Hierarchical neural story generation", section 5.4.
    """
    _check_logits(logits)
    top_k = _setting(
        logits, top_k, "top_k", "a whole number from 1 to V, or None or 0 for all tokens", lambda k: k >= 0, whole=True
    )
    if top_k is None:
        return logits.clone()
    size = logits.shape[1]
    if isinstance(top_k, torch.Tensor):
        all_stay = (top_k == 0) | (top_k >= size)
        top_k = top_k.masked_fill(all_stay, 1)  # so that a row that keeps everything costs nothing
        last = logits.topk(int(top_k.max())).values.gather(1, top_k - 1).masked_fill(all_stay, -torch.inf)
    else:
        last = logits.topk(min(top_k or size, size)).values[:, -1:]
    return logits.masked_fill(logits < last, -torch.inf)


def keep_top_p(logits, top_p):
    """Keep the nucleus: the smallest set of most probable tokens whose probabilities add up to `top_p` or more.

    So the token that crosses the threshold is in. Of tokens that tie at the threshold, those with the highest ids stay.
    0 < top_p <= 1; `None` and 1 keep every token.
    Holtzman, Buys, Du, Forbes & Choi 2020, "The curious case of neural text degeneration", section 3.1.
    """
    _check_logits(logits)
    advice = {0: "for the most probable token alone use top_k=1 or do_sample=False"}
    top_p = _setting(logits, top_p, "top_p", "a number above 0 and at most 1", lambda p: (p > 0) & (p <= 1), advice)
    if top_p is None:
        return logits.clone()
    if isinstance(top_p, torch.Tensor):
        # 0.9 in float32 is 0.89999998, so that 1 - top_p would not be the number that `top_p=0.9` gives
        rest = (1 - top_p.double().round(decimals=7)).masked_fill(top_p == 1, -1.0).to(logits.dtype)
    else:
        rest = 1 - top_p if top_p < 1 else -1.0
    # sums from the least probable token upwards: what lies in the last 1 - top_p of the mass goes
    ordered, ids = logits.sort()
    remove = ordered.softmax(-1).cumsum(-1) <= rest
    remove[:, -1] = False
    return logits.masked_fill(remove.scatter(1, ids, remove), -torch.inf)


def keep_min_p(logits, min_p):
    """Keep the tokens that are at least `min_p` times as probable as the most probable one.

    0 <= min_p <= 1; `None` and 0 keep every token, 1 keeps the most probable (and its ties).
    Nguyen, Baker, Neo, Roush, Kirsch & Shwartz-Ziv 2024, "Turning up the heat: min-p sampling", section 3.
    """
    _check_logits(logits)
    min_p = _setting(logits, min_p, "min_p", "a number from 0 to 1", lambda p: (p >= 0) & (p <= 1))
    if min_p is None:
        return logits.clone()
    probs = logits.softmax(-1)
    highest = probs.amax(-1, keepdim=True)
    return logits.masked_fill(probs < min_p * highest, -torch.inf)


def keep_typical(logits, typical_p):
    """Keep the tokens whose surprisal is nearest to the entropy, until their probabilities add up to `typical_p`.

    Ties at the threshold stay. The most probable token may go: it can be less surprising than is typical.
    0 < typical_p <= 1; `None` and 1 keep every token.
    Meister, Pimentel, Wiher & Cotterell 2023, "Locally typical sampling".
    """
    _check_logits(logits)
    allowed = "a number above 0 and at most 1"
    typical_p = _setting(logits, typical_p, "typical_p", allowed, lambda p: (p > 0) & (p <= 1))
    if typical_p is None:
        return logits.clone()
    log_probs = logits.log_softmax(-1)
    entropy = -(log_probs * log_probs.exp()).nansum(-1, keepdim=True)
    distance, ids = (-log_probs - entropy).abs().sort()
    before = logits.gather(1, ids).softmax(-1).cumsum(-1) < typical_p
    last = distance.gather(1, before.sum(-1, keepdim=True).clamp(max=logits.shape[1] - 1))
    remove = distance > last
    if isinstance(typical_p, torch.Tensor):
        remove &= typical_p < 1
    elif typical_p == 1:
        return logits.clone()
    return logits.masked_fill(remove.scatter(1, ids, remove), -torch.inf)


def keep_epsilon(logits, epsilon):
    """Keep the tokens with a probability of at least `epsilon`; if there is none, the most probable (and its ties).

    0 <= epsilon < 1; `None` and 0 keep every token.
    Hewitt, Manning & Liang 2022, "Truncation sampling as language model desmoothing".
    """
    _check_logits(logits)
    epsilon = _setting(logits, epsilon, "epsilon", "a number from 0 to below 1", lambda e: (e >= 0) & (e < 1))
    if epsilon is None:
        return logits.clone()
    remove = (logits.softmax(-1) < epsilon) & (logits < logits.amax(-1, keepdim=True))
    return logits.masked_fill(remove, -torch.inf)


def penalize_repetition(logits, input_ids, penalty):
    """Make the tokens of `input_ids` (B, T) less probable: positive logits are divided by `penalty`, others multiplied.

    `penalty` > 0; 1 changes nothing, below 1 rewards repetition. Ids below 0 stand for padding and are ignored.
    Keskar, McCann, Varshney, Xiong & Socher 2019, "CTRL", section 4.1 (which divides always; with a negative logit
    that would be a reward, so that transformers, and we, multiply).
    """
    _check_logits(logits)
    _check_ids(logits, input_ids)
    penalty = _setting(
        logits, penalty, "penalty", "a number above 0 (1 changes nothing)", lambda p: (p > 0) & (p < torch.inf)
    )
    spare = torch.nn.functional.pad(logits, (0, 1))  # a column past the vocabulary that takes the padding
    ids = input_ids.where(input_ids >= 0, logits.shape[1])
    seen = spare.gather(1, ids)
    return spare.scatter(1, ids, torch.where(seen < 0, seen * penalty, seen / penalty))[:, :-1].contiguous()


def ban_repeated_ngrams(logits, input_ids, ngram_size):
    """Remove every token that would complete an n-gram of `ngram_size` ids which `input_ids` (B, T) contains already.

    0 bans nothing; 1 bans every token that has occurred. Ids below 0 stand for padding. Where nothing at all would be
    left, the row stays as it was (transformers would remove everything).
    Paulus, Xiong & Socher 2017, "A deep reinforced model for abstractive summarization", section 2.5.
    """
    _check_logits(logits)
    _check_ids(logits, input_ids)
    allowed = "a whole number of at least 1, or 0 for no ban"
    ngram_size = _setting(logits, ngram_size, "ngram_size", allowed, lambda n: n >= 0, whole=True)
    if isinstance(ngram_size, torch.Tensor):
        out = logits.clone()
        for n in ngram_size.unique().tolist():
            rows = (ngram_size == n).squeeze(1)
            out[rows] = ban_repeated_ngrams(logits[rows], input_ids[rows], n)
        return out
    n, length, size = ngram_size, input_ids.shape[1], logits.shape[1]
    if not n or length < n:
        return logits.clone()
    windows = input_ids.unfold(1, n, 1)  # (B, T - n + 1, n)
    prefix = input_ids[:, length + 1 - n :]
    match = (windows[..., :-1] == prefix[:, None]).all(-1) & (prefix >= 0).all(-1, keepdim=True)
    last = windows[..., -1]
    banned = torch.zeros(len(logits), size + 1, dtype=torch.bool).scatter_(
        1, last.where(match & (last >= 0), size), True
    )
    out = logits.masked_fill(banned[:, :-1], -torch.inf)
    return torch.where(out.amax(-1, keepdim=True).isfinite(), out, logits)


def _check_logits(logits):
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


def _check_ids(logits, input_ids):
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


def _setting(logits, value, name, allowed, valid, advice=None, *, whole=False):
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


def _show(value):
    return value.flatten().tolist() if isinstance(value, torch.Tensor) else value
