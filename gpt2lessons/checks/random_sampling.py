"""Checks of lesson 06 and of its deeper notebook: a sampler, temperatures, at least one, texts needed."""

import math

import torch

from gpt2lessons.checks.frame import (
    WrongError,
    as_number,
    call_untouched,
    exercise,
    expect_number,
    expect_tensor,
    refuse,
)

_PROBS = torch.tensor(
    [
        [0.25, 0.5, 0.0, 0.125, 0.125],
        [0.125, 0.125, 0.5, 0.0, 0.25],
        [0.5, 0.0, 0.125, 0.25, 0.125],
        [0.0, 0.25, 0.125, 0.125, 0.5],
        [0.125, 0.5, 0.125, 0.25, 0.0],
    ],
    dtype=torch.float64,
)  # B = V: what goes along the wrong axis does not stop
_U = torch.tensor([0.3, 0.8, 0.55, 0.95, 0.05], dtype=torch.float64)
_FIRST_BEYOND = "Which is the first sum that is larger than u? Its token is drawn."


@exercise("A sampler")
def draw(answer):
    """Examine `answer(probs (B, V), u (B,)) -> tokens (B,)`, each the token in whose stretch of [0, 1) u lies."""
    right = _drawn(_PROBS, _U)
    got = _tokens(call_untouched(answer, _PROBS, _U.clone()), 5)
    if got != (again := _tokens(answer(_PROBS.clone(), _U.clone()), 5)):
        hint = "`u` is the random number: your function needs no other."
        raise WrongError(f"for the same u it gives {got} and then {again}.", hint=hint)
    sums = _PROBS.cumsum(-1)
    mistakes = {
        "u plays no part: the most probable token always wins": (_PROBS.argmax(-1), _FIRST_BEYOND),
        "it is the token whose own probability is nearest to u": (
            (_PROBS - _U[:, None]).abs().argmin(-1),
            _FIRST_BEYOND,
        ),
        "u is compared with the probabilities instead of their running sum": (
            (_U[:, None] < _PROBS).int().argmax(-1),
            _FIRST_BEYOND,
        ),
        "it is the token before the right one": (right - 1, "Counting starts at 0."),
        "it is the token after the right one": (right + 1, "Counting starts at 0."),
        "it is the edge nearest to u, not the stretch around u": (
            (sums - _U[:, None]).abs().argmin(-1),
            _FIRST_BEYOND,
        ),
        "these are places among the sorted probabilities, not tokens": (
            _drawn(_PROBS.sort(descending=True).values, _U),
            "You need not sort. If you do, look up which token stands at that place.",
        ),
        "that is a right sampler, but it adds up the sorted probabilities": (
            (ordered := _PROBS.sort(descending=True)).indices.gather(1, _drawn(ordered.values, _U)[:, None])[:, 0],
            "Here the order is that of the ids: token 0 first.",
        ),
        "the words are laid out from the other end": (_drawn(_PROBS, 1 - _U), "The first sum beyond u, not 1 − u."),
        "the probabilities are added down the columns": (
            (_PROBS.cumsum(0) <= _U[:, None]).sum(-1).clamp(max=4),
            "One row is one text: add along the last axis.",
        ),
        "each column is compared with a u, not each row": (
            (sums <= _U).sum(-1).clamp(max=4),
            "Give u the shape (B, 1).",
        ),
        "the first row's u served for all rows": (_drawn(_PROBS, _U[:1].expand(5)), "Every row has its own."),
        "the first row's probabilities served for all rows": (
            _drawn(_PROBS[:1].expand(5, 5), _U),
            "Every row has its own.",
        ),
    }
    for problem, (wrong, hint) in mistakes.items():
        if got == wrong.tolist() and got != right.tolist():
            raise WrongError(f"{problem}.", hint=hint)
    for row, (found, wanted) in enumerate(zip(got, right.tolist(), strict=True)):
        if found != wanted:
            problem = f"row {row}, probabilities {_PROBS[row].tolist()} and u = {_U[row]}: token {found} is wrong."
            raise WrongError(problem, hint=_FIRST_BEYOND)
    on_edges = torch.tensor([0.25, 0.75, 0.5, 0.0, 0.125], dtype=torch.float64)
    at_edges = _tokens(answer(_PROBS.clone(), on_edges.clone()), 5)
    if at_edges == _drawn(_PROBS.softmax(-1), on_edges).tolist():
        raise WrongError("softmax was applied to probabilities.", hint="They sum to 1 as they are.")
    for row, (found, u) in enumerate(zip(at_edges, on_edges, strict=True)):
        if found != int(_drawn(_PROBS, on_edges)[row]):
            reason = "a token of probability 0 was drawn" if _PROBS[row, found] == 0 else f"token {found} is wrong"
            raise WrongError(f"u = {u:g} is exactly the end of a stretch: {reason}.", hint="Larger, not `at least`.")
    short = torch.tensor([[0.5, 0.25, 0.2499]], dtype=torch.float64)  # as a sum may be after rounding, enlarged
    if (found := _tokens(answer(short, torch.tensor([0.99995], dtype=torch.float64)), 1)) != [2]:
        hint = "Rounding may leave the last sum below u. Draw the last token then."
        problem = f"the sum is 0.9999 and u = 0.99995: not the last token, 2, but {found[0]} comes out"
        raise WrongError(f"{problem}.", hint=hint)
    generator = torch.Generator().manual_seed(0)
    many = torch.randn(1000, 50, dtype=torch.float64, generator=generator).softmax(-1)
    places = torch.rand(1000, dtype=torch.float64, generator=generator)
    differ = sum(
        a != b for a, b in zip(_tokens(answer(many, places), 1000), _drawn(many, places).tolist(), strict=True)
    )
    if differ:
        raise WrongError(f"{differ} of 1,000 random rows of 50 tokens get another token.", hint=_FIRST_BEYOND)
    return "the same tokens as `torch.searchsorted` on 1,000 random rows, and none of probability 0."


def _drawn(probs, u):
    """The tokens that are right: the first running sum > u, found without adding up what the learner adds up."""
    found = torch.searchsorted(probs.cumsum(-1).contiguous(), u[:, None].contiguous(), right=True)[:, 0]
    return found.clamp(max=probs.shape[-1] - 1)


def _tokens(got, rows):
    """The answer as a list of `rows` whole numbers; `WrongError` says what else it is."""
    if not isinstance(got, torch.Tensor):
        raise WrongError(f"the result should be a tensor of tokens, but is of type {type(got).__name__}.")
    if got.is_floating_point() or got.dtype == torch.bool:
        hint = "Return where the token stands, not its probability."
        raise WrongError(f"tokens are whole numbers (torch.long), but yours are {got.dtype}.", hint=hint)
    if got.shape != (rows,):
        raise WrongError(f"the result should have shape ({rows},), one token per row, not {tuple(got.shape)}.")
    return got.tolist()


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
            "the temperature has no effect: these are the probabilities at T = 1": (
                probs,
                "What a whole row is shifted by, or its probabilities divided by, cancels.",
            ),
            "the probabilities were raised to a power and no longer sum to 1": (
                probs ** (1 / column),
                "Divide each row by its sum, or start from the logits.",
            ),
            "these are log-probabilities": ((logits / column).log_softmax(-1), "The answer should be probabilities."),
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
    expect_tensor(got, (logits / column).softmax(-1), "the result", hint="Which logits, divided by which temperature?")
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
    found, right = as_number(answer, "the temperature"), odds / wanted
    if not found > 0:
        raise WrongError("a temperature is above 0.", hint="Which logarithm is negative? Turn its ratio over.")
    if not math.isclose(found, right, rel_tol=3e-3):
        which, effect = ("high", "less") if found > right else ("low", "more")
        hint = "Temperature divides log-odds: write them down before and after, and divide."
        raise WrongError(f"that is too {which}: cat is drawn {effect} than ten times as often as dog.", hint=hint)
    return f"ln(5/3) / ln(10) = {odds / wanted:.4f}: the log-odds grow from {odds:.3f} to {wanted:.3f}."


@exercise("At least one")
def at_least_one(answer):
    """Examine `answer(tail_masses: list) -> float`, the probability that one step or more draws from the tail."""
    masses = [0.1, 0.4, 0.05, 0.2]
    keep, mean, steps = [1 - m for m in masses], sum(masses) / 4, len(masses)
    got = as_number(answer(list(masses)))
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
                "Two draws from it count as well.",
            ),
            "that is the worst step alone": (max(masses), "Every step gives another chance."),
        },
    )
    expect_number(got, 1 - math.prod(keep), f"the probability for tail masses {masses}")
    expect_number(as_number(answer([0.0, 0.0])), 0.0, "the probability when the tail is empty")
    expect_number(as_number(answer([0.3, 1.0])), 1.0, "the probability when one step has nothing but tail")
    expect_number(as_number(answer([0.02] * 100)), 1 - 0.98**100, "the probability for 100 steps of 0.02")
    return "one minus the product of (1 − mass): small masses, many steps, near certainty."


@exercise("How many texts are enough?")
def texts_needed(answer):
    """Examine `answer(sd, difference) -> int`: texts per setting that show the difference with a power of 80 %."""
    sd, difference, z = 0.5, 0.2, 1.96 + 0.842
    ratio, got = sd / difference, answer(0.5, 0.2)
    refuse(
        as_number(got, "the number of texts"),
        {
            "so many make the interval as wide as the difference: half of the experiments miss it": (
                math.ceil(2 * (1.96 * ratio) ** 2),
                "Where is the 0.842, which stands for a power of 80 %?",
            ),
            "that is enough for one mean; the difference of two has twice the variance": (
                math.ceil((z * ratio) ** 2),
                "Both means are uncertain: add their variances.",
            ),
            "that is for one standard error, not for 2.802 of them": (math.ceil(2 * ratio**2), "Where is the 2.802?"),
            "the standard errors of the two means were added": (
                math.ceil((2 * z * ratio) ** 2),
                "Variances add up, standard deviations do not.",
            ),
            "the ratio is not squared": (math.ceil(2 * z * ratio), "n stands below a square root."),
            "that is not a whole number of texts": (2 * (z * ratio) ** 2, "Round, but which way?"),
            "that was rounded down, and is just not enough": (int(2 * (z * ratio) ** 2), "Part of a text is a text."),
            "1.96 and 0.842 were squared one by one": (
                math.ceil(2 * (1.96**2 + 0.842**2) * ratio**2),
                "Add them first, then square.",
            ),
            "sd and difference have changed places": (math.ceil(2 * (z / ratio) ** 2), "More spread, more texts."),
        },
    )
    for spread, wanted in ((0.5, 0.2), (0.5, 0.4), (1.0, 1.5), (0.03, 0.02)):
        right = math.ceil(2 * (z * spread / wanted) ** 2)
        expect_number(answer(spread, wanted), right, f"the number for sd={spread}, difference={wanted}", tolerance=1e-9)
    return "half the difference takes four times as many texts."
