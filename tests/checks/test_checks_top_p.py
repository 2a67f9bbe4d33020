"""The checks of lesson 08: right answers of another make, and wrong ones with the diagnosis that each must get."""

import math

import torch
from support.told_apart import three_tests

from gpt2lessons.checks import top_p as checks
from gpt2lessons.decoding import processors

INF = torch.inf


def top_p_by_loop(logits, p):
    out = torch.full_like(logits, -INF)
    for row, new in zip(logits, out, strict=True):
        probs, mass = row.softmax(-1), 0.0
        for i in sorted(range(len(row)), key=lambda i: -row[i]):
            if mass >= p:
                break
            new[i] = row[i]
            mass += float(probs[i])
    return out


def top_p(logits, stays):
    return logits.masked_fill(~ranked(logits.softmax(-1), stays), -INF)


def needed(p):
    return lambda sums, x: sums - x < p


def sorted_nucleus(logits, p):
    return top_p(logits.sort(descending=True).values, needed(p))


def inside_by_rank(logits, tokens, p):
    return top_p(logits, needed(p)).gather(1, tokens[:, None])[:, 0].isfinite()


def own(logits, tokens):
    return logits.softmax(-1).gather(1, tokens[:, None])


def more_probable(logits, tokens):
    probs = logits.softmax(-1)
    return (probs * (probs > own(logits, tokens))).sum(1)


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
    "top_p_filter": [
        lambda z, p: top_p(z, needed(p)),
        lambda z, p: top_p_by_loop(z, p) if z.numel() < 100 else processors.keep_top_p(z, p),
    ],
    "inside": [
        inside_by_rank,
        lambda z, tokens, p: more_probable(z, tokens) < p,
    ],
    "undo_heat": [0.0025, torch.tensor(0.05) ** 2, math.exp(2 * math.log(0.05))],
    "below": [below_by_loop, below],
    "min_p_of_logits": [processors.keep_min_p, min_p],
}
WRONG = {
    "top_p_filter": {
        "crossing token out": (lambda z, p: top_p(z, lambda s, x: s <= p), "crosses p was left out."),
        "crossing token out, never empty": (
            lambda z, p: top_p(z, lambda s, x: first_too(s <= p)),
            "(the first always stays)",
        ),
        "one too many": (
            lambda z, p: top_p(z, lambda s, x: first_too(torch.roll(s - x, 1, 1) < p)),
            "one token too many",
        ),
        "not scattered": (
            lambda z, p: z.masked_fill(sorted_nucleus(z, p).isinf(), -INF),
            "right number of tokens, wrong tokens",
        ),
        "returned sorted": (sorted_nucleus, "result is in sorted order"),
        "gathered": (
            lambda z, p: z.masked_fill(sorted_nucleus(z, p).isinf().gather(1, z.argsort(descending=True)), -INF),
            "with gather",
        ),
        "first row's": (
            lambda z, p: top_p(z, lambda s, x: needed(p)(s, x)[:1].expand_as(x)),
            "as many tokens as the first",
        ),
        "very small": (lambda z, p: top_p(z, needed(p)).nan_to_num(neginf=-1e9), "very small number"),
        "rows for ids": (
            lambda z, p: z.masked_fill(sorted_nucleus(z, p).isinf().scatter(0, z.argsort(), True), -INF),
            "numbers of rows",
        ),
        "not sorted": (
            lambda z, p: z.masked_fill((q := z.softmax(-1)).cumsum(1) - q >= p, -INF),
            "added in the order of the vocabulary",
        ),
        "upwards": (
            lambda z, p: z.masked_fill(~ranked(-z.softmax(-1), lambda s, x: x - s < p), -INF),
            "least probable upwards",
        ),
        "logits added": (lambda z, p: z.masked_fill(~ranked(z, needed(p)), -INF), "logits were added"),
        "single": (lambda z, p: z.masked_fill(z.softmax(-1) < p, -INF), "single probabilities"),
        "inverted": (lambda z, p: z.masked_fill(top_p(z, needed(p)).isfinite(), -INF), "tokens that go"),
        "zeros": (lambda z, p: top_p(z, needed(p)).nan_to_num(neginf=0.0), "became 0"),
        "probabilities": (lambda z, p: top_p(z, needed(p)).softmax(-1), "are probabilities"),
        "one p for all": (lambda z, p: top_p(z, needed(0.7)), "p=0.2"),
        "at most three": (
            lambda z, p: top_p(z, lambda s, x: (s - x < p) & (torch.arange(z.shape[1]) < 6)),
            "random rows you keep other tokens",
        ),
        "in place": (spoil(lambda z, p: top_p(z, needed(p))), "changed the tensor"),
    },
    "inside": {
        "crossing token out": (
            lambda z, t, p: more_probable(z, t) + own(z, t)[:, 0] <= p,
            "crosses p counts as outside",
        ),
        "inverted": (lambda z, t, p: ~inside_by_rank(z, t, p), "tokens outside"),
        "own": (lambda z, t, p: own(z, t)[:, 0] >= p, "own probability was compared"),
        "below it": (
            lambda z, t, p: (z.softmax(-1) * (z.softmax(-1) < own(z, t))).sum(1) < p,
            "less probable than the token",
        ),
        "not sorted": (
            lambda z, t, p: ((q := z.softmax(-1)).cumsum(1) - q).gather(1, t[:, None])[:, 0] < p,
            "order of the vocabulary",
        ),
        "logits": (
            lambda z, t, p: (z * (z.softmax(-1) > own(z, t))).sum(1) < p,
            "logits were added",
        ),
        "favourite": (lambda z, t, p: z.argmax(1) == t, "only the most probable"),
        "all tokens": (lambda z, t, p: top_p(z, needed(p)).isfinite(), "each token of the vocabulary"),
        "a column": (lambda z, t, p: inside_by_rank(z, t, p)[:, None], "the shape should be"),
        "numbers": (lambda z, t, p: inside_by_rank(z, t, p).long(), "True or False"),
        "a list": (lambda z, t, p: inside_by_rank(z, t, p).tolist(), "of type list"),
        "everything": (lambda z, t, p: torch.ones_like(t, dtype=torch.bool), "answers are wrong"),
    },
    "undo_heat": {
        "divided": (0.025, "divided by the temperature"),
        "multiplied": (0.1, "multiplied by the temperature"),
        "root": (0.05**0.5, "wrong direction"),
        "the same": (0.05, "the same min_p"),
        "logarithm": (2 * math.log(0.05), "logarithm"),
        "large": (0.01, "too large"),
        "small": (0.001, "too small"),
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
        "minus ln": (lambda z, m: z.masked_fill(z < z.amax(-1, keepdim=True) - math.log(m), -INF), "ln min_p was"),
        "base 10": (lambda z, m: z.masked_fill(z < z.amax(-1, keepdim=True) + math.log10(m), -INF), "base 10"),
        "no column": (lambda z, m: z.masked_fill(z < z.amax(-1) + math.log(m), -INF), "do not fit"),
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
