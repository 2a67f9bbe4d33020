"""Merging neighbours, the heart of byte-pair encoding: learn merges from words, apply them to one word.

Looking through a whole word after each merge takes minutes for a "word" of 100,000 mixed letters. Here the tokens of a
word lie in a doubly linked list, and a heap says which merge is next: a merge only touches its two neighbours, and n
tokens take n log n steps.
"""

import heapq
from collections import Counter, defaultdict
from itertools import pairwise


def learn(words, num_merges, *, first_id):
    """Return the merges (id, id, new id) that `words` teach, in the order learnt, `num_merges` at most.

    `words`: pairs of a list of ids and how often the word occurs. New ids count up from `first_id`. The most frequent
    pair of neighbours is merged first, the one with the smaller ids of those that are equally frequent.
    """
    ids, times, before, after = _linked(words)
    pair_counts, places = Counter(), defaultdict(list)  # places may be stale: passed over when their turn comes
    for i, j in enumerate(after):
        if j != -1:
            pair_counts[ids[i], ids[j]] += times[i]
            places[ids[i], ids[j]].append(i)
    heap, merges = [(-n, pair) for pair, n in pair_counts.items()], []
    heapq.heapify(heap)
    while heap and len(merges) < num_merges:
        n, pair = heapq.heappop(heap)
        if -n != pair_counts[pair]:  # an old count: a pair only gets rarer after the step that made it
            if pair_counts[pair] > 0:
                heapq.heappush(heap, (-pair_counts[pair], pair))
            continue
        new, made = first_id + len(merges), set()
        merges.append((*pair, new))
        for i in sorted(places.pop(pair)):  # from left to right: of three equal letters the first two are joined
            j = after[i]
            if j == -1 or (ids[i], ids[j]) != pair:
                continue
            h, k = before[i], after[j]
            for a, b in ((h, i), (i, j), (j, k)):
                if -1 not in (a, b):
                    pair_counts[ids[a], ids[b]] -= times[i]
            ids[i], ids[j], after[i] = new, None, k  # None marks the swallowed place: it belongs to no pair
            if k != -1:
                before[k] = i
            for a, b in ((h, i), (i, k)):
                if -1 not in (a, b):
                    made.add((ids[a], ids[b]))
                    pair_counts[ids[a], ids[b]] += times[i]
                    places[ids[a], ids[b]].append(a)
        for p in made:
            if pair_counts[p] > 0:  # the next merge to the right may have undone it
                heapq.heappush(heap, (-pair_counts[p], p))
    return merges


def _linked(words):
    """Return all words in a row: ids, how often each id's word occurs, the places before and after each id (or -1)."""
    ids, times, before, after = [], [], [], []
    for word, count in words:
        start, end = len(ids), len(ids) + len(word)
        ids += word
        times += [count] * len(word)
        before += [-1, *range(start, end - 1)]
        after += [*range(start + 1, end), -1]
    return ids, times, before, after


def apply(ids, ranks, merged):
    """Return `ids`, a list, with every merge made: of the pairs in `ranks` {(id, id): rank} the lowest rank first.

    `merged[rank]` is what a pair becomes. The list that was given is changed.
    """
    end = len(ids)
    before, after = list(range(-1, end - 1)), list(range(1, end + 1))
    heap = [(ranks[p], i) for i, p in enumerate(pairwise(ids)) if p in ranks]
    heapq.heapify(heap)
    while heap:
        rank, i = heapq.heappop(heap)
        j = after[i]
        if j == end or ranks.get((ids[i], ids[j])) != rank:  # stale: swallowed, or another pair by now
            continue
        ids[i], ids[j] = merged[rank], None  # None marks the swallowed place: no pair with it has a rank
        k = after[i] = after[j]
        if k < end:
            before[k] = i
        for a, b in ((before[i], i), (i, k)):
            if a >= 0 and b < end and (new := ranks.get((ids[a], ids[b]))) is not None:
                heapq.heappush(heap, (new, a))
    return [i for i in ids if i is not None]


def join(parts, pair, new):
    """Return `parts` with each `pair`, from left to right and without overlap, replaced by `new`."""
    joined, i = [], 0
    while i < len(parts):
        found = tuple(parts[i : i + 2]) == pair
        joined.append(new if found else parts[i])
        i += 2 if found else 1
    return joined
