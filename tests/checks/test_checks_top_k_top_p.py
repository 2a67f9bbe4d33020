"""The checks of lesson 09: right answers of another make, and wrong ones with the diagnosis that each must get."""

import torch
from support.told_apart import three_tests
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from gpt2lessons.checks import top_k_top_p as checks
from gpt2lessons.decoding import processors

INF = torch.inf
cool, top_k, top_p = processors.apply_temperature, processors.keep_top_k, processors.keep_top_p


def library(logits, temperature, k, p):
    for stage in (TemperatureLogitsWarper(float(temperature)), TopKLogitsWarper(k), TopPLogitsWarper(p)):
        logits = stage(None, logits)
    return logits.softmax(-1)


def together(logits, k, p, join):
    return logits.masked_fill(~join(top_k(logits, k).isfinite(), top_p(logits, p).isfinite()), -INF)


def net_by_loop(logits, p, least):
    out = torch.full_like(logits, -INF)
    for row, new in zip(logits, out, strict=True):
        mass = 0.0
        for place, i in enumerate(row.argsort(descending=True).tolist()):
            if place < least or mass < p:
                new[i] = row[i]
            mass += float(row.softmax(-1)[i])
    return out


def net(logits, p, least):
    return together(logits, least, p, torch.logical_or)


def spoil(function):
    def in_place(tensor, *rest):
        result = function(tensor, *rest)
        tensor *= 2
        return result

    return in_place


def share(probs, k, p):
    return p * probs.sort(descending=True).values[:k].sum().item()


def mass_of_the_nucleus(probs, k, p):
    best = probs.double().topk(k).values
    return best[best.cumsum(0) - best < p * best.sum()].sum().item()


RIGHT = {
    "by_hand": [4 / 7, torch.tensor(0.4 / 0.7)],
    "pipeline": [library],
    "floor": [net_by_loop, lambda z, p, n: TopPLogitsWarper(p, min_tokens_to_keep=n)(None, z)],
    "equal_p": [share, mass_of_the_nucleus, lambda q, k, p: torch.tensor(p) * q.topk(k).values.sum()],
}
WRONG = {
    "by_hand": {
        "not renormalised": (0.4, "does not sum to 1"),
        "intersection": (0.4 / 0.9, "model's own probabilities"),
        "threshold out": (1.0, "left out"),
        "second token": (3 / 7, "second token"),
        "by p": (0.4 / 0.75, "divided by top_p"),
        "mass": (0.7, "mass of the two"),
        "mass after top-k": (7 / 9, "mass after top-k"),
        "rough": (0.5, "too small"),
        "no top-k mass": (0.6, "too large"),
        "not a number": ("4/7", "number"),
    },
    "pipeline": {
        "temperature last": (lambda z, t, k, p: cool(top_p(top_k(z, k), p), t).softmax(-1), "after the filters"),
        "no temperature": (lambda z, t, k, p: top_p(top_k(z, k), p).softmax(-1), "not applied"),
        "times": (lambda z, t, k, p: top_p(top_k(z * t, k), p).softmax(-1), "multiplied"),
        "no top-k": (lambda z, t, k, p: top_p(z / t, p).softmax(-1), "top-k is missing"),
        "no top-p": (lambda z, t, k, p: top_k(z / t, k).softmax(-1), "top-p is missing"),
        "top-p first": (lambda z, t, k, p: top_k(top_p(z / t, p), k).softmax(-1), "top-p came before"),
        "twice": (lambda z, t, k, p: cool(top_p(top_k(z / t, k), p), t).softmax(-1), "twice"),
        "softmax first": (lambda z, t, k, p: library(z.softmax(-1), t, k, p), "softmax before"),
        "softmax second": (lambda z, t, k, p: library((z / t).softmax(-1), 1.0, k, p), "between temperature and top-k"),
        "softmax third": (lambda z, t, k, p: top_p(top_k(z / t, k).softmax(-1), p).softmax(-1), "top-k and top-p"),
        "columns": (lambda z, t, k, p: top_p(top_k(z / t, k), p).softmax(0), "are nan"),
        "union": (lambda z, t, k, p: together(z / t, k, p, torch.logical_or).softmax(-1), "union"),
        "logits": (lambda z, t, k, p: top_p(top_k(z / t, k), p), "these are logits"),
        "not renormalised": (
            lambda z, t, k, p: (z / t).softmax(-1) * (library(z, t, k, p) > 0),
            "do not sum to 1",
        ),
        "one setting only": (lambda z, t, k, p: library(z, 0.6, 3, 0.8), "temperature, top_k, top_p ="),
        "in place": (spoil(library), "changed the tensor"),
    },
    "floor": {
        "intersection": (lambda z, p, n: together(z, n, p, torch.logical_and), "adds nothing"),
        "in sequence": (lambda z, p, n: top_p(top_k(z, n), p), "stays as small"),
        "nucleus": (lambda z, p, n: top_p(z, p), "without a floor"),
        "top-k": (lambda z, p, n: top_k(z, n), "exactly at_least"),
        "one too few": (lambda z, p, n: net(z, p, n - 1), "one token too few"),
        "one too many": (lambda z, p, n: net(z, p, n + 1), "one token too many"),
        "all": (
            lambda z, p, n: torch.where(top_p(z, p).isfinite().sum(-1, keepdim=True) < n, z, top_p(z, p)),
            "keep every token",
        ),
        "first columns": (
            lambda z, p, n: z.masked_fill(top_p(z, p).isinf() & (torch.arange(6) >= n), -INF),
            "first columns",
        ),
        "zeros": (lambda z, p, n: net(z, p, n).nan_to_num(neginf=0.0), "became 0"),
        "probabilities": (lambda z, p, n: net(z, p, n).softmax(-1), "are probabilities"),
        "sum": (lambda z, p, n: top_p(z, p) + top_k(z, n), "added up"),
        "in place": (spoil(net), "changed the tensor"),
    },
    "equal_p": {
        "p": (lambda q, k, p: p, "p itself"),
        "mass": (lambda q, k, p: q.topk(k).values.sum(), "p is missing"),
        "divided": (lambda q, k, p: p / q.topk(k).values.sum(), "divided by the mass"),
        "not sorted": (lambda q, k, p: p * q[:k].sum(), "first k columns"),
        "least probable": (lambda q, k, p: p * q.topk(k, largest=False).values.sum(), "least probable"),
        "count": (lambda q, k, p: p * k / len(q), "number of tokens"),
        "losses": (lambda q, k, p: p + q.topk(k).values.sum() - 1, "independent losses"),
        "k-th": (lambda q, k, p: p * q.topk(k).values[-1], "k-th probability"),
        "one for each": (lambda q, k, p: p * q.topk(k).values, "for each of the k"),
        "a fixed k": (lambda q, k, p: share(q, 3, p), "k=5, p=0.85 your top_p is too small"),
        "one token too many": (lambda q, k, p: mass_of_the_nucleus(q, k, p) + 0.001, "is too large"),
        "a number as text": (lambda q, k, p: "p · m", "number"),
        "in place": (spoil(share), "changed the tensor"),
    },
}
test_other_right_answers, test_wrong_answers, test_diagnoses_differ = three_tests(checks, RIGHT, WRONG)


def test_each_mistake_of_the_pipeline_gives_another_outcome():
    outcomes = checks._outcomes(checks._LOGITS, 0.6, 3, 0.8)
    pairs = [(a, b) for a in outcomes for b in outcomes if a < b]
    assert all((outcomes[a] - outcomes[b]).abs().max() > 1e-3 for a, b in pairs)


def test_top_p_before_top_k_and_one_distribution_for_both_give_the_same_as_the_message_says():
    logits = torch.randn(200, 9, generator=torch.Generator().manual_seed(0)) * 2
    for k, p in ((2, 0.8), (4, 0.6), (7, 0.95)):
        assert top_k(top_p(logits, p), k).equal(together(logits, k, p, torch.logical_and))
