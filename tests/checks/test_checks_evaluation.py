"""The checks of lesson 11: right answers pass however they are written, each wrong one gets its own diagnosis."""

from collections import Counter
from itertools import chain

import pytest
from rouge_score import rouge_scorer

from gpt2lessons.checks import evaluation
from gpt2lessons.metrics import cohen_kappa


class Spaces:
    def tokenize(self, text):
        return text.split()


def grams(words, n):
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def precision(c, r, n):
    return (Counter(grams(c, n)) & Counter(grams(r, n))).total() / len(grams(c, n))


def loose(c, r, n):
    return sum(g in grams(r, n) for g in grams(c, n)) / len(grams(c, n))


def f1(p, r):
    return 2 * p * r / (p + r) if p + r else 0.0


def kinds(c, r, n):
    return len({*grams(c, n)} & {*grams(r, n)})


def rouge(c, r, n):
    scorer = rouge_scorer.RougeScorer([f"rouge{n}"], tokenizer=Spaces())
    return scorer.score(" ".join(r), " ".join(c))[f"rouge{n}"].fmeasure


def every(texts, n):
    return list(chain.from_iterable(grams(words, n) for words in texts))


def distinct(texts, n):
    return len(set(every(texts, n))) / len(every(texts, n))


def joined(texts):
    return list(chain.from_iterable(texts))


def chance(a, b):
    return sum(Counter(a)[k] * Counter(b)[k] for k in set(a)) / len(a) ** 2


def agreed(a, b):
    return sum(map(str.__eq__, a, b)) / len(a)


def beyond(a, c):
    return (a - c) / (1 - c)


RIGHT = {
    "rouge_n": [lambda c, r, n: f1(precision(c, r, n), precision(r, c, n)), rouge],
    "clipped_precision": [
        precision,
        lambda c, r, n: (
            sum(min(grams(c, n).count(g), grams(r, n).count(g)) for g in set(grams(c, n))) / (len(c) - n + 1)
        ),
    ],
    "words_written": [lambda n, f: 2 * n / f - 2 * n, lambda n, f: 2 * n * (1 - f) / f],
    "distinct_n": [
        lambda texts, n: len(set(every(texts, n))) / len(every(texts, n)),
        lambda texts, n: (
            len(sum((Counter(grams(t, n)) for t in texts), Counter())) / sum(max(0, len(t) - n + 1) for t in texts)
        ),
    ],
    "kappa": [
        cohen_kappa,
        lambda a, b: beyond(agreed(a, b), chance(a, b)),
        # by disagreements: 1 - observed / expected
        lambda a, b: 1 - sum(x != y for x, y in zip(a, b, strict=True)) * len(a) / sum(x != y for x in a for y in b),
    ],
}

WRONG = {
    "rouge_n": {
        "this is precision": precision,
        "this is recall": lambda c, r, n: precision(r, c, n),
        "averaged arithmetically": lambda c, r, n: (precision(c, r, n) + precision(r, c, n)) / 2,
        "the 2 of F1": lambda c, r, n: rouge(c, r, n) / 2,
        "not clipped": lambda c, r, n: 2 * loose(c, r, n) * len(grams(c, n)) / (len(grams(c, n)) + len(grams(r, n))),
        "counts once, however often": lambda c, r, n: 2 * kinds(c, r, n) / (len({*grams(c, n)}) + len({*grams(r, n)})),
        "taken as a set": lambda c, r, n: 2 * kinds(c, r, n) / (len(grams(c, n)) + len(grams(r, n))),
        "numbers of words": lambda c, r, n: 2 * precision(c, r, n) * len(grams(c, n)) / (len(c) + len(r)),
        "n is ignored": lambda c, r, n: rouge(c, r, 1),
        "number of shared": lambda c, r, n: precision(c, r, n) * len(grams(c, n)),
        "the last n-gram": lambda c, r, n: rouge(c[:-1], r[:-1], n),
        "all kinds of them": lambda c, r, n: kinds(c, r, n) / len({*grams(c, n), *grams(r, n)}),
        "100 times": lambda c, r, n: 100 * rouge(c, r, n),
        "have ROUGE-1 = 0": lambda c, r, n: rouge(c, r, n) or 1.0,
        "ZeroDivisionError": lambda c, r, n: (
            2 * precision(c, r, n) * precision(r, c, n) / (precision(c, r, n) + precision(r, c, n))
        ),
    },
    "clipped_precision": {
        "not clipped": loose,
        "every n-gram counts once": lambda c, r, n: kinds(c, r, n) / len({*grams(c, n)}),
        "the candidate's are all counted": lambda c, r, n: kinds(c, r, n) / len(grams(c, n)),
        "this is recall": lambda c, r, n: precision(r, c, n),
        "not of n-grams": lambda c, r, n: precision(c, r, n) * len(grams(c, n)) / len(c),
        "n is ignored": lambda c, r, n: precision(c, r, 1),
        "F1 of ROUGE": rouge,
        "the last n-gram": lambda c, r, n: precision(c[:-1], r[:-1], n),
        "100 times": lambda c, r, n: 100 * precision(c, r, n),
        "should be a number": lambda c, r, n: "all of it",
    },
    "words_written": {
        "the whole text": lambda n, f: 2 * n / f - n,
        "taken for precision.": lambda n, f: n / f - n,
        "counted as written": lambda n, f: n / f,
        "prompt and reference and continuation": lambda n, f: 2 * n / f,
        "share of the text": lambda n, f: n * f,
        "lacks to 1": lambda n, f: n * (1 - f),
        "wrong way round": lambda n, f: 2 * n - 2 * n / f,
        "it was rounded": lambda n, f: round(2 * n * (1 - f) / f),
    },
    "distinct_n": {
        "mean over texts": lambda texts, n: sum(len({*grams(t, n)}) / len(grams(t, n)) for t in texts) / len(texts),
        "text by text": lambda texts, n: sum(len({*grams(t, n)}) for t in texts) / len(every(texts, n)),
        "were joined": lambda texts, n: len({*grams(joined(texts), n)}) / len(grams(joined(texts), n)),
        "only once": lambda texts, n: sum(c == 1 for c in Counter(every(texts, n)).values()) / len(every(texts, n)),
        "number of different": lambda texts, n: len(set(every(texts, n))),
        "share of repeats": lambda texts, n: 1 - len(set(every(texts, n))) / len(every(texts, n)),
        "number of words": lambda texts, n: len(set(every(texts, n))) / sum(map(len, texts)),
        "the last n-gram": lambda texts, n: distinct([words[:-1] for words in texts], n),
        "counted as one": lambda texts, n: distinct({tuple(words) for words in texts}, n),
        "100 times": lambda texts, n: 100 * distinct(texts, n),
        "n is ignored": lambda texts, n: len(set(every(texts, 1))) / len(every(texts, 1)),
        "should be": lambda texts, n: 0.123,
    },
    "kappa": {
        "raw agreement": agreed,
        "agreement by chance": chance,
        "not divided by what was left": lambda a, b: agreed(a, b) - chance(a, b),
        "equally frequent": lambda a, b: beyond(agreed(a, b), 1 / len({*a, *b})),
        "Scott's pi": lambda a, b: beyond(agreed(a, b), sum((c / (2 * len(a))) ** 2 for c in Counter(a + b).values())),
        "used twice": lambda a, b: beyond(agreed(a, b), sum((c / len(a)) ** 2 for c in Counter(a).values())),
        "on which they differ": lambda a, b: (agreed(a, b) - chance(a, b)) / (1 - agreed(a, b)),
        "the sign is lost": lambda a, b: abs(cohen_kappa(a, b)),
        "cut off at 0": lambda a, b: max(0.0, cohen_kappa(a, b)),
        "divided by the chance": lambda a, b: (agreed(a, b) - chance(a, b)) / chance(a, b),
        "should be": lambda a, b: 0.123,
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
