"""Checks of lesson 11: ROUGE-N, clipped precision, the leak, distinct-n over a set, Cohen's kappa."""

import math
from collections import Counter

from gpt2lessons.checks.frame import WrongError, exercise, expect_number, refuse

_SHORT = "the last n-gram of each text is missing"
_LAST = "With n = 1, how many n-grams has a text of five words?"
_SCALE = "100 times too large"
_SHARE = "The result lies between 0 and 1."
_BELOW = "Judges who contradict each other have a kappa below 0."
_SETS = "Counter, not set: an n-gram that stands twice in both texts counts twice."


@exercise("Write ROUGE-N")
def rouge_n(answer):
    """Examine `answer(candidate, reference, n) -> F1` of two lists of words, each n-gram used once."""
    # every mistake gives another number here, for n = 1 and n = 2
    telling = ("on mat mat on the a on the a", "the on the on mat the on the the the a ran")
    for (one, other), n in ((telling, 1), (telling, 2), (("a b c", "a b d e"), 2)):
        candidate, reference = one.split(), other.split()
        got = answer(list(candidate), list(reference), n)
        mine, theirs = _ngrams(candidate, n), _ngrams(reference, n)
        shared, sizes = (mine & theirs).total(), (mine.total(), theirs.total())
        loose = sum(c for g, c in mine.items() if g in theirs)
        kinds = len(set(mine) & set(theirs))
        singles = (_ngrams(candidate, 1) & _ngrams(reference, 1)).total()
        truth = _f1(shared, *sizes)
        fewer, others = (_ngrams(words[:-1], n) for words in (candidate, reference))
        which = "F1 is the harmonic mean of both: 2·P·R / (P + R)."
        mistakes = {
            "this is precision": (shared / sizes[0], which),
            "this is recall": (shared / sizes[1], which),
            "precision and recall were averaged arithmetically": (
                (shared / sizes[0] + shared / sizes[1]) / 2,
                which,
            ),
            "the 2 of F1 is missing": (truth / 2, which),
            "the counts are not clipped: an n-gram that the candidate repeats counts every time": (
                _f1(loose, *sizes),
                "Each n-gram of the reference is used once: take the smaller of the two counts.",
            ),
            "every shared n-gram counts once, however often it occurs": (
                _f1(kinds, len(mine), len(theirs)),
                _SETS,
            ),
            "shared n-grams were taken as a set, all n-grams as they are": (_f1(kinds, *sizes), _SETS),
            "it was divided by numbers of words, not of n-grams": (
                _f1(shared, len(candidate), len(reference)),
                "How many n-grams does a text of so many words have?",
            ),
            "n is ignored: these are single words": (
                _f1(singles, len(candidate), len(reference)),
                "A bigram is two neighbouring words.",
            ),
            "this is the number of shared n-grams": (shared, "Divide it twice, then join."),
            _SHORT: (_f1((fewer & others).total(), fewer.total(), others.total()), _LAST),
            "this is the share of n-grams in both texts among all kinds of them": (
                kinds / len(set(mine) | set(theirs)),
                "Precision divides by the candidate's n-grams, recall by the reference's.",
            ),
            _SCALE: (100 * truth, _SHARE),
        }
        refuse(got, {k: v for k, v in mistakes.items() if abs(v[0] - truth) > 1e-9})
        expect_number(got, truth, f"ROUGE-{n} of {one!r} against {other!r}")
    nothing = answer(["a", "b"], ["c", "d"], 1)
    if nothing != 0:
        raise WrongError(
            f"two texts without a common word have ROUGE-1 = 0, not {nothing!r}.",
            hint="Precision and recall are both 0 there: do not divide by their sum.",
        )
    return "precision and recall share their numerator; F1 is high only where both are."


@exercise("Clipped precision")
def clipped_precision(answer):
    """Examine `answer(candidate, reference, n) -> float`: the share of the candidate's n-grams that count."""
    # the mistakes on `telling` all give different numbers; `plain` catches what only works there
    telling = (
        "dog the the the the ran the cat dog",
        "mat the the the mat on dog ran mat on dog dog",
    )
    plain = ("a b c", "a b d")
    for texts, n in ((telling, 1), (telling, 2), (plain, 1), (plain, 2)):
        candidate, reference = (text.split() for text in texts)
        got = answer(list(candidate), list(reference), n)
        mine, theirs = _ngrams(candidate, n), _ngrams(reference, n)
        fewer, others = (_ngrams(words[:-1], n) for words in (candidate, reference))
        shared, total = (mine & theirs).total(), mine.total()
        found = sum(c for g, c in mine.items() if g in theirs)
        first, second = _ngrams(candidate, 1), _ngrams(reference, 1)
        mistakes = {
            "the counts are not clipped: an n-gram that the candidate repeats counts every time": (
                found / total,
                "An n-gram of the reference can be used once only: take the smaller of the two counts.",
            ),
            "every n-gram counts once, however often it occurs": (
                len(set(mine) & set(theirs)) / len(mine),
                "Counter, not set: an n-gram that stands twice in both texts counts twice.",
            ),
            "every shared n-gram counts once, but the candidate's are all counted": (
                len(set(mine) & set(theirs)) / total,
                "Counter, not set: an n-gram that stands twice in both texts counts twice.",
            ),
            "this is recall: it was divided by the n-grams of the reference": (
                shared / theirs.total(),
                "Precision asks how much of the candidate is right.",
            ),
            "it was divided by the number of words, not of n-grams": (
                shared / len(candidate),
                "How many n-grams does a text of so many words have?",
            ),
            "n is ignored: these are single words": (
                (first & second).total() / first.total(),
                "A bigram is two neighbouring words.",
            ),
            _SHORT: ((fewer & others).total() / fewer.total(), _LAST),
            _SCALE: (100 * shared / total, _SHARE),
            "this is the F1 of ROUGE, not precision": (
                2 * shared / (total + theirs.total()),
                "Divide by the candidate's n-grams alone.",
            ),
        }
        truth = shared / total
        refuse(got, {k: v for k, v in mistakes.items() if abs(v[0] - truth) > 1e-9})
        what = f"the clipped {n}-gram precision of {' '.join(candidate)!r} against {' '.join(reference)!r}"
        expect_number(got, truth, what)
    return "shared n-grams, each used once, divided by the candidate's."


@exercise("The leak")
def words_written(answer):
    """Examine `answer(reference_words, rouge1) -> number`: how many words the model wrote after the reference."""
    for n, m in ((30, 100), (12, 20), (50, 75), (41, 73.3)):  # the last: a mean over texts
        f = 2 * n / (n + m)
        got = answer(n, f)
        mistakes = {
            "this is the length of the whole text, prompt included": (
                m,
                "How many of those words did the model write?",
            ),
            "the score was taken for precision": (
                n / f - n,
                "rouge_score prints F1 = 2·P·R / (P + R), and R = 1 here.",
            ),
            "the score was taken for precision, and the prompt was counted as written": (
                n / f,
                "rouge_score prints F1 = 2·P·R / (P + R), and R = 1 here.",
            ),
            "this is prompt and reference and continuation together": (n + m, "Solve F1 = 2N / (N + M) for M first."),
            "the score was taken for the share of the text that the model wrote": (n * f, "Solve F1 = 2N / (N + M)."),
            "what F1 lacks to 1 was taken for the share that the model wrote": (
                n * (1 - f),
                "F1 is no share of the text: solve F1 = 2N / (N + M).",
            ),
            "it was rounded": (round(m - n), "A mean over several texts need not give a whole number."),
            "the sign is the wrong way round": (n - m, "The whole text is longer than the prompt."),
        }
        refuse(got, {k: v for k, v in mistakes.items() if abs(v[0] - (m - n)) > 1e-6})
        expect_number(got, float(m - n), f"what was written after {n} words at ROUGE-1 = {f:.4f}", tolerance=1e-3)
    return "the score depends on two lengths and on nothing that was written."


@exercise("Distinct-n of a set")
def distinct_n(answer):
    """Examine `answer(texts, n) -> share` of different n-grams among all of a list of lists of words."""
    # every mistake gives another number on the first set
    telling = [text.split() for text in ("c d d d d e a", "c d c b c a", "b b a b", "c d d d d e a")]
    sets = (telling, [["x", "y", "z"]] * 4)
    for texts, n in ((sets[0], 1), (sets[0], 2), (sets[1], 1), (sets[1], 2)):
        got = answer([list(words) for words in texts], n)
        counts = [_ngrams(words, n) for words in texts]
        pooled = sum(counts, Counter())
        joined = _ngrams([word for words in texts for word in words], n)
        single = sum((_ngrams(words, 1) for words in texts), Counter())
        truth = len(pooled) / pooled.total()
        fewer = sum((_ngrams(words[:-1], n) for words in texts), Counter())
        unlike = sum((_ngrams(words, n) for words in {tuple(words) for words in texts}), Counter())
        which = "Count all texts together first: one set of n-grams, one total."
        mistakes = {
            "this is the mean over texts: it cannot see that two texts are the same": (
                sum(len(c) / c.total() for c in counts) / len(counts),
                which,
            ),
            "different n-grams were counted text by text, then added": (
                sum(map(len, counts)) / pooled.total(),
                which,
            ),
            "the texts were joined: n-grams lead from the end of one into the next": (
                len(joined) / joined.total(),
                "Make the n-grams of each text by itself.",
            ),
            "this is the share of n-grams that occur only once": (
                sum(c == 1 for c in pooled.values()) / pooled.total(),
                "Different means: two of the same count as one.",
            ),
            "this is the number of different n-grams": (len(pooled), "A share lies between 0 and 1."),
            "this is 1 − distinct-n, the share of repeats": (1 - truth, "1 means that nothing is said twice."),
            "it was divided by the number of words": (
                len(pooled) / single.total(),
                "How many n-grams does a text of so many words have?",
            ),
            "n is ignored: these are single words": (len(single) / single.total(), "Pairs, for n = 2."),
            _SHORT: (len(fewer) / fewer.total(), _LAST),
            "equal texts were counted as one": (
                len(unlike) / unlike.total(),
                "A text that stands twice in the set counts twice.",
            ),
            _SCALE: (100 * truth, _SHARE),
        }
        refuse(got, {k: v for k, v in mistakes.items() if abs(v[0] - truth) > 1e-9})
        expect_number(got, truth, f"distinct-{n} of {[' '.join(words) for words in texts]}")
    return "one count over all texts, and no n-gram leads from one of them into the next."


@exercise("Cohen's kappa")
def kappa(answer):
    """Examine `answer(first, second) -> kappa` of two judges' answers to the same questions."""
    pairs = (
        ("aaaaaabbcc", "aaaabbbbca"),
        ("yyyyynnnnn", "yyynnnnnyn"),
        ("ababababab", "babababaab"),
        ("aaaaaaaaab", "aaaaaaaaba"),
    )
    for one, other in pairs:
        first, second, n = list(one), list(other), len(one)
        got = answer(list(first), list(second))
        agreed = sum(a == b for a, b in zip(first, second, strict=True)) / n
        habits = Counter(first), Counter(second)
        chance = sum(habits[0][k] * habits[1][k] for k in habits[0]) / n**2
        truth = _beyond(agreed, chance)
        both = habits[0] + habits[1]
        equal = 1 / len(both)
        mistakes = {
            "this is the raw agreement": (agreed, "How often would they agree by chance?"),
            "this is the agreement by chance": (chance, "And how far is the real one beyond it?"),
            "chance was subtracted, but not divided by what was left to reach": (
                agreed - chance,
                "Perfect agreement must give 1.",
            ),
            "all answers were taken for equally frequent": (
                (agreed - equal) / (1 - equal),
                "A judge who nearly always says the same agrees with others by habit: use the counts.",
            ),
            "both judges were thrown together: this is Scott's pi": (
                _beyond(agreed, sum((c / (2 * n)) ** 2 for c in both.values())),
                "Cohen gives each judge habits of their own.",
            ),
            "the habits of one judge were used twice": (
                _beyond(agreed, sum((c / n) ** 2 for c in habits[0].values())),
                "Cohen gives each judge habits of their own.",
            ),
            "it was divided by the share on which they differ": (
                math.inf if agreed == 1 else (agreed - chance) / (1 - agreed),
                "Perfect agreement must give 1: divide by what chance leaves to reach.",
            ),
            "the sign is lost": (abs(truth), _BELOW),
            "kappa was cut off at 0": (max(0.0, truth), _BELOW),
            "it was divided by the chance agreement": ((agreed - chance) / chance, "Divide by 1 − c."),
        }
        refuse(got, {k: v for k, v in mistakes.items() if abs(v[0] - truth) > 1e-9})
        expect_number(got, truth, f"kappa of the answers {one!r} and {other!r}")
    return "what is beyond chance, divided by all that could be; below 0 where judges contradict each other."


def _ngrams(words, n):
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _f1(shared, mine, theirs):
    """2·P·R / (P + R) of the shares `shared / mine` and `shared / theirs`, simplified."""
    return 2 * shared / (mine + theirs)


def _beyond(agreed, chance):
    return (agreed - chance) / (1 - chance)
