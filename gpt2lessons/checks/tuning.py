"""Checks of lesson 10: perplexity, the objective in closed form, the choice, paired differences, the Pareto front."""

import math

import numpy as np
import torch

from gpt2lessons.checks.frame import (
    WrongError,
    as_number,
    call_untouched,
    exercise,
    expect_number,
    expect_value,
    refuse,
)

_IDS = torch.tensor([2, 0, 3, 1, 1, 2])


def _logits():
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(7), dtype=torch.float64) * 2


@exercise("Perplexity without the prompt")
def perplexity(answer):
    """Examine `answer(logits (T, V), ids (T,), prompt_length) -> float`, the perplexity of what follows the prompt."""
    for length in (4, 2, 1):
        logits = _logits()
        got = as_number(call_untouched(answer, logits, _IDS.clone(), length), "the perplexity")
        table = logits.log_softmax(-1)
        right = torch.stack([table[t - 1, _IDS[t]] for t in range(1, 6)])
        same = table[torch.arange(6), _IDS]
        late = torch.stack([table[t, _IDS[t - 1]] for t in range(1, 6)])
        kept = right[length - 1 :]
        mistakes = {
            "the labels are not shifted: each token is scored by the logits at its own place": (
                (-same[length:].mean()).exp(),
                "The logits at place t are about the token at place t + 1.",
            ),
            "the shift goes the wrong way: logits are matched with the token before": (
                (-late[length - 1 :].mean()).exp(),
                "The logits at place t are about the token at place t + 1.",
            ),
            "this is the mean of the tokens' own perplexities 1/p, not exp of the mean surprisal": (
                (-kept).exp().mean(),
                "Average first, in logarithms; exp comes last.",
            ),
            "this is one over the mean probability": (1 / kept.exp().mean(), "Average the logarithms."),
            "surprisals in bits went into exp, which belongs to nats": (
                (-kept.mean() / math.log(2)).exp(),
                "exp undoes ln, and 2 ** … undoes log2.",
            ),
            "surprisals in nats went into 2 ** …, which belongs to bits": (
                2 ** (-kept.mean()),
                "exp undoes ln, and 2 ** … undoes log2.",
            ),
            "this is the mean surprisal; the last step is missing": (-kept.mean(), "exp of it is the perplexity."),
            "the surprisals are added up, but not averaged": ((-kept.sum()).exp(), "Divide by what is scored."),
            "the sign is lost: perplexity is at least 1": (kept.mean().exp(), "Surprisal is minus the logarithm."),
        }
        if length > 1:
            mistakes |= {
                "the prompt is scored too": ((-right.mean()).exp(), "Only tokens that the sampler wrote count."),
                "one token of the prompt is scored too: its last": (
                    (-right[length - 2 :].mean()).exp(),
                    "Which label belongs to the logits at the prompt's last place?",
                ),
                "the sum is divided by the number of all tokens, prompt included": (
                    (-kept.sum() / 6).exp(),
                    "Divide by the number of scored tokens.",
                ),
            }
        if len(kept) > 1:
            mistakes["the first token after the prompt is left out"] = (
                (-kept[1:].mean()).exp(),
                "The prompt's last logits predict it: it can be scored.",
            )
        refuse(got, mistakes)
        expect_number(got, (-kept.mean()).exp().item(), f"the perplexity after a prompt of {length}")
    return "each token is scored by the logits before it, and only what follows the prompt counts."


@exercise("The objective before a token is drawn")
def objective(answer):
    """Examine `answer(probs (V,), kept (V,) bool) -> float`, exp of the expected surprisal under the filtered draw."""
    for probs, kept in (
        ([0.4, 0.3, 0.15, 0.1, 0.05], [True, True, False, False, False]),
        ([0.05, 0.5, 0.25, 0.2, 0.0], [False, True, True, True, False]),
    ):
        p, keep = torch.tensor(probs, dtype=torch.float64), torch.tensor(kept)
        q = p * keep / (p * keep).sum()
        surprisal = -p[keep].log()
        got = as_number(call_untouched(answer, p, keep.clone()), "the objective")
        if math.isnan(got):
            problem = "the result is nan: somewhere 0 was multiplied by infinity, or 0 was given to a logarithm."
            raise WrongError(problem, hint="Tokens that are not drawn should not take part in the sum.")
        refuse(
            got,
            {
                "what is drawn from does not sum to 1: the kept probabilities were not renormalised": (
                    (p[keep] * surprisal).sum().exp(),
                    "Divide the kept probabilities by their sum.",
                ),
                "the surprisal is that of the filtered distribution; the tuner asks the model without a filter": (
                    torch.special.entr(q).sum().exp(),
                    "Drawn from the filtered, scored under the whole distribution.",
                ),
                "the kept tokens count alike, but some are drawn more often": (
                    surprisal.mean().exp(),
                    "Weight each surprisal with the probability of drawing it.",
                ),
                "nothing was filtered: this is exp of the model's own entropy": (
                    torch.special.entr(p).sum().exp(),
                    "Only kept tokens are drawn.",
                ),
                "this is the expected surprisal; the last step is missing": (
                    (q[keep] * surprisal).sum(),
                    "exp of it is a perplexity.",
                ),
                "this is the mean of 1/p, not exp of the mean surprisal": (
                    (q[keep] / p[keep]).sum(),
                    "Average the logarithms; exp comes last.",
                ),
                "surprisals in bits went into exp": (
                    ((q[keep] * surprisal).sum() / math.log(2)).exp(),
                    "exp undoes ln.",
                ),
                "it is the removed tokens that were scored": (
                    (-(p * ~keep)[p > 0].div((p * ~keep).sum()) * p[p > 0].log()).sum().exp(),
                    "kept is True for what may be drawn.",
                ),
            },
        )
        expect_number(got, (q[keep] * surprisal).sum().exp().item(), f"the objective for probs={probs}, kept={kept}")
    return "drawn from the filtered distribution, scored under the model's own."


@exercise("The right setting is not the lowest")
def choice(answer):
    """Examine `answer(perplexities: list, human: float) -> int`, the place of the one nearest to human in ln."""
    cases = (
        ([5.0, 18.0, 41.0, 9.0, 55.0], 30.0),
        ([12.0, 70.0, 24.0, 3.0], 42.0),
        ([80.0, 7.0, 31.0, 26.0], 28.0),
        ([40.0, 100.0], 80.0),
        ([11.0, 20.0, 8.9], 10.0),
    )
    rules = {
        "the lowest perplexity wins again: with reference texts as the target it should not": lambda v, h: np.argmin(v),
        "the highest perplexity wins; the target is in between": lambda v, h: np.argmax(v),
        "the differences are taken in perplexity, where twice as high counts more than half as high": lambda v, h: (
            np.argmin(np.abs(np.array(v) - h))
        ),
        "only settings below the references' value are considered": lambda v, h: np.argmax(
            [x if x <= h else -1 for x in v]
        ),
        "only settings above the references' value are considered": lambda v, h: np.argmin(
            [x if x >= h else math.inf for x in v]
        ),
        "that is the farthest from the references' value, not the nearest": lambda v, h: np.argmax(
            np.abs(np.log(v) - math.log(h))
        ),
    }
    right = [int(np.argmin(np.abs(np.log(v) - math.log(h)))) for v, h in cases]
    got = [as_number(answer(list(v), h), "the place") for v, h in cases]
    if all(g in v for g, (v, _) in zip(got, cases, strict=True)):
        raise WrongError("these are perplexities; the answer is the place in the list.", hint="The first place is 0.")
    if got == [r + 1 for r in right]:
        raise WrongError("the places are counted from 1.", hint="The first place is 0.")
    for problem, rule in rules.items():
        if got != right and got == [int(rule(v, h)) for v, h in cases]:
            raise WrongError(f"{problem}.", hint="Compare logarithms, and take the distance on either side.")
    for (values, human), g, r in zip(cases, got, right, strict=True):
        expect_value(int(g) if float(g).is_integer() else g, r, f"the choice for {values} and human {human}")
    return "nearest to the reference texts, on the scale where ratios count."


@exercise("Paired differences")
def paired(answer):
    """Examine `answer(first (P,), second (P,)) -> (mean difference, standard error)`, prompts paired."""
    for seed, size in ((0, 8), (1, 5)):
        rng = np.random.default_rng(seed)
        prompts = rng.normal(3, 1, size)
        a, b = prompts + rng.normal(0.3, 0.1, size), prompts + rng.normal(0, 0.1, size)
        first, second = torch.tensor(a), torch.tensor(b)
        got = answer(first.clone(), second.clone())
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise WrongError("the answer should be two numbers: (mean difference, standard error).")
        mean, error = as_number(got[0], "the mean difference"), as_number(got[1], "the standard error")
        d = a - b
        refuse(
            mean,
            {
                "the difference is the wrong way round: first minus second is asked for": (-d.mean(), ""),
                "the differences are added up, but not averaged": (d.sum(), ""),
                "the sign of each difference is lost before the mean": (
                    np.abs(d).mean(),
                    "Positive and negative count.",
                )
                if (d < 0).any()
                else (math.inf, ""),
            },
        )
        expect_number(mean, d.mean(), "the mean difference")
        refuse(
            error,
            {
                "the pairing is ignored: how much prompts differ from each other went into the error": (
                    math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / size),
                    "Take the difference prompt by prompt first, then its spread.",
                ),
                "this is the standard deviation of one difference, not of their mean": (
                    d.std(ddof=1),
                    "The mean of n differences varies less than one of them.",
                ),
                "the standard deviation is divided by n instead of its square root": (d.std(ddof=1) / size, ""),
                "the spread is divided by n where n − 1 is needed: too narrow": (
                    d.std() / math.sqrt(size),
                    "The mean was estimated from the same differences.",
                ),
                "this is a variance; the square root is missing": (d.var(ddof=1) / size, ""),
                "this is the half width of an interval: the error was multiplied by 1.96 already": (
                    1.96 * d.std(ddof=1) / math.sqrt(size),
                    "The standard error alone is asked for.",
                ),
            },
        )
        expect_number(error, d.std(ddof=1) / math.sqrt(size), "the standard error")
    return "what all settings share, the difficulty of a prompt, has cancelled."


@exercise("The Pareto front")
def front(answer):
    """Examine `answer(points: list of (quality, diversity)) -> list of bool`; higher is better in both."""
    cases = (
        [(1, 9), (4, 7), (4, 5), (6, 6), (3, 6), (9, 1), (5, 1)],
        [(2, 2), (2, 2), (1, 3), (0, 3)],
        [(1, 8), (3, 5), (5, 4), (9, 1), (4, 4)],
        [(3, 3)],
    )
    rules = {
        "a point stays although another is as good in one and better in the other": lambda p: [
            not any(x > a and y > b for x, y in p) for a, b in p
        ],
        "of two equal points neither dominates the other: both stay": lambda p: [
            not any(x >= a and y >= b for x, y in p[:i] + p[i + 1 :]) for i, (a, b) in enumerate(p)
        ],
        "of two equal points only one stays; neither dominates the other": lambda p: [
            t and point not in p[:i] for i, (t, point) in enumerate(zip(_front(p), p, strict=True))
        ],
        "lower is taken for better": lambda p: _front([(-a, -b) for a, b in p]),
        "the first number is taken as better where it is lower": lambda p: _front([(-a, b) for a, b in p]),
        "the second number is taken as better where it is lower": lambda p: _front([(a, -b) for a, b in p]),
        "only the best of each column stays; a front has compromises too": lambda p: [
            a == max(x for x, _ in p) or b == max(y for _, y in p) for a, b in p
        ],
        "the numbers are added up, and only the largest sum stays": lambda p: [
            a + b == max(x + y for x, y in p) for a, b in p
        ],
        "the answer is upside down: True is for what no other point beats": lambda p: [not t for t in _front(p)],
        "everything stays: a point that is beaten in both should not": lambda p: [True] * len(p),
    }
    got = []
    for points in cases:
        result = answer(list(points))
        if not isinstance(result, list | tuple) or len(result) != len(points):
            raise WrongError(f"for {points} the answer should be a list of {len(points)} times True or False.")
        got.append([bool(x) for x in result])
    right = [_front(points) for points in cases]
    for problem, rule in rules.items():
        if got != right and got == [rule(points) for points in cases]:
            raise WrongError(f"{problem}.", hint="Beaten means: another is at least as good in both, better in one.")
    for points, g, r in zip(cases, got, right, strict=True):
        expect_value(g, r, f"the front of {points}")
    return "what is left is what nothing else beats."


def _front(points):
    return [not any(x >= a and y >= b and (x, y) != (a, b) for x, y in points) for a, b in points]
