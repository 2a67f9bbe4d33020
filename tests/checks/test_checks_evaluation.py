"""The checks of lesson 11: right answers pass however they are written, each wrong one gets its own diagnosis."""

import math
from collections import Counter

import pytest
import sacrebleu
import torch
from torch.nn import functional

from gpt2lessons.checks import evaluation


def grams(words, n):
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def logs(x):
    return x.log_softmax(-1)


def pick(log_probs, ids):
    return log_probs.gather(1, ids[:, None])[:, 0]


def precision(c, r, n):
    return (Counter(grams(c, n)) & Counter(grams(r, n))).total() / len(grams(c, n))


def loose(c, r, n):
    return sum(g in grams(r, n) for g in grams(c, n)) / len(grams(c, n))


def root(c, r, p=precision):
    return math.prod(p(c, r, n) for n in (1, 2, 3, 4)) ** 0.25


def brevity(c, r):
    return min(1, math.exp(1 - len(r) / len(c)))


RIGHT = {
    "perplexity_from_logits": [
        lambda x, i: functional.cross_entropy(x[:-1], i[1:]).exp(),
        lambda x, i: math.exp(-sum(math.log(x[t].softmax(-1)[i[t + 1]]) for t in range(len(i) - 1)) / (len(i) - 1)),
    ],
    "continuation_perplexity": [
        lambda rows, n: (-torch.cat([r[k - 1 :] for r, k in zip(rows, n, strict=True)]).mean()).exp(),
        lambda rows, n: math.exp(
            sum(-r[k - 1 :].sum().item() for r, k in zip(rows, n, strict=True))
            / sum(len(r) - k + 1 for r, k in zip(rows, n, strict=True))
        ),
    ],
    "clipped_precision": [
        precision,
        lambda c, r, n: (
            sum(min(grams(c, n).count(g), grams(r, n).count(g)) for g in set(grams(c, n))) / (len(c) - n + 1)
        ),
    ],
    "bleu": [
        lambda c, r: 100 * brevity(c, r) * root(c, r),
        # sacrebleu without smoothing; its "none" leaves a precision of 0 at 0
        lambda c, r: sacrebleu.BLEU(smooth_method="none").corpus_score([" ".join(c)], [[" ".join(r)]]).score,
    ],
    "words_written": [lambda n, f: 2 * n / f - 2 * n, lambda n, f: round(2 * n * (1 - f) / f)],
}

WRONG = {
    "perplexity_from_logits": {
        "labels are not shifted: every token": lambda x, i: (-pick(logs(x), i).mean()).exp(),
        "not shifted, with the first token left out": lambda x, i: (-pick(logs(x)[1:], i[1:]).mean()).exp(),
        "shifted the wrong way": lambda x, i: (-pick(logs(x)[1:], i[:-1]).mean()).exp(),
        "mean surprisal in nats": lambda x, i: functional.cross_entropy(x[:-1], i[1:]),
        "this is 1 / perplexity": lambda x, i: (-functional.cross_entropy(x[:-1], i[1:])).exp(),
        "power of 2": lambda x, i: 2 ** functional.cross_entropy(x[:-1], i[1:]),
        "not divided by their number": lambda x, i: functional.cross_entropy(x[:-1], i[1:], reduction="sum").exp(),
        "one of them was not scored": lambda x, i: (-pick(logs(x)[:-1], i[1:]).sum() / len(i)).exp(),
        "the mean was taken of 1/p": lambda x, i: (-pick(logs(x)[:-1], i[1:])).exp().mean(),
        "logits were taken for log-probabilities": lambda x, i: (-pick(x[:-1], i[1:]).mean()).exp(),
        "changed the tensor": lambda x, i: functional.cross_entropy(x.mul_(2)[:-1], i[1:]).exp(),
        "should be": lambda x, i: functional.cross_entropy(x[:-1], i[1:]).exp() + 1,
    },
    "continuation_perplexity": {
        "the prompts are scored too": lambda rows, n: (-torch.cat(rows).mean()).exp(),
        "only the prompts": lambda rows, n: (
            -torch.cat([r[: k - 1] for r, k in zip(rows, n, strict=True)]).mean()
        ).exp(),
        "first token of each continuation": lambda rows, n: (
            -torch.cat([r[k:] for r, k in zip(rows, n, strict=True)]).mean()
        ).exp(),
        "the mean of the texts' perplexities": lambda rows, n: (
            sum((-r[k - 1 :].mean()).exp() for r, k in zip(rows, n, strict=True)) / len(rows)
        ),
        "every text counts the same": lambda rows, n: (
            torch.stack([-r[k - 1 :].mean() for r, k in zip(rows, n, strict=True)]).mean().exp()
        ),
        "only the last text": lambda rows, n: (-rows[-1][n[-1] - 1 :].mean()).exp(),
        "only the first text": lambda rows, n: (-rows[0][n[0] - 1 :].mean()).exp(),
        "not yet the perplexity": lambda rows, n: -torch.cat([r[k - 1 :] for r, k in zip(rows, n, strict=True)]).mean(),
        "this is 1 / perplexity": lambda rows, n: (
            torch.cat([r[k - 1 :] for r, k in zip(rows, n, strict=True)]).mean().exp()
        ),
    },
    "clipped_precision": {
        "not clipped": loose,
        "every n-gram counts once": lambda c, r, n: len({*grams(c, n)} & {*grams(r, n)}) / len({*grams(c, n)}),
        "the candidate's are all counted": lambda c, r, n: len({*grams(c, n)} & {*grams(r, n)}) / len(grams(c, n)),
        "this is recall": lambda c, r, n: precision(r, c, n),
        "not of n-grams": lambda c, r, n: precision(c, r, n) * len(grams(c, n)) / len(c),
        "n is ignored": lambda c, r, n: precision(c, r, 1),
        "F1 of ROUGE": lambda c, r, n: 2 / (1 / precision(c, r, n) + 1 / precision(r, c, n)),
        "should be a number": lambda c, r, n: "all of it",
    },
    "bleu": {
        "the brevity penalty is missing": lambda c, r: 100 * root(c, r),
        "must never exceed 1": lambda c, r: 100 * math.exp(1 - len(r) / len(c)) * root(c, r),
        "wrong way round": lambda c, r: 100 * brevity(r, c) * root(c, r),
        "without the exponential": lambda c, r: 100 * min(1, len(c) / len(r)) * root(c, r),
        "averaged arithmetically": lambda c, r: 25 * brevity(c, r) * sum(precision(c, r, n) for n in (1, 2, 3, 4)),
        "no root was taken": lambda c, r: 100 * brevity(c, r) * root(c, r) ** 4,
        "not clipped": lambda c, r: 100 * brevity(c, r) * root(c, r, loose),
        "the scale is 0 to 1": lambda c, r: brevity(c, r) * root(c, r),
        "only single words and pairs": lambda c, r: (
            100 * brevity(c, r) * (precision(c, r, 1) * precision(c, r, 2)) ** 0.5
        ),
        "without a common word score 0": lambda c, r: 100 * brevity(c, r) * root(c, r) or 1e-3,
    },
    "words_written": {
        "the whole text": lambda n, f: 2 * n / f - n,
        "taken for precision.": lambda n, f: n / f - n,
        "counted as written": lambda n, f: n / f,
        "prompt and reference and continuation": lambda n, f: 2 * n / f,
        "share of the text": lambda n, f: n * f,
        "wrong way round": lambda n, f: 2 * n - 2 * n / f,
    },
}


def cases(table):
    return [(name, i, answer) for name, answers in table.items() for i, answer in enumerate(answers)]


@pytest.mark.parametrize(("name", "i", "answer"), cases(RIGHT))
def test_right_answers_pass_however_they_are_written(name, i, answer):
    verdict = getattr(evaluation, name)(answer)
    assert verdict.status == "right", verdict


@pytest.mark.parametrize(
    ("name", "diagnosis"), [(name, diagnosis) for name, answers in WRONG.items() for diagnosis in answers]
)
def test_each_wrong_answer_gets_its_own_diagnosis(name, diagnosis):
    verdict = getattr(evaluation, name)(WRONG[name][diagnosis])
    assert verdict.status == "wrong"
    assert diagnosis in verdict.message, verdict
    others = [d for d in WRONG[name] if d != diagnosis and d != "should be" and d in verdict.message]
    assert not others


@pytest.mark.parametrize("name", sorted(WRONG))
def test_at_least_five_different_diagnoses_and_a_frame_for_the_rest(name):
    check = getattr(evaluation, name)
    assert len({check(answer).message for answer in WRONG[name].values()}) == len(WRONG[name]) >= 5
    assert check().status == "unanswered"
    assert check(lambda *a: None).status == "wrong"

    def todo(*arguments):
        raise NotImplementedError

    assert check(todo).status == "unanswered"
