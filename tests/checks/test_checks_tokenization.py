"""Checks of lesson 02: one differently written right answer each, and named mistakes, each with its own diagnosis."""

from collections import Counter
from itertools import pairwise

import pytest
from support.told_apart import three_tests

from gpt2lessons import bpe
from gpt2lessons.checks import tokenization as checks

# Each function is a learner's answer; its name says what is wrong with it.


def counted_with_indices(words):
    counts = {}
    for word, times in words.items():
        for i in range(len(word) - 1):
            counts[word[i], word[i + 1]] = counts.get((word[i], word[i + 1]), 0) + times
    return counts


def words_once(words):
    return bpe.count_pairs(dict.fromkeys(words, 1))


def once_per_word(words):
    counts = Counter()
    for word, times in words.items():
        for pair in set(pairwise(word)):
            counts[pair] += times
    return counts


def every_second(words):
    counts = Counter()
    for word, times in words.items():
        for pair in zip(word[::2], word[1::2], strict=False):
            counts[pair] += times
    return counts


def joined_keys(words):
    return {a + b: n for (a, b), n in bpe.count_pairs(words).items()}


def single_tokens(words):
    return Counter(token for word, times in words.items() for token in word for _ in range(times))


def wrong_way_round(words):
    return {(b, a): n for (a, b), n in bpe.count_pairs(words).items()}


def last_pair_missing(words):
    return bpe.count_pairs({word[:-1]: times for word, times in words.items()})


def skipping_pairs(words):
    counts = bpe.count_pairs(words)
    for word, times in words.items():
        for pair in zip(word, word[2:], strict=False):
            counts[pair] += times
    return counts


def one_more(words):
    return {pair: n + 1 for pair, n in bpe.count_pairs(words).items()}


def emptied(words):
    counts = bpe.count_pairs(words)
    words.clear()
    return counts


def merged_with_index(parts, pair):
    out, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and parts[i] == pair[0] and parts[i + 1] == pair[1]:
            out.append(parts[i] + parts[i + 1])
            i += 2
        else:
            out.append(parts[i])
            i += 1
    return tuple(out)


def first_only(parts, pair):
    for i, found in enumerate(pairwise(parts)):
        if found == pair:
            return (*parts[:i], pair[0] + pair[1], *parts[i + 2 :])
    return parts


def overlapping(parts, pair):
    """Join every pair that can be seen, though two of them may share a token."""
    out, i = [], 0
    while i < len(parts):
        found = tuple(parts[i : i + 2]) == pair
        out.append(pair[0] + pair[1] if found else parts[i])
        i += 2 if found and tuple(parts[i + 1 : i + 3]) != pair else 1
    return tuple(out)


def both_ways(parts, pair):
    return bpe.merge(bpe.merge(parts, pair), pair[::-1])


def text_replaced(parts, pair):
    joined = pair[0] + pair[1]
    if not isinstance(joined, str):
        return bpe.merge(parts, pair)
    marked = "|".join(parts).replace(f"{pair[0]}|{pair[1]}", joined)
    return tuple(marked.split("|"))


def last_token_lost(parts, pair):
    return bpe.merge(parts[:-1], pair)


def added(parts, pair):
    return (*bpe.merge(parts, pair), pair[0] + pair[1])


def from_the_right(parts, pair):
    flipped = bpe.merge(tuple(t[::-1] for t in parts[::-1]), tuple(t[::-1] for t in pair[::-1]))
    return tuple(t[::-1] for t in flipped[::-1])


def learned_with_sorting(words, num_merges):
    merges = []
    for _ in range(num_merges):
        ordered = sorted(bpe.count_pairs(words).items(), key=lambda item: -item[1])
        if not ordered:
            break
        merges.append(ordered[0][0])
        words = {merged_with_index(word, ordered[0][0]): n for word, n in words.items()}
    return merges


def learned(words, num_merges, *, stop=True, count=bpe.count_pairs, join=bpe.merge, keep=lambda pair, n: pair):
    """Learn as one should, but for what the arguments change."""
    merges = []
    for _ in range(num_merges):
        counts = count(words)
        if stop and not counts:
            break
        pair, n = counts.most_common(1)[0]
        merges.append(keep(pair, n))
        words = {join(word, pair): times for word, times in words.items()}
    return merges


def learned_in_place(words, num_merges):
    merges = learned(words, num_merges)
    for word in list(words):
        words[bpe.merge(word, ("i", "n"))] = words.pop(word)
    return merges


def never_stops(words, num_merges):
    merges = learned(words, num_merges)
    return merges + merges[-1:] * (num_merges - len(merges))


def ranked_in_one_pass(parts, ranks):
    for pair in sorted(ranks, key=ranks.get):
        parts = bpe.merge(parts, pair)
    return list(parts)


def leftmost(parts, ranks):
    while known := [pair for pair in pairwise(parts) if pair in ranks]:
        parts = bpe.merge(parts, known[0])
    return parts


def one_merge(parts, ranks):
    known = [pair for pair in pairwise(parts) if pair in ranks]
    return bpe.merge(parts, min(known, key=ranks.get)) if known else parts


def zero_is_nothing(parts, ranks):
    return bpe.apply_merges(parts, {pair: rank for pair, rank in ranks.items() if rank})


def highest_rank(parts, ranks):
    return bpe.apply_merges(parts, {pair: -rank for pair, rank in ranks.items()})


def two_merges(parts, ranks):
    return one_merge(one_merge(parts, ranks), ranks)


def longest_match(parts, ranks):
    """Take from the left the longest piece that is a token, as WordPiece does."""
    tokens = {a + b for a, b in ranks}
    found, rest = [], "".join(parts)
    while rest:
        size = max(n for n in range(1, len(rest) + 1) if n == 1 or rest[:n] in tokens)
        found.append(rest[:size])
        rest = rest[size:]
    return tuple(found)


def emptied_ranks(parts, ranks):
    result = bpe.apply_merges(parts, ranks)
    ranks.clear()
    return result


RIGHT = {
    "count_pairs": (counted_with_indices,),
    "merge": (merged_with_index,),
    "learn": (learned_with_sorting,),
    "apply_merges": (ranked_in_one_pass,),
}

WRONG = {
    "count_pairs": {
        "words once": (words_once, "counted each word once"),
        "once per word": (once_per_word, "stands twice in a word was counted once"),
        "every second": (every_second, "into separate pairs"),
        "joined keys": (joined_keys, "should be a pair of tokens, but"),
        "single tokens": (single_tokens, "counted single tokens"),
        "triples": (lambda words: {("a", "b", "c"): 1}, "not ('a', 'b', 'c')"),
        "list": (lambda words: bpe.count_pairs(words).most_common(), "not list"),
        "wrong way round": (wrong_way_round, "wrong way round"),
        "last pair": (last_pair_missing, "was not found"),
        "skipping": (skipping_pairs, "directly"),
        "one more": (one_more, "too large"),
        "in place": (emptied, "changed the words"),
    },
    "merge": {
        "first only": (first_only, "not every pair was joined"),
        "both ways": (both_ways, "wrong way round"),
        "text": (text_replaced, "joined that are not the pair"),
        "overlapping": (overlapping, "used twice"),
        "last token": (last_token_lost, "a part was lost"),
        "added": (added, "something is in it twice"),
        "right": (from_the_right, "you went from the right"),
        "untouched": (lambda parts, pair: parts, "nothing was joined"),
        "list": (lambda parts, pair: list(bpe.merge(parts, pair)), "a tuple is wanted"),
        "text back": (lambda parts, pair: "".join(parts), "not str"),
        "nothing": (lambda parts, pair: None, "is None"),
    },
    "learn": {
        "counted once": (
            lambda words, n: [pair for pair, _ in bpe.count_pairs(words).most_common(n)],
            "before the first merge",
        ),
        "not merged": (lambda words, n: learned(words, n, join=lambda word, _: word), "found the same pair"),
        "words once": (lambda words, n: learned(words, n, count=words_once), "counted each word once"),
        "tokens": (lambda words, n: learned(words, n, keep=lambda pair, _: "".join(pair)), "The merges are wanted"),
        "with counts": (lambda words, n: learned(words, n, keep=lambda pair, m: (pair, m)), "a count is among"),
        "lists": (lambda words, n: [[pair] for pair in learned(words, n)], "a merge is a pair of tokens"),
        "does not stop": (lambda words, n: learned(words, n, stop=False), "stopped with IndexError"),
        "repeats": (never_stops, "does not stop in time"),
        "too few": (lambda words, n: learned(words, n)[:-1], "merges, not 3"),
        "reversed": (lambda words, n: learned(words, n)[::-1], "in the wrong order"),
        "rarest": (
            lambda words, n: learned(words, n, count=lambda w: Counter({p: -m for p, m in bpe.count_pairs(w).items()})),
            "not the most frequent pair",
        ),
        "in place": (learned_in_place, "changed the words"),
        "dictionary": (lambda words, n: dict.fromkeys(learned(words, n)), "not dict"),
    },
    "apply_merges": {
        "leftmost": (leftmost, "the leftmost known pair went first"),
        "longest": (longest_match, "a merge of a higher rank went before"),
        "once": (one_merge, "stopped after one merge"),
        "zero": (zero_is_nothing, "with rank 0 was left out"),
        "twice": (two_merges, "that is not the end"),
        "highest": (highest_rank, "learnt last went first"),
        "untouched": (lambda parts, ranks: parts, "nothing was merged"),
        "text": (lambda parts, ranks: "".join(parts), "not a tuple of tokens"),
        "last token": (lambda parts, ranks: bpe.apply_merges(parts[:-1], ranks), "do not make the word again"),
        "in place": (emptied_ranks, "changed the ranks"),
    },
}

test_right, test_wrong, test_told_apart = three_tests(checks, RIGHT, WRONG)


@pytest.mark.parametrize("name", RIGHT)
def test_stub_is_unanswered(name):
    assert getattr(checks, name)().status == "unanswered"
    assert getattr(checks, name)(lambda *_: None).status == "wrong"


def test_at_least_five_mistakes_for_each_exercise():
    assert all(len(mistakes) >= 5 for mistakes in WRONG.values())
