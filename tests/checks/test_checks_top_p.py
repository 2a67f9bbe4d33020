"""The checks of lesson 08: right answers of another make, and wrong ones with the diagnosis that each must get."""

import math

import torch
from support.told_apart import three_tests

from gpt2lessons.checks import top_p as checks
from gpt2lessons.decoding import processors

INF = torch.inf


def nucleus_by_loop(probs, p):
    out = torch.zeros_like(probs, dtype=torch.bool)
    for row, new in zip(probs.tolist(), out, strict=True):
        mass = 0.0
        for i in sorted(range(len(row)), key=lambda i: -row[i]):
            if mass < p:
                new[i] = True
            mass += row[i]
    return out


def ranked(probs, stays):
    """A mask from `stays(sums, sorted probs)`, brought back to token order by ranks."""
    order = probs.argsort(descending=True)
    kept = stays(probs.gather(1, order).cumsum(1), probs.gather(1, order))
    return kept.gather(1, order.argsort())


def first_too(mask):
    return torch.cat([torch.ones_like(mask[:, :1]), mask[:, 1:]], 1)


def below_by_loop(logits, p):
    out = torch.full_like(logits, -INF)
    for row, new in zip(logits, out, strict=True):
        mass = 0.0
        for place, i in enumerate(row.argsort(descending=True).tolist()):
            mass += float(row.softmax(-1)[i])
            if place == 0 or mass <= p:
                new[i] = row[i]
    return out


def below(logits, p, guard=True):
    kept = ranked(logits.softmax(-1), lambda sums, _: first_too(sums <= p) if guard else sums <= p)
    return logits.masked_fill(~kept, -INF)


def min_p(logits, value):
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(value), -INF)


def spoil(function):
    def in_place(tensor, value):
        result = function(tensor, value)
        tensor *= 2
        return result

    return in_place


RIGHT = {
    "by_hand": [4 / 7, torch.tensor(4 / 7), 0.5714],
    "members": [nucleus_by_loop, lambda q, p: ranked(q, lambda sums, x: sums - x < p)],
    "below": [below_by_loop, below],
    "min_p_of_logits": [processors.keep_min_p, min_p],
}
WRONG = {
    "by_hand": {
        "not renormalised": (0.4, "does not sum to 1"),
        "threshold out": (1.0, "was left out"),
        "one too many": (0.4 / 0.85, "one token too many"),
        "not sorted": (0.4 / 0.9, "order of the tokens"),
        "by p": (0.4 / 0.65, "divided by top_p"),
        "mass": (0.7, "mass of the nucleus"),
        "softmax": (torch.tensor([0.4, 0.3]).softmax(0)[0], "softmax"),
        "rough": (0.5, "should be 0.57"),
    },
    "members": {
        "threshold out": (lambda q, p: ranked(q, lambda s, x: s <= p), "left out."),
        "threshold out, never empty": (lambda q, p: ranked(q, lambda s, x: first_too(s <= p)), "the first always"),
        "less than": (lambda q, p: ranked(q, lambda s, x: s < p), "hits p exactly loses"),
        "more than": (lambda q, p: ranked(q, lambda s, x: s - x <= p), "hits p exactly, one token too many"),
        "one too many": (
            lambda q, p: ranked(q, lambda s, x: first_too(torch.roll(s - x, 1, 1) < p)),
            "one token too many is in.",
        ),
        "not sorted": (lambda q, p: q.cumsum(1) - q < p, "order of the tokens"),
        "upwards": (lambda q, p: ranked(-q, lambda s, x: -s + x < p), "least probable upwards"),
        "not scattered back": (lambda q, p: (s := q.sort(descending=True)[0]).cumsum(1) - s < p, "sorted order"),
        "those that go": (lambda q, p: ~nucleus_by_loop(q, p), "tokens that go"),
        "single": (lambda q, p: q >= p, "single probabilities"),
        "ids": (lambda q, p: nucleus_by_loop(q, p).long(), "True and False"),
        "always two": (lambda q, p: ranked(q, lambda s, x: torch.arange(5).expand_as(s) < 2), "the nucleus for p=0.8"),
        "in place": (spoil(nucleus_by_loop), "changed the tensor"),
    },
    "below": {
        "threshold in": (processors.keep_top_p, "lesson's convention"),
        "empty": (lambda z, p: below(z, p, guard=False), "nothing is left"),
        "not sorted": (
            lambda z, p: z.masked_fill(~first_too(z.softmax(-1).cumsum(1) <= p), -INF),
            "order of the tokens",
        ),
        "returned sorted": (lambda z, p: below(z.sort(descending=True)[0], p), "answer is in sorted order"),
        "mask not scattered": (
            lambda z, p: z.masked_fill(below(z.sort(descending=True)[0], p).isinf(), -INF),
            "mask is in sorted order",
        ),
        "logits added": (
            lambda z, p: z.masked_fill(~ranked(z, lambda s, _: first_too(s <= p)), -INF),
            "logits were added",
        ),
        "zeros": (lambda z, p: below(z, p).nan_to_num(neginf=0.0), "became 0"),
        "probabilities": (lambda z, p: below(z, p).softmax(-1), "are probabilities"),
        "one p for all": (lambda z, p: below(z, 0.7), "p=0.2"),
        "in place": (spoil(below), "changed the tensor"),
    },
    "min_p_of_logits": {
        "times": (lambda z, m: z.masked_fill(z < m * z.amax(-1, keepdim=True), -INF), "× the largest"),
        "minus": (lambda z, m: z.masked_fill(z < z.amax(-1, keepdim=True) - m, -INF), "subtracted"),
        "absolute": (lambda z, m: z.masked_fill(z < math.log(m), -INF), "logarithm of min_p alone"),
        "epsilon": (lambda z, m: z.masked_fill(z.softmax(-1) < m, -INF), "epsilon"),
        "whole batch": (lambda z, m: z.masked_fill(z < z.max() + math.log(m), -INF), "whole batch"),
        "columns": (lambda z, m: z.masked_fill(z < z.amax(0) + math.log(m), -INF), "each column"),
        "zeros": (lambda z, m: min_p(z, m).nan_to_num(neginf=0.0), "became 0"),
        "inverted": (lambda z, m: z.masked_fill(min_p(z, m).isfinite(), -INF), "others went"),
        "probabilities": (lambda z, m: min_p(z, m).softmax(-1), "are probabilities"),
        "no token left": (
            lambda z, m: z.masked_fill(z <= z.amax(-1, keepdim=True) + math.log(m), -INF),
            "no token is left",
        ),
        "in place": (spoil(min_p), "changed the tensor"),
    },
}
test_other_right_answers, test_wrong_answers, test_diagnoses_differ = three_tests(checks, RIGHT, WRONG)
