"""The checks of lesson 10: right answers of another make, and wrong ones with the diagnosis that each must get."""

import math

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


def paired_by_numpy(a, b, t):
    d = (a - b).numpy()
    half = t * (((d - d.mean()) ** 2).sum() / (len(d) - 1) / len(d)) ** 0.5
    return [d.mean() - half, d.mean() + half]


def verdict_by_distance(low, high, margin):
    nearest = max(low, -high, 0)
    farthest = max(abs(low), abs(high))
    return "far" if nearest > margin else "open" if farthest > margin else "near"


def half_width(half):
    """Return an answer whose interval is first minus second ± `half(first, second, t)`."""

    def answer(a, b, t):
        centre = (a - b).mean().item()
        return centre - float(half(a, b, t)), centre + float(half(a, b, t))

    return answer


RIGHT = {
    "perplexity": by_hand,
    "objective": objective_by_loop,
    "paired": paired_by_numpy,
    "verdict": verdict_by_distance,
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
    "paired": {
        "unpaired": (half_width(lambda a, b, t: t * ((a.var() + b.var()) / len(a)).sqrt()), "pairing is ignored"),
        "deviation": (half_width(lambda a, b, t: t * (a - b).std()), "spread of one difference"),
        "by n": (half_width(lambda a, b, t: t * (a - b).std() / len(a)), "instead of its square root"),
        "population": (half_width(lambda a, b, t: t * (a - b).std(correction=0) / len(a) ** 0.5), "n − 1"),
        "variance": (half_width(lambda a, b, t: t * (a - b).var() / len(a)), "units are squared"),
        "normal": (half_width(lambda a, b, t: 1.96 * (a - b).std() / len(a) ** 0.5), "factor for many"),
        "no factor": (half_width(lambda a, b, t: (a - b).std() / len(a) ** 0.5), "factor t is missing"),
        "half": (half_width(lambda a, b, t: t * (a - b).std() / len(a) ** 0.5 / 2), "half its width"),
        "reversed": (lambda a, b, t: paired_by_numpy(b, a, t), "wrong way round"),
        "sum": (lambda a, b, t: ((a - b).sum() - 0.1, (a - b).sum() + 0.1), "not averaged"),
        "upside down": (lambda a, b, t: paired_by_numpy(a, b, t)[::-1], "above the upper end"),
        "one number": (lambda a, b, t: (a - b).mean(), "two numbers"),
    },
    "verdict": {
        "holds 0": (
            lambda low, high, m: "near" if low <= 0 <= high else "far" if low > m or high < -m else "open",
            "0 in the interval",
        ),
        "significant": (
            lambda low, high, m: "far" if low > 0 or high < 0 or low < -m or high > m else "near",
            "0 outside the interval",
        ),
        "middle": (lambda low, high, m: "near" if abs((low + high) / 2) <= m else "far", "middle of the interval"),
        "never open": (lambda low, high, m: "near" if max(-low, high) < m else "far", "not shown is not refuted"),
        "generous": (lambda low, high, m: "far" if max(low, -high) > m else "near", "not refuted is not shown"),
        "one side": (lambda low, high, m: "near" if high < m else "far" if low > m else "open", "only the upper side"),
        "absolute": (
            lambda low, high, m: (
                "near" if max(abs(low), abs(high)) < m else "far" if min(abs(low), abs(high)) > m else "open"
            ),
            "both ends of the margin",
        ),
        "nothing": (lambda low, high, m: None, "is None"),
        "yes": (lambda low, high, m: True, "one of 'near'"),
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
