"""Checks of lesson 10: perplexity, the objective in closed form, a paired interval, and what it decides."""

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
        raw = torch.stack([logits[t - 1, _IDS[t]] for t in range(length, 6)])
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
            "the logits were averaged as if they were log-probabilities": (
                (-raw.mean()).exp(),
                "log_softmax over the vocabulary comes first.",
            ),
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


@exercise("An interval for a paired difference")
def paired(answer):
    """Examine `answer(first (P,), second (P,), t) -> (low, high)`: mean difference ± t standard errors, paired."""
    for seed, size, t in ((0, 8, 2.365), (1, 5, 2.776)):
        rng = np.random.default_rng(seed)
        prompts = rng.normal(3, 1, size)
        a, b = prompts + rng.normal(0.3, 0.1, size), prompts + rng.normal(0, 0.1, size)
        first, second = torch.tensor(a), torch.tensor(b)
        got = answer(first.clone(), second.clone(), t)
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise WrongError("the answer should be two numbers: (low, high).")
        low, high = as_number(got[0], "the lower end"), as_number(got[1], "the upper end")
        d = a - b
        error = d.std(ddof=1) / math.sqrt(size)
        if low > high:
            raise WrongError("the lower end lies above the upper end.", hint="(low, high), in this order.")
        _expect_centre((low + high) / 2, d)
        refuse(
            (high - low) / 2,
            {
                "the pairing is ignored: how much prompts differ from each other makes the interval wide": (
                    t * math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / size),
                    "Take the difference prompt by prompt first, then its spread.",
                ),
                "this is as wide as the spread of one difference; the mean of several varies less": (
                    t * d.std(ddof=1),
                    "The standard error of a mean is smaller than the standard deviation.",
                ),
                "the standard deviation is divided by n instead of its square root": (t * d.std(ddof=1) / size, ""),
                "the squared differences are divided by n where n − 1 is needed: too narrow": (
                    t * d.std() / math.sqrt(size),
                    "The mean was estimated from the same differences.",
                ),
                "a variance stands where its square root should: the units are squared": (t * d.var(ddof=1) / size, ""),
                "1.96 is the factor for many values; with few, t is larger": (1.96 * error, "t is the third argument."),
                "the factor t is missing: this is mean ± one standard error": (error, ""),
                "the interval has half its width: t standard errors belong on either side": (t * error / 2, ""),
            },
        )
        expect_number((high - low) / 2, t * error, "half the width of the interval")
    return "what both settings share, the difficulty of a prompt, has cancelled."


def _expect_centre(centre, d):
    """The middle of the interval is the mean of the differences `d` (P,)."""
    refuse(
        centre,
        {
            "the difference is the wrong way round: first minus second is asked for": (-d.mean(), ""),
            "the differences are added up, but not averaged": (d.sum(), ""),
        },
    )
    expect_number(centre, d.mean(), "the middle of the interval")


_RULES = {  # what decides wrongly -> (rule, hint)
    "0 in the interval counts as near: an interval so wide that it holds everything shows nothing": (
        lambda low, high, margin: "near" if low <= 0 <= high else "far" if low > margin or high < -margin else "open",
        "Near needs the whole interval within the margin.",
    ),
    "0 outside the interval counts as far: a difference may be certain and still small": (
        lambda low, high, margin: "near" if -margin < low and high < margin and low <= 0 <= high else "far",
        "Compare with the margin, not with 0.",
    ),
    "0 inside means near and 0 outside means far here: where the margin lies is not asked": (
        lambda low, high, margin: "near" if low <= 0 <= high else "far",
        "Compare both ends with −margin and +margin; there are three answers.",
    ),
    "only the middle of the interval decides, so its width does not matter": (
        lambda low, high, margin: "near" if abs(low + high) / 2 <= margin else "far",
        "Both ends have to be on the same side of the margin.",
    ),
    "whatever is not near counts as far: not shown is not refuted": (
        lambda low, high, margin: "near" if -margin < low and high < margin else "far",
        "Far needs the whole interval outside the margin.",
    ),
    "whatever is not far counts as near: not refuted is not shown": (
        lambda low, high, margin: "far" if low > margin or high < -margin else "near",
        "Near needs the whole interval within the margin.",
    ),
    "only the upper side is watched: a setting can also be far below people": (
        lambda low, high, margin: "near" if high < margin else "far" if low > margin else "open",
        "The margin has two ends, −margin and +margin.",
    ),
    "an interval that reaches over both ends of the margin is not far": (
        lambda low, high, margin: (
            "near" if -margin < low and high < margin else "far" if abs(low) > margin and abs(high) > margin else "open"
        ),
        "Far means: all of it above +margin, or all of it below −margin.",
    ),
}


@exercise("Near, far or open")
def verdict(answer):
    """Examine `answer(low, high, margin) -> "near", "far" or "open"`: where a gap's interval lies."""
    cases = {
        (-0.1, 0.2, 0.4): "near",
        (0.1, 0.3, 0.4): "near",
        (-0.3, -0.1, 0.4): "near",
        (0.5, 0.9, 0.4): "far",
        (-1.9, -1.2, 0.4): "far",
        (-0.1, 0.6, 0.4): "open",
        (-0.9, 0.3, 0.4): "open",
        (0.2, 0.7, 0.4): "open",
        (-0.8, -0.2, 0.4): "open",
        (-0.7, 0.6, 0.4): "open",
        (0.2, 0.3, 0.1): "far",
        (-0.6, 0.6, 0.7): "near",
    }
    got = [answer(*case) for case in cases]
    if None in got:
        raise WrongError("one of the answers is None. Does every branch of your function return?")
    if strange := [word for word in got if word not in ("near", "far", "open")]:
        raise WrongError(f"the answer is one of 'near', 'far' and 'open', not {strange[0]!r:.60}.")
    if got != list(cases.values()):
        for problem, (rule, hint) in _RULES.items():
            if got == [rule(*case) for case in cases]:
                raise WrongError(f"{problem}.", hint=hint)
    for ((low, high, margin), right), word in zip(cases.items(), got, strict=True):
        expect_value(word, right, f"the verdict on {low} to {high} with the margin {margin}")
    return "what is shown, what is refuted, and what these prompts cannot decide are three things."
