"""Checks of lesson 09: two filters by hand, the whole sampler, one filter instead of two, and a real floor."""

import math

import torch

from gpt2lessons.checks.frame import (
    WrongError,
    as_number,
    call_untouched,
    exercise,
    expect_tensor,
    refuse,
)
from gpt2lessons.decoding import processors

_INF = math.inf


@exercise("Two filters by hand")
def by_hand(answer):
    """Examine the probability of the first of four tokens (0.4, 0.3, 0.2, 0.1) after top_k=3, then top_p=0.75."""
    refuse(
        answer,
        {
            "that is its probability before: what is left does not sum to 1 yet": (0.4, "Divide by the mass kept."),
            "top-p has not removed anything, as if both filters had looked at the model's own probabilities": (
                0.4 / 0.9,
                "Top-p reads what top-k has left, and after top-k the numbers are larger.",
            ),
            "that is the second token's share": (3 / 7, "The first is asked for."),
            "only one token is left: the one that crosses the threshold was left out": (1.0, "Does 4/9 reach 0.75?"),
            "it was divided by top_p": (0.4 / 0.75, "Divide by what the kept tokens hold."),
            "that is the mass of the two tokens that are left, not the first one's share of it": (0.7, "Its share?"),
            "that is their mass after top-k, not the first one's share of it": (7 / 9, "Its share?"),
        },
    )
    got, right = as_number(answer, "the probability"), 4 / 7
    if not math.isclose(got, right, abs_tol=1e-3):
        problem = "too small" if got < right else "too large"
        raise WrongError(f"that is {problem}.", hint="Renormalise after top-k, then find the nucleus of what is there.")
    return "after top-k the first two hold 7/9, which is more than 0.75: two tokens, 4 to 3."


_LOGITS = torch.tensor(
    [[1.3, -0.3, -0.5, 0.7, -1.1, 0.2], [-0.5, 0.4, 0.1, 0.8, 0.2, -0.9], [0.8, -1.3, -1.4, -0.1, -0.3, 0.4]]
)


def _outcomes(logits, temperature, k, p):
    """Return {name: probs (B, V)}: the right pipeline under "right", and what plausible mistakes give."""
    cool, by_k, by_p = (
        lambda z: processors.apply_temperature(z, temperature),
        lambda z: processors.keep_top_k(z, k),
        lambda z: processors.keep_top_p(z, p),
    )
    cooled = cool(logits)
    both = by_k(cooled).isfinite() & by_p(cooled).isfinite()
    outcomes = {
        "right": by_p(by_k(cooled)),
        "the temperature is applied after the filters": cool(by_p(by_k(logits))),
        "the temperature is not applied": by_p(by_k(logits)),
        "the logits are multiplied by the temperature": by_p(by_k(logits * temperature)),
        "top-p came before top-k, or both filters looked at one distribution": cooled.masked_fill(~both, -_INF),
        "the temperature is applied twice": cool(by_p(by_k(cooled))),
        "the logits went through softmax before the filters, which take logits": by_p(by_k(cool(logits.softmax(-1)))),
        "a softmax stands between temperature and top-k; the filters take logits": by_p(by_k(cooled.softmax(-1))),
        "a softmax stands between top-k and top-p; the filters take logits": by_p(by_k(cooled).softmax(-1)),
        "top-k is missing": by_p(cooled),
        "top-p is missing": by_k(cooled),
        "what either filter keeps was kept: that is a union": cooled.masked_fill(
            by_k(cooled).isinf() & by_p(cooled).isinf(), -_INF
        ),
    }
    return {name: z.softmax(-1) for name, z in outcomes.items()}


@exercise("The whole sampler")
def pipeline(answer):
    """Examine `answer(logits (B, V), temperature, top_k, top_p) -> probs (B, V)`, in transformers' order."""
    settings = (0.6, 3, 0.8)
    got = call_untouched(answer, _LOGITS, *settings)
    if isinstance(got, torch.Tensor) and (got < 0).any():
        problem = "some numbers are negative: these are logits or log-probabilities."
        raise WrongError(problem, hint="Probabilities are asked for.")
    if isinstance(got, torch.Tensor) and got.isnan().any():
        hint = "Softmax over a column of removed tokens gives nan. Every row is a text: which axis is V?"
        raise WrongError("some of the probabilities are nan.", hint=hint)
    outcomes = _outcomes(_LOGITS, *settings)
    right = outcomes.pop("right")
    hints = {
        "the temperature is applied after the filters": "Which distribution should the nucleus be cut from?",
    }
    refuse(
        got,
        {
            problem: (outcome, hints.get(problem, "Each stage reads what the stage before it left."))
            for problem, outcome in outcomes.items()
        }
        | {
            "the probabilities of what is left do not sum to 1 yet": (
                (_LOGITS / settings[0]).softmax(-1) * (right > 0),
                "Divide by the mass kept.",
            ),
        },
    )
    expect_tensor(got, right, "the result")
    for other in ((1.0, 6, 1.0), (1.5, 4, 0.5), (0.3, 2, 0.99)):
        what = f"the result for temperature, top_k, top_p = {other}"
        expect_tensor(answer(_LOGITS.clone(), *other), _outcomes(_LOGITS, *other)["right"], what)
    return "temperature, top-k, top-p: each stage reads what the one before it left."


@exercise("A real floor")
def floor(answer):
    """Examine `answer(logits (B, V), p, at_least) -> (B, V)`: the nucleus of p, but at least so many tokens."""
    p, least = 0.6, 3
    got = call_untouched(answer, _NET, p, least)
    nucleus, top = processors.keep_top_p(_NET, p), processors.keep_top_k(_NET, least)
    right = _NET.masked_fill(nucleus.isinf() & top.isinf(), -_INF)
    refuse(
        got,
        {
            "top-k was used as a filter: it removes from the nucleus and adds nothing": (
                _NET.masked_fill(nucleus.isinf() | top.isinf(), -_INF),
                "Who should stay: those in both sets, or those in one of them?",
            ),
            "top-k then top-p: a small nucleus stays as small as it was, or gets smaller": (
                processors.keep_top_p(top, p),
                "A filter cannot add.",
            ),
            "that is the nucleus, without a floor": (nucleus, "A peaked row has too few tokens."),
            "every row keeps exactly at_least tokens, however large its nucleus is": (top, "Where is p?"),
            "small nuclei have one token too few": (
                _NET.masked_fill(nucleus.isinf() & processors.keep_top_k(_NET, least - 1).isinf(), -_INF),
                "Count from 1: places 0 to at_least − 1 stay.",
            ),
            "small nuclei have one token too many": (
                _NET.masked_fill(nucleus.isinf() & processors.keep_top_k(_NET, least + 1).isinf(), -_INF),
                "Count from 1: places 0 to at_least − 1 stay.",
            ),
            "rows with a small nucleus keep every token": (
                torch.where(nucleus.isfinite().sum(-1, keepdim=True) < least, _NET, nucleus),
                "How many should they keep?",
            ),
            "the first columns stay, not the most probable tokens": (
                _NET.masked_fill(nucleus.isinf() & (torch.arange(_NET.shape[1]) >= least), -_INF),
                "Places in the sorted row are not tokens.",
            ),
            "removed logits became 0, more probable than every negative one": (
                right.nan_to_num(neginf=0.0),
                "Which logit belongs to probability 0?",
            ),
            "these are probabilities": (right.softmax(-1), "Logits in, logits out."),
            "the logits of the two filters were added up": (nucleus + top, "A kept token keeps its logit."),
        },
    )
    expect_tensor(got, right, "the result for p=0.6 and at_least=3")
    for q, n in ((0.6, 1), (0.9, 5), (0.3, 2)):
        keep = processors.keep_top_p(_NET, q).isfinite() | processors.keep_top_k(_NET, n).isfinite()
        expect_tensor(answer(_NET.clone(), q, n), _NET.masked_fill(~keep, -_INF), f"the result for p={q}, at_least={n}")
    return "the union of a nucleus and the top few: nothing else is a floor."


# a peaked row, one whose nucleus has two tokens, and a flat one
_NET = torch.tensor(
    [[-1.0, 6.0, 0.2, 1.0, -0.5, 0.4], [2.0, -1.5, 1.9, 0.3, -0.2, -2.0], [0.5, 0.9, 0.7, 0.8, 0.6, 0.4]]
)


@exercise("One filter instead of two")
def equal_p(answer):
    """Examine `answer(probs (V,), k, p) -> float`, a top_p that alone keeps what top_k=k and then top_p=p keep.

    Any such number will do: from the mass of all kept tokens but the last, exclusive, to the mass of all of them.
    """
    for k, p in ((3, 0.7), (4, 0.6), (5, 0.85)):
        got = call_untouched(lambda q, k=k, p=p: answer(q, k, p), _PROBS)
        refuse(got, _equal_p_mistakes(k, p))
        _expect_same_tokens(as_number(got, "the top_p"), _PROBS, k, p)
    generator = torch.Generator().manual_seed(0)
    for row in torch.randn(200, 12, generator=generator).softmax(-1):
        k = int(torch.randint(1, 13, (), generator=generator))
        p = 0.05 + 0.9 * float(torch.rand((), generator=generator))
        _expect_same_tokens(as_number(answer(row.clone(), k, p), "the top_p"), row, k, p)
    return "the same tokens on 203 rows. The simplest such number is p of the mass that top-k keeps."


_PROBS = torch.tensor([0.06, 0.34, 0.12, 0.24, 0.04, 0.2])


def _equal_p_mistakes(k, p):
    """Return {what is wrong: (the wrong top_p for `_PROBS`, a hint)}."""
    best = _PROBS.topk(k).values
    mass, most = best.sum(), "The k most probable tokens."
    return {
        "that is p itself: top-k would not matter": (p, "After top-k, each token has more. Than what?"),
        "that is the mass that top-k keeps: p is missing": (mass, "Only a share of it is asked for."),
        "p was divided by the mass": (p / mass, "Is the nucleus of the rest larger or smaller, seen from the model?"),
        "the mass of the first k columns was taken": (p * _PROBS[:k].sum(), most),
        "the mass of the k least probable tokens was taken": (p * _PROBS.topk(k, largest=False).values.sum(), most),
        "k was divided by the number of tokens": (p * k / len(_PROBS), "Tokens do not weigh the same."),
        "the two shares were taken as independent losses": (p + mass - 1, "p is a share of what top-k keeps."),
        "the k-th probability was taken, not the sum of the k largest": (p * best[-1], "Their mass is a sum."),
        "that is one number for each of the k tokens": (p * best, "One top_p for the step: add them up."),
    }


def _expect_same_tokens(got, probs, k, p):
    """Raise `WrongError` unless top_p = `got` alone keeps what top-k `k` and then top-p `p` keep of `probs` (V,)."""
    ranked = probs.double().sort(descending=True).values
    left = ranked[:k] / ranked[:k].sum()
    n = int((left.cumsum(0) - left < p).sum())
    fewer, all_kept = ranked[: n - 1].sum(), ranked[:n].sum()
    if not fewer - 1e-6 < got < all_kept + 1e-6:  # the check's masses are sums of float32
        size = "large" if got > all_kept else "small"
        row = [round(q, 2) for q in probs.tolist()]
        raise WrongError(f"for probs={row}, k={k}, p={p:.2f} your top_p is too {size}.", hint="What is p a share of?")
