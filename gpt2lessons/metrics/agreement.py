"""How far people agree beyond chance: Cohen's kappa for two judges, Fleiss' kappa for many."""

from collections import Counter


def cohen_kappa(first, second):
    """Return Cohen's kappa (1960) of two judges' answers to the same questions, in the same order.

    1 is perfect agreement, 0 what two judges would reach by chance if each kept to their own habits. Raises
    ValueError for lists that differ in length or are empty, or if both judges gave one and the same answer throughout
    (chance alone then explains everything, and kappa is undefined).
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"both judges answer the same questions, not {len(first)} and {len(second)}")
    total = len(first)
    agreed = sum(a == b for a, b in zip(first, second, strict=True)) / total
    habits = Counter(first), Counter(second)
    chance = sum(habits[0][answer] * habits[1][answer] for answer in habits[0]) / total**2
    return _beyond_chance(agreed, chance)


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


def _beyond_chance(agreed, chance):
    if chance == 1:
        raise ValueError("all answers are the same, so agreement by chance is certain and kappa is undefined")
    return (agreed - chance) / (1 - chance)
