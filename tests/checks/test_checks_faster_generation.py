"""The checks of lesson 13: right answers of another make, and wrong ones with the diagnosis that each must get."""

import torch
from support.told_apart import three_tests

from gpt2lessons.checks import faster_generation as checks
from gpt2lessons.decoding import speculative


def attend(q, k, v, cache, *, hidden=None, scale=None, dim=-1, turned=False, out=lambda x: x):
    """One query after another, unlike the check's; `hidden(column, place, S)` says what a token must not see."""
    S = len(cache[0])
    keys, values = (torch.cat([k, cache[0]]), torch.cat([v, cache[1]])) if turned else (
        torch.cat([cache[0], k]), torch.cat([cache[1], v])
    )  # fmt: skip
    hidden = hidden or (lambda column, place, S: column > place)
    scores = torch.stack([keys @ query for query in q]) * (scale or q.shape[1] ** -0.5)
    for row in range(len(q)):
        for column in range(len(keys)):
            if hidden(column, S + row, S):
                scores[row, column] = -1e9
    return scores.softmax(dim) @ values, out((keys, values))


def attend_fused(q, k, v, cache):
    keys, values = torch.cat([cache[0], k]), torch.cat([cache[1], v])
    mask = torch.ones(len(q), len(keys), dtype=torch.bool).tril(len(keys) - len(q))
    out = torch.nn.functional.scaled_dot_product_attention(q[None], keys[None], values[None], attn_mask=mask)
    return out[0], [keys, values]


def attend_and_spoil(q, k, v, cache):
    found = attend(q, k, v, cache)
    for part in cache:
        part += 1
    return found


def quantize(weights, levels, largest=None, rounding=torch.round, kind=torch.int8):
    largest = weights.abs().amax(1, keepdim=True) if largest is None else largest(weights)
    scales = (largest / levels).clamp(min=1e-20)
    return rounding(weights / scales).clamp(-128, 127).to(kind), scales.flatten()


def quantize_by_loop(weights, levels):
    rows, scales = [], []
    for row in weights.tolist():
        scales.append(max(map(abs, row)) / levels or 1.0)
        rows.append([round(w / scales[-1]) for w in row])
    return torch.tensor(rows, dtype=torch.int8), torch.tensor(scales)


def residual_by_loop(p, q):
    rows = []
    for a, b in zip(p.tolist(), q.tolist(), strict=True):
        left = [max(0, x - y) for x, y in zip(a, b, strict=True)]
        rows.append([x / sum(left) for x in left] if sum(left) else a)
    return torch.tensor(rows)


def made_whole(left, p):
    mass = left.sum(-1, keepdim=True)
    return torch.where(mass > 0, left / mass, p)


def in_place(p, q):
    p -= q
    p.clamp_(min=0)
    return p / p.sum(-1, keepdim=True)


def lookup(ids, n, size, which=-1, shift=0, own_end=False):
    places = [i for i in range(len(ids) - size + own_end) if ids[i : i + size] == ids[-size:]]
    return ids[places[which] + size + shift :][:n] if places else []


def lookup_backwards(ids, n, size):
    tail = ids[len(ids) - size :]
    for start in range(len(ids) - size - 1, -1, -1):
        if ids[start : start + size] == tail:
            return ids[start + size : start + size + n]
    return []


def lookup_and_spoil(ids, n, size):
    found = lookup(ids, n, size)
    ids.append(0)
    return found


RIGHT = {
    "attend": [attend, attend_fused],
    "quantize_rows": [quantize, quantize_by_loop],
    "residual": [speculative.residual, residual_by_loop],
    "expected_tokens": [
        speculative.expected_tokens,
        lambda a, n: n + 1 if a == 1 else (1 - a ** (n + 1)) / (1 - a),
        lambda a, n: sum((k + 1) * a**k * (1 - a) for k in range(n)) + (n + 1) * a**n,
    ],
    "lookup": [lookup, lookup_backwards],
}
WRONG = {
    "attend": {
        "future": (lambda *a: attend(*a, hidden=lambda column, place, S: False), "also sees the new tokens after it"),
        "corner": (lambda *a: attend(*a, hidden=lambda column, place, S: column > place - S), "the wrong corner"),
        "not itself": (
            lambda *a: attend(*a, hidden=lambda column, place, S: column >= place > 0 or column > place),
            "does not see itself",
        ),
        "new only": (
            lambda *a: attend(*a, hidden=lambda column, place, S: column < S or column > place),
            "only the new tokens",
        ),
        "cached only": (
            lambda *a: attend(*a, hidden=lambda column, place, S: column >= S if S else column != place),
            "only the cached tokens",
        ),
        "turned": (lambda *a: attend(*a, turned=True), "before the cached ones"),
        "not divided": (lambda *a: attend(*a, scale=1.0), "not divided"),
        "by the width": (lambda *a: attend(*a, scale=1 / a[0].shape[1]), "by the width"),
        "columns": (lambda *a: attend(*a, dim=0), "of a column sum to 1"),
        "old cache": (lambda *a: (attend(*a)[0], a[3]), "what your function returns as the keys"),
        "new rows only": (
            lambda *a: (attend(*a)[0], (a[1], a[2])),
            "what your function returns as the keys should have",
        ),
        "values twice": (lambda *a: attend(*a, out=lambda kv: (kv[0], kv[0])), "as the values"),
        "output only": (lambda *a: attend(*a)[0], "two things"),
        "spoilt": (attend_and_spoil, "changed the cache"),
        "stops": (
            lambda q, k, v, cache: attend(q, k, v, (cache[0][-1:], cache[1].reshape(-1, 3))),
            "your code stopped",
        ),
    },
    "quantize_rows": {
        "one scale": (lambda w, n: quantize(w, n, lambda w: w.abs().max()[None, None]), "whole matrix"),
        "columns": (lambda w, n: quantize(w, n, lambda w: w.abs().amax(0, keepdim=True)), "belong to the columns"),
        "signed largest": (lambda w, n: quantize(w, n, lambda w: w.amax(1, keepdim=True)), "with its sign"),
        "cut": (lambda w, n: quantize(w, n, rounding=torch.trunc), "cut, not rounded"),
        "floor": (lambda w, n: quantize(w, n, rounding=torch.floor), "downwards"),
        "half": (lambda w, n: quantize(w, n // 2), "half of the levels"),
        "levels ignored": (lambda w, n: quantize(w, 127), "the same as with 127"),
        "levels off by one": (lambda w, n: quantize(w, n if n == 127 else n + 1), "with levels=7, the whole number"),
        "floats": (lambda w, n: quantize(w, n, kind=torch.float32), "torch.int8"),
        "divides by zero": (
            lambda w, n: ((w / 0.02).round().to(torch.int8), w.abs().amax(1) / w.abs().amax(1) / n),
            "nan or infinite",
        ),
        "minus": (lambda w, n: (-quantize(w, n)[0], quantize(w, n)[1]), "signs are turned"),
        "upside down": (lambda w, n: (quantize(w, n)[0], 1 / quantize(w, n)[1].clamp(min=1e-6)), "upside down"),
        "levels only": (lambda w, n: quantize(w, n)[0], "two tensors"),
        "scales twice": (lambda w, n: (quantize(w, n)[0], torch.ones(7)), "one for each row, not 7"),
        "wrong scale": (lambda w, n: (quantize(w, n)[0], 3 * quantize(w, n)[1]), "scales of rows 0 and 2"),
    },
    "residual": {
        "not whole": (lambda p, q: (p - q).clamp(min=0), "do not sum to 1"),
        "p again": (lambda p, q: p.clone(), "draws from p again"),
        "swapped": (lambda p, q: made_whole((q - p).clamp(min=0), p), "draft has more"),
        "without sign": (lambda p, q: made_whole((p - q).abs(), p), "without its sign"),
        "shared": (lambda p, q: made_whole(torch.minimum(p, q), p), "both share"),
        "softmax": (lambda p, q: (p - q).softmax(-1), "softmax"),
        "whole batch": (lambda p, q: (p - q).clamp(min=0) / (p - q).clamp(min=0).sum(), "whole batch"),
        "nan": (lambda p, q: (d := (p - q).clamp(min=0)) / d.sum(-1, keepdim=True), "is nan"),
        "zero row": (
            lambda p, q: (d := (p - q).clamp(min=0)) / d.sum(-1, keepdim=True).clamp(min=1e-9),
            "which is no distribution",
        ),
        "in place": (in_place, "changed the tensor"),
        "one row": (lambda p, q: speculative.residual(p, q)[0], "should have shape"),
    },
    "expected_tokens": {
        "own token": (lambda a, n: sum(a**k for k in range(1, n + 1)), "own token is missing"),
        "at most n": (lambda a, n: sum(a**k for k in range(n)), "a perfect round gives n + 1"),
        "binomial": (lambda a, n: n * a + 1, "did not end the round"),
        "guesses only": (lambda a, n: n * a, "none depended on another"),
        "perfect only": (lambda a, n: (n + 1) * a**n, "perfect round times"),
        "no limit": (lambda a, n: 1 / (1 - a), "without any limit"),
        "by zero": (lambda a, n: (1 - a ** (n + 1)) / (1 - a), "divides by zero"),
        "always two": (lambda a, n: 2, "α=0.5, n=1 should be 1.5"),
        "nothing": (lambda a, n: None, "is None"),
    },
    "lookup": {
        "first": (lambda ids, n, size: lookup(ids, n, size, which=0), "not the latest"),
        "own end": (lambda ids, n, size: lookup(ids, n, size, own_end=True), "its own end"),
        "with the match": (lambda ids, n, size: lookup(ids, n, size, shift=-size), "part of the answer"),
        "too late": (lambda ids, n, size: lookup(ids, n, size, shift=1), "one id too late"),
        "everything": (lambda ids, n, size: lookup(ids, 99, size), "everything that follows"),
        "last id": (lambda ids, n, size: lookup(ids, n, 1), "only the last id"),
        "none": (lambda ids, n, size: lookup(ids, n, size) or None, "returns None"),
        "spoilt": (lookup_and_spoil, "changed the list"),
        "one too many": (lambda ids, n, size: lookup(ids, n + 1, size), "the guess for"),
    },
}
test_other_right_answers, test_wrong_answers, test_diagnoses_differ = three_tests(checks, RIGHT, WRONG)
