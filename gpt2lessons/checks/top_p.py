"""Checks of lesson 08: the filter, who is in the nucleus, min-p, and what a temperature does to it."""

import math

import torch

from gpt2lessons.checks.frame import (
    NO_COLUMN,
    WrongError,
    as_number,
    call_untouched,
    exercise,
    expect_tensor,
    refuse,
)
from gpt2lessons.decoding.processors import keep_top_p
from gpt2lessons.recorded import distribution, prompts

_INF = math.inf

_LOGITS = torch.tensor(
    [[0.2, 1.4, -2.0, 2.3, 0.7, -0.4], [-3.0, -1.0, 4.0, -0.5, -2.0, -4.0], [1.0, 0.6, 0.9, 1.3, 0.2, 0.8]]
)


def _in_sorted_order(logits, stays, *, descending=True):
    """Return bool (B, V), True for what stays, in the order of the tokens.

    `stays` gets the sums so far and the probabilities, both (B, V) and sorted.
    """
    ordered, ids = logits.sort(descending=descending)
    probs = ordered.softmax(-1)
    return torch.zeros_like(logits, dtype=torch.bool).scatter(1, ids, stays(probs.cumsum(1), probs))


def _cut(logits, stays, *, descending=True):
    return logits.masked_fill(~_in_sorted_order(logits, stays, descending=descending), -_INF)


def _cut_by_logits(logits, stays):
    ordered, ids = logits.sort(descending=True)
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(1, ids, stays(ordered.cumsum(1), ordered))
    return logits.masked_fill(~kept, -_INF)


def _at_least_one(mask):
    mask = mask.clone()
    mask[:, 0] = True
    return mask


def _nucleus(p):
    return lambda sums, probs: sums - probs < p


def _top_p_mistakes(logits, p):
    """Return {what is wrong: (the wrong result (B, V), a hint)}."""
    right, ordered = _cut(logits, _nucleus(p)), logits.sort(descending=True).values
    probs, kept_sorted = logits.softmax(-1), ordered.softmax(-1)
    in_order = kept_sorted.cumsum(1) - kept_sorted < p
    first, reach = "The most probable come first.", "The nucleus has to reach p."

    def less(gone):
        return logits.masked_fill(gone, -_INF)

    return {
        "the token that crosses p was left out": (_cut(logits, lambda sums, _: sums <= p), reach),
        "the token that crosses p was left out (the first always stays)": (
            _cut(logits, lambda sums, _: _at_least_one(sums <= p)),
            reach,
        ),
        "one token too many is in": (
            _cut(logits, lambda sums, x: _at_least_one((sums - x).roll(1, 1) < p)),
            "Stop as soon as the sum reaches p.",
        ),
        "right number of tokens, wrong tokens: you decided in sorted order and answered "
        "in the order of the vocabulary": (
            less(~in_order),
            "`sort` also returns the ids. How does `scatter` bring the decision back?",
        ),
        "the decision was brought back with gather, which reads at the ids instead of writing there": (
            logits.masked_fill(~in_order.gather(1, logits.argsort(descending=True)), -_INF),
            "`scatter` writes place i of the sorted row to the token that stood there.",
        ),
        "all rows keep as many tokens as the first": (
            _cut(logits, lambda sums, x: _nucleus(p)(sums, x)[:1].expand_as(x)),
            "Every row has a nucleus of its own.",
        ),
        "removed logits became a very small number, which is not −∞": (
            right.nan_to_num(neginf=-1e9),
            "A removed token has probability 0 beside any logits: write -torch.inf.",
        ),
        "the result is in sorted order, not in the order of the vocabulary": (
            ordered.masked_fill(~in_order, -_INF),
            "Place i of the sorted row is not token i: `ids` of the sort says which it is.",
        ),
        "the probabilities were added in the order of the vocabulary": (less(probs.cumsum(1) - probs >= p), first),
        "the probabilities were added from the least probable upwards": (
            _cut(logits, _nucleus(p), descending=False),
            first,
        ),
        "logits were added up, not probabilities": (_cut_by_logits(logits, _nucleus(p)), "Softmax first."),
        "that compares single probabilities with p": (less(probs < p), "It is their sum that has to reach p."),
        "these are the tokens that go, not those that stay": (
            less(right.isfinite()),
            "What is outside the nucleus becomes -inf.",
        ),
        "removed logits became 0, more probable than every negative one": (
            right.nan_to_num(neginf=0.0),
            "Which logit belongs to probability 0?",
        ),
        "these are probabilities": (right.softmax(-1), "Logits in, logits out."),
    }


_NO_ROW = {
    "out of bounds for dimension 0": (
        "token ids were used as numbers of rows.",
        "The decision of a row goes back into that row: scatter along axis 1.",
    )
}


@exercise("Write top-p")
def top_p_filter(answer):
    """Examine `answer(logits (B, V), p) -> (B, V)`: outside the nucleus -inf.

    After three small rows: 1,000 random rows against `keep_top_p`, then GPT-2's recorded answers.
    """
    for p in (0.7, 0.2, 0.5, 0.95):
        got = call_untouched(lambda z, p=p: answer(z, p), _LOGITS, errors=_NO_ROW)
        right = _cut(_LOGITS, _nucleus(p))
        mistakes = _top_p_mistakes(_LOGITS, p).items()
        refuse(got, {name: wrong for name, wrong in mistakes if not wrong[0].equal(right)})
        expect_tensor(got, right, f"the result for p={p}")
    rows = 3 * torch.randn(1000, 20, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    got, theirs = answer(rows.clone(), 0.9), keep_top_p(rows, 0.9)
    differ = int((got.isfinite() != theirs.isfinite()).any(1).sum())
    if differ:
        raise WrongError(f"on {differ} of 1,000 random rows you keep other tokens than keep_top_p.")
    sizes = []
    for logits in map(distribution, prompts()):
        kept = answer(logits[None].double(), 0.8).isfinite()
        expect_tensor(kept, _in_sorted_order(logits[None].double(), _nucleus(0.8)), "a recorded row")
        sizes.append(f"{int(kept.sum())}")
    return (
        "the same tokens as keep_top_p on 1,000 random rows. Of GPT-2's five recorded answers "
        f"you keep {', '.join(sizes)} tokens at p=0.8."
    )


def _read(answer, logits, tokens, p):
    got = call_untouched(lambda z: answer(z, tokens.clone(), p), logits)
    if not isinstance(got, torch.Tensor):
        raise WrongError(f"the answer should be a tensor, but is of type {type(got).__name__}.")
    if got.shape == logits.shape:
        raise WrongError(
            "there is an answer for each token of the vocabulary.",
            hint="One answer per row, for the token that the text has: `gather`.",
        )
    if got.shape != tokens.shape:
        want = f"{tuple(tokens.shape)}, one answer per row"
        raise WrongError(f"the shape should be {want}, but is {tuple(got.shape)}.")
    if got.dtype != torch.bool:
        kind = str(got.dtype).removeprefix("torch.")
        raise WrongError(f"the answers should be True or False, but are {kind}.", hint="Use < or >.")
    return got


@exercise("Could top-p have written it?")
def inside(answer):
    """Examine `answer(logits (T, V), tokens (T,), p) -> bool (T,)`: is each token in its nucleus?"""
    size = _LOGITS.shape[1]
    logits = _LOGITS.repeat_interleave(size, 0)  # every token of every row is asked for once
    tokens = torch.arange(size).repeat(len(_LOGITS))
    probs = logits.softmax(-1)
    own = probs.gather(1, tokens[:, None])
    above = (probs * (probs > own)).sum(1)
    for p in (0.7, 0.2, 0.5, 0.95):
        right, got = above < p, _read(answer, logits, tokens, p)
        mistakes = {
            "the token that crosses p counts as outside": (
                above + own[:, 0] <= p,
                "Only what is more probable than the token counts, not the token itself.",
            ),
            "these are the tokens outside the nucleus": (~right, "True means inside."),
            "the token's own probability was compared with p": (
                own[:, 0] >= p,
                "It is a sum that is compared with p. Of which tokens?",
            ),
            "what is less probable than the token was added up": (
                (probs * (probs < own)).sum(1) < p,
                "What stands before it when the row is sorted, the most probable first?",
            ),
            "the probabilities were added in the order of the vocabulary": (
                (probs.cumsum(1) - probs).gather(1, tokens[:, None])[:, 0] < p,
                "The most probable come first.",
            ),
            "logits were added up, not probabilities": ((logits * (probs > own)).sum(1) < p, "Softmax first."),
            "only the most probable token counts as inside": (
                own[:, 0] == probs.amax(1),
                "The nucleus may hold several tokens.",
            ),
        }
        for problem, (wrong, hint) in mistakes.items():
            if got.equal(wrong) and not wrong.equal(right):
                raise WrongError(f"{problem}.", hint=hint)
        if not got.equal(right):
            many = int((got != right).sum())
            raise WrongError(f"for p={p}, {many} of {len(right)} answers are wrong.")
    return "a token is inside if everything more probable than it holds less than p. No sorting needed."


@exercise("Undo the heat")
def undo_heat(answer):
    """Examine the min_p that keeps at temperature 1 what min_p = 0.05 keeps at temperature 2."""
    got, right = as_number(answer, "your min_p"), 0.05**2
    refuse(
        got,
        {
            "min_p was divided by the temperature": (
                0.05 / 2,
                "Temperature divides logits. What does that do to a ratio of probabilities?",
            ),
            "min_p was multiplied by the temperature": (
                0.05 * 2,
                "At temperature 2 more tokens pass. Is the bar lower or higher at temperature 1?",
            ),
            "that goes in the wrong direction: the square root": (
                0.05**0.5,
                "At temperature 2 a ratio r of probabilities has become √r. Solve for r.",
            ),
            "that is the same min_p, and the temperature changed the ratios": (
                0.05,
                "Halve the difference of two logits: what happens to the ratio?",
            ),
            "that is the logarithm of the bar": (2 * math.log(0.05), "Go back from logits to ratios."),
        },
    )
    if not math.isclose(got, right, rel_tol=1e-3):
        size = "large" if got > right else "small"
        raise WrongError(f"that is too {size}.", hint="Write the bar as a difference of logits.")
    return "a ratio r at temperature 1 is the square root of r at temperature 2, so the bar is squared."


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
                _cut_by_logits(_LOGITS, lambda sums, _: _at_least_one(sums <= p)),
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
    got = call_untouched(lambda z: answer(z, min_p), _LOGITS, errors=NO_COLUMN)
    highest, probs = _LOGITS.amax(-1, keepdim=True), _LOGITS.softmax(-1)
    factor = "A factor between probabilities is a difference between logits. Which one?"

    def from_(threshold):
        return _LOGITS.masked_fill(threshold > _LOGITS, -_INF)

    right = from_(highest + math.log(min_p))
    refuse(
        got,
        {
            "logits were compared with min_p × the largest logit": (from_(min_p * highest), factor),
            "min_p was subtracted from the largest logit": (from_(highest - min_p), factor),
            "ln min_p was subtracted: it is negative, so the threshold lies above the largest logit": (
                from_(highest - math.log(min_p)),
                "ln (m · P) = ln m + ln P.",
            ),
            "the logarithm to base 10 was taken": (
                from_(highest + math.log10(min_p)),
                "Softmax is made of powers of e.",
            ),
            "logits were compared with the logarithm of min_p alone": (
                from_(math.log(min_p)),
                "At least min_p times as probable as what?",
            ),
            "every token with a probability of at least min_p stays: that is epsilon": (
                _LOGITS.masked_fill(probs < min_p, -_INF),
                "The threshold follows the most probable token.",
            ),
            "the largest logit of the whole batch was used": (
                from_(_LOGITS.max() + math.log(min_p)),
                "Every row is a text of its own.",
            ),
            "the largest logit of each column was used": (from_(_LOGITS.amax(0) + math.log(min_p)), "Which axis is V?"),
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
    expect_tensor(alone, from_(highest), "the result for min_p=1")
    return "a factor between probabilities is a difference between logits: the largest + ln min_p."
