"""The checks of lesson 13: right answers of another make, and wrong ones with the diagnosis that each must get."""

import torch
from support.told_apart import three_tests

from gpt2lessons.checks import faster_generation as checks
from gpt2lessons.decoding import speculative


def quantize(weights, largest=None, rounding=torch.round, kind=torch.int8, levels=127):
    largest = weights.abs().amax(1, keepdim=True) if largest is None else largest(weights)
    scales = (largest / levels).clamp(min=1e-20)
    return rounding(weights / scales).clamp(-128, 127).to(kind), scales.flatten()


def quantize_by_loop(weights):
    rows, scales = [], []
    for row in weights.tolist():
        scales.append(max(map(abs, row)) / 127 or 1.0)
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
    "ridge_batch": [60, 60.0, torch.tensor(60)],
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
    "ridge_batch": {
        "the ridge": (30, "FLOP per byte, not in texts"),
        "one operation": (120, "one operation per text"),
        "swapped": (15, "changed places"),
        "inverse": (1 / 30, "upside down"),
        "bytes squared": (240, "weights of 2 bytes"),
        "per operation": (7.5, "per operation"),
        "another": (50, "should be 60"),
        "a word": ("sixty", "should be a number"),
    },
    "quantize_rows": {
        "one scale": (lambda w: quantize(w, lambda w: w.abs().max()[None, None]), "whole matrix"),
        "columns": (lambda w: quantize(w, lambda w: w.abs().amax(0, keepdim=True)), "belong to the columns"),
        "signed largest": (lambda w: quantize(w, lambda w: w.amax(1, keepdim=True)), "with its sign"),
        "cut": (lambda w: quantize(w, rounding=torch.trunc), "cut, not rounded"),
        "floor": (lambda w: quantize(w, rounding=torch.floor), "downwards"),
        "half": (lambda w: quantize(w, levels=63), "half of the levels"),
        "floats": (lambda w: quantize(w, kind=torch.float32), "torch.int8"),
        "divides by zero": (
            lambda w: ((w / 0.02).round().to(torch.int8), w.abs().amax(1) / w.abs().amax(1) / 127),
            "nan or infinite",
        ),
        "minus": (lambda w: (-quantize(w)[0], quantize(w)[1]), "signs are turned"),
        "upside down": (lambda w: (quantize(w)[0], 1 / quantize(w)[1].clamp(min=1e-6)), "upside down"),
        "levels only": (lambda w: quantize(w)[0], "two tensors"),
        "scales twice": (lambda w: (quantize(w)[0], torch.ones(7)), "one for each row, not 7"),
        "wrong scale": (lambda w: (quantize(w)[0], 3 * quantize(w)[1]), "scales of rows 0 and 2"),
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
            "which is no law",
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
