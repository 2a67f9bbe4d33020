"""Logits in, logits out: temperature and the filters; what looks at the text so far is in `penalties`.

Each function takes `logits` (B, V), float32 or float64, one row per text, and returns a new tensor
of the same shape; the input is never changed. A token that is removed becomes -inf (probability 0);
at least one token of every row always stays. A setting is one number for all rows or a tensor (B,)
with one value per row. The kept tokens are the ones that transformers' processors keep, ties included.

The line `@setting(…)` above a function makes it a keyword of `generate`. The functions stand in the
order in which they are applied. To add a sampler, write its function with that line, and its test.

`ValueError` or `TypeError` says which setting was given, what is allowed and what to try.
"""

import torch

from gpt2lessons.decoding.penalties import (  # first, as they are applied first
    add_bias,
    ban_repeated_ngrams,
    ban_words,
    penalize_frequency,
    penalize_presence,
    penalize_repetition,
)
from gpt2lessons.decoding.settings import SETTINGS, setting

__all__ = [
    "SETTINGS",
    "add_bias",
    "apply_temperature",
    "ban_repeated_ngrams",
    "ban_words",
    "keep_epsilon",
    "keep_eta",
    "keep_min_p",
    "keep_top_h",
    "keep_top_k",
    "keep_top_p",
    "keep_typical",
    "penalize_frequency",
    "penalize_presence",
    "penalize_repetition",
]

_GREEDY = "Temperature 0 would always take the most probable token: ask for greedy search instead (do_sample=False)."


@setting(
    "temperature",
    allowed="a number above 0",
    valid=lambda temperature: (temperature > 0) & (temperature < torch.inf),
    neutral=1,
    optional=False,
    if_zero=_GREEDY,
    short="T",
)
def apply_temperature(logits, temperature):
    """Divide the logits (B, V) by `temperature` > 0: below 1 sharpens the distribution, above 1 flattens it.

    Ackley, Hinton & Sejnowski 1985, "A learning algorithm for Boltzmann machines", section 2.
    GPT-2's own sampler applies it before top-k.
    """
    scaled = logits / temperature
    if not scaled.amax(-1).isfinite().all():
        many = isinstance(temperature, torch.Tensor)
        given = temperature.flatten().tolist() if many else temperature
        raise ValueError(f"temperature={given} is so small that the logits overflow. {_GREEDY}")
    return scaled


@setting(
    "top_h",
    allowed="a number above 0 and at most 1",
    valid=lambda share: (share > 0) & (share <= 1),
    neutral=1,
    short="top-h",
)
def keep_top_h(logits, top_h):
    """Keep the most probable tokens while their part of the entropy stays within `top_h` of the whole.

    Of the 100 most probable tokens, as in transformers; the first always stays.
    0 < top_h <= 1; `None` and 1 keep every token (transformers keeps 100 at most).
    Potraghloo, Azizi, Kundu & Pedram 2025, "Top-H decoding".
    """
    top, ids = logits.topk(min(100, logits.shape[1]))
    terms = torch.special.entr(top.softmax(-1))
    keep = terms.cumsum(-1) <= top_h * terms.sum(-1, keepdim=True)
    keep[:, 0] = True
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(1, ids, keep)
    return logits.masked_fill(~kept, -torch.inf)


@setting(
    "top_k",
    allowed="a whole number from 1 to V, or None or 0 for all tokens",
    valid=lambda k: k >= 0,
    neutral=0,
    whole=True,
    short="k",
)
def keep_top_k(logits, top_k):
    """Keep the `top_k` most probable tokens, and every token that ties with the last of them.

    `None` and 0 keep every token (0 is how transformers' `generate` spells "off"), and so does a
    `top_k` of V or more.
    Fan, Lewis & Dauphin 2018, "Hierarchical neural story generation", section 5.4.
    """
    size = logits.shape[1]
    if isinstance(top_k, torch.Tensor):
        everything = top_k >= size
        top_k = top_k.masked_fill(everything, 1).clamp(min=1)
        last = logits.topk(int(top_k.max())).values.gather(1, top_k - 1)
        last = last.masked_fill(everything, -torch.inf)
    else:
        last = logits.topk(min(top_k, size)).values[:, -1:]
    return logits.masked_fill(logits < last, -torch.inf)


@setting(
    "top_p",
    allowed="a number above 0 and at most 1",
    valid=lambda p: (p > 0) & (p <= 1),
    neutral=1,
    if_zero="For the most probable token alone use top_k=1 or do_sample=False.",
    short="p",
)
def keep_top_p(logits, top_p):
    """Keep the nucleus: the smallest set of most probable tokens whose probabilities add up to `top_p` or more.

    `logits` (B, V). The token that crosses the threshold is in. Of tokens that tie at the threshold,
    those with the highest ids stay. 0 < top_p <= 1; `None` and 1 keep every token.
    Holtzman, Buys, Du, Forbes & Choi 2020, "The curious case of neural text degeneration", section 3.1.
    """
    if isinstance(top_p, torch.Tensor):  # 0.9 in float32 is 0.89999998, but 0.9 is what was meant
        top_p = top_p.double().round(decimals=7)
    else:
        top_p = torch.full((len(logits), 1), top_p, dtype=torch.float64, device=logits.device)
    smallest, clear = _nucleus(logits, top_p)
    out = logits.masked_fill(logits < smallest, -torch.inf)
    if not clear.all():
        out[~clear] = _nucleus_by_sorting(logits[~clear], top_p[~clear])
    return out


@setting(
    "min_p",
    allowed="a number from 0 to 1",
    valid=lambda p: (p >= 0) & (p <= 1),
    neutral=0,
    short="min-p",
)
def keep_min_p(logits, min_p):
    """Keep the tokens that are at least `min_p` times as probable as the most probable one.

    0 <= min_p <= 1; `None` and 0 keep every token, 1 keeps the most probable (and its ties).
    Nguyen, Baker, Neo, Roush, Kirsch & Shwartz-Ziv 2024, "Turning up the heat: min-p sampling", section 3.
    """
    probs = logits.softmax(-1)
    highest = probs.amax(-1, keepdim=True)
    return logits.masked_fill(probs < min_p * highest, -torch.inf)


@setting(
    "typical_p",
    allowed="a number above 0 and at most 1",
    valid=lambda p: (p > 0) & (p <= 1),
    neutral=1,
    short="typical",
)
def keep_typical(logits, typical_p):
    """Keep the tokens whose surprisal is nearest to the entropy, until their probabilities add up to `typical_p`.

    `logits` (B, V). Ties at the threshold stay. The most probable token may go: it can be less
    surprising than is typical. 0 < typical_p <= 1; `None` and 1 keep every token.
    Meister, Pimentel, Wiher & Cotterell 2023, "Locally typical sampling".
    """
    log_probs = logits.log_softmax(-1)
    entropy = -(log_probs * log_probs.exp()).nansum(-1, keepdim=True)
    distance, ids = (-log_probs - entropy).abs().sort()
    before = logits.gather(1, ids).softmax(-1).cumsum(-1) < typical_p
    last = distance.gather(1, before.sum(-1, keepdim=True).clamp(max=logits.shape[1] - 1))
    remove = distance > last
    return logits.masked_fill(remove.scatter(1, ids, remove), -torch.inf)


@setting(
    "epsilon",
    allowed="a number from 0 to below 1",
    valid=lambda epsilon: (epsilon >= 0) & (epsilon < 1),
    neutral=0,
    short="ε",
)
def keep_epsilon(logits, epsilon):
    """Keep the tokens with a probability of at least `epsilon`; if there is none, the most probable (and its ties).

    0 <= epsilon < 1; `None` and 0 keep every token.
    Hewitt, Manning & Liang 2022, "Truncation sampling as language model desmoothing".
    """
    return _keep_above(logits, epsilon)


@setting(
    "eta",
    allowed="a number from 0 to below 1",
    valid=lambda eta: (eta >= 0) & (eta < 1),
    neutral=0,
    short="η",
)
def keep_eta(logits, eta):
    """Keep the tokens with a probability of at least min(eta, √eta · exp(−entropy)), the entropy in nats.

    So a flat distribution has a lower threshold. 0 <= eta < 1; `None` and 0 keep every token; the most
    probable (and its ties) always stay. It is called `eta_cutoff` in transformers.
    Hewitt, Manning & Liang 2022, "Truncation sampling as language model desmoothing", section 4.
    """
    entropy = torch.special.entr(logits.softmax(-1)).sum(-1, keepdim=True)
    eta = torch.as_tensor(eta, dtype=logits.dtype, device=logits.device)
    return _keep_above(logits, torch.minimum(eta, eta.sqrt() * (-entropy).exp()))


def _nucleus(logits, top_p):
    """Return the smallest logit (B, 1) of each nucleus, and for which rows (B,) it is certain; fast, but not always."""
    highest = logits.amax(-1, keepdim=True)  # a constant in the logits must not cost digits
    log_total = (logits - highest).logsumexp(-1, keepdim=True)
    top = logits.topk(min(256, logits.shape[1])).values
    probs = ((top - highest).double() - log_total).exp()
    above = probs.cumsum(-1) - probs  # the mass of what is more probable
    size = (above < top_p).sum(-1, keepdim=True)
    after = size.clamp(max=top.shape[1] - 1)
    smallest, next_one = top.gather(1, size - 1), top.gather(1, after)
    # not certain: a nucleus larger than we looked, a tie at its border, a sum that rounding could push over top_p
    clear = (size <= after) & (smallest > next_one)
    clear &= (above - top_p).abs().amin(-1, keepdim=True) > 1e-5
    return smallest, clear[:, 0]


def _nucleus_by_sorting(logits, top_p):
    """Sum from the least probable token upwards, as transformers does: the last 1 - top_p of the mass goes."""
    ordered, ids = logits.sort()
    remove = ordered.softmax(-1).cumsum(-1) <= (1 - top_p).to(logits.dtype)
    remove[:, -1] = False
    return logits.masked_fill(remove.scatter(1, ids, remove), -torch.inf)


def _keep_above(logits, threshold):
    remove = (logits.softmax(-1) < threshold) & (logits < logits.amax(-1, keepdim=True))
    return logits.masked_fill(remove, -torch.inf)
