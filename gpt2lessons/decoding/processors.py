"""Logits in, logits out: every rule that reshapes the next-token distribution before a token is drawn.

Each function takes `logits` (B, V), float32 or float64, one row per text, and returns a new tensor of the same shape;
the input is never changed. A token that is removed becomes -inf (probability 0); at least one token of every row always
stays. A setting is one number for all rows or a tensor (B,) with one value per row. The kept tokens are the ones that
transformers' processors keep, ties included.

`ValueError` or `TypeError` says which setting was given, what is allowed and what to try.
"""

import torch

from gpt2lessons.decoding.arguments import check_ids, check_logits, read_setting, shown


def apply_temperature(logits, temperature):
    """Divide the logits (B, V) by `temperature` > 0: below 1 sharpens the distribution, above 1 flattens it.

    Ackley, Hinton & Sejnowski 1985, "A learning algorithm for Boltzmann machines", section 2.
    GPT-2's own sampler applies it before top-k.
    """
    check_logits(logits)
    greedy = "temperature 0 would always take the most probable token: ask for greedy search instead (do_sample=False)"
    temperature = read_setting(
        logits, temperature, "temperature", "a number above 0", lambda t: (t > 0) & (t < torch.inf), {0: greedy}
    )
    scaled = logits / temperature
    if not scaled.amax(-1).isfinite().all():
        raise ValueError(
            f"temperature={shown(temperature)} is so small that the logits overflow. {greedy[:1].upper() + greedy[1:]}."
        )
    return scaled


def keep_top_k(logits, top_k):
    """Keep the `top_k` most probable tokens, and every token that ties with the last of them.

    `None` and 0 keep every token (0 is how transformers' `generate` spells "off"), and so does a `top_k` of V or more.
    Fan, Lewis & Dauphin 2018, "Hierarchical neural story generation", section 5.4.
    """
    check_logits(logits)
    top_k = read_setting(
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

    `logits` (B, V), and the same shape comes back.
    So the token that crosses the threshold is in. Of tokens that tie at the threshold, those with the highest ids stay.
    0 < top_p <= 1; `None` and 1 keep every token.
    Holtzman, Buys, Du, Forbes & Choi 2020, "The curious case of neural text degeneration", section 3.1.
    """
    check_logits(logits)
    advice = {0: "for the most probable token alone use top_k=1 or do_sample=False"}
    top_p = read_setting(logits, top_p, "top_p", "a number above 0 and at most 1", lambda p: (p > 0) & (p <= 1), advice)
    if top_p is None:
        return logits.clone()
    if not isinstance(top_p, torch.Tensor):
        top_p = torch.full((len(logits), 1), top_p, dtype=torch.float64, device=logits.device)
    else:  # 0.9 in float32 is 0.89999998, but 0.9 is what was meant
        top_p = top_p.double().round(decimals=7)
    smallest, clear = _nucleus(logits, top_p)
    out = logits.masked_fill(logits < smallest, -torch.inf)
    if not clear.all():
        out[~clear] = _nucleus_by_sorting(logits[~clear], top_p[~clear])
    return out


def _nucleus(logits, top_p):
    """Return the smallest logit (B, 1) of each nucleus, and for which rows (B,) it is certain; fast, but not always."""
    top = logits.topk(min(256, logits.shape[1])).values.double()
    log_total = logits.logsumexp(-1, keepdim=True)
    probs = (top - log_total).exp()
    above = probs.cumsum(-1) - probs  # the mass of what is more probable
    size = (above < top_p).sum(-1, keepdim=True)
    after = size.clamp(max=top.shape[1] - 1)
    smallest, next_one = top.gather(1, size - 1), top.gather(1, after)
    # not certain: a nucleus larger than we looked, a tie at its border, a sum that rounding could push over top_p
    clear = (size <= after) & (smallest > next_one) & ((above - top_p).abs().amin(-1, keepdim=True) > 1e-5)
    everything = top_p == 1
    return smallest.masked_fill(everything, -torch.inf).to(logits.dtype), (clear | everything)[:, 0]


def _nucleus_by_sorting(logits, top_p):
    """Sum from the least probable token upwards, as transformers does: the last 1 - top_p of the mass goes."""
    ordered, ids = logits.sort()
    remove = ordered.softmax(-1).cumsum(-1) <= (1 - top_p).to(logits.dtype)
    remove[:, -1] = False
    return logits.masked_fill(remove.scatter(1, ids, remove), -torch.inf)


def keep_min_p(logits, min_p):
    """Keep the tokens that are at least `min_p` times as probable as the most probable one.

    0 <= min_p <= 1; `None` and 0 keep every token, 1 keeps the most probable (and its ties).
    Nguyen, Baker, Neo, Roush, Kirsch & Shwartz-Ziv 2024, "Turning up the heat: min-p sampling", section 3.
    """
    check_logits(logits)
    min_p = read_setting(logits, min_p, "min_p", "a number from 0 to 1", lambda p: (p >= 0) & (p <= 1))
    if min_p is None:
        return logits.clone()
    probs = logits.softmax(-1)
    highest = probs.amax(-1, keepdim=True)
    return logits.masked_fill(probs < min_p * highest, -torch.inf)


def keep_typical(logits, typical_p):
    """Keep the tokens whose surprisal is nearest to the entropy, until their probabilities add up to `typical_p`.

    `logits` (B, V), and the same shape comes back.
    Ties at the threshold stay. The most probable token may go: it can be less surprising than is typical.
    0 < typical_p <= 1; `None` and 1 keep every token.
    Meister, Pimentel, Wiher & Cotterell 2023, "Locally typical sampling".
    """
    check_logits(logits)
    allowed = "a number above 0 and at most 1"
    typical_p = read_setting(logits, typical_p, "typical_p", allowed, lambda p: (p > 0) & (p <= 1))
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
    check_logits(logits)
    epsilon = read_setting(logits, epsilon, "epsilon", "a number from 0 to below 1", lambda e: (e >= 0) & (e < 1))
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
    check_logits(logits)
    check_ids(logits, input_ids)
    penalty = read_setting(
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
    check_logits(logits)
    check_ids(logits, input_ids)
    allowed = "a whole number of at least 1, or 0 for no ban"
    ngram_size = read_setting(logits, ngram_size, "ngram_size", allowed, lambda n: n >= 0, whole=True)
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
    banned = torch.zeros(len(logits), size + 1, dtype=torch.bool, device=logits.device).scatter_(
        1, last.where(match & (last >= 0), size), True
    )
    out = logits.masked_fill(banned[:, :-1], -torch.inf)
    return torch.where(out.amax(-1, keepdim=True).isfinite(), out, logits)
