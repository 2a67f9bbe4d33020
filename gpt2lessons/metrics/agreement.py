"""How far people agree beyond chance: Cohen's kappa for two judges, Fleiss' kappa for many."""

from collections import Counter

from gpt2lessons.metrics.intervals import wilson_interval


def cohen_kappa(first, second):
    """Return Cohen's kappa (1960) of two judges' answers to the same questions, in the same order.

    1 is perfect agreement, 0 what two judges would reach by chance if each kept to their own habits. Raises
    ValueError for lists that differ in length or are empty, or if both judges gave one and the same answer throughout
    (chance alone then explains everything, and kappa is undefined).
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"both judges answer the same questions, not {len(first)} and {len(second)}")
    return _beyond_chance(*_shares(first, second))


def kappa_interval(first, second, *, confidence=0.95):
    """Return (low, high), an interval for Cohen's kappa of two judges' answers to the same questions.

    Wilson's interval for the share on which they agree, with the agreement by chance held at its
    measured value. In simulations of two judges with 15 to 60 questions, kappa 0 to 0.8 and one
    answer given in 50 % or 80 % of cases, "95 %" covered the truth in 92 % to 100 %; the percentile
    bootstrap did in 60 % to 96 %. Raises ValueError as `cohen_kappa` does.
    """
    cohen_kappa(first, second)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is between 0 and 1, not {confidence}")
    agreed, chance = _shares(first, second)
    ends = wilson_interval(round(agreed * len(first)), len(first), confidence=confidence)
    return tuple(_beyond_chance(end, chance) for end in ends)


def fleiss_kappa(answers):
    """Return Fleiss' kappa (1971); `answers[q]` lists what each judge answered to question q.

    The judges of different questions need not be the same people, but their number is. Raises ValueError for
    fewer than 2 judges, different numbers of them, or if one answer was given throughout.
    """
    judges = {len(row) for row in answers}
    if len(judges) != 1 or judges.pop() < 2:
        raise ValueError("every question needs the same number of judges, at least 2; leave incomplete questions out")
    number = len(answers[0])
    counts = [Counter(row) for row in answers]
    agreed = sum(c * (c - 1) for row in counts for c in row.values()) / (len(answers) * number * (number - 1))
    shares = sum(counts, Counter())
    chance = sum((c / (len(answers) * number)) ** 2 for c in shares.values())
    return _beyond_chance(agreed, chance)


def _shares(first, second):
    """Return on which share of the questions two judges agree, and on which they would by chance."""
    total = len(first)
    agreed = sum(a == b for a, b in zip(first, second, strict=True)) / total
    habits = Counter(first), Counter(second)
    chance = sum(habits[0][answer] * habits[1][answer] for answer in habits[0]) / total**2
    return agreed, chance


def _beyond_chance(agreed, chance):
    if chance == 1:
        raise ValueError("all answers are the same, so agreement by chance is certain and kappa is undefined")
    return (agreed - chance) / (1 - chance)
