"""The checks of lesson 10: right answers of another make, and wrong ones with the diagnosis that each must get."""

import math

import numpy as np
import pytest
import torch

from gpt2lessons.checks import tuning as checks


def picked(logits, ids):
    return logits[:-1].log_softmax(-1).gather(1, ids[1:, None])[:, 0]


def by_hand(logits, ids, prompt_length):
    probs = logits.softmax(-1).tolist()
    chosen = [probs[t - 1][ids[t]] for t in range(prompt_length, len(ids))]
    return math.prod(chosen) ** (-1 / len(chosen))


def objective_by_loop(probs, kept):
    mass = sum(p.item() for p, k in zip(probs, kept, strict=True) if k)
    pairs = zip(probs.tolist(), kept.tolist(), strict=True)
    return math.exp(sum(-p / mass * math.log(p) for p, k in pairs if k))


def paired_by_numpy(a, b):
    d = (a - b).numpy()
    return d.mean(), d.std(ddof=1) / len(d) ** 0.5


def front_by_sorting(points):
    out = [True] * len(points)
    for i, (a, b) in enumerate(points):
        for x, y in points:
            if (x > a and y >= b) or (x >= a and y > b):
                out[i] = False
    return out


RIGHT = {
    "perplexity": by_hand,
    "objective": objective_by_loop,
    "choice": lambda v, h: int(np.argmin(np.abs(np.log2(np.array(v) / h)))),
    "paired": paired_by_numpy,
    "front": front_by_sorting,
}


def not_shifted(logits, ids, n):
    return torch.nn.functional.cross_entropy(logits[n:], ids[n:]).exp()


WRONG = {
    "perplexity": {
        "labels": (not_shifted, "not shifted"),
        "wrong way": (
            lambda z, i, n: (-z[1:].log_softmax(-1).gather(1, i[:-1, None])[n - 1 :].mean()).exp(),
            "wrong way",
        ),
        "mean of perplexities": (lambda z, i, n: (-picked(z, i)[n - 1 :]).exp().mean(), "mean of the tokens' own"),
        "mean probability": (lambda z, i, n: 1 / picked(z, i)[n - 1 :].exp().mean(), "one over the mean probability"),
        "bits": (lambda z, i, n: (-picked(z, i)[n - 1 :].mean() / math.log(2)).exp(), "surprisals in bits"),
        "two": (lambda z, i, n: 2 ** (-picked(z, i)[n - 1 :].mean()), "surprisals in nats"),
        "loss": (lambda z, i, n: -picked(z, i)[n - 1 :].mean(), "last step is missing"),
        "sum": (lambda z, i, n: (-picked(z, i)[n - 1 :].sum()).exp(), "not averaged"),
        "prompt": (lambda z, i, n: (-picked(z, i).mean()).exp(), "prompt is scored"),
        "one of the prompt": (lambda z, i, n: (-picked(z, i)[n - 2 :].mean()).exp(), "one token of the prompt"),
        "first missing": (lambda z, i, n: (-picked(z, i)[n:].mean()).exp(), "first token after the prompt"),
        "divisor": (lambda z, i, n: (-picked(z, i)[n - 1 :].sum() / len(i)).exp(), "number of all tokens"),
        "in place": (lambda z, i, n: z.sub_(1).sum(), "changed the tensor"),
    },
    "objective": {
        "not renormalised": (lambda p, k: (-p[k] * p[k].log()).sum().exp(), "not renormalised"),
        "own surprisal": (lambda p, k: torch.special.entr(p[k] / p[k].sum()).sum().exp(), "filtered distribution"),
        "alike": (lambda p, k: (-p[k].log()).mean().exp(), "count alike"),
        "no filter": (lambda p, k: torch.special.entr(p).sum().exp(), "nothing was filtered"),
        "nats": (lambda p, k: (-(p[k] / p[k].sum()) * p[k].log()).sum(), "last step is missing"),
        "mean of 1/p": (lambda p, k: (p[k] / p[k].sum() / p[k]).sum(), "mean of 1/p"),
        "nan": (lambda p, k: ((p * k).log() * 0 * p).sum(), "nan"),
        "removed": (lambda p, k: RIGHT["objective"](p, ~k & (p > 0)), "removed tokens"),
    },
    "choice": {
        "argmin": (lambda v, h: int(np.argmin(v)), "lowest perplexity wins again"),
        "argmax": (lambda v, h: int(np.argmax(v)), "highest"),
        "plain": (lambda v, h: int(np.argmin(np.abs(np.array(v) - h))), "taken in perplexity"),
        "below": (lambda v, h: int(np.argmax([x if x <= h else -1 for x in v])), "below"),
        "farthest": (lambda v, h: int(np.argmax(np.abs(np.log(np.array(v) / h)))), "farthest"),
        "value": (lambda v, h: min(v, key=lambda x: abs(math.log(x / h))), "place in the list"),
        "from one": (lambda v, h: 1 + RIGHT["choice"](v, h), "counted from 1"),
    },
    "paired": {
        "unpaired": (
            lambda a, b: ((a - b).mean(), ((a.var() + b.var()) / len(a)).sqrt()),
            "pairing is ignored",
        ),
        "deviation": (lambda a, b: ((a - b).mean(), (a - b).std()), "standard deviation of one"),
        "by n": (lambda a, b: ((a - b).mean(), (a - b).std() / len(a)), "instead of its square root"),
        "population": (lambda a, b: ((a - b).mean(), (a - b).std(correction=0) / len(a) ** 0.5), "n − 1"),
        "variance": (lambda a, b: ((a - b).mean(), (a - b).var() / len(a)), "square root is missing"),
        "half width": (lambda a, b: ((a - b).mean(), 1.96 * (a - b).std() / len(a) ** 0.5), "half width"),
        "reversed": (lambda a, b: ((b - a).mean(), 0.1), "wrong way round"),
        "one number": (lambda a, b: (a - b).mean(), "two numbers"),
    },
    "front": {
        "strict": (lambda q: [not any(x > a and y > b for x, y in q) for a, b in q], "as good in one and better"),
        "lower": (lambda q: front_by_sorting([(-a, -b) for a, b in q]), "lower is taken"),
        "mixed": (lambda q: front_by_sorting([(-a, b) for a, b in q]), "first number"),
        "sum": (lambda q: [a + b == max(x + y for x, y in q) for a, b in q], "added up"),
        "extremes": (
            lambda q: [a == max(x for x, _ in q) or b == max(y for _, y in q) for a, b in q],
            "compromises",
        ),
        "everything": (lambda q: [True] * len(q), "everything stays"),
        "upside down": (lambda q: [not t for t in front_by_sorting(q)], "upside down"),
        "equals beat": (
            lambda q: [not any(x >= a and y >= b for x, y in q[:i] + q[i + 1 :]) for i, (a, b) in enumerate(q)],
            "two equal points",
        ),
        "numbers": (lambda q: 3, "a list of"),
    },
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_of_another_make(name):
    verdict = getattr(checks, name)(RIGHT[name])
    assert verdict.status == "right", verdict


@pytest.mark.parametrize(("name", "mistake"), [(n, m) for n, rows in WRONG.items() for m in rows])
def test_each_mistake_gets_its_own_diagnosis(name, mistake):
    answer, words = WRONG[name][mistake]
    verdict = getattr(checks, name)(answer)
    assert verdict.status == "wrong"
    assert words in verdict.message, verdict


@pytest.mark.parametrize("name", WRONG)
def test_the_diagnoses_differ(name):
    messages = [getattr(checks, name)(answer).message for answer, _ in WRONG[name].values()]
    assert len(set(messages)) == len(messages) >= 5
