"""The checks of lesson 07: right answers of another make, and wrong ones with the diagnosis that each must get."""

import math

import numpy as np
import pytest
import torch
from support.told_apart import three_tests

from gpt2lessons.checks import top_k as checks
from gpt2lessons.decoding import processors

INF = torch.inf


def by_loop(logits, k):
    """Keep what is at least the k-th largest of its row, by comparing numbers one by one."""
    out = torch.full_like(logits, -INF)
    for row, new in zip(logits.tolist(), out, strict=True):
        threshold = sorted(row, reverse=True)[:k][-1]
        for i, logit in enumerate(row):
            if logit >= threshold:
                new[i] = logit
    return out


def by_rank(logits, k):
    """Keep a token if fewer than k of its row are larger."""
    ordered = logits.sort(dim=-1).values
    larger = logits.shape[1] - torch.searchsorted(ordered, logits, right=True)
    return logits.where(larger < k, torch.tensor(-INF))


def exactly(logits, k):
    ids = logits.sort(dim=-1, descending=True, stable=True).indices[:, :k]
    return torch.full_like(logits, -INF).scatter(1, ids, logits.gather(1, ids))


def in_place(logits, k):
    logits[logits < logits.topk(k).values[:, -1:]] = -INF
    return logits


def sorted_back(logits, k):
    return processors.keep_top_k(logits.sort(dim=-1, descending=True).values, k)


def no_room(logits, k):
    return logits.masked_fill(logits < logits.topk(k).values[:, -1:], -INF)


def one_threshold(logits, k):
    return logits.masked_fill(logits < logits[:1].topk(k).values[:, -1:], -INF)


def cumulated(probs, mass):
    return int(np.searchsorted(np.cumsum(np.sort(probs.numpy())[::-1]), mass)) + 1


RIGHT = {
    "tie": [0.5, torch.tensor(0.5), 2 / 4],
    "cut": [by_loop, by_rank, processors.keep_top_k],
    "smallest_k": [cumulated, lambda p, m: next(k for k in range(1, 6) if p.topk(k).values.sum() >= m)],
    "top_p_alone": [
        {"do_sample": True, "top_p": 0.8, "top_k": None},
        {"do_sample": True, "top_p": 0.8, "top_k": 0, "max_new_tokens": 9, "temperature": 1.0},
    ],
}


WRONG = {
    "tie": {
        "not renormalised": (0.4, "does not sum to 1"),
        "exactly two": (2 / 3, "exactly two"),
        "kept mass": (0.8, "mass of the tokens"),
        "one": (1.0, "only one token"),
        "all": (1 / 3, "two least probable"),
        "four": (4 / 9, "four tokens"),
        "zeros": (1 / 7, "logit of a certain token"),
        "softmax of probs": (torch.tensor([0.4, 0.2, 0.2]).softmax(0)[0], "softmax was taken"),
        "too small": (0.45, "too small"),
        "too large": (0.55, "too large"),
        "no probability": (50, "between 0 and 1"),
        "text": ("0.5", "should be a number"),
    },
    "cut": {
        "ties removed": (exactly, "tie with the k-th are removed"),
        "removes the k-th": (lambda z, k: z.masked_fill(z <= z.topk(k).values[:, -1:], -INF), "k-th token itself"),
        "k + 1": (lambda z, k: by_loop(z, k + 1), "too many"),
        "k - 1": (lambda z, k: by_loop(z, k - 1), "too few"),
        "zeros": (lambda z, k: by_loop(z, k).nan_to_num(neginf=0.0), "became 0"),
        "smallest": (lambda z, k: by_loop(z, k).nan_to_num(neginf=z.min().item()), "smallest logit"),
        "columns": (lambda z, k: z.masked_fill(z < z.topk(k, dim=0).values[-1:], -INF), "each column"),
        "whole batch": (lambda z, k: z.masked_fill(z < z.flatten().topk(k).values[-1], -INF), "whole batch"),
        "first row's": (one_threshold, "threshold of the first"),
        "first columns": (lambda z, k: z.masked_fill(torch.arange(z.shape[1]) >= k, -INF), "first k columns"),
        "sorted": (sorted_back, "come back sorted"),
        "values only": (lambda z, k: z.topk(k).values, "without the places"),
        "probabilities": (lambda z, k: by_loop(z, k).softmax(-1), "are probabilities"),
        "bottom k": (lambda z, k: -by_loop(-z, k).nan_to_num(neginf=INF), "least probable"),
        "in place": (in_place, "changed the tensor"),
        "from below": (lambda z, k: z.masked_fill(z < z.kthvalue(k).values[:, None], -INF), "k-th smallest"),
        "nan": (lambda z, k: by_loop(z, k).nan_to_num(neginf=math.nan), "became nan"),
        "log-probabilities": (lambda z, k: by_loop(z, k).log_softmax(-1), "are log-probabilities"),
        "a billion": (lambda z, k: by_loop(z, k).nan_to_num(neginf=-1e9), "became -1e+09"),
        "no column": (lambda z, k: z.masked_fill(z < z.topk(k).values[:, -1], -INF), "shapes that do not fit"),
        "other error": (lambda z, k: z.view(7), "stopped with RuntimeError"),
        "k beyond V": (no_room, "vocabulary of 5 your code stops"),
        "of 2 always": (lambda z, k: by_loop(z, 2), "the result for k=1"),
        "nothing": (lambda z, k: None, "end with `return`"),
    },
    "smallest_k": {
        "not sorted": (lambda p, m: int((p.cumsum(0) < m).sum()) + 1, "order of ids"),
        "sorted upwards": (lambda p, m: int((p.sort().values.cumsum(0) < m).sum()) + 1, "sorted upwards"),
        "one too few": (lambda p, m: cumulated(p, m) - 1, "one too few"),
        "one too many": (lambda p, m: cumulated(p, m) + 1, "one token too many is counted"),
        "more than": (
            lambda p, m: min(5, int((p.sort(descending=True).values.cumsum(0) <= m).sum()) + 1),
            "reaches the mass exactly",
        ),
        "more than, uncapped": (
            lambda p, m: int((p.sort(descending=True).values.cumsum(0) <= m).sum()) + 1,
            "one token more is taken",
        ),
        "each": (lambda p, m: int((p >= m).sum()), "at least this probability each"),
        "more than each": (lambda p, m: int((p > m).sum()), "more than this probability each"),
        "a float": (lambda p, m: float(cumulated(p, m)), "is a float"),
        "share": (lambda p, m: math.ceil(len(p) * m), "number of tokens times"),
        "mass": (lambda p, m: p.topk(cumulated(p, m)).values.sum(), "whole number"),
    },
    "top_p_alone": {
        "hidden default": ({"do_sample": True, "top_p": 0.8}, "nobody asked for"),
        "explicit 50": ({"do_sample": True, "top_p": 0.8, "top_k": 50}, "may still remove"),
        "greedy": ({"top_p": 0.8, "top_k": 0}, "greedy search, and no filter"),
        "no nucleus": ({"do_sample": True, "top_k": 0}, "no nucleus"),
        "per cent": ({"do_sample": True, "top_p": 80, "top_k": 0}, "percentage"),
        "other p": ({"do_sample": True, "top_p": 0.2, "top_k": 0}, "should be 0.8"),
        "k is 1": ({"do_sample": True, "top_p": 0.8, "top_k": 1}, "leaves one token"),
        "minus one": ({"do_sample": True, "top_p": 0.8, "top_k": -1}, "refuses"),
        "cooler": ({"do_sample": True, "top_p": 0.8, "top_k": 0, "temperature": 0.7}, "temperature changes"),
        "text": ({"do_sample": True, "top_p": 0.8, "top_k": "0"}, "is a text"),
        "misspelt": ({"do_sample": True, "topp": 0.8, "top_k": 0}, "does not belong"),
        "not a dict": (0.8, "should be"),
    },
}


def test_of_tied_tokens_any_may_be_the_one_that_is_missing():
    verdict = checks.cut(lambda z, k: exactly(z.flip(1), k).flip(1))
    assert "tie with the k-th are removed" in verdict.message


test_other_right_answers, test_wrong_answers, test_diagnoses_differ = three_tests(checks, RIGHT, WRONG)


def test_what_the_check_of_arguments_says_is_what_transformers_does(mini):
    ids = mini.encode("In the house there was a")
    settings = {"attention_mask": torch.ones_like(ids), "output_scores": True, "return_dict_in_generate": True}

    def kept(arguments):
        arguments = {**arguments, "max_new_tokens": 1}
        return mini.model.generate(ids, **settings, **arguments).scores[0].softmax(-1)  # float32, always

    with torch.no_grad():
        nucleus = processors.keep_top_p(mini.model(ids).logits[:, -1].float(), 0.8).softmax(-1)
        for arguments in RIGHT["top_p_alone"]:
            torch.testing.assert_close(kept(arguments), nucleus)
        for name in ("hidden default", "explicit 50", "no nucleus", "other p", "k is 1", "cooler"):
            other = kept(WRONG["top_p_alone"][name][0])
            assert not torch.equal(other > 0, nucleus > 0) or not torch.allclose(other, nucleus), name
        with pytest.raises(ValueError, match="top_k"):
            kept(WRONG["top_p_alone"]["minus one"][0])
