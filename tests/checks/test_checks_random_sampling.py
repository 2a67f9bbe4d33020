"""The checks of lesson 06: right answers of another make, and wrong ones with the diagnosis that each must get."""

import math

import numpy as np
import torch
from support.told_apart import three_tests

from gpt2lessons.checks import random_sampling as checks


def running_sum(probs, u):
    total = 0.0
    for place, p in enumerate(probs.tolist()):
        total += p
        if u < total:
            return place


RIGHT = {
    "draw": [running_sum, lambda p, u: int((p.cumsum(0) <= u).sum())],
    "temperature_per_row": [
        lambda z, t: torch.stack([(row / s).softmax(0) for row, s in zip(z, t, strict=True)]),
        lambda z, t: (p := z.softmax(-1) ** (1 / t.view(-1, 1))) / p.sum(1, keepdim=True),
    ],
    "temperature_on_demand": [0.2218, math.log(5 / 3) / math.log(10), torch.tensor(0.22185)],
    "at_least_one": [
        lambda m: float(1 - np.prod(1 - np.array(m))),
        lambda m: sum(x * math.prod(1 - y for y in m[:i]) for i, x in enumerate(m)),
    ],
    "texts_needed": [
        lambda sd, d: next(n for n in range(1, 10_000) if 1.96 * math.sqrt(2 * sd**2 / n) <= d * (1 + 1e-12)),
        lambda sd, d: -int(-2 * (1.96 * sd / d) ** 2 // 1),
    ],
}


def in_place(logits, temperatures):
    logits /= temperatures[:, None]
    return logits.softmax(-1)


def edge_of_zero(probs, u):
    return int(torch.searchsorted(probs.double().cumsum(0), u))


WRONG = {
    "draw": {
        "greedy": (lambda p, u: int(p.argmax()), "u plays no part"),
        "own probability": (lambda p, u: int((p - u).abs().argmin()), "own probability is nearest"),
        "no cumsum": (lambda p, u: int((p > u).int().argmax()), "running sum"),
        "off by one": (lambda p, u: int((p.cumsum(0) <= u).sum()) - 1, "stretch before"),
        "off by one up": (lambda p, u: int((p.cumsum(0) <= u).sum()) + 1, "stretch after"),
        "nearest edge": (lambda p, u: int((p.cumsum(0) - u).abs().argmin()), "edge nearest"),
        "sorted place": (
            lambda p, u: int((p.sort(descending=True).values.cumsum(0) <= u).sum()),
            "sorted probabilities",
        ),
        "from the end": (lambda p, u: int((p.cumsum(0) <= 1 - u).sum()), "other end"),
        "left edge": (edge_of_zero, "lies exactly on an edge"),
        "probability": (lambda p, u: p[int((p.cumsum(0) <= u).sum())], "whole number"),
    },
    "temperature_per_row": {
        "columns": (lambda z, t: (z / t).softmax(-1), "each column got"),
        "multiplied": (lambda z, t: (z * t[:, None]).softmax(-1), "multiplied by"),
        "wrong axis": (lambda z, t: (z / t[:, None]).softmax(0), "columns sum to 1"),
        "after softmax": (lambda z, t: z.softmax(-1) / t[:, None], "no longer sum to 1"),
        "after, renormalised": (
            lambda z, t: (p := z.softmax(-1) / t[:, None]) / p.sum(-1, keepdim=True),
            "nothing at all",
        ),
        "first for all": (lambda z, t: (z / t[0]).softmax(-1), "first row's"),
        "mean": (lambda z, t: (z / t.mean()).softmax(-1), "mean temperature"),
        "twice": (lambda z, t: (z.softmax(-1) / t[:, None]).softmax(-1), "twice"),
        "logits": (lambda z, t: z / t[:, None], "logits still"),
        "in place": (in_place, "changed the tensor"),
    },
    "temperature_on_demand": {
        "inverse": (math.log(10) / math.log(5 / 3), "that is 1/T"),
        "two bases": (math.log(5 / 3) / math.log10(10), "base-10"),
        "ratio of ratios": (1 / 6, "ratio of the ratios"),
        "difference": (0.2 / math.log(10), "difference of the probabilities"),
        "ten times the old odds": (math.log(5 / 3) / math.log(50 / 3), "old probability's odds"),
        "sign": (math.log(3 / 5) / math.log(10), "sign is wrong"),
        "rough": (0.25, "should be 0.22"),
    },
    "at_least_one": {
        "sum": (sum, "added"),
        "none": (lambda m: math.prod(1 - x for x in m), "no step draws"),
        "all": (math.prod, "every step draws"),
        "not all": (lambda m: 1 - math.prod(m), "opposite of `all steps`"),
        "mean": (lambda m: 1 - (1 - sum(m) / len(m)) ** len(m), "one mean mass"),
        "exactly one": (lambda m: sum(x * math.prod(1 - y for y in m) / (1 - x) for x in m), "exactly one"),
        "worst": (max, "worst step"),
    },
    "texts_needed": {
        "one mean": (lambda sd, d: math.ceil((1.96 * sd / d) ** 2), "enough for one mean"),
        "no 1.96": (lambda sd, d: math.ceil(2 * (sd / d) ** 2), "one standard error"),
        "errors added": (lambda sd, d: math.ceil((2 * 1.96 * sd / d) ** 2), "were added"),
        "not squared": (lambda sd, d: math.ceil(2 * 1.96 * sd / d), "not squared"),
        "not rounded": (lambda sd, d: 2 * (1.96 * sd / d) ** 2, "whole number"),
        "rounded down": (lambda sd, d: int(2 * (1.96 * sd / d) ** 2), "rounded down"),
        "one-sided": (lambda sd, d: math.ceil(2 * (1.645 * sd / d) ** 2), "one-sided"),
        "swapped": (lambda sd, d: math.ceil(2 * (1.96 * d / sd) ** 2), "changed places"),
    },
}
test_other_right_answers, test_wrong_answers, test_diagnoses_differ = three_tests(checks, RIGHT, WRONG)
