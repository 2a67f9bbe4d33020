"""Checks of lesson 02: count, merge, learn, encode."""

from itertools import pairwise

from gpt2lessons import bpe
from gpt2lessons.checks.frame import WrongError, exercise

_TOY = {"hat": 4, "that": 3, "mat": 2, "chat": 1}
# no two pairs are equally frequent at any of the first three steps
_WORDS = {"pin": 5, "pint": 3, "tin": 6, "into": 4}


def _spelled(words):
    return {tuple(word): times for word, times in words.items()}


@exercise("Count the neighbours")
def count_pairs(answer):
    """Examine `answer(words) -> {(a, b): count}`, where `words` is {tuple of tokens: how often it was read}."""
    for words in (_TOY, {"haha": 2, "aaa": 5, "x": 9}, _WORDS):
        given = _spelled(words)
        got, right = answer(given), bpe.count_pairs(_spelled(words))
        if given != _spelled(words):
            raise WrongError("your function changed the words that it was given.", hint="Only read from them.")
        if not isinstance(got, dict):
            hint = "A Counter is a dictionary too. Does your function end with `return`?"
            raise WrongError(f"the result should be a dictionary, not {type(got).__name__}.", hint=hint)
        _diagnose_keys(got)
        counts = {pair: n for pair, n in got.items() if n}
        if counts != right:
            _diagnose_counts(words, counts, right)
    return "every pair was counted in every word, as often as the word was read."


def _diagnose_keys(got):
    for key in got:
        if isinstance(key, str):
            shown = f"{key!r} is a str"
            if len(key) == 1:
                raise WrongError(f"you counted single tokens: {shown}.", hint="Count two neighbours at a time.")
            hint = "Keep the two tokens apart, as in ('a', 't'). 'that' could be t + hat or th + at."
            raise WrongError(f"a key should be a pair of tokens, but {shown}.", hint=hint)
        if not isinstance(key, tuple) or len(key) != 2:
            raise WrongError(f"a key should be a pair of tokens, not {key!r}.", hint="Two neighbours: (a, b).")


def _diagnose_counts(words, counts, right):
    spelled = _spelled(words)
    if counts == bpe.count_pairs(dict.fromkeys(spelled, 1)):
        hint = "A word that was read four times brings each of its pairs four times."
        raise WrongError("you counted each word once.", hint=hint)
    every_second = {}
    once = {}
    for word, n in words.items():
        for pair in set(pairwise(word)):
            once[pair] = once.get(pair, 0) + n
        for pair in zip(word[::2], word[1::2], strict=False):
            every_second[pair] = every_second.get(pair, 0) + n
    if counts == once:
        hint = "In 'haha' the pair ('h', 'a') stands twice."
        raise WrongError("a pair that stands twice in a word was counted once.", hint=hint)
    if counts == every_second:
        hint = "'hat' has two pairs of neighbours, and the 'a' belongs to both."
        raise WrongError("you cut the words into separate pairs.", hint=hint)
    if any((b, a) in counts for a, b in right if (a, b) not in counts):
        raise WrongError("a pair is the wrong way round.", hint="The token on the left comes first.")
    if missing := [pair for pair in right if pair not in counts]:
        hint = "Look at the ends of a word: where does your loop stop?"
        raise WrongError(f"in {list(words)} the pair {missing[0]} was not found.", hint=hint)
    if extra := [pair for pair in counts if pair not in right]:
        hint = "Pairs stand inside a word, side by side."
        raise WrongError(f"in {list(words)} no {extra[0][1]!r} follows {extra[0][0]!r} directly.", hint=hint)
    pair = next(pair for pair in right if counts[pair] != right[pair])
    size = "large" if counts[pair] > right[pair] else "small"
    raise WrongError(f"in {words} your count of {pair} is too {size}.", hint="Add up word by word, on paper.")


@exercise("Merge a pair")
def merge(answer):
    """Examine `answer(parts, pair) -> tuple`: `parts` with each `pair` joined, from the left, without overlap."""
    cases = (
        (tuple("chat"), ("a", "t")),
        (tuple("tomato"), ("t", "o")),
        (("xa", "b", "a", "b", "c"), ("a", "b")),
        (tuple("aaa"), ("a", "a")),
        (tuple("aaaa"), ("a", "a")),
        (tuple("ta"), ("a", "t")),
        ((b"h", b"a", b"t"), (b"h", b"a")),
        (("m",), ("a", "t")),
    )
    for parts, pair in cases:
        got = answer(parts, pair)
        call = f"merge({parts}, {pair})"
        if got is None:
            raise WrongError(f"{call} is None.", hint="Does your function end with `return`?")
        if isinstance(got, list) and tuple(got) == bpe.merge(parts, pair):
            hint = "tuple(…) makes one. Words are keys of a dictionary, and a list cannot be a key."
            raise WrongError(f"{call} is a list; a tuple is wanted.", hint=hint)
        if not isinstance(got, tuple):
            raise WrongError(f"{call} should be a tuple of tokens, not {type(got).__name__}: {got!r}.")
        if got != bpe.merge(parts, pair):
            _diagnose_merge(call, parts, pair, got)
    return "every pair was joined, from the left, and no token was used twice."


def _diagnose_merge(call, parts, pair, got):
    said, joined, empty = f"{call} is {got}", pair[0] + pair[1], pair[0][:0]
    if empty.join(got) != empty.join(parts):
        if len(got) > 1 and got[0] == got[1] == joined:
            hint = "After a merge, go on behind both tokens."
            raise WrongError(f"{said}: a token was used twice.", hint=hint)
        if len(empty.join(got)) > len(empty.join(parts)):
            hint = "The joined token takes the place of both; neither stays."
            raise WrongError(f"{said}: something is in it twice.", hint=hint)
        raise WrongError(f"{said}: a part was lost.", hint="What happens to the last token, and to a word of one?")
    if pair[::-1] in pairwise(parts) and pair not in pairwise(parts):
        raise WrongError(f"{said}: the pair stands there the wrong way round.", hint="First a, then b.")
    if any(token not in (*parts, joined) for token in got):
        hint = "Compare whole tokens. A search in the joined text cannot see where a token ends."
        raise WrongError(f"{said}: tokens were joined that are not the pair.", hint=hint)
    if joined not in got:
        raise WrongError(f"{said}: nothing was joined.", hint="Compare two neighbours with the pair.")
    if got.count(joined) == bpe.merge(parts, pair).count(joined):
        raise WrongError(f"{said}: you went from the right.", hint="Where two merges overlap, the left one counts.")
    raise WrongError(f"{said}: not every pair was joined.", hint="After the first merge, go on to the end of the word.")


@exercise("Learn the merges")
def learn(answer):
    """Examine `answer(words, num_merges) -> list of pairs`, the merges in the order in which they are learnt."""
    for words, number in ((_WORDS, 3), (_TOY, 3), (_WORDS, 1), (_TOY, 0)):
        given = _spelled(words)
        got = answer(given, number)
        if given != _spelled(words):
            hint = "Make a new dictionary in each round."
            raise WrongError("your function changed the words that it was given.", hint=hint)
        _diagnose_merges(words, number, got)
    short = {("a", "b", "c"): 2, ("b", "c"): 1}
    try:
        got = answer(dict(short), 5)
    except (ValueError, IndexError, KeyError) as error:
        hint = "After two merges each word is one token. Stop there."
        problem = f"no pair is left to be merged, and your code stopped with {type(error).__name__}"
        raise WrongError(f"{problem}.", hint=hint) from None
    if list(got) != bpe.learn(short, 5):
        hint = "Five merges are asked for, and 'abc' has no more than two. Return those."
        raise WrongError("where no pair is left, your function does not stop in time.", hint=hint)
    return "counted anew after each merge, and stopped when nothing was left to merge."


def _diagnose_merges(words, number, got):
    case = f"learn({words}, {number})"
    if not isinstance(got, list):
        kind = type(got).__name__
        raise WrongError(f"{case} should be a list of pairs, not {kind}.", hint="Collect each pair and return them.")
    if any(isinstance(merge, str) for merge in got):
        raise WrongError(f"{case} is {got}: the tokens. The merges are wanted.", hint="A merge is a pair: (a, b).")
    if not all(isinstance(merge, tuple) and len(merge) == 2 for merge in got):
        hint = "most_common(1) is a list with one (pair, count) in it."
        raise WrongError(f"{case} is {got}: a merge is a pair of tokens.", hint=hint)
    if not all(isinstance(token, str) for merge in got for token in merge):
        hint = "most_common(1) is a list with one (pair, count) in it. Take the pair."
        raise WrongError(f"{case} is {got}: a count is among the tokens.", hint=hint)
    if len(got) != number:
        raise WrongError(f"{case} gave {len(got)} merges, not {number}.", hint="One merge for each round.")
    right = bpe.learn(_spelled(words), number)
    if got == right:
        return
    counts = bpe.count_pairs(_spelled(words))
    if got == [pair for pair, _ in counts.most_common(number)]:
        hint = "A merge removes some pairs and makes new ones. Count again in each round."
        raise WrongError(f"{case} is {got}: you counted once, before the first merge.", hint=hint)
    if got == [right[0]] * number:
        hint = "The words must be merged as well, and the next count must read the merged words."
        raise WrongError(f"{case} is {got}: every round found the same pair.", hint=hint)
    if got == bpe.learn(dict.fromkeys(_spelled(words), 1), number):
        hint = "A word that was read five times brings each of its pairs five times."
        raise WrongError(f"{case} is {got}: you counted each word once.", hint=hint)
    if got == right[::-1]:
        raise WrongError(f"{case} is {got}: in the wrong order.", hint="The merge learnt first stands first.")
    place = next(i for i in range(number) if got[i] != right[i])
    problem = f"{case} is {got}: merge {place + 1} is not the most frequent pair of its round"
    raise WrongError(f"{problem}.", hint="Print the words and the counts in each round.")


def _one_merge(parts, ranks):
    known = [pair for pair in pairwise(parts) if pair in ranks]
    return bpe.merge(parts, min(known, key=ranks.get)) if known else parts


def _leftmost(parts, ranks):
    while known := [pair for pair in pairwise(parts) if pair in ranks]:
        parts = bpe.merge(parts, known[0])
    return parts


# what is wrong: (a function that makes the mistake, a hint)
_SLIPS = {
    "nothing was merged": (
        lambda parts, ranks: parts,
        "Which neighbours are among the known merges?",
    ),
    "you stopped after one merge": (
        _one_merge,
        "After a merge there are new neighbours. Look again, until none of them is known.",
    ),
    "the merge with rank 0 was left out": (
        lambda parts, ranks: bpe.apply_merges(parts, {pair: rank for pair, rank in ranks.items() if rank}),
        "Rank 0 is a rank. `if ranks.get(pair)` takes 0 for nothing; ask `pair in ranks`.",
    ),
    "the merge learnt last went first": (
        lambda parts, ranks: bpe.apply_merges(parts, {pair: -rank for pair, rank in ranks.items()}),
        "Rank 0 was learnt first.",
    ),
    "the leftmost known pair went first": (
        _leftmost,
        "Its place in the word does not matter; the place in the list of merges does.",
    ),
}


@exercise("Encode a word")
def apply_merges(answer):
    """Examine `answer(parts, ranks) -> tuple`: `parts` after all known merges, the lowest rank first."""
    toy = {pair: rank for rank, pair in enumerate(bpe.learn(_spelled(_TOY), 3))}
    crossing = {("b", "c"): 0, ("a", "b"): 1, ("ab", "c"): 2, ("c", "d"): 3}
    words = [(word, toy) for word in ("hat", "that", "chats", "hathat", "xyz", "t")]
    nested = {("b", "c"): 0, ("a", "bc"): 1, ("a", "b"): 2}
    cases = [*words, *((word, crossing) for word in ("abc", "abcd", "bcd", "cdabc")), ("abc", nested)]
    answers = []
    for word, ranks in cases:
        before = dict(ranks)
        got = answer(tuple(word), ranks)
        if ranks != before:
            raise WrongError("your function changed the ranks.", hint="Other words will need them too.")
        said = f"with the merges {list(ranks)}, {word!r} became {got!r}"
        if isinstance(got, str) or not isinstance(got, tuple | list):
            hint = "Return a tuple of tokens. Does your function end with `return`?"
            raise WrongError(f"{said}, not a tuple of tokens.", hint=hint)
        if "".join(map(str, got)) != word:
            raise WrongError(f"{said}: the tokens do not make the word again.", hint="A merge loses nothing.")
        answers.append((said, tuple(got)))
    _diagnose_tokens(cases, answers)
    return "the merge learnt first went first, again and again, until none was left."


def _diagnose_tokens(cases, answers):
    right = [bpe.apply_merges(tuple(word), ranks) for word, ranks in cases]
    wrong = [i for i, (_, got) in enumerate(answers) if got != right[i]]
    if not wrong:
        return
    said, got = answers[wrong[0]]
    for problem, (slip, hint) in _SLIPS.items():
        if all(slip(tuple(word), ranks) == answer[1] for (word, ranks), answer in zip(cases, answers, strict=True)):
            raise WrongError(f"{said}: {problem}.", hint=hint)
    if any(pair in cases[wrong[0]][1] for pair in pairwise(got)):
        hint = "Two neighbours in your result are a known merge. When does your loop end?"
        raise WrongError(f"{said}: that is not the end.", hint=hint)
    hint = "Neither the longest token wins nor the one on the left. What decides is the rank."
    raise WrongError(f"{said}: a merge of a higher rank went before one of a lower.", hint=hint)
