"""Checks of lesson 06: the draw, temperatures per row and on demand, at least one bad draw, texts needed."""

import math

import torch

from gpt2lessons.checks.frame import WrongError, call_untouched, exercise, expect_number, expect_tensor, refuse

_PROBS = torch.tensor([0.25, 0.5, 0.0, 0.125, 0.125], dtype=torch.float64)


@exercise("Draw by hand")
def draw(answer):
    """Examine `answer(probs (V,), u) -> int`, the token in whose stretch of [0, 1) the number u lies."""
    where = {0.1: 0, 0.3: 1, 0.7: 1, 0.8: 3, 0.99: 4}
    got = {u: _index(call_untouched(lambda p, u=u: answer(p, u), _PROBS), u) for u in where}
    edges = _PROBS.cumsum(0)
    mistakes = {
        "u plays no part: the most probable token always wins": [1] * 5,
        "it is the token whose own probability is nearest to u": [3, 0, 1, 1, 1],
        "u is compared with the probabilities instead of their running sum": [0, 1, 0, 0, 0],
        "it is the stretch before the right one": [-1, 0, 0, 2, 3],
        "it is the stretch after the right one": [1, 2, 2, 4, 5],
        "it is the edge nearest to u, not the stretch around u": [int((edges - u).abs().argmin()) for u in where],
        "the place is that in the sorted probabilities, not the token's own": [0, 0, 1, 2, 3],
        "the stretches are laid out from the other end": [4, 1, 1, 0, 0],
    }
    for problem, wrong in mistakes.items():
        if list(got.values()) == wrong and wrong != list(where.values()):
            raise WrongError(f"{problem}.", hint="Where does each stretch end? The first end beyond u belongs to it.")
    for u, right in where.items():
        if got[u] != right:
            raise WrongError(f"for probabilities {_PROBS.tolist()} and u={u} the token is {right}, not {got[u]}.")
    for u, right in ((0.25, 1), (0.75, 3)):
        if (found := _index(answer(_PROBS.clone(), u), u)) != right:
            reason = "a token with probability 0 was drawn" if found == 2 else f"the token is {right}, not {found}"
            hint = "A stretch contains its left end, but not its right end: look for the first end that is > u."
            raise WrongError(f"u={u} lies exactly on an edge: {reason}.", hint=hint)
    if _index(answer(torch.tensor([0.0, 1.0]), 0.0), 0.0) != 1:
        raise WrongError("with u=0 a token with probability 0 was drawn.", hint="The first end that is > u.")
    return "each token wins for a share of the numbers u that equals its probability."


@exercise("One temperature per row")
def temperature_per_row(answer):
    """Examine `answer(logits (B, V), temperatures (B,)) -> probs (B, V)`."""
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 3.0, 1.0, 1.0], [1.0, 1.5, 0.5, 0.0], [-1.0, 0.0, 0.0, 2.0]])
    temperatures = torch.tensor([0.5, 1.0, 2.0, 4.0])  # B = V: what is broadcast along the wrong axis does not stop
    column = temperatures[:, None]
    got = call_untouched(answer, logits, temperatures)
    probs = logits.softmax(-1)
    refuse(
        got,
        {
            "each column got a temperature, not each row": (
                (logits / temperatures).softmax(-1),
                "(4, 4) / (4,) divides the columns: give the temperatures a shape in which every row has its own.",
            ),
            "the logits were multiplied by the temperature, or the probabilities raised to that power": (
                (logits * column).softmax(-1),
                "A low temperature must make the differences larger.",
            ),
            "the columns sum to 1, not the rows": (
                (logits / column).softmax(0),
                "The softmax runs over the vocabulary.",
            ),
            "the probabilities were divided after the softmax, and no longer sum to 1": (
                probs / column,
                "Temperature belongs before the softmax, where the logarithms are.",
            ),
            "the probabilities were divided and renormalised, which changes nothing at all": (
                probs,
                "Temperature belongs before the softmax, where the logarithms are.",
            ),
            "the first row's temperature served for all rows": (
                (logits / temperatures[0]).softmax(-1),
                "Every row has its own.",
            ),
            "the mean temperature served for all rows": (
                (logits / column.mean()).softmax(-1),
                "Every row has its own.",
            ),
            "softmax was applied twice": ((probs / column).softmax(-1), "Probabilities are not logits."),
            "these are logits still": (logits / column, "The answer should be probabilities."),
        },
    )
    expect_tensor(got, (logits / column).softmax(-1), "the result")
    flat = call_untouched(answer, logits[:2], torch.tensor([1.0, 1.0]))
    expect_tensor(flat, probs[:2], "the result with two rows and temperatures of 1")
    return "every row sums to 1 and has its own temperature."


@exercise("A temperature on demand")
def temperature_on_demand(answer):
    """Examine the temperature at which `cat` (0.5 in the model) is drawn ten times as often as `dog` (0.3)."""
    odds, wanted = math.log(0.5 / 0.3), math.log(10)
    refuse(
        answer,
        {
            "that is 1/T: the factor on the logits, not what divides them": (
                wanted / odds,
                "logits / T, not logits · T.",
            ),
            "that uses a base-10 logarithm on one side": (odds / math.log10(10), "Take both logarithms to one base."),
            "that is the ratio of the ratios; temperature works on their logarithms": (
                (0.5 / 0.3) / 10,
                "Temperature divides log-odds: write down ln(p_cat/p_dog) before and after.",
            ),
            "that divides the difference of the probabilities": (
                (0.5 - 0.3) / wanted,
                "Temperature divides differences of logits, which are logarithms.",
            ),
            "that would give cat ten times its own old probability's odds": (
                odds / (wanted + odds),
                "The new odds are 10, not 10 times the old ones.",
            ),
            "that makes dog the favourite: the sign is wrong": (-odds / wanted, "A temperature is above 0."),
        },
    )
    expect_number(answer, odds / wanted, "the temperature", tolerance=2e-3, hint="Temperature divides log-odds.")
    return f"ln(5/3) / ln(10) = {odds / wanted:.4f}: the log-odds grow from {odds:.3f} to {wanted:.3f}."


@exercise("At least one bad draw")
def at_least_one(answer):
    """Examine `answer(tail_masses: list) -> float`, the probability that one step or more draws from the tail."""
    masses = [0.1, 0.4, 0.05, 0.2]
    keep, mean, steps = [1 - m for m in masses], sum(masses) / 4, len(masses)
    got = _number(answer(list(masses)))
    refuse(
        got,
        {
            "the masses were added; with enough steps that exceeds 1": (sum(masses), "Count the way to have none."),
            "that is the probability that no step draws from the tail": (math.prod(keep), "And the opposite of none?"),
            "that is the probability that every step draws from the tail": (math.prod(masses), "One is enough."),
            "that is the opposite of `all steps`, which is `at least one step does not`": (
                1 - math.prod(masses),
                "The opposite of `at least one` is `none`.",
            ),
            "the steps got one mean mass, but theirs differ": (
                1 - (1 - mean) ** steps,
                "Multiply the steps' own probabilities of staying out of the tail.",
            ),
            "that is the probability of exactly one": (
                sum(m * math.prod(keep) / k for m, k in zip(masses, keep, strict=True)),
                "Two bad draws count as well.",
            ),
            "that is the worst step alone": (max(masses), "Every step gives another chance."),
        },
    )
    expect_number(got, 1 - math.prod(keep), f"the probability for tail masses {masses}")
    expect_number(_number(answer([0.0, 0.0])), 0.0, "the probability when the tail is empty")
    expect_number(_number(answer([0.3, 1.0])), 1.0, "the probability when one step has nothing but tail")
    expect_number(_number(answer([0.02] * 100)), 1 - 0.98**100, "the probability for 100 steps of 0.02")
    return "one minus the product of (1 − mass): small masses, many steps, near certainty."


@exercise("How many texts are enough?")
def texts_needed(answer):
    """Examine `answer(sd, difference) -> int`: texts per setting for which 1.96 standard errors are small enough."""
    sd, difference = 0.5, 0.2
    ratio, got = sd / difference, answer(0.5, 0.2)
    refuse(
        _number(got),
        {
            "that is enough for one mean; the difference of two has twice the variance": (
                math.ceil((1.96 * ratio) ** 2),
                "Both means are uncertain: add their variances.",
            ),
            "that is for one standard error, not for 1.96 of them": (math.ceil(2 * ratio**2), "Where is the 1.96?"),
            "the standard errors of the two means were added": (
                math.ceil((2 * 1.96 * ratio) ** 2),
                "Variances add up, standard deviations do not.",
            ),
            "the ratio is not squared": (math.ceil(2 * 1.96 * ratio), "n stands below a square root."),
            "that is not a whole number of texts": (2 * (1.96 * ratio) ** 2, "Round, but which way?"),
            "that was rounded down, and is just not enough": (int(2 * (1.96 * ratio) ** 2), "Half a text is a text."),
            "that is for a one-sided 95 %: 1.645 instead of 1.96": (math.ceil(2 * (1.645 * ratio) ** 2), "Use 1.96."),
            "sd and difference have changed places": (math.ceil(2 * (1.96 / ratio) ** 2), "More spread, more texts."),
        },
    )
    cases = {(0.5, 0.2): 49, (0.5, 0.4): 13, (1.0, 1.5): 4, (0.03, 0.02): 18}
    for (spread, wanted), right in cases.items():
        found = _number(answer(spread, wanted))
        expect_number(found, right, f"the number of texts for sd={spread}, difference={wanted}", tolerance=1e-9)
    return "half the difference takes four times as many texts."


def _index(got, u):
    got = got.item() if isinstance(got, torch.Tensor) and got.numel() == 1 else got
    if isinstance(got, bool) or not isinstance(got, int):
        hint = "Return where the token stands, not its probability."
        raise WrongError(
            f"for u={u} the answer should be a whole number, the token's place, but is {got!r}.", hint=hint
        )
    return got


def _number(got):
    return got.item() if isinstance(got, torch.Tensor) and got.numel() == 1 else got
