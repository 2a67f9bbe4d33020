"""Checks of lesson 13: the ridge as a batch, int8 by rows, the law after a refusal, a round's yield, lookup."""

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


@exercise("From which batch on?")
def ridge_batch(answer):
    """Examine the batch at the ridge of a machine with 20 GB/s and 600 GFLOP/s, weights in float32: 60."""
    refuse(
        answer,
        {
            "that is the ridge in FLOP per byte, not in texts": (30, "What does one text do with the 4 bytes read?"),
            "each weight was counted as one operation per text": (120, "A multiplication and an addition."),
            "bytes and operations changed places": (15, "30 FLOP per byte are how many FLOP per weight?"),
            "that is the ridge upside down": (1 / 30, "Operations per second over bytes per second."),
            "that is the batch for weights of 2 bytes and one operation each, or of 8 bits": (240, "float32: 4 bytes."),
            "the texts were counted per operation": (7.5, "30 FLOP per byte are 120 FLOP per weight."),
        },
    )
    expect_number(answer, 60, "the batch", hint="FLOP per byte → FLOP per weight → texts.")
    return "30 FLOP per byte are 120 FLOP per weight of 4 bytes, and each text does 2 of them: 60 texts."


# row 0: its largest magnitude is negative; row 1: all zero; row 2: far smaller than row 0; halves nowhere
_WEIGHTS = torch.tensor([[0.5, -2.54, 1.27, 0.028], [0.0, 0.0, 0.0, 0.0], [0.01, 0.0127, -0.00613, 0.00087]])


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


@exercise("Eight bits by rows")
def quantize_rows(answer):
    """Examine `answer(weights (R, C)) -> (int8 (R, C), scales (R,))`: the largest of a row becomes ±127."""
    got = call_untouched(answer, _WEIGHTS)
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
    expect_tensor(scales[nonzero], right_scales.flatten()[nonzero], "the scales of rows 0 and 2", tolerance=1e-6)
    return "one byte per weight and one scale per row; the error is at most half a scale."


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
            "it was divided by the sum over the whole batch": (left / left.sum(), "Every row is a law of its own."),
        },
    )
    if isinstance(got, torch.Tensor) and got.isnan().any():
        raise WrongError("a row is nan.", hint="Where p equals q, nothing is left to divide. Return p there.")
    if isinstance(got, torch.Tensor) and got.shape == right.shape and not got[1].any():
        raise WrongError("where p equals q the row is all zero, which is no law.", hint="Return p there.")
    expect_tensor(got, right, "the law after a refusal")
    return "what p has more than q, made whole: with what was accepted it adds up to p."


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
    "that is the yield of a perfect round times its chance": (
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


@exercise("Look it up")
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
