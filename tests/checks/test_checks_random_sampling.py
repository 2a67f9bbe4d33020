"""The checks of lesson 06: right answers of another make, and wrong ones with the diagnosis that each must get."""

import math

import numpy as np
import torch
from support.told_apart import three_tests

from gpt2lessons.checks import random_sampling as checks


def running_sum(probs, u):
    return torch.tensor([first_beyond(row, number) for row, number in zip(probs.tolist(), u.tolist(), strict=True)])


def first_beyond(row, number):
    total = 0.0
    for place, p in enumerate(row):
        total += p
        if number < total:
            return place
    return len(row) - 1


def counted(probs, u):
    return (probs.cumsum(-1) <= u[:, None]).sum(-1)


RIGHT = {
    "draw": [running_sum, lambda p, u: counted(p, u).clamp(max=p.shape[1] - 1)],
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
        lambda sd, d: next(n for n in range(1, 10_000) if 2.802 * math.sqrt(2 * sd**2 / n) <= d * (1 + 1e-12)),
        lambda sd, d: -int(-2 * (2.802 * sd / d) ** 2 // 1),
    ],
}


def in_place(logits, temperatures):
    logits /= temperatures[:, None]
    return logits.softmax(-1)


def from_the_end(probs, u):
    return counted(probs, 1 - u)


def in_sorted_order(probs, u):
    values, order = probs.sort(descending=True)
    return order.gather(1, counted(values, u).clamp(max=probs.shape[1] - 1)[:, None])[:, 0]


WRONG = {
    "draw": {
        "greedy": (lambda p, u: p.argmax(-1), "u plays no part"),
        "own probability": (lambda p, u: (p - u[:, None]).abs().argmin(-1), "own probability is nearest"),
        "no cumsum": (lambda p, u: (p > u[:, None]).int().argmax(-1), "running sum"),
        "off by one": (lambda p, u: counted(p, u) - 1, "token before"),
        "off by one up": (lambda p, u: counted(p, u) + 1, "token after"),
        "nearest edge": (lambda p, u: (p.cumsum(-1) - u[:, None]).abs().argmin(-1), "edge nearest"),
        "sorted place": (lambda p, u: counted(p.sort(descending=True).values, u), "sorted probabilities"),
        "from the end": (from_the_end, "other end"),
        "columns added": (lambda p, u: (p.cumsum(0) <= u[:, None]).sum(-1).clamp(max=4), "down the columns"),
        "columns compared": (lambda p, u: (p.cumsum(-1) <= u).sum(-1), "each column is compared"),
        "one u": (lambda p, u: counted(p, u[:1].expand(len(u))), "first row's u"),
        "one row": (lambda p, u: counted(p[:1].expand(len(u), -1), u), "first row's probabilities"),
        "another": (lambda p, u: counted(p, u).roll(1), "row 0, probabilities"),
        "multinomial": (lambda p, u: torch.multinomial(p, 1)[:, 0], "for the same u"),
        "at least": (lambda p, u: torch.searchsorted(p.cumsum(-1), u[:, None])[:, 0], "end of a stretch"),
        "no clamp": (counted, "not the last token, 2, but 3"),
        "sorted order": (in_sorted_order, "right sampler, but"),
        "softmax of probabilities": (lambda p, u: counted(p.softmax(-1), u), "softmax was applied"),
        "five tokens": (lambda p, u: counted(p[:, :5], u).clamp(max=min(p.shape[1], 5) - 1), "of 1,000 random rows"),
        "probability": (lambda p, u: p.gather(1, counted(p, u)[:, None])[:, 0], "whole numbers"),
        "column": (lambda p, u: counted(p, u)[:, None], "one token per row"),
        "list": (lambda p, u: counted(p, u).tolist(), "should be a tensor"),
    },
    "temperature_per_row": {
        "columns": (lambda z, t: (z / t).softmax(-1), "each column got"),
        "multiplied": (lambda z, t: (z * t[:, None]).softmax(-1), "multiplied by"),
        "wrong axis": (lambda z, t: (z / t[:, None]).softmax(0), "columns sum to 1"),
        "after softmax": (lambda z, t: z.softmax(-1) / t[:, None], "no longer sum to 1"),
        "after, renormalised": (
            lambda z, t: (p := z.softmax(-1) / t[:, None]) / p.sum(-1, keepdim=True),
            "has no effect",
        ),
        "power only": (lambda z, t: z.softmax(-1) ** (1 / t[:, None]), "raised to a power"),
        "logarithms": (lambda z, t: (z / t[:, None]).log_softmax(-1), "log-probabilities"),
        "squared": (lambda z, t: (z / t[:, None] ** 2).softmax(-1), "the result at"),
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
        "rough": (0.23, "too high: cat is drawn less"),
        "rougher": (0.2, "too low: cat is drawn more"),
        "zero": (0.0, "above 0"),
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
        "no power": (lambda sd, d: math.ceil(2 * (1.96 * sd / d) ** 2), "half of the experiments"),
        "one mean": (lambda sd, d: math.ceil((2.802 * sd / d) ** 2), "enough for one mean"),
        "one error": (lambda sd, d: math.ceil(2 * (sd / d) ** 2), "one standard error"),
        "errors added": (lambda sd, d: math.ceil((2 * 2.802 * sd / d) ** 2), "were added"),
        "not squared": (lambda sd, d: math.ceil(2 * 2.802 * sd / d), "not squared"),
        "not rounded": (lambda sd, d: 2 * (2.802 * sd / d) ** 2, "whole number"),
        "rounded down": (lambda sd, d: int(2 * (2.802 * sd / d) ** 2), "rounded down"),
        "squared apart": (lambda sd, d: math.ceil(2 * (1.96**2 + 0.842**2) * (sd / d) ** 2), "one by one"),
        "swapped": (lambda sd, d: math.ceil(2 * (2.802 * d / sd) ** 2), "changed places"),
    },
}
test_other_right_answers, test_wrong_answers, test_diagnoses_differ = three_tests(checks, RIGHT, WRONG)
