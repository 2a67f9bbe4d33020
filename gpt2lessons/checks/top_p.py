"""Checks of lesson 08: a nucleus by hand, its members, the convention with the threshold token out, and min-p."""

import math

import torch

from gpt2lessons.checks.frame import (
    WrongError,
    call_untouched,
    exercise,
    expect_number,
    expect_tensor,
    refuse,
)

_INF = math.inf


@exercise("A nucleus by hand")
def by_hand(answer):
    """Examine the probability of the second of five tokens (0.15, 0.4, 0.05, 0.3, 0.1) after top_p=0.65."""
    refuse(
        answer,
        {
            "that is its probability before: what is left does not sum to 1 yet": (0.4, "Divide by the mass kept."),
            "the token that crosses the threshold was left out, so only one is left": (1.0, "Does 0.4 reach 0.65?"),
            "one token too many is in": (0.4 / 0.85, "Does the mass reach 0.65 earlier?"),
            "the probabilities were added in the order of the tokens": (0.4 / 0.9, "The most probable come first."),
            "it was divided by top_p": (0.4 / 0.65, "The nucleus holds more than top_p. How much does it hold?"),
            "that is the mass of the nucleus, not the token's share of it": (0.7, "Its share?"),
            "the probabilities were put through a softmax": (
                math.exp(0.4) / (math.exp(0.4) + math.exp(0.3)),
                "Softmax takes logits. Probabilities are just renormalised.",
            ),
        },
    )
    hint = "Sort, add up until 0.65 is reached, divide by the sum."
    expect_number(answer, 4 / 7, "the probability", tolerance=1e-3, hint=hint)
    return "0.4 does not reach 0.65, 0.4 + 0.3 does: two tokens, 0.4 of 0.7."


# exact in binary, so that a sum that should be 0.75 is 0.75
_PROBS = torch.tensor([[4, 16, 1, 8, 3], [8, 1, 3, 4, 16], [3, 4, 8, 16, 1]]) / 32


def _mask(probs, stays, *, descending=True):
    """Return bool (B, V) in token order; `stays` gets (sums so far (B, V), sorted probs) and says who stays."""
    ordered, ids = probs.sort(descending=descending)
    return torch.zeros_like(probs, dtype=torch.bool).scatter(1, ids, stays(ordered.cumsum(1), ordered))


def _at_least_one(mask):
    mask = mask.clone()
    mask[:, 0] = True
    return mask


_MEMBERS = {
    "the token that crosses the threshold is left out": (
        lambda q, p: _mask(q, lambda sums, _: sums <= p),
        "The set has to reach p.",
    ),
    "the token that crosses the threshold is left out (the first always stays)": (
        lambda q, p: _mask(q, lambda sums, _: _at_least_one(sums <= p)),
        "The set has to reach p.",
    ),
    "a set that has not reached p yet was taken, and one that hits p exactly loses its last token": (
        lambda q, p: _mask(q, lambda sums, _: sums < p),
        "The set has to reach p.",
    ),
    "where the sum hits p exactly, one token too many is in": (
        lambda q, p: _mask(q, lambda sums, x: sums - x <= p),
        "Reached is reached: > or >=?",
    ),
    "one token too many is in": (
        lambda q, p: _mask(q, lambda sums, x: torch.nn.functional.pad(sums - x, (1, 0))[:, :-1] < p),
        "Count the token that reaches p once.",
    ),
    "the probabilities were added in the order of the tokens": (
        lambda q, p: q.cumsum(1) - q < p,
        "The most probable come first.",
    ),
    "the probabilities were added from the least probable upwards": (
        lambda q, p: _mask(q, lambda sums, x: sums - x < p, descending=False),
        "The most probable come first.",
    ),
    "the answer is in sorted order, not in the order of the tokens": (
        lambda q, p: (s := q.sort(descending=True).values).cumsum(1) - s < p,
        "Places in the sorted row are not tokens: `ids` of the sort brings them back.",
    ),
    "these are the tokens that go, not those that stay": (
        lambda q, p: ~_mask(q, lambda sums, x: sums - x < p),
        "True means: in the nucleus.",
    ),
    "that compares single probabilities with p": (lambda q, p: q >= p, "Their sum counts."),
}


def _nucleus(probs, p):
    return _mask(probs, lambda sums, x: sums - x < p)


@exercise("Who is in the nucleus?")
def members(answer):
    """Examine `answer(probs (B, V), p) -> bool (B, V)`: the smallest set of most probable tokens that reaches p."""
    got = {}
    for p in (0.75, 0.8, 0.3, 0.9, 1.0):
        got[p] = call_untouched(lambda q, p=p: answer(q, p), _PROBS)
        if not isinstance(got[p], torch.Tensor) or got[p].dtype != torch.bool:
            kind = got[p].dtype if isinstance(got[p], torch.Tensor) else type(got[p]).__name__
            raise WrongError(f"the answer should be a tensor of True and False, but is {kind}.", hint="Compare.")
    for problem, (wrong, hint) in _MEMBERS.items():
        if all(mask.equal(wrong(_PROBS, p)) for p, mask in got.items()):
            raise WrongError(f"{problem}.", hint=hint)
    for p, mask in got.items():
        what = f"the number kept in each row for p={p}"
        expect_tensor(mask, _nucleus(_PROBS, p), f"the nucleus for p={p}", hint=f"See {what}: {mask.sum(-1).tolist()}.")
    return "sorted, added up, cut where p is reached, and brought back to the order of the tokens."


_LOGITS = torch.tensor(
    [[0.2, 1.4, -2.0, 2.3, 0.7, -0.4], [-3.0, -1.0, 4.0, -0.5, -2.0, -4.0], [1.0, 0.6, 0.9, 1.3, 0.2, 0.8]]
)


def _cut(logits, stays):
    ordered, ids = logits.sort(descending=True)
    probs = ordered.softmax(-1)
    keep = torch.zeros_like(logits, dtype=torch.bool).scatter(1, ids, stays(probs.cumsum(1), probs))
    return logits.masked_fill(~keep, -_INF)


@exercise("The other convention")
def below(answer):
    """Examine `answer(logits (B, V), p) -> (B, V)`: the most probable tokens with mass <= p, at least one."""
    p = 0.7
    got = call_untouched(lambda z: answer(z, p), _LOGITS)
    right = _cut(_LOGITS, lambda sums, _: _at_least_one(sums <= p))
    ordered, probs = _LOGITS.sort(descending=True).values, _LOGITS.softmax(-1)
    refuse(
        got,
        {
            "the token that crosses p is in: this is the lesson's convention": (
                _cut(_LOGITS, lambda sums, x: sums - x < p),
                "The mass kept may not exceed p, unless one token alone does.",
            ),
            "nothing is left where the first token alone holds more than p": (
                _cut(_LOGITS, lambda sums, _: sums <= p),
                "Which token has to stay whatever p is?",
            ),
            "the probabilities were added in the order of the tokens": (
                _LOGITS.masked_fill(~_at_least_one(probs.cumsum(1) <= p), -_INF),
                "The most probable come first.",
            ),
            "the answer is in sorted order, not in the order of the tokens": (
                ordered.masked_fill(right.sort(descending=True).values.isinf(), -_INF),
                "Places in the sorted row are not tokens.",
            ),
            "the mask is in sorted order, the logits are not": (
                _LOGITS.masked_fill(right.sort(descending=True).values.isinf(), -_INF),
                "Places in the sorted row are not tokens: `scatter` brings the mask back.",
            ),
            "logits were added up instead of probabilities": (
                _LOGITS.masked_fill(
                    ~torch.zeros_like(_LOGITS, dtype=torch.bool).scatter(
                        1, _LOGITS.argsort(descending=True), _at_least_one(ordered.cumsum(1) <= p)
                    ),
                    -_INF,
                ),
                "Softmax first.",
            ),
            "removed logits became 0, more probable than every negative one": (
                right.nan_to_num(neginf=0.0),
                "Which logit belongs to probability 0?",
            ),
            "these are probabilities": (right.softmax(-1), "Logits in, logits out."),
        },
    )
    expect_tensor(got, right, "the result for p=0.7")
    for other in (0.2, 0.5, 0.95):
        expected = _cut(_LOGITS, lambda sums, _, other=other: _at_least_one(sums <= other))
        expect_tensor(answer(_LOGITS.clone(), other), expected, f"the result for p={other}")
    return "the largest set that does not exceed p, and never an empty one."


@exercise("Min-p without a softmax")
def min_p_of_logits(answer):
    """Examine `answer(logits (B, V), min_p) -> (B, V)`: keep what is at least min_p times as probable as the best."""
    min_p = 0.3
    got = call_untouched(lambda z: answer(z, min_p), _LOGITS)
    highest, probs = _LOGITS.amax(-1, keepdim=True), _LOGITS.softmax(-1)
    right = _LOGITS.masked_fill(highest + math.log(min_p) > _LOGITS, -_INF)
    refuse(
        got,
        {
            "logits were compared with min_p × the largest logit": (
                _LOGITS.masked_fill(min_p * highest > _LOGITS, -_INF),
                "A factor between probabilities is a difference between logits. Which one?",
            ),
            "min_p was subtracted from the largest logit": (
                _LOGITS.masked_fill(highest - min_p > _LOGITS, -_INF),
                "A factor between probabilities is a difference between logits. Which one?",
            ),
            "logits were compared with the logarithm of min_p alone": (
                _LOGITS.masked_fill(math.log(min_p) > _LOGITS, -_INF),
                "At least min_p times as probable as what?",
            ),
            "every token with a probability of at least min_p stays: that is epsilon": (
                _LOGITS.masked_fill(probs < min_p, -_INF),
                "The threshold follows the most probable token.",
            ),
            "the largest logit of the whole batch was used": (
                _LOGITS.masked_fill(_LOGITS.max() + math.log(min_p) > _LOGITS, -_INF),
                "Every row is a text of its own.",
            ),
            "the largest logit of each column was used": (
                _LOGITS.masked_fill(_LOGITS.amax(0) + math.log(min_p) > _LOGITS, -_INF),
                "Which axis is V?",
            ),
            "removed logits became 0, more probable than every negative one": (
                right.nan_to_num(neginf=0.0),
                "Which logit belongs to probability 0?",
            ),
            "the tokens that should go stayed, the others went": (
                _LOGITS.masked_fill(right.isfinite(), -_INF),
                "What is below the threshold goes.",
            ),
            "these are probabilities": (right.softmax(-1), "Logits in, logits out."),
        },
    )
    expect_tensor(got, right, "the result for min_p=0.3")
    alone = answer(_LOGITS.clone(), 1.0)
    if isinstance(alone, torch.Tensor) and alone.isinf().all(-1).any():
        raise WrongError("with min_p=1 no token is left.", hint="Does the most probable token stay? Below, or up to?")
    expect_tensor(alone, _LOGITS.masked_fill(highest > _LOGITS, -_INF), "the result for min_p=1")
    return "a factor between probabilities is a difference between logits: the largest + ln min_p."
