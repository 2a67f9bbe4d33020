"""Checks of lesson 13 and its deeper notebook: a cache, whole numbers by rows, a refusal, a round's yield, lookup."""

import torch

from gpt2lessons.checks.frame import (
    WrongError,
    as_number,
    call_untouched,
    exercise,
    expect_number,
    expect_tensor,
    expect_value,
    refuse,
)

# width 4, so that the square root of the width is not the width
_RNG = torch.Generator().manual_seed(0)
_QKV = torch.randn(3, 7, 4, dtype=torch.float64, generator=_RNG)
_SPLITS = ((4, 5), (0, 4), (3, 7), (6, 7))  # cached tokens, tokens in all


def _attend(q, k, v, cache, *, visible=None, scale=0.5, dim=-1, newest_first=False):
    pairs = (k, cache[0]), (v, cache[1])
    keys, values = (torch.cat(pair if newest_first else pair[::-1]) for pair in pairs)
    columns, rows = torch.arange(len(keys)), torch.arange(len(q))[:, None]
    visible = visible or (lambda columns, rows, past: columns <= rows + past)
    hidden = ~visible(columns, rows, len(cache[0]))
    weights = (q @ keys.T * scale).masked_fill(hidden, -1e9).softmax(dim)
    return weights @ values, (keys, values)


_ATTENDING = {
    "a new token also sees the new tokens after it": (
        {"visible": lambda columns, rows, past: (columns >= 0) | (rows < 0)},
        "With several new tokens, the earlier ones must not look at the later ones.",
    ),
    "the mask begins at the wrong corner: row 0 sees only column 0, as if nothing were cached": (
        {"visible": lambda columns, rows, past: columns <= rows},
        "Row t stands at place S + t of the text. (`is_causal=True` of torch has this corner too.)",
    ),
    "a new token does not see itself": (
        {"visible": lambda columns, rows, past: (columns < rows + past) | (columns + rows + past == 0)},
        "Up to itself, and with itself.",
    ),
    "only the new tokens are looked at": (
        {"visible": lambda columns, rows, past: (columns >= past) & (columns <= rows + past)},
        "The cached keys and values come first, then the new ones.",
    ),
    "only the cached tokens are looked at": (
        {"visible": lambda columns, rows, past: (columns < past) | (columns == rows) & (past == 0)},
        "Append the new keys and values before you compare.",
    ),
    "the new tokens were put before the cached ones": (
        {"newest_first": True},
        "A text grows at its end: torch.cat([cached, new]).",
    ),
    "the scores are not divided": ({"scale": 1.0}, "By the square root of the width."),
    "the scores are divided by the width, not by its root": ({"scale": 0.25}, "For D = 4 divide by 2."),
    "the weights of a column sum to 1, not those of a row": (
        {"dim": 0},
        "Each new token shares out its attention: softmax over the columns.",
    ),
}


@exercise("Attention with a cache")
def attend(answer):
    """Examine `answer(q, k, v (T, D), cache) -> (output (T, D), cache)`: new tokens see the cached and each other."""
    wanted, got = [], []
    for past, end in _SPLITS:
        q, k, v = (part[past:end].clone() for part in _QKV)
        cache = tuple(part[:past].clone() for part in _QKV[1:])
        wanted.append(_attend(q, k, v, cache))
        try:
            got.append(answer(q, k, v, cache))
        except NotImplementedError:
            raise
        except Exception as error:
            what = f"with {past} tokens cached and {end - past} new, your code stopped"
            raise WrongError(f"{what} with {type(error).__name__}: {error}") from None
        if not all(part.equal(_QKV[i + 1, :past]) for i, part in enumerate(cache)):
            raise WrongError("your function changed the cache it was given.", hint="Return a new one: torch.cat.")
    for found in got:
        if not isinstance(found, tuple | list) or len(found) != 2 or not isinstance(found[1], tuple | list):
            raise WrongError("your function should return two things: the output, and (keys, values).")
    for problem, (mistake, hint) in _ATTENDING.items():
        if all(_same_outputs(found, past, end, mistake) for found, (past, end) in zip(got, _SPLITS, strict=True)):
            raise WrongError(f"{problem}.", hint=hint)
    for (past, end), found, right in zip(_SPLITS, got, wanted, strict=True):
        case = f"with {past} cached and {end - past} new tokens"
        expect_tensor(found[0], right[0], f"the output {case}")
        for name, part, whole in zip(("keys", "values"), found[1], right[1], strict=False):
            hint = "The cached ones, then the new ones."
            expect_tensor(part, whole, f"{case}, what your function returns as the {name}", hint=hint)
    return "token by token or several at once: the same as attention over the whole text."


def _same_outputs(found, past, end, mistake):
    q, k, v = (part[past:end] for part in _QKV)
    wrong = _attend(q, k, v, tuple(_QKV[1:, :past]), **mistake)[0]
    output = found[0]
    return isinstance(output, torch.Tensor) and output.shape == wrong.shape and torch.allclose(output.double(), wrong)


# row 0: its largest magnitude is negative; row 1: all zero; row 2: far smaller than row 0; halves nowhere
_WEIGHTS = torch.tensor([[0.505, -2.54, 1.285, 0.028], [0.0, 0.0, 0.0, 0.0], [0.01004, 0.0127, -0.00613, 0.00087]])


def _by(largest, levels=127, rounding=torch.round):
    scales = (largest / levels).clamp(min=1e-30)
    return rounding(_WEIGHTS / scales).clamp(-128, 127), scales


_QUANTIZERS = {
    "one scale was used for the whole matrix": (_by(_WEIGHTS.abs().max()[None, None]), "Each row has its own largest."),
    "the scales belong to the columns": (_by(_WEIGHTS.abs().amax(0, keepdim=True)), "A row is one output."),
    "the largest was taken with its sign": (_by(_WEIGHTS.amax(1, keepdim=True)), "−2.54 is larger in size than 1.27."),
    "the numbers were cut, not rounded": (
        _by(_WEIGHTS.abs().amax(1, keepdim=True), rounding=torch.trunc),
        "What does .to(torch.int8) do with 25.9?",
    ),
    "the numbers were rounded downwards": (
        _by(_WEIGHTS.abs().amax(1, keepdim=True), rounding=torch.floor),
        "To the nearest.",
    ),
    "only half of the levels are used": (_by(_WEIGHTS.abs().amax(1, keepdim=True), levels=63), "Up to 127."),
}


@exercise("Whole numbers by rows")
def quantize_rows(answer):
    """Examine `answer(weights (R, C), levels) -> (int8 (R, C), scales (R,))`: a row's largest becomes ±levels."""
    got = call_untouched(answer, _WEIGHTS, 127)
    if not isinstance(got, tuple) or len(got) != 2 or not all(isinstance(part, torch.Tensor) for part in got):
        raise WrongError("your function should return two tensors: whole numbers (R, C), and scales (R,).")
    levels, scales = got
    if not scales.isfinite().all():
        raise WrongError("a scale is nan or infinite.", hint="Which row divides by zero?")
    if levels.dtype != torch.int8:
        raise WrongError(f"the whole numbers should be torch.int8, but are {levels.dtype}.", hint="One byte each.")
    if scales.numel() != len(_WEIGHTS) and scales.numel() not in (1, _WEIGHTS.shape[1]):
        raise WrongError(f"there should be {len(_WEIGHTS)} scales, one for each row, not {scales.numel()}.")
    for problem, ((wrong, _), hint) in _QUANTIZERS.items():
        if levels.shape == wrong.shape and levels.equal(wrong.to(torch.int8)):
            raise WrongError(f"{problem}.", hint=hint)
    right, right_scales = _by(_WEIGHTS.abs().amax(1, keepdim=True))
    nonzero = [0, 2]
    if levels.shape == right.shape and levels[nonzero].equal((-right[nonzero]).to(torch.int8)):
        raise WrongError("all signs are turned round.", hint="A scale is positive.")
    expect_tensor(levels, right.to(torch.int8), "the whole numbers", hint="Divide by the scale, round, convert.")
    if scales.numel() == len(_WEIGHTS) and torch.allclose(
        scales.flatten()[nonzero] * right_scales.flatten()[nonzero], torch.ones(2), rtol=1e-3
    ):
        raise WrongError("the scales are upside down.", hint="weights ≈ levels × scale.")
    expect_tensor(
        scales.flatten()[nonzero], right_scales.flatten()[nonzero], "the scales of rows 0 and 2", tolerance=1e-6
    )
    fewer = call_untouched(answer, _WEIGHTS, 7)[0]
    if fewer.equal(levels):
        raise WrongError("with levels=7 the whole numbers are the same as with 127.", hint="Where do you use `levels`?")
    expect_tensor(fewer, _by(_WEIGHTS.abs().amax(1, keepdim=True), 7)[0], "with levels=7, the whole number")
    return "whole numbers and one scale per row; the error is at most half a scale."


# exact in binary; the second pair is equal
_P = torch.tensor([[8.0, 4, 2, 2], [4, 4, 4, 4], [1, 3, 4, 8]]) / 16
_Q = torch.tensor([[4.0, 4, 1, 7], [4, 4, 4, 4], [8, 4, 3, 1]]) / 16


@exercise("After a refusal")
def residual(answer):
    """Examine `answer(p (B, V), q (B, V)) -> (B, V)`: max(0, p - q), summing to 1; p itself where p equals q."""
    got = call_untouched(answer, _P, _Q.clone())
    left = (_P - _Q).clamp(min=0)
    right = torch.where(left.sum(-1, keepdim=True) > 0, left / left.sum(-1, keepdim=True), _P)
    both = torch.minimum(_P, _Q)
    swapped = (_Q - _P).clamp(min=0)
    safe = left.sum(-1, keepdim=True).clamp(min=1e-9)
    refuse(
        got,
        {
            "the rows do not sum to 1": (left, "Divide each row by its sum."),
            "that draws from p again, and gives too much to what was already accepted": (_P, "What has p more than q?"),
            "that is what the draft has more than the target": (
                torch.where(swapped.sum(-1, keepdim=True) > 0, swapped / swapped.sum(-1, keepdim=True), _P),
                "p − q, not q − p.",
            ),
            "the difference was taken without its sign": (
                torch.where(safe > 1e-6, (_P - _Q).abs() / (_P - _Q).abs().sum(-1, keepdim=True).clamp(min=1e-9), _P),
                "Where q is larger, nothing is left.",
            ),
            "that is what both share, the part that is accepted": (both / both.sum(-1, keepdim=True), "The rest."),
            "the differences were put through a softmax": ((_P - _Q).softmax(-1), "Cut off at 0, then divide."),
            "it was divided by the sum over the whole batch": (
                left / left.sum(),
                "Every row is a distribution of its own.",
            ),
        },
    )
    if isinstance(got, torch.Tensor) and got.isnan().any():
        raise WrongError("a row is nan.", hint="Where p equals q, nothing is left to divide. Return p there.")
    if isinstance(got, torch.Tensor) and got.shape == right.shape and not got[1].any():
        raise WrongError("where p equals q the row is all zero, which is no distribution.", hint="Return p there.")
    expect_tensor(got, right, "the distribution after a refusal")
    return "what p has more than q, divided by its sum: together with what was kept it makes exactly p."


_YIELDS = {
    "the target's own token is missing": (
        lambda a, n: sum(a**k for k in range(1, n + 1)),
        "A round with no guess right still gives one token.",
    ),
    "that counts n tokens at most, but a perfect round gives n + 1": (
        lambda a, n: sum(a**k for k in range(n)),
        "After n right guesses the target adds one.",
    ),
    "the guesses were counted as if one refusal did not end the round": (
        lambda a, n: n * a + 1,
        "Guess 3 counts only if 1 and 2 were right.",
    ),
    "that is the number of right guesses if none depended on another": (
        lambda a, n: n * a,
        "Guess 3 counts only if 1 and 2 were right, and the target adds a token.",
    ),
    "that is the yield of a perfect round times its probability": (
        lambda a, n: (n + 1) * a**n,
        "Rounds that are right in part count too.",
    ),
    "that is the yield without any limit to the guesses": (lambda a, n: 1 / (1 - a), "A round has n guesses."),
}


@exercise("What a round yields")
def expected_tokens(answer):
    """Examine `answer(alpha, n)`: the expected tokens of a round, 1 + alpha + … + alpha ** n, alpha = 1 included."""
    pairs = [(0.5, 1), (0.5, 3), (0.8, 4), (0.25, 2)]
    got = {pair: as_number(answer(*pair), f"the yield for α={pair[0]}, n={pair[1]}") for pair in pairs}
    for problem, (wrong, hint) in _YIELDS.items():
        if all(abs(got[pair] - wrong(*pair)) < 1e-6 for pair in pairs):
            raise WrongError(f"{problem}.", hint=hint)
    for (a, n), value in got.items():
        expect_number(value, sum(a**k for k in range(n + 1)), f"the yield for α={a}, n={n}")
    expect_number(answer(0.7, 0), 1, "the yield for n=0", hint="Without a guess: plain decoding.")
    try:
        perfect = answer(1.0, 4)
    except ZeroDivisionError:
        raise WrongError(
            "for α=1 your function divides by zero.", hint="The sum has no such trouble; the quotient has."
        ) from None
    expect_number(perfect, 5, "the yield for α=1, n=4", hint="Every guess is right.")
    return "each further guess counts only if all before it were right: 1 + α + α² + … + αⁿ."


def _places(ids, size):
    return [i for i in range(len(ids) - size) if ids[i : i + size] == ids[-size:]]


_TEXTS = (
    ([7, 1, 2, 5, 6, 1, 2, 8, 9, 3, 4, 1, 2], 3, 2),
    ([3, 4, 3, 5, 3], 1, 1),
    ([1, 2, 3, 4], 2, 1),
    ([6, 6, 6, 6], 3, 2),
    ([1, 2, 9, 2, 5, 7, 2], 2, 2),
    ([5], 2, 1),
)
_LOOKUPS = {
    "the first place was taken, not the latest": (
        lambda ids, n, size: ids[_places(ids, size)[0] + size :][:n] if _places(ids, size) else [],
        "Search from the end, or keep the last match.",
    ),
    "the text found its own end, behind which nothing stands": (
        lambda ids, n, size: [],
        "The last place where the ids stand is the end itself. Look before it.",
    ),
    "the ids that were searched for are part of the answer": (
        lambda ids, n, size: ids[_places(ids, size)[-1] :][:n] if _places(ids, size) else [],
        "What came after them?",
    ),
    "the guess begins one id too late": (
        lambda ids, n, size: ids[_places(ids, size)[-1] + size + 1 :][:n] if _places(ids, size) else [],
        "The match has `size` ids; what stands right behind it?",
    ),
    "everything that follows was returned": (
        lambda ids, n, size: ids[_places(ids, size)[-1] + size :] if _places(ids, size) else [],
        "At most n.",
    ),
    "only the last id was compared": (
        lambda ids, n, size: ids[_places(ids, 1)[-1] + 1 :][:n] if _places(ids, 1) else [],
        "The last `size` ids have to fit.",
    ),
}


@exercise("The latest place")
def lookup(answer):
    """Examine `answer(ids, n, size)`: up to n ids behind the latest earlier place of the last `size` ids, or []."""
    got = []
    for ids, n, size in _TEXTS:
        given = list(ids)
        found = answer(given, n, size)
        if given != ids:
            raise WrongError("your function changed the list it was given.", hint="Slices are copies.")
        if found is None:
            raise WrongError(f"for {ids} your function returns None.", hint="Where nothing fits: an empty list.")
        got.append([int(i) for i in found])
    for problem, (wrong, hint) in _LOOKUPS.items():
        if all(found == wrong(*text) for found, text in zip(got, _TEXTS, strict=True)):
            raise WrongError(f"{problem}.", hint=hint)
    for (ids, n, size), found in zip(_TEXTS, got, strict=True):
        places = _places(ids, size)
        right = ids[places[-1] + size :][:n] if places else []
        expect_value(found, right, f"the guess for {ids}, n={n}, size={size}")
    return "a draft that costs nothing: the text itself, read from its latest similar place on."
